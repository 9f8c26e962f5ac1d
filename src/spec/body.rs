//! `body` of a consumed operation, as written: a kind and a value with placeholders.

use super::{
    parameters::read_values,
    reader::{Fields, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Span};

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// The kind and its value.
    pub kind: BodyKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of body.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyKind {
    /// JSON: a value whose texts may hold placeholders, or the text of one.
    Json(Node),
    /// Text of a media type, as it stands.
    Text {
        /// The media type.
        media_type: &'static str,
        /// The text.
        data: Spanned<String>,
    },
    /// A form as in a URL's query (`application/x-www-form-urlencoded`).
    Form(Vec<(Spanned<String>, Node)>),
    /// A form already encoded, with placeholders.
    EncodedForm(Spanned<String>),
    /// A form of parts (`multipart/form-data`, RFC 7578).
    Multipart(Vec<Part>),
    /// The kind alone: parameters `in: body` are what is sent.
    Parameters(ParametersAs),
}

/// How parameters `in: body` are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParametersAs {
    /// As JSON.
    Json,
    /// As a form.
    Form,
    /// As a form of parts.
    Multipart,
    /// As text.
    Text(&'static str),
}

/// A part of a form.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The field.
    pub name: Spanned<String>,
    /// Its value.
    pub value: Node,
    /// The name of the file it is, a template.
    pub filename: Option<Spanned<String>>,
    /// Its media type.
    pub content_type: Option<Spanned<String>>,
}

const KINDS: [&str; 6] = ["json", "text", "xml", "sparql", "formUrlEncoded", "multipartForm"];

pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Body> {
    let span = node.span;
    // A plain text is JSON with placeholders; a map that names no kind, or a list, is the value itself.
    let Some(kind) = node.get("type").and_then(kind_of).filter(|_| has_only_own_fields(node)) else {
        return Some(Body { kind: BodyKind::Json(node.clone()), span });
    };
    let mut fields = Fields::of(node, "`body`", problems)?;
    fields.skip(&["type"]);
    let data = fields.node(&["data"]);
    fields.finish(problems);
    let as_parameters = match kind {
        "formUrlEncoded" => ParametersAs::Form,
        "multipartForm" => ParametersAs::Multipart,
        "text" => ParametersAs::Text("text/plain"),
        "xml" => ParametersAs::Text("application/xml"),
        "sparql" => ParametersAs::Text("application/sparql-query"),
        _ => ParametersAs::Json,
    };
    let Some(data) = data else { return Some(Body { kind: BodyKind::Parameters(as_parameters), span }) };
    let kind = match as_parameters {
        ParametersAs::Json => BodyKind::Json(data.clone()),
        ParametersAs::Text(media_type) => match &data.value {
            Value::String(text) => BodyKind::Text { media_type, data: Spanned::new(text.clone(), data.span) },
            _ => {
                let message = format!("`data` of a body of type `{kind}` must be text, found {}", data.kind());
                problems.push(Diagnostic::error(Code::InvalidValue, data.span, message));
                return None;
            }
        },
        ParametersAs::Form => match &data.value {
            Value::String(text) => BodyKind::EncodedForm(Spanned::new(text.clone(), data.span)),
            _ => BodyKind::Form(read_values(data, "`data` of a form", problems)),
        },
        ParametersAs::Multipart => BodyKind::Multipart(read_parts(data, problems)?),
    };
    Some(Body { kind, span })
}

/// The kind a text names, `form` among them as published specs write it.
fn kind_of(node: &Node) -> Option<&'static str> {
    let Value::String(text) = &node.value else { return None };
    match text.as_str() {
        "form" => Some("formUrlEncoded"),
        "multipart" => Some("multipartForm"),
        text => KINDS.into_iter().find(|kind| *kind == text),
    }
}

fn has_only_own_fields(node: &Node) -> bool {
    let Value::Mapping(entries) = &node.value else { return false };
    entries.iter().all(|(key, _)| key.text == "type" || key.text == "data")
}

fn read_parts(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vec<Part>> {
    let Value::Sequence(items) = &node.value else {
        if !matches!(node.value, Value::Mapping(_)) {
            let message = format!("`data` of a multipart form must be a list of parts, found {}", node.kind());
            problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
            return None;
        }
        let parts = read_values(node, "`data` of a multipart form", problems).into_iter();
        return Some(parts.map(|(name, value)| Part { name, value, filename: None, content_type: None }).collect());
    };
    let parts = items.iter().filter_map(|item| {
        let mut fields = Fields::of(item, "a part", problems)?;
        let name = fields.required_text(&["name"], problems);
        let value = fields.node(&["value"]);
        let filename = fields.text(&["filename"], problems);
        let content_type = fields.text(&["contentType"], problems);
        let span = fields.span();
        fields.finish(problems);
        if value.is_none() {
            problems.push(Diagnostic::error(Code::MissingField, span, "a part needs `value`"));
        }
        Some(Part { name: name?, value: value?.clone(), filename, content_type })
    });
    Some(parts.collect())
}
