//! Two schemas of one tool side by side: what more is taken now, what less, and what else changed. A keyword that is not known
//! here counts as a change of its own, so that nothing changes unseen.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::shown::{both, plain, short};

/// What a change does to what a schema takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It takes more, or something else.
    Wider,
    /// It takes less.
    Narrower,
    /// It says something else of the same.
    Text,
}

/// A change, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) way: Way,
    pub(super) words: String,
}

/// Bounds from below: the smaller, the wider.
const LOWEST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
/// Bounds from above.
const HIGHEST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// Constraints that take nothing more when they are added, and of which nobody can tell what another one takes.
const CONSTRAINTS: [&str; 8] =
    ["pattern", "format", "multipleOf", "uniqueItems", "not", "propertyNames", "contentEncoding", "contentMediaType"];

/// What changed from one schema to the other.
pub(super) fn compare(old: &Value, new: &Value) -> Vec<Found> {
    let mut comparison = Comparison { found: Vec::new() };
    comparison.schemas(old, new, "");
    comparison.found
}

/// Whether a schema says anything of a place, a JSON pointer with `*` for any member or item.
pub(super) fn has(schema: &Value, pointer: &str) -> bool {
    let Some(rest) = pointer.strip_prefix('/') else { return true };
    let (name, rest) = rest.split_once('/').map_or((rest, String::new()), |(name, rest)| (name, format!("/{rest}")));
    let name = name.replace("~1", "/").replace("~0", "~");
    let member = schema.get("properties").and_then(|members| members.get(&name));
    let any = ["additionalProperties", "items"].into_iter().filter(|_| name == "*").filter_map(|key| schema.get(key));
    let branches = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    member.into_iter().chain(any).any(|inner| has(inner, &rest)) || {
        let mut branches = branches;
        branches.any(|branch| has(branch, pointer))
    }
}

struct Comparison {
    found: Vec<Found>,
}

impl Comparison {
    fn add(&mut self, way: Way, at: &str, words: &str) {
        let words = if at.is_empty() { words.to_owned() } else { format!("`{}` {words}", plain(at)) };
        self.found.push(Found { way, words });
    }

    fn schemas(&mut self, old: &Value, new: &Value, at: &str) {
        if old == new {
            return;
        }
        let (Some(old), Some(new)) = (members(old), members(new)) else {
            let way = match (old, new) {
                (_, Value::Bool(false)) => Way::Narrower,
                _ => Way::Wider,
            };
            return self.add(way, at, &format!("is {} now, and was {}", kind(new), kind(old)));
        };
        self.types(&old, &new, at);
        self.choices(&old, &new, at);
        self.required(&old, &new, at);
        self.properties(&old, &new, at);
        for keyword in ["description", "title"] {
            let text = |schema: &Map<String, Value>| match schema.get(keyword) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            let (old, new) = (text(&old), text(&new));
            if old != new {
                let (old, new) = both(&old, &new);
                self.add(Way::Text, at, &format!("{keyword}: {old} → {new}"));
            }
        }
        for keyword in LOWEST {
            self.bound(keyword, (&old, &new), at, |old, new| new < old);
        }
        for keyword in HIGHEST {
            self.bound(keyword, (&old, &new), at, |old, new| new > old);
        }
        for keyword in CONSTRAINTS {
            self.constraint(keyword, (&old, &new), at);
        }
        for (keyword, step) in [("items", "*"), ("additionalProperties", "*"), ("contains", "contains")] {
            self.inner(keyword, (&old, &new), &step_to(at, step));
        }
        for keyword in ["anyOf", "oneOf", "prefixItems"] {
            self.branches(keyword, (&old, &new), (at, Way::Wider));
        }
        self.branches("allOf", (&old, &new), (at, Way::Narrower));
        let known = |keyword: &&String| {
            let known = ["type", "enum", "const", "required", "properties", "description", "title"];
            let inner = ["items", "additionalProperties", "contains", "anyOf", "oneOf", "prefixItems", "allOf"];
            !known.iter().chain(&inner).chain(&LOWEST).chain(&HIGHEST).chain(&CONSTRAINTS).any(|one| one == keyword)
        };
        let others: BTreeSet<&String> = old.keys().chain(new.keys()).filter(known).collect();
        for keyword in others {
            let text = |value: Option<&Value>| value.map(ToString::to_string).unwrap_or_default();
            let (before, after) = (text(old.get(keyword)), text(new.get(keyword)));
            if before != after {
                let (before, after) = both(&before, &after);
                self.add(Way::Wider, at, &format!("has another `{}`: {before} → {after}", plain(keyword)));
            }
        }
    }

    fn types(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let (before, after) = (types(old), types(new));
        if before == after {
            return;
        }
        let shown = |kinds: &Option<BTreeSet<&str>>| match kinds {
            Some(kinds) => kinds.iter().map(|kind| plain(kind)).collect::<Vec<_>>().join(" or "),
            None => "anything".to_owned(),
        };
        let takes =
            |kinds: &BTreeSet<&str>, kind: &str| kinds.contains(kind) || kind == "integer" && kinds.contains("number");
        let narrower = match (&before, &after) {
            (None, _) => true,
            (_, None) => false,
            (Some(before), Some(after)) => after.iter().all(|kind| takes(before, kind)),
        };
        let way = if narrower { Way::Narrower } else { Way::Wider };
        self.add(way, at, &format!("takes {} now, and took {}", shown(&after), shown(&before)));
    }

    fn choices(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let (before, after) = (choices(old), choices(new));
        match (before, after) {
            (Some(before), Some(after)) => {
                let missing = |from: &[Value], other: &[Value]| {
                    let missing = from.iter().filter(|value| !other.contains(value));
                    missing.map(|value| format!("`{}`", plain(&value.to_string()))).collect::<Vec<_>>().join(", ")
                };
                let (more, less) = (missing(&after, &before), missing(&before, &after));
                if !more.is_empty() {
                    self.add(Way::Wider, at, &format!("may be {more} too"));
                }
                if !less.is_empty() {
                    self.add(Way::Narrower, at, &format!("may not be {less} any more"));
                }
                if more.is_empty() && less.is_empty() && before != after {
                    self.add(Way::Text, at, "lists its choices in another order");
                }
            }
            (Some(_), None) => self.add(Way::Wider, at, "is not one of a few choices any more"),
            (None, Some(_)) => self.add(Way::Narrower, at, "is one of a few choices now"),
            (None, None) => {}
        }
    }

    fn required(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let (before, after) = (required(old), required(new));
        let is_known = |schema: &Map<String, Value>, name: &str| {
            schema.get("properties").is_some_and(|members| members.get(name).is_some())
        };
        for name in before.difference(&after).filter(|name| is_known(new, name)) {
            self.add(Way::Wider, &step_to(at, name), "need not be given any more");
        }
        for name in after.difference(&before).filter(|name| is_known(old, name)) {
            self.add(Way::Narrower, &step_to(at, name), "must be given now");
        }
        // Of members that the schema says nothing else of.
        let unknown = |name: &&&str| !is_known(old, name) && !is_known(new, name);
        for name in before.symmetric_difference(&after).filter(unknown) {
            self.add(Way::Wider, &step_to(at, name), "must be given in one of both alone");
        }
    }

    fn properties(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &str) {
        let none = Map::new();
        let of = |schema: &'_ Map<String, Value>| schema.get("properties").and_then(Value::as_object).cloned();
        let (before, after) = (of(old).unwrap_or_else(|| none.clone()), of(new).unwrap_or(none));
        for (name, schema) in &before {
            let at = step_to(at, name);
            match after.get(name) {
                Some(new) => self.schemas(schema, new, &at),
                None => self.add(Way::Narrower, &at, "is there no more"),
            }
        }
        for (name, schema) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
            let must = if required(new).contains(name.as_str()) { " and must be given" } else { "" };
            let told = schema.get("description").and_then(Value::as_str);
            let told = told.map(|text| format!(": {}", short(text))).unwrap_or_default();
            self.add(Way::Wider, &step_to(at, name), &format!("is new{must}{told}"));
        }
    }

    fn bound(
        &mut self,
        keyword: &str,
        (old, new): (&Map<String, Value>, &Map<String, Value>),
        at: &str,
        is_wider: impl Fn(f64, f64) -> bool,
    ) {
        let (before, after) = (old.get(keyword), new.get(keyword));
        let (way, words) = match (before, after) {
            (before, after) if before == after => return,
            (Some(before), None) => (Way::Wider, format!("has no `{keyword}` any more, which was {before}")),
            (None, Some(after)) => (Way::Narrower, format!("has a `{keyword}` of {after} now")),
            (before, after) => {
                let number = |value: Option<&Value>| value.and_then(Value::as_f64);
                let narrower = number(before).zip(number(after)).is_some_and(|(old, new)| !is_wider(old, new));
                let shown = |value: Option<&Value>| value.map(ToString::to_string).unwrap_or_default();
                let way = if narrower { Way::Narrower } else { Way::Wider };
                (way, format!("has a `{keyword}` of {} now, and had {}", shown(after), shown(before)))
            }
        };
        self.add(way, at, &plain(&words));
    }

    fn constraint(&mut self, keyword: &str, (old, new): (&Map<String, Value>, &Map<String, Value>), at: &str) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (way, words) = match (old.get(keyword), new.get(keyword)) {
            (before, after) if before == after => return,
            (Some(before), None) => {
                (Way::Wider, format!("has no `{keyword}` any more, which was {}", short(&text(before))))
            }
            (None, Some(after)) => (Way::Narrower, format!("has the `{keyword}` {} now", short(&text(after)))),
            (Some(before), Some(after)) => {
                let (before, after) = both(&text(before), &text(after));
                (Way::Wider, format!("has another `{keyword}`: {before} → {after}"))
            }
            (None, None) => return,
        };
        self.add(way, at, &words);
    }

    /// A schema inside, which may be left out: anything fits then.
    fn inner(&mut self, keyword: &str, (old, new): (&Map<String, Value>, &Map<String, Value>), at: &str) {
        let anything = Value::Bool(true);
        let of = |schema: &Map<String, Value>| schema.get(keyword).unwrap_or(&anything).clone();
        let (before, after) = (of(old), of(new));
        let is_closed = |schema: &Value| *schema == Value::Bool(false);
        match (is_closed(&before), is_closed(&after)) {
            (true, false) => self.add(Way::Wider, at, "may be there now"),
            (false, true) => self.add(Way::Narrower, at, "may not be there any more"),
            _ => self.schemas(&before, &after, at),
        }
    }

    /// Lists of schemas: those that are the same in both count for nothing, the others are compared in their order.
    fn branches(
        &mut self,
        keyword: &str,
        (old, new): (&Map<String, Value>, &Map<String, Value>),
        (at, when_more): (&str, Way),
    ) {
        let of = |schema: &Map<String, Value>| schema.get(keyword).and_then(Value::as_array).cloned();
        let when_less = if when_more == Way::Wider { Way::Narrower } else { Way::Wider };
        let (before, after) = match (of(old), of(new)) {
            (None, None) => return,
            (Some(_), None) => return self.add(Way::Wider, at, &format!("has no `{keyword}` any more")),
            (None, Some(_)) => return self.add(Way::Narrower, at, &format!("has an `{keyword}` now")),
            (Some(before), Some(after)) => (before, after),
        };
        let only = |one: &[Value], other: &[Value]| -> Vec<Value> {
            one.iter().filter(|schema| !other.contains(schema)).cloned().collect()
        };
        let (gone, come) = (only(&before, &after), only(&after, &before));
        if gone.is_empty() && come.is_empty() && before != after {
            // For tuples it is another one.
            let way = if keyword == "prefixItems" { Way::Wider } else { Way::Text };
            return self.add(way, at, &format!("has the parts of its `{keyword}` in another order"));
        }
        for (old, new) in gone.iter().zip(&come) {
            self.schemas(old, new, at);
        }
        if come.len() > gone.len() {
            self.add(when_more, at, &format!("has {} more in its `{keyword}`", come.len().abs_diff(gone.len())));
        }
        if gone.len() > come.len() {
            self.add(when_less, at, &format!("has {} fewer in its `{keyword}`", come.len().abs_diff(gone.len())));
        }
    }
}

fn step_to(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// The keywords of a schema; that of anything has none.
fn members(schema: &Value) -> Option<Map<String, Value>> {
    match schema {
        Value::Object(members) => Some(members.clone()),
        Value::Bool(true) => Some(Map::new()),
        _ => None,
    }
}

fn kind(schema: &Value) -> &'static str {
    match schema {
        Value::Bool(false) => "nothing",
        Value::Null => "without a schema",
        _ => "described by a schema",
    }
}

fn types(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    match schema.get("type")? {
        Value::Array(kinds) => Some(kinds.iter().filter_map(Value::as_str).collect()),
        kind => Some(kind.as_str().into_iter().collect()),
    }
}

fn choices(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![only.clone()]),
        (None, Some(Value::Array(values))) => Some(values.clone()),
        (None, other) => other.map(|other| vec![other.clone()]),
    }
}

fn required(schema: &Map<String, Value>) -> BTreeSet<&str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_as_wider_or_narrower() {
        use Way::{Narrower, Text, Wider};
        for (old, new, way, words) in [
            (json!({"type": "integer"}), json!({"type": "number"}), Wider, "takes number now, and took integer"),
            (json!({"type": "number"}), json!({"type": "integer"}), Narrower, "takes integer now"),
            (json!({"type": "string"}), json!({"type": "integer"}), Wider, "took string"),
            (json!({"type": "string"}), json!({}), Wider, "takes anything now"),
            (json!({"type": "string"}), json!({"type": ["string", "null"]}), Wider, "null or string"),
            (json!({"enum": ["a"]}), json!({"enum": ["a", "b"]}), Wider, "may be `\"b\"` too"),
            (json!({"enum": ["a", "b"]}), json!({"enum": ["b"]}), Narrower, "may not be `\"a\"`"),
            (json!({"enum": ["a", "b"]}), json!({"enum": ["b", "a"]}), Text, "another order"),
            (json!({"enum": ["a"]}), json!({}), Wider, "not one of a few"),
            (json!({"const": 1}), json!({"enum": [1, 2]}), Wider, "may be `2` too"),
            (json!({"maximum": 5}), json!({"maximum": 6}), Wider, "`maximum` of 6 now, and had 5"),
            (json!({"maximum": 5}), json!({"maximum": 4}), Narrower, "`maximum` of 4"),
            (json!({"maximum": 5}), json!({}), Wider, "no `maximum` any more"),
            (json!({"minLength": 5}), json!({"minLength": 4}), Wider, "`minLength`"),
            (json!({"minLength": 5}), json!({"minLength": 6}), Narrower, "`minLength`"),
            (json!({}), json!({"maxItems": 1}), Narrower, "a `maxItems` of 1"),
            (json!({"pattern": "^a$"}), json!({}), Wider, "no `pattern`"),
            (json!({"pattern": "^a$"}), json!({"pattern": "a"}), Wider, "another `pattern`: “^a$” → “a”"),
            (json!({}), json!({"format": "uuid"}), Narrower, "the `format` “uuid”"),
            (json!({"additionalProperties": false}), json!({}), Wider, "`*` may be there now"),
            (json!({}), json!({"additionalProperties": false}), Narrower, "`*` may not be there"),
            (json!({}), json!({"additionalProperties": {"type": "string"}}), Narrower, "`*` takes string"),
            (json!({"items": {"type": "string"}}), json!({}), Wider, "`*` takes anything"),
            (
                json!({"anyOf": [{"type": "string"}]}),
                json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
                Wider,
                "1 more",
            ),
            (json!({"anyOf": [{"type": "string"}]}), json!({}), Wider, "no `anyOf`"),
            (json!({"allOf": [{"minLength": 1}]}), json!({"allOf": []}), Wider, "1 fewer"),
            (
                json!({"oneOf": [{"maximum": 1}, {"type": "null"}]}),
                json!({"oneOf": [{"type": "null"}, {"maximum": 2}]}),
                Wider,
                "of 2 now",
            ),
            (json!({"description": "a"}), json!({"description": "b"}), Text, "description: “a” → “b”"),
            (json!({"default": 1}), json!({"default": 2}), Wider, "another `default`: “1” → “2”"),
            (json!({"x-new": 1}), json!({}), Wider, "`x-new`"),
            (Value::Null, json!({"type": "object"}), Wider, "described by a schema now, and was without"),
        ] {
            let found = compare(&old, &new);
            assert!(
                matches!(&*found, [only] if only.way == way && only.words.contains(words)),
                "{old} → {new}: {found:?}"
            );
            assert!(compare(&old, &old).is_empty());
        }
    }

    #[test]
    fn members_are_named_with_their_place() {
        let old = json!({"type": "object", "required": ["a", "b"], "properties": {
            "a": {"type": "string"}, "b": {}, "c": {}, "gone": {}, "deep": {"items": {"properties": {"x": {"maximum": 1}}}}}});
        let new = json!({"type": "object", "required": ["a", "c", "new"], "properties": {
            "a": {"type": "string"}, "b": {}, "c": {}, "new": {"description": "More."}, "deep": {"items": {"properties": {"x": {}}}}}});
        let words: Vec<String> = compare(&old, &new).into_iter().map(|found| found.words).collect();
        assert_eq!(
            words,
            [
                "`b` need not be given any more",
                "`c` must be given now",
                "`gone` is there no more",
                "`deep.*.x` has no `maximum` any more, which was 1",
                "`new` is new and must be given: “More.”",
            ]
        );
    }

    #[test]
    fn places_are_found_in_branches_too() {
        let schema = json!({"properties": {"a/b": {"oneOf": [{"items": {"properties": {"x": {}}}}]}}});
        assert!(has(&schema, "/a~1b/*/x") && has(&schema, "") && !has(&schema, "/a~1b/*/y") && !has(&schema, "/x"));
    }
}
