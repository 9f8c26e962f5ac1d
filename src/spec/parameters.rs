//! Input parameters of operations, tools and flows, as written. Nothing is resolved here.

use super::{
    complete::{self, Complete},
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic};

/// A parameter of a consumed operation, of a tool or of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct InputParameter {
    /// The name.
    pub name: Spanned<String>,
    /// Where it goes in the request; tools' own parameters have none.
    pub location: Option<Spanned<Location>>,
    /// The JSON type.
    pub kind: Option<Spanned<String>>,
    /// Whether null is of its type as well, as in `[integer, 'null']`.
    pub nullable: bool,
    /// What it means.
    pub description: Option<Spanned<String>>,
    /// Whether it must be given, where stated.
    pub required: Option<Spanned<bool>>,
    /// A fixed value or template.
    pub value: Option<Spanned<String>>,
    /// A reference to its JSON Schema, relative to the spec's file.
    pub schema: Option<Spanned<String>>,
    /// The parameter of the operation that a tool's parameter feeds, as in `$.path.id`.
    pub mapping: Option<Spanned<String>>,
    /// Keywords of JSON Schema that stand beside the type, as in `enum`.
    pub keywords: Vec<(Spanned<String>, serde_json::Value)>,
    /// What lists its values, where it is an argument of a prompt or a placeholder of a URI.
    pub complete: Option<Complete>,
}

/// Where a parameter goes in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A placeholder of the path.
    Path,
    /// The query string.
    Query,
    /// A header.
    Header,
    /// The body.
    Body,
    /// A cookie.
    Cookie,
    /// Nowhere: a variable of the environment, for templates.
    Environment,
}

const LOCATIONS: [Location; 6] =
    [Location::Path, Location::Query, Location::Header, Location::Body, Location::Cookie, Location::Environment];

/// Keywords that may stand beside `type` (JSON Schema validation, section 6).
const KEYWORDS: [&str; 15] = [
    "enum",
    "default",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "minItems",
    "maxItems",
    "properties",
];

impl Location {
    /// As `in` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Body => "body",
            Self::Cookie => "cookie",
            Self::Environment => "environment",
        }
    }

    /// The location of this name.
    pub fn named(name: &str) -> Option<Self> {
        LOCATIONS.into_iter().find(|location| location.as_str() == name)
    }
}

impl InputParameter {
    /// A parameter of which only the name is known.
    pub fn bare(name: Spanned<String>) -> Self {
        Self {
            name,
            location: None,
            kind: None,
            nullable: false,
            description: None,
            required: None,
            value: None,
            schema: None,
            mapping: None,
            keywords: Vec::new(),
            complete: None,
        }
    }

    /// Where it goes, where stated.
    pub fn place(&self) -> Option<Location> {
        self.location.as_ref().map(|location| location.value)
    }
}

pub(super) fn read_inputs(nodes: Vec<NamedNode<'_>>, problems: &mut Vec<Diagnostic>) -> Vec<InputParameter> {
    nodes.into_iter().filter_map(|named| read_input(&named, false, problems)).collect()
}

/// Those that a person fills in, so that values may be listed for them.
pub(super) fn read_completed(nodes: Vec<NamedNode<'_>>, problems: &mut Vec<Diagnostic>) -> Vec<InputParameter> {
    nodes.into_iter().filter_map(|named| read_input(&named, true, problems)).collect()
}

fn read_input(named: &NamedNode<'_>, completed: bool, problems: &mut Vec<Diagnostic>) -> Option<InputParameter> {
    let mut fields = Fields::of(named.node, "a parameter", problems)?;
    let Some(name) = named.name(&mut fields, problems).filter(|name| !name.value.is_empty()) else {
        problems.push(Diagnostic::error(Code::MissingField, fields.span(), "a parameter needs `name`"));
        return None;
    };
    let location = match fields.text(&["in"], problems) {
        Some(text) => Some(read_location(text, problems)?),
        None => None,
    };
    let complete = if completed { fields.node(&["complete"]) } else { None };
    let parameter = InputParameter {
        name,
        location,
        kind: read_kind(&mut fields, problems),
        nullable: named.node.get("type").is_some_and(names_null),
        description: fields.text(&["description"], problems),
        required: fields.flag(&["required"], problems),
        value: fields.text(&["value", "const"], problems),
        schema: fields.text(&["schema"], problems),
        mapping: fields.text(&["mapping"], problems),
        keywords: KEYWORDS
            .into_iter()
            .filter_map(|keyword| {
                let node = fields.node(&[keyword])?;
                Some((Spanned::new(keyword.to_owned(), node.span), node.to_json()))
            })
            .collect(),
        complete: complete.and_then(|node| complete::read(node, problems)),
    };
    fields.skip(&["display", "label", "tags", "example", "examples"]);
    fields.finish(problems);
    Some(parameter)
}

/// A type, or the one of a list such as `[integer, null]` that is not null.
pub(super) fn read_kind(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Spanned<String>> {
    let node = fields.node(&["type"])?;
    match &node.value {
        Value::Sequence(kinds) => kinds.iter().find_map(|kind| match &kind.value {
            Value::String(text) if text != "null" => Some(Spanned::new(text.clone(), kind.span)),
            _ => None,
        }),
        _ => fields.text(&["type"], problems),
    }
}

/// Whether a type is a list with null in it.
fn names_null(kind: &Node) -> bool {
    let is_null = |kind: &Node| match &kind.value {
        Value::Null => true,
        Value::String(text) => text == "null",
        _ => false,
    };
    matches!(&kind.value, Value::Sequence(kinds) if kinds.iter().any(is_null))
}

fn read_location(text: Spanned<String>, problems: &mut Vec<Diagnostic>) -> Option<Spanned<Location>> {
    let Some(location) = Location::named(&text.value) else {
        let known = LOCATIONS.map(Location::as_str);
        let message = format!("`in` must be `path`, `query`, `header`, `body` or `cookie`, found `{}`", text.value);
        problems.push(Diagnostic::error(Code::InvalidValue, text.span, message).with_nearest(&text.value, known));
        return None;
    };
    Some(Spanned::new(location, text.span))
}

/// The members of a map of values, as `with` and form bodies have.
pub(super) fn read_values(node: &Node, what: &str, problems: &mut Vec<Diagnostic>) -> Vec<(Spanned<String>, Node)> {
    let Value::Mapping(entries) = &node.value else {
        let message = format!("{what} must be a map, found {}", node.kind());
        problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
        return Vec::new();
    };
    let named = entries.iter().map(|(key, node)| (Spanned::new(key.text.clone(), key.span), node.clone()));
    named.collect()
}
