//! Marks of secrets in JSON Schemas: put there where names say so, and read as a tree that values are walked along.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use super::{names_number, names_secret_value};
use crate::{catalog::names::snake_case, schema::parts};

/// Whose values a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A tool's arguments.
    Input,
    /// A tool's result.
    Output,
}

/// A mark within this program, which no file brings in: `true` where the marks of others have to go; `false` for what its name
/// takes for a secret, and is none; `"accepted"` for texts that may be secrets.
pub(crate) const X_SECRET: &str = "x-secret";
const ACCEPTED: &str = "accepted";
/// Names of maps of variables for a program, among which there may be secrets.
const VARIABLES: [&str; 8] = [
    "env",
    "environment",
    "environment_variables",
    "env_vars",
    "envs",
    "environment_vars",
    "variables",
    "env_variables",
];
/// What a handle in the place of a secret does not keep to.
const CONSTRAINTS: [&str; 10] = [
    "const",
    "enum",
    "format",
    "maxLength",
    "minLength",
    "pattern",
    "contentEncoding",
    "contentMediaType",
    "default",
    "examples",
];

/// Where a schema marks secrets. A part of a value that it says nothing of has none by mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Everything in here.
    is_secret: bool,
    /// What is secret here is a number.
    is_number: bool,
    /// Texts that may be secrets, and as well may not.
    accepts: bool,
    members: BTreeMap<String, Marks>,
    /// Members of other names.
    others: Option<Box<Marks>>,
    items: Option<Box<Marks>>,
}

/// Whether a schema marks its values as secret itself: `writeOnly` (JSON Schema validation, section 9.4), OpenAPI's `format:
/// password`, or `x-secret`.
pub(crate) fn says_secret(schema: &Map<String, Value>) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
        || schema.get("format").is_some_and(|format| format == "password")
        || schema.get(X_SECRET) == Some(&Value::Bool(true))
}

/// Whether a schema is one of texts that may be secrets, and as well may not.
pub(crate) fn accepts_secret(schema: &Map<String, Value>) -> bool {
    schema.get(X_SECRET).is_some_and(|said| said == ACCEPTED)
}

/// Marks the members of a schema whose names say that they are secret, at any depth.
pub(crate) fn mark(schema: &mut Value, side: Side) {
    parts::visit(schema, &mut |schema| {
        if let Some(Value::Object(members)) = schema.get_mut("properties") {
            members.iter_mut().for_each(|(name, member)| mark_named(name, member, side));
        }
    });
}

/// Frees the schema of a secret from all that a handle or a mask in its place would not keep to.
pub(crate) fn set_free(schema: &mut Map<String, Value>) {
    CONSTRAINTS.iter().for_each(|keyword| drop(schema.shift_remove(*keyword)));
    let is_text = schema.get("type").is_none_or(|kind| match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "string"),
        kind => kind == "string",
    });
    if !is_text {
        let kept = schema.shift_remove("description");
        schema.clear();
        schema.extend(kept.map(|description| ("description".to_owned(), description)));
    }
}

/// Marks the schema of a member or an argument of this name, where that says so and the schema is one of texts.
pub(crate) fn mark_named(name: &str, schema: &mut Value, side: Side) {
    let Value::Object(schema) = schema else { return };
    if side == Side::Input && VARIABLES.contains(&snake_case(name).as_str()) && holds_any_names(schema) {
        let values = schema.entry("additionalProperties").or_insert(Value::Bool(true));
        if *values == Value::Bool(true) {
            *values = json!({});
        }
        if let Value::Object(values) = values
            && holds_texts(values)
        {
            values.insert(X_SECRET.to_owned(), json!(ACCEPTED));
        }
        return;
    }
    if says_secret(schema) || schema.contains_key(X_SECRET) || !names_secret_value(name) {
        return;
    }
    // Of numbers in answers their length tells more.
    if holds_texts(schema) || side == Side::Input && holds_numbers(schema) && names_number(name) {
        match side {
            Side::Input => schema.insert("writeOnly".to_owned(), json!(true)),
            Side::Output => schema.insert("format".to_owned(), json!("password")),
        };
    } else if let Some(Value::Object(items)) = schema.get_mut("items")
        && holds_texts(items)
    {
        items.insert("writeOnly".to_owned(), json!(true));
    }
}

/// Whether it is a schema of objects with members of any name.
fn holds_any_names(schema: &Map<String, Value>) -> bool {
    let is_object = schema.get("type").is_none_or(|kind| match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "object"),
        kind => kind == "object",
    });
    is_object && !schema.contains_key("properties") && schema.get("additionalProperties") != Some(&Value::Bool(false))
}

/// Whether values of a schema may be any text: one of a few words is no secret.
fn holds_texts(schema: &Map<String, Value>) -> bool {
    let is_text = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        Some(kind) => kind == "string",
        None => !schema.contains_key("properties") && !schema.contains_key("items"),
    };
    is_text && !schema.contains_key("enum") && !schema.contains_key("const")
}

/// Whether values of a schema are numbers that may be long enough for a secret: the pin of a device is not.
fn holds_numbers(schema: &Map<String, Value>) -> bool {
    const LEAST_MOST: f64 = 100.0;
    let is_small = schema.get("maximum").and_then(Value::as_f64).is_some_and(|most| most < LEAST_MOST);
    is_of_numbers(schema) && !is_small && !schema.contains_key("enum") && !schema.contains_key("const")
}

/// Whether values of a schema are numbers, and no texts.
fn is_of_numbers(schema: &Map<String, Value>) -> bool {
    let is_number = |kind: &Value| kind == "integer" || kind == "number";
    schema.get("type").is_some_and(|kind| match kind {
        Value::Array(kinds) => kinds.iter().any(is_number) && !kinds.iter().any(|kind| kind == "string"),
        kind => is_number(kind),
    })
}

impl Marks {
    /// The marks of a schema without references, in all its branches. None where there are none.
    pub fn of(schema: &Value) -> Option<Self> {
        let mut marks = Self::default();
        marks.add(schema);
        (!marks.is_empty()).then_some(marks)
    }

    /// Whether everything in here is secret.
    pub fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// A secret that is given as a text, as its schema has it at this place, a JSON pointer: a number where that is one.
    pub(crate) fn typed(&self, pointer: &str, text: &str) -> Value {
        let names = pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"));
        let mut marks = Some(self);
        for name in names {
            marks = marks.and_then(|marks| marks.member(&name).or(marks.item()));
        }
        let number = marks.filter(|marks| marks.is_number).and_then(|_| text.trim().parse::<Number>().ok());
        number.map_or_else(|| Value::from(text), Value::Number)
    }

    /// Whether texts in here may be secrets, and as well may not.
    pub fn accepts(&self) -> bool {
        self.accepts
    }

    /// Whether anything in here is secret, rather than may be.
    pub fn has_secrets(&self) -> bool {
        let inside = self.members.values().chain(self.others.as_deref()).chain(self.items.as_deref());
        self.is_secret || inside.into_iter().any(Self::has_secrets)
    }

    /// The marks of a member.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.members.get(name).or(self.others.as_deref())
    }

    /// The marks of an item of a list.
    pub fn item(&self) -> Option<&Self> {
        self.items.as_deref()
    }

    /// The places of all marks, as JSON pointers with `*` for any member or item, in order.
    pub fn places(&self) -> Vec<String> {
        let mut places = Vec::new();
        self.collect_places(String::new(), &mut places);
        places
    }

    fn collect_places(&self, at: String, places: &mut Vec<String>) {
        if self.is_secret {
            places.push(at);
            return;
        }
        for (name, marks) in &self.members {
            marks.collect_places(format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
        }
        for marks in self.others.iter().chain(&self.items) {
            marks.collect_places(format!("{at}/*"), places);
        }
    }

    fn is_empty(&self) -> bool {
        !self.is_secret && !self.accepts && self.members.is_empty() && self.others.is_none() && self.items.is_none()
    }

    fn add(&mut self, schema: &Value) {
        let Value::Object(schema) = schema else { return };
        self.is_secret |= says_secret(schema);
        self.is_number |= says_secret(schema) && is_of_numbers(schema);
        self.accepts |= accepts_secret(schema);
        for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(marks) = Self::of(member) {
                self.members.entry(name.clone()).or_default().join(marks);
            }
        }
        let others = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::values);
        for member in others.chain(schema.get("additionalProperties")) {
            join(&mut self.others, Self::of(member));
        }
        let listed = schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
        for item in listed.chain(schema.get("items")) {
            join(&mut self.items, Self::of(item));
        }
        for keyword in ["anyOf", "oneOf", "allOf"] {
            schema.get(keyword).and_then(Value::as_array).into_iter().flatten().for_each(|branch| self.add(branch));
        }
        for keyword in ["if", "then", "else"] {
            schema.get(keyword).into_iter().for_each(|branch| self.add(branch));
        }
    }

    fn join(&mut self, other: Self) {
        self.is_secret |= other.is_secret;
        self.is_number |= other.is_number;
        self.accepts |= other.accepts;
        for (name, marks) in other.members {
            self.members.entry(name).or_default().join(marks);
        }
        join(&mut self.others, other.others.map(|marks| *marks));
        join(&mut self.items, other.items.map(|marks| *marks));
    }
}

fn join(own: &mut Option<Box<Marks>>, other: Option<Marks>) {
    if let Some(other) = other {
        own.get_or_insert_default().join(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mark_texts_at_any_depth_and_nothing_else() {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "password": {"type": ["string", "null"]},
                "token": {"type": "string", "enum": ["a", "b"]},
                "secret": {"type": "boolean"},
                "open_token": {"type": "string", "x-secret": false},
                "recovery_codes": {"type": "array", "items": {"type": "string"}},
                "mounts": {"type": "array", "items": {"oneOf": [{"properties": {"token": {"type": "string"}}}]}},
                "env": {"type": "object", "additionalProperties": {"type": "string", "writeOnly": true}},
            }
        });
        mark(&mut schema, Side::Output);
        let places = Marks::of(&schema).unwrap().places();
        assert_eq!(places, ["/env/*", "/mounts/*/token", "/password", "/recovery_codes/*"]);
        assert_eq!(schema["properties"]["password"]["format"], "password");
        assert!(Marks::of(&json!({"properties": {"name": {"type": "string"}}})).is_none());
    }

    #[test]
    fn numbers_are_secret_arguments_where_their_names_say_so() {
        let mut schema = json!({"properties": {
            "card": {"properties": {"pin": {"type": "integer"}, "cvv": {"type": ["integer", "null"]}}},
            "pin": {"type": "integer", "maximum": 40},
            "token": {"type": "integer"},
            "otp": {"type": ["integer", "string"]},
        }});
        mark(&mut schema, Side::Input);
        let marks = Marks::of(&schema).unwrap();
        assert_eq!(marks.places(), ["/card/cvv", "/card/pin", "/otp"]);
        assert_eq!(marks.typed("/card/pin", "482915"), json!(482_915));
        assert_eq!(marks.typed("/card/pin", "none"), json!("none"));
        assert_eq!(marks.typed("/otp", "482915"), json!("482915"));
    }
}
