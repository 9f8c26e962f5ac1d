//! Characters that nobody sees, in what was read: taken out before anything is made of it, and reported.
//!
//! What goes to a service as it is written keeps them: `value` and `body`. In a `pattern` they are written as escapes, which
//! mean the same. Line ends stay as they are.

use std::borrow::Cow;

use super::yaml::{Node, Value};
use crate::{
    diagnostic::{Code, Diagnostic, FileId, SourceMap, Span},
    prose::invisible::{clean_by, hidden, is_clean, without_hidden},
};

/// How many characters one message names.
const MAX_NAMED: usize = 8;
/// How many places of one file are reported.
const MAX_PLACES: usize = 20;

/// Takes them out of a document, and reports each place.
pub(super) fn take_out(root: &mut Node, problems: &mut Vec<Diagnostic>) {
    let before = problems.len();
    within(root, "", problems);
    let found = problems.len() - before;
    if found > MAX_PLACES {
        problems.truncate(before + MAX_PLACES);
        if let Some(last) = problems.last_mut() {
            let more = found - MAX_PLACES;
            last.message.push_str(&format!("; {more} more texts of this file hold some"));
        }
    }
}

fn within(node: &mut Node, key: &str, problems: &mut Vec<Diagnostic>) {
    match &mut node.value {
        Value::Null | Value::Bool(_) | Value::Number(..) => {}
        Value::String(text) => {
            if let Cow::Owned(clean) = shown(key, text) {
                problems.push(found(node.span, &hidden(text)));
                *text = clean;
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| within(item, key, problems)),
        Value::Mapping(entries) => {
            for (name, inner) in entries {
                let characters = hidden(&name.text);
                if !characters.is_empty() {
                    problems.push(found(name.span, &characters));
                    name.text = without_hidden(&name.text).into_owned();
                }
                within(inner, &name.text, problems);
            }
        }
    }
}

/// A text of a member as it is kept.
fn shown<'a>(key: &str, text: &'a str) -> Cow<'a, str> {
    match key {
        _ if is_clean(text) || hidden(text).is_empty() => Cow::Borrowed(text),
        "value" | "body" => Cow::Borrowed(text),
        "pattern" => Cow::Owned(escaped(text)),
        _ => without_hidden(text),
    }
}

/// Takes them out of a JSON document that holds schemas.
pub(crate) fn take_out_of_json(value: &mut serde_json::Value) {
    clean_by(value, &|member, text| match member {
        "value" | "body" => without_hidden(text),
        member => shown(member, text),
    });
}

/// A regular expression with escapes for what nobody sees.
fn escaped(pattern: &str) -> String {
    let characters = hidden(pattern);
    let mut out = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        match u32::from(character) {
            _ if !characters.contains(&character) => out.push(character),
            code @ ..=0xffff => out.push_str(&format!("\\u{code:04X}")),
            code => out.push_str(&format!("\\u{{{code:X}}}")),
        }
    }
    out
}

/// The warning about a file of another kind, a schema or an OpenAPI document, where its text holds some: at the first of
/// them. Escapes are understood as JSON writes them.
pub(crate) fn in_text(file: FileId, sources: &SourceMap) -> Option<Diagnostic> {
    let text = sources.text(file);
    let start = text.len() - text.strip_prefix('\u{feff}').unwrap_or(&text).len();
    let rest = text.get(start..)?;
    let mut characters = hidden(rest);
    let literal = characters.first().and_then(|first| rest.find(*first));
    let escape = if rest.trim_start().starts_with(['{', '[']) { escapes(rest, &mut characters) } else { None };
    let place = start + literal.into_iter().chain(escape).min()?;
    let end = place + text.get(place..)?.chars().next()?.len_utf8();
    Some(found(Span { file, start: place, end }, &characters))
}

/// Where the first escape of a character that nobody sees stands; their characters are added.
fn escapes(text: &str, characters: &mut Vec<char>) -> Option<usize> {
    let mut first = None;
    let (mut at, mut high) = (0, None);
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('\\')).map(|found| at + found) {
        let escape = text.get(next + 1..).unwrap_or_default();
        let unit = escape.strip_prefix('u').and_then(|rest| u32::from_str_radix(rest.get(..4)?, 16).ok());
        at = next + 1 + escape.chars().next().map_or(0, char::len_utf8);
        let code = match (unit, high.take()) {
            (Some(unit @ 0xd800..0xdc00), _) => {
                high = Some(unit);
                continue;
            }
            (Some(low @ 0xdc00..0xe000), Some(high)) => 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
            (Some(unit), _) => unit,
            (None, _) => match escape.chars().next() {
                Some('b') => 8,
                _ => continue,
            },
        };
        let written = char::from_u32(code).map(String::from).unwrap_or_default();
        for character in hidden(&written) {
            first = first.or(Some(next));
            if !characters.contains(&character) {
                characters.push(character);
            }
        }
    }
    first
}

fn found(span: Span, characters: &[char]) -> Diagnostic {
    let mut names: Vec<String> =
        characters.iter().take(MAX_NAMED).map(|one| format!("U+{:04X}", u32::from(*one))).collect();
    if characters.len() > MAX_NAMED {
        names.push(format!("{} more", characters.len() - MAX_NAMED));
    }
    let message = format!("the text holds characters that nobody sees: {}", names.join(", "));
    Diagnostic::warning(Code::HiddenCharacters, span, message)
        .with_source_hidden()
        .with_help("models and clients are given the text without them; look what they are for, and take them out")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_lose_them_and_patterns_write_them_out() {
        let mut schema = json!({
            "title": "a\u{200b}b", "pattern": "^[^\u{200b}\u{e0041}\r]+$", "enum": ["x\u{202e}", "y\r\n"],
            "properties": {"pattern": {"description": "c\u{7}"}, "na\u{ad}me": {"default": "\u{feff}"}}
        });
        take_out_of_json(&mut schema);
        let expected = json!({
            "title": "ab", "pattern": "^[^\\u200B\\u{E0041}\r]+$", "enum": ["x", "y\r\n"],
            "properties": {"pattern": {"description": "c"}, "name": {"default": ""}}
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn the_first_one_of_a_text_is_found() {
        for (text, expected) in [
            (r#"{"a": "b"}"#, None),
            (r#"{"a": "\\u200b \r\n\t \u00e9 \ud83d\ude00"}"#, None),
            ("\u{feff}{\"a\": \"b\"}\r\n", None),
            (r#"{"a": "x\u200by\b\u200b"}"#, Some((8, "U+200B, U+0008"))),
            (r#"{"a": "\udb40\udc41"}"#, Some((13, "U+E0041"))),
            ("{\"a\": \"x\u{202e}\\u200b\"}", Some((8, "U+202E, U+200B"))),
            ("a: 'x\u{202e}'", Some((5, "U+202E"))),
            ("pattern: '[^\\u0000]'", None),
        ] {
            let mut sources = SourceMap::default();
            let file = sources.add("a", text);
            let found = in_text(file, &sources);
            let found = found.as_ref().map(|found| (found.primary.start, found.message.rsplit_once(": ").unwrap().1));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
