//! Which argument goes where: lowering the parameters of an operation, as a tool feeds them, to a request template and
//! the list of the tool's arguments. A continuation of `compile.rs`, which resolves the operations.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use http::{HeaderName, Method, header};
use serde_json::{Value, json};

use super::{
    arguments::Arguments,
    body::BodyTemplate,
    compile::{Compiler, Target, list},
    fill::Fill,
    input::Argument,
    join::Joined,
    literals, names,
    path::{PathTemplate, WrittenPath},
    plan::CompiledOperation,
    request::{QuerySlot, QueryStyle, RequestTemplate},
    resolve::Names,
    typing,
};
use crate::{
    credential::{Slot, header::OWN_HEADERS},
    decode::{Format, FormatError},
    diagnostic::{Code, Diagnostic},
    jsonpath::JsonPath,
    media_type, openapi,
    spec::{
        BodyKind, InputParameter, Location, Operation, OutputParameter, Part, Spanned,
        template::{Piece, pieces},
        yaml::{self, Node},
    },
};

/// Those of the headers that the program sets itself that a spec may set to a value of its own.
const SETTABLE_HEADERS: [&str; 5] = ["authorization", "accept", "content-type", "cookie", "user-agent"];

/// An operation on its way to a template, with what is known of its parameters.
pub(super) struct Lowering<'a, 'b> {
    pub(super) target: Target<'a>,
    pub(super) names: Names<'a>,
    pub(super) arguments: &'b mut Arguments,
    pub(super) joined: Option<Arc<Joined>>,
    /// Where each parameter is among those joined, by its place and its name in lower case.
    known: HashMap<(openapi::ParameterLocation, String), usize>,
    /// The names of the placeholders in values and body, gathered for the first parameter that asks.
    mentioned: Option<BTreeSet<String>>,
}

impl<'a, 'b> Lowering<'a, 'b> {
    fn new(target: Target<'a>, names: Names<'a>, arguments: &'b mut Arguments, joined: Option<Arc<Joined>>) -> Self {
        let mut known = HashMap::new();
        for (index, parameter) in joined.iter().flat_map(|joined| &joined.parameters).enumerate() {
            known.entry((parameter.location, parameter.name.to_ascii_lowercase())).or_insert(index);
        }
        Self { target, names, arguments, joined, known, mentioned: None }
    }

    /// Whether a placeholder of this name stands in a value or the body of the operation.
    fn mentions(&mut self, name: &str) -> bool {
        self.mentioned.get_or_insert_with(|| placeholders_of(self.target.operation)).contains(name)
    }

    /// What an OpenAPI document says of a parameter.
    pub(super) fn known(&self, parameter: &InputParameter) -> Option<&openapi::Parameter> {
        let place = match parameter.place()? {
            Location::Path => openapi::ParameterLocation::Path,
            Location::Query => openapi::ParameterLocation::Query,
            Location::Header => openapi::ParameterLocation::Header,
            Location::Cookie => openapi::ParameterLocation::Cookie,
            Location::Body | Location::Environment => return None,
        };
        let index = self.known.get(&(place, parameter.name.value.to_ascii_lowercase()))?;
        self.joined.as_ref()?.parameters.get(*index)
    }

    /// Gives the argument that fills a slot the type that a document knows of it.
    pub(super) fn refine(&mut self, fill: &Fill, known: &Value) {
        if let Fill::Argument(name) = fill {
            self.arguments.refine(name, known);
        }
    }
}

impl Compiler<'_> {
    /// The operation of a target as this tool or step calls it. Arguments it needs are added where the tool declares none
    /// itself.
    pub(super) fn operation<'a>(
        &mut self,
        target: Target<'a>,
        names: Names<'a>,
        arguments: &mut Arguments,
    ) -> Option<CompiledOperation> {
        let Some(poll) = &target.operation.poll else { return self.request(target, names, arguments) };
        let mut operation = self.request(target, names.clone(), arguments)?;
        operation.poll = Some(Box::new(self.poll(poll, target, &names, arguments)?));
        Some(operation)
    }

    /// The same without what is asked after it.
    pub(super) fn request<'a>(
        &mut self,
        target: Target<'a>,
        mut names: Names<'a>,
        arguments: &mut Arguments,
    ) -> Option<CompiledOperation> {
        let Operation {
            name: _,
            method,
            path,
            description: _,
            input_parameters: _,
            output_parameters,
            body: _,
            format,
            format_schema,
            media_type,
            max_binary_size,
            poll: _,
            span: _,
        } = target.operation;
        let service = self.service(target)?;
        let format = self.format(format.as_ref(), format_schema.as_ref())?;
        let parameters = self.check_parameters(target);
        names.speak_of(&parameters);
        let joined = self.join(target);
        let written = WrittenPath::split(&path.value);
        if written.fragment {
            let message = "what stands behind `#` is never sent; it is taken as a query";
            self.problems.push(Diagnostic::note(Code::InvalidPath, path.span, message));
        }
        let template = PathTemplate::parse(written.path);
        let template = template.map_err(|problem| {
            let message = format!("the path `{}` {problem}", path.value);
            self.problems.push(Diagnostic::error(Code::InvalidPath, path.span, message));
        });
        let mut request = RequestTemplate {
            method: Method::from_bytes(method.value.as_bytes()).ok()?,
            path: template.ok()?,
            query: Vec::new(),
            headers: Vec::new(),
            cookies: Vec::new(),
            body: BodyTemplate::None,
            accept: format.accept(),
        };
        let mut lowering = Lowering::new(target, names, arguments, joined);
        self.path_parameters(&mut request.path, &mut lowering, &parameters);
        for &(name, value) in &written.query {
            let fill =
                lowering.names.text(&value.replace("{{", "{").replace("}}", "}").replace('{', "{{").replace('}', "}}"));
            let fill = self.feed(fill, None, false, &mut lowering);
            request.query.extend(fill.map(|fill| QuerySlot { name: name.to_owned(), style: QueryStyle::Repeat, fill }));
        }
        for parameter in &parameters {
            self.parameter(parameter, &mut request, &mut lowering);
        }
        request.body = self.body(&parameters, &mut lowering)?;
        request.headers.extend(content_type(&request, &lowering));
        self.check_wiring(&request, &lowering);
        if lowering.names.are_too_large() {
            let name = &target.operation.name;
            let message = format!(
                "the values of `{}` speak of each other until they are too large or too deep to send",
                name.value
            );
            let problem = Diagnostic::error(Code::InvalidValue, name.span, message);
            self.problems.push(problem.with_help("write each value out, or pass it as an argument"));
            return None;
        }
        literals::hide(&mut request);
        let projection = self.projection(output_parameters);
        let marks = self.answer_marks(target);
        Some(CompiledOperation {
            // What stands in its query may be a secret.
            name: format!("{} {}", method.value, written.path),
            request,
            service,
            format,
            media_type: media_type.as_ref().map(|kind| kind.value.clone()),
            max_binary_size: max_binary_size.or(target.consumes.max_binary_size),
            marks,
            projection,
            poll: None,
        })
    }

    fn format(&mut self, name: Option<&Spanned<String>>, schema: Option<&Spanned<String>>) -> Option<Format> {
        let Some(name) = name else { return Some(Format::Json) };
        let problem = match Format::parse(&name.value, schema.map(|schema| schema.value.as_str())) {
            Ok(format) => return Some(format),
            Err(problem) => problem,
        };
        let message = problem.to_string();
        self.problems.push(match problem {
            FormatError::Unknown(given) => Diagnostic::error(
                Code::InvalidValue,
                name.span,
                format!("{message}; expected {}", list(Format::NAMES.iter().copied())),
            )
            .with_nearest(&given, Format::NAMES.iter().copied()),
            FormatError::Unsupported(_) => Diagnostic::error(Code::UnsupportedFeature, name.span, message),
            FormatError::Selector(_) => {
                Diagnostic::error(Code::InvalidValue, schema.map_or(name.span, |schema| schema.span), message)
            }
        });
        None
    }

    /// The parameters of an operation, each slot once: its own before those of the service, the first before its
    /// repetition. What generators left behind is dropped.
    fn check_parameters<'a>(&mut self, target: Target<'a>) -> Vec<&'a InputParameter> {
        let mut known: HashMap<_, &InputParameter> = HashMap::new();
        for parameter in &target.operation.input_parameters {
            if let Some(first) = known.get(&slot_of(parameter)) {
                let message = format!("parameter `{}` is declared twice; the first one counts", parameter.name.value);
                let problem = Diagnostic::warning(Code::DuplicateParameter, parameter.name.span, message);
                self.problems.push(problem.with_secondary(first.name.span, "the first one"));
            }
            if is_artefact(parameter) {
                let message = "the parameter `_` is left behind by a generator; it is not offered";
                self.problems.push(Diagnostic::note(Code::DroppedParameter, parameter.name.span, message));
            }
            known.entry(slot_of(parameter)).or_insert(parameter);
        }
        parameters(target)
    }

    fn path_parameters(
        &mut self,
        path: &mut PathTemplate,
        lowering: &mut Lowering<'_, '_>,
        parameters: &[&InputParameter],
    ) {
        let placeholders: Vec<String> = path.placeholders().map(str::to_owned).collect();
        let span = lowering.target.operation.path.span;
        let in_path: HashSet<&str> = placeholders.iter().map(String::as_str).collect();
        for parameter in parameters.iter().filter(|parameter| parameter.place() == Some(Location::Path)) {
            if !in_path.contains(parameter.name.value.as_str()) {
                let message =
                    format!("path parameter `{}` does not occur in the path; it is not sent", parameter.name.value);
                let problem = Diagnostic::warning(Code::UnusedPathParameter, parameter.name.span, message);
                self.problems.push(problem.with_secondary(span, "the path"));
            }
        }
        let mut declarations: HashMap<&str, &InputParameter> = HashMap::new();
        for parameter in parameters.iter().filter(|one| matches!(one.place(), None | Some(Location::Path))) {
            declarations.entry(parameter.name.value.as_str()).or_insert(parameter);
        }
        let joined = lowering.joined.clone();
        let known = joined.iter().flat_map(|joined| &joined.parameters);
        let known = known.filter(|known| known.location == openapi::ParameterLocation::Path);
        let known: HashMap<&str, &openapi::Parameter> = known.map(|known| (known.name.as_str(), known)).collect();
        let mut fills = HashMap::new();
        let mut undeclared = Vec::new();
        for placeholder in placeholders {
            let declared = declarations.get(placeholder.as_str());
            let known = known.get(placeholder.as_str()).copied();
            let bare = InputParameter::bare(Spanned::new(placeholder.clone(), span));
            let parameter = declared.copied().unwrap_or(&bare);
            let fill = match (lowering.names.with.get(&placeholder), declared) {
                (Some(fill), _) => fill.value.clone(),
                (None, Some(parameter)) => lowering.names.parameter(parameter),
                (None, None) => lowering.names.text(&format!("{{{{{placeholder}}}}}")),
            };
            let known = known.cloned();
            if let Some(known) = &known {
                lowering.refine(&fill, &known.schema);
            }
            let schema = match (declared, known) {
                (Some(parameter), _) => self.parameter_schema(parameter, lowering),
                (None, Some(known)) => typing::described(known.schema.clone(), known.description.as_deref()),
                (None, None) => {
                    if !lowering.arguments.declared && !fill.arguments().is_empty() {
                        undeclared.push(placeholder.clone());
                    }
                    json!({"type": "string"})
                }
            };
            if let Fill::Argument(name) = &fill {
                lowering.arguments.infer(name, &schema);
            }
            for name in fill.arguments() {
                if lowering.arguments.has(name) {
                    continue;
                }
                if lowering.arguments.declared {
                    let message = format!(
                        "no argument feeds `{placeholder}` of the path; `{name}` is offered as a required argument"
                    );
                    let fed = lowering.names.with.get(&placeholder).map(|fill| fill.span);
                    let place = fed.or(lowering.arguments.place).unwrap_or(span);
                    let known = lowering.arguments.names();
                    self.problems.push(
                        Diagnostic::warning(Code::UndeclaredPathParameter, place, message)
                            .with_secondary(span, "the path")
                            .with_help(format!("declare `{name}` among the tool's parameters, or set it by `with`"))
                            .with_nearest(name, known),
                    );
                }
                let schema = if matches!(fill, Fill::Argument(_)) { schema.clone() } else { json!({"type": "string"}) };
                lowering.arguments.add(Argument { name: name.to_owned(), schema, required: true });
            }
            fills.insert(parameter.name.value.clone(), fill);
        }
        path.fill(&fills);
        let operation = &lowering.target.operation.name.value;
        let message = match undeclared.as_slice() {
            [] => return,
            [one] => {
                format!("path parameter `{one}` of `{operation}` is not declared; it is taken as a required string")
            }
            [most @ .., last] => format!(
                "path parameters {} and `{last}` of `{operation}` are not declared; they are taken as required strings",
                list(most.iter().map(String::as_str))
            ),
        };
        self.problems.push(Diagnostic::note(Code::UndeclaredPathParameter, span, message));
    }

    /// A parameter outside path and body.
    fn parameter(
        &mut self,
        parameter: &InputParameter,
        request: &mut RequestTemplate,
        lowering: &mut Lowering<'_, '_>,
    ) {
        let name = parameter.name.value.as_str();
        let Some(place) = parameter.place() else {
            let in_path = request.path.placeholders().any(|placeholder| placeholder == name);
            if !in_path && !lowering.mentions(name) {
                let message = format!("parameter `{name}` needs `in`: `path`, `query`, `header`, `cookie` or `body`");
                self.problems.push(Diagnostic::error(Code::MissingField, parameter.name.span, message));
            }
            return;
        };
        if let Some(value) = parameter.value.as_ref().filter(|value| lowering.names.names_variable(&value.value)) {
            let message = format!("`{}` is a variable of this spec, and is taken as one", value.value);
            let problem = Diagnostic::warning(Code::SuspiciousLiteral, value.span, message);
            self.problems.push(problem.with_help(format!("write `{{{{{}}}}}`", value.value)));
        }
        match place {
            Location::Path | Location::Body | Location::Environment => {}
            Location::Query if self.is_credential(parameter, lowering.target) => {}
            Location::Query => {
                let (wire, style) = query_style(name, lowering.known(parameter));
                if let Some(fill) = self.slot(parameter, &style, lowering) {
                    request.query.push(QuerySlot { name: wire, style, fill });
                }
            }
            Location::Header => {
                let lower = name.to_ascii_lowercase();
                // Parameters of these names are no arguments.
                let is_own = OWN_HEADERS.contains(&lower.as_str());
                let is_set = parameter.value.is_some() && SETTABLE_HEADERS.contains(&lower.as_str());
                if (is_own && !is_set) || self.is_credential(parameter, lowering.target) {
                    return;
                }
                let Ok(header) = HeaderName::from_bytes(lower.as_bytes()) else {
                    let message = format!("`{name}` is not a name that an HTTP header can have");
                    self.problems.push(Diagnostic::error(Code::InvalidValue, parameter.name.span, message));
                    return;
                };
                if let Some(fill) = self.slot(parameter, &QueryStyle::Repeat, lowering) {
                    if header == header::CONTENT_TYPE && fill == Fill::Literal(json!("application/json")) {
                        return; // as it is sent anyway, where there is a body at all
                    }
                    request.headers.push((header, fill));
                }
            }
            Location::Cookie => {
                if let Some(fill) = self.slot(parameter, &QueryStyle::Repeat, lowering) {
                    request.cookies.push((name.to_owned(), fill));
                }
            }
        }
    }

    /// What fills a slot outside the path, with its argument added where the tool declares none itself.
    pub(super) fn slot(
        &mut self,
        parameter: &InputParameter,
        style: &QueryStyle,
        lowering: &mut Lowering<'_, '_>,
    ) -> Option<Fill> {
        let mut fill = lowering.names.parameter(parameter);
        let stated = lowering.names.with.contains_key(&parameter.name.value);
        let keyed = matches!(style, QueryStyle::Keyed { .. });
        if let Fill::Argument(name) = &mut fill {
            if keyed && !stated {
                *name = names::argument(&parameter.name.value.replace("[key]", ""));
            } else if keyed && !lowering.arguments.declared {
                *name = names::argument(&name.replace("_key", ""));
            }
            let shared = lowering.arguments.declared || (stated && !keyed);
            if lowering.arguments.has(name) && !shared {
                // The same name in another place is another parameter.
                let place = parameter.place().map_or("", Location::as_str);
                let other = lowering.arguments.free(&format!("{name}_{place}"));
                let written = &parameter.name.value;
                let message =
                    format!("`{name}` is an argument already; `{written}` in the {place} is the argument `{other}`");
                self.problems.push(Diagnostic::note(Code::RenamedArgument, parameter.name.span, message));
                *name = other;
            }
        }
        let known = lowering.known(parameter).cloned();
        if let Some(known) = &known {
            lowering.refine(&fill, &known.schema);
        }
        let required = parameter.required.as_ref().map(|required| required.value);
        let required = required.unwrap_or_else(|| known.is_some_and(|known| known.required));
        let schema = if keyed { typing::keyed_schema(parameter) } else { self.parameter_schema(parameter, lowering) };
        if let Fill::Argument(name) = &fill {
            lowering.arguments.infer(name, &schema);
        }
        self.feed(fill, Some(schema), required, lowering)
    }

    /// A fill whose arguments are there, added where the tool declares none itself; `None` where it declares others: then
    /// the slot stays empty.
    pub(super) fn feed(
        &mut self,
        fill: Fill,
        schema: Option<Value>,
        required: bool,
        lowering: &mut Lowering<'_, '_>,
    ) -> Option<Fill> {
        if let Fill::Argument(name) = &fill {
            if lowering.arguments.has(name) {
                return Some(fill);
            }
            if lowering.arguments.declared {
                return None;
            }
        }
        let plain = matches!(fill, Fill::Argument(_));
        for name in fill.arguments() {
            if !lowering.arguments.has(name) && !lowering.arguments.declared {
                let schema = schema.clone().filter(|_| plain).unwrap_or_else(|| json!({"type": "string"}));
                lowering.arguments.add(Argument { name: name.to_owned(), schema, required: required && plain });
            }
        }
        Some(fill)
    }

    /// What later steps see of an answer.
    fn projection(&mut self, outputs: &[OutputParameter]) -> Vec<(String, JsonPath)> {
        let mut projection = Vec::new();
        for output in outputs {
            let (Some(name), Some(path)) = (&output.name, output.value.as_ref().or(output.mapping.as_ref())) else {
                continue;
            };
            if matches!(path.value.trim(), "$" | "$.") {
                continue; // the answer as it is
            }
            match JsonPath::parse(&path.value) {
                Ok(path) => projection.push((name.value.clone(), path)),
                Err(problem) => {
                    self.problems.push(Diagnostic::warning(Code::InvalidJsonPath, path.span, problem.to_string()));
                }
            }
        }
        projection
    }

    /// Whether a parameter names a slot that the service's credential fills: no model is to fill it.
    fn is_credential(&self, parameter: &InputParameter, target: Target<'_>) -> bool {
        let name = parameter.name.value.as_str();
        let slots = self.known_service(target).map(|service| service.slots.as_slice()).unwrap_or_default();
        slots.iter().any(|slot| match slot {
            Slot::Header(header) => {
                parameter.place() == Some(Location::Header) && header.as_str().eq_ignore_ascii_case(name)
            }
            Slot::Query(key) => parameter.place() == Some(Location::Query) && key == name,
        })
    }
}

/// A parameter that some generator leaves behind; the API has none of this name.
pub(super) const GENERATOR_ARTEFACT: &str = "_";

fn is_artefact(parameter: &InputParameter) -> bool {
    parameter.name.value == GENERATOR_ARTEFACT && parameter.value.is_none()
}

/// The parameters of an operation, each slot once: its own before those of the service, the first before its repetition.
pub(super) fn parameters(target: Target<'_>) -> Vec<&InputParameter> {
    let mut taken = HashSet::new();
    let all = target.operation.input_parameters.iter().chain(&target.consumes.input_parameters);
    all.filter(|parameter| !is_artefact(parameter) && taken.insert(slot_of(parameter))).collect()
}

/// The slot of a request that a parameter fills. The names of headers are the same in upper and lower case.
fn slot_of(parameter: &InputParameter) -> (Option<&'static str>, Cow<'_, str>) {
    let name = match parameter.place() {
        Some(Location::Header) => Cow::Owned(parameter.name.value.to_ascii_lowercase()),
        _ => Cow::Borrowed(parameter.name.value.as_str()),
    };
    (parameter.place().map(Location::as_str), name)
}

/// The name on the wire and the style of a query parameter. `metadata[key]` stands for any key: published documents
/// write an example where the name of a member goes.
fn query_style(name: &str, known: Option<&openapi::Parameter>) -> (String, QueryStyle) {
    if let Some((prefix, suffix)) = name.split_once("[key]") {
        return (prefix.to_owned(), QueryStyle::Keyed { suffix: suffix.to_owned() });
    }
    let style = match known.map(|known| (known.style, known.explode)) {
        Some((openapi::Style::Json, _)) => QueryStyle::Json,
        Some((openapi::Style::SpaceDelimited, false)) => QueryStyle::Joined(" "),
        Some((openapi::Style::PipeDelimited, false)) => QueryStyle::Joined("|"),
        Some((openapi::Style::TabDelimited, false)) => QueryStyle::Joined("\t"),
        Some((openapi::Style::Form | openapi::Style::Simple, false)) => QueryStyle::Joined(","),
        _ => QueryStyle::Repeat,
    };
    (name.to_owned(), style)
}

/// The names of the placeholders in the values and the body of an operation, with and without their namespace.
pub(super) fn placeholders_of(operation: &Operation) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for value in operation.input_parameters.iter().filter_map(|parameter| parameter.value.as_ref()) {
        collect_placeholders(&value.value, &mut names);
    }
    match operation.body.as_ref().map(|body| &body.kind) {
        None | Some(BodyKind::Parameters(_)) => {}
        Some(BodyKind::Json(node)) => collect_from_node(node, &mut names),
        Some(BodyKind::Text { media_type: _, data } | BodyKind::EncodedForm(data)) => {
            collect_placeholders(&data.value, &mut names);
        }
        Some(BodyKind::Form(fields)) => fields.iter().for_each(|(_, node)| collect_from_node(node, &mut names)),
        Some(BodyKind::Multipart(parts)) => {
            for Part { name: _, value, filename, content_type } in parts {
                collect_from_node(value, &mut names);
                for text in filename.iter().chain(content_type) {
                    collect_placeholders(&text.value, &mut names);
                }
            }
        }
    }
    names
}

fn collect_from_node(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        yaml::Value::String(text) => collect_placeholders(text, names),
        yaml::Value::Sequence(items) => items.iter().for_each(|item| collect_from_node(item, names)),
        yaml::Value::Mapping(entries) => {
            for (key, node) in entries {
                collect_placeholders(&key.text, names);
                collect_from_node(node, names);
            }
        }
        _ => {}
    }
}

pub(super) fn collect_placeholders(text: &str, names: &mut BTreeSet<String>) {
    for piece in pieces(text) {
        if let Piece::Name(name) = piece {
            names.extend([name, name.rsplit('.').next().unwrap_or(name)].map(str::to_owned));
        }
    }
}

/// The media type of a JSON body where a document asks for another than JSON's own, as in `application/merge-patch+json`,
/// and the spec states none.
fn content_type(request: &RequestTemplate, lowering: &Lowering<'_, '_>) -> Option<(HeaderName, Fill)> {
    let asked = &lowering.joined.as_ref()?.body.as_ref()?.media_type;
    let stated = request.headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE);
    let is_own = media_type::is_json(asked) && media_type::essence(asked) != "application/json";
    http::HeaderValue::from_str(asked).ok()?; // whoever wrote the document may have put anything there
    let is_sent = matches!(request.body, BodyTemplate::Json(_)) && !stated;
    (is_own && is_sent).then(|| (header::CONTENT_TYPE, Fill::Literal(Value::from(asked.as_str()))))
}
