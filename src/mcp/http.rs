//! MCP over HTTP: the Streamable HTTP endpoint `/mcp`, the older `/sse` and `/messages`, and what watches over both.
//!
//! The endpoint itself is the MCP library's, with sessions of `sessions` and lists of tools of `pages`. Around it stand, from
//! the outside, `cors`, the [guard](super::guard) with `body`, `front` with `direct`, and a shutdown that lets calls in flight
//! be answered.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, middleware};
use http::{Method, StatusCode};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Door, McpServer,
    authorization::ResourceServer,
    cors,
    direct::Direct,
    drain::{GRACE, LINGER},
    front::{self, Front},
    guard::{Guard, GuardError, guard},
    in_flight::InFlight,
    monitor::{self, Monitor},
    pages::Pages,
    refusal::problem,
    sessions::Sessions,
    sse,
};
use crate::{
    config::callers::{CallerBackendKey, HeldToken},
    http_server,
};

/// How long a session of the 2025-11-25 era lasts without a message. Clients keep one for the length of a conversation,
/// so the library's 5 minutes are short.
const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);

/// How long nothing must be in flight before the server counts as idle: a request may sit between its connection and
/// the first middleware.
const SETTLE: Duration = Duration::from_millis(50);

/// Who may talk to the HTTP server, besides clients on this machine.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// The operator's own bearer token, which opens everything. Where this or one of the two that follow is there, every
    /// request has to show one, `/healthz` apart; to listen beyond loopback one of them is needed.
    pub token: Option<SecretString>,
    /// Bearer tokens of single callers.
    pub tokens: Vec<HeldToken>,
    /// Tokens of an authorization server.
    pub oauth: Option<ResourceServer>,
    /// Where callers may bring keys of their own for the backends.
    pub backend_key: Option<CallerBackendKey>,
    /// Hosts that a request may name in `Host`, as `example.com` (any port) or `example.com:8443`, besides the loopback
    /// names and the address the server listens on. Where that is `0.0.0.0` or `[::]`, any literal address is allowed.
    pub allowed_hosts: Vec<String>,
    /// Origins that a browser may name in `Origin`, as `https://example.com`, `http://localhost:3000` or
    /// `http://localhost:*`, besides the loopback ones when the server listens on loopback.
    pub allowed_origins: Vec<String>,
    /// Whether no sessions are kept, so that any of several replicas can serve any request.
    pub stateless: bool,
    /// Whether whoever reaches the port may read `/metrics`.
    pub open_metrics: bool,
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
/// answered and tasks carried to their end for up to 10 s, and calls that last longer are given up with an answer that
/// says so.
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
    let server = McpServer { keeps_sessions: !options.stateless, ..server.scoped(shutdown.clone(), Door::Guarded) };
    let (abort, limits) = (server.abort.clone(), server.capacity.limits);
    let in_flight = server.departure.in_flight.clone();
    let stop = CancellationToken::new();
    // However this ends, no session may outlive it.
    let _stop = stop.clone().drop_guard();
    let app = router(server, listener.local_addr()?, &options, in_flight.clone(), stop.clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let options = http_server::Options {
        max_connections: limits.max_connections,
        idle_time: limits.idle_time,
        // The layer in front of the routes decides, which can say so.
        body_time: None,
        answer_time: limits.answer_time,
        ..http_server::Options::default()
    };
    let serving = http_server::serve(listener, app, options, shutdown.clone().cancelled_owned());
    // `stop` turns unanswered requests into HTTP 500 and cuts streams off, so it has to come last.
    // The last connection may be gone before the last task has ended.
    let mut finishing = pin!(async {
        shutdown.cancelled().await;
        if tokio::time::timeout(GRACE, settled(&in_flight)).await.is_err() {
            tracing::warn!("giving up calls that outlasted the grace period");
            abort.cancel();
            // Past this there is nothing left to wait for.
            tokio::time::timeout(LINGER, settled(&in_flight)).await.ok();
        }
        stop.cancel();
    });
    let mut serving = pin!(serving);
    tokio::select! {
        served = &mut serving => {
            served?;
            finishing.await;
            Ok(())
        }
        () = &mut finishing => tokio::time::timeout(LINGER, serving).await.unwrap_or(Ok(())),
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
    let entrance = Arc::new(Guard::new(address, options)?.of(&server));
    let (capacity, leaving) = (server.capacity.clone(), server.leaving.clone());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(!options.stateless)
        .with_json_response(true)
        .with_max_request_body_bytes(capacity.limits.max_body_bytes)
        .with_cancellation_token(stop.clone())
        .with_allowed_hosts(entrance.sites.library_hosts())
        .with_allowed_origins(entrance.sites.library_origins())
        .enforce_origin_validation();
    let manager = Arc::new(Sessions::new(SESSION_IDLE));
    let endpoint = {
        let pages = Pages::new(server.clone());
        let server = server.clone();
        let service = StreamableHttpService::new(move || Ok(server.for_session()), manager.clone(), config);
        // Routers clone a service for each request, and this one has lists in it.
        let service = Arc::new((service, pages));
        tower::service_fn(move |request: Request| {
            let service = Arc::clone(&service);
            async move {
                let (library, pages) = &*service;
                // What is in front has taken the body in whole.
                let request = if request.method() == Method::POST && Pages::are_asked(request.headers()) {
                    match Box::pin(pages.answer(request)).await {
                        Ok(response) => return Ok::<_, Infallible>(response),
                        Err(request) => request,
                    }
                } else {
                    request
                };
                Ok(library.handle::<Body>(request).await.map(Body::new))
            }
        })
    };
    let front = Front::new(manager, !options.stateless, capacity.clone(), in_flight.clone(), stop.clone());
    let front = Arc::new(front);
    let monitor = Monitor {
        server: server.clone(),
        guard: entrance.clone(),
        front: front.clone(),
        leaving,
        open_metrics: options.open_metrics,
    };
    let direct = Arc::new(Direct::new(server.clone()));
    let older = if options.stateless { sse::refusing_router() } else { sse::router(server, in_flight, stop) };
    let guarded = Router::new()
        .route_service("/mcp", endpoint)
        .route_layer(middleware::from_fn_with_state((front, direct), front::front))
        .merge(older)
        .fallback(async || {
            problem(StatusCode::NOT_FOUND, "nothing is here; MCP is at `/mcp`, for older clients at `/sse`")
        })
        .layer(middleware::from_fn_with_state((entrance.clone(), capacity), guard));
    let all = monitor::router(monitor).merge(guarded);
    Ok(if entrance.sites.lists_origins() {
        all.layer(middleware::from_fn_with_state(entrance, cors::cors))
    } else {
        all
    })
}
