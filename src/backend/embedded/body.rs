//! Request bodies: reading one up to a limit, and taking typed members out of it.
//!
//! Knows nothing of the members' meaning. Texts of errors name a member and what was expected of it, and never show what
//! was sent: it may be a secret. (That is why members are taken one by one: a derived reader quotes what it finds.)

use axum::{
    body::HttpBody,
    extract::{FromRequest, Request},
};
use bytes::Buf as _;
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Embedded, error::ApiError, once::Once};
use crate::http_server::SlowBody;

/// How much of a body that is too large is still taken in, so that the client gets to the answer and can keep its
/// connection. What is larger still breaks the connection.
const LARGEST_DISCARDED: usize = 16 * 1024 * 1024;

/// The bytes of a body, overwritten when they are dropped. No body and an empty one are the same; the content type does
/// not matter, since JSON is all there is.
pub(super) struct Body(Zeroizing<Vec<u8>>);

impl FromRequest<Embedded> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, backend: &Embedded) -> Result<Self, ApiError> {
        let largest = backend.limits().max_body_bytes;
        let mut incoming = request.into_body();
        // Room for everything from the start: growing would leave copies of a secret behind in freed memory.
        let announced = HttpBody::size_hint(&incoming).lower();
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(announced).unwrap_or(largest).min(largest)));
        let mut seen = 0_usize;
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| unread(&error))?;
            let Ok(mut data) = frame.into_data() else { continue };
            seen = seen.saturating_add(data.remaining());
            if seen > LARGEST_DISCARDED.max(largest) {
                break;
            }
            if seen <= largest {
                bytes.extend_from_slice(&data);
            }
            data.advance(data.remaining());
        }
        if seen > largest {
            return Err(ApiError::too_large(format!("the body is larger than {largest} bytes")));
        }
        Ok(Self(bytes))
    }
}

/// The refusal of a body that broke off.
fn unread(error: &axum::Error) -> ApiError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(slow) = error.downcast_ref::<SlowBody>() {
            return ApiError::slow_body(slow);
        }
        cause = error.source();
    }
    ApiError::invalid("the body could not be read to its end")
}

impl Body {
    /// The bytes as they came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The members of the JSON object that the body is. White space alone counts as an object without members.
    pub(super) fn members(&self) -> Result<Members, ApiError> {
        if self.0.iter().all(u8::is_ascii_whitespace) {
            return Ok(Members(Map::new()));
        }
        match serde_json::from_slice(&self.0).map(|Once(value)| value) {
            Ok(Value::Object(members)) => Ok(Members(members)),
            Ok(_) => Err(ApiError::invalid("the body must be a JSON object")),
            // The reader itself takes any type, so this is a fault of its own. The name is not shown: it may be anything.
            Err(error) if error.is_data() => Err(ApiError::invalid(format!(
                "a member of the body stands twice (line {}, column {}); send each once",
                error.line(),
                error.column()
            ))),
            Err(error) => Err(ApiError::invalid(format!(
                "the body is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            ))),
        }
    }
}

/// The members of a body, to be taken one by one. Those that nobody takes are ignored: clients may send members of their
/// own.
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Refuses a body without this member; `null` will do.
    pub(super) fn required(&self, name: &'static str) -> Result<(), ApiError> {
        if self.has(name) { Ok(()) } else { Err(ApiError::invalid(format!("`{name}` is required"))) }
    }

    /// Whether this member was sent, be it as `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text that must be there.
    pub(super) fn required_text(&mut self, name: &'static str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::invalid(format!("`{name}` is required")))
    }

    /// A secret text that must be there.
    pub(super) fn required_secret(&mut self, name: &'static str) -> Result<SecretString, ApiError> {
        self.required_text(name).map(SecretString::from)
    }

    /// A text that may be left out or `null`.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid(format!("`{name}` must be a string"))),
        }
    }

    /// A whole number that may be left out or `null`.
    pub(super) fn integer(&mut self, name: &'static str) -> Result<Option<i64>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => integer(&value)
                .map(Some)
                .ok_or_else(|| ApiError::invalid(format!("`{name}` must be an integer of 64 bits"))),
        }
    }

    /// `true` or `false`, that may be left out or `null`.
    pub(super) fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(ApiError::invalid(format!("`{name}` must be `true` or `false`"))),
        }
    }

    /// A list that may be left out or `null`.
    pub(super) fn list(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(ApiError::invalid(format!("`{name}` must be an array"))),
        }
    }

    // clients write an optional member they have no value for as `null`
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }
}

/// JSON knows one kind of number: `1e3` and `1000.0` are integers too, as in JSON Schema.
fn integer(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT)?;
        #[allow(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        Some(number as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(body: &str) -> Result<Members, ApiError> {
        Body(Zeroizing::new(body.as_bytes().to_vec())).members()
    }

    #[test]
    fn nothing_white_space_and_an_empty_object_are_the_same() {
        for body in ["", " \r\n\t", "{}", " { } ", r#"{"name": null}"#] {
            assert_eq!(members(body).unwrap().text("name").unwrap(), None, "{body}");
        }
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        let deep = "[".repeat(100_000);
        for body in ["null", "[]", "1", "\"x\"", "{", "{'a':1}", "{}{}", "\u{feff}{}", r#"{"a":"\ud800"}"#, &deep] {
            assert!(members(body).is_err(), "{body:.20}");
        }
    }

    #[test]
    fn a_wrong_type_is_refused_by_name_without_showing_what_was_sent() {
        for body in [r#"{"value": 123454321}"#, r#"{"value": ["123454321"]}"#, r#"{"value": {"a": "123454321"}}"#] {
            let error = format!("{:?}", members(body).unwrap().required_secret("value").unwrap_err());
            assert!(error.contains("`value` must be a string") && !error.contains("123454321"), "{error}");
        }
        let error = format!("{:?}", members("{}").unwrap().required_secret("value").unwrap_err());
        assert!(error.contains("`value` is required"), "{error}");
    }

    #[test]
    fn integers_are_numbers_without_a_fraction_in_64_bits() {
        let cases = [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("1e3", Some(1000)),
            ("1700000000000.0", Some(1_700_000_000_000)),
            ("9223372036854775808", None),
            ("1e300", None),
            ("1.5", None),
            ("\"1\"", None),
            ("true", None),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(&serde_json::from_str(text).unwrap()), expected, "{text}");
        }
    }
}
