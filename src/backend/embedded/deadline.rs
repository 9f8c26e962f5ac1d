//! How long a request may take until it is answered, whatever it waits for: its body, a reading thread, the write lock.
//!
//! A body that is slow is refused before that, as the client's own matter; what is left is the backend's.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{Embedded, error::ApiError};

/// Answers in time. Work in the database that was begun goes on to its end.
pub(super) async fn layer(State(backend): State<Embedded>, request: Request, next: Next) -> Result<Response, ApiError> {
    let time = backend.limits().request_time;
    tokio::time::timeout(time, next.run(request)).await.map_err(|_| {
        tracing::warn!(seconds = time.as_secs_f32(), "a request was given up, it took too long");
        ApiError::overdue(time)
    })
}
