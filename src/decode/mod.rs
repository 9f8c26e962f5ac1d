//! An answer's bytes → JSON, by the format that a spec declares (`outputRawFormat`) and the `Content-Type` that came.
//!
//! A file for each family of formats; what they all give is plain JSON. Foreign bytes come in here: every reader has
//! limits for nesting, for the number of values and for text that the format lets repeat itself. Errors say what broke
//! and where, and never repeat the answer. Must not know specs, tools or requests.

mod budget;
mod charset;
mod delimited;
mod html;
mod markdown;
mod table;
mod xml;
mod yaml;

use bytes::Bytes;
use serde_json::Value;

use self::charset::OnInvalid;
pub use self::html::CssSelector;
use crate::media_type::essence;

/// How deep answers may be nested in formats whose readers are written here; as in `serde_json`.
const MAX_DEPTH: usize = 128;

/// The format that an operation answers in.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// JSON (RFC 8259).
    Json,
    /// Text, handed on as one JSON string.
    Text,
    /// XML: the root element is dropped, repeated elements are arrays, attributes are members, text stands under `""`.
    Xml,
    /// Comma-separated values (RFC 4180): an array of objects of strings, named by the first row.
    Csv,
    /// The same with tabs.
    Tsv,
    /// The same with `|`.
    Psv,
    /// YAML, one document.
    Yaml,
    /// The tables of a page: `{"tables": [[{COLUMN: TEXT}]]}`.
    Html {
        /// Where tables are looked for; the whole page without it.
        selector: Option<CssSelector>,
    },
    /// `{"frontMatter": {}, "tables": [[{COLUMN: TEXT}]], "sections": [{"heading", "level", "content"}]}`.
    Markdown {
        /// How the headings of the sections begin; all sections without it.
        heading: Option<String>,
    },
    /// Bytes that are no JSON.
    Binary,
}

/// Why a format cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// No such format; [`Format::NAMES`] has those there are.
    #[error("unknown format `{0}`")]
    Unknown(String),
    /// A format of the language that is not run by this version.
    #[error("answers in the format `{0}` are not run by this version")]
    Unsupported(String),
    /// `outputSchema` of an HTML answer is not a CSS selector, or not one of those that are understood.
    #[error("`{0}` is not a CSS selector of the kind that is run")]
    Selector(String),
}

/// An answer, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// The answer as JSON; null where there was no body.
    Json(Value),
    /// An answer that is no JSON and cannot be made JSON.
    Binary {
        /// From `Content-Type`, without parameters and in lower case; `application/octet-stream` without it.
        media_type: String,
        /// The body.
        bytes: Bytes,
    },
}

/// Why an answer could not be read. Repeats nothing of it, nor of its `Content-Type`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}: {reason}")]
pub struct DecodeError {
    /// What the answer should have been, as in "valid JSON".
    pub expected: &'static str,
    /// What stood in the way, with line and column where they are known.
    pub reason: String,
}

impl Format {
    /// The names of the formats that are run, as `outputRawFormat` writes them.
    pub const NAMES: [&str; 10] = ["json", "text", "xml", "csv", "tsv", "psv", "yaml", "html", "markdown", "binary"];

    /// The format of a name, in upper or lower case. `schema` is `outputSchema`: a CSS selector for `html`, the beginning
    /// of a heading for `markdown`, without meaning elsewhere. `text` is not in the language's schema; published specs
    /// have it.
    pub fn parse(name: &str, schema: Option<&str>) -> Result<Self, FormatError> {
        let schema = schema.map(str::trim).filter(|text| !text.is_empty());
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "text" => Self::Text,
            "xml" => Self::Xml,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "psv" => Self::Psv,
            "yaml" => Self::Yaml,
            "html" => Self::Html { selector: schema.map(CssSelector::parse).transpose()? },
            "markdown" => Self::Markdown { heading: schema.map(str::to_owned) },
            "binary" => Self::Binary,
            "avro" | "protobuf" => return Err(FormatError::Unsupported(name.trim().to_owned())),
            _ => return Err(FormatError::Unknown(name.trim().to_owned())),
        })
    }

    /// The value of the `Accept` header that asks for this format. Never closed: some backends answer 406 to a type they
    /// do not name exactly so, and would have sent the right thing.
    pub fn accept(&self) -> &'static str {
        match self {
            Self::Json => "application/json, */*;q=0.5",
            Self::Text => "text/plain, text/*;q=0.9, */*;q=0.5",
            Self::Xml => "application/xml, text/xml, */*;q=0.5",
            Self::Csv => "text/csv, */*;q=0.5",
            Self::Tsv => "text/tab-separated-values, */*;q=0.5",
            Self::Psv => "text/plain, */*;q=0.5",
            Self::Yaml => "application/yaml, application/x-yaml, text/yaml, */*;q=0.5",
            Self::Html { .. } => "text/html, application/xhtml+xml, */*;q=0.5",
            Self::Markdown { .. } => "text/markdown, text/plain;q=0.9, */*;q=0.5",
            Self::Binary => "*/*",
        }
    }

    /// What an answer in this format is, in an error.
    fn expected(&self) -> &'static str {
        match self {
            Self::Json => "valid JSON",
            Self::Text | Self::Binary => "readable text",
            Self::Xml => "well-formed XML",
            Self::Csv | Self::Tsv | Self::Psv => "a table of delimited values",
            Self::Yaml => "valid YAML",
            Self::Html { .. } => "a page of HTML",
            Self::Markdown { .. } => "a Markdown text",
        }
    }

    /// What becomes of bytes that are no UTF-8 where nothing says what else they are. Tables and pages are often written
    /// by programs of Windows; texts and logs are cut anywhere.
    fn on_invalid(&self) -> OnInvalid {
        match self {
            Self::Json | Self::Xml | Self::Yaml => OnInvalid::Refuse,
            Self::Csv | Self::Tsv | Self::Psv | Self::Html { .. } => OnInvalid::Windows1252,
            Self::Text | Self::Markdown { .. } | Self::Binary => OnInvalid::Replace,
        }
    }
}

impl DecodeError {
    fn new(expected: &'static str, reason: impl Into<String>) -> Self {
        Self { expected, reason: reason.into() }
    }

    fn at(expected: &'static str, what: &str, (line, column): (usize, usize)) -> Self {
        Self::new(expected, format!("{what} at line {line}, column {column}"))
    }
}

/// Reads an answer. No body is null in every format.
///
/// An answer that was promised as JSON, is none, and is plainly sent as something else is read as what it was sent as:
/// published specs declare JSON for archives, files and logs too. Pages of HTML stay errors, since a backend that sends
/// one instead of JSON reports a fault or asks for a login.
pub fn decode(format: &Format, content_type: Option<&str>, body: &Bytes) -> Result<Decoded, DecodeError> {
    if body.is_empty() {
        return Ok(Decoded::Json(Value::Null));
    }
    if *format == Format::Json
        && let Some(sent) = content_type.and_then(sent_as)
    {
        return match decode_as(&Format::Json, content_type, body) {
            // A bare number or word is as well the whole of a text file.
            Ok(Decoded::Json(value)) if !value.is_number() && !value.is_boolean() && !is_word(&value, body) => {
                Ok(Decoded::Json(value))
            }
            _ => decode_as(&sent, content_type, body),
        };
    }
    decode_as(format, content_type, body)
}

/// What bytes are that came with this `Content-Type`: without parameters and in lower case; `application/octet-stream` where
/// it says nothing.
pub fn media_type(content_type: Option<&str>) -> String {
    let named = content_type.map(essence).filter(|kind| kind.contains('/'));
    named.unwrap_or_else(|| "application/octet-stream".to_owned())
}

fn is_word(value: &Value, body: &[u8]) -> bool {
    value.is_null() && !body.iter().all(u8::is_ascii_whitespace)
}

fn decode_as(format: &Format, content_type: Option<&str>, body: &Bytes) -> Result<Decoded, DecodeError> {
    if *format == Format::Binary {
        return Ok(Decoded::Binary { media_type: media_type(content_type), bytes: body.clone() });
    }
    let text = charset::to_text(format, content_type, body)?;
    if *format == Format::Text {
        return Ok(Decoded::Json(Value::String(text.into_owned())));
    }
    if text.trim().is_empty() {
        return Ok(Decoded::Json(Value::Null));
    }
    let value = match format {
        Format::Json => json(&text)?,
        Format::Xml => xml::decode(&text)?,
        Format::Csv => delimited::decode(&text, b',')?,
        Format::Tsv => delimited::decode(&text, b'\t')?,
        Format::Psv => delimited::decode(&text, b'|')?,
        Format::Yaml => yaml::decode(&text)?,
        Format::Html { selector } => html::decode(&text, selector.as_ref())?,
        Format::Markdown { heading } => markdown::decode(&text, heading.as_deref())?,
        Format::Text | Format::Binary => Value::Null, // returned above
    };
    Ok(Decoded::Json(value))
}

fn json(text: &str) -> Result<Value, DecodeError> {
    serde_json::from_str(text)
        .map_err(|error| DecodeError::at("valid JSON", "it broke", (error.line(), error.column())))
}

/// The format that a `Content-Type` stands for, where that is plainly not JSON and no page.
fn sent_as(content_type: &str) -> Option<Format> {
    let essence = essence(content_type);
    let (kind, subtype) = essence.split_once('/')?;
    let suffix = subtype.rsplit_once('+').map_or(subtype, |(_, suffix)| suffix);
    match (kind, subtype, suffix) {
        (_, "html" | "xhtml+xml", _) | (_, _, "json") => None,
        ("image" | "audio" | "video" | "font", ..) => Some(Format::Binary),
        (_, _, "xml") => Some(Format::Xml),
        (_, _, "yaml" | "x-yaml" | "yml") => Some(Format::Yaml),
        (_, "csv", _) => Some(Format::Csv),
        (_, "tab-separated-values", _) => Some(Format::Tsv),
        ("text", ..)
        | (
            "application",
            "x-ndjson"
            | "ndjson"
            | "jsonl"
            | "x-jsonlines"
            | "javascript"
            | "sql"
            | "toml"
            | "x-sh"
            | "x-pem-file"
            | "x-www-form-urlencoded",
            _,
        ) => Some(Format::Text),
        _ => Some(Format::Binary),
    }
}

/// Line and column of a byte of a text, both from 1; the column counts characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let column = before.iter().skip(start).filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(format: &Format, content_type: &str, body: &[u8]) -> Result<Decoded, DecodeError> {
        let content_type = Some(content_type).filter(|kind| !kind.is_empty());
        decode(format, content_type, &Bytes::copy_from_slice(body))
    }

    fn all_formats() -> Vec<Format> {
        Format::NAMES.iter().map(|name| Format::parse(name, None).expect("known")).collect()
    }

    #[test]
    fn names_are_read_in_any_case_and_unknown_ones_told_from_unsupported_ones() {
        assert_eq!(all_formats().len(), Format::NAMES.len());
        assert_eq!(Format::parse(" JSON ", None), Ok(Format::Json));
        assert_eq!(Format::parse("Markdown", Some("Use")), Ok(Format::Markdown { heading: Some("Use".into()) }));
        assert_eq!(Format::parse("markdown", Some(" ")), Ok(Format::Markdown { heading: None }));
        assert_eq!(Format::parse("Avro", Some("x.avsc")), Err(FormatError::Unsupported("Avro".into())));
        assert_eq!(Format::parse("protobuf", None), Err(FormatError::Unsupported("protobuf".into())));
        assert_eq!(Format::parse("jsn", None), Err(FormatError::Unknown("jsn".into())));
        assert_eq!(crate::nearest::nearest("jsn", Format::NAMES), Some("json"));
        assert_eq!(Format::parse("html", Some("div[")), Err(FormatError::Selector("div[".into())));
        assert_eq!(Format::parse("html", Some("table.a")), Format::parse("HTML", Some("table.a ")));
        assert_ne!(Format::parse("html", Some("table.a")), Format::parse("html", None));
    }

    #[test]
    fn every_format_asks_for_itself_first() {
        for format in all_formats() {
            let first = format.accept().split(',').next().expect("one");
            assert!(format.accept().contains("*/*"), "{format:?}");
            assert!(first.parse::<http::HeaderValue>().is_ok() && !first.contains(' '), "{format:?}");
        }
    }

    #[test]
    fn no_body_is_null_in_every_format() {
        for format in all_formats() {
            assert_eq!(read(&format, "application/json", b""), Ok(Decoded::Json(Value::Null)), "{format:?}");
            if !matches!(format, Format::Text | Format::Binary) {
                assert_eq!(read(&format, "", b" \r\n"), Ok(Decoded::Json(Value::Null)), "{format:?}");
            }
        }
    }

    #[test]
    fn an_answer_promised_as_json_is_read_as_what_it_was_sent_as() {
        let binary = |kind: &str, bytes: &'static [u8]| Decoded::Binary {
            media_type: kind.to_owned(),
            bytes: Bytes::from_static(bytes),
        };
        let json = Decoded::Json;
        for (content_type, body, expected) in [
            ("application/json", &b"{\"a\": 1}"[..], json(json!({"a": 1}))),
            ("application/json", b"42", json(json!(42))),
            ("", b"[1]", json(json!([1]))),
            ("text/plain; charset=utf-8", b"{\"a\": 1}", json(json!({"a": 1}))),
            ("text/plain", b"\"a\"", json(json!("a"))),
            ("text/plain", b"42", json(json!("42"))),
            ("text/plain", b"null", json(json!("null"))),
            ("text/plain", b"  ", json(Value::Null)),
            ("text/plain", b"done.\n", json(json!("done.\n"))),
            ("text/markdown", b"# A", json(json!("# A"))),
            ("application/x-ndjson", b"{}\n{}\n", json(json!("{}\n{}\n"))),
            ("text/csv", b"a,b\n1,2\n", json(json!([{"a": "1", "b": "2"}]))),
            ("application/problem+xml", b"<p><title>x</title></p>", json(json!({"title": "x"}))),
            ("application/yaml", b"a: [1, x]", json(json!({"a": [1, "x"]}))),
            ("Application/ZIP; name=\"a\"", b"PK\x03\x04", binary("application/zip", b"PK\x03\x04")),
            ("application/octet-stream", b"7", binary("application/octet-stream", b"7")),
            ("image/svg+xml", b"<svg/>", binary("image/svg+xml", b"<svg/>")),
        ] {
            assert_eq!(read(&Format::Json, content_type, body), Ok(expected), "{content_type} {body:?}");
        }
        for content_type in ["", "application/json", "application/vnd.x+json", "text/html", "nonsense"] {
            let error = read(&Format::Json, content_type, b"<html>canary</html>").expect_err(content_type);
            assert_eq!(error.to_string(), "not valid JSON: it broke at line 1, column 1");
        }
    }

    #[test]
    fn bytes_stay_bytes_where_they_are_declared() {
        let expected =
            Decoded::Binary { media_type: "application/octet-stream".into(), bytes: Bytes::from_static(b"{}") };
        assert_eq!(read(&Format::Binary, "", b"{}"), Ok(expected.clone()));
        assert_eq!(read(&Format::Binary, "nonsense", b"{}"), Ok(expected));
    }

    #[test]
    fn errors_name_the_place_and_never_repeat_the_answer() {
        for (format, body, expected) in [
            ("json", "{\n \"canary\": ]", "not valid JSON: it broke at line 2, column 12"),
            ("xml", "<a>\n<canary></b>", "not well-formed XML: it broke at line 2, column 9"),
            ("yaml", "a:\n  - canary\n b: [", "not valid YAML: it broke at line 3, column"),
            ("yaml", "canary: 1\ncanary: 2", "not valid YAML: it broke at line 2, column 1"),
        ] {
            let format = Format::parse(format, None).expect("known");
            let error = read(&format, "", body.as_bytes()).expect_err(body).to_string();
            assert!(error.starts_with(expected) && !error.contains("canary"), "{body}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..200), kind in "[a-z/;=+-]{0,30}") {
            for format in all_formats() {
                let _outcome = read(&format, &kind, &body);
            }
        }

        #[test]
        fn no_text_makes_a_decoder_panic(
            body in prop::collection::vec(
                prop_oneof![
                    "[a-zé \\n\"|,\\t#*`:-]{1,6}",
                    prop::sample::select(vec![
                        "<a>", "</a>", "<a b='1'>", "&amp;", "&x;", "<!--", "-->", "<![CDATA[", "]]>", "<?xml ", "?>",
                        "<table>", "<tr>", "<td colspan=3>", "<th>", "</table>", "<template>", "<svg>", "<p>", "<b>",
                        "<math><annotation-xml>", "</p>", "<select>", "<script>", "---\n", "| a | b |\n", "|--|\n",
                        "# h\n", "> ", "- ", "```\n", "[x]: y\n", "\r\n", "<!DOCTYPE a [", "]>", "&a", "{", "[", "*a",
                    ]).prop_map(str::to_owned),
                ],
                0..40,
            ).prop_map(|parts| parts.concat())
        ) {
            for format in all_formats() {
                let _outcome = read(&format, "", body.as_bytes());
            }
        }
    }
}
