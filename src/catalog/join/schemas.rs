//! JSON Schemas beside a spec, matched to operations by name: `getDevbox` ↔ `DevboxView`, `createScenario` ↔
//! `ScenarioCreateParameters`. All that comes from here is a guess and says so.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Certainty, Joined, Origin, Wanted, paths::identifier};
use crate::{
    catalog::names,
    diagnostic::{FileId, SourceMap},
    openapi::{Answer, Body},
    schema::{dialect::Direction, inline::Published},
    spec::hidden::take_out_of_json,
};

/// The schemas of a folder by name.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    schemas: Vec<Schema>,
    /// Name by its letters → schema; `None` where several have it.
    names: HashMap<String, Option<usize>>,
}

#[derive(Debug)]
struct Schema {
    file: FileId,
    root: Published,
    /// Names as words, such as `runloop devbox`: of the file, of the title, of what it was derived from.
    names: Vec<Vec<String>>,
}

/// Words that say a schema is of what is sent.
const INPUT_WORDS: [&str; 9] =
    ["create", "update", "params", "parameters", "request", "input", "body", "payload", "new"];
/// Words at the end of a name that say nothing of what it names.
const ANSWER_ENDINGS: [&str; 8] =
    ["view", "response", "result", "created_view", "details", "detail_view", "detail", "dto"];

impl Shelf {
    /// Adds a schema, where the text is one.
    pub(super) fn add(&mut self, stem: &str, shown: &str, text: &str, sources: &mut SourceMap) {
        // Its members first: most JSON files are no schemas, and may be large.
        let Ok(members) = serde_json::from_str::<HashMap<String, IgnoredAny>>(text) else { return };
        let of_schemas = ["$ref", "type", "properties", "allOf", "oneOf", "anyOf"];
        if !of_schemas.iter().any(|name| members.contains_key(*name)) {
            return;
        }
        let Ok(mut root) = serde_json::from_str::<Value>(text) else { return };
        take_out_of_json(&mut root);
        let mut names = vec![words(stem)];
        let title = root.get("title").and_then(Value::as_str);
        names.extend(title.map(words));
        names.extend(derived_from(&root).map(words));
        let file = sources.add(shown, text);
        self.schemas.push(Schema { file, root: Published::new(root), names });
    }

    /// Builds the index, once all are added: what all files begin with, as in `runloop-devbox-schema.json`, is the name
    /// of the vendor.
    pub(super) fn finish(&mut self) {
        let vendor = (self.schemas.len() > 1).then(|| self.common_word()).flatten();
        for (index, schema) in self.schemas.iter().enumerate() {
            // What it was derived from tells more than its title, which names the resource it belongs to.
            let derived = schema.names.get(2).map(std::slice::from_ref);
            let mut own: Vec<String> = Vec::new();
            for name in derived.unwrap_or(&schema.names) {
                let name = match name.split_first() {
                    Some((first, rest)) if Some(first) == vendor.as_ref() && !rest.is_empty() => rest,
                    _ => name,
                };
                own.push(name.concat());
            }
            own.sort();
            own.dedup();
            for name in own {
                self.names.entry(name).and_modify(|known| *known = None).or_insert(Some(index));
            }
        }
    }

    fn common_word(&self) -> Option<String> {
        let first = self.schemas.first()?.names.first()?.first()?;
        let all = self.schemas.iter().all(|schema| schema.names.first().and_then(|name| name.first()) == Some(first));
        all.then(|| first.clone())
    }

    /// The schema of one of these names, in letters alone.
    fn named<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Option<&Schema> {
        let index = names.into_iter().find_map(|name| *self.names.get(name)?)?;
        self.schemas.get(index)
    }
}

/// Types for an operation by the names of schemas.
pub(super) fn guess<'a>(shelves: impl Iterator<Item = &'a Shelf> + Clone, wanted: &Wanted<'_>) -> Option<Joined> {
    let operation = names::snake_case(wanted.operation);
    let (verb, noun) = operation.split_once('_')?;
    let noun = identifier(noun);
    let method = wanted.method.to_ascii_uppercase();
    let sends = matches!(method.as_str(), "POST" | "PUT" | "PATCH");
    let find = |names: &[String]| shelves.clone().find_map(|shelf| shelf.named(names));
    let body = if sends { find(&body_names(verb, &noun)) } else { None };
    let answer = find(&answer_names(verb, &noun));
    if body.is_none() && answer.is_none() {
        return None;
    }
    let read = |schema: &Schema, direction| schema.root.inlined(schema.root.root(), direction);
    Some(Joined {
        origin: Origin::JsonSchema { body: body.map(|schema| schema.file), answer: answer.map(|schema| schema.file) },
        certainty: Certainty::Guess,
        summary: None,
        told: None,
        deprecated: false,
        parameters: Vec::new(),
        body: body.map(|schema| {
            let schema = read(schema, Direction::Request);
            let required = schema.get("required").is_some();
            Body { media_type: "application/json".to_owned(), schema, required, description: None }
        }),
        answer: answer.map(|schema| {
            let mut schema = read(schema, Direction::Answer);
            loosen(&mut schema);
            Answer { media_type: "application/json".to_owned(), schema: Some(schema) }
        }),
    })
}

/// What the schema of a body may be called, all plainly of what is sent.
fn body_names(verb: &str, noun: &str) -> Vec<String> {
    let verbs: &[&str] = match verb {
        "create" | "add" | "new" | "post" | "insert" => &["create", "new"],
        "update" | "patch" | "replace" | "put" | "edit" | "modify" | "set" => &["update"],
        own => &[own],
    };
    let mut names = Vec::new();
    for verb in verbs {
        for form in [format!("{noun}{verb}"), format!("{verb}{noun}")] {
            for ending in ["parameters", "params", "request", "input", "body", "payload", "requestbody"] {
                names.push(format!("{form}{ending}"));
            }
            if INPUT_WORDS.contains(verb) {
                names.push(form);
            }
        }
    }
    names
}

/// What the schema of an answer may be called.
fn answer_names(verb: &str, noun: &str) -> Vec<String> {
    match verb {
        "get" | "retrieve" | "fetch" | "read" | "show" | "create" | "update" | "patch" | "replace" | "add" => {
            let endings = ANSWER_ENDINGS.iter().map(|ending| format!("{noun}{}", identifier(ending)));
            std::iter::once(noun.to_owned()).chain(endings).collect()
        }
        "list" => {
            let one = noun.strip_suffix("es").unwrap_or(noun);
            let ones = [noun.strip_suffix('s').unwrap_or(noun), one];
            let forms = ["list", "listview", "listresponse", "collection", "page"];
            let named = ones.iter().flat_map(|one| forms.iter().map(move |form| format!("{one}{form}")));
            named.chain(std::iter::once(format!("list{noun}response"))).collect()
        }
        _ => Vec::new(),
    }
}

/// The words of a name without those that say it is a schema.
fn words(name: &str) -> Vec<String> {
    let name = names::snake_case(name);
    let mut words: Vec<String> = name.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    while words.len() > 1 && matches!(words.last().map(String::as_str), Some("schema" | "json")) {
        words.pop();
    }
    words
}

/// The name after `OpenAPI schema` in the description, which generators of such files leave there.
fn derived_from(root: &Value) -> Option<&str> {
    let description = root.get("description")?.as_str()?;
    let (_, behind) = description.split_once("OpenAPI schema ")?;
    let name = behind.split(|character: char| !character.is_ascii_alphanumeric()).next()?;
    Some(name).filter(|name| !name.is_empty())
}

/// Drops what a guess must not insist on: members that have to be there, and that there are no others.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("required").is_some_and(Value::is_array) {
                members.shift_remove("required");
            }
            if members.get("additionalProperties") == Some(&Value::Bool(false)) {
                members.shift_remove("additionalProperties");
            }
            members.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}
