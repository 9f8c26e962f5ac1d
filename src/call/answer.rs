//! What an answer that is no success says, in words for a model: the backend's own message, cleaned, and how long to wait.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::Value;

use crate::{
    clock::Clock,
    error::CallError,
    mask::Mask,
    prose::invisible::{one_line, visible},
};

/// How much of a backend's own message is passed on, in characters.
const MAX_MESSAGE: usize = 500;

/// The error that an answer of this status is. `hide` hides what has the form of a secret: before anything is cut, since
/// half of one would not be known.
pub(super) fn refused(
    response: &Response<Bytes>,
    mask: &Mask,
    clock: Clock,
    hide: &dyn Fn(&str) -> String,
) -> CallError {
    // First as it is seen: a secret may come back with something hidden in it.
    let message = hide(&mask.text(&visible(&backend_message(response))));
    CallError::Status {
        status: response.status(),
        message: shorten(&one_line(&message), MAX_MESSAGE),
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
pub(super) fn retry_after(headers: &HeaderMap, status: StatusCode, clock: Clock) -> Option<Duration> {
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

/// A text of at most so many characters, with a mark where it was cut.
pub(super) fn shorten(text: &str, limit: usize) -> String {
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
        assert_eq!(shorten("äöü", 2), "äö…");
    }
}
