//! What stands right in front of the library's Streamable HTTP endpoint: who may speak in a session, how many sessions,
//! streams and requests there may be, ids that are used twice, and leniency about `Accept`.
//!
//! Knows nothing of credentials: the [guard](super::guard) has said who calls.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use rmcp::model::RequestId;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    answers::{
        Accepted, EVENT_STREAM, JSON, NO_SESSION, busy, collected, id_in_use, in_our_words, media_type_is, outcome_in,
        refused, unreadable,
    },
    direct::Direct,
    in_flight::{Entered, InFlight},
    limits::{Capacity, Full, Place},
    plain::Call,
    refusal::problem,
    sessions::Sessions,
};
use crate::{
    caller::Caller,
    metrics::{self, Refused, RequestOutcome, Transport},
    telemetry::trace::{self, Span},
};

/// The state of the middleware.
pub(super) struct Front {
    manager: Arc<Sessions>,
    /// Whether sessions are kept.
    sessions: bool,
    /// The session and the id of every request of a session that waits for its answer.
    waiting: Mutex<HashSet<(String, RequestId)>>,
    /// Who opened each session, and what they may use: nobody else may speak in it.
    owners: Mutex<HashMap<String, Owner>>,
    capacity: Arc<Capacity>,
    in_flight: InFlight,
    stop: CancellationToken,
}

struct Owner {
    caller: Caller,
    _place: Place,
    _counted: metrics::Held,
}

/// The middleware.
pub(super) async fn front(
    State((front, direct)): State<(Arc<Front>, Arc<Direct>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let accepted = Accepted::of(request.headers());
    if *request.method() == Method::POST {
        return front.post(&direct, accepted, request, next).await;
    }
    if !front.is_owner(request.headers(), request.extensions()) {
        // As for a session that is not there.
        return refused(StatusCode::NOT_FOUND, NO_SESSION, None);
    }
    match *request.method() {
        Method::GET => {
            if accepted.event_stream {
                request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(EVENT_STREAM));
            }
            in_our_words(front.get(request, next).await, None).await
        }
        Method::DELETE => ended(in_our_words(next.run(request).await, None).await),
        _ => in_our_words(next.run(request).await, None).await,
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
    /// With no session open.
    pub(super) fn new(
        manager: Arc<Sessions>,
        sessions: bool,
        capacity: Arc<Capacity>,
        in_flight: InFlight,
        stop: CancellationToken,
    ) -> Self {
        Self { manager, sessions, waiting: Mutex::default(), owners: Mutex::default(), capacity, in_flight, stop }
    }

    async fn post(self: Arc<Self>, direct: &Direct, accepted: Accepted, request: Request, next: Next) -> Response {
        if self.stop.is_cancelled() {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "the server is leaving");
        }
        let running = self.in_flight.enter();
        let (mut parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, self.capacity.limits.max_body_bytes).await else {
            return problem(StatusCode::BAD_REQUEST, "the request body could not be read");
        };
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::anonymous);
        let session = session_of(&parts.headers).filter(|_| self.sessions);
        let is_json = media_type_is(&parts.headers, JSON);
        let call = if is_json && accepted.json { direct.read(&parts.headers, &body) } else { None };
        let envelope = match &call {
            Some(call) => Envelope { method: Some(Cow::Borrowed(Call::METHOD)), id: Some(call.id().clone()) },
            None => match serde_json::from_slice::<Envelope>(&body) {
                Ok(envelope) => envelope,
                // What cannot be seen through is not let through, or it would be counted nowhere.
                Err(error) if is_json => return unreadable(&error),
                Err(_) => Envelope::default(),
            },
        };
        if !self.is_owner(&parts.headers, &parts.extensions) {
            // As for a session that is not there.
            return refused(StatusCode::NOT_FOUND, NO_SESSION, envelope.request_id());
        }
        let method = envelope.method.as_deref();
        let listens = method == Some("subscriptions/listen");
        // A modern request names neither a session nor `initialize`, and passes the checks of both below.
        if listens && !accepted.event_stream {
            return problem(
                StatusCode::NOT_ACCEPTABLE,
                "a subscription is answered by `text/event-stream`; accept that",
            );
        }
        let (place, mut counted) = match (method, &envelope.id) {
            (Some(method), Some(id)) => {
                let counted = Counted::new(method, &parts.headers, &body);
                parts.extensions.insert(counted.span.parent());
                // A subscription has a place of its own.
                match (!listens).then(|| self.capacity.requests.take(&caller.principal)).transpose() {
                    Ok(place) => (place, Some(counted)),
                    Err(full) => return too_many(full, Refused::Request, Some(id)),
                }
            }
            _ => (None, None),
        };
        if let (Some(call), Some(counted)) = (call, &mut counted) {
            // Large, and moved from hand to hand on its way.
            let answering = Box::pin(direct.answer(call, caller, counted.span.parent()));
            let (response, outcome) = answering.await;
            counted.answered(outcome);
            let held = Arc::new(Held { _running: running, _place: place, _waiting: None });
            return response.map(|body| holding(body, held));
        }
        let opening = match (&session, method) {
            (None, Some("initialize")) if self.sessions => match self.new_session(&caller).await {
                Ok(place) => Some(place),
                Err(full) => return too_many(full, Refused::Session, envelope.id.as_ref()),
            },
            _ => None,
        };
        let waiting = match (session, &envelope.id) {
            (Some(session), Some(id)) if method.is_some() => match Waiting::new(self.clone(), session, id.clone()) {
                Some(waiting) => Some(waiting),
                None => return id_in_use(id),
            },
            _ => None,
        };
        let held = Arc::new(Held { _running: running, _place: place, _waiting: waiting });
        if opening.is_none() {
            // In a session the work goes on when its client hangs up. What comes with the request lasts as long as that.
            parts.extensions.insert(held.clone());
        }
        if !accepted.event_stream {
            parts.extensions.insert(CannotBeAsked);
        }
        // The specification wants both types listed, many a client and `curl` do not.
        if accepted.json {
            parts.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        }
        let request = Request::from_parts(parts, Body::from(body.clone()));
        let response = match opening {
            None => next.run(request).await,
            Some(place) => self.clone().open_session(caller, place, request, next).await,
        };
        let response = in_our_words(response, envelope.request_id()).await;
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE && is_json {
            // The library calls a body it cannot read an unsupported media type.
            return match serde_json::from_slice::<rmcp::model::ClientJsonRpcMessage>(&body) {
                Err(error) => unreadable(&error),
                Ok(_) => response,
            };
        }
        if !media_type_is(response.headers(), EVENT_STREAM) {
            return counted_answer(response, counted, held).await;
        }
        if !accepted.event_stream {
            return counted_answer(collected(response).await, counted, held).await;
        }
        response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |chunk| {
                // In flight until the stream is dropped.
                let _ = &held;
                if let (Some(counted), Ok(chunk)) = (&mut counted, &chunk)
                    && let Some(outcome) = outcome_in(chunk)
                {
                    counted.answered(outcome);
                }
                chunk
            }))
        })
    }

    /// The stream that a session opens to be told things. It is quiet for most of the time, so few of one caller are let in.
    async fn get(&self, request: Request, next: Next) -> Response {
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::anonymous);
        let place = match self.capacity.subscriptions.take(&caller.principal) {
            Ok(place) => place,
            Err(full) => return too_many(full, Refused::Subscription, None),
        };
        let response = next.run(request).await;
        if !media_type_is(response.headers(), EVENT_STREAM) {
            return response;
        }
        let counted = metrics::subscription();
        response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |chunk| {
                let _ = (&place, &counted);
                chunk
            }))
        })
    }

    /// A place for one more session of this caller.
    async fn new_session(&self, caller: &Caller) -> Result<Place, Full> {
        self.forget_ended().await;
        self.capacity.sessions.take(&caller.principal)
    }

    /// Opens a session, and notes whose it is. A task of its own: a client that hangs up meanwhile would else leave behind
    /// a session that is nobody's and counts for nobody.
    async fn open_session(self: Arc<Self>, caller: Caller, place: Place, request: Request, next: Next) -> Response {
        let opening = tokio::spawn(async move {
            let response = next.run(request).await;
            if let Some(session) = session_of(response.headers()) {
                let owner =
                    Owner { caller: caller.without_key(), _place: place, _counted: metrics::session(Transport::Http) };
                self.owners().insert(session, owner);
            }
            response
        });
        opening.await.unwrap_or_else(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "the session could not be opened"))
    }

    /// Gives the places of sessions back that have ended.
    pub(super) async fn forget_ended(&self) {
        let known: Vec<String> = self.owners().keys().cloned().collect();
        let open: HashSet<String> = self.manager.sessions.read().await.keys().map(|id| id.to_string()).collect();
        // Of those known before alone: another may have been opened since.
        let ended: Vec<String> = known.into_iter().filter(|session| !open.contains(session)).collect();
        let mut owners = self.owners();
        for session in ended {
            owners.remove(&session);
        }
    }

    /// Whether the session that a request names, if any, was opened by the same caller, of the same access.
    fn is_owner(&self, headers: &HeaderMap, extensions: &Extensions) -> bool {
        let Some(session) = session_of(headers) else { return true };
        // One that is not known is not known to the library either.
        self.owners().get(&session).is_none_or(|owner| extensions.get::<Caller>() == Some(&owner.caller))
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        // The map is whole after every statement made under the lock.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<(String, RequestId)>> {
        // The set is whole after every statement made under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal of what there are too many of, counted and logged.
pub(super) fn too_many(full: Full, what: Refused, id: Option<&RequestId>) -> Response {
    metrics::refused(what);
    tracing::warn!(?what, ?full, "refused what there are too many of");
    busy(full, what.name(), id)
}

/// An answer in one piece, once it was seen what it says became of the request. The request's place is taken until the client
/// took the answer: it lies in memory until then.
async fn counted_answer(response: Response, counted: Option<Counted>, held: Arc<Held>) -> Response {
    let Some(mut counted) = counted else { return response };
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be read");
    };
    counted.answered(outcome_in(&body).unwrap_or(RequestOutcome::Error));
    Response::from_parts(parts, holding(body, held))
}

fn holding(body: Bytes, held: Arc<Held>) -> Body {
    Body::new(Holding { body: http_body_util::Full::from(body), _held: held })
}

/// What a request takes, until both its work has ended and its client took the answer, or left.
pub(super) struct Held {
    _running: Entered,
    _place: Option<Place>,
    _waiting: Option<Waiting>,
}

/// That the client of a request hears nothing but its answer: it takes no event stream, in which a question would come.
#[derive(Clone, Copy, Debug)]
pub(super) struct CannotBeAsked;

/// A body that holds what its request took for as long as it is there.
struct Holding {
    body: http_body_util::Full<Bytes>,
    _held: Arc<Held>,
}

impl hyper::body::Body for Holding {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request that is noted in numbers and traces, until dropped.
struct Counted {
    request: metrics::Request,
    span: Span,
}

impl Counted {
    fn new(method: &str, headers: &HeaderMap, body: &[u8]) -> Self {
        let trace = trace::of_message(body);
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let span = Span::request(method, |name| match &trace {
            Some(trace) => trace.field(name),
            None => header(name),
        });
        Self { request: metrics::request(method), span }
    }

    fn answered(&mut self, outcome: RequestOutcome) {
        self.request.answered(outcome);
        if outcome == RequestOutcome::Error {
            self.span.failed("error");
        }
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
        // Only then: one that is dropped frees the id.
        is_new.then(|| Self { front, key })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.front.waiting().remove(&self.key);
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

impl Envelope<'_> {
    /// The id of a request. That of an answer is one of ours.
    fn request_id(&self) -> Option<&RequestId> {
        self.id.as_ref().filter(|_| self.method.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mcp::limits::Limits;

    #[test]
    fn an_id_is_free_again_after_its_answer() {
        let capacity = Arc::new(Capacity::new(Limits::default()));
        let sessions = Arc::new(Sessions::new(Duration::MAX));
        let front = Arc::new(Front::new(sessions, true, capacity, InFlight::default(), CancellationToken::new()));
        let enter = |session: &str, id: i64| Waiting::new(front.clone(), session.to_owned(), RequestId::Number(id));
        let first = enter("a", 1);
        assert!(first.is_some());
        assert!(enter("a", 1).is_none());
        assert!(enter("a", 1).is_none(), "a refusal frees nothing");
        assert!(enter("a", 2).is_some(), "another id");
        assert!(enter("b", 1).is_some(), "another session");
        drop(first);
        assert!(enter("a", 1).is_some());
    }
}
