//! One call, from arguments to result: check, bind, send, judge the status, decode, mask, check the shape.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::Value;

use crate::{
    backend::{Backend, Limits},
    catalog::{CompiledTool, JsonObject, output},
    clock::Clock,
    credential,
    error::CallError,
    mask::Mask,
    random::random_hex,
};

/// How much of a backend's own message is passed on, in characters.
const MAX_MESSAGE: usize = 500;
/// How much of an answer of the wrong shape is passed on, in characters.
const MAX_ANSWER_SHOWN: usize = 1_200;
/// Towards backends, the name of a call; Runloop's API takes a repeated one for a retry.
pub const REQUEST_ID: &str = "x-request-id";

/// What goes with a call besides its arguments.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Names this call in logs, in errors and towards the backend (`x-request-id`).
    pub request_id: String,
}

/// A new name for a call, 16 hexadecimal digits. Error: the operating system has no randomness.
pub fn request_id() -> Result<String, getrandom::Error> {
    random_hex::<8>()
}

/// The result of a call that succeeded.
#[derive(Clone, Debug)]
pub struct CallOutput {
    /// The answer as a JSON object that the tool's output schema accepts; empty for an answer without a body.
    pub structured: JsonObject,
}

/// What calls run with.
#[derive(Clone, Copy, Debug)]
pub struct Environment<'a> {
    /// Where the request goes.
    pub backend: &'a Backend,
    /// Deadline and size.
    pub limits: Limits,
    /// For the dates in `Retry-After`.
    pub clock: Clock,
}

/// Carries one call out. Dropping the future gives the call up.
#[tracing::instrument(skip_all, fields(tool = %tool.name, request_id = %context.request_id, status))]
pub async fn call(
    tool: &CompiledTool,
    arguments: JsonObject,
    environment: Environment<'_>,
    context: &CallContext,
) -> Result<CallOutput, CallError> {
    let arguments = Value::Object(arguments);
    let started = Instant::now();
    let result = attempt(tool, &arguments, environment, context).await;
    let (operation, service) = (&tool.operation, &tool.service.namespace);
    let elapsed_ms = started.elapsed().as_millis();
    match &result {
        Ok(_) => tracing::debug!(operation, service, elapsed_ms, "the call succeeded"),
        Err(CallError::Internal(reason)) => tracing::error!(operation, service, reason, "a fault of our own"),
        Err(error) => tracing::debug!(operation, service, elapsed_ms, kind = error.kind(), "the call failed"),
    }
    result
}

async fn attempt(
    tool: &CompiledTool,
    arguments: &Value,
    environment: Environment<'_>,
    context: &CallContext,
) -> Result<CallOutput, CallError> {
    tool.input.check(arguments)?;
    let no_arguments = JsonObject::new();
    let arguments = arguments.as_object().unwrap_or(&no_arguments);
    let endpoint = tool.service.endpoint()?;
    let mut request = tool.request.bind(arguments, &endpoint.base)?;
    if let Ok(id) = http::HeaderValue::from_str(&context.request_id) {
        request.headers_mut().insert(REQUEST_ID, id);
    }
    let secrets = tool.input.secrets(arguments);
    let response = credential::send(request, &endpoint.credential, environment.backend, &environment.limits).await?;
    // After sending, since a token may have been issued on the way.
    let mask = Mask::new(endpoint.secrets().iter().chain(&secrets));
    let status = response.status();
    tracing::Span::current().record("status", status.as_u16());
    if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Err(CallError::Redirect { status });
    }
    if !status.is_success() {
        return Err(refused(&response, &mask, environment.clock));
    }
    let mut answer = decode(&response, &mask)?;
    mask.value(&mut answer);
    let structured = if answer.is_null() { JsonObject::new() } else { output::as_object(answer) };
    if let Some(problem) = tool.output.deviation(&structured) {
        let answer = Value::Object(structured).to_string();
        return Err(CallError::Shape { problem, answer: shorten(&answer, MAX_ANSWER_SHOWN) });
    }
    Ok(CallOutput { structured })
}

/// The JSON of an answer; null where it has no body.
fn decode(response: &Response<Bytes>, mask: &Mask) -> Result<Value, CallError> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let body = response.body().strip_prefix(BYTE_ORDER_MARK).unwrap_or(response.body());
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("no content type");
        let place = format!("line {}, column {}", error.line(), error.column());
        let reason = format!("{}; it broke at {place}", shorten(&printable(&mask.text(kind)), 60));
        CallError::Decode { status: response.status(), expected: "valid JSON", reason }
    })
}

fn refused(response: &Response<Bytes>, mask: &Mask, clock: Clock) -> CallError {
    let message = mask.text(&backend_message(response));
    CallError::Status {
        status: response.status(),
        message: shorten(&printable(&message), MAX_MESSAGE),
        retry_after: retry_after(response.headers(), response.status(), clock),
    }
}

/// What a backend says went wrong: `message`, `error`, `error.message`, `detail` or `title` of a JSON object (RFC 9457
/// and common practice), else a short plain text. Pages of HTML say nothing to a model.
fn backend_message(response: &Response<Bytes>) -> String {
    let body = response.body();
    if let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) {
        let places = ["/message", "/error/message", "/error", "/detail", "/title", "/errors/0/message", "/errors/0"];
        let object = Value::Object(members);
        let found = places.iter().find_map(|place| object.pointer(place)?.as_str());
        return found.unwrap_or_default().to_owned();
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("text/plain") { String::from_utf8_lossy(body).trim().to_owned() } else { String::new() }
}

/// The wait a backend asks for: `retry-after-ms` (as Runloop's clients read it), else `Retry-After` in seconds or as a
/// date (RFC 9110, section 10.2.3). Only where a wait makes sense.
fn retry_after(headers: &HeaderMap, status: StatusCode, clock: Clock) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    if !matches!(status.as_u16(), 408 | 429 | 500..) {
        return None;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
    if let Some(milliseconds) = text("retry-after-ms").and_then(seconds) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok().map(|wait| wait.min(LONGEST));
    }
    let value = text("retry-after")?;
    if let Some(seconds) = seconds(value) {
        return Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(LONGEST));
    }
    let until = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(clock.now_ms()).unwrap_or(0));
    Some(until.saturating_sub(now).min(LONGEST))
}

/// Foreign text without control characters, and without the invisible ones that hide text from a person.
fn printable(text: &str) -> String {
    let hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let text: String = text.chars().map(|character| if hidden(character) { ' ' } else { character }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let start: String = text.chars().take(limit).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::from_static(body.as_bytes())).expect("a response")
    }

    #[test]
    fn a_backends_own_words_are_found() {
        for (kind, body, expected) in [
            ("application/json", r#"{"message": "a"}"#, "a"),
            ("application/json", r#"{"error": {"code": "x", "message": "b"}}"#, "b"),
            ("application/problem+json", r#"{"title": "t", "detail": "d"}"#, "d"),
            ("text/plain; charset=utf-8", " plain \n", "plain"),
            ("text/html", "<html>stack trace</html>", ""),
            ("application/json", "[1]", ""),
        ] {
            assert_eq!(backend_message(&answer(400, &[("content-type", kind)], body)), expected, "{body}");
        }
    }

    #[test]
    fn the_wait_is_read_in_every_form() {
        let clock = Clock::Fixed(1_700_000_000_000);
        let wait = |status: u16, name: &str, value: &str| {
            let response = answer(status, &[(name, value)], "");
            retry_after(response.headers(), response.status(), clock).map(|wait| wait.as_millis())
        };
        assert_eq!(wait(429, "retry-after", "7"), Some(7_000));
        assert_eq!(wait(429, "retry-after", "0.5"), Some(500));
        assert_eq!(wait(503, "retry-after-ms", "250"), Some(250));
        assert_eq!(wait(429, "retry-after", "Tue, 14 Nov 2023 22:13:30 GMT"), Some(10_000));
        assert_eq!(wait(429, "retry-after", "Tue, 14 Nov 2000 22:13:30 GMT"), Some(0));
        assert_eq!(wait(429, "retry-after", "1e300"), None);
        assert_eq!(wait(429, "retry-after", "-1"), None);
        assert_eq!(wait(429, "retry-after", "soon"), None);
        assert_eq!(wait(404, "retry-after", "7"), None);
    }

    #[test]
    fn foreign_text_is_cleaned_and_cut() {
        assert_eq!(printable("a\u{1b}[31m\n\u{200b}b\u{202e}"), "a [31m b");
        assert_eq!(shorten("äöü", 2), "äö…");
    }
}
