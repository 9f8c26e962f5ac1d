//! The body of a request: JSON, text or a form, with slots, and filling it in.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    fill::{Fill, Scope, text_of, whole_numbers},
    path::ENCODED,
};
use crate::error::{ArgumentProblem, CallError};

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyTemplate {
    /// None is sent.
    None,
    /// JSON. An object is sent even when no member of it is filled.
    Json(Fill),
    /// Text or bytes of a media type.
    Text {
        /// The media type.
        media_type: String,
        /// The text.
        fill: Fill,
        /// How the argument holds it.
        encoding: Encoding,
    },
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Fill)>),
    /// `multipart/form-data` (RFC 7578).
    Multipart(Vec<PartTemplate>),
}

/// A part of a form.
#[derive(Clone, Debug, PartialEq)]
pub struct PartTemplate {
    /// The field.
    pub name: String,
    /// Its value; a list is a part for each item.
    pub fill: Fill,
    /// The name of the file it is.
    pub filename: Option<Fill>,
    /// Its media type.
    pub content_type: Option<String>,
    /// How the argument holds it.
    pub encoding: Encoding,
}

/// How an argument holds what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is sent.
    Plain,
    /// Bytes in base64 (RFC 4648, section 4).
    Base64,
}

impl BodyTemplate {
    /// What fills its slots.
    pub fn fills(&self) -> Vec<&Fill> {
        match self {
            Self::None => Vec::new(),
            Self::Json(fill) | Self::Text { fill, .. } => vec![fill],
            Self::Form(fields) => fields.iter().map(|(_, fill)| fill).collect(),
            Self::Multipart(parts) => {
                parts.iter().flat_map(|part| std::iter::once(&part.fill).chain(&part.filename)).collect()
            }
        }
    }

    /// The bytes and their media type; `None` where nothing is sent.
    pub(super) fn bind(
        &self,
        scope: &Scope<'_>,
        problems: &mut Vec<ArgumentProblem>,
    ) -> Result<Option<(Bytes, String)>, CallError> {
        Ok(match self {
            Self::None => None,
            Self::Json(fill) => {
                let value = fill.value(scope)?.map(|value| whole_numbers(value.into_owned()));
                let value =
                    value.or_else(|| matches!(fill, Fill::Object(_)).then(|| Value::Object(Default::default())));
                value.map(|value| (Bytes::from(value.to_string()), "application/json".to_owned()))
            }
            Self::Text { media_type, fill, encoding } => {
                let bytes = bytes_of(fill, *encoding, "body", scope, problems)?;
                bytes.map(|bytes| (Bytes::from(bytes), media_type.clone()))
            }
            Self::Form(fields) => {
                let mut pairs = Vec::new();
                for (name, fill) in fields {
                    if let Some(value) = fill.value(scope)? {
                        push_form(name, &value, &mut pairs);
                    }
                }
                let text = pairs.join("&");
                Some((Bytes::from(text), "application/x-www-form-urlencoded".to_owned()))
            }
            Self::Multipart(parts) => Some(multipart(parts, scope, problems)?),
        })
    }
}

/// A value as form pairs: a list repeats its name, members are named in brackets, as HTML forms and query strings do.
pub(super) fn push_form(name: &str, value: &Value, pairs: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| push_form(name, item, pairs)),
        Value::Object(members) => {
            for (member, value) in members {
                push_form(&format!("{name}[{member}]"), value, pairs);
            }
        }
        scalar => pairs.extend(text_of(scalar).map(|text| pair(name, &text))),
    }
}

/// `NAME=VALUE`, both encoded.
pub(super) fn pair(name: &str, value: &str) -> String {
    format!("{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(value, ENCODED))
}

fn bytes_of(
    fill: &Fill,
    encoding: Encoding,
    slot: &str,
    scope: &Scope<'_>,
    problems: &mut Vec<ArgumentProblem>,
) -> Result<Option<Vec<u8>>, CallError> {
    let Some(text) = fill.value(scope)?.as_deref().and_then(text_of) else { return Ok(None) };
    if encoding == Encoding::Plain {
        return Ok(Some(text.into_bytes()));
    }
    let compact: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(compact).map_err(|_| {
        let message = "must be base64 (RFC 4648) of the bytes to send".to_owned();
        problems.push(ArgumentProblem { argument: fill.shown(slot).to_owned(), message });
    });
    Ok(decoded.ok())
}

/// A form of parts. The boundary is a digest of what it bounds: it cannot stand there by chance, and the same call makes
/// the same request.
fn multipart(
    parts: &[PartTemplate],
    scope: &Scope<'_>,
    problems: &mut Vec<ArgumentProblem>,
) -> Result<(Bytes, String), CallError> {
    let mut heads_and_bodies: Vec<(String, Vec<u8>)> = Vec::new();
    for PartTemplate { name, fill, filename, content_type, encoding } in parts {
        let values: Vec<Fill> = match fill.value(scope)?.as_deref() {
            Some(Value::Array(items)) => items.iter().cloned().map(Fill::Literal).collect(),
            Some(_) => vec![fill.clone()],
            None => Vec::new(),
        };
        let filename = match filename {
            Some(fill) => fill.value(scope)?.as_deref().and_then(text_of),
            None => None,
        };
        for value in values {
            let Some(bytes) = bytes_of(&value, *encoding, name, scope, problems)? else { continue };
            let mut head = format!("Content-Disposition: form-data; name=\"{}\"", quoted(name));
            if let Some(filename) = &filename {
                write!(head, "; filename=\"{}\"", quoted(filename)).ok(); // a string takes everything
            }
            if let Some(kind) = content_type {
                write!(head, "\r\nContent-Type: {kind}").ok();
            }
            heads_and_bodies.push((head, bytes));
        }
    }
    let mut digest = Sha256::new();
    for (head, bytes) in &heads_and_bodies {
        digest.update(head.as_bytes());
        digest.update(bytes);
    }
    let digest: String = digest.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let boundary = format!("keyglass-{digest}");
    let mut body = Vec::new();
    for (head, bytes) in heads_and_bodies {
        body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(&bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((Bytes::from(body), format!("multipart/form-data; boundary={boundary}")))
}

/// As HTML's form encoding quotes names (RFC 7578, section 2, and the WHATWG's multipart encoding).
fn quoted(text: &str) -> String {
    let escape = |character: char| match character {
        '"' => "%22".to_owned(),
        '\r' => "%0D".to_owned(),
        '\n' => "%0A".to_owned(),
        other if other.is_control() => String::new(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bind(body: &BodyTemplate, arguments: Value) -> (Option<(String, String)>, Vec<ArgumentProblem>) {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let mut problems = Vec::new();
        let scope = Scope::new(&arguments, &Value::Null);
        let bound = body.bind(&scope, &mut problems).expect("bound");
        let text = bound.map(|(bytes, kind)| (String::from_utf8(bytes.to_vec()).expect("text"), kind));
        (text, problems)
    }

    fn argument(name: &str) -> Fill {
        Fill::Argument(name.to_owned())
    }

    #[test]
    fn an_object_is_sent_even_when_nothing_fills_it() {
        let body = BodyTemplate::Json(Fill::Object(vec![("a".to_owned(), argument("a"))]));
        assert_eq!(bind(&body, json!({})).0, Some(("{}".to_owned(), "application/json".to_owned())));
        assert_eq!(bind(&body, json!({"a": [3.0]})).0.map(|(text, _)| text), Some(r#"{"a":[3]}"#.to_owned()));
        assert_eq!(bind(&BodyTemplate::Json(argument("body")), json!({})).0, None);
    }

    #[test]
    fn forms_are_encoded() {
        let body = BodyTemplate::Form(vec![("a b".to_owned(), argument("a")), ("c".to_owned(), argument("c"))]);
        let (bound, _) = bind(&body, json!({"a": ["x&y", 2], "c": {"d": "é", "e": null}}));
        let (text, kind) = bound.expect("a body");
        assert_eq!(text, "a%20b=x%26y&a%20b=2&c%5Bd%5D=%C3%A9");
        assert_eq!(kind, "application/x-www-form-urlencoded");
    }

    #[test]
    fn parts_cannot_break_out() {
        let part = |name: &str, encoding| PartTemplate {
            name: name.to_owned(),
            fill: argument("file"),
            filename: Some(argument("name")),
            content_type: Some("text/plain".to_owned()),
            encoding,
        };
        let body = BodyTemplate::Multipart(vec![part("file", Encoding::Plain)]);
        let (bound, _) = bind(&body, json!({"file": "x\r\n--keyglass", "name": "a\"\r\nX: y"}));
        let (text, kind) = bound.expect("a body");
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
        assert_eq!(
            text,
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22%0D%0AX: y\"\r\n\
                 Content-Type: text/plain\r\n\r\nx\r\n--keyglass\r\n--{boundary}--\r\n"
            )
        );
        let body = BodyTemplate::Multipart(vec![part("file", Encoding::Base64)]);
        assert!(bind(&body, json!({"file": "aGk=", "name": "x"})).0.expect("a body").0.contains("\r\n\r\nhi\r\n"));
        let (_, problems) = bind(&body, json!({"file": "***", "name": "x"}));
        assert_eq!(problems.first().map(|problem| problem.argument.as_str()), Some("file"));
    }
}
