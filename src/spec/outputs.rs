//! `outputParameters`: what an operation, a tool or a flow gives back, as written.

use super::{
    parameters::read_kind,
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Span};

/// A value that is given back, with those inside it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputParameter {
    /// The name; those of a tool's answer as a whole have none.
    pub name: Option<Spanned<String>>,
    /// The JSON type.
    pub kind: Option<Spanned<String>>,
    /// What it means.
    pub description: Option<Spanned<String>>,
    /// Where it is found in the answer, a JSONPath.
    pub mapping: Option<Spanned<String>>,
    /// A constant or template; for consumed operations a JSONPath.
    pub value: Option<Spanned<String>>,
    /// A reference to its JSON Schema, relative to the spec's file.
    pub schema: Option<Spanned<String>>,
    /// The members of an object.
    pub properties: Vec<OutputParameter>,
    /// The items of an array.
    pub items: Option<Box<OutputParameter>>,
    /// The longest text, in characters.
    pub max_length: Option<usize>,
    /// Where it stands.
    pub span: Span,
}

pub(super) fn read(nodes: Vec<NamedNode<'_>>, problems: &mut Vec<Diagnostic>) -> Vec<OutputParameter> {
    nodes.into_iter().filter_map(|named| read_output(&named, problems)).collect()
}

fn read_output(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<OutputParameter> {
    // `outputParameters: [fullName, role]` names members alone.
    if let Value::String(text) = &named.node.value {
        let span = named.node.span;
        return Some(OutputParameter { name: Some(Spanned::new(text.clone(), span)), ..bare(span) });
    }
    let mut fields = Fields::of(named.node, "an output parameter", problems)?;
    let span = fields.span();
    let output = OutputParameter {
        name: named.name(&mut fields, problems),
        kind: read_kind(&mut fields, problems),
        description: fields.text(&["description"], problems),
        mapping: fields.text(&["mapping"], problems),
        value: fields.text(&["value", "const"], problems),
        schema: fields.text(&["schema"], problems),
        properties: read(fields.named(&["properties"], problems), problems),
        items: fields.node(&["items"]).and_then(|node| read_items(node, problems)).map(Box::new),
        max_length: read_max_length(&mut fields, problems),
        span,
    };
    fields.skip(&["display", "label", "required", "tags", "example", "values"]);
    fields.finish(problems);
    Some(output)
}

/// The items of an array: one output, a list that holds one (up to 0.5), or the members of an object as they are.
fn read_items(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<OutputParameter> {
    const OWN: [&str; 6] = ["type", "mapping", "properties", "items", "value", "schema"];
    let is_one = |node: &Node| {
        let members = OWN.iter().filter_map(|name| node.get(name));
        // `type` may as well be the name of a member, whose value is a map then.
        members.into_iter().any(|member| !matches!(member.value, Value::Mapping(_))) || node.get("properties").is_some()
    };
    let elements: Vec<NamedNode<'_>> = match &node.value {
        Value::Sequence(items) => match items.as_slice() {
            [only] if only.get("name").is_none() => return read_items(only, problems),
            items => items.iter().map(|node| NamedNode { key: None, node }).collect(),
        },
        Value::Mapping(_) if is_one(node) => return read_output(&NamedNode { key: None, node }, problems),
        Value::Mapping(entries) => entries.iter().map(|(key, node)| NamedNode { key: Some(key), node }).collect(),
        Value::String(kind) => {
            let kind = Some(Spanned::new(kind.clone(), node.span));
            return Some(OutputParameter { kind, ..bare(node.span) });
        }
        _ => {
            let message = format!("`items` must be a map, found {}", node.kind());
            problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
            return None;
        }
    };
    let kind = Some(Spanned::new("object".to_owned(), node.span));
    Some(OutputParameter { kind, properties: read(elements, problems), ..bare(node.span) })
}

fn read_max_length(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<usize> {
    let text = fields.text(&["maxLength"], problems)?;
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        let message = format!("`maxLength` must be a number of characters, found `{}`", text.value);
        problems.push(Diagnostic::error(Code::InvalidValue, text.span, message));
    }
    parsed
}

fn bare(span: Span) -> OutputParameter {
    OutputParameter {
        name: None,
        kind: None,
        description: None,
        mapping: None,
        value: None,
        schema: None,
        properties: Vec::new(),
        items: None,
        max_length: None,
        span,
    }
}
