//! The short way of a call over HTTP: one of the 2026-07-28 era that wants nothing but its result is read, carried out and
//! answered in place. The library gives the same answer, by a service of its own for each request with its tasks and
//! channels.
//!
//! A request that is special in any way goes the library's way, and so does one in which anything is wrong: the library
//! says so. Knows nothing of sessions, limits and what is counted.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rmcp::{
    RoleServer, Service as _,
    model::{
        CallToolRequest, CallToolRequestMethod, CallToolRequestParams, ClientRequest, ErrorCode, JsonObject,
        JsonRpcVersion2_0, ProtocolVersion, RequestId, RequestMetaObject, ServerJsonRpcMessage,
    },
    service::{Peer, RequestContext, RxJsonRpcMessage, serve_directly},
};
use serde::Deserialize;

use super::{IN_HEADER, McpServer, answers::JSON};
use crate::{caller::Caller, catalog::plan::Plan, metrics::RequestOutcome, telemetry::trace::Parent};

/// How a name begins in `Mcp-Name` that no header could hold as it is.
const ENCODED: &str = "=?base64?";
/// What of `_meta` wants messages before the result.
const WANTS_MESSAGES: [&str; 2] = ["progressToken", "io.modelcontextprotocol/logLevel"];

/// Answers calls.
#[derive(Debug)]
pub(super) struct Direct {
    server: McpServer,
    /// Reaches nobody: whoever calls this way hears nothing but the result.
    nobody: Peer<RoleServer>,
}

/// A call that can be answered in place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    #[serde(rename = "jsonrpc")]
    _version: JsonRpcVersion2_0,
    id: RequestId,
    #[serde(rename = "method")]
    _method: CallToolRequestMethod,
    params: Params,
}

/// Without the answers and the state of a call that is repeated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "_meta")]
    meta: RequestMetaObject,
    name: String,
    arguments: Option<JsonObject>,
}

impl Call {
    pub(super) const METHOD: &str = "tools/call";

    /// A call that wants nothing but its result and in which nothing is wrong, as far as it says itself.
    fn read(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let only = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let version = ProtocolVersion::V_2026_07_28;
        if only("mcp-protocol-version") != Some(version.as_str())
            || only("mcp-method") != Some(Self::METHOD)
            || headers.contains_key("mcp-session-id")
        {
            return None;
        }
        let name = only("mcp-name").filter(|name| !name.starts_with(ENCODED))?;
        let call: Self = serde_json::from_slice(body).ok()?;
        let Params { meta, name: named, .. } = &call.params;
        let is_plain = named == name
            && meta.protocol_version() == Some(version)
            && !WANTS_MESSAGES.iter().any(|member| meta.contains_key(*member))
            // Some follow tasks.
            && meta.client_capabilities().is_some_and(|capabilities| capabilities.extensions.is_none());
        is_plain.then_some(call)
    }

    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }
}

impl Direct {
    /// For calls of this server. Needs a runtime.
    pub(super) fn new(server: McpServer) -> Self {
        let silence = (futures_util::sink::drain(), stream::pending::<RxJsonRpcMessage<RoleServer>>());
        // Ends at once.
        let nobody = serve_directly(server.for_session(), silence, None).peer().clone();
        Self { server, nobody }
    }

    /// A call that can be answered in place, of a client that takes JSON and sent it.
    pub(super) fn read(&self, headers: &HeaderMap, body: &[u8]) -> Option<Call> {
        let call = Call::read(headers, body)?;
        let gateway = self.server.served();
        let is_special = gateway
            .tool(&call.params.name)
            .is_some_and(|tool| matches!(tool.plan, Plan::Steps(_)) || tool.input.mentions(IN_HEADER));
        (!is_special).then_some(call)
    }

    /// Carries a call out. Dropping the future gives it up.
    pub(super) async fn answer(&self, call: Call, caller: Caller, trace: Parent) -> (Response<Bytes>, RequestOutcome) {
        let Call { id, params: Params { meta, name, arguments }, .. } = call;
        let mut context = RequestContext::new(id.clone(), self.nobody.clone());
        context.meta = meta;
        context.extensions.insert(caller);
        context.extensions.insert(trace);
        let mut params = CallToolRequestParams::new(name);
        params.arguments = arguments;
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        // The library's own judgement of the request and its result.
        let (status, outcome, message) = match self.server.handle_request(request, context).await {
            Ok(result) => (StatusCode::OK, RequestOutcome::Ok, ServerJsonRpcMessage::response(result, id)),
            Err(error) => (status_of(error.code), RequestOutcome::Error, ServerJsonRpcMessage::error(error, Some(id))),
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

    fn headers(more: &[(&'static str, &'static str)]) -> HeaderMap {
        let plain = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "one")];
        let all = plain.iter().chain(more);
        all.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn call() -> Value {
        json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {
            "name": "one", "arguments": {"x": [1, null]}, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}})
    }

    fn is_read(headers: &HeaderMap, call: &Value) -> bool {
        Call::read(headers, call.to_string().as_bytes()).is_some()
    }

    #[test]
    fn what_wants_nothing_but_its_result_is_read() {
        let plain = Call::read(&headers(&[]), call().to_string().as_bytes()).expect("a call");
        assert_eq!(plain.id, RequestId::String("a".into()));
        assert_eq!(plain.params.arguments.map(Value::Object), Some(json!({"x": [1, null]})));
        let mut bare = call();
        bare["params"].as_object_mut().unwrap().shift_remove("arguments");
        bare["id"] = json!(-7);
        assert!(is_read(&headers(&[]), &bare));
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
        let meta = |name: &str| format!("/params/_meta/io.modelcontextprotocol~1{name}");
        for (place, member, value) in [
            ("", "jsonrpc", json!("1.0")),
            ("", "id", json!(1.5)),
            ("", "id", json!(null)),
            ("", "method", json!("tools/list")),
            ("", "more", json!(1)),
            ("/params", "name", json!("two")),
            ("/params", "arguments", json!([])),
            ("/params", "requestState", json!("state")),
            ("/params", "inputResponses", json!({})),
            ("/params", "_meta", json!({})),
            ("/params/_meta", "progressToken", json!(1)),
            ("/params/_meta", "io.modelcontextprotocol/logLevel", json!("info")),
            ("/params/_meta", "io.modelcontextprotocol/protocolVersion", json!("2025-11-25")),
            ("/params/_meta", "io.modelcontextprotocol/clientCapabilities", json!({"elicitation": 3})),
            (&meta("clientCapabilities"), "extensions", json!({"io.modelcontextprotocol/tasks": {}})),
        ] {
            let mut call = call();
            call.pointer_mut(place).unwrap()[member] = value;
            assert!(!is_read(&headers(&[]), &call), "{call}");
        }
        let twice = call().to_string().replacen(r#""id":"a""#, r#""id":"a","id":"b""#, 1);
        assert!(Call::read(&headers(&[]), twice.as_bytes()).is_none());
    }
}
