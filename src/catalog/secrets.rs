//! Which values of an argument are secret: those that their schema marks, in whatever branch of it.

use secrecy::SecretString;
use serde_json::Value;

use super::fill::whole_numbers;
use crate::sensitive::{accepts_secret, names_secret_value, says_secret};

/// Whether a schema, or a branch of it, marks its values as secret.
pub(super) fn marks_secret(schema: &Value) -> bool {
    schema.as_object().is_some_and(says_secret) || branches(schema).any(marks_secret)
}

/// The alternatives that a schema combines.
pub(super) fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|keyword| schema.get(keyword)?.as_array()).flatten();
    lists.chain(["if", "then", "else"].into_iter().filter_map(|keyword| schema.get(keyword)))
}

/// Every schema that says something of a member or an item of a value, in all branches.
pub(super) fn members<'a>(schema: &'a Value, name: &str) -> Vec<&'a Value> {
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

/// Whether a member of a map of variables is secret by its name.
fn is_secret_variable(schemas: &[&Value], name: &str) -> bool {
    schemas.iter().any(|schema| schema.as_object().is_some_and(accepts_secret)) && names_secret_value(name)
}

pub(super) fn collect_secrets(schemas: &[&Value], value: &Value, inside: bool, found: &mut Vec<SecretString>) {
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
                let schemas = below(name);
                collect_secrets(&schemas, member, inside || is_secret_variable(&schemas, name), found);
            }
        }
        _ => {}
    }
}

/// The value with a text in the place of every secret one.
pub(super) fn replace_secrets(schemas: &[&Value], value: &Value, inside: bool, stand_in: &str) -> Value {
    let inside = inside || schemas.iter().any(|schema| marks_secret(schema));
    let below = |name: &str| schemas.iter().flat_map(|schema| members(schema, name)).collect::<Vec<_>>();
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| replace_secrets(&below(&index.to_string()), item, inside, stand_in)).collect()
        }
        Value::Object(members) => {
            let members = members.iter();
            let replaced = |(name, member): (&String, &Value)| {
                let schemas = below(name);
                let inside = inside || is_secret_variable(&schemas, name);
                (name.clone(), replace_secrets(&schemas, member, inside, stand_in))
            };
            Value::Object(members.map(replaced).collect())
        }
        Value::Null => Value::Null,
        _ if inside => Value::from(stand_in),
        open => open.clone(),
    }
}

/// Whether a value lies in a secret one. What the schema does not know might be one in the wrong place.
pub(super) fn is_secret(root: &Value, pointer: &str) -> bool {
    let mut schemas = vec![root];
    for step in pointer.split('/').skip(1) {
        let name = step.replace("~1", "/").replace("~0", "~");
        schemas = schemas.iter().flat_map(|schema| members(schema, &name)).collect();
        if schemas.is_empty() || schemas.iter().any(|schema| marks_secret(schema)) {
            return true;
        }
    }
    false
}
