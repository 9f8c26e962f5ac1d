//! YAML text → a tree of nodes that know their place. The only folder that names the YAML crate.
//!
//! A tree rather than deserialized structs: one ill-typed field then costs its own operation, not the file, every
//! value keeps its span, and a scalar its source text (`version: 1.10` stays `1.10`). It is built from the parser's events
//! as they come. Must not know the language of capability specs.

mod scalar;

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use crate::diagnostic::{Code, Diagnostic, FileId, SourceMap, Span};

/// Largest file that is read, in bytes. Published specs reach 1.8 MB.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 4_000_000;
/// The most memory that copies of anchored nodes take, in bytes: a few lines of aliases can stand for any number of
/// values.
const MAX_COPIED_BYTES: usize = 64 * 1024 * 1024;

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
    let problem = |start: usize, message: String| {
        let start = start.min(text.len());
        Box::new(Diagnostic::error(Code::InvalidSyntax, Span { file, start, end: start }, message))
    };
    if text.len() > MAX_FILE_BYTES {
        return Err(problem(0, format!("the file has {} bytes; the limit is {MAX_FILE_BYTES}", text.len())));
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(&text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            problem(sources.offset(file, at.line(), at.col() + 1), error.info())
        })?;
        let (start, end) = (span.start.byte_offset().unwrap_or(0), span.end.byte_offset().unwrap_or(0));
        let span = Span { file, start, end: end.max(start) };
        builder.take(event, span).map_err(|Fault { start, message }| problem(start, message))?;
    }
    Ok(builder.root.unwrap_or(Node { span: Span::start_of(file), value: Value::Null }))
}

/// What is wrong, and the offset at which it starts.
struct Fault {
    start: usize,
    message: String,
}

impl Fault {
    fn at(span: Span, message: impl Into<String>) -> Self {
        Self { start: span.start, message: message.into() }
    }
}

/// Builds the tree from the parser's events. Keeps to the limits itself: the parser knows only some of them.
#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    /// Finished nodes that aliases may stand for.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    copied_bytes: usize,
}

/// A list or map that is not finished.
struct Open {
    /// Zero where there is none.
    anchor: usize,
    span: Span,
    items: Items,
}

enum Items {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<(Key, Node)>,
        /// The key whose value comes next.
        key: Option<Role>,
        /// What `<<` brings in.
        merged: Vec<(Key, Node)>,
    },
}

/// What a key asks for.
enum Role {
    /// An entry of this name.
    Entry(Key),
    /// The entries of another map, `<<`.
    Merge,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(span)?;
                if self.expects_key() && is_merge(&text, style, tag.as_deref()) {
                    return self.add_key(Role::Merge);
                }
                let value = scalar::value(text, style, tag.as_deref()).map_err(|message| Fault::at(span, message))?;
                self.add(Node { span, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.start(anchor, span, Items::Sequence(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                let items = Items::Mapping { entries: Vec::new(), key: None, merged: Vec::new() };
                self.start(anchor, span, items)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, span, items }) = self.open.pop() else { return Ok(()) };
                self.add(Node { span, value: finish(items)? }, anchor)
            }
            Event::Alias(anchor) => {
                self.count(span)?;
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(Fault::at(span, "an alias stands inside the node that it stands for"));
                };
                let (bytes, depth) = node.size();
                if self.open.len() + depth > MAX_DEPTH {
                    return Err(too_deep(span));
                }
                self.copied_bytes = copied(self.copied_bytes, bytes, span)?;
                let mut node = node.clone();
                node.place(span);
                self.add(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, span: Span) -> Result<(), Fault> {
        if self.root.is_some() {
            return Err(Fault::at(span, "there is more than one document in the file; one is expected"));
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Fault::at(span, format!("the document has more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn start(&mut self, anchor: usize, span: Span, items: Items) -> Result<(), Fault> {
        self.count(span)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.open.push(Open { anchor, span, items });
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { items: Items::Mapping { key: None, .. }, .. }))
    }

    fn add_key(&mut self, role: Role) -> Result<(), Fault> {
        if let Some(Open { items: Items::Mapping { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(role);
        }
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            let (bytes, _) = node.size();
            self.copied_bytes = copied(self.copied_bytes, bytes, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.items {
            Items::Sequence(items) => items.push(node),
            Items::Mapping { entries, key, merged } => match key.take() {
                None => *key = Some(Role::Entry(Key::of(node)?)),
                Some(Role::Entry(key)) => entries.push((key, node)),
                Some(Role::Merge) => merge(node, merged)?,
            },
        }
        Ok(())
    }
}

fn copied(before: usize, more: usize, span: Span) -> Result<usize, Fault> {
    let sum = before.saturating_add(more);
    if sum > MAX_COPIED_BYTES {
        return Err(Fault::at(span, "the aliases stand for too much"));
    }
    Ok(sum)
}

fn too_deep(span: Span) -> Fault {
    Fault::at(span, format!("lists and maps stand more than {MAX_DEPTH} levels deep in one another"))
}

/// The value of a finished list or map. The entries that `<<` brings in come last; the map's own and the earlier ones win.
fn finish(items: Items) -> Result<Value, Fault> {
    let (mut entries, merged) = match items {
        Items::Sequence(items) => return Ok(Value::Sequence(items)),
        Items::Mapping { entries, key: _, merged } => (entries, merged),
    };
    if let Some(key) = repeated(&entries) {
        return Err(Fault::at(key.span, format!("duplicate key `{}`", key.text)));
    }
    for (key, node) in merged {
        if !entries.iter().any(|(known, _)| known.text == key.text) {
            entries.push((key, node));
        }
    }
    entries.shrink_to_fit();
    Ok(Value::Mapping(entries))
}

/// The first key that stands in a map twice.
fn repeated(entries: &[(Key, Node)]) -> Option<&Key> {
    const FEW: usize = 16;
    let keys = || entries.iter().map(|(key, _)| key);
    if entries.len() <= FEW {
        return keys()
            .enumerate()
            .find(|(index, key)| keys().take(*index).any(|other| other.text == key.text))
            .map(|(_, key)| key);
    }
    let mut known = HashSet::new();
    keys().find(|key| !known.insert(key.text.as_str()))
}

/// Whether a key is `<<` (YAML 1.1 merge), which published documents use with aliases.
fn is_merge(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> bool {
    text == "<<" && style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.to_string().ends_with("merge"))
}

/// Takes in the entries of a map, or of each map of a list.
fn merge(node: Node, merged: &mut Vec<(Key, Node)>) -> Result<(), Fault> {
    match node.value {
        Value::Mapping(entries) => merged.extend(entries),
        Value::Sequence(items) => items.into_iter().try_for_each(|item| merge(item, merged))?,
        Value::Null => {}
        _ => return Err(Fault::at(node.span, format!("`<<` takes a map or a list of maps, not {}", node.kind()))),
    }
    Ok(())
}

impl Node {
    /// The memory it takes, in bytes, and how many levels of lists and maps it has.
    fn size(&self) -> (usize, usize) {
        let inner = |nodes: &mut dyn Iterator<Item = (usize, &Node)>| {
            let (bytes, depth) = nodes.fold((0, 0), |(bytes, depth), (key, node)| {
                let (more, deeper) = node.size();
                (bytes + more + key, depth.max(deeper))
            });
            (bytes, depth + 1)
        };
        let (bytes, depth) = match &self.value {
            Value::Null | Value::Bool(_) => (0, 0),
            Value::Number(_, text) | Value::String(text) => (text.len(), 0),
            Value::Sequence(items) => inner(&mut items.iter().map(|item| (0, item))),
            Value::Mapping(entries) => {
                inner(&mut entries.iter().map(|(key, node)| (size_of::<Key>() + key.text.len(), node)))
            }
        };
        (bytes + size_of::<Self>(), depth)
    }

    /// Moves a copy to the alias it stands for.
    fn place(&mut self, span: Span) {
        self.span = span;
        match &mut self.value {
            Value::Sequence(items) => items.iter_mut().for_each(|item| item.place(span)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|(key, node)| {
                key.span = span;
                node.place(span);
            }),
            _ => {}
        }
    }
}

impl Key {
    fn of(node: Node) -> Result<Self, Fault> {
        let text = match node.value {
            Value::String(text) | Value::Number(_, text) => text,
            Value::Bool(flag) => flag.to_string(),
            Value::Null => "null".to_owned(),
            Value::Sequence(_) | Value::Mapping(_) => {
                return Err(Fault::at(
                    node.span,
                    "a key must be text, not a list or a map; `{{NAME}}` stands in quotes",
                ));
            }
        };
        Ok(Self { text, span: node.span })
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
    fn merged_entries_come_last_and_do_not_win() {
        let (_, node) = parse_text("x: &x {a: 1, b: 2}\ny: {b: 3, <<: [*x, {b: 4, c: 5}]}\n\"<<\": {d: 6}\n");
        let node = node.expect("well-formed").to_json();
        assert_eq!(node["y"].to_string(), r#"{"b":3,"a":1,"c":5}"#);
        assert_eq!(node["<<"]["d"], 6, "in quotes it is a key like any other");
    }

    #[test]
    fn broken_text_is_reported_at_its_place() {
        for (text, place, word) in [
            ("a: 1\na: 2\n", (2, 1), "duplicate"),
            ("a:\n\t- b", (2, 2), "tab"),
            ("a: [1\n", (1, 4), "bracket"),
            ("a: 1\n---\nb: 2\n", (3, 1), "document"),
            ("? [a]\n: 1\n", (1, 3), "key must be text"),
            ("a: .nan\n", (1, 4), "finite"),
            ("a: &a [*a]\n", (1, 8), "alias"),
            ("a: *b\n", (1, 4), "anchor"),
            ("<<: 7\n", (1, 5), "map"),
        ] {
            let (sources, node) = parse_text(text);
            let diagnostic = node.expect_err(text);
            assert_eq!(diagnostic.code, Code::InvalidSyntax);
            assert!(diagnostic.message.contains(word), "{text:?}: {}", diagnostic.message);
            assert!(!diagnostic.message.contains("line"), "{}", diagnostic.message);
            assert_eq!(sources.position(diagnostic.primary.file, diagnostic.primary.start), place, "{text:?}");
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
