//! The older HTTP+SSE transport of MCP 2024-11-05, for clients that speak nothing newer: `GET /sse` opens a stream of
//! events, `POST /messages?sessionId=…` sends one message into it.
//!
//! The MCP library has none of this; a session here is a pair of channels that the library serves as a transport. Who
//! may come in is the [guard](super::guard)'s business. A session's id only says where an answer goes; it is no
//! credential.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{Query, State},
    response::{
        IntoResponse as _, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{any, get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, ClientRequest, GetExtensions as _, ServerJsonRpcMessage},
    service::{RxJsonRpcMessage, TxJsonRpcMessage, serve_server_with_ct},
    transport::{Transport, TransportAdapterIdentity},
};
use serde::Deserialize;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    McpServer,
    answers::unreadable,
    drain::{Draining, Ending},
    front::too_many,
    in_flight::InFlight,
    limits::Place,
    refusal::problem,
};
use crate::{
    audit,
    caller::Caller,
    metrics::{self, Held, Refused, Transport as Counted},
    random::random_hex,
};

/// Messages of the client that may wait in a session. For it a single one waits: the others hold places of the caller.
const BACKLOG: usize = 16;

/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a client may take to choose a lifecycle.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a session lasts without a message from its client.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// All open sessions of one server. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    server: McpServer,
    in_flight: InFlight,
    stop: CancellationToken,
    open: Mutex<HashMap<String, Session>>,
}

#[derive(Debug)]
struct Session {
    /// Who opened it, and what they may use: nobody else may speak in it.
    caller: Caller,
    inbound: mpsc::Sender<ClientJsonRpcMessage>,
    last_message: Instant,
    _place: Place,
    _counted: Held,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageQuery {
    session_id: Option<String>,
}

/// The two routes. `stop` ends all sessions.
pub(super) fn router(server: McpServer, in_flight: InFlight, stop: CancellationToken) -> Router {
    let sessions = Sessions(Arc::new(Shared { server, in_flight, stop, open: Mutex::default() }));
    Router::new().route("/sse", get(open)).route("/messages", post(message)).with_state(sessions)
}

/// The two routes of a server that keeps no sessions.
pub(super) fn refusing_router() -> Router {
    let refuse = async || {
        problem(
            StatusCode::NOT_FOUND,
            "this server keeps no sessions (`--stateless`), which HTTP+SSE cannot do without; use Streamable HTTP at `/mcp`",
        )
    };
    Router::new().route("/sse", any(refuse)).route("/messages", any(refuse))
}

/// Opens a session and keeps its stream until the client leaves, falls silent, or the server stops.
async fn open(State(sessions): State<Sessions>, Extension(caller): Extension<Caller>) -> Response {
    if sessions.0.stop.is_cancelled() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the server is leaving");
    }
    let Ok(id) = random_hex::<16>() else {
        tracing::error!("no randomness for a session id");
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "no randomness available on this machine");
    };
    let (inbound, from_client) = mpsc::channel(BACKLOG);
    let (to_client, outbound) = mpsc::channel::<ServerJsonRpcMessage>(1);
    let place = match sessions.0.server.capacity.sessions.take(&caller.principal) {
        Ok(place) => place,
        Err(full) => return too_many(full, Refused::Session, None),
    };
    let counted = metrics::session(Counted::Sse);
    let session = Session {
        caller: caller.without_key(),
        inbound,
        last_message: Instant::now(),
        _place: place,
        _counted: counted,
    };
    sessions.lock().insert(id.clone(), session);
    let ended = sessions.0.stop.child_token();
    let leave = Leave { sessions: sessions.clone(), id: id.clone(), _ended: ended.clone().drop_guard() };
    tokio::spawn(serve(sessions, id.clone(), Channels { from_client, to_client }, ended));

    let endpoint = Event::default().event("endpoint").data(format!("/messages?sessionId={id}"));
    let messages = stream::unfold((outbound, leave), |(mut outbound, leave)| async {
        let message = outbound.recv().await?;
        Some((message, (outbound, leave)))
    });
    let events = messages.filter_map(|message| async move {
        match serde_json::to_string(&message) {
            Ok(json) => Some(Ok(Event::default().event("message").data(json))),
            Err(error) => {
                tracing::error!(%error, "could not write a message as JSON");
                None
            }
        }
    });
    let stream = stream::iter([Ok::<_, Infallible>(endpoint)]).chain(events);
    let mut response =
        Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Takes one message into a session. The answer goes to the session's stream.
async fn message(
    State(sessions): State<Sessions>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<MessageQuery>,
    body: Bytes,
) -> Response {
    let Some(inbound) = query.session_id.and_then(|id| sessions.touch(&id, &caller)) else {
        return problem(StatusCode::NOT_FOUND, "no such session; open one with `GET /sse`");
    };
    let mut message = match serde_json::from_slice::<ClientJsonRpcMessage>(&body) {
        Ok(message) => message,
        Err(error) => return unreadable(&error),
    };
    if let ClientJsonRpcMessage::Request(request) = &mut message {
        // A subscription has a place of its own.
        if !matches!(request.request, ClientRequest::SubscriptionsListenRequest(_)) {
            match sessions.0.server.capacity.requests.take(&caller.principal) {
                // Goes with the request; the transport keeps it until the answer has left.
                Ok(place) => request.request.extensions_mut().insert(Arc::new(place)),
                Err(full) => return too_many(full, Refused::Request, Some(&request.id)),
            };
        }
        request.request.extensions_mut().insert(caller);
    }
    match inbound.try_send(message) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(mpsc::error::TrySendError::Full(_)) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "too many messages of this session are waiting; retry later")
        }
        Err(mpsc::error::TrySendError::Closed(_)) => {
            problem(StatusCode::NOT_FOUND, "this session has ended; open one with `GET /sse`")
        }
    }
}

async fn serve(sessions: Sessions, id: String, channels: Channels, ended: CancellationToken) {
    let leaving = sessions.0.server.leaving.child_token();
    let server =
        McpServer { leaving: leaving.clone(), transport: audit::Transport::Sse, ..sessions.0.server.for_session() };
    // Once the client has left there is nobody to answer, so the calls of a session end with it. When the server leaves,
    // `stop` comes only after the calls are done.
    let ending =
        Ending { stop_reading: ended.clone(), leaving, abort: ended.clone(), in_flight: sessions.0.in_flight.clone() };
    let transport = Draining::new(channels, ending);
    let serving = async {
        let handshake = serve_server_with_ct::<_, _, _, TransportAdapterIdentity>(server, transport, ended);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(running)) => {
                if let Err(error) = running.waiting().await {
                    tracing::error!(%error, "a session broke down");
                }
            }
            Ok(Err(_)) => tracing::debug!("a session ended before its handshake"),
            Err(_) => tracing::debug!("a session ended for the want of a handshake"),
        }
    };
    tokio::select! {
        () = serving => {}
        () = sessions.idle(&id) => tracing::debug!("a session ended because its client fell silent"),
    }
    sessions.lock().remove(&id);
}

impl Sessions {
    /// The way into a session of this caller, and a note that its client is there.
    fn touch(&self, id: &str, caller: &Caller) -> Option<mpsc::Sender<ClientJsonRpcMessage>> {
        let mut open = self.lock();
        let session = open.get_mut(id).filter(|session| session.caller == *caller)?;
        session.last_message = Instant::now();
        Some(session.inbound.clone())
    }

    /// Waits until the session's client has been silent for too long, or the session is gone.
    async fn idle(&self, id: &str) {
        loop {
            let Some(last) = self.lock().get(id).map(|session| session.last_message) else { return };
            let deadline = last + IDLE_TIMEOUT;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        // The map is whole after every statement made under the lock.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the session when its stream is dropped.
struct Leave {
    sessions: Sessions,
    id: String,
    _ended: DropGuard,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
    }
}

/// A session as the library sees it.
struct Channels {
    from_client: mpsc::Receiver<ClientJsonRpcMessage>,
    to_client: mpsc::Sender<ServerJsonRpcMessage>,
}

impl Transport<RoleServer> for Channels {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let to_client = self.to_client.clone();
        async move { to_client.send(message).await.map_err(|_| io::ErrorKind::NotConnected.into()) }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.from_client.recv().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.from_client.close();
        Ok(())
    }
}
