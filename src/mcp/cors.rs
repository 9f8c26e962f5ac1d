//! Cross-origin requests of browsers (Fetch, section 3.2): off unless the operator lists origins.
//!
//! A listed origin is named in every answer, whatever became of the request, so that a page can read why it was refused.
//! Cookies are never asked for, and `*` is never said.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::guard::Guard;

/// Headers that a page may send, besides `Mcp-Param-*`.
const ALLOWED_HEADERS: &str = "authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, \
                               mcp-method, mcp-name, traceparent, tracestate";
const PARAMETERS: &str = "mcp-param-";
/// How many names of `Mcp-Param-*` headers are repeated.
const MAX_PARAMETERS: usize = 64;
/// Headers that a page may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("mcp-session-id, www-authenticate, retry-after");
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
/// For how many seconds a browser may keep the answer to a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The middleware where origins are listed, around everything else: a preflight carries no credentials.
pub(super) async fn cors(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).filter(|origin| guard.sites.is_listed(origin)).cloned();
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if is_preflight => {
            let (parts, _) = request.into_parts();
            match guard.sites.check_host(&parts) {
                Ok(()) => preflight(&parts.headers),
                Err(refusal) => refusal.into_response(),
            }
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    // Whether an origin was sent or not: caches must not mix the answers up.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
    response
}

/// The answer to the question what may be sent.
fn preflight(asked: &HeaderMap) -> Response {
    let asked = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|names| names.to_str().ok());
    let parameters = asked.flat_map(|names| names.split(',')).filter_map(|name| {
        let name = HeaderName::try_from(name.trim()).ok()?;
        name.as_str().starts_with(PARAMETERS).then_some(name)
    });
    let mut allowed = ALLOWED_HEADERS.to_owned();
    for name in parameters.take(MAX_PARAMETERS) {
        allowed.push_str(", ");
        allowed.push_str(name.as_str());
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
    response
}
