//! How much a client of the MCP server may ask for, and what it is told when that is too much.

use std::{fs, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use crate::{
    mcp::{initialize, initialized, modern, name_in, request, secret, session},
    support::{Backend, Client, Events, Keyglass, TOKEN, within},
    upstream::Upstream,
};

/// A folder with a configuration, a spec that is open to everyone, and one that asks for the token.
struct Folder(TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - type: http\n      namespace: s\n      baseUri: \
                    https://secrets.test\n      resources:\n        - path: /v1/secrets/{name}\n          operations:\n            \
                    - {name: get_secret, method: GET, description: Read., inputParameters: [{name: name, in: path}]}\n";
        let vault = "naftiko: 1.0.0-alpha2\nbinds: [{namespace: env, keys: {TEST_TOKEN: TEST_TOKEN}}]\ncapability:\n  exposes:\n    \
                     - {type: mcp, namespace: vault, authentication: {type: bearer, token: '{{TEST_TOKEN}}'}, tools: [{name: \
                     plan, description: The plan., outputParameters: [{name: plan, type: string, value: a}]}]}\n";
        for (name, text) in [("keyglass.yaml", config), ("specs/open.yaml", open), ("specs/vault.yaml", vault)] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        Self(folder)
    }

    /// The arguments that name both.
    fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.0.path().join(name).display().to_string();
        ["--config", &path("keyglass.yaml"), "--capabilities", &path("specs")].map(ToOwned::to_owned).to_vec()
    }

    async fn over_http(&self, url: &str) -> (Keyglass, Client) {
        let arguments = self.arguments();
        Keyglass::over_http_for(url, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    }
}

const MODERN_CALL: [(&str, &str); 3] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "get_secret")];
const LISTEN: [(&str, &str); 2] = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];

fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

fn listen() -> Value {
    modern(5, "subscriptions/listen", &json!({"notifications": {"toolsListChanged": true}}))
}

async fn sent(request: reqwest::RequestBuilder) -> reqwest::Response {
    within(request.send()).await.expect("an answer")
}

/// That a caller was refused for a limit, and is told what to do.
async fn is_busy(response: reqwest::Response, what: &str) {
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    let text = response.text().await.expect("a text");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.contains(&format!("too many {what} of yours are open; end one")), "{message}");
}

#[tokio::test]
async fn sessions_of_one_caller_leave_room_for_others() {
    let backend = Backend::start().await;
    let folder = Folder::new("mcp_limits: {max_sessions: 3, max_sessions_per_caller: 2}\n");
    let (_keyglass, client) = folder.over_http(&backend.url()).await;
    let first = session(&client).await;
    let sse = sent(client.get("/sse")).await;
    assert_eq!(sse.status(), StatusCode::OK, "both kinds count together");
    is_busy(sent(client.post("/mcp", initialize(1), &[])).await, "sessions").await;
    is_busy(sent(client.get("/sse")).await, "sessions").await;
    let other = sent(client.post("/mcp", initialize(1), &[("authorization", &bearer())])).await;
    assert_eq!(other.status(), StatusCode::OK);
    let deleted = client.http.delete(format!("{}/mcp", client.base)).header("mcp-session-id", &first);
    assert!(sent(deleted).await.status().is_success());
    // The library ends it in its own time.
    within(async {
        while sent(client.post("/mcp", initialize(1), &[])).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(sse);
    within(async {
        while sent(client.get("/sse")).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn quiet_streams_of_one_caller_leave_room_for_others() {
    let backend = Backend::start().await;
    let folder = Folder::new("mcp_limits: {max_subscriptions: 2, max_subscriptions_per_caller: 1}\n");
    let (_keyglass, client) = folder.over_http(&backend.url()).await;
    let mut first = Events::of(sent(client.post("/mcp", listen(), &LISTEN)).await);
    assert_eq!(first.message().await["method"], "notifications/subscriptions/acknowledged");

    let mut second = Events::of(sent(client.post("/mcp", listen(), &LISTEN)).await);
    let refusal = loop {
        let message = second.message().await;
        if message.get("id").is_some() {
            break message;
        }
    };
    let message = refusal["error"]["message"].as_str().expect("a message");
    assert!(message.contains("too many subscriptions of yours are open"), "{refusal}");
    let id = session(&client).await;
    let standing = || client.get("/mcp").header("mcp-session-id", &id).header("accept", "*/*");
    is_busy(sent(standing()).await, "subscriptions").await;

    let token = bearer();
    let headers = [LISTEN.as_slice(), &[("authorization", token.as_str())]].concat();
    let mut other = Events::of(sent(client.post("/mcp", listen(), &headers)).await);
    assert_eq!(other.message().await["method"], "notifications/subscriptions/acknowledged");
    drop(first);
    drop(other);
    within(async {
        while sent(standing()).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn requests_of_one_caller_leave_room_for_others() {
    let mut backend = Backend::start().await;
    let folder = Folder::new("mcp_limits: {max_requests: 2, max_requests_per_caller: 1}\n");
    let (_keyglass, client) = folder.over_http(&backend.url()).await;
    // Before, since its handshake is a request as well.
    let mut sse = Events::of(sent(client.get("/sse")).await);
    let (_, endpoint) = sse.next().await.expect("an endpoint");
    assert_eq!(sent(client.post(&endpoint, initialize(1), &[])).await.status(), StatusCode::ACCEPTED);
    sse.message().await;
    within(async {
        while sent(client.post(&endpoint, request(2, "tools/list", &json!({})), &[])).await.status() != 202 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    sse.message().await;

    let held = tokio::spawn(client.post("/mcp", modern(1, "tools/call", &secret("held")), &MODERN_CALL).send());
    assert_eq!(backend.arrival().await.name, "held");
    is_busy(sent(client.post("/mcp", modern(2, "tools/call", &secret("a")), &MODERN_CALL)).await, "requests").await;
    is_busy(sent(client.post(&endpoint, request(3, "tools/list", &json!({})), &[])).await, "requests").await;
    let ping = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(sent(client.post(&endpoint, ping, &[])).await.status(), StatusCode::ACCEPTED, "no request");
    let token = bearer();
    let headers = [MODERN_CALL.as_slice(), &[("authorization", token.as_str())]].concat();
    let other = sent(client.post("/mcp", modern(2, "tools/call", &secret("a")), &headers)).await;
    assert_eq!(name_in(&serde_json::from_str(&other.text().await.expect("a text")).expect("JSON")), "a");
    backend.release();
    let answer = within(held).await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let again = sent(client.post("/mcp", modern(2, "tools/call", &secret("a")), &MODERN_CALL)).await;
    assert_eq!(again.status(), StatusCode::OK, "free again");
}

#[tokio::test]
async fn who_hangs_up_holds_its_places_until_the_work_has_ended() {
    let mut backend = Backend::start().await;
    let folder = Folder::new("mcp_limits: {max_requests: 4, max_requests_per_caller: 2}\n");
    let (_keyglass, client) = folder.over_http(&backend.url()).await;
    let id = session(&client).await;
    let call = |number: u64, name: &str| {
        client.post("/mcp", request(number, "tools/call", &secret(name)), &[("mcp-session-id", &id)])
    };
    let first = sent(call(5, "held")).await;
    assert_eq!(backend.arrival().await.name, "held");
    drop(first);
    // The server hears of it in its own time; no time is the right one.
    for _ in 0..40 {
        let again = sent(call(5, "a")).await;
        assert_eq!(again.status(), StatusCode::BAD_REQUEST, "the answer to the first would go to the second");
        let text = again.text().await.expect("a text");
        assert!(text.contains("a request with this `id` is in flight in this session"), "{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = sent(call(6, "held")).await;
    assert_eq!(backend.arrival().await.name, "held");
    drop(second);
    for _ in 0..40 {
        is_busy(sent(call(7, "a")).await, "requests").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    backend.release();
    let again = within(async {
        loop {
            let again = sent(call(5, "a")).await;
            if again.status() == StatusCode::OK {
                break again;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(name_in(&Events::of(again).message().await), "a");
}

#[tokio::test]
async fn sizes_are_what_the_operator_says() {
    let backend = Backend::start().await;
    let folder = Folder::new("mcp_limits: {max_body_bytes: 8192, max_result_bytes: 4096, max_line_bytes: 16384}\n");
    let (_keyglass, client) = folder.over_http(&backend.url()).await;
    let call = |name: &str| client.post("/mcp", modern(1, "tools/call", &secret(name)), &MODERN_CALL);
    for (length, is_error) in [(100, false), (3_000, true)] {
        let answer = sent(call(&"x".repeat(length))).await.text().await.expect("a text");
        let answer: Value = serde_json::from_str(&answer).expect("whole JSON");
        assert_eq!(answer["result"]["isError"], is_error, "{answer}");
        if is_error {
            let text = answer["result"]["content"][0]["text"].as_str().expect("a text");
            assert!(text.contains("larger than 4096 bytes") && text.contains("ask for less"), "{text}");
        }
    }
    assert_eq!(sent(call(&"x".repeat(9_000))).await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let arguments = folder.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (_keyglass, mut client) = Keyglass::over_pipes_with(&backend, &arguments);
    client.ask(&initialize(1)).await;
    client.send(&request(2, "tools/call", &secret(&"x".repeat(20_000)))).await;
    let answer = client.receive().await.expect("an answer");
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32600)), "{answer}");
    assert!(answer["error"]["message"].as_str().expect("a text").contains("longer than 16384 bytes"), "{answer}");
    assert_eq!(name_in(&client.ask(&request(3, "tools/call", &secret("a"))).await), "a");
}

/// A request written by hand, on a connection whose client takes next to nothing at a time.
async fn deaf(client: &Client, head: &str, body: &str) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let address = client.base.strip_prefix("http://").expect("an address");
    let mut stream = socket.connect(address.parse().expect("an address")).await.expect("connected");
    let text = format!("{head}host: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.expect("written");
    stream
}

/// Reads to the end: how much came.
async fn rest(mut stream: tokio::net::TcpStream) -> usize {
    let mut taken = Vec::new();
    // A connection that is cut off may end with an error.
    within(stream.read_to_end(&mut taken)).await.ok();
    taken.len()
}

#[tokio::test]
async fn who_does_not_read_its_answer_is_let_go() {
    /// More than the buffers of both machines hold, and what a client takes with both copies of an answer.
    const WHOLE: usize = 6 * 1024 * 1024;
    let upstream = Upstream::start().await;
    let folder =
        Folder::new("max_answer_bytes: 4194304\nmcp_limits: {answer_timeout: 1, max_result_bytes: 16777216}\n");
    let (keyglass, client) = folder.over_http(&upstream.url).await;
    let whole = sent(client.post("/mcp", modern(1, "tools/call", &secret("large")), &MODERN_CALL)).await;
    assert!(whole.bytes().await.expect("a body").len() > WHOLE, "who reads gets all of it");

    let head = "POST /mcp HTTP/1.1\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: \
                get_secret\r\ncontent-type: application/json\r\n";
    let call = modern(1, "tools/call", &secret("large")).to_string();
    let stream = deaf(&client, head, &call).await;
    keyglass.logged("did not take its answer in time", 1).await;
    assert!(rest(stream).await < WHOLE);
}

#[tokio::test]
async fn an_event_stream_that_nobody_reads_ends_with_its_session() {
    let upstream = Upstream::start().await;
    let folder = Folder::new(
        "max_answer_bytes: 4194304\nmcp_limits: {answer_timeout: 1, max_result_bytes: 16777216, \
                               max_requests_per_caller: 4}\n",
    );
    let (keyglass, client) = folder.over_http(&upstream.url).await;
    let mut stream = deaf(&client, "GET /sse HTTP/1.1\r\naccept: text/event-stream\r\n", "").await;
    let mut text = String::new();
    let endpoint = loop {
        let mut chunk = [0; 256];
        let read = within(stream.read(&mut chunk)).await.expect("readable");
        assert_ne!(read, 0, "closed after {text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        if let Some((_, rest)) = text.split_once("data: ")
            && let Some((endpoint, _)) = rest.split_once('\n')
        {
            break endpoint.trim().to_owned();
        }
    };
    for message in [initialize(1), initialized()] {
        assert_eq!(sent(client.post(&endpoint, message, &[])).await.status(), StatusCode::ACCEPTED);
    }
    // Each answer is of megabytes; a client that went on like this would fill the memory.
    let (mut number, mut refused) = (2, false);
    within(async {
        loop {
            let call = request(number, "tools/call", &secret("large"));
            let status = sent(client.post(&endpoint, call, &[])).await.status();
            refused |= status == StatusCode::SERVICE_UNAVAILABLE;
            if status == StatusCode::NOT_FOUND {
                break;
            }
            number += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(refused, "answers that nobody takes are without end");
    assert!(keyglass.log().contains("did not take its answer in time"));
    drop(stream);
    #[cfg(target_os = "linux")]
    {
        // Answers that nobody takes count as requests: there are four and one on its way, of 12 MiB each with all copies.
        let peak = keyglass.peak_memory();
        assert!(peak < 256 * 1024, "{peak} KiB");
    }
}

#[tokio::test]
async fn a_request_has_only_so_much_time() {
    use axum::{Router, routing::get};

    // Each of two calls is within the time of one, and both together are not within that of the request.
    let slow = get(async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        ([("content-type", "application/json")], json!({"a": "b"}).to_string())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/x", slow)).await });
    let folder = Folder::new("timeout: 3\nmcp_limits: {request_timeout: 3}\n");
    let spec = "ikanos: 1.0.0-beta5\ncapability:\n  consumes:\n    - {type: http, namespace: s, baseUri: 'https://s.test', \
                resources: {x: {path: /x, operations: {get-x: {method: GET, description: Get.}}}}}\n  exposes:\n    - type: \
                mcp\n      namespace: t\n      tools:\n        twice:\n          description: Twice.\n          steps:\n            \
                one: {type: call, call: s.get-x}\n            two: {type: call, call: s.get-x}\n";
    fs::write(folder.0.path().join("specs/open.yaml"), spec).expect("written");
    let (_keyglass, client) = folder.over_http(&url).await;
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "twice")];
    let call = modern(1, "tools/call", &json!({"name": "twice", "arguments": {}}));
    let answer = sent(client.post("/mcp", call, &headers)).await.text().await.expect("a text");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
    assert!(text.contains("did not answer within 3 s") && text.contains("kind: timeout"), "{text}");
    assert!(!text.contains("the step"), "the request as a whole: {text}");
}
