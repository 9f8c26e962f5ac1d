//! Pages of `tools/list` put together from entries that were written once: each tool's text is made for the first page it
//! is on, and kept for all callers. Who may use which tools decides which entries a page has.
//!
//! The short way of such a request over HTTP, of the era 2026-07-28, is here as well: the library, which has no place for
//! a text, judges the request and writes all but the entries. Whatever is special or wrong goes its way as a whole.

use std::sync::{Arc, OnceLock};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use rmcp::{
    RoleServer, Service as _,
    model::{
        ClientRequest, JsonRpcVersion2_0, ListToolsRequest, ListToolsRequestMethod, PaginatedRequestParams,
        ProtocolVersion, RequestId, RequestMetaObject, ServerJsonRpcMessage,
    },
    service::{Peer, RequestContext},
};
use serde::Deserialize;

use super::{
    McpServer,
    answers::{JSON, media_type_is},
    convert,
    direct::{nobody, only},
};
use crate::{access::Access, caller::Caller, catalog::CompiledTool, gateway::Gateway, telemetry::trace::Parent};

const METHOD: &str = "tools/list";
/// The list of a result without entries.
const EMPTY: &str = r#""tools":[]"#;

/// The entries of a gateway's tools for clients of the newer era, as JSON.
#[derive(Debug)]
pub(super) struct Entries {
    gateway: Arc<Gateway>,
    /// In the order of the tools.
    texts: Box<[OnceLock<Box<str>>]>,
}

impl Entries {
    /// With none written yet.
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self { texts: gateway.tools().map(|_| OnceLock::new()).collect(), gateway }
    }

    /// Whether they are those of this gateway.
    pub(super) fn are_of(&self, gateway: &Arc<Gateway>) -> bool {
        Arc::ptr_eq(&self.gateway, gateway)
    }

    /// The tools that a caller of this access is told of.
    pub(super) fn open_to<'a>(&'a self, access: &Access) -> impl Iterator<Item = Entry<'a>> {
        let entries = self.gateway.tools().zip(&self.texts).map(|(tool, text)| Entry { tool, text });
        entries.filter(|entry| access.allows(entry.tool))
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    tool: &'a CompiledTool,
    text: &'a OnceLock<Box<str>>,
}

impl<'a> Entry<'a> {
    fn text(self) -> Result<&'a str, serde_json::Error> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let text = serde_json::to_string(&convert::listing(self.tool, true))?;
        Ok(self.text.get_or_init(|| text.into()))
    }
}

/// Takes the entries of a page, in the place of the result that it is found beside.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart(Arc<OnceLock<String>>);

impl Apart {
    /// Puts entries down. Error: one cannot be written.
    pub(super) fn put(&self, entries: &[Entry<'_>]) -> Result<(), serde_json::Error> {
        let texts: Vec<&str> = entries.iter().map(|entry| entry.text()).collect::<Result<_, _>>()?;
        self.0.set(texts.join(",")).ok(); // of one request, which is answered once
        Ok(())
    }
}

/// Answers what asks for a page.
#[derive(Debug)]
pub(super) struct Pages {
    server: McpServer,
    /// Reaches nobody: whoever asks this way hears nothing but the page.
    nobody: Peer<RoleServer>,
}

/// A request that can be answered in place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(rename = "jsonrpc")]
    _version: JsonRpcVersion2_0,
    id: RequestId,
    #[serde(rename = "method")]
    _method: ListToolsRequestMethod,
    params: Params,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "_meta")]
    meta: RequestMetaObject,
    cursor: Option<String>,
}

impl Asked {
    /// A request in which nothing is wrong, as far as it says itself.
    fn read(body: &[u8]) -> Option<Self> {
        let asked: Self = serde_json::from_slice(body).ok()?;
        let meta = &asked.params.meta;
        let is_plain = meta.protocol_version() == Some(ProtocolVersion::V_2026_07_28)
            && meta.client_capabilities().is_some()
            && !meta.contains_key("progressToken");
        is_plain.then_some(asked)
    }
}

impl Pages {
    /// Of the tools of this server. Needs a runtime.
    pub(super) fn new(server: McpServer) -> Self {
        Self { nobody: nobody(&server), server }
    }

    /// Whether headers are of a request that may be one for a page.
    pub(super) fn are_asked(headers: &HeaderMap) -> bool {
        only(headers, "mcp-method") == Some(METHOD)
            && only(headers, "mcp-protocol-version") == Some(ProtocolVersion::V_2026_07_28.as_str())
            && only(headers, "accept").is_some_and(|accepted| accepted.contains(JSON))
            && media_type_is(headers, JSON)
            && !headers.contains_key("mcp-session-id")
            && !headers.contains_key("mcp-name")
    }

    /// The answer to a request of such headers. Error: it is one that cannot be answered in place.
    pub(super) async fn answer(&self, request: Request) -> Result<Response, Request> {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return Err(Request::from_parts(parts, Body::empty()));
        };
        self.page(&parts, &body).await.ok_or_else(|| Request::from_parts(parts, Body::from(body)))
    }

    async fn page(&self, parts: &Parts, body: &[u8]) -> Option<Response> {
        let Asked { id, params: Params { meta, cursor }, .. } = Asked::read(body)?;
        let apart = Apart::default();
        let mut context = RequestContext::new(id.clone(), self.nobody.clone());
        context.meta = meta;
        context.extensions.insert(parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::anonymous));
        if let Some(trace) = parts.extensions.get::<Parent>() {
            context.extensions.insert(trace.clone());
        }
        context.extensions.insert(apart.clone());
        let request = ListToolsRequest::with_param(PaginatedRequestParams::default().with_cursor(cursor));
        // The library's own judgement of the request; where it has anything to say, it says it.
        let result = self.server.handle_request(ClientRequest::ListToolsRequest(request), context).await.ok()?;
        let message = serde_json::to_string(&ServerJsonRpcMessage::response(result, id)).ok()?;
        // Inside of texts quotes are escaped.
        let (before, after) = message.split_once(EMPTY)?;
        let entries = apart.0.get()?;
        let mut response = Response::new(Body::from([before, r#""tools":["#, entries, "]", after].concat()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use serde_json::{Value, json};

    use super::*;

    const PLAIN: [(&str, &str); 4] = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/list"),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        all.iter().map(header).collect()
    }

    #[test]
    fn headers_that_are_special_are_the_librarys() {
        assert!(Pages::are_asked(&headers(&PLAIN)));
        for (place, (name, _)) in PLAIN.into_iter().enumerate() {
            let mut without = PLAIN.to_vec();
            without.remove(place);
            assert!(!Pages::are_asked(&headers(&without)), "{name}");
        }
        for more in [("mcp-session-id", "a"), ("mcp-name", "a"), ("mcp-method", "tools/list")] {
            let mut all = headers(&PLAIN);
            all.append(HeaderName::from_static(more.0), HeaderValue::from_static(more.1));
            assert!(!Pages::are_asked(&all), "{more:?}");
        }
        for other in
            [("mcp-method", "tools/call"), ("mcp-protocol-version", "2025-11-25"), ("accept", "text/event-stream")]
        {
            let mut all = headers(&PLAIN);
            all.insert(HeaderName::from_static(other.0), HeaderValue::from_static(other.1));
            assert!(!Pages::are_asked(&all), "{other:?}");
        }
    }

    #[test]
    fn requests_that_are_special_or_wrong_are_the_librarys() {
        let plain = || {
            json!({"jsonrpc": "2.0", "id": "a", "method": "tools/list", "params": {"cursor": "page-1", "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}}})
        };
        let is_read = |asked: &Value| Asked::read(asked.to_string().as_bytes()).is_some();
        assert!(is_read(&plain()));
        for (place, member, value) in [
            ("", "jsonrpc", json!("1.0")),
            ("", "id", json!(1.5)),
            ("", "id", json!(null)),
            ("", "method", json!("tools/call")),
            ("", "more", json!(1)),
            ("/params", "cursor", json!(1)),
            ("/params", "more", json!(1)),
            ("/params", "_meta", json!({})),
            ("/params/_meta", "progressToken", json!(1)),
            ("/params/_meta", "io.modelcontextprotocol/protocolVersion", json!("2025-11-25")),
            ("/params/_meta", "io.modelcontextprotocol/clientCapabilities", json!({"elicitation": 3})),
        ] {
            let mut asked = plain();
            asked.pointer_mut(place).unwrap()[member] = value;
            assert!(!is_read(&asked), "{asked}");
        }
    }
}
