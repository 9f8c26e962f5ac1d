//! Traces as a collector receives them. Everything a caller could have called secret is a canary.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, body::Bytes, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::{
    mcp::modern,
    support::{Backend, CREDENTIAL, Keyglass, TOKEN, within},
};

/// A field of a message in the wire format of Protocol Buffers.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            kind @ (1 | 5) => {
                let (taken, rest) = bytes.split_at(if kind == 1 { 8 } else { 4 });
                bytes = rest;
                Field::Bytes(taken)
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                let (taken, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(taken)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn all(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let wanted = fields(bytes).into_iter().filter(|(own, _)| *own == number);
    wanted.filter_map(|(_, field)| if let Field::Bytes(bytes) = field { Some(bytes) } else { None }).collect()
}

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    attributes: BTreeMap<String, String>,
}

fn span(bytes: &[u8]) -> Span {
    let hexadecimal = |number| {
        let bytes = all(bytes, number).into_iter().next().unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let attribute = |bytes: &[u8]| {
        let value = all(bytes, 2)[0];
        let value = match fields(value).into_iter().next() {
            Some((_, Field::Bytes(bytes))) => text(bytes),
            Some((_, Field::Number(number))) => number.to_string(),
            None => String::new(),
        };
        (text(all(bytes, 1)[0]), value)
    };
    let kind = fields(bytes).into_iter().find_map(|(number, field)| match field {
        Field::Number(kind) if number == 6 => Some(kind),
        _ => None,
    });
    Span {
        trace: hexadecimal(1),
        id: hexadecimal(2),
        parent: hexadecimal(4),
        name: text(all(bytes, 5)[0]),
        kind: kind.unwrap_or_default(),
        attributes: all(bytes, 9).into_iter().map(attribute).collect(),
    }
}

/// A collector that keeps what it is sent.
struct Collector {
    url: String,
    exports: mpsc::UnboundedReceiver<Bytes>,
    raw: Vec<u8>,
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (received, exports) = mpsc::unbounded_channel();
        let take = async |State(received): State<Arc<Mutex<mpsc::UnboundedSender<Bytes>>>>, body: Bytes| {
            received.lock().await.send(body).ok();
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::new(Mutex::new(received)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, exports, raw: Vec::new() }
    }

    /// Waits until so many spans are there.
    async fn spans(&mut self, many: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        while spans.len() < many {
            let export = within(self.exports.recv()).await.expect("an export");
            self.raw.extend_from_slice(&export);
            for resource in all(&export, 1) {
                for scope in all(resource, 2) {
                    spans.extend(all(scope, 2).into_iter().map(span));
                }
            }
        }
        spans
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn said(trace: &str) -> String {
    format!("00-{trace}-{CALLER}-01")
}

#[tokio::test]
async fn a_call_is_one_trace_from_the_client_to_the_backend() {
    let mut backend = Backend::start().await;
    let mut collector = Collector::start().await;
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone()), ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())];
    let arguments = ["--token", "env:TEST_TOKEN"];
    let (mut keyglass, client) = Keyglass::over_http_in(&backend.url(), &arguments, &environment).await;
    let call = |name: &str| {
        let arguments = json!({"name": name});
        modern(1, "tools/call", &json!({"name": "get_secret", "arguments": arguments}))
    };
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "get_secret")];
    let ask = |message: Value, more: &[(&str, &str)]| {
        let headers = [headers.as_slice(), more].concat();
        client.post("/mcp", message, &headers).bearer_auth(TOKEN).send()
    };
    let of_header = said(TRACE);
    let of_meta = said("11111111111111111111111111111111");
    let mut in_meta = call("canary-argument");
    in_meta["params"]["_meta"]["traceparent"] = json!(of_meta);
    in_meta["params"]["_meta"]["tracestate"] = json!("vendor=1");
    for (message, more, trace) in [
        (call("canary-argument"), vec![("traceparent", of_header.as_str())], Some(TRACE)),
        (in_meta, vec![("traceparent", of_header.as_str())], Some("11111111111111111111111111111111")),
        (call("missing"), vec![("traceparent", "garbage")], None),
    ] {
        let answer = within(ask(message, &more)).await.expect("an answer");
        assert_eq!(answer.status(), http::StatusCode::OK);
        let sent = backend.arrival().await.headers;
        let spans = collector.spans(3).await;
        let of =
            |kind: u64| spans.iter().find(|span| span.kind == kind).unwrap_or_else(|| panic!("{kind} of {spans:?}"));
        let (request, call, to_backend) = (of(2), of(1), of(3));
        assert_eq!(request.name, "tools/call");
        assert_eq!(call.name, "get_secret");
        assert_eq!(to_backend.name, "GET");
        assert_eq!((&call.parent, &to_backend.parent), (&request.id, &call.id));
        assert!(spans.iter().all(|span| span.trace == request.trace), "{spans:?}");
        match trace {
            Some(trace) => assert_eq!((request.trace.as_str(), request.parent.as_str()), (trace, CALLER)),
            None => assert_eq!(request.parent, ""),
        }
        assert_eq!(sent["traceparent"], format!("00-{}-{}-01", request.trace, to_backend.id));
        let is_meta = trace == Some("11111111111111111111111111111111");
        assert_eq!(sent.get("tracestate").map(|value| value.as_bytes()), is_meta.then_some(b"vendor=1".as_slice()));
        let status = if trace.is_some() { "200" } else { "404" };
        assert_eq!(to_backend.attributes["http.response.status_code"], status);
        assert_eq!(call.attributes.get("error.type").map(String::as_str), trace.is_none().then_some("status"));
    }

    // Of what is under way at the end nothing is lost.
    let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "canary/method"});
    within(ask(unknown, &[])).await.expect("an answer");
    keyglass.terminate().await;
    let last = collector.spans(1).await;
    assert_eq!(last[0].name, "other");
    assert!(keyglass.ended().await.success());
    let sent = String::from_utf8_lossy(&collector.raw);
    assert!(sent.contains("keyglass") && sent.contains("get_secret"), "{sent}");
    for secret in ["canary", TOKEN, CREDENTIAL] {
        assert!(!sent.contains(secret), "{secret} in {sent}");
        assert!(!keyglass.log().contains(secret), "{secret} in the log");
    }
}

#[tokio::test]
async fn over_stdio_as_well_and_nothing_is_sent_to_nobody() {
    let backend = Backend::start().await;
    let mut collector = Collector::start().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.clone())];
    let (mut keyglass, mut client) = Keyglass::over_pipes_in(&backend.url(), &[], &environment);
    let mut call = modern(1, "tools/call", &json!({"name": "get_secret", "arguments": {"name": "a"}}));
    call["params"]["_meta"]["traceparent"] = json!(said(TRACE));
    client.ask(&call).await;
    client.close();
    assert!(keyglass.ended().await.success());
    let spans = collector.spans(3).await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:?}");

    let (mut keyglass, mut client) = Keyglass::over_pipes_for(&backend.url(), &[]);
    client.ask(&call).await;
    client.close();
    assert!(keyglass.ended().await.success());
    assert!(!keyglass.log().contains("traces"), "{}", keyglass.log());
}
