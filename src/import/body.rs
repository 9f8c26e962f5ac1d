//! The body of an imported operation: as the official language writes it, and the arguments that fill it.

use serde_json::{Map, Value, json};

use super::names::Taken;
use crate::{catalog::join::written, media_type, openapi::Body, prose::shortened};

/// More members than these are one argument: a list that long helps nobody.
const MAX_MEMBERS: usize = 60;

/// A body and what fills it.
pub(super) struct Lowered {
    /// The value of `body`.
    pub(super) body: Value,
    /// A `Content-Type` where `body` does not say it.
    pub(super) content_type: Option<String>,
    pub(super) arguments: Vec<Argument>,
}

/// An argument of a tool.
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) description: String,
    pub(super) required: bool,
}

/// Lowers a body: each member of a flat object becomes an argument, any other body is one.
pub(super) fn lower(body: &Body, taken: &mut Taken) -> Lowered {
    let media_type = media_type::essence(&body.media_type);
    let is_json = media_type::is_json(&media_type) || media_type.ends_with("/*");
    let own_type =
        (is_json && media_type != "application/json" && !media_type.contains('*')).then(|| media_type.clone());
    let is_form = media_type == "application/x-www-form-urlencoded";
    let is_multipart = media_type.starts_with("multipart/");
    if is_json || is_form || is_multipart {
        let Some(members) = flat_members(&body.schema) else {
            let whole = whole(body, taken);
            let data = json!(format!("{{{{{}}}}}", whole.name));
            let kind = if is_form { "formUrlEncoded" } else { "json" };
            return Lowered {
                body: json!({ "type": kind, "data": data }),
                content_type: own_type,
                arguments: vec![whole],
            };
        };
        let required = body.schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
        let mut arguments = Vec::new();
        let (mut data, mut parts) = (Map::new(), Vec::new());
        for (member, schema) in members {
            let argument = Argument {
                name: taken.unique(written(member), '_'),
                kind: kind(schema),
                description: description(None, schema),
                required: is_required(member),
            };
            let template = format!("{{{{{}}}}}", argument.name);
            if is_multipart {
                let mut part =
                    Map::from_iter([("name".to_owned(), json!(member)), ("value".to_owned(), json!(template))]);
                if schema.get("format").is_some_and(|format| format == "binary") {
                    part.insert("filename".to_owned(), json!(member));
                    part.insert("contentType".to_owned(), json!("application/octet-stream"));
                }
                parts.push(Value::Object(part));
            }
            data.insert(member.clone(), json!(template));
            arguments.push(argument);
        }
        let body = match (is_multipart, is_form) {
            (true, _) => json!({ "type": "multipartForm", "data": parts }),
            (_, true) => json!({ "type": "formUrlEncoded", "data": data }),
            _ => json!({ "type": "json", "data": data }),
        };
        return Lowered { body, content_type: own_type, arguments };
    }
    let whole = Argument { kind: "string", ..whole(body, taken) };
    let data = format!("{{{{{}}}}}", whole.name);
    let (body, content_type) = match media_type.as_str() {
        "text/plain" => (json!({ "type": "text", "data": data }), None),
        "application/xml" | "text/xml" => (json!({ "type": "xml", "data": data }), None),
        other => (json!(data), Some(other.to_owned())),
    };
    Lowered { body, content_type, arguments: vec![whole] }
}

/// The members of an object schema that says nothing else of structure.
fn flat_members(schema: &Value) -> Option<&Map<String, Value>> {
    let schema = schema.as_object()?;
    let is_object = schema.get("type").is_none_or(|kind| kind == "object");
    let combined = ["oneOf", "anyOf", "allOf", "not", "if", "patternProperties"];
    let open = schema.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false));
    let members = schema.get("properties")?.as_object()?;
    let fits = is_object && !open && !combined.iter().any(|keyword| schema.contains_key(*keyword));
    (fits && (1..=MAX_MEMBERS).contains(&members.len())).then_some(members)
}

fn whole(body: &Body, taken: &mut Taken) -> Argument {
    let kind = match kind(&body.schema) {
        "string" if body.schema.get("type").is_none() => "object",
        kind => kind,
    };
    let description = match description(body.description.as_deref(), &body.schema) {
        nothing if nothing.is_empty() => "The body of the request.".to_owned(),
        text => text,
    };
    Argument { name: taken.unique("body".to_owned(), '_'), kind, description, required: body.required }
}

/// The plain type that comes nearest to a schema.
pub(super) fn kind(schema: &Value) -> &'static str {
    let named = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        Some(kind) => kind.as_str(),
        None if schema.get("properties").is_some() => Some("object"),
        None => {
            let variants = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
            return variants.and_then(|variants| variants.first()).map_or("string", kind);
        }
    };
    let known = ["number", "integer", "boolean", "array", "object"];
    known.into_iter().find(|known| Some(*known) == named).unwrap_or("string")
}

/// A description of at most 200 characters, in one line: the one given, else what the schema says. Empty where the
/// document has none: the language asks for the word `description`, and one made from the name would tell nobody
/// anything.
pub(super) fn description(text: Option<&str>, schema: &Value) -> String {
    let texts = [text, schema.get("description").and_then(Value::as_str)];
    let mut texts = texts.into_iter().flatten().map(|text| shortened(text, 200));
    texts.find(|text| !text.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_described_by_the_document() {
        assert_eq!(description(Some(" <p>A  <b>pet</b></p>"), &json!({"description": "x"})), "A **pet**");
        assert_eq!(description(Some(" "), &json!({"description": "The pet"})), "The pet");
        assert_eq!(description(None, &json!({"type": "string"})), "");
    }
}
