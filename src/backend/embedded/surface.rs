//! The APIs that this backend serves side by side, each under its own path, with its own keys and its own form of errors.
//!
//! Knows nothing of single operations.

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use serde_json::json;

use super::{
    Embedded,
    answer::json_answer,
    auth,
    error::{ApiError, Refusal},
    keys::{Kind, Provider},
};
use crate::random::random_hex;

/// One of the APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    /// Runloop's, under `/v1`, and whatever path is nobody's.
    Runloop,
    /// RunTools', under `/runtools/v1`.
    RunTools,
    /// Runtype's, under `/runtype/v1`.
    Runtype,
    /// What Runloop's API lacks, under `/keyglass/v1`, where no later route of Runloop's can collide with it.
    Keyglass,
}

impl Surface {
    /// The API of a request's path.
    pub(super) fn of(path: &str) -> Self {
        let first = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or_default();
        match first {
            "runtools" => Self::RunTools,
            "runtype" => Self::Runtype,
            "keyglass" => Self::Keyglass,
            _ => Self::Runloop,
        }
    }

    /// Whether a key of this provider and kind is one of this API. The root key is the operator's everywhere: at RunTools
    /// and Runtype it stands for a person who is signed in.
    pub(super) fn knows(self, provider: Provider, kind: Kind) -> bool {
        match self {
            Self::Runloop | Self::Keyglass => provider == Provider::Runloop,
            Self::RunTools => provider == Provider::RunTools || kind == Kind::Root,
            Self::Runtype => provider == Provider::Runtype || kind == Kind::Root,
        }
    }

    /// The header, besides `Authorization`, in which a key may come.
    pub(super) fn key_header(self) -> Option<&'static str> {
        match self {
            Self::RunTools => Some("x-api-key"),
            Self::Runloop | Self::Runtype | Self::Keyglass => None,
        }
    }

    /// The refusal of a key that is not, or no longer, one. RunTools' clients tell these two by their codes.
    pub(super) fn invalid_token(self, message: &str) -> ApiError {
        if self == Self::RunTools { ApiError::invalid_token(message) } else { ApiError::unauthorized(message) }
    }

    /// The refusal of a key whose time is over.
    pub(super) fn token_expired(self, message: &str) -> ApiError {
        if self == Self::RunTools { ApiError::token_expired(message) } else { ApiError::unauthorized(message) }
    }

    /// The body of an error in the form of this API.
    fn body(self, refusal: &Refusal, request_id: &str) -> String {
        let Refusal { code, message } = refusal;
        match self {
            Self::Runloop | Self::Keyglass => json!({ "message": message, "code": code }),
            Self::RunTools => {
                let code = match *code {
                    "invalid_request" | "too_large" | "body_timeout" | "method_not_allowed" => "bad_request",
                    "already_exists" => "conflict",
                    "internal" | "overdue" | "busy" | "disk_full" | "disk_failed" | "read_only" | "damaged" => {
                        "internal_error"
                    }
                    other => other,
                };
                json!({ "error": { "code": code, "message": message, "requestId": request_id } })
            }
            Self::Runtype => json!({ "error": message, "code": code }),
        }
        .to_string()
    }
}

/// Asks for a key, answers in time, and gives errors the form of the API that was asked. Lies around everything else, as one layer: each
/// costs a request about as much as it takes to find its key.
pub(super) async fn layer(State(backend): State<Embedded>, mut request: Request, next: Next) -> Response {
    let surface = Surface::of(request.uri().path());
    // only RunTools' answers repeat it
    let request_id = (surface == Surface::RunTools).then(|| request_id(request.headers()));
    if let Some(request_id) = &request_id {
        request.extensions_mut().insert(RequestId(request_id.clone()));
    }
    let work = async {
        match auth::admit(&backend, surface, &mut request).await {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        }
    };
    // Work in the database that was begun goes on to its end. A body that is slow is refused before that, as the client's
    // own matter; what is left is the backend's: a reading thread or the write lock that was not to be had.
    let time = backend.limits().request_time;
    let response = tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        tracing::warn!(seconds = time.as_secs_f32(), "a request was given up, it took too long");
        ApiError::overdue(time).into_response()
    });
    if surface == Surface::Runloop || surface == Surface::Keyglass {
        return response;
    }
    let Some(refusal) = response.extensions().get::<Refusal>() else { return response };
    let body = surface.body(refusal, request_id.as_deref().unwrap_or_default());
    let (parts, _) = response.into_parts();
    let mut answer = json_answer(parts.status, body);
    for name in [header::WWW_AUTHENTICATE, header::ALLOW, header::RETRY_AFTER, header::CONNECTION] {
        if let Some(value) = parts.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

/// The id of a request, which RunTools' answers repeat.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::internal("a route outside the surface's layer"))
    }
}

/// The request's own id, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get("x-request-id").map(HeaderValue::to_str).and_then(Result::ok);
    match sent.filter(|id| !id.is_empty() && id.len() <= 100) {
        Some(id) => id.to_owned(),
        None => random_hex::<8>().unwrap_or_default(),
    }
}
