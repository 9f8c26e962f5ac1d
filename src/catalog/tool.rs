//! One tool, from what its spec writes to what is offered: mode, arguments, hints, description, answer. A continuation of
//! `compile.rs`.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use serde_json::{Value, json};

use super::{
    CompiledTool, InputSchema, LeftOutTool, OutputSchema,
    arguments::Arguments,
    compile::{Compiler, Scene, Target, Use},
    fill::Fill,
    flow::WrittenSteps,
    hints::{self, Called, Hints},
    input::Argument,
    interaction::Returned,
    lengths, names,
    path::WrittenPath,
    plan::{Plan, Shaping},
    request::RequestTemplate,
    resolve::Names,
    risk::{self, Assessed, Risk, Verdict, overriding, shapes::Shapes},
    title,
    wiring::parameters,
};
use crate::{
    access::GateId,
    diagnostic::{self, Code, Diagnostic, Span},
    openapi::as_deprecated,
    prose::tidy,
    sensitive::{self, Side},
    spec::{self, Action, Flow, InputParameter, McpServer, Mode, Operation, Spanned, Tool, yaml::Node},
};

impl Compiler<'_> {
    /// A tool or resource; where it has an error, that says that it is left out.
    pub(super) fn tool<'a>(
        &mut self,
        tool: &'a Tool,
        server: &'a McpServer,
        scene: &mut Scene<'a>,
    ) -> Option<CompiledTool> {
        let before = self.problems.len();
        let compiled = self.lowered(tool, server, scene);
        if compiled.is_none() {
            self.leave_out(&tool.name, scene.used_as, scene.gate, before);
        }
        compiled
    }

    /// Says of a tool or resource that it is left out, for the last error since there were so many problems before.
    pub(super) fn leave_out(&mut self, name: &Spanned<String>, used_as: Use, gate: Option<GateId>, before: usize) {
        let found = self.problems.get_mut(before..).unwrap_or_default();
        let reason = diagnostic::leave_out(found, used_as.noun(), &name.value).unwrap_or_else(|| {
            let reason = "its service was left out for an error of its own".to_owned();
            let message = format!("{reason}, so the {} `{}` is left out", used_as.noun(), name.value);
            self.problems.push(Diagnostic::error(Code::UnknownNamespace, name.span, message));
            (reason, name.span)
        });
        if used_as == Use::Tool {
            self.left_out(&name.value, gate, reason);
        }
    }

    /// Keeps why there is no tool of a name.
    pub(super) fn left_out(&mut self, name: &str, gate: Option<GateId>, (reason, place): (String, Span)) {
        let (line, _) = self.sources.position(place.file, place.start);
        let file = Path::new(self.sources.name(place.file)).file_name().unwrap_or_default().to_string_lossy();
        let left_out = LeftOutTool { reason: format!("{reason} ({file}, line {line})"), gate };
        self.gone.entry(names::offered(name)).or_insert_with(|| left_out.clone());
        self.gone.entry(name.to_owned()).or_insert(left_out);
    }

    /// A tool or resource; none where it has an error.
    pub(super) fn lowered<'a>(
        &mut self,
        tool: &'a Tool,
        server: &'a McpServer,
        scene: &mut Scene<'a>,
    ) -> Option<CompiledTool> {
        let before = self.problems.len();
        let Tool {
            name: _,
            title: _,
            description: _,
            hints: stated,
            input_parameters,
            input_schema: _,
            output_schema,
            action,
            span: _,
        } = tool;
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
        if scene.used_as == Use::Resource {
            arguments.declared = true;
            arguments.in_uri = true;
            self.infer_from_flow(from_flow, &names, &mut arguments);
        }
        let mut target = None;
        let (plan, of_parts) = match &done.mode {
            Mode::Call(call) => {
                let found = self.target(scene, call)?;
                target = Some(found);
                self.with(&done.with, inputs, &mut names, found);
                let mut operation = self.operation(found, names, &mut arguments)?;
                operation.max_binary_size = operation.max_binary_size.or(server.max_binary_size);
                (Plan::Call(Box::new(operation)), None)
            }
            Mode::Steps(steps) => {
                let (steps, hints) = {
                    let written = WrittenSteps { steps, mappings: &done.mappings, stated: &stated };
                    self.steps(written, names, &mut arguments, scene)?
                };
                (Plan::Steps(steps), Some(hints))
            }
            Mode::Mock => {
                (Plan::Mock(self.mock(outputs, &names, &mut arguments)), Some(hints::of_fixed_values(&stated)))
            }
            Mode::Ref(reference) => {
                let message = "a flow cannot refer to another one; write its `call` or `steps` here";
                self.problems.push(Diagnostic::error(Code::UnsupportedFeature, reference.span, message));
                return None;
            }
        };
        if scene.used_as == Use::Resource {
            arguments.untyped().for_each(|schema| *schema = json!({"type": "string"}));
        }
        if let Some(flow) = from_flow {
            self.check_fed(&action.with, flow, target);
        }
        // A schema that is offered as it is written may say more than is used.
        let unused = if tool.input_schema.is_some() { Vec::new() } else { self.check_unused(inputs, &fed, &plan) };
        for unsent in unused {
            // The placeholders of a URI are there in any case, and of fixed values none asks for an argument.
            if scene.used_as == Use::Tool && !matches!(plan, Plan::Mock(_)) {
                arguments.remove(&unsent);
            }
        }
        let description = self.description(tool, target, from_flow, scene.used_as);
        let name = match &plan {
            Plan::Call(_) => target.map(|target| target.operation.name.value.as_str()),
            Plan::Steps(_) | Plan::Mock(_) => None,
        };
        let shaped = match &plan {
            Plan::Call(_) => self.answer(outputs, target)?,
            Plan::Steps(steps) => match (steps.returned(), output_schema) {
                (Some(Returned::Result { structured: Some(_), .. }), Some(schema)) => {
                    (Shaping::default(), self.stated_output(schema)?)
                }
                (Some(Returned::Result { structured: Some(_), .. }), None) => (Shaping::default(), OutputSchema::any()),
                (Some(_), _) => (Shaping::default(), OutputSchema::none()),
                (None, _) if steps.always_fail() => (Shaping::default(), OutputSchema::none()),
                (None, _) => self.composed(outputs, &steps.mappings)?,
            },
            Plan::Mock(_) => self.composed(outputs, &[])?,
        };
        let shapes = match &tool.input_schema {
            Some(schema) => Shapes::of_schema(&schema.value),
            None => Shapes::of_arguments(arguments.iter()),
        };
        let shapes = shapes.answering(shaped.1.credentials());
        let own = &tool.name.value;
        let (hints, risk) = match (of_parts, target, &plan) {
            (Some(of_parts), _, _) => of_parts_together(of_parts, own, &shapes, &description),
            (None, Some(target), Plan::Call(operation)) => {
                let called = (target, Some(own.as_str()));
                let verdict = verdict(called, &operation.request, &arguments, (&shapes, &description));
                self.hints(&stated, called, verdict)
            }
            (None, _, _) => hints::of_fixed_values(&stated),
        };
        self.finish(
            Draft {
                tool,
                operation: name,
                arguments,
                plan,
                hints,
                risk,
                description,
                gate: scene.gate,
                group: Arc::clone(&scene.group),
            },
            shaped,
            before,
        )
    }

    /// The schema of structured content as the spec states it.
    fn stated_output(&mut self, schema: &Spanned<Value>) -> Option<OutputSchema> {
        match OutputSchema::stated(&schema.value, &mut self.checker) {
            Ok(output) => Some(output),
            Err(reason) => {
                let message = format!("`outputSchema` is not valid: {reason}");
                self.problems.push(Diagnostic::error(Code::InvalidSchema, schema.span, message));
                None
            }
        }
    }

    /// Gives the placeholders of a URI the types that a flow declares of what they feed.
    fn infer_from_flow(&mut self, flow: Option<&Flow>, names: &Names<'_>, arguments: &mut Arguments) {
        for parameter in flow.into_iter().flat_map(|flow| &flow.input_parameters).filter(|one| one.kind.is_some()) {
            let own = names::argument(&parameter.name.value);
            let fed = match names.inputs.get(&own) {
                Some(Fill::Argument(fed)) => fed.clone(),
                Some(_) => continue,
                None => own,
            };
            if let Some(schema) = self.declared_schema(parameter) {
                arguments.infer(&fed, &schema);
            }
        }
    }

    /// The arguments that a tool declares itself.
    fn declared(&mut self, parameters: &[InputParameter], fed: &BTreeSet<String>) -> Option<Arguments> {
        let place = parameters.first().map(|first| first.name.span);
        let mut arguments = Arguments::new(!parameters.is_empty(), place);
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
            arguments.add(Argument { name, schema, required });
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

    /// Reports arguments that a tool declares and nothing uses, and gives their names; what a tool feeds of its flow's is
    /// none of its own.
    fn check_unused(&mut self, inputs: &[InputParameter], fed: &BTreeSet<String>, plan: &Plan) -> Vec<String> {
        let used = plan.arguments();
        let mut unsent = Vec::new();
        for declared in inputs {
            let Spanned { value, span } = &declared.name;
            let name = names::argument(value);
            if !fed.contains(&name) && !used.contains(name.as_str()) {
                let message = format!("argument `{value}` feeds no parameter of the operation; it is not sent");
                let help = format!("name it as the parameter, or write `with: {{PARAMETER: tools.{value}}}`");
                self.problems.push(Diagnostic::warning(Code::UnusedArgument, *span, message).with_help(help));
                unsent.push(name);
            }
        }
        unsent
    }

    /// What a client may assume of a tool that calls this, and the class of its risk.
    pub(super) fn hints(
        &mut self,
        stated: &spec::Hints,
        called: (Target<'_>, Option<&str>),
        verdict: Verdict,
    ) -> (Hints, Assessed) {
        hints::lower(stated, words_of(called), verdict, &mut self.problems)
    }

    pub(super) fn finish(
        &mut self,
        draft: Draft<'_>,
        shaped: (Shaping, OutputSchema),
        before: usize,
    ) -> Option<CompiledTool> {
        let Draft { tool, operation, arguments, plan, hints, risk, description, gate, group } = draft;
        let Tool { name, title, .. } = tool;
        let input = match &tool.input_schema {
            Some(schema) => InputSchema::stated(&schema.value, &mut self.checker),
            None => {
                let mut arguments = arguments.into_list();
                mark_secrets(&mut arguments, &plan);
                InputSchema::new(arguments, &mut self.checker)
            }
        };
        let input = match input {
            Ok(input) => input.with_handles(self.handles),
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
        let title = match title {
            Some(title) => title.value.clone(),
            None => {
                // A request in place of a description tells a person nothing.
                let of_request =
                    plan.operations().first().is_some_and(|called| names::shown_request(&called.name) == description);
                title::of(&name.value, operation, Some(description.as_str()).filter(|_| !of_request))
            }
        };
        let title = lengths::title(title, ("tool", name), &mut self.problems);
        let description = lengths::description(description, ("tool", name), &mut self.problems);
        Some(CompiledTool {
            name: names::offered(&name.value),
            title,
            description,
            hints,
            risk,
            input,
            output,
            plan,
            shaping,
            gate,
            group,
        })
    }

    pub(super) fn description(
        &mut self,
        tool: &Tool,
        target: Option<Target<'_>>,
        flow: Option<&Flow>,
        used_as: Use,
    ) -> String {
        let joined = target.and_then(|target| self.join(target));
        let texts = [
            tool.description.as_ref().map(|text| text.value.as_str()),
            flow.and_then(|flow| flow.description.as_ref()).map(|text| text.value.as_str()),
            target.and_then(|target| target.operation.description.as_ref()).map(|text| text.value.as_str()),
        ];
        let own: Vec<&str> = texts.into_iter().flatten().map(str::trim).filter(|text| !text.is_empty()).collect();
        let operation = target.map(|target| target.operation.name.value.as_str());
        let says_more =
            |text: &&&str| !is_same(text, &tool.name.value) && !operation.is_some_and(|name| is_same(text, name));
        let (summary, told) = match &joined {
            Some(joined) => (joined.summary.as_deref(), joined.told.as_deref()),
            None => (None, None),
        };
        let is_deprecated = joined.as_ref().is_some_and(|joined| joined.deprecated);
        let best = own.iter().find(says_more);
        if let Some(text) = best.filter(|text| told.is_none() || !summary.is_some_and(|summary| is_same(text, summary)))
        {
            let text = tidy(text).into_owned();
            return if is_deprecated { as_deprecated(text) } else { text };
        }
        if let Some(text) = told.or_else(|| own.first().copied()) {
            return tidy(text).into_owned();
        }
        let (what, name) = (used_as.noun(), &tool.name.value);
        let message = format!("{what} `{name}` has no description; a model cannot tell what it is for");
        self.problems.push(Diagnostic::warning(Code::MissingDescription, tool.name.span, message));
        match target {
            Some(target) => {
                let Operation { method, path, .. } = target.operation;
                names::shown_request(&format!("{} {}", method.value, WrittenPath::split(&path.value).path))
            }
            None => names::readable(&tool.name.value),
        }
    }
}

/// Marks arguments whose names say that they are secret. What stands in a path is the name of something, as in
/// `/secrets/{secret}`.
fn mark_secrets(arguments: &mut [Argument], plan: &Plan) {
    let in_path: BTreeSet<&str> =
        plan.every_operation().flat_map(|operation| operation.request.path.fills()).flat_map(Fill::arguments).collect();
    for argument in arguments {
        sensitive::mark(&mut argument.schema, Side::Input);
        if !in_path.contains(argument.name.as_str()) {
            sensitive::mark_named(&argument.name, &mut argument.schema, Side::Input);
        }
    }
}

/// What an operation does as a tool calls it; without the name of a tool as a step or on the way. `shown` is what the
/// arguments of the tool are called and what its author says of it. What is not to change anything is judged by what it
/// sends, whatever the tool calls that.
pub(super) fn verdict(
    called: (Target<'_>, Option<&str>),
    request: &RequestTemplate,
    arguments: &Arguments,
    shown: (&Shapes, &str),
) -> Verdict {
    let (shapes, said) = shown;
    let is_safe = risk::is_safe(&called.0.operation.method.value);
    let sent = is_safe.then(|| Shapes::of_request(request, arguments));
    risk::assess_sent(words_of(called), sent.as_ref().unwrap_or(shapes), said, &overriding::meant(request))
}

fn words_of<'a>((target, tool): (Target<'a>, Option<&'a str>)) -> Called<'a> {
    let Operation { method, path, name, .. } = target.operation;
    Called { method: &method.value, path: &path.value, operation: &name.value, tool }
}

/// What several parts do together that change something: at worst what the worst of them does, or what the name, the
/// arguments and the answer of the whole tell.
fn of_parts_together(
    (hints, assessed): (Hints, Assessed),
    tool: &str,
    shapes: &Shapes,
    description: &str,
) -> (Hints, Assessed) {
    if assessed.class == Risk::Read {
        return (hints, assessed);
    }
    let called = Called { method: "POST", path: "", operation: tool, tool: None };
    let Verdict { assessed: whole, destroys, .. } = risk::assess(called, shapes, description);
    let assessed = assessed.worse(whole);
    let hints = Hints { destructive: hints.destructive || destroys, ..hints };
    (hints.of_class(assessed.class), assessed)
}

/// Whether two texts are the same words, however they are written: `create-secret` and `Create secret.`.
fn is_same(one: &str, other: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(|one| one.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    letters(one) == letters(other)
}

/// A tool of which everything but the answer is known.
pub(super) struct Draft<'a> {
    pub(super) tool: &'a Tool,
    /// The name of the operation, where it is all that the tool calls.
    pub(super) operation: Option<&'a str>,
    pub(super) arguments: Arguments,
    pub(super) plan: Plan,
    pub(super) hints: Hints,
    pub(super) risk: Assessed,
    pub(super) description: String,
    pub(super) gate: Option<GateId>,
    pub(super) group: Arc<str>,
}

impl Plan {
    /// The arguments that are used anywhere in it.
    fn arguments(&self) -> BTreeSet<&str> {
        let mut fills: Vec<&Fill> = self.every_operation().flat_map(|operation| operation.request.fills()).collect();
        match self {
            Self::Call(_) => {}
            Self::Steps(steps) => fills.extend(steps.fills()),
            Self::Mock(fill) => fills.push(fill),
        }
        fills.iter().flat_map(|fill| fill.arguments()).collect()
    }
}
