//! Answers: views as JSON, with the headers that all of them have.
//!
//! Knows nothing of what the views tell.

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::error::ApiError;

/// A view as JSON; a secret, since it may hold a key.
pub(super) fn to_json(view: &impl Serialize) -> Result<SecretString, ApiError> {
    serde_json::to_string(view).map(SecretString::from).map_err(ApiError::internal)
}

/// The answer that holds this JSON, and maybe a key.
pub(super) fn secret_answer(status: StatusCode, json: &SecretString) -> Response {
    json_answer(status, json.expose_secret().to_owned())
}

/// The answer that holds this JSON.
pub(super) fn json_answer(status: StatusCode, json: String) -> Response {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().extend(json_headers());
    response
}

/// The headers of every answer. Answers can hold a new key, and none of the others gains by being kept.
fn json_headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}
