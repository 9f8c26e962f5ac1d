//! Compiling: names resolved, schemas joined, templates built. Reports every problem, keeps every tool that stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::Value;

use super::{
    Catalog, CompiledTool, InputSchema, OutputSchema, Service,
    gate::{gate_of, gate_of_rest},
    hints, names,
    wiring::Wiring,
};
use crate::{
    access::GateId,
    diagnostic::{Code, Diagnostic, SourceMap, Span},
    schema::SchemaStore,
    spec::{Consumes, Document, Operation, OutputParameter, Spanned, Tool, Workspace},
};

/// The resolved services: document (its place in the workspace) and namespace → service.
pub type Services = BTreeMap<(usize, String), Arc<Service>>;

/// Compiles all tools of a workspace. A tool with an error is left out; what else was found is in the diagnostics.
pub fn compile(
    workspace: &Workspace,
    schemas: &mut SchemaStore,
    services: &Services,
    sources: &mut SourceMap,
) -> (Catalog, Vec<Diagnostic>) {
    let mut compiler = Compiler { schemas, services, sources, gate: None, problems: Vec::new() };
    let mut collected = Collected::default();
    for (index, document) in workspace.documents.iter().enumerate() {
        for (tool, name) in compiler.document(index, document) {
            collected.add(tool, &name, &mut compiler.problems);
        }
    }
    let Collected { tools, aliases, places: _ } = collected;
    (Catalog { tools, aliases }, compiler.problems)
}

/// The tools so far, under the names they are offered.
#[derive(Default)]
struct Collected {
    tools: IndexMap<String, CompiledTool>,
    aliases: BTreeMap<String, String>,
    /// Where each tool stands.
    places: BTreeMap<String, Span>,
}

impl Collected {
    /// Adds a tool: merged with one that makes the same request, told apart from one that makes another.
    fn add(&mut self, mut tool: CompiledTool, name: &Spanned<String>, problems: &mut Vec<Diagnostic>) {
        let Spanned { value: own, span } = name;
        if tool.name != *own {
            let message = format!("clients refuse the tool name `{own}`; it is offered as `{}`", tool.name);
            problems.push(Diagnostic::note(Code::RenamedTool, *span, message));
        }
        if let Some(first) = self.tools.get(&tool.name) {
            let place = self.places.get(&tool.name).copied().unwrap_or(*span);
            if first.makes_same_request(&tool) {
                let message = format!("`{}` makes the same request as the tool of this name; they are one", tool.name);
                let problem = Diagnostic::note(Code::DuplicateTool, *span, message);
                problems.push(problem.with_secondary(place, "the first one"));
                let careful = first.hints.careful(tool.hints);
                if let Some(first) = self.tools.get_mut(&tool.name) {
                    first.hints = careful;
                }
                return;
            }
            let taken = std::mem::replace(&mut tool.name, names::told_apart(&tool.service.namespace, own));
            let message = format!("a tool named `{taken}` is there already; this one is offered as `{}`", tool.name);
            let problem = Diagnostic::warning(Code::DuplicateTool, *span, message);
            problems.push(problem.with_secondary(place, "the first one"));
            if self.tools.contains_key(&tool.name) {
                let message =
                    format!("tools named `{taken}` and `{}` are there already; this one is left out", tool.name);
                problems.push(Diagnostic::error(Code::DuplicateTool, *span, message));
                return;
            }
        } else if tool.name != *own {
            self.aliases.insert(own.clone(), tool.name.clone());
        }
        self.places.insert(tool.name.clone(), *span);
        self.tools.insert(tool.name.clone(), tool);
    }
}

/// What compiling works with. Requests are lowered in `wiring.rs`.
pub(super) struct Compiler<'a> {
    schemas: &'a mut SchemaStore,
    services: &'a Services,
    sources: &'a mut SourceMap,
    /// The gate of the server that is compiled.
    gate: Option<GateId>,
    pub(super) problems: Vec<Diagnostic>,
}

/// What a tool calls, with everything around it.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    index: usize,
    pub(super) consumes: &'a Consumes,
    pub(super) operation: &'a Operation,
}

impl Compiler<'_> {
    fn document(&mut self, index: usize, document: &Document) -> Vec<(CompiledTool, Spanned<String>)> {
        let Document { file: _, version: _, info: _, binds: _, consumes, servers } = document;
        let consumes = self.unique(consumes);
        let mut called = BTreeSet::new();
        let mut tools = Vec::new();
        for (position, server) in servers.iter().enumerate() {
            self.gate = gate_of(document, position, self.sources);
            let namespace = server.namespace.as_ref().map(|namespace| namespace.value.as_str());
            for tool in &server.tools {
                let Some(target) = self.target(index, &consumes, &tool.call) else { continue };
                called.insert(std::ptr::from_ref(target.operation));
                tools.extend(self.tool(tool, namespace, target).map(|compiled| (compiled, tool.name.clone())));
            }
        }
        // An operation that no tool calls is offered all the same: a spec is for its operations. Not one whose tool was
        // left out, though: its author's hints would be lost.
        let left_out = |namespace: &str, operation: &str| {
            let call = format!("{namespace}.{operation}");
            servers.iter().any(|server| server.left_out.contains(&call))
        };
        self.gate = gate_of_rest(document, self.sources);
        for consumed in consumes {
            for operation in &consumed.operations {
                let named = left_out(&consumed.namespace.value, &operation.name.value);
                if !named && !called.contains(&std::ptr::from_ref(operation)) {
                    let target = Target { index, consumes: consumed, operation };
                    let tool = generated_tool(consumed, operation);
                    tools.extend(self.tool(&tool, None, target).map(|compiled| (compiled, tool.name)));
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
                    let message = format!("the operation `{value}` is there already; calls go to the first one");
                    let problem = Diagnostic::warning(Code::DuplicateOperation, *span, message);
                    self.problems.push(problem.with_secondary(*first, "the first one"));
                }
                operations.entry(value).or_insert(*span);
            }
        }
        unique
    }

    fn target<'a>(&mut self, index: usize, consumes: &[&'a Consumes], call: &Spanned<String>) -> Option<Target<'a>> {
        let Spanned { value, span } = call;
        let Some((namespace, operation)) = value.split_once('.') else {
            let message = format!("`call` must be `NAMESPACE.OPERATION`, found `{value}`");
            self.problems.push(Diagnostic::error(Code::InvalidValue, *span, message));
            return None;
        };
        let Some(consumed) = consumes.iter().find(|consumed| consumed.namespace.value == namespace) else {
            let known = consumes.iter().map(|consumed| consumed.namespace.value.as_str());
            let message = format!("unknown namespace `{namespace}`; this spec consumes {}", list(known.clone()));
            self.problems
                .push(Diagnostic::error(Code::UnknownNamespace, *span, message).with_nearest(namespace, known));
            return None;
        };
        let Some(found) = consumed.operations.iter().find(|found| found.name.value == operation) else {
            if let Some(left_out) = consumed.left_out.iter().find(|left_out| left_out.value == operation) {
                let message =
                    format!("the operation `{operation}` was left out for an error of its own, so this tool is");
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
        Some(Target { index, consumes: consumed, operation: found })
    }

    fn tool(&mut self, tool: &Tool, server: Option<&str>, target: Target<'_>) -> Option<CompiledTool> {
        let before = self.problems.len();
        let Tool { name, title, description, hints, call: _, with, input_parameters, output_parameters, span } = tool;
        let Operation {
            name: operation,
            method,
            path,
            description: _,
            input_parameters: _,
            output_parameters: _,
            span: _,
        } = target.operation;
        let key = (target.index, target.consumes.namespace.value.clone());
        let service = Arc::clone(self.services.get(&key)?);
        let wiring = Wiring { declared: input_parameters, with: self.with(with, server, target), service: &service };
        let (request, arguments) = self.request(&wiring, target)?;
        let input = match InputSchema::new(&arguments) {
            Ok(input) => input,
            Err(reason) => {
                let message = format!("the arguments of `{}` have an invalid schema: {reason}", name.value);
                self.problems.push(Diagnostic::error(Code::InvalidSchema, *span, message));
                return None;
            }
        };
        let output = self.output(output_parameters, target.operation);
        let hints = hints::lower(hints, &method.value, &path.value, &operation.value, &mut self.problems);
        let description = self.description(description.as_ref(), tool, target.operation);
        if self.problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
            return None;
        }
        Some(CompiledTool {
            name: names::offered(&name.value),
            title: title.as_ref().map_or_else(|| names::readable(&name.value), |title| title.value.clone()),
            description,
            hints,
            input,
            output: output?,
            request,
            operation: format!("{} {}", method.value, path.value),
            service,
            gate: self.gate,
        })
    }

    fn description(&mut self, own: Option<&Spanned<String>>, tool: &Tool, operation: &Operation) -> String {
        let text = own.or(operation.description.as_ref()).map(|text| text.value.trim()).unwrap_or_default();
        if text.is_empty() {
            let message = format!("tool `{}` has no description; a model cannot tell what it is for", tool.name.value);
            self.problems.push(Diagnostic::warning(Code::MissingDescription, tool.name.span, message));
            return format!("{} {}", operation.method.value, operation.path.value);
        }
        text.to_owned()
    }

    fn output(&mut self, own: &[OutputParameter], operation: &Operation) -> Option<OutputSchema> {
        for parameter in own.iter().chain(&operation.output_parameters) {
            let OutputParameter { schema: _, pass_through, span } = parameter;
            if !pass_through {
                let message = "shaping of answers is not run by this version; only `type: object, mapping: $.` is";
                self.problems.push(Diagnostic::error(Code::UnsupportedFeature, *span, message));
            }
        }
        let reference = own.iter().chain(&operation.output_parameters).find_map(|output| output.schema.as_ref());
        let Some(reference) = reference else { return OutputSchema::any().ok() };
        let schema = self.resolve(reference)?;
        match OutputSchema::new(schema) {
            Ok(output) => Some(output),
            Err(reason) => {
                let message = format!("the schema `{}` is not valid: {reason}", reference.value);
                self.problems.push(Diagnostic::error(Code::InvalidSchema, reference.span, message));
                None
            }
        }
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
}

/// The tool of an operation that no tool calls.
fn generated_tool(consumes: &Consumes, operation: &Operation) -> Tool {
    let name = Spanned::new(names::snake_case(&operation.name.value), operation.name.span);
    let call = format!("{}.{}", consumes.namespace.value, operation.name.value);
    Tool {
        name,
        title: None,
        description: None,
        hints: crate::spec::Hints::default(),
        call: Spanned::new(call, operation.name.span),
        with: Vec::new(),
        input_parameters: Vec::new(),
        output_parameters: Vec::new(),
        span: operation.span,
    }
}

pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.take(20).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
