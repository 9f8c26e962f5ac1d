//! Whether a configuration file has the form that its schema describes: which field is wrong, on which line, and what
//! was expected there in plain words.
//!
//! Knows no single setting; the schema is made from the types that the settings are read into.

use serde_json::Value as Json;

use crate::{
    diagnostic::SourceMap,
    nearest::nearest,
    spec::yaml::{Node, Value},
};

/// The longest text that is repeated in a message: a number with its unit, and no key.
const MAX_SHOWN_CHARACTERS: usize = 12;
/// The longest name of an unknown field that is repeated in a message.
const MAX_NAME_CHARACTERS: usize = 64;

/// The file's value as JSON, without the fields that have no value: they count as left out. Error: the first field that
/// the schema does not take.
pub(super) fn checked(root: &Node, schema: &Json, sources: &SourceMap) -> Result<Json, String> {
    if root.value == Value::Null {
        return Ok(Json::Object(serde_json::Map::new()));
    }
    Check { root: schema, sources }.node(root, schema, "")?;
    let mut value = root.to_json();
    drop_empty(&mut value);
    Ok(value)
}

struct Check<'a> {
    /// The whole schema, which references point into.
    root: &'a Json,
    sources: &'a SourceMap,
}

impl Check<'_> {
    fn node(&self, node: &Node, schema: &Json, path: &str) -> Result<(), String> {
        let schema = self.resolved(schema);
        match (kind(schema), &node.value) {
            ("object", Value::Mapping(entries)) => {
                let known = schema.get("properties").and_then(Json::as_object);
                for (key, value) in entries {
                    let here = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                    match (known.and_then(|known| known.get(&key.text)), schema.get("additionalProperties")) {
                        (Some(_), _) if value.value == Value::Null => {}
                        (Some(of_field), _) => self.node(value, of_field, &here)?,
                        (None, Some(of_all @ Json::Object(_))) => self.node(value, of_all, &here)?,
                        (None, _) => {
                            let known = known.into_iter().flat_map(|known| known.keys().map(String::as_str));
                            return Err(self.at(key.span, unknown(&key.text, path, known.collect())));
                        }
                    }
                }
                Ok(())
            }
            ("array", Value::Sequence(items)) => {
                let of_items = schema.get("items").unwrap_or(&Json::Bool(true));
                items
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, item)| self.node(item, of_items, &format!("{path}[{index}]")))
            }
            ("string", Value::String(_)) | ("boolean", Value::Bool(_)) | ("value", _) => Ok(()),
            ("integer", Value::Number(number, _)) if fits(number, schema) => Ok(()),
            (wanted, _) => {
                let what = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
                let expected = expected(wanted, schema);
                Err(self.at(node.span, format!("{what} must be {expected}, got {}", got(wanted, node))))
            }
        }
    }

    fn resolved<'s>(&'s self, schema: &'s Json) -> &'s Json {
        let places = ["/$ref", "/allOf/0/$ref", "/anyOf/0/$ref"];
        let reference = places.iter().find_map(|place| schema.pointer(place)).and_then(Json::as_str);
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    fn at(&self, span: crate::diagnostic::Span, problem: String) -> String {
        let (line, _) = self.sources.position(span.file, span.start);
        format!("line {line}: {problem}; the README shows an example")
    }
}

/// The type that a schema asks for; null, which stands for a field that is left out, aside.
fn kind(schema: &Json) -> &str {
    match schema.get("type") {
        Some(Json::String(kind)) => kind,
        Some(Json::Array(kinds)) => {
            kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or("value")
        }
        _ => "value",
    }
}

fn range(schema: &Json) -> (u64, u64) {
    let bound = |name, otherwise| schema.get(name).and_then(Json::as_u64).unwrap_or(otherwise);
    (bound("minimum", 0), bound("maximum", u64::MAX))
}

fn fits(number: &serde_json::Number, schema: &Json) -> bool {
    let (least, most) = range(schema);
    number.as_u64().is_some_and(|number| (least..=most).contains(&number))
}

fn expected(wanted: &str, schema: &Json) -> String {
    match (wanted, range(schema)) {
        ("object", _) => "a map of `NAME: VALUE` lines".to_owned(),
        ("array", _) => "a list, such as `[…]`".to_owned(),
        ("string", _) => "text".to_owned(),
        ("boolean", _) => "`true` or `false`".to_owned(),
        ("integer", (least, u64::MAX)) => format!("a whole number of at least {least}"),
        (_, (least, most)) => format!("a whole number from {least} to {most}"),
    }
}

/// What stands there. The value is shown where a secret has no place, and only a short one.
fn got(wanted: &str, node: &Node) -> String {
    let text = match &node.value {
        Value::Number(_, text) | Value::String(text) if matches!(wanted, "integer" | "boolean") => text,
        _ => return node.kind().to_owned(),
    };
    if text.chars().count() > MAX_SHOWN_CHARACTERS || text.chars().any(char::is_control) {
        return node.kind().to_owned();
    }
    match &node.value {
        Value::String(_) if wanted == "integer" && text.parse::<u64>().is_ok() => {
            format!("the text `{text}`; write it without quotes")
        }
        Value::String(_) => format!("the text `{text}`"),
        _ => format!("`{text}`"),
    }
}

fn unknown(name: &str, path: &str, known: Vec<&str>) -> String {
    let is_name = |text: &str| {
        text.chars().count() <= MAX_NAME_CHARACTERS
            && text.chars().all(|one| one.is_alphanumeric() || "_-.".contains(one))
    };
    let name_shown = if is_name(name) { format!("unknown field `{name}`") } else { "an unknown field".to_owned() };
    let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
    let what = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: `{}`", known.join("`, `")),
    };
    format!("{name_shown}{place}; {what}")
}

fn drop_empty(value: &mut Json) {
    if let Json::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(drop_empty);
    }
}
