//! Carrying out several steps: each sees the answers of those before, the first failure ends all.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{
    Returned, Run,
    client::{Continuation, Paused, Resume},
    interaction::{Flow, Given, Position},
};
use crate::{
    catalog::{
        JsonObject,
        fill::Scope,
        interaction::Interaction,
        plan::{Lookup, Step, Steps},
        shape,
    },
    decode::Decoded,
    error::CallError,
};

/// How much one look-up may find: a list that names one large entry many times would make far more of an answer than was
/// read.
const MAX_FOUND_BYTES: usize = 64 * 1024 * 1024;

/// What steps end with.
pub(super) enum Outcome {
    /// The answer that they make together.
    Answer(Value),
    /// What a step says is given back.
    Returned(Returned),
    /// Nothing yet.
    Paused(Box<Paused>),
}

impl Run<'_> {
    /// Carries steps out, from the first or from where a call stopped. Error: [`CallError::Step`] with the step that failed
    /// and those that were carried out before it.
    pub(super) async fn steps(
        &self,
        steps: &Steps,
        arguments: &JsonObject,
        continuation: Continuation,
    ) -> Result<Outcome, CallError> {
        let Continuation { resume, answers: mut new } = continuation;
        let is_resumed = resume.is_some();
        let Resume { step: start, answers, mut last, mut done, given, consent: _ } = resume.unwrap_or_default();
        // Only the step that a call stopped at may know them; where it did not stop, the first that asks.
        let mut given = Some(given);
        let mut answers = Value::Object(answers);
        for (number, (name, step)) in steps.steps.iter().enumerate().skip(start) {
            let failed = |error: CallError| CallError::in_step(name, &done, error);
            let scope = Scope::new(arguments, &answers);
            let answer = match step {
                Step::Call(operation) => {
                    // A service may take a repeated name for a retry of the same call.
                    let request_id = format!("{}-{}", self.request_id, number + 1);
                    match self.operation(operation, &scope, &request_id).await.map_err(failed)? {
                        Decoded::Json(answer) => {
                            self.seen.note(&answer, operation.marks.as_deref());
                            self.work(|| shape::project(&operation.projection, answer))
                                .map_err(|error| failed(error.into()))?
                        }
                        Decoded::Binary { .. } => {
                            return Err(failed(CallError::Unusable("bytes, which no step can use")));
                        }
                    }
                }
                Step::Lookup(lookup) => self.work(|| lookup.find(&scope)).map_err(failed)?,
                Step::Interaction(interaction) => {
                    let has_state = !done.is_empty() || answers.as_object().is_some_and(|answers| !answers.is_empty());
                    let kept = |given: JsonObject, step: usize| {
                        let answers = answers.as_object().cloned().unwrap_or_default();
                        Resume { step, answers, last: last.clone(), done: done.clone(), given, ..Resume::default() }
                    };
                    // A task goes on behind its step, an answer at its question.
                    let behind = usize::from(matches!(&**interaction, Interaction::Task(_)));
                    let resume = |given: JsonObject| kept(given, number + behind);
                    let asks = matches!(&**interaction, Interaction::Input(_));
                    let accepted = given.take_if(|_| asks).unwrap_or_default();
                    let is_resumed = is_resumed && number == start;
                    let new = if asks { std::mem::take(&mut new) } else { BTreeMap::default() };
                    let position = Position { resume: &resume, given: Given { accepted, new, is_resumed }, has_state };
                    match Box::pin(self.interaction(interaction, &scope, position)).await.map_err(failed)? {
                        Flow::On(answer) => answer,
                        Flow::Returned(returned) => return Ok(Outcome::Returned(returned)),
                        Flow::Paused(paused) => return Ok(Outcome::Paused(paused)),
                    }
                }
            };
            if matches!(step, Step::Call(_)) {
                done.push(name.clone());
                last.clone_from(&answer);
            }
            if let Value::Object(answers) = &mut answers
                && !answer.is_null()
            {
                answers.insert(name.clone(), answer);
            }
        }
        let scope = Scope::new(arguments, &answers);
        let mapped = self.work(|| {
            let mut mapped = Value::Object(Map::new());
            for (target, fill) in &steps.mappings {
                if let Some(value) = fill.value(&scope)? {
                    insert(&mut mapped, target, value.into_owned());
                }
            }
            Ok::<_, CallError>(mapped)
        })?;
        let nothing = mapped.as_object().is_some_and(Map::is_empty);
        Ok(Outcome::Answer(if nothing { last } else { mapped }))
    }
}

impl Lookup {
    /// The entry whose member is the wanted text, or the entries for a list of them; null where there is none.
    fn find(&self, scope: &Scope<'_>) -> Result<Value, CallError> {
        let index = self.index.value(scope)?.map(|index| index.into_owned()).unwrap_or_default();
        let entries = match index {
            Value::Array(entries) => entries,
            // `{"items": […]}`: the list is the only one there.
            Value::Object(members) => {
                let mut lists = members.into_iter().filter_map(|(_, member)| match member {
                    Value::Array(entries) => Some(entries),
                    _ => None,
                });
                match (lists.next(), lists.next()) {
                    (Some(entries), None) => entries,
                    _ => return Err(CallError::Unusable("no list to look in")),
                }
            }
            Value::Null => Vec::new(),
            _ => return Err(CallError::Unusable("no list to look in")),
        };
        let Some(wanted) = self.value.value(scope)? else { return Ok(Value::Null) };
        // Each text once, with the entry it is found at first: looking through all for each would take their product.
        let mut known = HashMap::new();
        for entry in &entries {
            if let Some(text) = self.matched.select(entry)?.as_ref().and_then(text) {
                known.entry(text).or_insert(entry);
            }
        }
        let first = |wanted: &Value| known.get(&text(wanted)?).copied();
        let items = match &*wanted {
            Value::Array(items) => items,
            single => return Ok(first(single).map(|entry| self.selected(entry)).unwrap_or_default()),
        };
        let mut left = MAX_FOUND_BYTES;
        let mut found = Vec::new();
        for entry in items.iter().filter_map(first) {
            let entry = self.selected(entry);
            left = left.checked_sub(size_of(&entry)).ok_or(CallError::Oversized(MAX_FOUND_BYTES))?;
            found.push(entry);
        }
        Ok(Value::Array(found))
    }

    fn selected(&self, entry: &Value) -> Value {
        match entry {
            Value::Object(members) if !self.outputs.is_empty() => {
                let wanted = self.outputs.iter().filter_map(|name| Some((name.clone(), members.get(name)?.clone())));
                Value::Object(wanted.collect())
            }
            entry => entry.clone(),
        }
    }
}

/// About how much memory a value takes.
fn size_of(value: &Value) -> usize {
    let own = std::mem::size_of::<Value>();
    own + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size_of).sum(),
        Value::Object(members) => members.iter().map(|(name, member)| name.len() + size_of(member)).sum(),
    }
}

/// What is compared: texts and numbers by how they are written, so that 7 finds "7".
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Sets a member of a member of an object; what stands in the way is replaced.
fn insert(object: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if let Value::Object(members) = object {
        insert(members.entry(first.clone()).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{catalog::fill::Fill, jsonpath::JsonPath};

    fn lookup(outputs: &[&str], value: Fill) -> Lookup {
        let path = |text: &str| JsonPath::parse(text).expect("a path");
        let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        Lookup { index: Fill::Answer(path("$.crew")), matched: path("$.id"), value, outputs }
    }

    fn find(lookup: &Lookup, answers: &Value) -> Result<Value, CallError> {
        lookup.find(&Scope::new(&JsonObject::new(), answers))
    }

    #[test]
    fn entries_are_found_by_text() {
        let answers = json!({"crew": [{"id": 1, "name": "a", "x": 1}, {"id": "2", "name": "b"}], "ids": ["2", 1, "9"]});
        let one = lookup(&["name"], Fill::Literal(json!("1")));
        assert_eq!(find(&one, &answers).expect("found"), json!({"name": "a"}));
        let ids = Fill::Answer(JsonPath::parse("$.ids").expect("a path"));
        assert_eq!(
            find(&lookup(&["name"], ids.clone()), &answers).expect("found"),
            json!([{"name": "b"}, {"name": "a"}])
        );
        let none = lookup(&[], Fill::Literal(json!("9")));
        assert_eq!(find(&none, &answers).expect("nothing"), Value::Null);
        let wrapped = json!({"crew": {"total": 1, "items": [{"id": 7}]}});
        assert_eq!(find(&lookup(&[], Fill::Literal(json!(7))), &wrapped).expect("found"), json!({"id": 7}));
        assert!(find(&one, &json!({"crew": "x"})).is_err(), "no list");
    }

    #[test]
    fn a_look_up_finds_only_so_much() {
        let ids = Fill::Answer(JsonPath::parse("$.ids").expect("a path"));
        let answers = |times: usize| json!({"crew": [{"id": 7, "text": "x".repeat(100_000)}], "ids": vec![7; times]});
        let found = find(&lookup(&[], ids.clone()), &answers(3)).expect("found");
        assert_eq!(found.as_array().map(Vec::len), Some(3));
        let refused = find(&lookup(&[], ids), &answers(2_000));
        assert!(matches!(refused, Err(CallError::Oversized(_))), "200 MB of one entry");
    }

    #[test]
    fn targets_with_dots_make_objects() {
        let mut object = json!({});
        for (target, value) in [("a", json!(1)), ("b.c", json!(2)), ("b.d.e", json!(3)), ("a.f", json!(4))] {
            let path: Vec<String> = target.split('.').map(str::to_owned).collect();
            insert(&mut object, &path, value);
        }
        assert_eq!(object, json!({"a": {"f": 4}, "b": {"c": 2, "d": {"e": 3}}}));
    }
}
