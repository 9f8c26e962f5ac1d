//! Which argument goes where: lowering the parameters of an operation, as a tool feeds them, to a request template and
//! the list of the tool's arguments. A continuation of `compile.rs`, which resolves the
//! names.

use std::collections::BTreeMap;

use http::{HeaderName, Method};
use serde_json::{Value, json};

use super::{
    RequestTemplate, Service,
    compile::{Compiler, Target, list},
    input::Argument,
    names,
    request::{BodyTemplate, Fill, PathTemplate},
};
use crate::{
    credential::Slot,
    diagnostic::{Code, Diagnostic, Span},
    spec::{InputParameter, Location, Operation, Spanned, WithValue},
};

/// Headers that the program sets itself; parameters of these names are no arguments.
const OWN_HEADERS: [&str; 15] = [
    "authorization",
    "accept",
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
    "cookie",
    "x-request-id",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "keep-alive",
];

/// How a tool feeds the parameters of its operation.
pub(super) struct Wiring<'a> {
    /// The arguments that the tool declares itself; where there are none, each parameter becomes one.
    pub(super) declared: &'a [InputParameter],
    /// What feeds a parameter otherwise than the argument of its name.
    pub(super) with: BTreeMap<String, Spanned<Fill>>,
    /// The service, whose credential has a place of its own.
    pub(super) service: &'a Service,
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

impl Compiler<'_> {
    /// What feeds each parameter of the operation that `with` names.
    pub(super) fn with(
        &mut self,
        with: &[(Spanned<String>, Spanned<WithValue>)],
        server: Option<&str>,
        target: Target<'_>,
    ) -> BTreeMap<String, Spanned<Fill>> {
        let mut fills = BTreeMap::new();
        let placeholders = PathTemplate::parse(&target.operation.path.value).ok();
        let placeholders: Vec<&str> = placeholders.iter().flat_map(PathTemplate::placeholders).collect();
        for (parameter, value) in with {
            let mut known: Vec<&str> =
                parameters(target).iter().map(|parameter| parameter.name.value.as_str()).collect();
            known.extend(&placeholders);
            if !known.contains(&parameter.value.as_str()) {
                let message = format!("the operation has no parameter `{}`", parameter.value);
                let problem = Diagnostic::warning(Code::UnknownField, parameter.span, message);
                self.problems.push(problem.with_nearest(&parameter.value, known));
            }
            let fill = match &value.value {
                WithValue::Literal(literal) => Fill::Literal(literal.clone()),
                WithValue::Text(text) if text.contains("{{") => {
                    let message = "templates in `with` are not run by this version; name an argument: `tools.ARGUMENT`";
                    self.problems.push(Diagnostic::error(Code::UnsupportedFeature, value.span, message));
                    continue;
                }
                WithValue::Text(text) => match argument_reference(text, server) {
                    Some(name) => Fill::Argument(names::argument(name)),
                    None => {
                        self.check_literal(text, value.span);
                        Fill::Literal(Value::from(text.as_str()))
                    }
                },
            };
            fills.insert(parameter.value.clone(), Spanned::new(fill, value.span));
        }
        fills
    }

    fn check_literal(&mut self, text: &str, span: Span) {
        if text.starts_with('$') || text.starts_with("rest.") || text.starts_with("tool.") {
            let message = format!("`{text}` is sent as it stands");
            let name = text.rsplit('.').next().unwrap_or(text);
            self.problems.push(
                Diagnostic::warning(Code::SuspiciousLiteral, span, message)
                    .with_help(format!("to pass an argument, write `tools.{name}`")),
            );
        }
    }

    /// The request of a tool and its arguments.
    pub(super) fn request(
        &mut self,
        wiring: &Wiring<'_>,
        target: Target<'_>,
    ) -> Option<(RequestTemplate, Vec<Argument>)> {
        let Operation { method, path, .. } = target.operation;
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
        let mut arguments = Arguments { declared: !wiring.declared.is_empty(), list: Vec::new() };
        for parameter in wiring.declared {
            let required = parameter.required.as_ref().is_none_or(|required| required.value);
            let schema = self.parameter_schema(parameter)?;
            arguments.list.push(Argument { name: names::argument(&parameter.name.value), schema, required });
        }
        self.check_repeated(target);
        self.path_parameters(&mut request.path, &mut arguments, wiring, target)?;
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
                Location::Query if is_credential(wiring.service, parameter, Location::Query) => {}
                Location::Query => {
                    if let Some(fill) = self.slot(parameter, &mut arguments, wiring) {
                        request.query.push((parameter.name.value.clone(), fill));
                    }
                }
                Location::Header if is_credential(wiring.service, parameter, Location::Header) => {}
                Location::Header => {
                    let name = parameter.name.value.to_ascii_lowercase();
                    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                        let message = format!("`{}` is not a name that an HTTP header can have", parameter.name.value);
                        self.problems.push(Diagnostic::error(Code::InvalidValue, parameter.name.span, message));
                        continue;
                    };
                    if let Some(fill) = self.slot(parameter, &mut arguments, wiring) {
                        request.headers.push((header, fill));
                    }
                }
            }
        }
        request.body = self.body(&body, &mut arguments, wiring)?;
        self.check_wiring(&request, &arguments, wiring);
        Some((request, arguments.list))
    }

    /// Reports parameters of one name and place; of two in the operation the first counts.
    fn check_repeated(&mut self, target: Target<'_>) {
        let own = &target.operation.input_parameters;
        for (index, parameter) in own.iter().enumerate() {
            let first = own.iter().take(index).find(|first| is_same_slot(first, parameter));
            if let Some(first) = first {
                let message = format!("parameter `{}` is declared twice; the first one counts", parameter.name.value);
                let problem = Diagnostic::warning(Code::DuplicateParameter, parameter.name.span, message);
                self.problems.push(problem.with_secondary(first.name.span, "the first one"));
            }
        }
    }

    fn path_parameters(
        &mut self,
        path: &mut PathTemplate,
        arguments: &mut Arguments,
        wiring: &Wiring<'_>,
        target: Target<'_>,
    ) -> Option<()> {
        let placeholders: Vec<String> = path.placeholders().map(str::to_owned).collect();
        let span = target.operation.path.span;
        let mut declared = parameters(target);
        declared.retain(|parameter| location_of(parameter) == Some(Location::Path));
        for parameter in &declared {
            if !placeholders.contains(&parameter.name.value) {
                let message = format!("path parameter `{}` does not occur in the path", parameter.name.value);
                let problem = Diagnostic::warning(Code::UnusedPathParameter, parameter.name.span, message);
                self.problems.push(problem.with_secondary(span, "the path"));
            }
        }
        for placeholder in placeholders {
            let parameter = declared.iter().find(|parameter| parameter.name.value == placeholder);
            if parameter.is_none() && !arguments.declared {
                let operation = &target.operation.name.value;
                let message = format!(
                    "path parameter `{placeholder}` of `{operation}` is not declared; it is taken as a required string"
                );
                self.problems.push(Diagnostic::note(Code::UndeclaredPathParameter, span, message));
            }
            let fill = match parameter {
                Some(parameter) => self.fill(parameter, wiring)?,
                None => wiring
                    .with
                    .get(&placeholder)
                    .map(|fill| fill.value.clone())
                    .unwrap_or_else(|| Fill::Argument(names::argument(&placeholder))),
            };
            path.fill(&placeholder, &fill);
            let Fill::Argument(name) = &fill else { continue };
            if arguments.has(name) {
                continue;
            }
            if arguments.declared {
                let message =
                    format!("no argument feeds `{placeholder}` of the path; declare `{name}` or set it by `with`");
                self.problems.push(Diagnostic::error(Code::UndeclaredPathParameter, span, message));
                return None;
            }
            let schema = match parameter {
                Some(parameter) => self.parameter_schema(parameter)?,
                None => json!({"type": "string"}),
            };
            arguments.list.push(Argument { name: name.clone(), schema, required: true });
        }
        Some(())
    }

    /// What fills a slot outside the path, with its argument added where the tool declares none itself.
    fn slot(&mut self, parameter: &InputParameter, arguments: &mut Arguments, wiring: &Wiring<'_>) -> Option<Fill> {
        let fill = self.fill(parameter, wiring)?;
        let Fill::Argument(name) = &fill else { return Some(fill) };
        let stated = wiring.with.contains_key(&parameter.name.value);
        if arguments.has(name) && (arguments.declared || stated) {
            return Some(fill);
        }
        if arguments.declared {
            return None; // not offered by the tool: the slot stays empty
        }
        let mut name = name.clone();
        if arguments.has(&name) {
            // The same name in another place is another parameter.
            let place = location_of(parameter).map_or("", Location::as_str);
            let other = format!("{name}_{place}");
            let message =
                format!("`{name}` is a parameter in two places; the one in the {place} is the argument `{other}`");
            self.problems.push(Diagnostic::note(Code::RenamedArgument, parameter.name.span, message));
            name = other;
        }
        let required = parameter.required.as_ref().is_some_and(|required| required.value);
        let schema = self.parameter_schema(parameter)?;
        arguments.list.push(Argument { name: name.clone(), schema, required });
        Some(Fill::Argument(name))
    }

    fn fill(&mut self, parameter: &InputParameter, wiring: &Wiring<'_>) -> Option<Fill> {
        if let Some(fill) = wiring.with.get(&parameter.name.value) {
            return Some(fill.value.clone());
        }
        match &parameter.value {
            None => Some(Fill::Argument(names::argument(&parameter.name.value))),
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
        wiring: &Wiring<'_>,
    ) -> Option<BodyTemplate> {
        match parameters {
            [] => Some(BodyTemplate::None),
            [whole] if whole.name.value == "body" => {
                let fill = self.fill(whole, wiring)?;
                let schema = self.parameter_schema(whole)?;
                let flat = flat_members(&schema, arguments);
                match (&fill, flat) {
                    (Fill::Argument(name), Some(members)) if !arguments.declared && name == "body" => {
                        let (slots, members) = members.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
                        arguments.list.extend(members);
                        Some(BodyTemplate::Members(slots))
                    }
                    _ => Some(self.slot(whole, arguments, wiring).map_or(BodyTemplate::None, BodyTemplate::Whole)),
                }
            }
            members => {
                if let [single] = members {
                    let name = &single.name.value;
                    let message = format!("`{name}` is sent as the member `{name}` of a JSON object");
                    self.problems.push(
                        Diagnostic::note(Code::NamedBodyMember, single.name.span, message)
                            .with_help("to send it as the whole body, name it `body`"),
                    );
                }
                let slots = members
                    .iter()
                    .filter_map(|member| Some((member.name.value.clone(), self.slot(member, arguments, wiring)?)));
                Some(BodyTemplate::Members(slots.collect()))
            }
        }
    }

    /// Reports arguments that go nowhere, and references to arguments that are not there.
    fn check_wiring(&mut self, request: &RequestTemplate, arguments: &Arguments, wiring: &Wiring<'_>) {
        let used: Vec<&str> = request.fills().filter_map(Fill::argument).collect();
        for declared in wiring.declared {
            let Spanned { value, span } = &declared.name;
            if !used.contains(&names::argument(value).as_str()) {
                let message = format!("argument `{value}` feeds no parameter of the operation; it is not sent");
                let help = format!("name it as the parameter, or write `with: {{PARAMETER: tools.{value}}}`");
                self.problems.push(Diagnostic::warning(Code::UnusedArgument, *span, message).with_help(help));
            }
        }
        if !arguments.declared {
            return;
        }
        for (parameter, fill) in &wiring.with {
            let Some(name) = fill.value.argument().filter(|name| !arguments.has(name)) else { continue };
            let message = format!("`with` feeds `{parameter}` from `{name}`, which the tool does not declare");
            let known = arguments.list.iter().map(|argument| argument.name.as_str());
            let problem = Diagnostic::warning(Code::UnusedArgument, fill.span, message);
            self.problems.push(problem.with_nearest(name, known));
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
}

/// The parameters of an operation, each slot once: its own before those of the service, the first before its repetition.
fn parameters(target: Target<'_>) -> Vec<&InputParameter> {
    let mut parameters: Vec<&InputParameter> = Vec::new();
    for parameter in target.operation.input_parameters.iter().chain(&target.consumes.input_parameters) {
        if !parameters.iter().any(|known| is_same_slot(known, parameter)) {
            parameters.push(parameter);
        }
    }
    parameters
}

fn is_same_slot(one: &InputParameter, other: &InputParameter) -> bool {
    let same_name = match location_of(one) {
        Some(Location::Header) => one.name.value.eq_ignore_ascii_case(&other.name.value),
        _ => one.name.value == other.name.value,
    };
    same_name && location_of(one) == location_of(other)
}

fn location_of(parameter: &InputParameter) -> Option<Location> {
    parameter.location.as_ref().map(|location| location.value)
}

/// Whether a parameter names a slot that the program or the service's credential fills: no model is to fill it.
fn is_credential(service: &Service, parameter: &InputParameter, place: Location) -> bool {
    let name = parameter.name.value.as_str();
    if place == Location::Header && OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return true;
    }
    service.slots.iter().any(|slot| match slot {
        Slot::Header(header) => place == Location::Header && header.as_str().eq_ignore_ascii_case(name),
        Slot::Query(key) => place == Location::Query && key == name,
    })
}

/// The members of an object schema, each with its slot and its argument; `None` where there are none or a name is taken.
fn flat_members(schema: &Value, arguments: &Arguments) -> Option<Vec<((String, Fill), Argument)>> {
    let properties = schema.get("properties")?.as_object()?;
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut offered: Vec<String> = properties.keys().map(|name| names::argument(name)).collect();
    let taken = offered.iter().any(|name| arguments.has(name));
    offered.sort_unstable();
    offered.dedup();
    if properties.is_empty() || taken || offered.len() < properties.len() {
        return None;
    }
    let members = properties.iter().map(|(name, schema)| {
        let argument = names::argument(name);
        let required = required.contains(&name.as_str());
        (
            (name.clone(), Fill::Argument(argument.clone())),
            Argument { name: argument, schema: schema.clone(), required },
        )
    });
    Some(members.collect())
}

/// The argument a text in `with` refers to: `tools.ARGUMENT`, or with the server's own namespace as prefix. The rest
/// after the prefix is the whole name.
fn argument_reference<'a>(text: &'a str, server: Option<&str>) -> Option<&'a str> {
    let text = text.strip_prefix("$this.").filter(|rest| rest.contains('.')).unwrap_or(text);
    let own = || text.strip_prefix(server?)?.strip_prefix('.');
    text.strip_prefix("tools.").or_else(own).filter(|name| !name.is_empty())
}
