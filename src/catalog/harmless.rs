//! What of an argument may be written down in clear: what its schema proves harmless, and what an operator named. Never what
//! a schema marks as secret.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::secrets::{branches, marks_secret, members};

/// How deep values are looked into.
const MAX_DEPTH: usize = 6;
/// How many values of one argument are looked at.
const MAX_VALUES: usize = 200;

/// What may be written down of an argument.
#[derive(Debug, Default)]
pub struct Harmless {
    /// Whether the schema has an argument of this name.
    pub is_declared: bool,
    /// Values by their path within the argument, the empty one for all of it.
    pub values: Vec<HarmlessValue>,
}

/// A value that may be written down.
#[derive(Debug)]
pub struct HarmlessValue {
    /// Its path within the argument: names that the schema gives and places in lists, with dots between.
    pub path: String,
    /// It.
    pub value: Value,
    /// Whether a schema lists it word for word, so that it can be no secret that somebody put there.
    pub is_listed: bool,
}

/// Looks through the value of an argument. `named` tells whether an operator named what stands at a path.
pub(super) fn harmless(root: &Value, name: &str, value: &Value, named: &dyn Fn(&[&str]) -> bool) -> Harmless {
    let mut harmless = Harmless { is_declared: is_declared(root, name), values: Vec::new() };
    if harmless.is_declared {
        let mut walk = Walk { named, left: MAX_VALUES, found: &mut harmless.values };
        walk.value(&members(root, name), value, &mut vec![name]);
    }
    harmless
}

/// The arguments whose texts are not told in clear unless an operator named them: most are such.
pub(super) fn plain_texts(root: &Value) -> BTreeSet<String> {
    let is_plain = |schema: &Value| {
        let lists = ["enum", "const"].into_iter().any(|keyword| schema.get(keyword).is_some());
        schema.get("type").is_some_and(|kind| kind == "string") && !lists && branches(schema).next().is_none()
    };
    let properties = root.get("properties").and_then(Value::as_object).filter(|_| branches(root).next().is_none());
    let plain = properties.into_iter().flatten().filter(|(_, schema)| is_plain(schema));
    plain.map(|(name, _)| name.clone()).collect()
}

struct Walk<'a> {
    named: &'a dyn Fn(&[&str]) -> bool,
    left: usize,
    found: &'a mut Vec<HarmlessValue>,
}

impl Walk<'_> {
    fn value<'v>(&mut self, schemas: &[&Value], value: &'v Value, path: &mut Vec<&'v str>) {
        if self.left == 0 || path.len() > MAX_DEPTH || schemas.iter().any(|schema| marks_secret(schema)) {
            return;
        }
        self.left -= 1;
        match value {
            Value::Null => {}
            Value::Array(items) => {
                // Places as texts that live as long as the value; lists that are longer are not looked into further.
                const PLACES: [&str; 16] =
                    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
                for (place, item) in PLACES.into_iter().zip(items) {
                    path.push(place);
                    self.value(&below(schemas, place), item, path);
                    path.pop();
                }
            }
            Value::Object(inner) => {
                for (name, member) in inner {
                    // Names of others are somebody's own words.
                    if schemas.iter().any(|schema| is_declared(schema, name)) {
                        path.push(name);
                        self.value(&below(schemas, name), member, path);
                        path.pop();
                    }
                }
            }
            plain => {
                let is_listed = schemas.iter().any(|schema| lists(schema, plain));
                let is_plain = match plain {
                    Value::Bool(_) => schemas.iter().any(|schema| says(schema, "boolean")),
                    Value::Number(_) => schemas.iter().any(|schema| says(schema, "number") || says(schema, "integer")),
                    _ => false,
                };
                if is_listed || is_plain || (self.named)(path) {
                    let path = path.get(1..).unwrap_or_default().join(".");
                    self.found.push(HarmlessValue { path, value: plain.clone(), is_listed });
                }
            }
        }
    }
}

fn below<'a>(schemas: &[&'a Value], name: &str) -> Vec<&'a Value> {
    schemas.iter().flat_map(|schema| members(schema, name)).collect()
}

/// Whether a schema gives a member this name.
fn is_declared(schema: &Value, name: &str) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.is_some_and(|properties: &Map<String, Value>| properties.contains_key(name))
        || branches(schema).any(|branch| is_declared(branch, name))
}

/// Whether a schema says that a value is of this type.
fn says(schema: &Value, kind: &str) -> bool {
    let own = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|own| own == kind),
        Some(own) => own == kind,
        None => false,
    };
    own || branches(schema).any(|branch| says(branch, kind))
}

/// Whether a schema lists a value.
fn lists(schema: &Value, value: &Value) -> bool {
    schema.get("enum").and_then(Value::as_array).is_some_and(|listed| listed.contains(value))
        || schema.get("const") == Some(value)
        || branches(schema).any(|branch| lists(branch, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: Value, value: Value, named: &[&str]) -> (bool, Value) {
        let root = json!({"type": "object", "properties": {"a": schema}});
        let Harmless { is_declared, values } = harmless(&root, "a", &value, &|path| named.contains(&&*path.join(".")));
        (is_declared, values.into_iter().map(|HarmlessValue { path, value, .. }| (path, value)).collect())
    }

    #[test]
    fn only_what_a_schema_proves_harmless_is_told() {
        for (schema, value, expected) in [
            (json!({"type": "boolean"}), json!(true), json!({"": true})),
            (json!({"type": ["integer", "null"]}), json!(5), json!({"": 5})),
            (json!({"enum": ["a", "b"]}), json!("b"), json!({"": "b"})),
            (json!({"anyOf": [{"const": "b"}, {"type": "null"}]}), json!("b"), json!({"": "b"})),
            (json!({"enum": ["a", "b"]}), json!("canary"), json!({})),
            (json!({"type": "string"}), json!("canary"), json!({})),
            (json!({"type": "string"}), json!(4711), json!({})),
            (json!({}), json!(4711), json!({})),
            (json!({"type": "integer", "format": "password"}), json!(4711), json!({})),
            (json!({"type": "boolean", "writeOnly": true}), json!(true), json!({})),
            (
                json!({"type": "array", "items": {"type": "object", "properties": {
                    "level": {"enum": ["READ"]}, "n": {"type": "number"}, "t": {"type": "string"},
                    "s": {"type": "number", "writeOnly": true}}}}),
                json!([{"level": "READ", "n": 1.5, "t": "canary", "s": 1, "canary": 2}]),
                json!({"0.level": "READ", "0.n": 1.5}),
            ),
            (json!({"writeOnly": true, "properties": {"n": {"type": "number"}}}), json!({"n": 1}), json!({})),
            (json!({"additionalProperties": {"type": "number"}}), json!({"canary": 1}), json!({})),
        ] {
            assert_eq!(told(schema.clone(), value, &[]), (true, expected), "{schema}");
        }
    }

    #[test]
    fn of_plain_texts_nothing_is_told_in_clear() {
        for (schema, is_plain) in [
            (json!({"type": "string"}), true),
            (json!({"type": "string", "format": "password", "pattern": "^a"}), true),
            (json!({"type": "string", "enum": ["a"]}), false),
            (json!({"type": "string", "const": "a"}), false),
            (json!({"type": "string", "anyOf": [{"const": "a"}]}), false),
            (json!({"type": ["string", "null"]}), false),
            (json!({"type": "integer"}), false),
            (json!({}), false),
        ] {
            let root = json!({"type": "object", "properties": {"a": schema}});
            assert_eq!(plain_texts(&root).contains("a"), is_plain, "{schema}");
            assert_eq!(told(schema.clone(), json!("a"), &[]).1 == json!({}), !lists(&schema, &json!("a")), "{schema}");
        }
        let root = json!({"properties": {"a": {"type": "string"}}, "allOf": [{"properties": {"a": {"const": "a"}}}]});
        assert!(plain_texts(&root).is_empty());
    }

    #[test]
    fn what_an_operator_named_is_told_unless_it_is_secret() {
        let schema =
            json!({"properties": {"name": {"type": "string"}, "value": {"type": "string", "writeOnly": true}}});
        let value = json!({"name": "DB", "value": "canary", "other": "canary"});
        let named = ["a.name", "a.value", "a.other", "a"];
        assert_eq!(told(schema, value, &named), (true, json!({"name": "DB"})));
        assert_eq!(told(json!({"type": "string"}), json!("DB"), &["a"]), (true, json!({"": "DB"})));
        let root = json!({"type": "object", "additionalProperties": {"type": "boolean"}});
        let undeclared = harmless(&root, "canary", &json!(true), &|_| true);
        assert!(!undeclared.is_declared && undeclared.values.is_empty());
    }
}
