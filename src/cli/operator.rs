//! The embedded backend in this process, asked with its root key, for the commands of its operator.

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{data::DataOptions, print, table::is_order};
use crate::{
    backend::{Backend, Limits, embedded::maintenance},
    clock::Clock,
    config::Settings,
    setup,
};

/// The largest answer that is read, in bytes: lists are whole.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// What the backend answered instead of doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

/// The open backend.
pub(super) struct Operator {
    backend: Backend,
    key: SecretString,
    limits: Limits,
}

impl Operator {
    /// Opens the backend; makes one where there is none. For what begins something.
    pub(super) fn open(data: DataOptions) -> anyhow::Result<Self> {
        Self::of(&data.settings()?)
    }

    /// Opens a backend that is there. A folder that was mistyped is told, and not taken for a new one.
    pub(super) fn open_existing(data: DataOptions) -> anyhow::Result<Self> {
        let settings = data.settings()?;
        maintenance::insist_on_database(&setup::embedded_options(&settings, Clock::System)?)?;
        Self::of(&settings)
    }

    fn of(settings: &Settings) -> anyhow::Result<Self> {
        let embedded = setup::open(settings, Clock::System)?;
        let limits = Limits { max_answer_bytes: MAX_ANSWER_BYTES, ..settings.limits };
        Ok(Self { backend: Backend::Embedded(embedded.router_in_process()), key: embedded.root_key().clone(), limits })
    }

    /// What is there.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Changes something.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Bytes::from(body.to_string())).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let mut key = HeaderValue::try_from(format!("Bearer {}", self.key.expose_secret()))?;
        key.set_sensitive(true);
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, key).body(body)?;
        let answer = self.backend.send(request, &self.limits).await.map_err(|error| Refused(error.to_string()))?;
        let value: Value = serde_json::from_slice(answer.body()).context("the backend's answer cannot be read")?;
        if answer.status().is_success() {
            return Ok(value);
        }
        // Runtype's errors have another form than Runloop's.
        let message = value.get("message").or_else(|| value.get("error")).and_then(Value::as_str);
        let message = message.unwrap_or("the backend gave no reason");
        Err(Refused(message.to_owned()).into())
    }
}

/// A name or id as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A member of an answer as a person reads it: nothing for `null`, a time for what is one.
pub(super) fn cell(value: &Value, member: &str) -> String {
    match value.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if member.ends_with("_ms") => {
            number.as_i64().map_or_else(|| number.to_string(), super::time::shown)
        }
        Some(other) => other.to_string(),
    }
}

/// Prints a value for programs.
pub(super) fn print_json(value: &Value) -> anyhow::Result<()> {
    print(&format!("{}\n", plain_json(value)))
}

/// A value as JSON in lines. What a terminal would obey is escaped, as any character may be in JSON (RFC 8259, section 7);
/// outside of texts there is none of it but line ends.
pub(super) fn plain_json(value: &Value) -> String {
    let json = format!("{value:#}");
    let mut text = String::with_capacity(json.len() + 1);
    for letter in json.chars() {
        if is_order(letter) && letter != '\n' {
            // What is beyond the basic plane is a pair.
            for unit in letter.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(letter);
        }
    }
    text
}
