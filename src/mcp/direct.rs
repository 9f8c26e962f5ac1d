//! The short way of a plain call over HTTP, in the 2026-07-28 era: it is answered in place. The library gives the same answer,
//! by a service of its own for each request.
//!
//! Knows nothing of sessions, limits and what is counted.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rmcp::{
    RoleServer,
    model::{ErrorCode, GetExtensions as _, ProtocolVersion, ServerJsonRpcMessage},
    service::{Peer, RxJsonRpcMessage, serve_directly},
};

use super::{IN_HEADER, McpServer, answers::JSON, plain::Call};
use crate::{caller::Caller, metrics::RequestOutcome, telemetry::trace::Parent};

/// How a name begins in `Mcp-Name` that no header could hold as it is.
const ENCODED: &str = "=?base64?";

/// Answers calls.
#[derive(Debug)]
pub(super) struct Direct {
    server: McpServer,
    /// Reaches nobody: whoever calls this way hears nothing but the result.
    nobody: Peer<RoleServer>,
}

/// The value of a header that is there once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
}

/// Reaches no client of this server: for whoever is to hear nothing but an answer. Needs a runtime.
pub(super) fn nobody(server: &McpServer) -> Peer<RoleServer> {
    let silence = (futures_util::sink::drain(), stream::pending::<RxJsonRpcMessage<RoleServer>>());
    // Ends at once.
    serve_directly(server.for_session(), silence, None).peer().clone()
}

/// A plain call that says the same in its headers.
fn read(headers: &HeaderMap, body: &[u8]) -> Option<Call> {
    let version = ProtocolVersion::V_2026_07_28;
    if only(headers, "mcp-protocol-version") != Some(version.as_str())
        || only(headers, "mcp-method") != Some(Call::METHOD)
        || headers.contains_key("mcp-session-id")
    {
        return None;
    }
    let name = only(headers, "mcp-name").filter(|name| !name.starts_with(ENCODED))?;
    Call::read(body).filter(|call| call.name() == name && call.is_of(&version))
}

impl Direct {
    /// For calls of this server. Needs a runtime.
    pub(super) fn new(server: McpServer) -> Self {
        Self { nobody: nobody(&server), server }
    }

    /// A call that can be answered in place, of a client that takes JSON and sent it.
    pub(super) fn read(&self, headers: &HeaderMap, body: &[u8]) -> Option<Call> {
        let call = read(headers, body)?;
        let checks_headers =
            || self.server.served().tool(call.name()).is_some_and(|tool| tool.input.mentions(IN_HEADER));
        (self.server.answers_at_once(call.name()) && !checks_headers()).then_some(call)
    }

    /// Carries a call out. Dropping the future gives it up.
    pub(super) async fn answer(&self, call: Call, caller: Caller, trace: Parent) -> (Response<Bytes>, RequestOutcome) {
        let mut request = call.into_request();
        request.request.extensions_mut().insert(caller);
        request.request.extensions_mut().insert(trace);
        let (message, outcome) = self.server.answer(request, self.nobody.clone()).await;
        let status = match &message {
            ServerJsonRpcMessage::Error(error) => status_of(error.error.code),
            _ => StatusCode::OK,
        };
        match serde_json::to_vec(&message) {
            Ok(body) => {
                let mut response = Response::new(Bytes::from(body));
                *response.status_mut() = status;
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
                (response, outcome)
            }
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                (response, RequestOutcome::Error)
            }
        }
    }
}

/// The status of an error, as the library has it (rmcp 3.9.0) for a request whose `_meta` is complete.
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::UNSUPPORTED_PROTOCOL_VERSION
        | ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY
        | ErrorCode::HEADER_MISMATCH => StatusCode::BAD_REQUEST,
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use serde_json::{Value, json};

    use super::*;
    use crate::mcp::plain::tests::call;

    fn headers(more: &[(&'static str, &'static str)]) -> HeaderMap {
        let plain = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "one")];
        let all = plain.iter().chain(more);
        all.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn is_read(headers: &HeaderMap, call: &Value) -> bool {
        read(headers, call.to_string().as_bytes()).is_some()
    }

    #[test]
    fn a_plain_call_is_read() {
        assert!(is_read(&headers(&[]), &call()));
    }

    #[test]
    fn what_is_special_or_wrong_is_left_to_the_library() {
        for more in [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "one"),
            ("mcp-session-id", "b"),
        ] {
            assert!(!is_read(&headers(&[more]), &call()), "{more:?}");
        }
        for missing in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
            let mut headers = headers(&[]);
            headers.remove(missing);
            assert!(!is_read(&headers, &call()), "{missing}");
        }
        for (name, value) in
            [("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/list"), ("mcp-name", "=?base64?b25l?=")]
        {
            let mut headers = headers(&[]);
            headers.insert(name, HeaderValue::from_static(value));
            assert!(!is_read(&headers, &call()), "{name}");
        }
        for (place, member, value) in [
            ("/params", "name", json!("two")),
            ("/params", "_meta", json!({})),
            ("/params", "_meta", json!(null)),
            ("/params/_meta", "io.modelcontextprotocol/protocolVersion", json!("2025-11-25")),
        ] {
            let mut call = call();
            call.pointer_mut(place).unwrap()[member] = value;
            assert!(!is_read(&headers(&[]), &call), "{call}");
        }
        let mut silent = call();
        silent["params"]["_meta"].as_object_mut().unwrap().shift_remove("io.modelcontextprotocol/clientCapabilities");
        assert!(!is_read(&headers(&[]), &silent));
    }
}
