//! Input and output parameters as written. Nothing is resolved here.

use super::{
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Span};

/// A parameter of a consumed operation or of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct InputParameter {
    /// The name.
    pub name: Spanned<String>,
    /// Where it goes in the request; tools' own parameters have none.
    pub location: Option<Spanned<Location>>,
    /// The JSON type.
    pub kind: Option<Spanned<String>>,
    /// What it means.
    pub description: Option<Spanned<String>>,
    /// Whether it must be given, where stated.
    pub required: Option<Spanned<bool>>,
    /// A fixed value or template.
    pub value: Option<Spanned<String>>,
    /// A reference to its JSON Schema, relative to the spec's file.
    pub schema: Option<Spanned<String>>,
}

/// Where a parameter goes in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// A placeholder of the path.
    Path,
    /// The query string.
    Query,
    /// A header.
    Header,
    /// The body.
    Body,
}

/// What an operation or a tool gives back.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputParameter {
    /// A reference to its JSON Schema, relative to the spec's file.
    pub schema: Option<Spanned<String>>,
    /// Whether it returns the answer unchanged (`type: object` and `$` or `$.`, without `properties`).
    pub pass_through: bool,
    /// Where it stands.
    pub span: Span,
}

impl Location {
    /// As `in` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

pub(super) fn read_inputs(nodes: Vec<NamedNode<'_>>, problems: &mut Vec<Diagnostic>) -> Vec<InputParameter> {
    nodes.into_iter().filter_map(|named| read_input(&named, problems)).collect()
}

fn read_input(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<InputParameter> {
    let mut fields = Fields::of(named.node, "a parameter", problems)?;
    let name = named.name(&mut fields, problems);
    let location = fields.text(&["in"], problems);
    let parameter = InputParameter {
        name: name.unwrap_or_else(|| Spanned::new(String::new(), fields.span())),
        location: match location {
            Some(text) => Some(read_location(text, problems)?),
            None => None,
        },
        kind: fields.text(&["type"], problems),
        description: fields.text(&["description"], problems),
        required: fields.flag(&["required"], problems),
        value: fields.text(&["value"], problems),
        schema: fields.text(&["schema"], problems),
    };
    for keyword in ["enum", "default", "format", "minimum", "maximum", "pattern", "items"] {
        if let Some(node) = fields.node(&[keyword]) {
            let message = format!("`{keyword}` of a parameter has no effect");
            problems.push(
                Diagnostic::warning(Code::UnknownField, node.span, message)
                    .with_help("put it into a JSON Schema, and name that by `schema: FILE#/POINTER`"),
            );
        }
    }
    fields.finish(problems);
    if parameter.name.value.is_empty() {
        problems.push(Diagnostic::error(Code::MissingField, parameter.name.span, "a parameter needs `name`"));
        return None;
    }
    Some(parameter)
}

fn read_location(text: Spanned<String>, problems: &mut Vec<Diagnostic>) -> Option<Spanned<Location>> {
    let location = match text.value.as_str() {
        "path" => Location::Path,
        "query" => Location::Query,
        "header" => Location::Header,
        "body" => Location::Body,
        "cookie" | "environment" => {
            let message = format!("parameters `in: {}` are not run by this version", text.value);
            problems.push(Diagnostic::error(Code::UnsupportedFeature, text.span, message));
            return None;
        }
        other => {
            let message = format!("`in` must be `path`, `query`, `header` or `body`, found `{other}`");
            let known = ["path", "query", "header", "body"];
            problems.push(Diagnostic::error(Code::InvalidValue, text.span, message).with_nearest(other, known));
            return None;
        }
    };
    Some(Spanned::new(location, text.span))
}

pub(super) fn read_outputs(nodes: Vec<NamedNode<'_>>, problems: &mut Vec<Diagnostic>) -> Vec<OutputParameter> {
    nodes
        .into_iter()
        .filter_map(|named| {
            let mut fields = Fields::of(named.node, "an output parameter", problems)?;
            fields.skip(&["name", "description"]);
            let schema = fields.text(&["schema"], problems);
            let object = fields.node(&["type"]).is_none_or(|node| is_text(node, &["object"]));
            let whole = fields.node(&["mapping", "value"]).is_none_or(|node| is_text(node, &["$", "$."]));
            let shaped = fields.node(&["properties"]).is_some() | fields.node(&["items"]).is_some();
            let span = fields.span();
            fields.finish(problems);
            Some(OutputParameter { schema, pass_through: object && whole && !shaped, span })
        })
        .collect()
}

fn is_text(node: &Node, options: &[&str]) -> bool {
    matches!(&node.value, Value::String(text) if options.contains(&text.as_str()))
}
