//! Compiling: names resolved, types joined in, templates built. Reports every problem, keeps every tool that stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use indexmap::IndexSet;
use serde_json::Value;

use super::{
    Catalog, CompiledTool, InputSchema, OutputSchema, Service,
    collected::Collected,
    fill::Fill,
    flow::WrittenSteps,
    folder::Reach,
    gate::{gate_of, gate_of_rest},
    hints::{self, Hints},
    input::Argument,
    join::{Joined, Joiner, Wanted},
    names,
    plan::{Plan, Shaping},
    prompt,
    resolve::Names,
    resource,
    wiring::{Arguments, parameters},
};
use crate::{
    access::GateId,
    diagnostic::{Code, Diagnostic, FileId, SourceMap, Span},
    schema::{Checker, SchemaStore},
    spec::{
        self, Action, Aggregate, Consumes, Document, Flow, InputParameter, McpServer, Mode, Operation, Spanned, Tool,
        Workspace, yaml::Node,
    },
    variables::Variables,
};

/// The resolved services: document (its place in the workspace) and namespace → service.
pub type Services = BTreeMap<(usize, String), Arc<Service>>;

/// What a catalog is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The documents.
    pub workspace: &'a Workspace,
    /// Where calls go.
    pub services: &'a Services,
    /// The variables of the documents.
    pub variables: &'a Variables,
    /// The schemas that documents refer to.
    pub schemas: &'a mut SchemaStore,
    /// Where untyped operations get their types from.
    pub joiner: &'a mut Joiner,
    /// The files, for messages.
    pub sources: &'a mut SourceMap,
}

/// Compiles all tools, resources and prompts of a workspace. One with an error is left out; what else was found is in the
/// diagnostics.
pub fn compile(parts: Parts<'_>) -> (Catalog, Vec<Diagnostic>) {
    let Parts { workspace, services, variables, schemas, joiner, sources } = parts;
    let mut compiler = Compiler {
        schemas,
        checker: Checker::default(),
        services,
        variables,
        joiner,
        sources,
        joined: None,
        problems: Vec::new(),
        called: BTreeSet::new(),
    };
    let mut compiled: Vec<Vec<(CompiledTool, Spanned<String>)>> = Vec::new();
    let withheld = resource::withheld(workspace, compiler.sources);
    let reach = Reach { named: &workspace.folders, withheld: &withheld };
    let (mut resources, mut prompts) = (Vec::new(), Vec::new());
    for (index, document) in workspace.documents.iter().enumerate() {
        let Offers { tools, resources: more_resources, prompts: more_prompts } =
            compiler.document(index, document, reach);
        compiled.push(tools);
        resources.extend(more_resources);
        prompts.extend(more_prompts);
    }
    // Only once all tools are known: an imported operation may be another document's.
    for (index, document) in workspace.documents.iter().enumerate() {
        let generated = compiler.uncalled(index, document, &workspace.files);
        if let Some(tools) = compiled.get_mut(index) {
            tools.extend(generated);
        }
    }
    for (document, tools) in workspace.documents.iter().zip(&compiled) {
        compiler.warn_of_nothing(document, tools.len());
    }
    let mut collected = Collected::default();
    for (tool, name) in compiled.into_iter().flatten() {
        collected.add(tool, &name, &mut compiler.problems);
    }
    let mut catalog = collected.into_catalog();
    catalog.resources = resource::collect(resources, &mut compiler.problems);
    catalog.prompts = prompt::collect(prompts, &mut compiler.problems);
    (catalog, compiler.problems)
}

/// What one document offers.
struct Offers {
    tools: Vec<(CompiledTool, Spanned<String>)>,
    resources: Vec<(resource::CompiledResource, Spanned<String>)>,
    prompts: Vec<prompt::Lowered>,
}

/// What compiling works with. Operations are lowered in `wiring.rs`, flows in `flow.rs`, answers in `shaping.rs`.
pub(super) struct Compiler<'a> {
    schemas: &'a mut SchemaStore,
    pub(super) checker: Checker,
    services: &'a Services,
    pub(super) variables: &'a Variables,
    joiner: &'a mut Joiner,
    pub(super) sources: &'a mut SourceMap,
    /// What was found for the operation asked for last: its arguments, answer and description ask one after another.
    joined: Option<(Sought, Option<Arc<Joined>>)>,
    pub(super) problems: Vec<Diagnostic>,
    /// Where the operations stand that some tool calls.
    called: BTreeSet<(FileId, usize)>,
}

/// A service of a document and the place of an operation.
type Sought = (usize, (FileId, usize), (FileId, usize));

/// What a tool calls, with everything around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    index: usize,
    pub(super) consumes: &'a Consumes,
    pub(super) operation: &'a Operation,
}

/// What the tools of a document are compiled with.
pub(super) struct Scene<'a> {
    pub(super) index: usize,
    consumes: Vec<&'a Consumes>,
    /// The namespaces of services that were left out for an error.
    left_out: &'a [Spanned<String>],
    aggregates: &'a [Aggregate],
    /// Namespaces whose import failed.
    missing: &'a [Spanned<String>],
    /// The gate before the server whose tools are compiled.
    pub(super) gate: Option<GateId>,
    used_as: Use,
    /// How often each operation was called so far, for operations that share a name.
    calls: BTreeMap<String, usize>,
}

/// What an action is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A tool, whose arguments a model gives.
    Tool,
    /// A resource, whose arguments are in its URI: there are no others.
    Resource,
}

impl Use {
    fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
        }
    }
}

impl Scene<'_> {
    /// The same for another use. Which operations were called how often does not go with it.
    pub(super) fn for_use(&self, used_as: Use) -> Scene<'_> {
        let Self { index, consumes, left_out, aggregates, missing, gate, used_as: _, calls: _ } = self;
        let (consumes, calls) = (consumes.clone(), BTreeMap::new());
        Scene { index: *index, consumes, left_out, aggregates, missing, gate: *gate, used_as, calls }
    }
}

impl Compiler<'_> {
    fn document(&mut self, index: usize, document: &Document, reach: Reach<'_>) -> Offers {
        let Document {
            file: _,
            version: _,
            info: _,
            binds: _,
            consumes,
            left_out,
            aggregates,
            servers,
            missing,
            standalone: _,
        } = document;
        self.check_aggregates(aggregates);
        let consumes = self.unique(consumes);
        let (gate, used_as, calls) = (None, Use::Tool, BTreeMap::new());
        let mut scene = Scene { index, consumes, left_out, aggregates, missing, gate, used_as, calls };
        let (mut tools, mut resources, mut prompts) = (Vec::new(), Vec::new(), Vec::new());
        for (position, server) in servers.iter().enumerate() {
            scene.gate = gate_of(document, position, self.sources);
            for tool in &server.tools {
                tools.extend(self.tool(tool, server, &mut scene).map(|compiled| (compiled, tool.name.clone())));
            }
            resources.extend(self.resources(server, &scene, reach));
            prompts.extend(self.prompts(server, scene.gate, reach));
        }
        Offers { tools, resources, prompts }
    }

    /// Tools for the operations of a document that no tool calls: a spec is for its operations. Not for one whose tool was
    /// left out, though: its author's hints would be lost. Nor for those of a file that is only read for an import.
    fn uncalled(
        &mut self,
        index: usize,
        document: &Document,
        files: &BTreeSet<FileId>,
    ) -> Vec<(CompiledTool, Spanned<String>)> {
        let mut tools = Vec::new();
        let mut namespaces = BTreeSet::new();
        // A spec that asks its callers for something asks for it on every way to its operations.
        let gate = gate_of_rest(document, self.sources);
        let left_out: BTreeSet<&str> =
            document.servers.iter().flat_map(|server| &server.left_out).map(String::as_str).collect();
        for consumed in &document.consumes {
            if !namespaces.insert(consumed.namespace.value.as_str()) {
                continue; // reported as a duplicate
            }
            for operation in &consumed.operations {
                let call = format!("{}.{}", consumed.namespace.value, operation.name.value);
                let loaded = files.contains(&operation.span.file);
                if !loaded || left_out.contains(call.as_str()) || !self.called.insert(place(operation.span)) {
                    continue;
                }
                let target = Target { index, consumes: consumed, operation };
                let tool = generated_tool(consumed, operation);
                let hints = |own: &mut Self| {
                    let Operation { method, path, name, .. } = operation;
                    hints::lower(&tool.hints, &method.value, &path.value, &name.value, &mut own.problems)
                };
                let before = self.problems.len();
                let names = Names::new(index, self.variables, Vec::new());
                let mut arguments = Arguments::default();
                let Some(compiled) = self.operation(target, names, &mut arguments) else { continue };
                let hints = hints(self);
                let plan = Plan::Call(Box::new(compiled));
                let described = self.description(&tool, Some(target), None, Use::Tool);
                let shaped = self.answer(&[], Some(target));
                let draft = Draft { tool: &tool, arguments, plan, hints, description: described, gate };
                if let Some(compiled) = shaped.and_then(|shaped| self.finish(draft, shaped, before)) {
                    tools.push((compiled, tool.name));
                }
            }
        }
        tools
    }

    /// The services of a document without those whose namespace is taken: their operations would go to another host.
    fn unique<'a>(&mut self, consumes: &'a [Consumes]) -> Vec<&'a Consumes> {
        let mut unique: Vec<&Consumes> = Vec::new();
        for consumed in consumes {
            let Spanned { value, span } = &consumed.namespace;
            if let Some(first) = unique.iter().find(|first| first.namespace.value == *value) {
                let message = format!("the namespace `{value}` is consumed twice; this service is left out");
                let problem = Diagnostic::error(Code::DuplicateNamespace, *span, message);
                self.problems.push(problem.with_secondary(first.namespace.span, "the first one"));
                continue;
            }
            unique.push(consumed);
            let mut operations: BTreeMap<&str, Span> = BTreeMap::new();
            for operation in &consumed.operations {
                let Spanned { value, span } = &operation.name;
                if let Some(first) = operations.get(value.as_str()) {
                    let message = format!(
                        "the operation `{value}` is there already; tools that call it take these in order, one each"
                    );
                    let problem = Diagnostic::warning(Code::DuplicateOperation, *span, message);
                    self.problems.push(problem.with_secondary(*first, "the first one"));
                }
                operations.entry(value).or_insert(*span);
            }
        }
        unique
    }

    fn check_aggregates(&mut self, aggregates: &[Aggregate]) {
        for (index, aggregate) in aggregates.iter().enumerate() {
            let Spanned { value, span } = &aggregate.namespace;
            let mut before = aggregates.iter().take(index);
            if let Some(first) = before.find(|first| first.namespace.value == *value) {
                let message = format!("the namespace `{value}` has flows already; references go to the first one");
                let problem = Diagnostic::error(Code::DuplicateNamespace, *span, message);
                self.problems.push(problem.with_secondary(first.namespace.span, "the first one"));
            }
        }
    }

    /// The operation that a `call` names.
    pub(super) fn target<'a>(&mut self, scene: &mut Scene<'a>, call: &Spanned<String>) -> Option<Target<'a>> {
        let Spanned { value, span } = call;
        if !value.contains('.') {
            let message = format!("`call` must be `NAMESPACE.OPERATION`, found `{value}`");
            self.problems.push(Diagnostic::error(Code::InvalidValue, *span, message));
            return None;
        }
        // Both halves may hold dots: the longest namespace that fits is meant.
        let fits = |consumed: &&&'a Consumes| {
            value.strip_prefix(consumed.namespace.value.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let found = scene.consumes.iter().filter(fits).max_by_key(|consumed| consumed.namespace.value.len()).copied();
        let Some(consumed) = found else {
            let namespace = value.split_once('.').map_or(value.as_str(), |(namespace, _)| namespace);
            if let Some(left_out) = scene.left_out.iter().find(|left_out| left_out.value == namespace) {
                let message = format!("the service `{namespace}` was left out for an error of its own, so this is");
                let problem = Diagnostic::error(Code::UnknownNamespace, *span, message);
                self.problems.push(problem.with_secondary(left_out.span, "the service"));
                return None;
            }
            if let Some(import) = scene.missing.iter().find(|missing| missing.value == namespace) {
                let message = format!("the namespace `{namespace}` could not be imported, so this is left out");
                let problem = Diagnostic::error(Code::UnknownNamespace, *span, message);
                self.problems.push(problem.with_secondary(import.span, "the import"));
                return None;
            }
            let known: Vec<&str> = scene.consumes.iter().map(|consumed| consumed.namespace.value.as_str()).collect();
            let message =
                format!("unknown namespace `{namespace}`; this spec consumes {}", list(known.iter().copied()));
            self.problems
                .push(Diagnostic::error(Code::UnknownNamespace, *span, message).with_nearest(namespace, known));
            return None;
        };
        let namespace = consumed.namespace.value.as_str();
        let operation = value.get(namespace.len() + 1..).unwrap_or_default();
        let mut candidates: Vec<&Operation> =
            consumed.operations.iter().filter(|found| found.name.value == operation).collect();
        // `NAMESPACE.RESOURCE.OPERATION`, as some documents write it.
        let last = operation.rsplit('.').next().unwrap_or(operation);
        if candidates.is_empty() && last != operation {
            candidates = consumed.operations.iter().filter(|found| found.name.value == last).collect();
        }
        let count = scene.calls.entry(value.clone()).or_default();
        let nth = candidates.get(*count).or(candidates.first()).copied();
        *count += 1;
        let Some(found) = nth else {
            if let Some(left_out) = consumed.left_out.iter().find(|left_out| left_out.value == operation) {
                let message = format!(
                    "the operation `{operation}` was left out for an error of its own, so this {} is",
                    scene.used_as.noun()
                );
                let problem = Diagnostic::error(Code::UnknownOperation, *span, message);
                self.problems.push(problem.with_secondary(left_out.span, "the operation"));
                return None;
            }
            let known = consumed.operations.iter().map(|operation| operation.name.value.as_str());
            let message = format!("unknown operation `{operation}`; `{namespace}` has {}", list(known.clone()));
            self.problems
                .push(Diagnostic::error(Code::UnknownOperation, *span, message).with_nearest(operation, known));
            return None;
        };
        self.called.insert(place(found.span));
        Some(Target { index: scene.index, consumes: consumed, operation: found })
    }

    /// The flow that a `ref` names, and the namespaces by which it refers to its own arguments.
    fn flow<'a>(&mut self, scene: &Scene<'a>, reference: &Spanned<String>) -> Option<([Option<&'a str>; 2], &'a Flow)> {
        let Spanned { value, span } = reference;
        let split = value.rsplit_once('.');
        let aggregate = split.and_then(|(namespace, _)| {
            scene.aggregates.iter().find(|aggregate| aggregate.namespace.value == namespace)
        });
        let Some((aggregate, (_, name))) = aggregate.zip(split) else {
            let wanted = split.map(|(namespace, _)| namespace);
            if let Some(import) = scene.missing.iter().find(|missing| Some(missing.value.as_str()) == wanted) {
                let message = format!("the namespace `{}` could not be imported, so this is left out", import.value);
                let problem = Diagnostic::error(Code::UnknownFlow, *span, message);
                self.problems.push(problem.with_secondary(import.span, "the import"));
                return None;
            }
            let known = scene.aggregates.iter().map(|aggregate| aggregate.namespace.value.as_str());
            let message = format!(
                "unknown flow `{value}`; `ref` is `NAMESPACE.FLOW`, and there are flows in {}",
                list(known.clone())
            );
            let given = split.map_or(value.as_str(), |(namespace, _)| namespace);
            self.problems.push(Diagnostic::error(Code::UnknownFlow, *span, message).with_nearest(given, known));
            return None;
        };
        let Some(flow) = aggregate.flows.iter().find(|flow| flow.name.value == name) else {
            let known = aggregate.flows.iter().map(|flow| flow.name.value.as_str());
            let message = if aggregate.left_out.iter().any(|left_out| left_out == name) {
                format!("the flow `{name}` was left out for an error of its own, so this {} is", scene.used_as.noun())
            } else {
                format!("unknown flow `{name}`; `{}` has {}", aggregate.namespace.value, list(known.clone()))
            };
            self.problems.push(Diagnostic::error(Code::UnknownFlow, *span, message).with_nearest(name, known));
            return None;
        };
        let namespaces = [Some(aggregate.namespace.value.as_str()), aggregate.imported_as.as_deref()];
        Some((namespaces, flow))
    }

    pub(super) fn tool<'a>(
        &mut self,
        tool: &'a Tool,
        server: &'a McpServer,
        scene: &mut Scene<'a>,
    ) -> Option<CompiledTool> {
        let before = self.problems.len();
        let Tool { name: _, title: _, description: _, hints: stated, input_parameters, action, span: _ } = tool;
        let own = server.namespace.as_ref().map(|namespace| namespace.value.as_str());
        let namespaces: Vec<&str> = own.into_iter().chain(server.imported_as.as_deref()).collect();
        let mut names = Names::new(scene.index, self.variables, namespaces);
        let mut inputs = input_parameters.as_slice();
        let mut outputs = action.outputs.as_slice();
        let mut stated = stated.clone();
        let mut done: &Action = action;
        let mut from_flow: Option<&Flow> = None;
        if let Mode::Ref(reference) = &action.mode {
            let (namespaces, flow) = self.flow(scene, reference)?;
            hints::from_semantics(&mut stated, flow.safe.as_ref(), flow.idempotent.as_ref());
            // What the tool feeds, the flow knows by the names of its own parameters.
            let fed = action.with.iter().map(|(parameter, node)| {
                (names::argument(&parameter.value), names.node(node, &|names, text| names.value(text)))
            });
            names.inputs = fed.collect();
            names.namespaces.extend(namespaces.into_iter().flatten());
            if inputs.is_empty() {
                inputs = flow.input_parameters.as_slice();
            }
            if outputs.is_empty() {
                outputs = flow.action.outputs.as_slice();
            }
            done = &flow.action;
            from_flow = Some(flow);
        }
        // What a tool declares itself it offers, though it may feed a parameter of the flow that has the same name.
        let own = !input_parameters.is_empty();
        let asked: BTreeSet<&str> = names.inputs.values().flat_map(Fill::arguments).collect();
        let is_fed = |name: &&String| !own && !asked.contains(name.as_str());
        let fed: BTreeSet<String> = names.inputs.keys().filter(is_fed).cloned().collect();
        let mut arguments = self.declared(inputs, &fed)?;
        arguments.declared |= scene.used_as == Use::Resource;
        let mut target = None;
        let (plan, hints) = match &done.mode {
            Mode::Call(call) => {
                let found = self.target(scene, call)?;
                target = Some(found);
                self.with(&done.with, inputs, &mut names, found);
                let operation = self.operation(found, names, &mut arguments)?;
                (Plan::Call(Box::new(operation)), self.hints(&stated, found))
            }
            Mode::Steps(steps) => {
                let (steps, hints) = {
                    let written = WrittenSteps { steps, mappings: &done.mappings, stated: &stated };
                    self.steps(written, names, &mut arguments, scene)?
                };
                (Plan::Steps(steps), hints)
            }
            Mode::Mock => (Plan::Mock(self.mock(outputs, &names, &mut arguments)), hints::of_fixed_values(&stated)),
            Mode::Ref(reference) => {
                let message = "a flow cannot refer to another one; write its `call` or `steps` here";
                self.problems.push(Diagnostic::error(Code::UnsupportedFeature, reference.span, message));
                return None;
            }
        };
        if let Some(flow) = from_flow {
            self.check_fed(&action.with, flow, target);
        }
        self.check_unused(inputs, &fed, &plan);
        let description = self.description(tool, target, from_flow, scene.used_as);
        let shaped = match &plan {
            Plan::Call(_) => self.answer(outputs, target)?,
            Plan::Steps(steps) => self.composed(outputs, &steps.mappings)?,
            Plan::Mock(_) => self.composed(outputs, &[])?,
        };
        self.finish(Draft { tool, arguments, plan, hints, description, gate: scene.gate }, shaped, before)
    }

    /// The arguments that a tool declares itself.
    fn declared(&mut self, parameters: &[InputParameter], fed: &BTreeSet<String>) -> Option<Arguments> {
        let place = parameters.first().map(|first| first.name.span);
        let mut arguments = Arguments { declared: !parameters.is_empty(), place, list: Vec::new() };
        for parameter in parameters {
            let required = parameter.required.as_ref().is_none_or(|required| required.value);
            let schema = self.declared_schema(parameter)?;
            let name = names::argument(&parameter.name.value);
            if fed.contains(&name) {
                continue; // fed by the tool, no model is to
            }
            if arguments.has(&name) {
                let message = format!("the argument `{name}` is there already; the first one counts");
                self.problems.push(Diagnostic::warning(Code::DuplicateParameter, parameter.name.span, message));
                continue;
            }
            arguments.list.push(Argument { name, schema, required });
        }
        Some(arguments)
    }

    /// Reports what a tool feeds that its flow does not have.
    fn check_fed(&mut self, with: &[(Spanned<String>, Node)], flow: &Flow, target: Option<Target<'_>>) {
        let own = flow.input_parameters.iter().map(|parameter| parameter.name.value.as_str());
        let called = target.into_iter().flat_map(parameters).map(|parameter| parameter.name.value.as_str());
        let known: BTreeSet<&str> = own.chain(called).collect();
        if known.is_empty() && target.is_none() {
            return; // the steps may name anything
        }
        for (parameter, _) in with {
            let Spanned { value, span } = parameter;
            let in_path = target.is_some_and(|target| target.operation.path.value.contains(&format!("{{{value}}}")));
            if !known.contains(value.as_str()) && !in_path {
                let message = format!("the flow `{}` has no parameter `{value}`", flow.name.value);
                let problem = Diagnostic::warning(Code::UnknownField, *span, message);
                self.problems.push(problem.with_nearest(value, known.iter().copied()));
            }
        }
    }

    /// Reports arguments that a tool declares and nothing uses; what a tool feeds of its flow's is none of its own.
    fn check_unused(&mut self, inputs: &[InputParameter], fed: &BTreeSet<String>, plan: &Plan) {
        let used = plan.arguments();
        for declared in inputs {
            let Spanned { value, span } = &declared.name;
            let name = names::argument(value);
            if !fed.contains(&name) && !used.contains(name.as_str()) {
                let message = format!("argument `{value}` feeds no parameter of the operation; it is not sent");
                let help = format!("name it as the parameter, or write `with: {{PARAMETER: tools.{value}}}`");
                self.problems.push(Diagnostic::warning(Code::UnusedArgument, *span, message).with_help(help));
            }
        }
    }

    pub(super) fn hints(&mut self, stated: &spec::Hints, target: Target<'_>) -> Hints {
        let Operation { method, path, name, .. } = target.operation;
        hints::lower(stated, &method.value, &path.value, &name.value, &mut self.problems)
    }

    fn finish(&mut self, draft: Draft<'_>, shaped: (Shaping, OutputSchema), before: usize) -> Option<CompiledTool> {
        let Draft { tool, arguments, plan, hints, description, gate } = draft;
        let Tool { name, title, .. } = tool;
        let input = match InputSchema::new(arguments.list, &mut self.checker) {
            Ok(input) => input,
            Err(reason) => {
                let message = format!("the arguments of `{}` have an invalid schema: {reason}", name.value);
                self.problems.push(Diagnostic::error(Code::InvalidSchema, name.span, message));
                return None;
            }
        };
        if self.problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
            return None;
        }
        let (shaping, output) = shaped;
        Some(CompiledTool {
            name: names::offered(&name.value),
            title: title.as_ref().map_or_else(|| names::readable(&name.value), |title| title.value.clone()),
            description,
            hints,
            input,
            output,
            plan,
            shaping,
            gate,
        })
    }

    fn description(&mut self, tool: &Tool, target: Option<Target<'_>>, flow: Option<&Flow>, used_as: Use) -> String {
        let joined = target.and_then(|target| self.join(target));
        let texts = [
            tool.description.as_ref().map(|text| text.value.as_str()),
            flow.and_then(|flow| flow.description.as_ref()).map(|text| text.value.as_str()),
            target.and_then(|target| target.operation.description.as_ref()).map(|text| text.value.as_str()),
            joined.as_ref().and_then(|joined| joined.summary.as_deref()),
            joined.as_ref().and_then(|joined| joined.description.as_deref()),
        ];
        if let Some(text) = texts.into_iter().flatten().map(str::trim).find(|text| !text.is_empty()) {
            return text.to_owned();
        }
        let (what, name) = (used_as.noun(), &tool.name.value);
        let message = format!("{what} `{name}` has no description; a model cannot tell what it is for");
        self.problems.push(Diagnostic::warning(Code::MissingDescription, tool.name.span, message));
        match target {
            Some(target) => format!("{} {}", target.operation.method.value, target.operation.path.value),
            None => names::readable(&tool.name.value),
        }
    }

    pub(super) fn service(&self, target: Target<'_>) -> Option<Arc<Service>> {
        self.known_service(target).cloned()
    }

    pub(super) fn known_service(&self, target: Target<'_>) -> Option<&Arc<Service>> {
        self.services.get(&(target.index, target.consumes.namespace.value.clone()))
    }

    /// What an OpenAPI document or a JSON Schema beside the spec says of an operation.
    pub(super) fn join(&mut self, target: Target<'_>) -> Option<Arc<Joined>> {
        let Target { index, consumes, operation } = target;
        let sought = (index, place(consumes.namespace.span), place(operation.span));
        if let Some((known, joined)) = &self.joined
            && *known == sought
        {
            return joined.clone();
        }
        let spec = self.sources.name(operation.span.file).to_owned();
        let wanted = Wanted {
            spec: Path::new(&spec),
            namespace: &consumes.namespace.value,
            base_uri: consumes.base_uri.as_ref().map(|base| base.value.as_str()),
            operation: &operation.name.value,
            method: &operation.method.value,
            path: &operation.path.value,
        };
        let joined = self.joiner.join(&wanted, self.sources).map(Arc::new);
        self.joined = Some((sought, joined.clone()));
        joined
    }

    pub(super) fn resolve(&mut self, reference: &Spanned<String>) -> Option<Value> {
        match self.schemas.resolve(reference, self.sources) {
            Ok(schema) => Some(schema),
            Err(problem) => {
                // A broken schema file is reported once, at its own place; each reference at its line.
                if problem.primary.file != reference.span.file && !self.problems.contains(&problem) {
                    self.problems.push(*problem);
                    let message = format!("the schema `{}` cannot be used", reference.value);
                    self.problems.push(Diagnostic::error(Code::UnknownSchema, reference.span, message));
                } else {
                    self.problems.push(*problem);
                }
                None
            }
        }
    }

    fn warn_of_nothing(&mut self, document: &Document, tools: usize) {
        let offers = document.servers.iter().any(|server| !server.resources.is_empty() || !server.prompts.is_empty());
        let Document { file, consumes, servers, .. } = document;
        let failed = consumes.iter().any(|consumes| !consumes.left_out.is_empty())
            || servers.iter().any(|server| !server.left_out.is_empty() || !server.tools.is_empty());
        if tools == 0
            && !offers
            && !failed
            && !document.standalone
            && consumes.iter().all(|one| one.operations.is_empty())
        {
            let message = "this spec has no operation and no tool; nothing is offered";
            self.problems.push(Diagnostic::warning(Code::NoTools, Span::start_of(*file), message).with_source_hidden());
        }
    }
}

/// A tool of which everything but the answer is known.
struct Draft<'a> {
    tool: &'a Tool,
    arguments: Arguments,
    plan: Plan,
    hints: Hints,
    description: String,
    gate: Option<GateId>,
}

/// The tool of an operation that no tool calls.
fn generated_tool(consumes: &Consumes, operation: &Operation) -> Tool {
    let name = Spanned::new(names::snake_case(&operation.name.value), operation.name.span);
    let call = format!("{}.{}", consumes.namespace.value, operation.name.value);
    Tool {
        name,
        title: None,
        description: None,
        hints: spec::Hints::default(),
        input_parameters: Vec::new(),
        action: Action {
            mode: Mode::Call(Spanned::new(call, operation.name.span)),
            with: Vec::new(),
            mappings: Vec::new(),
            outputs: Vec::new(),
        },
        span: operation.span,
    }
}

fn place(span: Span) -> (FileId, usize) {
    (span.file, span.start)
}

impl Plan {
    /// The arguments that are used anywhere in it.
    fn arguments(&self) -> BTreeSet<&str> {
        let mut fills: Vec<&Fill> = self.operations().iter().flat_map(|operation| operation.request.fills()).collect();
        match self {
            Self::Call(_) => {}
            Self::Steps(steps) => fills.extend(steps.fills()),
            Self::Mock(fill) => fills.push(fill),
        }
        fills.iter().flat_map(|fill| fill.arguments()).collect()
    }
}

pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: IndexSet<&str> = names.collect();
    let names: Vec<String> = names.into_iter().take(20).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
