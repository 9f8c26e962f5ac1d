//! YAML → JSON, by the parser of specs with its limits: depth, nodes, what aliases expand to.

use serde_json::Value;

use super::DecodeError;
use crate::{diagnostic::SourceMap, spec::yaml};

/// Reads one document. The parser's own sentence is not shown: it may hold a key of the answer.
pub(super) fn decode(text: &str) -> Result<Value, DecodeError> {
    let mut sources = SourceMap::default();
    let file = sources.add("answer", text);
    match yaml::parse(file, &sources) {
        Ok(node) => Ok(node.to_json()),
        Err(problem) => {
            let place = sources.position(problem.primary.file, problem.primary.start);
            Err(DecodeError::at("valid YAML", "it broke", place))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_types() {
        let text = "users:\n  - id: \"1\"\n    age: 4\n    on: no\n    at: 2026-05-25\n    gone: ~\n";
        let expected = json!({"users": [{"id": "1", "age": 4, "on": "no", "at": "2026-05-25", "gone": null}]});
        assert_eq!(decode(text), Ok(expected));
    }

    #[test]
    fn a_bomb_is_refused() {
        let long = "x".repeat(100_000);
        let aliases = vec!["*a"; 9_000].join(", ");
        assert!(decode(&format!("a: &a \"{long}\"\nb: [{aliases}]\n")).is_err(), "900 MB of text");
    }
}
