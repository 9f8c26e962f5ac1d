//! Whether a schema is valid, found cheaply: nothing can be wrong with most of them, and a validator takes more time and
//! memory than all the rest of a tool.

use std::collections::HashSet;

use jsonschema::ValidationError;
use serde_json::Value;

use super::{dialect, pattern::is_pattern};

/// Checks schemas, remembering the patterns it has seen.
#[derive(Debug, Default)]
pub struct Checker {
    /// Regular expressions that are good. Documents repeat a few of them again and again.
    patterns: HashSet<String>,
}

impl Checker {
    /// Checks that a validator can be built from a schema (JSON Schema 2020-12). Error: what is wrong, and where.
    pub fn check(&mut self, schema: &Value) -> Result<(), Box<ValidationError<'static>>> {
        if self.is_plainly_valid(schema) {
            return Ok(());
        }
        // The library has the last word, and the words for it.
        super::validator_options().build(schema).map(|_| ()).map_err(Box::new)
    }

    fn is_plainly_valid(&mut self, schema: &Value) -> bool {
        match schema {
            Value::Object(keywords) => keywords.iter().all(|(keyword, value)| self.is_plain_keyword(keyword, value)),
            other => other.is_boolean(),
        }
    }

    fn is_plain_keyword(&mut self, keyword: &str, value: &Value) -> bool {
        match (keyword, value) {
            ("type", Value::Array(kinds)) => {
                !kinds.is_empty() && is_set_of_texts(kinds) && kinds.iter().all(dialect::is_type)
            }
            ("type", kind) => dialect::is_type(kind),
            ("pattern", Value::String(pattern)) => self.is_good_pattern(pattern),
            ("required", Value::Array(names)) => is_set_of_texts(names),
            ("dependentRequired", Value::Object(lists)) => {
                lists.values().all(|names| names.as_array().is_some_and(|names| is_set_of_texts(names)))
            }
            ("patternProperties", Value::Object(schemas)) => {
                schemas.iter().all(|(pattern, schema)| self.is_good_pattern(pattern) && self.is_plainly_valid(schema))
            }
            ("properties" | "dependentSchemas", Value::Object(schemas)) => {
                schemas.values().all(|schema| self.is_plainly_valid(schema))
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                !schemas.is_empty() && schemas.iter().all(|schema| self.is_plainly_valid(schema))
            }
            (keyword, schema) if dialect::HOLDS_SCHEMA.contains(&keyword) => self.is_plainly_valid(schema),
            (keyword, value) => dialect::KEYWORDS.contains(&keyword) && dialect::is_possible(keyword, value),
        }
    }

    fn is_good_pattern(&mut self, pattern: &str) -> bool {
        if self.patterns.contains(pattern) {
            return true;
        }
        let good = is_pattern(pattern);
        if good {
            self.patterns.insert(pattern.to_owned());
        }
        good
    }
}

fn is_set_of_texts(values: &[Value]) -> bool {
    let mut seen = HashSet::new();
    values.iter().all(|value| value.as_str().is_some_and(|text| seen.insert(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::inline::tests::junk, *};

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let mut checker = Checker::default();
        checker
            .check(&json!({"type": "object", "properties": {"a": {"pattern": "^a+$", "enum": ["a"]}}}))
            .expect("valid");
        for (schema, place) in [
            (json!({"type": "text"}), "/type"),
            (json!({"properties": {"a": {"minLength": -1}}}), "/properties/a/minLength"),
            (json!({"required": ["a", "a"]}), "/required"),
            (json!({"pattern": "(["}), "/pattern"),
            (json!({"items": 7}), "/items"),
        ] {
            let error = checker.check(&schema).expect_err("not valid");
            assert_eq!(error.instance_path().as_str(), place, "{schema}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plainly_valid_is_valid(schema in junk()) {
            if Checker::default().is_plainly_valid(&schema) {
                let built = super::super::validator_options().should_validate_formats(true).should_ignore_unknown_formats(true).build(&schema);
                prop_assert!(built.is_ok(), "{schema}: {:?}", built.err());
            }
        }
    }
}
