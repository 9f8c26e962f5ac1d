//! Plain calls: those that want nothing but their result. They are read without the library's search through all kinds of
//! messages, and carried out without the tasks and channels that it has for each request. The answer is its own.
//!
//! A call that is special in any way is not plain, and neither is one in which anything is wrong: the library says so. Knows
//! no transport.

use rmcp::{
    RoleServer, Service as _,
    model::{
        CallToolRequest, CallToolRequestMethod, CallToolRequestParams, ClientRequest, GetExtensions as _, GetMeta as _,
        JsonObject, JsonRpcRequest, JsonRpcVersion2_0, ProtocolVersion, RequestId, RequestMetaObject,
        ServerJsonRpcMessage,
    },
    service::{Peer, RequestContext},
};
use serde::Deserialize;
use serde_json::Value;

use super::McpServer;
use crate::{catalog::plan::Plan, metrics::RequestOutcome};

/// What of `_meta` wants messages before the result.
const WANTS_MESSAGES: [&str; 2] = ["progressToken", "io.modelcontextprotocol/logLevel"];
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A call that wants nothing but its result, as far as it says itself.
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
    meta: Option<RequestMetaObject>,
    name: String,
    arguments: Option<JsonObject>,
}

/// Marks a request that was read as a plain call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

impl Call {
    pub(super) const METHOD: &str = "tools/call";

    /// A message that is a plain call.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let call: Self = serde_json::from_slice(message).ok()?;
        let is_plain = call.params.meta.as_ref().is_none_or(|meta| {
            // Some follow tasks.
            let follows = || meta.client_capabilities().is_none_or(|capabilities| capabilities.extensions.is_some());
            let says_little = |said: &Value| said.as_object().is_some_and(serde_json::Map::is_empty);
            !WANTS_MESSAGES.iter().any(|member| meta.contains_key(*member))
                && meta.get(CAPABILITIES).is_none_or(|said| says_little(said) || !follows())
        });
        is_plain.then_some(call)
    }

    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.params.name
    }

    /// Whether it is of this version of the protocol, one without a handshake, and says itself what its client can do.
    pub(super) fn is_of(&self, version: &ProtocolVersion) -> bool {
        let meta = self.params.meta.as_ref();
        meta.is_some_and(|meta| meta.protocol_version().as_ref() == Some(version) && meta.contains_key(CAPABILITIES))
    }

    /// The same as the library has it, marked.
    pub(super) fn into_request(self) -> JsonRpcRequest<ClientRequest> {
        let Self { id, params: Params { meta, name, arguments }, .. } = self;
        let mut params = CallToolRequestParams::new(name);
        params.arguments = arguments;
        let mut request = CallToolRequest::new(params);
        request.extensions.insert(Plain);
        let mut request = ClientRequest::CallToolRequest(request);
        if let Some(meta) = meta {
            *request.get_meta_mut() = meta;
        }
        JsonRpcRequest::new(id, request)
    }
}

/// Whether a call was read as a plain one.
pub(super) fn is_plain(call: &CallToolRequest) -> bool {
    call.extensions.get::<Plain>().is_some()
}

impl McpServer {
    /// Whether a call of this tool has nothing to say before its result. One of a tool that is not there has not.
    pub(super) fn answers_at_once(&self, tool: &str) -> bool {
        let gateway = self.served();
        !gateway.tool(tool).is_some_and(|tool| matches!(tool.plan, Plan::Steps(_)) || gateway.policy.may_ask(tool))
    }

    /// Carries a request out, as the library does. Dropping the future gives it up.
    pub(super) async fn answer(
        &self,
        request: JsonRpcRequest<ClientRequest>,
        peer: Peer<RoleServer>,
    ) -> (ServerJsonRpcMessage, RequestOutcome) {
        let JsonRpcRequest { id, mut request, .. } = request;
        let mut context = RequestContext::new(id.clone(), peer);
        context.meta = std::mem::take(request.get_meta_mut());
        context.extensions = std::mem::take(request.extensions_mut());
        // The library's own judgement of the request and its result.
        match self.handle_request(request, context).await {
            Ok(result) => (ServerJsonRpcMessage::response(result, id), RequestOutcome::Ok),
            Err(error) => (ServerJsonRpcMessage::error(error, Some(id)), RequestOutcome::Error),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rmcp::model::ClientJsonRpcMessage;
    use serde_json::json;

    use super::*;

    /// A call that is plain in every respect.
    pub(in crate::mcp) fn call() -> Value {
        json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {
            "name": "one", "arguments": {"x": [1, null]}, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}})
    }

    fn read(call: &Value) -> Option<Call> {
        Call::read(call.to_string().as_bytes())
    }

    /// As the library reads it, without the mark.
    fn theirs(call: &Value) -> String {
        format!("{:?}", serde_json::from_value::<ClientJsonRpcMessage>(call.clone()).unwrap())
    }

    fn own(call: &Value) -> String {
        let mut request = read(call).expect("a plain call").into_request();
        request.request.extensions_mut().remove::<Plain>();
        format!("{:?}", ClientJsonRpcMessage::Request(request))
    }

    #[test]
    fn what_wants_nothing_but_its_result_is_read_as_the_library_reads_it() {
        let newer = call();
        let mut bare = call();
        bare["params"].as_object_mut().unwrap().shift_remove("arguments");
        bare["id"] = json!(-7);
        let mut older = call();
        older["params"].as_object_mut().unwrap().shift_remove("_meta");
        let mut empty = call();
        empty["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        for call in [newer, bare, older, empty] {
            assert_eq!(own(&call), theirs(&call), "{call}");
        }
        let version = ProtocolVersion::V_2026_07_28;
        assert!(read(&call()).unwrap().is_of(&version));
        assert!(!read(&call()).unwrap().is_of(&ProtocolVersion::V_2025_11_25));
    }

    #[test]
    fn what_is_special_or_wrong_is_left_to_the_library() {
        for (place, member, value) in [
            ("", "jsonrpc", json!("1.0")),
            ("", "id", json!(1.5)),
            ("", "id", json!(null)),
            ("", "method", json!("tools/list")),
            ("", "more", json!(1)),
            ("/params", "arguments", json!([])),
            ("/params", "requestState", json!("state")),
            ("/params", "inputResponses", json!({})),
            ("/params", "_meta", json!([])),
            ("/params/_meta", "progressToken", json!(1)),
            ("/params/_meta", "io.modelcontextprotocol/logLevel", json!("info")),
            ("/params/_meta", "io.modelcontextprotocol/clientCapabilities", json!({"elicitation": 3})),
            ("/params/_meta", "io.modelcontextprotocol/clientCapabilities", json!([])),
            (
                "/params/_meta/io.modelcontextprotocol~1clientCapabilities",
                "extensions",
                json!({"io.modelcontextprotocol/tasks": {}}),
            ),
        ] {
            let mut call = call();
            call.pointer_mut(place).unwrap()[member] = value;
            assert!(read(&call).is_none(), "{call}");
        }
        let twice = call().to_string().replacen(r#""id":"a""#, r#""id":"a","id":"b""#, 1);
        assert!(Call::read(twice.as_bytes()).is_none());
    }
}
