//! A tool's result: the schema a client sees, and bringing an answer into its shape.
//!
//! MCP binds a server to its `outputSchema`, and clients refuse a whole call over one deviation, so the listed schema
//! accepts what backends honestly send: members nobody promised, nothing at all (204), and null where it is admitted.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{
    JsonObject,
    listed::{drop_unknown_format, shorten_choices, tidy_descriptions},
    risk::shapes::credentials,
};
use crate::{
    schema::dialect::UNSHOWN,
    schema::{Checker, parts},
    sensitive::{self, Marks, Side, X_SECRET, says_secret, set_free},
};

/// The result of a tool.
#[derive(Debug)]
pub struct OutputSchema {
    /// The schema as clients see it, as JSON: as a tree it takes ten times the memory. `None` for any object.
    text: Option<Box<str>>,
    /// Whether results have structured content at all.
    promised: bool,
    /// Where secrets are in it.
    marks: Option<Box<Marks>>,
    /// The members that authenticate whoever has them.
    credentials: Box<[Box<str>]>,
    /// Made for the first result.
    validator: OnceLock<Option<Box<Validator>>>,
    /// Whether the answer may be no object, so that its schema is that of a member.
    is_wrapped: bool,
}

impl OutputSchema {
    /// Builds the schema of a result from that of an answer. Error: why it is not a valid schema.
    pub fn new(mut answer: Value, checker: &mut Checker) -> Result<Self, String> {
        sensitive::mark(&mut answer, Side::Output);
        parts::visit(&mut answer, &mut open);
        let is_wrapped = !answer.as_object().is_some_and(is_object_schema);
        let listed = match answer {
            Value::Object(mut schema) if is_object_schema(&schema) => {
                schema.insert("type".to_owned(), json!("object")); // null comes back as an empty object
                schema
            }
            schema => {
                let member = if is_array_schema(&schema) { ITEMS } else { RESULT };
                let mut wrapped = JsonObject::new();
                wrapped.insert("type".to_owned(), json!("object"));
                wrapped.insert("properties".to_owned(), json!({ member: schema }));
                wrapped
            }
        };
        // What is said of a branch that goes holds all the same.
        let mut listed = Value::Object(listed);
        let marks = Marks::of(&listed).map(Box::new);
        parts::visit(&mut listed, &mut |schema| {
            if let Some(Value::Object(properties)) = schema.get_mut("properties") {
                properties.retain(|_, property| property.get(UNSHOWN).is_none());
            }
        });
        // An answer without a body is an empty object: clients would refuse it if a member had to be there.
        // Combinations at the root go too: they can ask for members in turn, and clients drop tools that have them.
        for keyword in
            ["required", "anyOf", "oneOf", "allOf", "not", "if", "then", "else", "minProperties", "dependentRequired"]
        {
            if let Value::Object(listed) = &mut listed {
                listed.shift_remove(keyword);
            }
        }
        if marks.is_some() {
            parts::visit(&mut listed, &mut |schema| drop(schema.shift_remove(X_SECRET)));
        }
        tidy_descriptions(&mut listed);
        parts::visit(&mut listed, &mut shorten_choices);
        checker.check(&listed).map_err(|error| error.masked().to_string())?;
        let (text, credentials) = (Some(listed.to_string().into()), credentials(&listed));
        Ok(Self { text, promised: true, marks, credentials, validator: OnceLock::new(), is_wrapped })
    }

    /// A schema that is offered as it is written. Error: why it is none.
    pub fn stated(schema: &Value, checker: &mut Checker) -> Result<Self, String> {
        checker.check(schema).map_err(|error| error.masked().to_string())?;
        let mut marked = schema.clone();
        sensitive::mark(&mut marked, Side::Output);
        let marks = Marks::of(&marked).map(Box::new);
        let (text, credentials) = (Some(schema.to_string().into()), credentials(schema));
        Ok(Self { text, promised: true, marks, credentials, validator: OnceLock::new(), is_wrapped: false })
    }

    /// The schema of a result of which nothing is known: any object.
    pub fn any() -> Self {
        Self {
            text: None,
            promised: true,
            marks: None,
            credentials: Box::default(),
            validator: OnceLock::new(),
            is_wrapped: false,
        }
    }

    /// Of a result that has content alone.
    pub fn none() -> Self {
        Self {
            text: None,
            promised: false,
            marks: None,
            credentials: Box::default(),
            validator: OnceLock::new(),
            is_wrapped: false,
        }
    }

    /// Where secrets are in results.
    pub fn marks(&self) -> Option<&Marks> {
        self.marks.as_deref()
    }

    /// Where secrets are in an answer, which may be none that is an object yet: see [`as_object`].
    pub(crate) fn marks_in(&self, answer: &Value) -> Option<&Marks> {
        let marks = self.marks()?;
        if self.is_wrapped {
            return marks.member(ITEMS).or_else(|| marks.member(RESULT));
        }
        answer.is_object().then_some(marks)
    }

    /// The members that by their names authenticate whoever has them, each as its names joined by dots.
    pub(super) fn credentials(&self) -> &[Box<str>] {
        &self.credentials
    }

    /// Whether results have structured content, which the schema is of.
    pub fn is_promised(&self) -> bool {
        self.promised
    }

    /// The schema as clients see it: an object schema without references. Made anew each time.
    pub fn listed(&self) -> JsonObject {
        match &self.text {
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
            None => JsonObject::from_iter([("type".to_owned(), json!("object"))]),
        }
    }

    /// The same for clients of the older era, which take object schemas alone: what is none is a member of one, as
    /// [`as_object`] makes it of the result.
    pub fn listed_as_object(&self) -> JsonObject {
        let mut listed = self.listed();
        if is_object_schema(&listed) {
            return listed;
        }
        // References start at the root.
        let kept: Vec<(String, Value)> =
            ["$schema", "$defs"].into_iter().filter_map(|name| listed.shift_remove_entry(name)).collect();
        let schema = Value::Object(listed);
        let mut wrapped = JsonObject::from_iter(kept);
        wrapped.insert("type".to_owned(), json!("object"));
        let member = if is_array_schema(&schema) { ITEMS } else { RESULT };
        wrapped.insert("properties".to_owned(), json!({ member: schema }));
        wrapped
    }

    /// Whether clients see the same schema.
    pub fn is_listed_as(&self, other: &Self) -> bool {
        self.text == other.text && self.promised == other.promised
    }

    /// The first place where a result deviates from the schema, and how; no value of it is repeated.
    pub fn deviation(&self, result: &Value) -> Option<String> {
        self.text.as_ref()?;
        let build = || {
            let options = crate::schema::validator_options().should_validate_formats(false);
            options.build(&Value::Object(self.listed())).map(Box::new).ok()
        };
        let validator = self.validator.get_or_init(build).as_ref()?;
        let error = validator.validate(result).err()?;
        Some(format!("`{}` {}", error.instance_path().as_str(), error.masked()))
    }
}

const ITEMS: &str = "items";
const RESULT: &str = "result";

/// An answer as the object that a result must be: an object as it is, an array as `items`, anything else as `result`.
pub fn as_object(answer: Value) -> JsonObject {
    match answer {
        Value::Object(members) => members,
        other => {
            let member = if other.is_array() { ITEMS } else { RESULT };
            JsonObject::from_iter([(member.to_owned(), other)])
        }
    }
}

/// Whether a schema is of objects, or of objects and null, stated or by its members.
fn is_object_schema(schema: &JsonObject) -> bool {
    match schema.get("type") {
        Some(Value::Array(kinds)) => {
            kinds.iter().any(|kind| kind == "object") && kinds.iter().all(|kind| kind == "object" || kind == "null")
        }
        Some(kind) => kind == "object",
        None => schema.contains_key("properties"),
    }
}

fn is_array_schema(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "array")
}

/// Drops what would make an honest answer invalid: closed objects, formats of other vocabularies, what a handle in the place
/// of a secret does not keep to.
fn open(schema: &mut JsonObject) {
    if says_secret(schema) {
        schema.shift_remove("writeOnly");
        set_free(schema);
        schema.insert(X_SECRET.to_owned(), Value::Bool(true));
    }
    for keyword in ["additionalProperties", "unevaluatedProperties"] {
        if schema.get(keyword) == Some(&Value::Bool(false)) {
            schema.shift_remove(keyword);
        }
    }
    drop_unknown_format(schema);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Value {
        Value::Object(as_object(value))
    }

    fn built(answer: Value) -> OutputSchema {
        OutputSchema::new(answer, &mut Checker::default()).expect("valid")
    }

    #[test]
    fn an_object_schema_is_opened() {
        let schema = built(json!({
            "type": "object", "additionalProperties": false, "required": ["id"],
            "properties": {
                "id": {"type": "string"},
                "at": {"type": ["integer", "null"], "format": "int64"},
                "in": {"type": "object", "additionalProperties": false, "required": ["x"]}}}));
        assert_eq!(
            Value::Object(schema.listed()),
            json!({"type": "object", "properties": {
                "id": {"type": "string"}, "at": {"type": ["integer", "null"]}, "in": {"type": "object", "required": ["x"]}}})
        );
        assert_eq!(schema.deviation(&object(json!({}))), None, "an answer without a body");
        assert_eq!(schema.deviation(&object(json!({"id": "a", "at": null, "new": 1}))), None);
        let deviation = schema.deviation(&object(json!({"id": 12345}))).expect("deviates");
        assert!(deviation.contains("/id") && !deviation.contains("12345"), "{deviation}");
    }

    #[test]
    fn an_object_or_null_is_an_object() {
        for kind in [
            json!({"type": ["object", "null"], "properties": {"id": {"type": "integer"}}}),
            json!({"properties": {"id": {"type": "integer"}}}),
        ] {
            let schema = built(kind);
            assert_eq!(schema.listed()["type"], "object");
            assert!(schema.deviation(&object(json!({"id": "7"}))).is_some());
            assert_eq!(schema.deviation(&object(json!({}))), None);
        }
    }

    #[test]
    fn an_array_is_an_object_for_those_who_know_nothing_else() {
        let list = json!({"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}});
        let schema = OutputSchema::stated(&list, &mut Checker::default()).expect("valid");
        assert_eq!(Value::Object(schema.listed()), list);
        assert_eq!(schema.deviation(&json!([1])), None);
        assert!(schema.deviation(&json!(["x"])).is_some());
        let wrapped = json!({"$defs": {"n": {"type": "integer"}}, "type": "object",
            "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/n"}}}});
        assert_eq!(Value::Object(schema.listed_as_object()), wrapped);
    }

    #[test]
    fn what_is_no_object_is_wrapped() {
        let list = built(json!({"type": "array", "items": {"type": "integer"}}));
        assert_eq!(list.deviation(&object(json!([1, 2]))), None);
        assert!(list.deviation(&object(json!(["x"]))).is_some());
        let text = built(json!({"type": "string"}));
        assert_eq!(text.deviation(&object(json!("x"))), None);
        assert_eq!(object(json!("x")), json!({"result": "x"}));
    }
}
