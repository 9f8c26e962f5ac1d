//! JSON values as YAML that a person would write: block style, plain scalars where they are read back as the same text.
//!
//! Written here since specs are all this program writes, and the one thing that matters is that every text survives.

use serde_json::Value;

/// A value as a YAML document (YAML 1.2), its members in their order.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                pad(indent, out);
                out.push_str(&scalar(key));
                out.push(':');
                member(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                pad(indent, out);
                out.push('-');
                if matches!(item, Value::Object(members) if !members.is_empty()) {
                    // The first member stands behind the dash, as people write it.
                    let mut inner = String::new();
                    block(item, indent + 1, &mut inner);
                    out.push(' ');
                    out.push_str(inner.trim_start_matches(' '));
                } else {
                    member(item, indent, out);
                }
            }
        }
        _ => {
            pad(indent, out);
            out.push_str(&leaf(value));
            out.push('\n');
        }
    }
}

/// What stands behind a colon or a dash.
fn member(value: &Value, indent: usize, out: &mut String) {
    let nested = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        block(value, indent + 1, out);
    } else {
        out.push(' ');
        out.push_str(&leaf(value));
        out.push('\n');
    }
}

fn pad(indent: usize, out: &mut String) {
    out.push_str(&"  ".repeat(indent));
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// A text: plain where no reader of YAML 1.1 or 1.2 takes it for anything else, quoted otherwise.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            // Line ends of their own, the byte order mark, what may not stand in YAML.
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            control if control.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let inner = |character: char| character.is_alphanumeric() || " _-./()',;$@+=".contains(character);
    text.starts_with(|first: char| first.is_alphabetic() || first == '/')
        && !text.ends_with(' ')
        && text.chars().all(inner)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{diagnostic::SourceMap, spec::yaml};

    fn read_back(text: &str) -> Value {
        let mut sources = SourceMap::default();
        let file = sources.add("x.yaml", text);
        yaml::parse(file, &sources).unwrap_or_else(|problem| panic!("{}: {text}", problem.message)).to_json()
    }

    #[test]
    fn documents_look_as_people_write_them() {
        let value = json!({
            "ikanos": "1.0.0-beta5",
            "empty": {}, "none": [],
            "list": [{"type": "http", "tags": ["a", "b: c"]}, [1, true], "plain text", "yes", ""],
            "path": "/pets/{{id}}"});
        let text = document(&value);
        assert_eq!(
            text,
            "ikanos: \"1.0.0-beta5\"\nempty: {}\nnone: []\nlist:\n  - type: http\n    tags:\n      - a\n      - \"b: c\"\n  -\n    \
             - 1\n    - true\n  - plain text\n  - \"yes\"\n  - \"\"\npath: \"/pets/{{id}}\"\n"
        );
        assert_eq!(read_back(&text), value);
    }

    proptest! {
        #[test]
        fn every_text_is_read_back(text in "\\PC{0,40}|[ -~\\n\\t\\r\\x00-\\x1f\u{85}\u{2028}\u{feff}]{0,20}", key in "\\PC{1,10}") {
            let mut value = json!({"list": [&text, {"inner": &text}]});
            value[&key] = json!(text);
            prop_assert_eq!(read_back(&document(&value)), value);
        }
    }
}
