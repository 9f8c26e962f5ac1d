//! Reading the fields of a map one by one: types checked, problems collected, leftovers reported.
//!
//! Every reader of a part of the language goes through [`Fields`], so that nothing is ignored silently: a field that
//! nobody asked for is an `unknown-field` when the map is [finished](Fields::finish).

use super::yaml::{Key, Node, Value};
use crate::diagnostic::{Code, Diagnostic, Span};

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Binds a value to a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The fields of one map.
pub(super) struct Fields<'a> {
    entries: Vec<(&'a Key, &'a Node)>,
    taken: Vec<bool>,
    asked: Vec<&'static str>,
    what: &'static str,
    span: Span,
}

impl<'a> Fields<'a> {
    /// The fields of a node that must be a map; `what` names it in messages, as in "an operation".
    pub(super) fn of(node: &'a Node, what: &'static str, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            let message = format!("{what} must be a map, found {}", node.kind());
            problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
            return None;
        };
        let entries: Vec<_> = entries.iter().map(|(key, node)| (key, node)).collect();
        let taken = vec![false; entries.len()];
        Some(Self { entries, taken, asked: Vec::new(), what, span: node.span })
    }

    /// Where the map starts.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// The value of a field under any of its names, the current one first. `null` counts as absent.
    pub(super) fn node(&mut self, names: &[&'static str]) -> Option<&'a Node> {
        self.asked.extend(names);
        let mut found = None;
        for name in names {
            let Some(index) = self.entries.iter().position(|(key, _)| key.text == *name) else { continue };
            if let (Some(taken), Some((_, node))) = (self.taken.get_mut(index), self.entries.get(index)) {
                *taken = true;
                found = found.or(Some(*node));
            }
        }
        found.filter(|node| node.value != Value::Null)
    }

    /// Where a field stands that is there without a value, which otherwise counts as absent: `method:` or `method: ''`.
    pub(super) fn blank(&self, name: &str) -> Option<Span> {
        let (key, _) = self.entries.iter().find(|(key, node)| {
            let is_blank = match &node.value {
                Value::Null => true,
                Value::String(text) => text.trim().is_empty(),
                _ => false,
            };
            key.text == name && is_blank
        })?;
        Some(key.span)
    }

    /// A field that is text. Numbers and booleans are taken by their source text.
    pub(super) fn text(&mut self, names: &[&'static str], problems: &mut Vec<Diagnostic>) -> Option<Spanned<String>> {
        let node = self.node(names)?;
        match &node.value {
            Value::String(text) | Value::Number(_, text) => Some(Spanned::new(text.clone(), node.span)),
            Value::Bool(flag) => Some(Spanned::new(flag.to_string(), node.span)),
            _ => {
                problems.push(self.wrong_type(names, node, "text"));
                None
            }
        }
    }

    /// A field that is text and must be there.
    pub(super) fn required_text(
        &mut self,
        names: &[&'static str],
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<String>> {
        let before = problems.len();
        let text = self.text(names, problems);
        if text.is_none() && problems.len() == before {
            let name = names.first().copied().unwrap_or_default();
            let message = format!("{} needs `{name}`", self.what);
            problems.push(Diagnostic::error(Code::MissingField, self.span, message));
        }
        text
    }

    /// A field that is a boolean.
    pub(super) fn flag(&mut self, names: &[&'static str], problems: &mut Vec<Diagnostic>) -> Option<Spanned<bool>> {
        let node = self.node(names)?;
        match &node.value {
            Value::Bool(flag) => Some(Spanned::new(*flag, node.span)),
            _ => {
                problems.push(self.wrong_type(names, node, "`true` or `false`"));
                None
            }
        }
    }

    /// A field that holds a list of maps with `name`, or a map keyed by name. Elements without a name get `None`.
    pub(super) fn named(&mut self, names: &[&'static str], problems: &mut Vec<Diagnostic>) -> Vec<NamedNode<'a>> {
        let Some(node) = self.node(names) else { return Vec::new() };
        match &node.value {
            Value::Sequence(items) => items.iter().map(|node| NamedNode { key: None, node }).collect(),
            Value::Mapping(entries) => entries.iter().map(|(key, node)| NamedNode { key: Some(key), node }).collect(),
            _ => {
                problems.push(self.wrong_type(names, node, "a list or a map keyed by name"));
                Vec::new()
            }
        }
    }

    /// Reports a field that the language has but this program does not run.
    pub(super) fn unsupported(&mut self, names: &[&'static str], problems: &mut Vec<Diagnostic>) {
        for name in names {
            if self.node(&[name]).is_some() {
                let span = self.key_span(name);
                let message = format!("`{name}` of {} is not run by this version", self.what);
                problems.push(Diagnostic::error(Code::UnsupportedFeature, span, message));
            }
        }
    }

    /// Takes fields that are documentation or belong to other surfaces and change nothing here.
    pub(super) fn skip(&mut self, names: &[&'static str]) {
        for name in names {
            self.node(&[name]);
        }
    }

    /// Reports every field that was not asked for.
    pub(super) fn finish(self, problems: &mut Vec<Diagnostic>) {
        for ((key, _), taken) in self.entries.iter().zip(&self.taken) {
            if !taken {
                let message = format!("unknown field `{}` in {}", key.text, self.what);
                problems.push(
                    Diagnostic::warning(Code::UnknownField, key.span, message)
                        .with_nearest(&key.text, self.asked.iter().copied()),
                );
            }
        }
    }

    /// Where the name of a field stands.
    pub(super) fn key_span(&self, name: &str) -> Span {
        self.entries.iter().find(|(key, _)| key.text == name).map_or(self.span, |(key, _)| key.span)
    }

    fn wrong_type(&self, names: &[&'static str], node: &Node, expected: &str) -> Diagnostic {
        let name = names.first().copied().unwrap_or_default();
        let message = format!("`{name}` of {} must be {expected}, found {}", self.what, node.kind());
        Diagnostic::error(Code::InvalidValue, node.span, message)
    }
}

/// An element of a list of named things, in either form.
pub(super) struct NamedNode<'a> {
    /// Its key in the map form.
    pub(super) key: Option<&'a Key>,
    /// The element.
    pub(super) node: &'a Node,
}

impl NamedNode<'_> {
    /// The name: the key of the map form, else the element's own `name`.
    pub(super) fn name(&self, fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Spanned<String>> {
        let own = fields.text(&["name"], problems);
        match self.key {
            Some(key) => Some(Spanned::new(key.text.clone(), key.span)),
            None => own,
        }
    }
}
