//! The schemas inside a schema. Must not know what is done with them.

use serde_json::{Map, Value};

use super::dialect::HOLDS_SCHEMA;

/// Hands over a schema and every schema inside it, the outer ones first. Values that are no schemas, such as those of
/// `enum`, are left alone.
pub(crate) fn visit(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(schema) = schema else { return };
    change(schema);
    for (keyword, value) in schema {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "dependentSchemas", Value::Object(schemas)) => {
                schemas.values_mut().for_each(|schema| visit(schema, change));
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|schema| visit(schema, change));
            }
            (keyword, schema) if HOLDS_SCHEMA.contains(&keyword) => visit(schema, change),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_visited_and_data_is_not() {
        let mut schema = json!({
            "properties": {"default": {"title": "a"}, "x": {"items": {"title": "b"}}},
            "anyOf": [{"not": {"title": "c"}}, true],
            "default": {"title": "data"}, "enum": [{"title": "data"}], "const": {"items": {"title": "data"}}});
        let mut seen = Vec::new();
        visit(&mut schema, &mut |schema| seen.extend(schema.get("title").cloned()));
        assert_eq!(seen, ["a", "b", "c"]);
    }
}
