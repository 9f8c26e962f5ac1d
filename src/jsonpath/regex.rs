//! Matching a text with a regular expression in a filter. The strict dialect's own `match` compiles its expression anew
//! for every value it looks at, which takes far longer than matching.

use std::cell::RefCell;

use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

/// The name of the function, as paths of the strict dialect call it.
pub(super) const MATCHES: &str = "matches";
/// The largest regular expression, compiled, in bytes.
const MAX_BYTES: usize = 32 * 1024;
/// How many compiled expressions a thread keeps: more than one filter has.
const KEPT: usize = 8;

thread_local! {
    /// The expressions used last, the newest at the end.
    static COMPILED: RefCell<Vec<(String, regex::Regex)>> = const { RefCell::new(Vec::new()) };
}

/// Refuses what is no regular expression, and what would be too large a one.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    // Alone as well: `a)(b` is none, but would be one within parentheses.
    match regex::RegexBuilder::new(pattern).size_limit(MAX_BYTES).build().and_then(|_| compile(pattern)) {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err("a regular expression is too large; `[a-z]` is smaller than `\\w`, and so are fewer repetitions"
                .to_owned())
        }
        Err(_) => Err(format!("`{}` is not a regular expression", super::normal::shown(pattern))),
    }
}

/// The whole text has to match, as with Java's `matches`.
fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$")).crlf(true).size_limit(MAX_BYTES).build()
}

#[serde_json_path::function]
fn matches(value: ValueType<'_>, pattern: ValueType<'_>) -> LogicalType {
    let (Some(Value::String(text)), Some(Value::String(pattern))) = (value.as_value(), pattern.as_value()) else {
        return LogicalType::False;
    };
    COMPILED.with_borrow_mut(|compiled| {
        if let Some((_, regex)) = compiled.iter().find(|(known, _)| known == pattern) {
            return regex.is_match(text).into();
        }
        let Ok(regex) = compile(pattern) else { return LogicalType::False };
        if compiled.len() == KEPT {
            compiled.remove(0);
        }
        let matched = regex.is_match(text);
        compiled.push((pattern.clone(), regex));
        matched.into()
    })
}
