//! For whoever watches over the server: `/healthz`, `/readyz` and `/metrics`.
//!
//! Health and readiness need nothing and tell nothing else. Numbers are the operator's where there is a token.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{McpServer, front::Front, guard::Guard, refusal::json_response};
use crate::{
    backend::{Backend, Limits},
    metrics,
};

/// How long the embedded backend may take to say that it is ready.
const PATIENCE: Limits = Limits { timeout: Duration::from_secs(3), max_answer_bytes: 1024 };

/// What the routes look at.
pub(super) struct Monitor {
    pub(super) server: McpServer,
    pub(super) guard: Arc<Guard>,
    pub(super) front: Arc<Front>,
    /// Is cancelled when the server begins to leave.
    pub(super) leaving: CancellationToken,
    /// Whether whoever reaches the port may read the numbers.
    pub(super) open_metrics: bool,
}

/// The routes.
pub(super) fn router(monitor: Monitor) -> Router {
    Router::new()
        .route("/healthz", get(async || ok()))
        .route("/readyz", get(ready))
        .route("/metrics", get(numbers))
        .with_state(Arc::new(monitor))
}

fn ok() -> Response {
    json_response(StatusCode::OK, &json!({ "status": "ok" }))
}

async fn ready(State(monitor): State<Arc<Monitor>>) -> Response {
    let not_ready = |status| json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": status }));
    if monitor.leaving.is_cancelled() {
        return not_ready("the server is leaving");
    }
    let gateway = monitor.server.served();
    if let Some(embedded) = &gateway.backends.embedded
        && !is_ready(embedded).await
    {
        return not_ready("the embedded backend does not answer");
    }
    ok()
}

async fn is_ready(embedded: &Backend) -> bool {
    let mut request = http::Request::new(Bytes::new());
    *request.uri_mut() = http::Uri::from_static("/readyz");
    matches!(embedded.send(request, &PATIENCE).await, Ok(answer) if answer.status() == StatusCode::OK)
}

async fn numbers(State(monitor): State<Arc<Monitor>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    if let Err(refusal) = monitor.guard.check_operator(&mut parts, monitor.open_metrics) {
        return refusal.into_response();
    }
    monitor.front.forget_ended().await;
    let headers = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    (headers, metrics::render()).into_response()
}
