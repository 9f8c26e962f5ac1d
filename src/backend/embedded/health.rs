//! Whether the backend is there, and whether it can answer: for whoever watches over it, without a key.
//!
//! Tells nothing else.

use std::time::Duration;

use axum::{Router, extract::State, response::Response, routing::get};
use http::StatusCode;
use serde_json::json;

use super::{Embedded, answer::json_answer};

/// How long a look at the database may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// `/healthz` and `/readyz`.
pub(super) fn routes() -> Router<Embedded> {
    let alive = get(async || status(StatusCode::OK, "ok"));
    let ready = get(async |State(embedded): State<Embedded>| match is_ready(&embedded).await {
        true => status(StatusCode::OK, "ok"),
        false => status(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be read"),
    });
    let other = async || status(StatusCode::METHOD_NOT_ALLOWED, "ask by GET");
    Router::new().route("/healthz", alive.fallback(other)).route("/readyz", ready.fallback(other))
}

fn status(code: StatusCode, text: &str) -> Response {
    json_answer(code, json!({ "status": text }).to_string())
}

async fn is_ready(embedded: &Embedded) -> bool {
    let look = embedded.store().read(|connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map_err(Into::into)
    });
    matches!(tokio::time::timeout(PATIENCE, look).await, Ok(Ok(_)))
}
