//! What listed schemas have in common, whichever side they are of. Must not know arguments nor answers.

use std::borrow::Cow;

use serde_json::Value;

use super::JsonObject;
use crate::{
    prose::{
        lengths::{MAX_ARGUMENT, cut},
        tidy,
    },
    schema::parts,
};

/// The most values of a choice that are listed.
const MAX_CHOICES: usize = 200;
/// The longest value of a choice that is listed, in characters.
const MAX_CHOICE: usize = 200;

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
            if let Some(cut) = cut(text, MAX_ARGUMENT) {
                *text = cut;
            }
        }
    });
}

/// A description with a sentence behind it, no longer than a description may be: the sentence stays whole.
pub(super) fn with_end(description: &str, end: &str) -> String {
    let room = MAX_ARGUMENT.saturating_sub(end.chars().count() + 1);
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

/// Leaves a choice open that has too many values, or too long ones, and says how many there are. The check still knows all.
pub(super) fn shorten_choices(schema: &mut JsonObject) {
    const NAMED: usize = 5;
    let Some(Value::Array(options)) = schema.get("enum") else { return };
    let is_long = |option: &Value| option.as_str().is_some_and(|text| text.chars().nth(MAX_CHOICE).is_some());
    if options.len() <= MAX_CHOICES && !options.iter().any(is_long) {
        return;
    }
    let some = options.iter().filter(|option| !is_long(option)).filter_map(Value::as_str).take(NAMED);
    let some: Vec<String> = some.map(|option| format!("`{option}`")).collect();
    let such_as = if some.is_empty() { String::new() } else { format!(", such as {}", some.join(", ")) };
    let told = format!("One of {} values{such_as}.", options.len());
    schema.shift_remove("enum");
    let described = schema.get("description").and_then(Value::as_str).map(|text| format!("{text} {told}"));
    schema.insert("description".to_owned(), Value::from(described.unwrap_or(told)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::prose::lengths::MAX_ARGUMENT as MAX_DESCRIPTION;

    fn cut(text: &str) -> Option<String> {
        super::cut(text, MAX_DESCRIPTION)
    }

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
