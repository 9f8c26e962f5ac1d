//! What listed schemas have in common, whichever side they are of. Must not know arguments nor answers.

use std::borrow::Cow;

use serde_json::Value;

use super::JsonObject;
use crate::{prose::tidy, schema::parts};

/// The longest description in a listed schema, in characters: a model reads all of them before its first call, and some
/// providers refuse longer ones.
const MAX_DESCRIPTION: usize = 200;

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

/// Drops a format of another vocabulary.
pub(super) fn drop_unknown_format(schema: &mut JsonObject) {
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| !FORMATS.contains(&format)) {
        schema.shift_remove("format");
    }
}

/// Brings every description in a schema into the words and the length that are listed: no HTML, not too long.
pub(super) fn tidy_descriptions(schema: &mut Value) {
    parts::visit(schema, &mut |schema| {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            if let Cow::Owned(plain) = tidy(text) {
                *text = plain;
            }
            if let Some(cut) = cut(text) {
                *text = cut;
            }
        }
    });
}

/// A description with a sentence behind it, no longer than a description may be: the sentence stays whole.
pub(super) fn with_end(description: &str, end: &str) -> String {
    let room = MAX_DESCRIPTION.saturating_sub(end.chars().count() + 1);
    let description = description.trim();
    if description.is_empty() {
        return end.to_owned();
    }
    if description.chars().count() <= room {
        return format!("{description} {end}");
    }
    let start: String = description.chars().take(room.saturating_sub(1)).collect();
    let start = start.rsplit_once(' ').map_or(start.as_str(), |(start, _)| start);
    format!("{start}… {end}")
}

/// A text that is too long, cut at the end of a sentence where one ends in its last half, else of a word; `None` where it
/// is not too long.
fn cut(text: &str) -> Option<String> {
    let (limit, _) = text.char_indices().nth(MAX_DESCRIPTION - 1)?;
    text.char_indices().nth(MAX_DESCRIPTION)?;
    let start = text.get(..limit)?;
    let half = text.char_indices().nth(MAX_DESCRIPTION / 2).map_or(0, |(half, _)| half);
    let ends = start.match_indices(['.', '!', '?']).map(|(at, mark)| at + mark.len());
    let is_end = |end: &usize| start.get(*end..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    if let Some(end) = ends.filter(is_end).rfind(|end| *end > half) {
        return start.get(..end).map(str::to_owned);
    }
    let follows_word = text.get(limit..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    let end = if follows_word { limit } else { start.rfind(char::is_whitespace).unwrap_or(limit) };
    Some(format!("{}…", start.get(..end)?.trim_end()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn long_descriptions_end_with_a_word() {
        let exact = "x".repeat(MAX_DESCRIPTION);
        assert_eq!(cut(&exact), None);
        assert_eq!(
            cut(&format!("{exact}x")).as_deref(),
            Some(format!("{}…", "x".repeat(MAX_DESCRIPTION - 1)).as_str())
        );
        let words = "word ".repeat(200);
        assert_eq!(cut(&words).as_deref(), Some(format!("{}…", "word ".repeat(40).trim_end()).as_str()));
        let sentences = format!("{} of it. {}", "word ".repeat(28).trim_end(), "word ".repeat(60));
        assert_eq!(cut(&sentences).as_deref(), Some(format!("{}word of it.", "word ".repeat(27)).as_str()));
        let mut schema = json!({"properties": {"description": {"description": exact.repeat(2)}}, "default": {"description": exact.repeat(2)}});
        tidy_descriptions(&mut schema);
        assert_eq!(
            schema["properties"]["description"]["description"].as_str().map(|text| text.chars().count()),
            Some(MAX_DESCRIPTION)
        );
        assert_eq!(
            schema["default"]["description"].as_str().map(str::len),
            Some(2 * MAX_DESCRIPTION),
            "data stays as it is"
        );
    }

    proptest! {
        #[test]
        fn no_text_is_too_long_afterwards(text in "(\\PC| ){0,1200}") {
            let short = cut(&text).unwrap_or_else(|| text.clone());
            prop_assert!(short.chars().count() <= MAX_DESCRIPTION);
            prop_assert!(text.starts_with(short.trim_end_matches('…')));
        }
    }
}
