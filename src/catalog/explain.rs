//! What was wrong with an argument, in words for a model: the argument, the mistake, what would be right. A secret value
//! is never repeated.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::secrets::{branches, is_secret};
use crate::{error::ArgumentProblem, nearest::nearest};

/// How many unknown names one error lists.
const MAX_PROBLEMS: usize = 8;
/// How much of a refused value is shown, in characters.
const MAX_SHOWN: usize = 60;

/// What was wrong with arguments, `root` being their schema.
pub(super) fn explain(root: &Value, error: &jsonschema::ValidationError<'_>) -> Vec<ArgumentProblem> {
    let pointer = error.instance_path().as_str();
    let schema = schema_at(root, pointer);
    let one = |argument: String, message: String| vec![ArgumentProblem { argument, message }];
    let here = dotted(pointer);
    let given = shown(error.instance(), is_secret(root, pointer));
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let expected = schema.and_then(|schema| schema.pointer(&format!("/properties/{}", escape(name))));
            return one(join(&here, name), format!("is required: {}", describe(expected)));
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known: Vec<&str> = schema
                .and_then(|schema| schema.get("properties")?.as_object())
                .map(|properties| properties.keys().map(String::as_str).collect())
                .unwrap_or_default();
            return unexpected.iter().take(MAX_PROBLEMS).map(|name| unknown(&here, name, &known)).collect();
        }
        ValidationErrorKind::Type { kind } => {
            let meaning = schema.and_then(|schema| schema.get("description")?.as_str());
            let meaning = meaning.map(|text| format!(" ({})", text.trim_end_matches('.'))).unwrap_or_default();
            wrong_type(kind, error.instance(), &given, &meaning, schema)
        }
        ValidationErrorKind::Enum { options } => wrong_option(options, error.instance(), &given),
        ValidationErrorKind::Constant { expected_value } => format!("must be {expected_value}, got {given}"),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}, got {given}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}, got {given}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be more than {limit}, got {given}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be less than {limit}, got {given}"),
        ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} items"),
        ValidationErrorKind::UniqueItems => "must not hold the same item twice".to_owned(),
        ValidationErrorKind::Pattern { pattern } => format!("must match the pattern `{pattern}`, got {given}"),
        ValidationErrorKind::Format { format } => format!("must be a valid `{format}`, got {given}"),
        ValidationErrorKind::AnyOf { .. }
        | ValidationErrorKind::OneOfNotValid { .. }
        | ValidationErrorKind::OneOfMultipleValid { .. }
            if let Some(needed) = needed(root, error) =>
        {
            if here.is_empty() {
                needed
            } else {
                format!("needs something else: {needed}")
            }
        }
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            let forms: Vec<String> = schema.into_iter().flat_map(branches).map(|form| describe(Some(form))).collect();
            let forms = if forms.is_empty() { String::new() } else { format!(": {}", forms.join(", or ")) };
            format!("fits none of the allowed forms{forms}; got {given}")
        }
        other => format!("does not meet `{}` of its schema, got {given}", other.keyword()),
    };
    one(here, message)
}

/// The members that a schema demands, where it says nothing else of an object.
fn demanded(schema: &Value) -> Option<Vec<&str>> {
    let is_plain = |(name, value): (&String, &Value)| match name.as_str() {
        "required" | "title" | "description" | "$comment" => true,
        "type" => value == "object",
        _ => false,
    };
    let schema = schema.as_object().filter(|schema| schema.iter().all(is_plain))?;
    let names: Vec<&str> = schema.get("required")?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then_some(names)
}

/// What to give where each alternative says no more than which members there must be.
fn needed(root: &Value, error: &jsonschema::ValidationError<'_>) -> Option<String> {
    if !error.instance().is_object() {
        return None;
    }
    let alternatives = root.pointer(error.schema_path().as_str())?.as_array()?;
    let alternatives: Vec<Vec<&str>> = alternatives.iter().map(demanded).collect::<Option<_>>()?;
    let are_single = alternatives.iter().all(|names| names.len() == 1);
    let alternatives: Vec<String> = alternatives.iter().map(|names| listing(names, " and ")).collect();
    let given = match alternatives.split_last()? {
        (last, []) => last.clone(),
        (last, others) => {
            format!("{}{}{last}", others.join(", "), if are_single { " or " } else { ", or " })
        }
    };
    let alone = if matches!(error.kind(), ValidationErrorKind::AnyOf { .. }) { "" } else { ", one of them alone" };
    Some(format!("give {given}{alone}"))
}

/// Names in backticks, the last behind a word.
fn listing(names: &[&str], word: &str) -> String {
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{}{word}`{last}`", quoted(others)),
        _ => quoted(names),
    }
}

/// The schema of the value at a pointer into the arguments, through `properties` and `items`.
fn schema_at<'a>(root: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(root, |schema, step| {
        let name = step.replace("~1", "/").replace("~0", "~");
        schema.get("properties").and_then(|properties| properties.get(&name)).or_else(|| schema.get("items"))
    })
}

fn unknown(here: &str, name: &str, known: &[&str]) -> ArgumentProblem {
    let nearest = nearest(name, known.iter().copied()).map(|name| format!(" (did you mean `{name}`?)"));
    let list = match known {
        [] => "there are none".to_owned(),
        known => format!("known: {}", quoted(known)),
    };
    let what = if here.is_empty() { "argument" } else { "member" };
    let message = format!("is not a known {what}{}; {list}", nearest.unwrap_or_default());
    ArgumentProblem { argument: join(here, name), message }
}

fn wrong_type(kind: &TypeKind, instance: &Value, given: &str, meaning: &str, schema: Option<&Value>) -> String {
    let types: Vec<String> = match kind {
        TypeKind::Single(single) => vec![single.to_string()],
        TypeKind::Multiple(set) => set.iter().map(|single| single.to_string()).collect(),
    };
    let wanted = types.iter().find(|name| *name != "null").map_or("null", String::as_str);
    let expected = with_article(wanted);
    let advice = match (wanted, instance) {
        ("integer" | "number", Value::String(text))
            if serde_json::from_str::<serde_json::Number>(text.trim()).is_ok() =>
        {
            "; send the number without quotes"
        }
        ("boolean", Value::String(text)) if matches!(text.as_str(), "true" | "false") => "; send it without quotes",
        ("boolean", _) => "; send true or false",
        ("object" | "array", Value::String(text)) if text.trim_start().starts_with(['{', '[']) => {
            "; send the JSON itself, not inside a string"
        }
        ("array", Value::String(_) | Value::Object(_)) => {
            return format!(
                "must be {expected}{meaning}, got {given}; send a list, such as `{}`",
                example(schema, wanted)
            );
        }
        ("object", _) => {
            let example = example(schema, wanted);
            return format!("must be {expected}{meaning}, got {given}; send a JSON object, such as `{example}`");
        }
        ("string", Value::Number(_) | Value::Bool(_)) => "; send it in quotes",
        _ => "",
    };
    format!("must be {expected}{meaning}, got {given}{advice}")
}

/// A value of a schema as JSON that shows its form: a list with one item, an object with what it must have, or with its
/// first member where it must have none.
fn example(schema: Option<&Value>, kind: &str) -> String {
    const DEEPEST: usize = 4;
    fn of(schema: Option<&Value>, kind: Option<&str>, depth: usize) -> String {
        let kind = kind.or_else(|| match schema?.get("type")? {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            kind => kind.as_str(),
        });
        let options = schema.and_then(|schema| schema.get("enum")?.as_array());
        if let Some(option) = options.into_iter().flatten().find(|option| !option.is_null()) {
            return option.to_string();
        }
        match kind {
            Some("array" | "object") if depth == DEEPEST => "…".to_owned(),
            Some("array") => format!("[{}]", of(schema.and_then(|schema| schema.get("items")), None, depth + 1)),
            Some("object") => {
                let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
                let required = schema.and_then(|schema| schema.get("required")?.as_array());
                let mut names: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
                if names.is_empty() {
                    names.extend(properties.and_then(|properties| properties.keys().next()).map(String::as_str));
                }
                if names.is_empty() {
                    names.push("name");
                }
                let member = |name: &&str| {
                    let value = of(properties.and_then(|properties| properties.get(*name)), None, depth + 1);
                    format!("{}: {value}", Value::from(*name))
                };
                format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(", "))
            }
            Some("integer" | "number") => "1".to_owned(),
            Some("boolean") => "true".to_owned(),
            _ => "\"…\"".to_owned(),
        }
    }
    of(schema, Some(kind), 0)
}

fn wrong_option(options: &Value, instance: &Value, given: &str) -> String {
    let all: Vec<String> = options
        .as_array()
        .into_iter()
        .flatten()
        .filter(|option| !option.is_null())
        .map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let near = instance.as_str().and_then(|given| meant_option(given, &all));
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("must be one of {}; got {given}{near}", quoted(&all))
}

/// The option that was probably meant: compared without what all options begin with, and only for a clear slip, since
/// the nearest of a few grave options is no help.
fn meant_option<'a>(given: &str, options: &[&'a str]) -> Option<&'a str> {
    let first = options.first()?;
    let shared = (0..=first.len()).rev().find(|end| {
        first
            .get(..*end)
            .is_some_and(|start| start.ends_with('_') && options.iter().all(|option| option.starts_with(start)))
    });
    let prefix = shared.and_then(|end| first.get(..end)).unwrap_or_default();
    let bare = |text: &str| text.to_uppercase().trim_start_matches(&prefix.to_uppercase()).to_owned();
    let given = bare(given);
    let distances = options.iter().map(|option| (strsim::osa_distance(&given, &bare(option)), *option));
    let (distance, option) = distances.min_by_key(|(distance, _)| *distance)?;
    let allowed = if given.len() > 64 { 0 } else { given.len() / 5 };
    (distance <= allowed).then_some(option)
}

/// What a schema expects, in a few words.
fn describe(schema: Option<&Value>) -> String {
    let Some(schema) = schema else { return "a value".to_owned() };
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("value")
        }
        _ => "value",
    };
    let options: Vec<&str> =
        schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    match (options.as_slice(), schema.get("description").and_then(Value::as_str)) {
        ([], Some(text)) => format!("{} ({})", with_article(kind), text.trim_end_matches('.')),
        ([], None) => with_article(kind),
        (options, _) => format!("one of {}", quoted(options)),
    }
}

fn with_article(kind: &str) -> String {
    match kind {
        "null" => "null".to_owned(),
        "integer" => "a whole number".to_owned(),
        kind if kind.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

/// A refused value for a message, cut to a length that keeps the message readable; a secret by its kind alone.
fn shown(value: &Value, secret: bool) -> String {
    let kind = match value {
        Value::Null => return "null".to_owned(),
        Value::Array(_) => return "an array".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
    };
    if secret {
        return format!("a {kind}");
    }
    let text = value.to_string();
    if text.chars().count() <= MAX_SHOWN {
        return format!("the {kind} {text}");
    }
    let start: String = text.chars().take(MAX_SHOWN).collect();
    format!("the {kind} {start}…")
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().take(40).map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// A JSON pointer as a model reads it: `/scopes/0/type` → `scopes[0].type`.
pub(crate) fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        path = if step.bytes().all(|byte| byte.is_ascii_digit()) && !path.is_empty() {
            format!("{path}[{step}]")
        } else {
            join(&path, &step)
        };
    }
    path
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_option_is_offered_for_a_clear_slip_alone() {
        let types = ["RESOURCE_TYPE_AGENTS", "RESOURCE_TYPE_SCENARIOS", "RESOURCE_TYPE_ACCOUNT"];
        for (given, expected) in [
            ("AGENTS", Some("RESOURCE_TYPE_AGENTS")),
            ("agents", Some("RESOURCE_TYPE_AGENTS")),
            ("RESOURCE_TYPE_ACCOUNTS", Some("RESOURCE_TYPE_ACCOUNT")),
            ("RESOURCE_TYPE_SECRETS", None),
            ("RESOURCE_TYPE_SECRET", None),
            ("", None),
        ] {
            assert_eq!(meant_option(given, &types), expected, "{given}");
        }
        assert_eq!(meant_option("read", &["ACCESS_LEVEL_NONE", "ACCESS_LEVEL_READ"]), Some("ACCESS_LEVEL_READ"));
    }

    #[test]
    fn an_example_has_what_the_schema_asks_for() {
        for (schema, expected) in [
            (json!({ "type": "array", "items": { "type": "string" } }), r#"["…"]"#),
            (
                json!({ "type": ["array", "null"], "items": { "type": "object", "required": ["type", "level"], "properties": {
                    "note": { "type": "string" }, "type": { "type": "string" }, "level": { "enum": [null, "READ"] }
                } } }),
                r#"[{"type": "…", "level": "READ"}]"#,
            ),
            (json!({ "type": "object", "properties": { "count": { "type": "integer" } } }), r#"{"count": 1}"#),
            (json!({ "type": "object" }), r#"{"name": "…"}"#),
        ] {
            let kind = schema["type"].as_str().unwrap_or("array");
            assert_eq!(example(Some(&schema), kind), expected, "{schema}");
        }
    }
}
