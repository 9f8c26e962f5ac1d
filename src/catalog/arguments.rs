//! The arguments of one tool while it is compiled: those that it declares, or those that its parameters become.
//!
//! Knows nothing of where they go.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{input::Argument, typing};
use crate::diagnostic::Span;

/// The arguments of a tool, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Whether the tool declares its arguments itself; else each parameter becomes one.
    pub(super) declared: bool,
    /// Whether they are the placeholders of a URI: those have the types of what they feed.
    pub(super) in_uri: bool,
    /// Where it declares them.
    pub(super) place: Option<Span>,
    /// The arguments, in order, by name: an operation may have tens of thousands.
    list: IndexMap<String, Argument>,
    /// The number of the next one of a name that others have already.
    numbers: HashMap<String, usize>,
}

impl Arguments {
    /// None so far. Where a tool declares its own, `place` is where.
    pub(super) fn new(declared: bool, place: Option<Span>) -> Self {
        Self { declared, place, ..Self::default() }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.list.contains_key(name)
    }

    /// Adds an argument, unless there is one of its name.
    pub(super) fn add(&mut self, argument: Argument) {
        self.list.entry(argument.name.clone()).or_insert(argument);
    }

    /// Takes an argument away: no model is to be asked for what is not sent.
    pub(super) fn remove(&mut self, name: &str) {
        self.list.shift_remove(name);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.list.keys().map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Argument> {
        self.list.values()
    }

    /// The schema of one.
    pub(super) fn schema(&self, name: &str) -> Option<&Value> {
        self.list.get(name).map(|argument| &argument.schema)
    }

    pub(super) fn into_list(self) -> Vec<Argument> {
        self.list.into_values().collect()
    }

    /// Gives a placeholder of a URI the type of a parameter that it feeds, the first that says one. A list or an object
    /// is no type of a text in a URI.
    pub(super) fn infer(&mut self, name: &str, schema: &Value) {
        if let Some(argument) = self.list.get_mut(name).filter(|argument| self.in_uri && argument.schema == json!({}))
            && typing::is_scalar(schema)
        {
            argument.schema = schema.clone();
        }
    }

    /// Gives an argument the type that a document knows of what it feeds, where the tool declares it with a bare type that
    /// fits: the official dialect has no other.
    pub(super) fn refine(&mut self, name: &str, known: &Value) {
        if self.in_uri {
            self.infer(name, known);
            return;
        }
        let Some(argument) = self.list.get_mut(name) else { return };
        if self.declared && typing::is_bare(&argument.schema) && typing::fits(&argument.schema, known) {
            let own = argument.schema.get("description").and_then(Value::as_str).map(str::to_owned);
            let nullable = typing::takes_null(&argument.schema);
            let known = if nullable { typing::or_null(known.clone()) } else { known.clone() };
            argument.schema = typing::described(known, own.as_deref());
        }
    }

    /// The schemas of those of which nothing is known.
    pub(super) fn untyped(&mut self) -> impl Iterator<Item = &mut Value> {
        self.list.values_mut().map(|argument| &mut argument.schema).filter(|schema| **schema == json!({}))
    }

    /// A name like this one that is not taken.
    pub(super) fn free(&mut self, name: &str) -> String {
        if !self.has(name) {
            return name.to_owned();
        }
        let number = self.numbers.entry(name.to_owned()).or_insert(2);
        loop {
            let numbered = format!("{name}_{number}");
            *number += 1;
            if !self.list.contains_key(&numbered) {
                return numbered;
            }
        }
    }
}
