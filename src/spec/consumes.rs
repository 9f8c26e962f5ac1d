//! `consumes`: the HTTP services a capability calls, their resources and operations, as written.

use super::{
    auth::{self, Authentication},
    parameters::{self, InputParameter, OutputParameter},
    reader::{Fields, NamedNode, Spanned},
    yaml::Node,
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
    /// What it gives back.
    pub output_parameters: Vec<OutputParameter>,
    /// Where it stands.
    pub span: Span,
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Consumes> {
    let mut fields = Fields::of(node, "a consumed service", problems)?;
    if fields.node(&["from"]).is_some() || fields.node(&["location"]).is_some() || fields.node(&["import"]).is_some() {
        let message = "imports are not run by this version; put the service into this file";
        problems.push(Diagnostic::error(Code::UnsupportedFeature, fields.span(), message));
        return None;
    }
    check_kind(&mut fields, problems)?;
    let namespace = fields.required_text(&["namespace"], problems)?;
    let base_uri = fields.text(&["baseUri"], problems);
    let description = fields.text(&["description"], problems);
    let input_parameters = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    let authentication = fields.node(&["authentication"]);
    let before = problems.len();
    let authentication = authentication.and_then(|node| auth::read(node, problems));
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        return None;
    }
    let (mut operations, mut left_out) = (Vec::new(), Vec::new());
    for resource in fields.named(&["resources"], problems) {
        for operation in read_resource(&resource, problems) {
            match operation {
                Ok(operation) => operations.push(operation),
                Err(name) => left_out.push(name),
            }
        }
    }
    fields.unsupported(&["tunnel"], problems);
    fields.finish(problems);
    Some(Consumes { namespace, base_uri, description, input_parameters, authentication, operations, left_out })
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
    let Some(name) = named.name(&mut fields, problems) else {
        problems.push(Diagnostic::error(Code::MissingField, fields.span(), "an operation needs `name`"));
        return None;
    };
    let method = match fields.text(&["method"], problems) {
        Some(method) => Spanned::new(method.value.to_ascii_uppercase(), method.span),
        None => Spanned::new("GET".to_owned(), fields.span()),
    };
    if !METHODS.contains(&method.value.as_str()) {
        let message = format!("`method` must be an HTTP method such as `GET` or `POST`, found `{}`", method.value);
        problems.push(Diagnostic::error(Code::InvalidValue, method.span, message));
    }
    let path = fields.text(&["path"], problems).or_else(|| path.cloned());
    let mut input_parameters = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    let own: Vec<_> = input_parameters.iter().map(|own| (own.name.value.clone(), place(own))).collect();
    let inherited = shared.iter().filter(|shared| !own.contains(&(shared.name.value.clone(), place(shared))));
    input_parameters.splice(0..0, inherited.cloned());
    let output_parameters = parameters::read_outputs(fields.named(&["outputParameters"], problems), problems);
    let description = fields.text(&["description"], problems);
    check_format(&mut fields, problems);
    fields.skip(&["display", "label", "tags"]);
    fields.unsupported(&["body", "outputSchema", "outputMediaType", "maxBinarySize"], problems);
    let span = fields.span();
    fields.finish(problems);
    let Some(path) = path else {
        problems.push(Diagnostic::error(
            Code::MissingField,
            span,
            "an operation needs a `path`, its own or its resource's",
        ));
        return Some(Err(name));
    };
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        return Some(Err(name));
    }
    Some(Ok(Operation { name, method, path, description, input_parameters, output_parameters, span }))
}

fn check_format(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) {
    if let Some(format) = fields.text(&["outputRawFormat"], problems)
        && format.value != "json"
    {
        let message = format!("answers in `{}` are not run by this version; expected `json`", format.value);
        problems.push(Diagnostic::error(Code::UnsupportedFeature, format.span, message));
    }
}

fn place(parameter: &InputParameter) -> Option<super::parameters::Location> {
    parameter.location.as_ref().map(|location| location.value)
}

/// The nodes of a section, in list form or as one map.
pub(super) fn section(node: &Node) -> Vec<&Node> {
    match &node.value {
        super::yaml::Value::Sequence(items) => items.iter().collect(),
        _ => vec![node],
    }
}
