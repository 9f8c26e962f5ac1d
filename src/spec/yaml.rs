//! YAML text → a tree of nodes that know their place. The only file that names the YAML crate.
//!
//! A tree rather than deserialized structs: one ill-typed field then costs its own operation, not the file, every
//! value keeps its span, and a scalar its source text (`version: 1.10` stays `1.10`). Must not know the language of
//! capability specs.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::{Code, Diagnostic, FileId, SourceMap, Span};

/// Largest file that is read, in bytes. Published specs reach 1.8 MB.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 4_000_000;
const MAX_ALIASES: usize = 10_000;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where the value stands; for an alias, where the alias stands.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// A value of a YAML document (YAML 1.2 core schema; booleans are `true` and `false` alone).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, with its source text.
    Number(serde_json::Number, String),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A map in source order. Keys are text; other scalars are taken by their source text.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a map with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(..) => "a number",
            Value::String(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a map",
        }
    }

    /// The value of a key, where this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(name, _)| name.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => serde_json::Value::Bool(*flag),
            Value::Number(number, _) => serde_json::Value::Number(number.clone()),
            Value::String(text) => serde_json::Value::String(text.clone()),
            Value::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect(),
        }
    }
}

/// Reads the one document of a file. Errors: not well-formed, several documents, a duplicate key, over a limit.
pub fn parse(file: FileId, sources: &SourceMap) -> Result<Node, Box<Diagnostic>> {
    let text = sources.text(file);
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes; the limit is {MAX_FILE_BYTES}", text.len());
        return Err(Box::new(Diagnostic::error(Code::InvalidSyntax, Span::start_of(file), message)));
    }
    let parsed = on_a_deep_stack(|| {
        serde_saphyr::from_str_with_options::<RawNode>(&text, options()).map(|raw| raw.place(file, &text)).map_err(
            |error| {
                let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
                (message_of(&error, line, column), to_usize(line), to_usize(column))
            },
        )
    });
    let (message, line, column) = match parsed {
        Some(Ok(node)) => return Ok(node),
        Some(Err(problem)) => problem,
        None => ("the file could not be parsed: no thread could be started for it".to_owned(), 1, 1),
    };
    let offset = sources.offset(file, line.max(1), column.max(1));
    Err(Box::new(Diagnostic::error(Code::InvalidSyntax, Span { file, start: offset, end: offset }, message)))
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(MAX_FILE_BYTES),
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_aliases: MAX_ALIASES,
        },
    }
}

/// Runs a function on a thread whose stack holds [`MAX_DEPTH`] levels of deserialization, wherever it is called from:
/// an unoptimised build takes over 30 KiB for a level. `None` where the thread cannot be started or panicked.
fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    const STACK_BYTES: usize = 32 * 1024 * 1024;
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// The parser's sentence without the place it repeats at its end.
fn message_of(error: &serde_saphyr::Error, line: u64, column: u64) -> String {
    let rendered = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = rendered.lines().next().unwrap_or_default();
    text.replace(&format!(" at line {line}, column {column}"), "")
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A node as deserialized: the deserializer cannot know the file.
struct RawNode {
    referenced: Option<(usize, usize)>,
    defined: Option<(usize, usize)>,
    value: RawValue,
}

enum RawValue {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Sequence(Vec<RawNode>),
    Mapping(Vec<(RawNode, RawNode)>),
}

impl RawNode {
    fn place(self, file: FileId, text: &str) -> Node {
        let Self { referenced, defined, value } = self;
        let (start, length) = referenced.unwrap_or((0, 0));
        let source = || defined.and_then(|(start, length)| text.get(start..start + length)).unwrap_or_default();
        let value = match value {
            RawValue::Null => Value::Null,
            RawValue::Bool(flag) => Value::Bool(flag),
            RawValue::Number(number) => Value::Number(number, source().to_owned()),
            RawValue::String(string) => Value::String(string),
            RawValue::Sequence(items) => {
                Value::Sequence(items.into_iter().map(|item| item.place(file, text)).collect())
            }
            RawValue::Mapping(entries) => Value::Mapping(
                entries.into_iter().map(|(key, node)| (key.into_key(file, text), node.place(file, text))).collect(),
            ),
        };
        Node { span: Span { file, start, end: start + length }, value }
    }

    fn into_key(self, file: FileId, text: &str) -> Key {
        let node = self.place(file, text);
        let text = match node.value {
            Value::String(text) | Value::Number(_, text) => text,
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => "null".to_owned(),
        };
        Key { text, span: node.span }
    }
}

impl<'de> Deserialize<'de> for RawNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<RawValue>::deserialize(deserializer)?;
        let range = |location: serde_saphyr::Location| {
            let span = location.span();
            Some((to_usize(span.byte_offset()?), to_usize(span.byte_len()?)))
        };
        Ok(Self { referenced: range(spanned.referenced), defined: range(spanned.defined), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = RawValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawValue, D::Error> {
        RawValue::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawValue, D::Error> {
        RawValue::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<RawValue, E> {
        Ok(RawValue::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<RawValue, E> {
        Ok(RawValue::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<RawValue, E> {
        Ok(RawValue::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<RawValue, E> {
        serde_json::Number::from_f64(number).map(RawValue::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<RawValue, E> {
        Ok(RawValue::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<RawValue, E> {
        Ok(RawValue::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(RawValue::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawValue, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = access.next_entry::<RawNode, RawNode>()? {
            if matches!(key.value, RawValue::Sequence(_) | RawValue::Mapping(_)) {
                return Err(A::Error::custom("a key must be text, not a list or a map"));
            }
            entries.push((key, node));
        }
        Ok(RawValue::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_text(text: &str) -> (SourceMap, Result<Node, Box<Diagnostic>>) {
        let mut sources = SourceMap::default();
        let file = sources.add("test.yaml", text);
        let node = parse(file, &sources);
        (sources, node)
    }

    #[test]
    fn values_keep_their_place_and_scalars_their_text() {
        let (sources, node) = parse_text("version: 1.10\non: no\nlist:\n  - day: 2026-05-25\n  - {x: ~}\n");
        let node = node.expect("well-formed");
        let version = node.get("version").expect("version");
        assert!(matches!(&version.value, Value::Number(_, text) if text == "1.10"), "{version:?}");
        assert_eq!(node.get("on").map(|node| &node.value), Some(&Value::String("no".to_owned())));
        let Some(Value::Sequence(items)) = node.get("list").map(|node| node.value.clone()) else { panic!("a list") };
        let day = items[0].get("day").expect("day");
        assert_eq!(sources.position(day.span.file, day.span.start), (4, 10));
        assert_eq!(items[1].get("x").map(|node| &node.value), Some(&Value::Null));
    }

    #[test]
    fn an_alias_stands_where_it_is_used() {
        let (sources, node) = parse_text("a: &x 012\nb: *x\n");
        let node = node.expect("well-formed");
        let alias = node.get("b").expect("b");
        assert!(matches!(&alias.value, Value::Number(_, text) if text == "012"), "{alias:?}");
        assert_eq!(sources.position(alias.span.file, alias.span.start), (2, 4));
    }

    #[test]
    fn broken_text_is_reported_at_its_place() {
        for (text, place, word) in [
            ("a: 1\na: 2\n", (2, 1), "duplicate"),
            ("a:\n\t- b", (2, 2), "tab"),
            ("a: [1\n", (1, 4), "bracket"),
            ("a: 1\n---\nb: 2\n", (3, 1), "document"),
            ("? [a]\n: 1\n", (1, 1), "key must be text"),
            ("a: .nan\n", (1, 4), "finite"),
        ] {
            let (sources, node) = parse_text(text);
            let diagnostic = node.expect_err(text);
            assert_eq!(diagnostic.code, Code::InvalidSyntax);
            assert!(diagnostic.message.contains(word), "{text:?}: {}", diagnostic.message);
            assert!(!diagnostic.message.contains("line"), "{}", diagnostic.message);
            if word != "key must be text" && word != "finite" {
                assert_eq!(sources.position(diagnostic.primary.file, diagnostic.primary.start), place, "{text:?}");
            }
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let previous = level - 1;
            let aliases = vec![format!("*a{previous}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        let (_, node) = parse_text(&text);
        assert_eq!(node.expect_err("too large").code, Code::InvalidSyntax);
        let (_, node) = parse_text(&"[".repeat(10_000));
        assert_eq!(node.expect_err("too deep").code, Code::InvalidSyntax);
        let (_, node) = parse_text(&"- ".repeat(10_000));
        assert_eq!(node.expect_err("too deep").code, Code::InvalidSyntax);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[\\PC\\n\\t]{0,200}") {
            let (sources, node) = parse_text(&text);
            if let Err(diagnostic) = node {
                prop_assert!(diagnostic.primary.start <= sources.text(diagnostic.primary.file).len());
            }
        }
    }
}
