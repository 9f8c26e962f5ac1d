//! A tool's arguments: the schema a client sees, the check before anything is sent, and which of them are secret.
//!
//! The listed schema is the plainest form that every client takes; the check uses the full one. Messages are for a
//! model: they name the argument, what was wrong and what would be right, and never repeat a secret argument.

use jsonschema::{
    Validator,
    error::{TypeKind, ValidationErrorKind},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{JsonObject, request::whole_numbers};
use crate::{
    error::{ArgumentProblem, CallError},
    nearest::nearest,
};

/// How many problems one error names.
const MAX_PROBLEMS: usize = 8;
/// How much of a refused value is shown, in characters.
const MAX_SHOWN: usize = 60;
/// The formats of JSON Schema 2020-12 (validation, section 7.3) that clients know.
const FORMATS: [&str; 15] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "uuid",
    "json-pointer",
    "regex",
];

/// One argument of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The name.
    pub name: String,
    /// Its full JSON Schema.
    pub schema: Value,
    /// Whether it must be given.
    pub required: bool,
}

/// The arguments of a tool.
#[derive(Debug)]
pub struct InputSchema {
    listed: JsonObject,
    full: Value,
    validator: Validator,
}

impl InputSchema {
    /// Builds the schema of a tool's arguments. Error: why an argument's schema is not valid.
    pub fn new(arguments: &[Argument]) -> Result<Self, String> {
        let required: Vec<&str> =
            arguments.iter().filter(|argument| argument.required).map(|argument| argument.name.as_str()).collect();
        let schema = |listed: bool| {
            let properties: JsonObject = arguments
                .iter()
                .map(|argument| {
                    let schema = argument.schema.clone();
                    (argument.name.clone(), if listed { simplify(schema) } else { schema })
                })
                .collect();
            let mut root = JsonObject::new();
            root.insert("type".to_owned(), json!("object"));
            root.insert("properties".to_owned(), Value::Object(properties));
            if !required.is_empty() {
                root.insert("required".to_owned(), json!(required));
            }
            root.insert("additionalProperties".to_owned(), json!(false));
            root
        };
        let full = Value::Object(schema(false));
        let validator = super::validator_options()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .build(&full)
            .map_err(|error| format!("{}: {}", dotted(error.instance_path().as_str()), error.masked()))?;
        Ok(Self { listed: schema(true), full, validator })
    }

    /// The schema as clients see it: an object schema without references.
    pub fn listed(&self) -> &JsonObject {
        &self.listed
    }

    /// Checks arguments, a JSON object. Error: [`CallError::Arguments`] with every problem, at most eight; with the
    /// first one alone where the arguments are large, since the library collects all of them at once.
    pub fn check(&self, arguments: &Value) -> Result<(), CallError> {
        let Err(first) = self.validator.validate(arguments) else { return Ok(()) };
        let mut problems: Vec<ArgumentProblem> = Vec::new();
        if is_small(arguments, &mut 0) {
            problems.extend(self.validator.iter_errors(arguments).flat_map(|error| self.explain(&error)));
        } else {
            problems.extend(self.explain(&first));
        }
        problems.truncate(MAX_PROBLEMS);
        Err(CallError::Arguments(problems))
    }

    /// The values of secret arguments (`writeOnly` or `format: password`), to be masked wherever text comes back.
    pub fn secrets(&self, arguments: &JsonObject) -> Vec<SecretString> {
        let mut found = Vec::new();
        for (name, value) in arguments {
            collect_secrets(&members(&self.full, name), value, false, &mut found);
        }
        // A value that also stands in an open argument is no secret, and masking it would garble the answer.
        let open = |secret: &SecretString| {
            arguments.iter().any(|(name, value)| {
                value.as_str() == Some(secret.expose_secret())
                    && !members(&self.full, name).iter().any(|schema| marks_secret(schema))
            })
        };
        found.retain(|secret| !open(secret));
        found
    }

    fn explain(&self, error: &jsonschema::ValidationError<'_>) -> Vec<ArgumentProblem> {
        let pointer = error.instance_path().as_str();
        let schema = self.schema_at(pointer);
        let one = |argument: String, message: String| vec![ArgumentProblem { argument, message }];
        let here = dotted(pointer);
        let given = shown(error.instance(), self.is_secret(pointer));
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
                wrong_type(kind, error.instance(), &given, &meaning)
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
            ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
                let forms: Vec<String> =
                    schema.into_iter().flat_map(branches).map(|form| describe(Some(form))).collect();
                let forms = if forms.is_empty() { String::new() } else { format!(": {}", forms.join(", or ")) };
                format!("fits none of the allowed forms{forms}; got {given}")
            }
            other => format!("does not meet `{}` of its schema, got {given}", other.keyword()),
        };
        one(here, message)
    }

    /// The schema of the value at a pointer into the arguments, through `properties` and `items`.
    fn schema_at(&self, pointer: &str) -> Option<&Value> {
        pointer.split('/').skip(1).try_fold(&self.full, |schema, step| {
            let name = step.replace("~1", "/").replace("~0", "~");
            schema.get("properties").and_then(|properties| properties.get(&name)).or_else(|| schema.get("items"))
        })
    }

    /// Whether a value lies in a secret one. What the schema does not know might be one in the wrong place.
    fn is_secret(&self, pointer: &str) -> bool {
        let mut schemas = vec![&self.full];
        for step in pointer.split('/').skip(1) {
            let name = step.replace("~1", "/").replace("~0", "~");
            schemas = schemas.iter().flat_map(|schema| members(schema, &name)).collect();
            if schemas.is_empty() || schemas.iter().any(|schema| marks_secret(schema)) {
                return true;
            }
        }
        false
    }
}

/// Whether a value holds no more values than a model would write by hand.
fn is_small(value: &Value, counted: &mut usize) -> bool {
    const LIMIT: usize = 2_000;
    *counted += 1;
    *counted <= LIMIT
        && match value {
            Value::Array(items) => items.iter().all(|item| is_small(item, counted)),
            Value::Object(members) => members.values().all(|member| is_small(member, counted)),
            _ => true,
        }
}

/// Whether a schema, or a branch of it, marks its values as secret: `writeOnly` (JSON Schema validation, section 9.4) or
/// OpenAPI's `format: password`.
fn marks_secret(schema: &Value) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
        || schema.get("format") == Some(&json!("password"))
        || branches(schema).any(marks_secret)
}

/// The alternatives that a schema combines.
fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|keyword| schema.get(keyword)?.as_array()).flatten();
    lists.chain(["if", "then", "else"].into_iter().filter_map(|keyword| schema.get(keyword)))
}

/// Every schema that says something of a member or an item of a value, in all branches.
fn members<'a>(schema: &'a Value, name: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = Vec::new();
    let named = schema.get("properties").and_then(|properties| properties.get(name));
    found.extend(named);
    if named.is_none() {
        found.extend(schema.get("additionalProperties").filter(|schema| schema.is_object()));
        found.extend(
            schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(|map| map.values()),
        );
    }
    if let Ok(index) = name.parse::<usize>() {
        let item = schema.get("prefixItems").and_then(|items| items.get(index));
        found.extend(item.or_else(|| schema.get("items").filter(|schema| schema.is_object())));
    }
    for branch in branches(schema) {
        found.extend(members(branch, name));
    }
    found
}

fn collect_secrets(schemas: &[&Value], value: &Value, inside: bool, found: &mut Vec<SecretString>) {
    let inside = inside || schemas.iter().any(|schema| marks_secret(schema));
    let below = |name: &str| schemas.iter().flat_map(|schema| members(schema, name)).collect::<Vec<_>>();
    match value {
        Value::String(text) if inside => found.push(SecretString::from(text.as_str())),
        Value::Number(number) if inside => {
            found.push(SecretString::from(number.to_string()));
            found.push(SecretString::from(whole_numbers(value.clone()).to_string())); // as it is sent
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_secrets(&below(&index.to_string()), item, inside, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect_secrets(&below(name), member, inside, found);
            }
        }
        _ => {}
    }
}

/// The plainest form of a schema, for clients that refuse what they do not know: a single `type` (null may be sent, but
/// leaving the argument out says the same), formats of the standard alone, no closed objects below the root.
fn simplify(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = schema.get_mut("enum") {
        options.retain(|option| !option.is_null());
    }
    let format = schema.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| !FORMATS.contains(&format)) {
        schema.shift_remove("format");
    }
    schema.shift_remove("writeOnly");
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        schema.shift_remove("additionalProperties");
    }
    if schema.get("type") == Some(&json!("array")) && !schema.contains_key("items") {
        schema.insert("items".to_owned(), json!({}));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            *property = simplify(property.take());
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner @ Value::Object(_)) = schema.get_mut(keyword) {
            *inner = simplify(inner.take());
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(options)) = schema.get_mut(keyword) {
            options.iter_mut().for_each(|option| *option = simplify(option.take()));
        }
    }
    Value::Object(schema)
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

fn wrong_type(kind: &TypeKind, instance: &Value, given: &str, meaning: &str) -> String {
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
        ("array", Value::String(_)) => "; send a list, such as [\"…\"]",
        ("object", _) => "; send a JSON object, such as {\"name\": \"…\"}",
        ("string", Value::Number(_) | Value::Bool(_)) => "; send it in quotes",
        _ => "",
    };
    format!("must be {expected}{meaning}, got {given}{advice}")
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
fn dotted(pointer: &str) -> String {
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
    use super::*;

    fn argument(name: &str, required: bool, schema: Value) -> Argument {
        Argument { name: name.to_owned(), schema, required }
    }

    fn schema() -> InputSchema {
        InputSchema::new(&[
            argument("name", true, json!({"type": "string", "minLength": 1, "description": "The name."})),
            argument("value", true, json!({"type": "string", "writeOnly": true, "maxLength": 20})),
            argument("limit", false, json!({"type": ["integer", "null"], "minimum": 1, "format": "int32"})),
            argument(
                "scopes",
                false,
                json!({"type": "array", "items": {"type": "object", "additionalProperties": false, "properties": {
                    "level": {"enum": ["READ", "WRITE"]},
                    "token": {"type": "string", "format": "password"}}}}),
            ),
        ])
        .expect("valid")
    }

    fn problems(arguments: Value) -> String {
        schema().check(&arguments).expect_err("refused").to_string()
    }

    #[test]
    fn the_listed_schema_is_plain() {
        assert_eq!(
            Value::Object(schema().listed().clone()),
            json!({"type": "object", "properties": {
                "name": {"type": "string", "minLength": 1, "description": "The name."},
                "value": {"type": "string", "maxLength": 20},
                "limit": {"type": "integer", "minimum": 1},
                "scopes": {"type": "array", "items": {"type": "object", "properties": {
                    "level": {"enum": ["READ", "WRITE"]}, "token": {"type": "string"}}}}},
                "required": ["name", "value"], "additionalProperties": false})
        );
    }

    #[test]
    fn good_arguments_pass() {
        schema()
            .check(&json!({"name": "A", "value": "b", "limit": null, "scopes": [{"level": "READ"}]}))
            .expect("accepted");
    }

    #[test]
    fn each_problem_names_the_argument_and_what_would_be_right() {
        for (arguments, expected) in [
            (json!({"value": "b"}), "`name` is required: a string (The name)"),
            (json!({"name": "", "value": "b"}), "`name` must not be empty"),
            (
                json!({"name": 7, "value": "b"}),
                "`name` must be a string (The name), got the number 7; send it in quotes",
            ),
            (
                json!({"name": "A", "value": "b", "limit": "20"}),
                "`limit` must be a whole number, got the string \"20\"; send the number without quotes",
            ),
            (json!({"name": "A", "value": "b", "limit": 0}), "`limit` must be at least 1, got the number 0"),
            (
                json!({"name": "A", "value": "b", "scopes": "[]"}),
                "`scopes` must be an array, got the string \"[]\"; send the JSON itself, not inside a string",
            ),
            (
                json!({"name": "A", "value": "b", "scopes": [{"level": "wriite"}]}),
                "`scopes[0].level` must be one of `READ`, `WRITE`; got the string \"wriite\"; did you mean `WRITE`?",
            ),
            (
                json!({"name": "A", "value": "b", "scopes": [{"lvl": 1}]}),
                "`scopes[0].lvl` is not a known member; known: `level`, `token`",
            ),
            (
                json!({"nmae": "A", "name": "A", "value": "b"}),
                "`nmae` is not a known argument (did you mean `name`?); known: `name`",
            ),
        ] {
            let text = problems(arguments);
            assert!(text.contains(expected), "{text}\nexpected {expected}");
        }
    }

    #[test]
    fn a_secret_argument_is_never_repeated() {
        for arguments in [
            json!({"name": "A", "value": "canary-far-longer-than-twenty"}),
            json!({"name": "A", "value": ["canary"]}),
            json!({"name": "A", "valeu": "canary"}),
            json!({"name": "A", "value": "b", "scopes": [{"token": 1, "level": {"x": "canary"}, "tokn": "canary"}]}),
        ] {
            let text = problems(arguments);
            assert!(!text.contains("canary"), "{text}");
        }
    }

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
    fn a_million_problems_are_one() {
        let text = problems(json!({"name": "A", "value": "b", "scopes": vec![json!({"lvl": 1}); 100_000]}));
        assert!(text.contains("`scopes[0].lvl`") && text.len() < 500, "{text}");
    }

    #[test]
    fn a_secret_in_a_branch_is_a_secret() {
        let password = json!({"anyOf": [{"type": "string", "format": "password", "maxLength": 5}, {"type": "null"}]});
        let tokens =
            json!({"type": "object", "additionalProperties": {"type": "string", "writeOnly": true, "maxLength": 3}});
        let schema = InputSchema::new(&[argument("password", false, password), argument("tokens", false, tokens)]);
        let schema = schema.expect("valid");
        let Value::Object(arguments) = json!({"password": "canary-one", "tokens": {"a": "canary-two"}}) else {
            panic!("an object")
        };
        let text = schema.check(&Value::Object(arguments.clone())).expect_err("refused").to_string();
        assert!(text.contains("`password`") && text.contains("`tokens.a`") && !text.contains("canary"), "{text}");
        assert_eq!(schema.secrets(&arguments).len(), 2);
    }

    #[test]
    fn secrets_are_found_wherever_the_schema_marks_them() {
        use secrecy::ExposeSecret;
        let Value::Object(arguments) = json!({"name": "A", "value": "one", "scopes": [{"token": "two"}]}) else {
            panic!("an object")
        };
        let found: Vec<String> = schema().secrets(&arguments).iter().map(|s| s.expose_secret().to_owned()).collect();
        assert_eq!(found, ["one", "two"]);
        let Value::Object(arguments) = json!({"name": "same", "value": "same"}) else { panic!("an object") };
        assert!(schema().secrets(&arguments).is_empty(), "what stands in an open argument is no secret");
    }
}
