//! A tool's arguments: the schema a client sees, the check before anything is sent, and which of them are secret.
//!
//! The listed schema is the plainest form that every client takes; the check uses the full one. Messages are for a
//! model: they name the argument, what was wrong and what would be right, and never repeat a secret argument.

use std::{collections::BTreeSet, sync::OnceLock};

use jsonschema::Validator;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    JsonObject,
    explain::{dotted, explain},
    harmless::{Harmless, harmless, plain_texts},
    listed::{drop_unknown_format, shorten_choices, tidy_descriptions, with_end},
    secrets::{collect_secrets, marks_secret, members, replace_secrets},
};
use crate::{
    error::{ArgumentProblem, CallError},
    schema::{Checker, parts},
    sensitive::{self, Marks, Side, X_SECRET, says_secret, set_free},
};

/// How many problems one error names.
const MAX_PROBLEMS: usize = 8;

/// One argument of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The name.
    pub name: String,
    /// Its full JSON Schema.
    pub schema: Value,
    /// Whether it must be given.
    pub required: bool,
}

/// The arguments of a tool.
#[derive(Debug)]
pub struct InputSchema {
    /// The full schema, as JSON: as a tree it takes ten times the memory, and most tools are never called.
    text: Box<str>,
    len: usize,
    /// Where it marks secrets.
    marks: Option<Box<Marks>>,
    /// Whether secrets are given by handles.
    takes_handles: bool,
    /// Whether it is offered as its author wrote it.
    is_stated: bool,
    /// What a check needs, made for the first one.
    ready: OnceLock<Box<Ready>>,
}

#[derive(Debug)]
struct Ready {
    full: Value,
    validator: Result<Validator, String>,
    /// Arguments whose texts are told in clear nowhere unless an operator named them.
    plain_texts: BTreeSet<String>,
}

impl InputSchema {
    /// Builds the schema of a tool's arguments. Error: why an argument's schema is not valid.
    pub fn new(arguments: Vec<Argument>, checker: &mut Checker) -> Result<Self, String> {
        let required = arguments.iter().filter(|argument| argument.required).map(|argument| json!(argument.name));
        let required: Vec<Value> = required.collect();
        let len = arguments.len();
        let properties: JsonObject =
            arguments.into_iter().map(|Argument { name, schema, required: _ }| (name, schema)).collect();
        let mut root = JsonObject::new();
        root.insert("type".to_owned(), json!("object"));
        root.insert("properties".to_owned(), Value::Object(properties));
        if !required.is_empty() {
            root.insert("required".to_owned(), Value::Array(required));
        }
        root.insert("additionalProperties".to_owned(), json!(false));
        let mut full = Value::Object(root);
        tidy_descriptions(&mut full);
        checker
            .check(&full)
            .map_err(|error| format!("{}: {}", dotted(error.instance_path().as_str()), error.masked()))?;
        Ok(Self::of(&full, len, false))
    }

    /// A schema that is offered as it is written, whatever clients make of it: its author named the dialect. Error: why it
    /// is none.
    pub fn stated(schema: &Value, checker: &mut Checker) -> Result<Self, String> {
        if schema.get("type") != Some(&json!("object")) {
            return Err("its `type` must be `object`".to_owned());
        }
        checker
            .check(schema)
            .map_err(|error| format!("{}: {}", dotted(error.instance_path().as_str()), error.masked()))?;
        let len = schema.get("properties").and_then(Value::as_object).map_or(0, JsonObject::len);
        let mut schema = schema.clone();
        sensitive::mark(&mut schema, Side::Input);
        Ok(Self::of(&schema, len, true))
    }

    fn of(full: &Value, len: usize, is_stated: bool) -> Self {
        let marks = Marks::of(full).map(Box::new);
        Self { text: full.to_string().into(), len, marks, takes_handles: false, is_stated, ready: OnceLock::new() }
    }

    /// The same, with secrets given by handles where that is so.
    #[must_use]
    pub fn with_handles(self, takes_handles: bool) -> Self {
        Self { takes_handles, ..self }
    }

    /// Where secrets are among the arguments.
    pub fn marks(&self) -> Option<&Marks> {
        self.marks.as_deref()
    }

    /// The names of the arguments.
    pub fn names(&self) -> Vec<String> {
        let properties = self.ready().full.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// The arguments that have to be given.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let required = self.ready().full.get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str)
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The schema as clients see it: an object schema without references. Made anew each time.
    pub fn listed(&self) -> JsonObject {
        let mut root: JsonObject = serde_json::from_str(&self.text).unwrap_or_default();
        if self.takes_handles && self.marks.is_some() {
            tell_of_handles(&mut root);
        }
        if !self.is_stated
            && let Some(Value::Object(arguments)) = root.get_mut("properties")
        {
            arguments.values_mut().for_each(|argument| parts::visit(argument, &mut simplify));
        }
        root
    }

    /// Whether the schema holds this word anywhere, as a keyword, a name or within a text.
    pub fn mentions(&self, word: &str) -> bool {
        self.text.contains(word)
    }

    /// Whether clients see the same schema.
    pub fn is_listed_as(&self, other: &Self) -> bool {
        self.text == other.text || self.listed() == other.listed()
    }

    /// A text as the value of an argument, as the argument's type says. What does not read as that type stays text, and
    /// the check will name it.
    pub fn read(&self, name: &str, text: &str) -> Value {
        let schema = self.ready().full.get("properties").and_then(|properties| properties.get(name));
        let is_text = |kind: &Value| kind == "string";
        let takes_text = schema.and_then(|schema| schema.get("type")).is_none_or(|kind| match kind {
            Value::Array(kinds) => kinds.iter().any(is_text),
            kind => is_text(kind),
        });
        if takes_text { Value::from(text) } else { serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)) }
    }

    fn ready(&self) -> &Ready {
        self.ready.get_or_init(|| {
            let full = serde_json::from_str(&self.text).unwrap_or_default();
            let validator = crate::schema::validator_options()
                .should_validate_formats(true)
                .should_ignore_unknown_formats(true)
                .build(&full)
                .map_err(|error| error.masked().to_string());
            let plain_texts = plain_texts(&full);
            Box::new(Ready { full, validator, plain_texts })
        })
    }

    /// Checks arguments, a JSON object. Error: [`CallError::Arguments`] with every problem, at most eight; with the
    /// first one alone where the arguments are large, since the library collects all of them at once.
    pub fn check(&self, arguments: &Value) -> Result<(), CallError> {
        let Ready { full, validator, .. } = self.ready();
        let validator = validator.as_ref().map_err(|reason| CallError::Internal(format!("input schema: {reason}")))?;
        let Err(first) = validator.validate(arguments) else { return Ok(()) };
        let mut problems: Vec<ArgumentProblem> = Vec::new();
        if is_small(arguments, &mut 0) {
            problems.extend(validator.iter_errors(arguments).flat_map(|error| explain(full, &error)));
        } else {
            problems.extend(explain(full, &first));
        }
        problems.truncate(MAX_PROBLEMS);
        Err(CallError::Arguments(problems))
    }

    /// The values of secret arguments (`writeOnly` or `format: password`), to be masked wherever text comes back.
    pub fn secrets(&self, arguments: &JsonObject) -> Vec<SecretString> {
        let mut found = Vec::new();
        if self.marks.is_none() {
            return found; // most tools: nothing is walked on each call
        }
        let full = &self.ready().full;
        for (name, value) in arguments {
            collect_secrets(&members(full, name), value, false, &mut found);
        }
        // A value that also stands in an open argument is no secret, and masking it would garble the answer.
        let open = |secret: &SecretString| {
            arguments.iter().any(|(name, value)| {
                value.as_str() == Some(secret.expose_secret())
                    && !members(full, name).iter().any(|schema| marks_secret(schema))
            })
        };
        found.retain(|secret| !open(secret));
        found
    }

    /// What may be written down in clear of an argument: what the schema proves harmless, and what is named: `named` is asked
    /// with a path that begins with the argument's name.
    pub fn harmless(&self, name: &str, value: &Value, named: &dyn Fn(&[&str]) -> bool) -> Harmless {
        let Ready { full, plain_texts, .. } = self.ready();
        if value.is_string() && plain_texts.contains(name) && !named(&[name]) {
            return Harmless { is_declared: true, values: Vec::new() };
        }
        harmless(full, name, value, named)
    }

    /// The values of secret arguments, those among them that stand in an open one as well.
    pub fn marked(&self, arguments: &JsonObject) -> Vec<SecretString> {
        let mut found = Vec::new();
        if self.marks.is_some() {
            for (name, value) in arguments {
                collect_secrets(&members(&self.ready().full, name), value, false, &mut found);
            }
        }
        found
    }

    /// The arguments with a text in the place of every secret value.
    pub fn replace_secrets(&self, arguments: &JsonObject, stand_in: &str) -> JsonObject {
        let full = &self.ready().full;
        let replaced = |(name, value): (&String, &Value)| {
            (name.clone(), replace_secrets(&members(full, name), value, false, stand_in))
        };
        arguments.iter().map(replaced).collect()
    }
}

/// Whether a value holds no more values than a model would write by hand.
fn is_small(value: &Value, counted: &mut usize) -> bool {
    const LIMIT: usize = 2_000;
    *counted += 1;
    *counted <= LIMIT
        && match value {
            Value::Array(items) => items.iter().all(|item| is_small(item, counted)),
            Value::Object(members) => members.values().all(|member| is_small(member, counted)),
            _ => true,
        }
}

/// Says of each secret how it is given, and asks for none at the root: one that is left out a person is asked for.
fn tell_of_handles(root: &mut JsonObject) {
    const AT_ROOT: &str = "Secret: give a handle `secret://…`, or leave it out and a person is asked for it.";
    const INSIDE: &str = "Secret: give a handle `secret://…`, or `secret://ask` and a person is asked for it.";
    let mut asked = Vec::new();
    if let Some(Value::Object(arguments)) = root.get_mut("properties") {
        for (name, argument) in arguments {
            let is_secret = argument.as_object().is_some_and(says_secret);
            parts::visit(argument, &mut |schema| {
                if says_secret(schema) {
                    set_free(schema);
                    let said = schema.get("description").and_then(Value::as_str).unwrap_or_default();
                    let said = with_end(said, if is_secret { AT_ROOT } else { INSIDE });
                    schema.insert("description".to_owned(), Value::from(said));
                }
            });
            asked.extend(is_secret.then(|| name.clone()));
        }
    }
    if let Some(Value::Array(required)) = root.get_mut("required") {
        required.retain(|name| !name.as_str().is_some_and(|name| asked.iter().any(|asked| asked == name)));
        if required.is_empty() {
            root.shift_remove("required");
        }
    }
}

/// The plainest form of a schema, for clients that refuse what they do not know: a single `type` (null may be sent, but
/// leaving the argument out says the same), formats of the standard alone, no closed objects below the root.
fn simplify(schema: &mut JsonObject) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = schema.get_mut("enum") {
        options.retain(|option| !option.is_null());
    }
    shorten_choices(schema);
    drop_unknown_format(schema);
    schema.shift_remove("writeOnly");
    schema.shift_remove(X_SECRET);
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        schema.shift_remove("additionalProperties");
    }
    if schema.get("type").is_some_and(|kind| kind == "array") && !schema.contains_key("items") {
        schema.insert("items".to_owned(), json!({}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(name: &str, required: bool, schema: Value) -> Argument {
        Argument { name: name.to_owned(), schema, required }
    }

    fn built(arguments: Vec<Argument>) -> InputSchema {
        InputSchema::new(arguments, &mut Checker::default()).expect("valid")
    }

    fn schema() -> InputSchema {
        built(vec![
            argument("name", true, json!({"type": "string", "minLength": 1, "description": "The name."})),
            argument("value", true, json!({"type": "string", "writeOnly": true, "maxLength": 20})),
            argument("limit", false, json!({"type": ["integer", "null"], "minimum": 1, "format": "int32"})),
            argument(
                "scopes",
                false,
                json!({"type": "array", "items": {"type": "object", "additionalProperties": false, "properties": {
                    "level": {"enum": ["READ", "WRITE"]},
                    "token": {"type": "string", "format": "password"}}}}),
            ),
        ])
    }

    fn problems(arguments: Value) -> String {
        schema().check(&arguments).expect_err("refused").to_string()
    }

    #[test]
    fn the_listed_schema_is_plain() {
        assert_eq!(
            Value::Object(schema().listed()),
            json!({"type": "object", "properties": {
                "name": {"type": "string", "minLength": 1, "description": "The name."},
                "value": {"type": "string", "maxLength": 20},
                "limit": {"type": "integer", "minimum": 1},
                "scopes": {"type": "array", "items": {"type": "object", "properties": {
                    "level": {"enum": ["READ", "WRITE"]}, "token": {"type": "string"}}}}},
                "required": ["name", "value"], "additionalProperties": false})
        );
    }

    #[test]
    fn limits_survive_being_kept_as_text() {
        let number = json!({"type": "number", "minimum": f64::MIN, "maximum": f64::MAX, "multipleOf": 5e-324, "enum": [0.1, 1e300, u64::MAX]});
        let listed = built(vec![argument("number", false, number.clone())]).listed();
        assert_eq!(listed["properties"]["number"], number);
    }

    #[test]
    fn good_arguments_pass() {
        schema()
            .check(&json!({"name": "A", "value": "b", "limit": null, "scopes": [{"level": "READ"}]}))
            .expect("accepted");
    }

    #[test]
    fn each_problem_names_the_argument_and_what_would_be_right() {
        for (arguments, expected) in [
            (json!({"value": "b"}), "`name` is required: a string (The name)"),
            (json!({"name": "", "value": "b"}), "`name` must not be empty"),
            (
                json!({"name": 7, "value": "b"}),
                "`name` must be a string (The name), got the number 7; send it in quotes",
            ),
            (
                json!({"name": "A", "value": "b", "limit": "20"}),
                "`limit` must be a whole number, got the string \"20\"; send the number without quotes",
            ),
            (json!({"name": "A", "value": "b", "limit": 0}), "`limit` must be at least 1, got the number 0"),
            (
                json!({"name": "A", "value": "b", "scopes": "[]"}),
                "`scopes` must be an array, got the string \"[]\"; send the JSON itself, not inside a string",
            ),
            (
                json!({"name": "A", "value": "b", "scopes": [{"level": "wriite"}]}),
                "`scopes[0].level` must be one of `READ`, `WRITE`; got the string \"wriite\"; did you mean `WRITE`?",
            ),
            (
                json!({"name": "A", "value": "b", "scopes": [{"lvl": 1}]}),
                "`scopes[0].lvl` is not a known member; known: `level`, `token`",
            ),
            (
                json!({"nmae": "A", "name": "A", "value": "b"}),
                "`nmae` is not a known argument (did you mean `name`?); known: `name`",
            ),
        ] {
            let text = problems(arguments);
            assert!(text.contains(expected), "{text}\nexpected {expected}");
        }
    }

    #[test]
    fn a_secret_argument_is_never_repeated() {
        for arguments in [
            json!({"name": "A", "value": "canary-far-longer-than-twenty"}),
            json!({"name": "A", "value": ["canary"]}),
            json!({"name": "A", "valeu": "canary"}),
            json!({"name": "A", "value": "b", "scopes": [{"token": 1, "level": {"x": "canary"}, "tokn": "canary"}]}),
        ] {
            let text = problems(arguments);
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn alternatives_are_named_by_what_they_need() {
        let schema = |rule: Value| {
            let mut schema = json!({"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"},
                "path": {"type": "string"}, "at": {"type": "object", "properties": {"x": {}, "y": {}},
                "anyOf": [{"required": ["x"]}, {"required": ["y"]}]}}});
            schema.as_object_mut().expect("an object").extend(rule.as_object().expect("an object").clone());
            InputSchema::stated(&schema, &mut Checker::default()).expect("valid")
        };
        let two = json!([{"required": ["id"]}, {"type": "object", "required": ["name", "path"]}]);
        let three = json!([{"required": ["id"]}, {"required": ["name"]}, {"required": ["path"]}]);
        for (rule, arguments, expected) in [
            (json!({"anyOf": two}), json!({}), "give `id`, or `name` and `path`"),
            (json!({"anyOf": three}), json!({}), "give `id`, `name` or `path`"),
            (json!({"oneOf": three}), json!({}), "give `id`, `name` or `path`, one of them alone"),
            (
                json!({"oneOf": two}),
                json!({"id": "a", "name": "b", "path": "c"}),
                "give `id`, or `name` and `path`, one of them alone",
            ),
            (json!({"allOf": [{"anyOf": three}]}), json!({}), "give `id`, `name` or `path`"),
            (
                json!({"allOf": [{"anyOf": three}, {"oneOf": two}]}),
                json!({"path": "a"}),
                "give `id`, or `name` and `path`, one of them alone",
            ),
            (json!({}), json!({"at": {}}), "`at` needs something else: give `x` or `y`"),
            (json!({"not": {"required": ["id", "name"]}}), json!({"id": "a", "name": "b"}), "does not meet `not`"),
        ] {
            let text = schema(rule.clone()).check(&arguments).expect_err("refused").to_string();
            assert!(text.contains(expected), "{rule}: {text}\nexpected {expected}");
        }
    }

    #[test]
    fn a_million_problems_are_one() {
        let text = problems(json!({"name": "A", "value": "b", "scopes": vec![json!({"lvl": 1}); 100_000]}));
        assert!(text.contains("`scopes[0].lvl`") && text.len() < 500, "{text}");
    }

    #[test]
    fn a_secret_in_a_branch_is_a_secret() {
        let password = json!({"anyOf": [{"type": "string", "format": "password", "maxLength": 5}, {"type": "null"}]});
        let tokens =
            json!({"type": "object", "additionalProperties": {"type": "string", "writeOnly": true, "maxLength": 3}});
        let schema = built(vec![argument("password", false, password), argument("tokens", false, tokens)]);
        let Value::Object(arguments) = json!({"password": "canary-one", "tokens": {"a": "canary-two"}}) else {
            panic!("an object")
        };
        let text = schema.check(&Value::Object(arguments.clone())).expect_err("refused").to_string();
        assert!(text.contains("`password`") && text.contains("`tokens.a`") && !text.contains("canary"), "{text}");
        assert_eq!(schema.secrets(&arguments).len(), 2);
    }

    #[test]
    fn secrets_are_found_wherever_the_schema_marks_them() {
        use secrecy::ExposeSecret;
        let Value::Object(arguments) = json!({"name": "A", "value": "one", "scopes": [{"token": "two"}]}) else {
            panic!("an object")
        };
        let found: Vec<String> = schema().secrets(&arguments).iter().map(|s| s.expose_secret().to_owned()).collect();
        assert_eq!(found, ["one", "two"]);
        let Value::Object(arguments) = json!({"name": "same", "value": "same"}) else { panic!("an object") };
        assert!(schema().secrets(&arguments).is_empty(), "what stands in an open argument is no secret");
    }
}
