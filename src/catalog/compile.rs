//! Compiling: names resolved, types joined in, templates built. Reports every problem, keeps every tool that stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    rc::Rc,
    sync::Arc,
};

use indexmap::IndexSet;
use serde_json::Value;

use super::{
    Catalog, CompiledTool, Freshness, LeftOutTool, Service,
    arguments::Arguments,
    collected::Collected,
    folder::Reach,
    gate::{gate_of, gate_of_rest, open_elsewhere},
    group::Groups,
    join::{Joined, Joiner, Wanted},
    lookup::Index,
    names,
    plan::Plan,
    prompt,
    resolve::Names,
    resource,
    risk::shapes::Shapes,
    tool::{Draft, verdict},
};
use crate::{
    access::GateId,
    diagnostic::{Code, Diagnostic, FileId, SourceMap, Span},
    schema::{Checker, SchemaStore},
    spec::{self, Action, Aggregate, Consumes, Document, LeftOut, Mode, Operation, Spanned, Tool, Workspace},
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
    /// Whether secrets among arguments are given by handles.
    pub handles: bool,
}

/// Compiles all tools, resources and prompts of a workspace. One with an error is left out; what else was found is in the
/// diagnostics.
pub fn compile(parts: Parts<'_>) -> (Catalog, Vec<Diagnostic>) {
    let Parts { workspace, services, variables, schemas, joiner, sources, handles } = parts;
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
        gone: BTreeMap::new(),
        handles,
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
    open_elsewhere(&compiled, &mut compiler.problems);
    let mut collected = Collected::default();
    for (tool, name) in compiled.into_iter().flatten() {
        collected.add(tool, &name, &mut compiler.problems);
    }
    let mut catalog = collected.into_catalog();
    catalog.resources = resource::collect(resources, &mut compiler.problems);
    catalog.prompts = prompt::collect(prompts, &mut compiler.problems);
    catalog.left_out = compiler.gone;
    catalog.freshness = freshness(workspace);
    (catalog, compiler.problems)
}

/// What one document offers.
struct Offers {
    tools: Vec<(CompiledTool, Spanned<String>)>,
    resources: Vec<(resource::CompiledResource, Spanned<String>)>,
    prompts: Vec<prompt::Lowered>,
}

/// What compiling works with. Names are looked up in `lookup.rs`, tools lowered in `tool.rs`, operations in
/// `wiring.rs`, flows in `flow.rs`, answers in `shaping.rs`.
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
    pub(super) called: BTreeSet<(FileId, usize)>,
    /// The tools that were left out, by name.
    pub(super) gone: BTreeMap<String, LeftOutTool>,
    /// Whether secrets among arguments are given by handles.
    pub(super) handles: bool,
}

/// A service of a document and the place of an operation.
type Sought = (usize, (FileId, usize), (FileId, usize));

/// What a tool calls, with everything around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) index: usize,
    pub(super) consumes: &'a Consumes,
    pub(super) operation: &'a Operation,
}

/// What the tools of a document are compiled with.
pub(super) struct Scene<'a> {
    pub(super) index: usize,
    pub(super) consumes: Vec<&'a Consumes>,
    /// The namespaces of services that were left out for an error.
    pub(super) left_out: &'a [Spanned<String>],
    pub(super) aggregates: &'a [Aggregate],
    /// Services, operations and flows by name.
    pub(super) index_of: Rc<Index<'a>>,
    /// Namespaces whose import failed.
    pub(super) missing: &'a [Spanned<String>],
    /// The gate before the server whose tools are compiled.
    pub(super) gate: Option<GateId>,
    /// The group of what that server offers.
    pub(super) group: Arc<str>,
    pub(super) used_as: Use,
    /// How often each operation was called so far, for operations that share a name.
    pub(super) calls: BTreeMap<String, usize>,
}

/// What an action is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A tool, whose arguments a model gives.
    Tool,
    /// A resource, whose arguments are in its URI: there are no others.
    Resource,
    /// A prompt, whose arguments are texts that a person gives.
    Prompt,
}

impl Use {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
            Self::Prompt => "prompt",
        }
    }
}

impl Scene<'_> {
    /// The same for another use. Which operations were called how often does not go with it.
    pub(super) fn for_use(&self, used_as: Use) -> Scene<'_> {
        let Self { index, consumes, left_out, aggregates, index_of, missing, gate, group, used_as: _, calls: _ } = self;
        let (consumes, calls) = (consumes.clone(), BTreeMap::new());
        let (index_of, group) = (Rc::clone(index_of), Arc::clone(group));
        Scene { index: *index, consumes, left_out, aggregates, index_of, missing, gate: *gate, group, used_as, calls }
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
        let index_of = Rc::new(Index::new(&consumes, aggregates));
        let (groups, group) = (Groups::of(document, self.sources), Arc::default());
        let mut scene = Scene { index, consumes, left_out, aggregates, index_of, missing, gate, group, used_as, calls };
        let (mut tools, mut resources, mut prompts) = (Vec::new(), Vec::new(), Vec::new());
        for (position, server) in servers.iter().enumerate() {
            scene.gate = gate_of(document, position, self.sources);
            scene.group = groups.of_server(position);
            for LeftOut { name, call: _, reason } in &server.left_out {
                if let (Some(name), Some(reason)) = (name, reason) {
                    self.left_out(&name.value, scene.gate, (reason.value.clone(), reason.span));
                }
            }
            for tool in &server.tools {
                tools.extend(self.tool(tool, server, &mut scene).map(|compiled| (compiled, tool.name.clone())));
            }
            resources.extend(self.resources(server, &scene, reach));
            prompts.extend(self.prompts(server, &scene, reach));
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
        let left_out: BTreeSet<&str> = document
            .servers
            .iter()
            .flat_map(|server| &server.left_out)
            .filter_map(|tool| tool.call.as_deref())
            .collect();
        let groups = Groups::of(document, self.sources);
        for consumed in &document.consumes {
            if !namespaces.insert(consumed.namespace.value.as_str()) {
                continue; // reported as a duplicate
            }
            for Spanned { value, span } in &consumed.left_out {
                let reason = "its operation has an error of its own".to_owned();
                self.left_out(&names::snake_case(value), gate, (reason, *span));
            }
            for operation in &consumed.operations {
                let call = format!("{}.{}", consumed.namespace.value, operation.name.value);
                let loaded = files.contains(&operation.span.file);
                if !loaded || left_out.contains(call.as_str()) || !self.called.insert(place(operation.span)) {
                    continue;
                }
                let target = Target { index, consumes: consumed, operation };
                let tool = generated_tool(consumed, operation);
                let before = self.problems.len();
                let names = Names::new(index, self.variables, Vec::new());
                let mut arguments = Arguments::default();
                let Some(compiled) = self.operation(target, names, &mut arguments) else {
                    self.leave_out(&tool.name, Use::Tool, gate, before);
                    continue;
                };
                let described = self.description(&tool, Some(target), None, Use::Tool);
                let shaped = self.answer(&[], Some(target));
                let answered = shaped.as_ref().map(|(_, output)| output.credentials()).unwrap_or_default();
                let shapes = Shapes::of_arguments(arguments.iter()).answering(answered);
                let verdict = verdict((target, None), &compiled.request, &arguments, (&shapes, &described));
                let (hints, risk) = self.hints(&tool.hints, (target, None), verdict);
                let plan = Plan::Call(Box::new(compiled));
                let draft = Draft {
                    tool: &tool,
                    operation: Some(&operation.name.value),
                    arguments,
                    plan,
                    hints,
                    risk,
                    description: described,
                    gate,
                    group: groups.of_service(&consumed.namespace.value),
                };
                match shaped.and_then(|shaped| self.finish(draft, shaped, before)) {
                    Some(compiled) => tools.push((compiled, tool.name)),
                    None => self.leave_out(&tool.name, Use::Tool, gate, before),
                }
            }
        }
        tools
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

/// What the servers of all documents say of how fresh their lists are; they are listed together.
fn freshness(workspace: &Workspace) -> Freshness {
    let servers = || workspace.documents.iter().flat_map(|document| &document.servers);
    let is_public = |server: &spec::McpServer| server.cache_scope == Some(spec::CacheScope::Public);
    Freshness {
        ttl_ms: servers().filter_map(|server| server.ttl_ms).min(),
        is_public: servers().next().is_some() && servers().all(is_public),
    }
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
        input_schema: None,
        output_schema: None,
        action: Action {
            mode: Mode::Call(Spanned::new(call, operation.name.span)),
            with: Vec::new(),
            mappings: Vec::new(),
            outputs: Vec::new(),
        },
        span: operation.span,
    }
}

pub(super) fn place(span: Span) -> (FileId, usize) {
    (span.file, span.start)
}

pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut unique: IndexSet<&str> = IndexSet::new();
    for name in names {
        unique.insert(name);
        if unique.len() == 20 {
            break;
        }
    }
    let names: Vec<String> = unique.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
