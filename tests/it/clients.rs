//! What every known client takes: the lowest common form of a listed tool, as a check that names what does not fit.

use serde_json::Value;

/// The formats of JSON Schema 2020-12, validation, section 7.3: all there are, whichever of them are offered. Not taken
/// from the code under test, which could then not be wrong.
const FORMATS: [&str; 19] = [
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
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 200;

/// What of a tool as listed some client would refuse or drop, each with its place.
pub(crate) fn misfits(tool: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let name = tool["name"].as_str().unwrap_or_default();
    if !is_plain(name, "_-") {
        found.push(format!("the name `{name}`"));
    }
    for text in ["title", "description"] {
        if tool[text].as_str().is_none_or(str::is_empty) {
            found.push(format!("no {text}"));
        }
    }
    html(tool, "the tool", &mut found);
    for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
        if !tool["annotations"][hint].is_boolean() {
            found.push(format!("no annotation `{hint}`"));
        }
    }
    let input = &tool["inputSchema"];
    root(input, &["type", "properties", "required", "additionalProperties"], "inputSchema", &mut found);
    schema(input, "inputSchema", Side::Input, &mut found);
    if let Some(output) = tool.get("outputSchema") {
        let structure = ["type", "properties", "required", "additionalProperties", "title", "description"];
        root(output, &structure, "outputSchema", &mut found);
        schema(output, "outputSchema", Side::Output, &mut found);
    }
    found
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// A model writes it, so a provider of models reads the schema.
    Input,
    /// Only the client reads it.
    Output,
}

/// Looks for HTML in a description, which clients show as it is.
fn html(described: &Value, place: &str, found: &mut Vec<String>) {
    let description = described["description"].as_str().unwrap_or_default();
    for tag in ["<p>", "</p>", "<code>", "</code>", "</a>", "<a href", "<strong>", "</strong>", "<br>", "<li>"] {
        if description.contains(tag) {
            found.push(format!("{place}: `{tag}` in the description"));
        }
    }
}

fn root(schema: &Value, allowed: &[&str], place: &str, found: &mut Vec<String>) {
    if schema["type"] != "object" {
        found.push(format!("{place}: the root is not `type: object`"));
    }
    for keyword in schema.as_object().into_iter().flat_map(serde_json::Map::keys) {
        if !allowed.contains(&keyword.as_str()) {
            found.push(format!("{place}: `{keyword}` at the root"));
        }
    }
    if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
        found.push(format!("{place}: not a JSON Schema: {error}"));
    }
}

fn schema(schema: &Value, place: &str, side: Side, found: &mut Vec<String>) {
    let Value::Object(keywords) = schema else {
        if side == Side::Input && !schema.is_boolean() {
            found.push(format!("{place}: a schema that is no object"));
        }
        return;
    };
    html(schema, place, found);
    for keyword in ["$ref", "$dynamicRef", "$defs", "definitions", "$id", "$anchor"] {
        if keywords.contains_key(keyword) {
            found.push(format!("{place}: `{keyword}`"));
        }
    }
    if let Some(format) = keywords.get("format")
        && !format.as_str().is_some_and(|format| FORMATS.contains(&format))
    {
        found.push(format!("{place}: the format {format}"));
    }
    let kinds = keywords.get("type");
    let is = |kind: &str| {
        kinds.is_some_and(|own| own == kind || own.as_array().is_some_and(|all| all.contains(&kind.into())))
    };
    if is("array") && !keywords.get("items").is_some_and(Value::is_object) {
        found.push(format!("{place}: an array without `items`"));
    }
    if side == Side::Input {
        if kinds.is_some_and(Value::is_array) {
            found.push(format!("{place}: `type` is a list"));
        }
        if keywords.contains_key("const") {
            found.push(format!("{place}: `const`"));
        }
        if place.contains('/') && keywords.get("additionalProperties") == Some(&Value::Bool(false)) {
            found.push(format!("{place}: a closed object below the root"));
        }
        if let Some(description) = keywords.get("description").and_then(Value::as_str)
            && description.chars().count() > MAX_DESCRIPTION
        {
            found.push(format!("{place}: a description of more than {MAX_DESCRIPTION} characters"));
        }
    }
    for name in keywords.get("properties").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
        if side == Side::Input && !is_plain(name, "_.-") {
            found.push(format!("{place}: the property `{name}`"));
        }
    }
    for (place, inner) in inner_schemas(schema, place) {
        self::schema(inner, &place, side, found);
    }
}

/// The schemas directly inside one, each with its place.
pub(crate) fn inner_schemas<'a>(schema: &'a Value, place: &str) -> Vec<(String, &'a Value)> {
    let mut inner = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        inner.push((format!("{place}/{name}"), property));
    }
    for keyword in ["items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"] {
        if let Some(one @ Value::Object(_)) = schema.get(keyword) {
            inner.push((format!("{place}/{keyword}"), one));
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        for one in schema[keyword].as_array().into_iter().flatten() {
            inner.push((format!("{place}/{keyword}"), one));
        }
    }
    inner
}

fn is_plain(name: &str, more: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

#[test]
fn each_misfit_is_seen() {
    let annotations = serde_json::json!({
        "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": true});
    let tool = |name: &str, input: Value, output: Value| {
        serde_json::json!({"name": name, "title": "T", "description": "D", "annotations": annotations,
            "inputSchema": input, "outputSchema": output})
    };
    let object = || serde_json::json!({"type": "object", "properties": {}});
    let input = |inner: Value| serde_json::json!({"type": "object", "properties": {"a": inner}});
    assert_eq!(misfits(&tool("a_b-C1", input(serde_json::json!({"type": "string"})), object())), [""; 0]);
    for (name, inner) in [
        ("a.b", serde_json::json!({})),
        ("", serde_json::json!({})),
        ("ok", serde_json::json!({"$ref": "#/x"})),
        ("ok", serde_json::json!({"type": "array"})),
        ("ok", serde_json::json!({"type": "integer", "format": "int64"})),
        ("ok", serde_json::json!({"type": ["string", "null"]})),
        ("ok", serde_json::json!({"type": "object", "properties": {"a[b]": {"type": "string"}}})),
        ("ok", serde_json::json!({"type": "object", "additionalProperties": false})),
        ("ok", serde_json::json!({"oneOf": [{"type": "array", "items": {"const": 1}}]})),
        ("ok", serde_json::json!({"description": "x".repeat(501)})),
        ("ok", serde_json::json!({"type": "nothing"})),
    ] {
        assert_eq!(misfits(&tool(name, input(inner.clone()), object())).len(), 1, "{name} {inner}");
    }
    let rooted = serde_json::json!({"type": "object", "properties": {}, "oneOf": [{}]});
    assert_eq!(misfits(&tool("ok", rooted.clone(), object())).len(), 1);
    assert_eq!(misfits(&tool("ok", object(), rooted)).len(), 1);
    assert_eq!(misfits(&serde_json::json!({"name": "ok"})).len(), 9);
}
