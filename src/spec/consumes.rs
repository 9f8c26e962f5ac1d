//! `consumes`: the HTTP services a capability calls, their resources and operations, as written.

use std::collections::HashSet;

use super::{
    auth::{self, Authentication},
    body::{self, Body},
    outputs::{self, OutputParameter},
    parameters::{self, InputParameter},
    poll::{self, Poll},
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Span};

/// A consumed service.
#[derive(Clone, Debug)]
pub struct Consumes {
    /// The first half of every `call`.
    pub namespace: Spanned<String>,
    /// The base URL; empty where the spec leaves it to the configuration.
    pub base_uri: Option<Spanned<String>>,
    /// What the service is.
    pub description: Option<Spanned<String>>,
    /// Parameters of every request.
    pub input_parameters: Vec<InputParameter>,
    /// How calls authenticate.
    pub authentication: Option<Authentication>,
    /// The operations of all resources, in order.
    pub operations: Vec<Operation>,
    /// The names of the operations that were left out for an error.
    pub left_out: Vec<Spanned<String>>,
    /// The largest binary answer, in bytes.
    pub max_binary_size: Option<usize>,
}

/// One HTTP call.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The second half of a `call`.
    pub name: Spanned<String>,
    /// The HTTP method, upper case.
    pub method: Spanned<String>,
    /// The path template, its own or its resource's.
    pub path: Spanned<String>,
    /// What it does.
    pub description: Option<Spanned<String>>,
    /// Its parameters, behind those of its resource.
    pub input_parameters: Vec<InputParameter>,
    /// What it gives back, for the steps that come after it.
    pub output_parameters: Vec<OutputParameter>,
    /// What it sends.
    pub body: Option<Body>,
    /// The format of its answers; JSON where nothing is stated.
    pub format: Option<Spanned<String>>,
    /// What its format needs to know: a selector for HTML, a heading for Markdown.
    pub format_schema: Option<Spanned<String>>,
    /// The media type of binary answers, where it is known before.
    pub media_type: Option<Spanned<String>>,
    /// The largest binary answer, in bytes.
    pub max_binary_size: Option<usize>,
    /// How its end is waited for, where it answers before it is done.
    pub poll: Option<Poll>,
    /// Where it stands.
    pub span: Span,
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// A service, or none where it has an error: then its namespace is added to those that are left out.
pub(super) fn read(
    node: &Node,
    left_out: &mut Vec<Spanned<String>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Consumes> {
    let mut fields = Fields::of(node, "a consumed service", problems)?;
    let namespace = fields.required_text(&["namespace"], problems)?;
    let consumes = read_service(fields, namespace.clone(), problems);
    if consumes.is_none() {
        left_out.push(namespace);
    }
    consumes
}

fn read_service(
    mut fields: Fields<'_>,
    namespace: Spanned<String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Consumes> {
    check_kind(&mut fields, problems)?;
    let base_uri = fields.text(&["baseUri"], problems);
    let description = fields.text(&["description"], problems);
    let input_parameters = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    if let Some(span) = fields.blank("authentication") {
        let message = "`authentication` has no value; calls are made without a credential";
        let warning = Diagnostic::warning(Code::InvalidValue, span, message);
        problems.push(warning.with_help("leave it out where none is needed, or give its `type`"));
    }
    let authentication = fields.node(&["authentication"]);
    let before = problems.len();
    let authentication = authentication.and_then(|node| auth::read(node, problems));
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        return None;
    }
    let max_binary_size = read_size(&mut fields, problems);
    let (mut operations, mut left_out) = (Vec::new(), Vec::new());
    for resource in fields.named(&["resources"], problems) {
        for operation in read_resource(&resource, problems) {
            match operation {
                Ok(operation) => operations.push(operation),
                Err(name) => left_out.push(name),
            }
        }
    }
    let tunnel = fields.node(&["tunnel"]);
    let goes_direct = tunnel.is_none_or(|node| may_go_direct(node, fields.key_span("tunnel"), problems));
    fields.skip(&["display", "label", "tags", "name", "headers"]);
    fields.finish(problems);
    goes_direct.then_some(Consumes {
        namespace,
        base_uri,
        description,
        input_parameters,
        authentication,
        operations,
        left_out,
        max_binary_size,
    })
}

/// Whether what is meant for a tunnel may go another way, as `fallback: direct` says (language schema, tunnel).
fn may_go_direct(tunnel: &Node, place: Span, problems: &mut Vec<Diagnostic>) -> bool {
    let is_direct = tunnel.get("fallback").is_some_and(|node| node.value == Value::String("direct".to_owned()));
    problems.push(if is_direct {
        let message = "tunnels are not run; as `fallback: direct` says, the service is called without one";
        Diagnostic::warning(Code::UnsupportedFeature, place, message)
    } else {
        let message = "tunnels are not run, so the service is left out";
        Diagnostic::error(Code::UnsupportedFeature, place, message)
            .with_help("where it can be reached without one, leave `tunnel` out or write `fallback: direct` in it")
    });
    is_direct
}

/// Checks the `type` of a service; absent is taken as `http`.
fn check_kind(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<()> {
    match fields.text(&["type"], problems) {
        Some(kind) if kind.value != "http" => {
            let message = format!("consumed services are of type `http`, found `{}`", kind.value);
            let problem = Diagnostic::error(Code::UnsupportedFeature, kind.span, message);
            problems.push(problem.with_nearest(&kind.value, ["http"]));
            None
        }
        _ => Some(()),
    }
}

/// The operations of a resource; of one that has an error, its name.
fn read_resource(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Result<Operation, Spanned<String>>> {
    let Some(mut fields) = Fields::of(named.node, "a resource", problems) else { return Vec::new() };
    named.name(&mut fields, problems);
    fields.skip(&["description", "display", "label", "tags"]);
    let path = fields.text(&["path"], problems);
    let shared = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    let operations = fields.named(&["operations"], problems);
    let operations =
        operations.iter().filter_map(|operation| read_operation(operation, path.as_ref(), &shared, problems)).collect();
    fields.finish(problems);
    operations
}

fn read_operation(
    named: &NamedNode<'_>,
    path: Option<&Spanned<String>>,
    shared: &[InputParameter],
    problems: &mut Vec<Diagnostic>,
) -> Option<Result<Operation, Spanned<String>>> {
    let mut fields = Fields::of(named.node, "an operation", problems)?;
    let before = problems.len();
    if let Some(span) = fields.blank("method") {
        let message = "`method` has no value; expected an HTTP method such as `GET` or `POST`";
        let problem = Diagnostic::error(Code::InvalidValue, span, message);
        problems.push(problem.with_help("leave it out for `GET`"));
    }
    let method = match fields.text(&["method"], problems).filter(|method| !method.value.trim().is_empty()) {
        Some(method) => Spanned::new(method.value.to_ascii_uppercase(), method.span),
        None => Spanned::new("GET".to_owned(), fields.span()),
    };
    if !METHODS.contains(&method.value.as_str()) {
        let message = format!("`method` must be an HTTP method such as `GET` or `POST`, found `{}`", method.value);
        problems.push(Diagnostic::error(Code::InvalidValue, method.span, message));
    }
    let path = fields.text(&["path"], problems).or_else(|| path.cloned());
    let name = named.name(&mut fields, problems).filter(|name| !name.value.trim().is_empty());
    let name = name.unwrap_or_else(|| {
        let path = path.as_ref().map(|path| path.value.as_str()).unwrap_or_default();
        Spanned::new(format!("{} {path}", method.value.to_ascii_lowercase()), fields.span())
    });
    let mut input_parameters = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    let own: HashSet<_> = input_parameters.iter().map(|own| (own.name.value.clone(), own.place())).collect();
    let inherited = shared.iter().filter(|shared| !own.contains(&(shared.name.value.clone(), shared.place())));
    input_parameters.splice(0..0, inherited.cloned());
    let output_parameters = outputs::read(fields.named(&["outputParameters"], problems), problems);
    let body = fields.node(&["body"]).and_then(|node| body::read(node, problems));
    let title = fields.text(&["display", "label"], problems);
    let description = fields.text(&["description"], problems).filter(|text| !text.value.trim().is_empty());
    let description = description.or(title);
    let format = fields.text(&["outputRawFormat"], problems);
    let format_schema = fields.text(&["outputSchema"], problems);
    let media_type = fields.text(&["outputMediaType"], problems);
    let max_binary_size = read_size(&mut fields, problems);
    let poll = fields.node(&["poll"]).and_then(|node| poll::read(node, problems));
    fields.skip(&["tags"]);
    let span = fields.span();
    fields.finish(problems);
    let Some(path) = path else {
        let message = format!("the operation `{}` needs a `path`, its own or its resource's", name.value);
        problems.push(Diagnostic::error(Code::MissingField, name.span, message));
        return Some(Err(name));
    };
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        return Some(Err(name));
    }
    Some(Ok(Operation {
        name,
        method,
        path,
        description,
        input_parameters,
        output_parameters,
        body,
        format,
        format_schema,
        media_type,
        max_binary_size,
        poll,
        span,
    }))
}

/// A size in bytes, as in `5MiB` (language schema, BinarySize).
pub(super) fn read_size(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<usize> {
    const UNITS: [(&str, usize); 7] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("B", 1),
    ];
    let text = fields.text(&["maxBinarySize"], problems)?;
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((text.value.trim().strip_suffix(unit)?.trim(), *bytes)))
        .unwrap_or((text.value.trim(), 1));
    let size = number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    if size.is_none() {
        let message = format!("`maxBinarySize` must be a size such as `5MiB`, found `{}`", text.value);
        problems.push(Diagnostic::error(Code::InvalidValue, text.span, message));
    }
    size
}
