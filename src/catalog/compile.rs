//! Compiling: names resolved, schemas joined, templates built. Reports every problem, keeps every tool that stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{HeaderName, Method};
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{
    Catalog, CompiledTool, InputSchema, OutputSchema, RequestTemplate, Service, hints,
    input::Argument,
    names,
    request::{BodyTemplate, Fill, PathTemplate},
};
use crate::{
    diagnostic::{Code, Diagnostic, SourceMap, Span},
    schema::SchemaStore,
    spec::{
        Consumes, Document, InputParameter, Location, Operation, OutputParameter, Spanned, Tool, WithValue, Workspace,
    },
};

/// The resolved services: document (its place in the workspace) and namespace → service.
pub type Services = BTreeMap<(usize, String), Arc<Service>>;

/// Headers that the program sets itself; parameters of these names are no arguments.
const OWN_HEADERS: [&str; 8] =
    ["authorization", "accept", "content-type", "content-length", "host", "connection", "transfer-encoding", "cookie"];

/// Compiles all tools of a workspace. A tool with an error is left out; what else was found is in the diagnostics.
pub fn compile(
    workspace: &Workspace,
    schemas: &mut SchemaStore,
    services: &Services,
    sources: &mut SourceMap,
) -> (Catalog, Vec<Diagnostic>) {
    let mut compiler = Compiler { schemas, services, sources, problems: Vec::new() };
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

struct Compiler<'a> {
    schemas: &'a mut SchemaStore,
    services: &'a Services,
    sources: &'a mut SourceMap,
    problems: Vec<Diagnostic>,
}

/// What a tool calls, with everything around it.
#[derive(Clone, Copy)]
struct Target<'a> {
    index: usize,
    consumes: &'a Consumes,
    operation: &'a Operation,
}

impl Compiler<'_> {
    fn document(&mut self, index: usize, document: &Document) -> Vec<(CompiledTool, Spanned<String>)> {
        let Document { file: _, version: _, info: _, binds: _, consumes, servers } = document;
        self.check_unique(consumes);
        let mut called = BTreeSet::new();
        let mut tools = Vec::new();
        for server in servers {
            let namespace = server.namespace.as_ref().map(|namespace| namespace.value.as_str());
            for tool in &server.tools {
                let Some(target) = self.target(index, consumes, &tool.call) else { continue };
                called.insert(std::ptr::from_ref(target.operation));
                tools.extend(self.tool(tool, namespace, target).map(|compiled| (compiled, tool.name.clone())));
            }
        }
        // An operation that no tool calls is offered all the same: a spec is for its operations.
        for consumed in consumes {
            for operation in &consumed.operations {
                if !called.contains(&std::ptr::from_ref(operation)) {
                    let target = Target { index, consumes: consumed, operation };
                    let tool = generated_tool(consumed, operation);
                    tools.extend(self.tool(&tool, None, target).map(|compiled| (compiled, tool.name)));
                }
            }
        }
        tools
    }

    fn check_unique(&mut self, consumes: &[Consumes]) {
        let mut namespaces: BTreeMap<&str, Span> = BTreeMap::new();
        for consumed in consumes {
            let Spanned { value, span } = &consumed.namespace;
            if let Some(first) = namespaces.get(value.as_str()) {
                let message = format!("the namespace `{value}` is consumed twice; calls go to the first one");
                let problem = Diagnostic::error(Code::DuplicateNamespace, *span, message);
                self.problems.push(problem.with_secondary(*first, "the first one"));
            }
            namespaces.entry(value).or_insert(*span);
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
    }

    fn target<'a>(&mut self, index: usize, consumes: &'a [Consumes], call: &Spanned<String>) -> Option<Target<'a>> {
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
        let with = self.with(with, server, target);
        let (request, arguments) = self.request(input_parameters, &with, target)?;
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
        let service = self.services.get(&(target.index, target.consumes.namespace.value.clone())).cloned();
        if self.problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
            return None;
        }
        Some(CompiledTool {
            name: names::offered(&name.value),
            title: title.as_ref().map_or_else(|| readable(&name.value), |title| title.value.clone()),
            description,
            hints,
            input,
            output,
            request,
            operation: format!("{} {}", method.value, path.value),
            service: service?,
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

    /// What feeds each parameter of the operation that `with` names.
    fn with(
        &mut self,
        with: &[(Spanned<String>, Spanned<WithValue>)],
        server: Option<&str>,
        target: Target<'_>,
    ) -> BTreeMap<String, Fill> {
        let mut fills = BTreeMap::new();
        let placeholders = PathTemplate::parse(&target.operation.path.value).ok();
        let placeholders: Vec<&str> = placeholders.iter().flat_map(PathTemplate::placeholders).collect();
        for (parameter, value) in with {
            let mut known: Vec<&str> = parameters(target).map(|parameter| parameter.name.value.as_str()).collect();
            known.extend(&placeholders);
            if !known.contains(&parameter.value.as_str()) {
                let message = format!("the operation has no parameter `{}`", parameter.value);
                self.problems.push(
                    Diagnostic::warning(Code::UnknownField, parameter.span, message)
                        .with_nearest(&parameter.value, known),
                );
            }
            let fill = match &value.value {
                WithValue::Literal(literal) => Fill::Literal(literal.clone()),
                WithValue::Text(text) if text.contains("{{") => {
                    let message = "templates in `with` are not run by this version; name an argument: `tools.ARGUMENT`";
                    self.problems.push(Diagnostic::error(Code::UnsupportedFeature, value.span, message));
                    continue;
                }
                WithValue::Text(text) => argument_reference(text, server)
                    .map_or_else(|| Fill::Literal(Value::from(text.as_str())), |name| Fill::Argument(name.to_owned())),
            };
            fills.insert(parameter.value.clone(), fill);
        }
        fills
    }

    /// The request of a tool and its arguments: those it declares, else one for each parameter of its operation.
    fn request(
        &mut self,
        declared: &[InputParameter],
        with: &BTreeMap<String, Fill>,
        target: Target<'_>,
    ) -> Option<(RequestTemplate, Vec<Argument>)> {
        let (method, path) = (&target.operation.method, &target.operation.path);
        let template = PathTemplate::parse(&path.value);
        let template = template.map_err(|problem| {
            let message = format!("the path `{}` {problem}", path.value);
            self.problems.push(Diagnostic::error(Code::InvalidPath, path.span, message));
        });
        let mut request = RequestTemplate {
            method: Method::from_bytes(method.value.as_bytes()).ok()?,
            path: template.ok()?,
            query: Vec::new(),
            headers: Vec::new(),
            body: BodyTemplate::None,
        };
        let mut arguments = Arguments { declared: !declared.is_empty(), list: Vec::new() };
        for parameter in declared {
            let required = parameter.required.as_ref().is_none_or(|required| required.value);
            let schema = self.parameter_schema(parameter)?;
            arguments.list.push(Argument { name: parameter.name.value.clone(), schema, required });
        }
        self.path_parameters(&mut request.path, &mut arguments, with, target)?;
        let mut body = Vec::new();
        for parameter in parameters(target) {
            let Some(location) = &parameter.location else {
                let message =
                    format!("parameter `{}` needs `in`: `path`, `query`, `header` or `body`", parameter.name.value);
                self.problems.push(Diagnostic::error(Code::MissingField, parameter.name.span, message));
                continue;
            };
            match location.value {
                Location::Path => {}
                Location::Body => body.push(parameter),
                Location::Query => {
                    if let Some(fill) = self.slot(parameter, &mut arguments, with) {
                        request.query.push((parameter.name.value.clone(), fill));
                    }
                }
                Location::Header => {
                    let name = parameter.name.value.to_ascii_lowercase();
                    if OWN_HEADERS.contains(&name.as_str()) {
                        continue;
                    }
                    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                        let message = format!("`{}` is not a name that an HTTP header can have", parameter.name.value);
                        self.problems.push(Diagnostic::error(Code::InvalidValue, parameter.name.span, message));
                        continue;
                    };
                    if let Some(fill) = self.slot(parameter, &mut arguments, with) {
                        request.headers.push((header, fill));
                    }
                }
            }
        }
        request.body = self.body(&body, &mut arguments, with)?;
        Some((request, arguments.list))
    }

    fn path_parameters(
        &mut self,
        path: &mut PathTemplate,
        arguments: &mut Arguments,
        with: &BTreeMap<String, Fill>,
        target: Target<'_>,
    ) -> Option<()> {
        let placeholders: Vec<String> = path.placeholders().map(str::to_owned).collect();
        let span = target.operation.path.span;
        let in_path = |parameter: &&InputParameter| {
            parameter.location.as_ref().is_some_and(|location| location.value == Location::Path)
        };
        for parameter in parameters(target).filter(in_path) {
            if !placeholders.contains(&parameter.name.value) {
                let message = format!("path parameter `{}` does not occur in the path", parameter.name.value);
                let problem = Diagnostic::warning(Code::UnusedPathParameter, parameter.name.span, message);
                self.problems.push(problem.with_secondary(span, "the path"));
            }
        }
        for placeholder in placeholders {
            let parameter = parameters(target).filter(in_path).find(|parameter| parameter.name.value == placeholder);
            if parameter.is_none() && !arguments.declared {
                let message =
                    format!("path parameter `{placeholder}` is not declared; it is taken as a required string");
                self.problems.push(Diagnostic::note(Code::UndeclaredPathParameter, span, message));
            }
            let fill = match (with.get(&placeholder), parameter.and_then(|parameter| parameter.value.as_ref())) {
                (Some(fill), _) => fill.clone(),
                (None, Some(value)) => Fill::Literal(Value::from(value.value.as_str())),
                (None, None) => Fill::Argument(placeholder.clone()),
            };
            path.fill(&placeholder, &fill);
            let Fill::Argument(name) = &fill else { continue };
            if arguments.declared {
                if !arguments.has(name) {
                    let message =
                        format!("no argument feeds `{placeholder}` of the path; declare `{name}` or set it by `with`");
                    self.problems.push(Diagnostic::error(Code::UndeclaredPathParameter, span, message));
                    return None;
                }
            } else if !arguments.has(name) {
                let schema = match parameter {
                    Some(parameter) => self.parameter_schema(parameter)?,
                    None => json!({"type": "string"}),
                };
                arguments.list.push(Argument { name: name.clone(), schema, required: true });
            }
        }
        Some(())
    }

    /// What fills a query or header slot, with its argument added where the tool declares none itself.
    fn slot(
        &mut self,
        parameter: &InputParameter,
        arguments: &mut Arguments,
        with: &BTreeMap<String, Fill>,
    ) -> Option<Fill> {
        let fill = self.fill(parameter, with)?;
        let Fill::Argument(name) = &fill else { return Some(fill) };
        if arguments.has(name) {
            return Some(fill);
        }
        if arguments.declared {
            return None; // not offered by the tool: the slot stays empty
        }
        let required = parameter.required.as_ref().is_some_and(|required| required.value);
        let schema = self.parameter_schema(parameter)?;
        arguments.list.push(Argument { name: name.clone(), schema, required });
        Some(fill)
    }

    fn fill(&mut self, parameter: &InputParameter, with: &BTreeMap<String, Fill>) -> Option<Fill> {
        if let Some(fill) = with.get(&parameter.name.value) {
            return Some(fill.clone());
        }
        match &parameter.value {
            None => Some(Fill::Argument(parameter.name.value.clone())),
            Some(value) if value.value.contains("{{") => {
                let message = "templates in `value` are not run by this version";
                self.problems.push(Diagnostic::error(Code::UnsupportedFeature, value.span, message));
                None
            }
            Some(value) => Some(Fill::Literal(Value::from(value.value.as_str()))),
        }
    }

    /// The body: one parameter named `body` is the whole body, its members becoming arguments of their own where its
    /// schema names them and no name is taken; parameters of other names are members of an object.
    fn body(
        &mut self,
        parameters: &[&InputParameter],
        arguments: &mut Arguments,
        with: &BTreeMap<String, Fill>,
    ) -> Option<BodyTemplate> {
        match parameters {
            [] => Some(BodyTemplate::None),
            [whole] if whole.name.value == "body" => {
                let fill = self.fill(whole, with)?;
                let schema = self.parameter_schema(whole)?;
                let flat = flat_members(&schema, arguments);
                match (&fill, flat) {
                    (Fill::Argument(name), Some(members)) if !arguments.declared && name == "body" => {
                        let slots =
                            members.iter().map(|member| (member.name.clone(), Fill::Argument(member.name.clone())));
                        let slots = slots.collect();
                        arguments.list.extend(members);
                        Some(BodyTemplate::Members(slots))
                    }
                    _ => Some(self.slot(whole, arguments, with).map_or(BodyTemplate::None, BodyTemplate::Whole)),
                }
            }
            members => {
                let slots = members
                    .iter()
                    .filter_map(|member| Some((member.name.value.clone(), self.slot(member, arguments, with)?)));
                Some(BodyTemplate::Members(slots.collect()))
            }
        }
    }

    /// The schema of a parameter: the one it names, else one made of its `type`; with its own description.
    fn parameter_schema(&mut self, parameter: &InputParameter) -> Option<Value> {
        let InputParameter { name: _, location: _, kind, description, required: _, value: _, schema } = parameter;
        let mut schema = match schema {
            Some(reference) => self.resolve(reference)?,
            None => match kind.as_ref().map(|kind| (kind, kind.value.as_str())) {
                None => json!({"type": "string"}),
                Some((_, "array")) => json!({"type": "array", "items": {}}),
                Some((_, kind @ ("string" | "integer" | "number" | "boolean" | "object"))) => json!({"type": kind}),
                Some((kind, other)) => {
                    let known = ["string", "integer", "number", "boolean", "array", "object"];
                    let message = format!("unknown type `{other}`; expected {}", list(known.into_iter()));
                    let problem = Diagnostic::error(Code::InvalidValue, kind.span, message);
                    self.problems.push(problem.with_nearest(other, known));
                    return None;
                }
            },
        };
        if let (Some(description), Value::Object(members)) = (description, &mut schema) {
            members.insert("description".to_owned(), Value::from(description.value.trim()));
        }
        Some(schema)
    }

    fn output(&mut self, own: &[OutputParameter], operation: &Operation) -> Option<OutputSchema> {
        for parameter in own.iter().chain(&operation.output_parameters) {
            let OutputParameter { schema: _, pass_through, span } = parameter;
            if !pass_through {
                let message = "shaping of answers is not run by this version; only `type: object, mapping: $.` is";
                self.problems.push(Diagnostic::error(Code::UnsupportedFeature, *span, message));
            }
        }
        let reference = own.iter().chain(&operation.output_parameters).find_map(|output| output.schema.as_ref())?;
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

    fn resolve(&mut self, reference: &Spanned<String>) -> Option<Value> {
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

/// The arguments collected so far.
struct Arguments {
    /// Whether the tool declares its arguments itself.
    declared: bool,
    list: Vec<Argument>,
}

impl Arguments {
    fn has(&self, name: &str) -> bool {
        self.list.iter().any(|argument| argument.name == name)
    }
}

fn parameters(target: Target<'_>) -> impl Iterator<Item = &InputParameter> {
    target.consumes.input_parameters.iter().chain(&target.operation.input_parameters)
}

/// The members of an object schema as arguments; `None` where it names none or a name is taken.
fn flat_members(schema: &Value, arguments: &Arguments) -> Option<Vec<Argument>> {
    let properties = schema.get("properties")?.as_object()?;
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if properties.is_empty() || properties.keys().any(|name| arguments.has(name)) {
        return None;
    }
    let members = properties.iter().map(|(name, schema)| Argument {
        name: name.clone(),
        schema: schema.clone(),
        required: required.contains(&name.as_str()),
    });
    Some(members.collect())
}

/// The argument a text in `with` refers to: `tools.ARGUMENT`, or with the server's own namespace as prefix. The rest
/// after the prefix is the whole name.
fn argument_reference<'a>(text: &'a str, server: Option<&str>) -> Option<&'a str> {
    let text = text.strip_prefix("$this.").unwrap_or(text);
    text.strip_prefix("tools.")
        .or_else(|| text.strip_prefix(server?)?.strip_prefix('.'))
        .filter(|name| !name.is_empty())
}

/// The tool of an operation that no tool calls.
fn generated_tool(consumes: &Consumes, operation: &Operation) -> Tool {
    let name = Spanned::new(snake_case(&operation.name.value), operation.name.span);
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

/// `createAPIKey` → `create_api_key`.
fn snake_case(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut result = String::new();
    for (index, character) in characters.iter().enumerate() {
        if !character.is_ascii_alphanumeric() {
            if !result.is_empty() && !result.ends_with('_') {
                result.push('_');
            }
            continue;
        }
        let before = index.checked_sub(1).and_then(|before| characters.get(before));
        let after_lower = before.is_some_and(|before| before.is_ascii_lowercase() || before.is_ascii_digit());
        let ends_acronym = before.is_some_and(char::is_ascii_uppercase)
            && characters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if character.is_ascii_uppercase() && (after_lower || ends_acronym) && !result.ends_with('_') {
            result.push('_');
        }
        result.push(character.to_ascii_lowercase());
    }
    result.trim_end_matches('_').to_owned()
}

/// A name as a person reads it: `create_api_key` → `Create api key`.
fn readable(name: &str) -> String {
    let text = snake_case(name).replace('_', " ");
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.take(20).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        for (name, expected) in [
            ("createAPIKey", "create_api_key"),
            ("listSecrets", "list_secrets"),
            ("get-pet", "get_pet"),
            ("GET /v1/x", "get_v1_x"),
            ("devboxReadFileContents", "devbox_read_file_contents"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
        assert_eq!(readable("list_secrets"), "List secrets");
    }
}
