//! What a client of the HTTP endpoint takes for an answer, and the answers that are not the library's: refusals in JSON-RPC
//! that say what to do, and a stream collected for who takes none.
//!
//! Knows no session and no limit.

use axum::{
    body::{Body, to_bytes},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rmcp::model::{ErrorCode, ProtocolVersion, RequestId, ServerJsonRpcMessage};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

use super::{
    HOW_TO_BEGIN,
    limits::Full,
    methods,
    refusal::{json_response, problem},
};
use crate::metrics::RequestOutcome;

pub(super) const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// After how many seconds a client that was refused for a limit may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The refusal of what there are too many of, as in `sessions`.
pub(super) fn busy(full: Full, what: &str, id: Option<&RequestId>) -> Response {
    let error = json!({"code": ErrorCode::INTERNAL_ERROR, "message": full.message(what)});
    let body = json!({"jsonrpc": "2.0", "id": id, "error": error});
    let mut response = json_response(StatusCode::SERVICE_UNAVAILABLE, &body);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// What a message of the server says became of a request: told by which of three members comes first, since inside of
/// texts their quotes are escaped. `None` for a notification.
pub(super) fn outcome_in(message: &[u8]) -> Option<RequestOutcome> {
    /// Ids are longer in attacks only.
    const LOOKED_AT: usize = 1024;
    let message = message.get(..LOOKED_AT).unwrap_or(message);
    let outcome = |rest: &[u8]| {
        let known = [
            (&b"\"result\":"[..], Some(RequestOutcome::Ok)),
            (b"\"error\":", Some(RequestOutcome::Error)),
            (b"\"method\":", None),
        ];
        known.into_iter().find(|(member, _)| rest.starts_with(member)).map(|(_, outcome)| outcome)
    };
    (0..message.len()).find_map(|start| outcome(message.get(start..)?)).flatten()
}

pub(super) fn id_in_use(id: &RequestId) -> Response {
    let message = "a request with this `id` is in flight in this session; ids must be unique within a session";
    let error = json!({"code": ErrorCode::INVALID_REQUEST, "message": message});
    json_response(StatusCode::BAD_REQUEST, &json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

/// What to do about a session that is not there: none was opened, it ended, or it is another caller's.
pub(super) const NO_SESSION: &str =
    "no such session: it has ended or never was; send `initialize` anew, without `Mcp-Session-Id`";

/// A refusal in JSON-RPC, of the request of this id, where it is known.
pub(super) fn refused(status: StatusCode, message: &str, id: Option<&RequestId>) -> Response {
    let error = json!({"code": ErrorCode::INVALID_REQUEST, "message": message});
    json_response(status, &json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

/// The library's refusals that are bare text, as JSON-RPC errors that say what to do (rmcp 3.9.0); and those of a method
/// that is not there, with what there is instead.
pub(super) async fn in_our_words(response: Response, id: Option<&RequestId>) -> Response {
    const MAX_REFUSAL_BYTES: usize = 4 * 1024;
    let status = response.status();
    if !matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) {
        return response;
    }
    let is_bare = response.headers().get(header::CONTENT_TYPE).is_none();
    if !is_bare {
        return if status == StatusCode::NOT_FOUND { with_what_there_is_instead(response).await } else { response };
    }
    let (parts, body) = response.into_parts();
    let refused = |status, message: &str| refused(status, message, id);
    let Ok(text) = to_bytes(body, MAX_REFUSAL_BYTES).await else { return refused(status, "the request was refused") };
    let message = match String::from_utf8_lossy(&text).as_ref() {
        "Bad Request: Session ID is required" => {
            format!("{HOW_TO_BEGIN}; what follows an `initialize` carries the `Mcp-Session-Id` of its answer")
        }
        "Not Found: Session not found" => NO_SESSION.to_owned(),
        text if text.starts_with("Bad Request: Unsupported MCP-Protocol-Version") => {
            let known: Vec<String> =
                ProtocolVersion::KNOWN_VERSIONS.iter().map(|version| format!("`{version}`")).collect();
            format!("this `MCP-Protocol-Version` is not spoken here; supported are {}", known.join(", "))
        }
        _ => return Response::from_parts(parts, Body::from(text)),
    };
    refused(status, &message)
}

/// An answer that a method is not there, with what there is instead of those that an era gave up.
async fn with_what_there_is_instead(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // In one piece, and the library's own.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be read");
    };
    let told = serde_json::from_slice::<ServerJsonRpcMessage>(&body).ok().and_then(|mut message| {
        methods::tell_instead(&mut message);
        serde_json::to_vec(&message).ok()
    });
    let Some(told) = told else { return Response::from_parts(parts, Body::from(body)) };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(told))
}

/// The answer to a body that is no JSON-RPC message: -32700 for what is no JSON, -32600 for JSON of another shape.
pub(super) fn unreadable(error: &serde_json::Error) -> Response {
    let (code, message) = if error.is_data() {
        (ErrorCode::INVALID_REQUEST, "not a JSON-RPC 2.0 message; batches are not supported")
    } else {
        (ErrorCode::PARSE_ERROR, "the body is not JSON")
    };
    let body = json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}});
    json_response(StatusCode::BAD_REQUEST, &body)
}

/// An answer for a client that takes no event stream: the stream's last JSON-RPC response.
pub(super) async fn collected(response: Response) -> Response {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<IgnoredAny>,
        error: Option<IgnoredAny>,
    }
    let (mut parts, body) = response.into_parts();
    let answer = to_bytes(body, usize::MAX).await.ok().and_then(|events| {
        let answers = events.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
        answers
            .map(<[u8]>::trim_ascii)
            .rfind(|data| {
                serde_json::from_slice::<Answer>(data)
                    .is_ok_and(|answer| answer.result.is_some() || answer.error.is_some())
            })
            .map(Bytes::copy_from_slice)
    });
    let Some(answer) = answer else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the session ended before the answer came");
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    Response::from_parts(parts, Body::from(answer))
}

/// Which of the two kinds of answer a client takes (RFC 9110, section 12.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) json: bool,
    pub(super) event_stream: bool,
}

impl Accepted {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self { json: false, event_stream: false };
        if !headers.contains_key(header::ACCEPT) {
            return Self { json: true, event_stream: true };
        }
        let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in ranges.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
            if parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000")) {
                continue;
            }
            accepted.json |= matches!(essence.as_str(), "*/*" | "application/*" | JSON);
            accepted.event_stream |= matches!(essence.as_str(), "*/*" | "text/*" | EVENT_STREAM);
        }
        accepted
    }
}

pub(super) fn media_type_is(headers: &HeaderMap, expected: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &[&str]) -> HeaderMap {
        accept.iter().map(|value| (header::ACCEPT, HeaderValue::from_str(value).unwrap())).collect()
    }

    async fn body_of(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn accept_is_read_generously() {
        for (accept, json, event_stream) in [
            (vec![], true, true),
            (vec!["*/*"], true, true),
            (vec!["application/json, text/event-stream"], true, true),
            (vec!["application/json", "text/event-stream"], true, true),
            (vec!["application/json"], true, false),
            (vec!["Application/JSON;charset=utf-8"], true, false),
            (vec!["application/*"], true, false),
            (vec!["text/event-stream"], false, true),
            (vec!["text/html"], false, false),
            (vec!["application/json;q=0, */*;q=0.000, text/event-stream; q=0.1"], false, true),
        ] {
            assert_eq!(Accepted::of(&headers(&accept)), Accepted { json, event_stream }, "{accept:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_collected_into_its_answer() {
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"text":"data: no"}}"#;
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"result":1}}"#;
        let events = format!("data: \nid: 0\nretry: 3000\n\n: ping\n\ndata: {progress}\n\ndata:{answer}\nid: 1/0\n\n");
        let stream = Response::builder().header(header::CONTENT_TYPE, EVENT_STREAM).header("mcp-session-id", "x");
        let collected = collected(stream.body(Body::from(events)).unwrap()).await;
        assert_eq!(collected.status(), StatusCode::OK);
        assert_eq!(collected.headers()[header::CONTENT_TYPE], JSON);
        assert_eq!(collected.headers()["mcp-session-id"], "x");
        assert_eq!(body_of(collected).await, answer);
    }

    #[tokio::test]
    async fn a_stream_without_an_answer_is_no_success() {
        let collected = collected(Response::new(Body::from("data: \n\n"))).await;
        assert_eq!(collected.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn unreadable_bodies_are_told_apart() {
        for (body, code) in [("{nope", -32700), ("", -32700), ("[]", -32600), ("3", -32600), (r#"{"id":1}"#, -32600)] {
            let error = serde_json::from_str::<rmcp::model::ClientJsonRpcMessage>(body).unwrap_err();
            let response = unreadable(&error);
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            let answer: serde_json::Value = serde_json::from_str(&body_of(response).await).unwrap();
            assert_eq!(answer["error"]["code"], code, "{body}");
            assert!(answer["id"].is_null());
        }
    }

    #[test]
    fn what_became_of_a_request_is_seen_in_its_answer() {
        for (message, outcome) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{"error":1}}"#, Some(RequestOutcome::Ok)),
            (r#"{"jsonrpc":"2.0","id":"\"result\":","error":{"code":1}}"#, Some(RequestOutcome::Error)),
            (r#"data: {"jsonrpc":"2.0","method":"notifications/message","params":{"error":1}}"#, None),
            (": ping", None),
            ("", None),
        ] {
            assert_eq!(outcome_in(message.as_bytes()), outcome, "{message}");
        }
    }
}
