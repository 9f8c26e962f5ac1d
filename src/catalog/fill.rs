//! What fills a slot of a request: an argument, a fixed value, a variable, an earlier answer, or a text or a JSON value
//! made of them. Resolved when the catalog is compiled; filled in for each call.

use std::borrow::Cow;

use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{JsonObject, path::ENCODED};
use crate::{error::CallError, jsonpath::JsonPath, variables::Variable};

/// What fills a slot.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// The argument of this name; nothing where it is absent.
    Argument(String),
    /// A fixed value.
    Literal(Value),
    /// A variable of the configuration.
    Variable(Variable),
    /// A part of the answers of earlier steps, which are the members of one object.
    Answer(JsonPath),
    /// A text made of parts; nothing where all that could fill it is absent.
    Text(Vec<Fill>),
    /// A text for a person, made of parts: what is absent leaves a gap.
    Sentence(Vec<Fill>),
    /// A text that goes into a URL, with all but unreserved characters escaped.
    Component(Box<Fill>),
    /// A text that goes into XML, escaped.
    Xml(Box<Fill>),
    /// A list.
    List(Vec<Fill>),
    /// An object; a member that nothing fills is left out.
    Object(Vec<(String, Fill)>),
}

/// What slots are filled from in one call.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The arguments of the tool.
    pub arguments: &'a JsonObject,
    /// The answers of the steps so far, by the name of the step.
    pub answers: &'a Value,
    /// What stands in for variables that are credentials, where a request is only shown.
    pub stand_in: Option<&'a str>,
}

impl<'a> Scope<'a> {
    /// A scope of a call that is carried out.
    pub fn new(arguments: &'a JsonObject, answers: &'a Value) -> Self {
        Self { arguments, answers, stand_in: None }
    }
}

impl Fill {
    /// The value; `None` where there is nothing to fill in. Error: [`CallError::Unconfigured`] for a variable that is
    /// not set.
    pub fn value<'a>(&'a self, scope: &Scope<'a>) -> Result<Option<Cow<'a, Value>>, CallError> {
        Ok(match self {
            Self::Argument(name) => scope.arguments.get(name).map(Cow::Borrowed),
            Self::Literal(value) => Some(Cow::Borrowed(value)),
            Self::Variable(Variable { sensitive: true, .. }) if scope.stand_in.is_some() => {
                scope.stand_in.map(|text| Cow::Owned(Value::from(text)))
            }
            Self::Variable(variable) => match &variable.value {
                Ok(secret) => Some(Cow::Owned(Value::from(secret.expose_secret()))),
                Err(missing) => return Err(CallError::Unconfigured(missing.clone())),
            },
            Self::Answer(path) => path.select(scope.answers)?.map(Cow::Owned),
            Self::Text(parts) => Self::text(parts, scope)?.map(|text| Cow::Owned(Value::from(text))),
            Self::Sentence(parts) => {
                let text = Self::text(parts, scope)?;
                let gaps = || parts.iter().filter_map(Self::literal).filter_map(text_of).collect();
                Some(Cow::Owned(Value::from(text.unwrap_or_else(gaps))))
            }
            Self::Component(inner) => {
                let text = inner.value(scope)?.as_deref().and_then(text_of);
                text.map(|text| Cow::Owned(Value::from(utf8_percent_encode(&text, ENCODED).to_string())))
            }
            Self::Xml(inner) => {
                let text = inner.value(scope)?.as_deref().and_then(text_of);
                text.map(|text| Cow::Owned(Value::from(escape_xml(&text))))
            }
            Self::List(items) => {
                let items = items.iter().map(|item| item.value(scope));
                let items = items.filter_map(Result::transpose).map(|item| item.map(Cow::into_owned));
                Some(Cow::Owned(Value::Array(items.collect::<Result<_, _>>()?)))
            }
            Self::Object(members) => {
                let mut filled = JsonObject::new();
                for (name, member) in members {
                    if let Some(value) = member.value(scope)? {
                        filled.insert(name.clone(), value.into_owned());
                    }
                }
                // An object inside that nothing fills says no more than its absence.
                let empty = filled.is_empty() && !members.is_empty();
                if empty { None } else { Some(Cow::Owned(Value::Object(filled))) }
            }
        })
    }

    fn text(parts: &[Self], scope: &Scope<'_>) -> Result<Option<String>, CallError> {
        let mut text = String::new();
        let (mut open, mut filled) = (false, false);
        for part in parts {
            let value = part.value(scope)?;
            open |= !matches!(part, Self::Literal(_));
            filled |= value.is_some() && !matches!(part, Self::Literal(_));
            text.push_str(&value.as_deref().and_then(text_of).unwrap_or_default());
        }
        Ok((filled || !open).then_some(text))
    }

    /// The value, where it is fixed.
    fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The same for a person to read: texts are there even where what fills them is not.
    pub(super) fn for_a_person(self) -> Self {
        match self {
            Self::Text(parts) => Self::Sentence(parts),
            Self::List(items) => Self::List(items.into_iter().map(Self::for_a_person).collect()),
            Self::Object(members) => {
                Self::Object(members.into_iter().map(|(name, member)| (name, member.for_a_person())).collect())
            }
            other => other,
        }
    }

    /// The same for a URL: what fills a part of a text is one component of it.
    pub(super) fn for_a_url(self) -> Self {
        let component = |part: Self| if part.literal().is_some() { part } else { Self::Component(Box::new(part)) };
        match self {
            Self::Text(parts) | Self::Sentence(parts) => Self::Sentence(parts.into_iter().map(component).collect()),
            other => other,
        }
    }

    /// Calls a function for every fill inside, this one included.
    pub fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a Self)) {
        visitor(self);
        match self {
            Self::Text(parts) | Self::Sentence(parts) | Self::List(parts) => {
                parts.iter().for_each(|part| part.visit(visitor))
            }
            Self::Object(members) => members.iter().for_each(|(_, member)| member.visit(visitor)),
            Self::Xml(inner) | Self::Component(inner) => inner.visit(visitor),
            Self::Argument(_) | Self::Literal(_) | Self::Variable(_) | Self::Answer(_) => {}
        }
    }

    /// The arguments inside.
    pub fn arguments(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit(&mut |fill| {
            if let Self::Argument(name) = fill {
                names.push(name.as_str());
            }
        });
        names
    }

    /// The name to call it by in messages: of its argument, else that of its slot.
    pub fn shown<'a>(&'a self, slot: &'a str) -> &'a str {
        self.arguments().first().copied().unwrap_or(slot)
    }

    /// The values of variables inside that are credentials.
    pub fn secrets(&self) -> Vec<&SecretString> {
        let mut secrets = Vec::new();
        self.visit(&mut |fill| {
            if let Self::Variable(Variable { value: Ok(secret), sensitive: true, .. }) = fill {
                secrets.push(secret);
            }
        });
        secrets
    }
}

/// Text as it may stand in an element or an attribute (XML 1.0, section 2.4); characters that XML cannot hold are dropped.
fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            control if control.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// A value as text for a path, query, header or template; `None` for null.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(_) => Some(whole_numbers(value.clone()).to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        other => Some(whole_numbers(other.clone()).to_string()),
    }
}

/// Writes 7.0 as 7: both are integers to JSON Schema, but not to every backend.
pub(super) fn whole_numbers(value: Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53, so exact")]
            Some(float) if float.fract() == 0.0 && float.abs() < EXACT => Value::from(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, whole_numbers(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(fill: &Fill, arguments: Value) -> Option<Value> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let answers = json!({"step": {"id": 7}});
        let scope = Scope::new(&arguments, &answers);
        fill.value(&scope).expect("filled").map(Cow::into_owned)
    }

    fn argument(name: &str) -> Fill {
        Fill::Argument(name.to_owned())
    }

    #[test]
    fn a_text_is_made_of_what_is_there() {
        let text = Fill::Text(vec![Fill::Literal(json!("a-")), argument("b"), argument("c")]);
        assert_eq!(value(&text, json!({"b": 7.0, "c": [1]})), Some(json!("a-7[1]")));
        assert_eq!(value(&text, json!({"b": "x"})), Some(json!("a-x")));
        assert_eq!(value(&text, json!({})), None);
        assert_eq!(value(&Fill::Text(vec![Fill::Literal(json!("a"))]), json!({})), Some(json!("a")));
    }

    #[test]
    fn members_that_nothing_fills_are_left_out() {
        let inner = Fill::Object(vec![("x".to_owned(), argument("x"))]);
        let body = Fill::Object(vec![
            ("inner".to_owned(), inner),
            ("list".to_owned(), Fill::List(vec![argument("x"), Fill::Literal(json!(1))])),
            ("answer".to_owned(), Fill::Answer(JsonPath::parse("$.step.id").expect("a path"))),
        ]);
        assert_eq!(value(&body, json!({})), Some(json!({"list": [1], "answer": 7})));
        assert_eq!(
            value(&body, json!({"x": {"y": null}})),
            Some(json!({"inner": {"x": {"y": null}}, "list": [{"y": null}, 1], "answer": 7}))
        );
    }

    #[test]
    fn a_missing_variable_says_what_to_set() {
        let variable = |value| Variable { name: "V".to_owned(), value, sensitive: true, from_environment: true };
        let arguments = JsonObject::new();
        let scope = Scope::new(&arguments, &Value::Null);
        let fill = Fill::Text(vec![Fill::Variable(variable(Err("set `V`".to_owned())))]);
        assert_eq!(fill.value(&scope).expect_err("missing").to_string(), "set `V`");
        let fill = Fill::List(vec![Fill::Variable(variable(Ok("canary".into())))]);
        assert!(!format!("{fill:?}").contains("canary"));
        assert_eq!(fill.secrets().len(), 1);
    }
}
