//! Answers instead of the service's: what is refused and why, what would be let in, and problems as JSON.
//!
//! Decides nothing.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::authorization::{Invalid, ResourceServer};

/// An answer instead of the service's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: &'static str,
    /// What would be let in instead (RFC 9110, section 11.6.1).
    pub(super) challenges: Vec<String>,
}

impl Refusal {
    /// The answer, after a word in the log.
    pub(super) fn logged(self) -> Response {
        tracing::warn!(status = self.status.as_u16(), reason = self.message, "refused an HTTP request");
        self.into_response()
    }

    pub(super) const BAD_HOST: Self =
        Self { status: StatusCode::BAD_REQUEST, message: "missing or malformed `Host` header", challenges: Vec::new() };
    pub(super) const FOREIGN_HOST: Self = Self {
        status: StatusCode::FORBIDDEN,
        message: "this `Host` is not allowed; the operator can allow it with `--allow-host NAME`",
        challenges: Vec::new(),
    };
    pub(super) const FOREIGN_ORIGIN: Self = Self {
        status: StatusCode::FORBIDDEN,
        message: "this `Origin` is not allowed; the operator can allow it with `--allow-origin ORIGIN`",
        challenges: Vec::new(),
    };
    pub(super) const NO_TOKEN: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        message: "a bearer token is needed: send `Authorization: Bearer …`",
        challenges: Vec::new(),
    };
    pub(super) const WRONG_TOKEN: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        message: "this bearer token is not the one of this server",
        challenges: Vec::new(),
    };
    pub(super) const NO_CREDENTIAL: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        message: "a credential is needed: that of this server, or that of the spec whose tools are to be used",
        challenges: Vec::new(),
    };
    pub(super) const WRONG_CREDENTIAL: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        message: "this credential opens no tools of this server",
        challenges: Vec::new(),
    };
    pub(super) const CLOSED: Self = Self {
        status: StatusCode::FORBIDDEN,
        message: "only the operator may see this; set a token by `--token`, or `open_metrics: true` in the configuration file",
        challenges: Vec::new(),
    };
    pub(super) const BAD_KEY: Self = Self {
        status: StatusCode::BAD_REQUEST,
        message: "the header for a key of your own must stand there once, with a key of visible ASCII",
        challenges: Vec::new(),
    };
    pub(super) const NO_KEYS: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        message: "tokens cannot be checked at this time, because the keys of their issuer cannot be had; retry later",
        challenges: Vec::new(),
    };
    pub(super) const BAD_TARGET: Self =
        Self { status: StatusCode::BAD_REQUEST, message: "malformed request target", challenges: Vec::new() };

    /// The answer.
    pub(super) fn into_response(self) -> Response {
        let mut response = problem(self.status, self.message);
        for challenge in self.challenges {
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }
}

/// A refusal with what an authorization server is asked for (RFC 6750, section 3).
pub(super) fn oauth_refusal(status: StatusCode, message: &'static str, challenge: String) -> Refusal {
    Refusal { status, message, challenges: vec![challenge] }
}

/// The answer to a token that an issuer may have given out.
pub(super) fn not_taken(oauth: &ResourceServer, invalid: Invalid) -> Refusal {
    match invalid {
        Invalid::Token(reason) => {
            tracing::debug!(reason, "a token was not taken");
            oauth_refusal(StatusCode::UNAUTHORIZED, Refusal::WRONG_TOKEN.message, oauth.unauthorized(true))
        }
        Invalid::KeysUnavailable => Refusal::NO_KEYS,
    }
}

/// An answer of the server itself, as `{"error": …}`.
pub(super) fn problem(status: StatusCode, message: &str) -> Response {
    json_response(status, &json!({ "error": message }))
}

/// A JSON answer that nothing may store.
pub(super) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}
