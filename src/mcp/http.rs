//! MCP over HTTP: the Streamable HTTP endpoint `/mcp`, the older `/sse` and `/messages`, and `/healthz`.
//!
//! The endpoint itself is the MCP library's. Around it stand the [guard](super::guard), a cap on sessions, leniency
//! about `Accept`, and a shutdown that lets calls in flight be answered.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rmcp::{
    model::{ErrorCode, ProtocolVersion, RequestId},
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService,
        session::local::{LocalSessionManager, SessionConfig},
    },
};
use secrecy::SecretString;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Door, HOW_TO_BEGIN, McpServer,
    drain::{GRACE, InFlight, LINGER},
    guard::{Guard, GuardError, MAX_BODY_BYTES, guard, json_response, problem},
    sse,
};
use crate::{access::Access, http_server};

/// How many sessions may be open at a time, of each of the two kinds. An idle one holds about 54 KB.
pub const MAX_SESSIONS: usize = 1_000;

/// How long a session of the 2025-11-25 era lasts without a message. Clients keep one for the length of a conversation,
/// so the library's 5 minutes are short.
const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);

/// How long nothing must be in flight before the server counts as idle: a request may sit between its connection and
/// the first middleware.
const SETTLE: Duration = Duration::from_millis(50);

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// Who may talk to the HTTP server, besides clients on this machine.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// The bearer token that every request has to carry, `/healthz` apart. Needed to listen beyond loopback.
    pub token: Option<SecretString>,
    /// Hosts that a request may name in `Host`, as `example.com` (any port) or `example.com:8443`, besides the loopback
    /// names and the address the server listens on. Where that is `0.0.0.0` or `[::]`, any literal address is allowed.
    pub allowed_hosts: Vec<String>,
    /// Origins that a browser may name in `Origin`, as `https://example.com`, `http://localhost:3000` or
    /// `http://localhost:*`, besides the loopback ones when the server listens on loopback.
    pub allowed_origins: Vec<String>,
}

impl HttpOptions {
    /// Checks the options against the address to listen on, before anything listens.
    ///
    /// # Errors
    ///
    /// [`GuardError`] for an exposed address without a token, or a host or origin that is none.
    pub fn check(&self, address: SocketAddr) -> Result<(), GuardError> {
        Guard::new(address, self).map(drop)
    }
}

/// Serves MCP over HTTP until `shutdown` is cancelled. Then no connection is taken any more, calls in flight are
/// answered for up to 10 s, and those that last longer are given up with an answer that says so.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] with a [`GuardError`] inside when the options do not fit the address, and what the
/// listener reports.
pub async fn serve(
    server: McpServer,
    listener: TcpListener,
    options: HttpOptions,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let server = server.scoped(shutdown.clone(), Door::Guarded);
    let abort = server.abort.clone();
    let in_flight = InFlight::default();
    let stop = CancellationToken::new();
    // However this ends, no session may outlive it.
    let _stop = stop.clone().drop_guard();
    let app = router(server, listener.local_addr()?, &options, in_flight.clone(), stop.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let serving =
        http_server::serve(listener, app, http_server::Options::default(), shutdown.clone().cancelled_owned());
    // `stop` turns unanswered requests into HTTP 500 and cuts streams off, so it has to come last.
    let leaving = async {
        shutdown.cancelled().await;
        if tokio::time::timeout(GRACE, settled(&in_flight)).await.is_err() {
            tracing::warn!("giving up calls that outlasted the grace period");
            abort.cancel();
            // Past this there is nothing left to wait for.
            tokio::time::timeout(LINGER, settled(&in_flight)).await.ok();
        }
        stop.cancel();
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        served = serving => served,
        () = leaving => Ok(()),
    }
}

async fn settled(in_flight: &InFlight) {
    loop {
        in_flight.idle().await;
        tokio::select! {
            biased;
            () = in_flight.busy() => {}
            () = tokio::time::sleep(SETTLE) => return,
        }
    }
}

fn router(
    server: McpServer,
    address: SocketAddr,
    options: &HttpOptions,
    in_flight: InFlight,
    stop: CancellationToken,
) -> Result<Router, GuardError> {
    let entrance = Arc::new(Guard::new(address, options)?.with_doors(server.shared.doors.clone()));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(true)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY_BYTES)
        .with_cancellation_token(stop.clone())
        .with_allowed_hosts(entrance.library_hosts())
        .with_allowed_origins(entrance.library_origins())
        .enforce_origin_validation();
    let mut manager = LocalSessionManager::default();
    manager.session_config = SessionConfig::default();
    manager.session_config.keep_alive = Some(SESSION_IDLE);
    let manager = Arc::new(manager);
    let endpoint = {
        let server = server.clone();
        StreamableHttpService::new(move || Ok(server.for_session()), manager.clone(), config)
    };
    let front = Arc::new(Front {
        manager,
        opening: AtomicUsize::new(0),
        waiting: Mutex::default(),
        owners: Mutex::default(),
        in_flight: in_flight.clone(),
        stop: stop.clone(),
    });
    let guarded = Router::new()
        .route_service("/mcp", endpoint)
        .route_layer(middleware::from_fn_with_state(front, front_of_endpoint))
        .merge(sse::router(server, in_flight, stop))
        .fallback(|| async {
            problem(StatusCode::NOT_FOUND, "nothing is here; MCP is at `/mcp`, for older clients at `/sse`")
        })
        .layer(middleware::from_fn_with_state(entrance, guard));
    let health = || async { json_response(StatusCode::OK, &json!({ "status": "ok" })) };
    Ok(Router::new().route("/healthz", get(health)).merge(guarded))
}

/// What stands right in front of the library's endpoint.
struct Front {
    manager: Arc<LocalSessionManager>,
    /// Sessions that are being opened and may not be counted yet.
    opening: AtomicUsize,
    /// The session and the id of every request of a session that waits for its answer.
    waiting: Mutex<HashSet<(String, RequestId)>>,
    /// What the caller may use who opened each session: nobody else may speak in it.
    owners: Mutex<HashMap<String, Access>>,
    in_flight: InFlight,
    stop: CancellationToken,
}

async fn front_of_endpoint(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let accepted = Accepted::of(request.headers());
    if !front.is_owner(&request) {
        // As for a session that is not there.
        return refused(StatusCode::NOT_FOUND, NO_SESSION);
    }
    match *request.method() {
        Method::POST => in_our_words(front.post(accepted, request, next).await).await,
        Method::GET => {
            if accepted.event_stream {
                request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(EVENT_STREAM));
            }
            in_our_words(next.run(request).await).await
        }
        Method::DELETE => ended(in_our_words(next.run(request).await).await),
        _ => in_our_words(next.run(request).await).await,
    }
}

/// The answer to the end of a session, which the library only calls accepted although it is over.
fn ended(mut response: Response) -> Response {
    if response.status() == StatusCode::ACCEPTED {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

impl Front {
    async fn post(self: Arc<Self>, accepted: Accepted, request: Request, next: Next) -> Response {
        if self.stop.is_cancelled() {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "the server is leaving");
        }
        let running = self.in_flight.enter();
        let (mut parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
            return problem(StatusCode::BAD_REQUEST, "the request body could not be read");
        };
        let session = session_of(&parts.headers);
        let envelope = serde_json::from_slice::<Envelope>(&body).unwrap_or_default();
        // A modern request names neither a session nor `initialize`, and passes both checks below.
        if envelope.method.as_deref() == Some("subscriptions/listen") && !accepted.event_stream {
            return problem(
                StatusCode::NOT_ACCEPTABLE,
                "a subscription is answered by `text/event-stream`; accept that",
            );
        }
        let opening = match (&session, envelope.method.as_deref()) {
            (None, Some("initialize")) => {
                let opening = Opening::new(&self.opening);
                if self.manager.sessions.read().await.len().saturating_add(opening.before) >= MAX_SESSIONS {
                    tracing::warn!(limit = MAX_SESSIONS, "refused a session, too many are open");
                    return problem(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "too many sessions are open; close one, or retry later",
                    );
                }
                Some(opening)
            }
            _ => None,
        };
        let waiting = match (session, envelope.id) {
            (Some(session), Some(id)) if envelope.method.is_some() => {
                match Waiting::new(self.clone(), session, id.clone()) {
                    Some(waiting) => Some(waiting),
                    None => return id_in_use(&id),
                }
            }
            _ => None,
        };
        // The specification wants both types listed, many a client and `curl` do not.
        if accepted.json {
            parts.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        }
        let is_json = media_type_is(&parts.headers, JSON);
        let access = parts.extensions.get::<Access>().cloned();
        let response = next.run(Request::from_parts(parts, Body::from(body.clone()))).await;
        if opening.is_some()
            && let (Some(session), Some(access)) = (session_of(response.headers()), access)
        {
            self.remember(session, access).await;
        }
        drop(opening);
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE && is_json {
            // The library calls a body it cannot read an unsupported media type.
            return match serde_json::from_slice::<rmcp::model::ClientJsonRpcMessage>(&body) {
                Err(error) => unreadable(&error),
                Ok(_) => response,
            };
        }
        if !media_type_is(response.headers(), EVENT_STREAM) {
            return response;
        }
        if !accepted.event_stream {
            return collected(response).await;
        }
        response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |chunk| {
                // In flight until the stream is dropped.
                let _ = (&running, &waiting);
                chunk
            }))
        })
    }
}

/// A session that is being opened, until dropped.
struct Opening<'a> {
    count: &'a AtomicUsize,
    /// How many were being opened already.
    before: usize,
}

impl<'a> Opening<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request of a session that waits for its answer, until dropped. The library would send the first answer to the last
/// request of the same id, and none to the others.
struct Waiting {
    front: Arc<Front>,
    key: (String, RequestId),
}

impl Waiting {
    /// None if a request of this session and id is waiting already.
    fn new(front: Arc<Front>, session: String, id: RequestId) -> Option<Self> {
        let key = (session, id);
        let is_new = front.waiting().insert(key.clone());
        is_new.then_some(Self { front, key })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.front.waiting().remove(&self.key);
    }
}

impl Front {
    fn waiting(&self) -> MutexGuard<'_, HashSet<(String, RequestId)>> {
        // The set is whole after every statement made under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Front {
    /// Whether the session that a request names, if any, was opened by a caller of the same access.
    fn is_owner(&self, request: &Request) -> bool {
        let Some(session) = session_of(request.headers()) else { return true };
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is not known is not known to the library either.
        owners.get(&session).is_none_or(|owner| request.extensions().get::<Access>() == Some(owner))
    }

    /// Notes who opened a session, and forgets those that have ended.
    async fn remember(&self, session: String, access: Access) {
        let open: HashSet<String> = self.manager.sessions.read().await.keys().map(|id| id.to_string()).collect();
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|session, _| open.contains(session));
        owners.insert(session, access);
    }
}

fn session_of(headers: &HeaderMap) -> Option<String> {
    headers.get("mcp-session-id").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned())
}

/// What has to be known of a message before the library reads it.
#[derive(Default, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    id: Option<RequestId>,
}

fn id_in_use(id: &RequestId) -> Response {
    let message = "a request with this `id` is in flight in this session; ids must be unique within a session";
    let error = json!({"code": ErrorCode::INVALID_REQUEST, "message": message});
    json_response(StatusCode::BAD_REQUEST, &json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

/// What to do about a session that is not there: none was opened, it ended, or it is another caller's.
const NO_SESSION: &str = "no such session: it has ended or never was; send `initialize` anew, without `Mcp-Session-Id`";

/// A refusal in JSON-RPC, of no particular request.
fn refused(status: StatusCode, message: &str) -> Response {
    let error = json!({"code": ErrorCode::INVALID_REQUEST, "message": message});
    json_response(status, &json!({"jsonrpc": "2.0", "id": null, "error": error}))
}

/// The library's refusals that are bare text, as JSON-RPC errors that say what to do (rmcp 3.9.0).
async fn in_our_words(response: Response) -> Response {
    const MAX_REFUSAL_BYTES: usize = 4 * 1024;
    let status = response.status();
    let is_bare = response.headers().get(header::CONTENT_TYPE).is_none();
    if !is_bare || !matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) {
        return response;
    }
    let (parts, body) = response.into_parts();
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
async fn collected(response: Response) -> Response {
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
struct Accepted {
    json: bool,
    event_stream: bool,
}

impl Accepted {
    fn of(headers: &HeaderMap) -> Self {
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

fn media_type_is(headers: &HeaderMap, expected: &str) -> bool {
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
    fn an_id_is_free_again_after_its_answer() {
        let front = Arc::new(Front {
            manager: Arc::default(),
            opening: AtomicUsize::new(0),
            waiting: Mutex::default(),
            owners: Mutex::default(),
            in_flight: InFlight::default(),
            stop: CancellationToken::new(),
        });
        let enter = |session: &str, id: i64| Waiting::new(front.clone(), session.to_owned(), RequestId::Number(id));
        let first = enter("a", 1);
        assert!(first.is_some());
        assert!(enter("a", 1).is_none());
        assert!(enter("a", 2).is_some(), "another id");
        assert!(enter("b", 1).is_some(), "another session");
        drop(first);
        assert!(enter("a", 1).is_some());
    }
}
