//! MCP as clients speak it: raw messages over stdio, Streamable HTTP and HTTP+SSE, in both protocol eras.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::{Backend, CREDENTIAL, Client, Events, Keyglass, Lined, TOKEN, within};

pub(crate) fn initialize(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}})
}

pub(crate) fn initialized() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A request of the 2026-07-28 era.
pub(crate) fn modern(id: u64, method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
    });
    request(id, method, &params)
}

/// The parameters of a call that asks for the secret of this name.
pub(crate) fn secret(name: &str) -> Value {
    json!({"name": "get_secret", "arguments": {"name": name}})
}

/// The name of the secret that came back.
pub(crate) fn name_in(answer: &Value) -> &str {
    answer["result"]["structuredContent"]["name"].as_str().unwrap_or_else(|| panic!("no secret: {answer}"))
}

const MODERN_CALL: [(&str, &str); 3] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "get_secret")];

async fn answer_of(response: reqwest::Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

async fn modern_call(client: &Client, id: u64, name: &str) -> Value {
    let response = client.post("/mcp", modern(id, "tools/call", &secret(name)), &MODERN_CALL).send();
    let response = within(response).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    answer_of(response).await
}

/// Opens a session of the 2025-11-25 era over Streamable HTTP and returns its id.
pub(crate) async fn session(client: &Client) -> String {
    let response = within(client.post("/mcp", initialize(1), &[]).send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

async fn session_call(client: &Client, session: &str, id: u64, name: &str) -> Value {
    let call = request(id, "tools/call", &secret(name));
    let response = within(client.post("/mcp", call, &[("mcp-session-id", session)]).send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    Events::of(response).message().await
}

/// A client of the older transport, past its handshake.
pub(crate) struct SseClient {
    client: Client,
    pub(crate) events: Events,
    endpoint: String,
}

impl SseClient {
    pub(crate) async fn connect(client: &Client) -> Self {
        Self::connect_with(client, &json!({})).await
    }

    /// Of a client that declares these capabilities.
    pub(crate) async fn connect_with(client: &Client, capabilities: &Value) -> Self {
        let response = within(client.get("/sse").header("accept", "text/event-stream").send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        for (name, value) in
            [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
        {
            assert_eq!(response.headers()[name], value);
        }
        let mut events = Events::of(response);
        let (event, endpoint) = events.next().await.unwrap();
        assert_eq!(event, "endpoint");
        let id = endpoint.strip_prefix("/messages?sessionId=").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let mut this = Self { client: client.clone(), events, endpoint };
        let mut hello = initialize(1);
        hello["params"]["capabilities"] = capabilities.clone();
        this.send(&hello).await;
        assert_eq!(this.events.message().await["result"]["protocolVersion"], "2025-11-25");
        this.send(&initialized()).await;
        this
    }

    pub(crate) async fn send(&self, message: &Value) {
        let response = within(self.client.post(&self.endpoint, message, &[]).send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn stdio_speaks_the_older_era() {
    let backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes(&backend);
    let hello = client.ask(&initialize(1)).await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(hello["result"]["serverInfo"]["name"], "keyglass");
    let changing = json!({"listChanged": true});
    let announced = json!({
        "tools": changing, "completions": {}, "resources": {"listChanged": true, "subscribe": true}, "prompts": changing});
    assert_eq!(hello["result"]["capabilities"], announced, "the specs themselves, and a guide to the tools");
    client.send(&initialized()).await;
    let list = client.ask(&request(2, "tools/list", &json!({}))).await;
    for tool in list["result"]["tools"].as_array().unwrap() {
        let hints = &tool["annotations"];
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(hints[hint].is_boolean(), "{hint} of {tool}");
        }
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(tool["title"].is_string() && hints["title"].is_string(), "{tool}");
    }
    let answer = client.ask(&request(3, "tools/call", &secret("a"))).await;
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), answer["result"]["structuredContent"]);
    assert_eq!((name_in(&answer), &answer["result"]["isError"]), ("a", &json!(false)));
    for newer in ["resultType", "ttlMs", "cacheScope"] {
        assert!(answer["result"].get(newer).is_none() && list["result"].get(newer).is_none(), "{newer}");
    }
    assert!(list["result"].get("_meta").is_none());
    let provenance = json!({"source": "backend", "services": ["runloop-secrets"], "trust": "untrusted-data"});
    assert_eq!(answer["result"]["_meta"], json!({ "keyglass/provenance": provenance }));
    client.close();
    assert!(client.receive().await.is_none());
    assert!(keyglass.ended().await.success());
}

#[tokio::test]
async fn stdio_speaks_the_newer_era() {
    let backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes(&backend);
    let discovered = client.ask(&modern(1, "server/discover", &json!({}))).await;
    let versions = discovered["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")) && versions.contains(&json!("2025-11-25")));
    let list = client.ask(&modern(2, "tools/list", &json!({}))).await;
    let call = client.ask(&modern(3, "tools/call", &secret("a"))).await;
    assert_eq!(name_in(&call), "a");
    for answer in [&discovered, &list, &call] {
        assert_eq!(answer["result"]["resultType"], "complete");
        assert_eq!(answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "keyglass");
    }
    for answer in [&discovered, &list] {
        assert!(answer["result"]["ttlMs"].is_u64());
        assert_eq!(answer["result"]["cacheScope"], "private");
    }
    client.close();
    assert!(keyglass.ended().await.success());
}

#[tokio::test]
async fn a_client_may_probe_the_newer_era_and_then_shake_hands() {
    let backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes(&backend);
    client.ask(&modern(1, "server/discover", &json!({}))).await;
    client.send(&initialized()).await;
    client.ask(&initialize(2)).await;
    assert_eq!(name_in(&client.ask(&request(3, "tools/call", &secret("a"))).await), "a");
}

#[tokio::test]
async fn wrong_requests_are_told_apart() {
    let backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes(&backend);
    client.ask(&initialize(1)).await;
    for (method, params, code, text) in [
        ("tools/call", json!({"name": "get_secrets"}), -32602, "`get_secret`"),
        ("tools/call", json!({"name": "canary-4711"}), -32602, "unknown tool"),
        ("tools/call", json!({}), -32602, "`name`"),
        ("tools/call", json!({"name": "get_secret", "arguments": ["canary-4711"]}), -32602, "`arguments`"),
        ("tools/list", json!({"cursor": "page-9"}), -32602, "`nextCursor`"),
        ("resources/nothing", json!({}), -32601, "unknown method `resources/nothing`"),
    ] {
        let answer = client.ask(&request(2, method, &params)).await;
        assert_eq!(answer["error"]["code"], code, "{method} {params}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(text) && !message.contains("canary"), "{message}");
    }
}

#[tokio::test]
async fn whoever_comes_without_a_handshake_is_told_how_to_begin() {
    let backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes(&backend);
    let hasty = [request(1, "tools/list", &json!({})), json!({"jsonrpc": "2.0", "id": 1, "method": "initialize"})];
    for message in &hasty {
        let answer = client.ask(message).await;
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(text.contains("`initialize` first") && text.contains("`clientInfo`"), "{text}");
        assert!(answer["error"]["code"] == -32602 && text.contains("2026-07-28"), "{answer}");
    }
    client.ask(&initialize(2)).await;
    assert_eq!(name_in(&client.ask(&request(3, "tools/call", &secret("a"))).await), "a");

    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let list = request(1, "tools/list", &json!({}));
    for (headers, status, expected) in [
        (vec![], StatusCode::BAD_REQUEST, ["`initialize` first", "`Mcp-Session-Id`"]),
        (vec![("mcp-session-id", "gone")], StatusCode::NOT_FOUND, ["no such session", "`initialize` anew"]),
        (vec![("mcp-protocol-version", "1999")], StatusCode::BAD_REQUEST, ["`2025-11-25`", "`2026-07-28`"]),
    ] {
        let response = client.post("/mcp", &list, &headers).send().await.unwrap();
        assert_eq!(response.status(), status, "{headers:?}");
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[tokio::test]
async fn lists_are_as_fresh_as_the_servers_of_the_specs_say() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let spec = |namespace: &str, more: &str| {
        format!(
            "ikanos: 1.0.0-beta5\ncapability:\n  exposes: [{{type: mcp, namespace: {namespace}, {more} tools: {{{namespace}: \
             {{description: D, outputParameters: [{{name: a, type: string, value: b}}]}}}}}}]\n"
        )
    };
    for (more, ttl, scope) in [
        (["ttlMs: 5000, cacheScope: public,", "ttlMs: 700, cacheScope: public,"], 700, "public"),
        (["ttlMs: 5000, cacheScope: public,", "cacheScope: private,"], 5000, "private"),
        (["cacheScope: public,", ""], 60_000, "private"),
        (
            ["cacheScope: public,", "cacheScope: public, authentication: {type: bearer, token: '{{GATE_TOKEN}}'},"],
            60_000,
            "private",
        ),
    ] {
        for (name, more) in ["one", "two"].into_iter().zip(more) {
            std::fs::write(folder.path().join(format!("{name}.yaml")), spec(name, more)).unwrap();
        }
        let path = folder.path().display().to_string();
        let (_keyglass, mut client) = Keyglass::over_pipes_with(&backend, &["--capabilities", &path]);
        let list = client.ask(&modern(1, "tools/list", &json!({}))).await;
        assert_eq!((&list["result"]["ttlMs"], &list["result"]["cacheScope"]), (&json!(ttl), &json!(scope)), "{list}");
    }
}

#[tokio::test]
async fn failed_calls_are_results_that_a_model_can_read() {
    let backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes(&backend);
    client.ask(&initialize(1)).await;
    for (params, kind, status) in [
        (secret("missing"), "status", json!(404)),
        (json!({"name": "get_secret"}), "arguments", Value::Null),
        (json!({"name": "get_secret", "arguments": null}), "arguments", Value::Null),
        (json!({"name": "get_secret", "arguments": {"name": 7}}), "arguments", Value::Null),
    ] {
        let answer = client.ask(&request(2, "tools/call", &params)).await;
        let result = &answer["result"];
        assert_eq!(result["isError"], true, "{answer}");
        assert!(result.get("structuredContent").is_none());
        let facts = &result["_meta"]["keyglass/error"];
        assert_eq!((&facts["kind"], &facts["status"]), (&json!(kind), &status));
        let text = result["content"][0]["text"].as_str().unwrap();
        let id = facts["requestId"].as_str().unwrap();
        assert!(text.len() < 2048 && text.ends_with(&format!("request id: {id}")), "{text}");
    }
}

#[tokio::test]
async fn garbage_does_not_end_the_connection() {
    async fn code(client: &mut Lined<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>) -> i64 {
        let answer = client.receive().await.expect("an answer");
        assert!(answer["id"].is_null(), "{answer}");
        answer["error"]["code"].as_i64().expect("a code")
    }
    let backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes(&backend);
    for (line, expected) in
        [(&b"garbage\n"[..], -32700), (b"\xff\xfe\n", -32700), (b"\n{\n", -32700), (b"[]\n", -32600)]
    {
        client.send_raw(line).await;
        assert_eq!(code(&mut client).await, expected);
    }
    client.ask(&initialize(1)).await;
    client.send_raw(b"garbage\n").await;
    assert_eq!(code(&mut client).await, -32700);
    let mut long = br#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":""#.to_vec();
    long.resize(20 * 1024 * 1024, b'x');
    long.push(b'\n');
    client.send_raw(&long).await;
    assert_eq!(code(&mut client).await, -32600);
    assert_eq!(name_in(&client.ask(&request(3, "tools/call", &secret("a"))).await), "a");
    client.close();
    assert!(client.receive().await.is_none());
    assert!(keyglass.ended().await.success());
}

#[tokio::test]
async fn a_client_that_leaves_at_once_is_no_fault() {
    let backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes(&backend);
    client.close();
    assert!(client.receive().await.is_none(), "nothing to say");
    assert!(keyglass.ended().await.success());
}

#[tokio::test]
async fn calls_in_flight_are_answered_after_the_end_of_input() {
    let mut backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes(&backend);
    client.ask(&initialize(1)).await;
    client.send(&request(2, "tools/call", &secret("held"))).await;
    assert_eq!(backend.arrival().await.name, "held");
    client.close();
    backend.release();
    assert_eq!(name_in(&client.receive().await.unwrap()), "held");
    assert!(client.receive().await.is_none());
    assert!(keyglass.ended().await.success());
}

#[tokio::test]
async fn calls_in_flight_are_answered_after_a_signal() {
    let mut backend = Backend::start().await;
    let (keyglass, client) = Keyglass::over_pipes(&backend);
    leaves_in_peace(&mut backend, keyglass, client).await;
    let mut backend = Backend::start().await;
    let (keyglass, client) = Keyglass::over_sockets(&backend);
    leaves_in_peace(&mut backend, keyglass, client).await;
}

async fn leaves_in_peace<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    backend: &mut Backend,
    mut keyglass: Keyglass,
    mut client: Lined<R, W>,
) {
    client.ask(&initialize(1)).await;
    client.send(&request(2, "tools/call", &secret("held"))).await;
    backend.arrival().await;
    // The input stays open: the signal alone has to end the process.
    keyglass.terminate().await;
    backend.release();
    assert_eq!(name_in(&client.receive().await.unwrap()), "held");
    assert!(client.receive().await.is_none());
    assert!(keyglass.ended().await.success());
}

/// Whoever reads no more does not get what they asked for, and keeps nobody from leaving.
#[tokio::test]
async fn a_client_that_reads_no_more_is_left() {
    let backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes(&backend);
    client.ask(&initialize(1)).await;
    // Far more than a pipe holds.
    for id in 2..60 {
        client.send(&request(id, "tools/list", &json!({}))).await;
    }
    client.send(&request(60, "tools/call", &secret("a"))).await;
    keyglass.terminate().await;
    assert!(keyglass.ended().await.success());
}

#[tokio::test]
async fn a_cancelled_call_stops_its_work() {
    let mut backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes(&backend);
    client.ask(&initialize(1)).await;
    client.send(&request(2, "tools/call", &secret("held"))).await;
    backend.arrival().await;
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})).await;
    assert_eq!(within(backend.given_up.recv()).await.unwrap(), "held");
    assert_eq!(name_in(&client.ask(&request(3, "tools/call", &secret("a"))).await), "a");
}

#[tokio::test]
async fn health_needs_nothing_and_tells_nothing() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &["--token", "env:TEST_TOKEN"]).await;
    let response = client.get("/healthz").header("host", "evil.example").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(answer_of(response).await, json!({"status": "ok"}));
}

#[tokio::test]
async fn http_answers_the_newer_era_with_json_whatever_is_accepted() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    for accept in ["application/json, text/event-stream", "application/json", "*/*"] {
        let headers = [MODERN_CALL.as_slice(), &[("accept", accept)]].concat();
        let call = modern(1, "tools/call", &secret("a"));
        let response = client.post("/mcp", call, &headers).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json", "{accept}");
        assert_eq!(name_in(&answer_of(response).await), "a");
    }
    let response = client.post("/mcp", modern(1, "tools/call", &secret("a")), &[]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST, "headers are missing");
    assert_eq!(answer_of(response).await["error"]["code"], -32020);
}

#[tokio::test]
async fn http_keeps_sessions_for_the_older_era() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let id = session(&client).await;
    let headers = [("mcp-session-id", id.as_str())];
    let response = client.post("/mcp", initialized(), &headers).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(name_in(&session_call(&client, &id, 2, "a").await), "a");

    // A client that takes JSON alone gets that.
    let json_only = [("mcp-session-id", id.as_str()), ("accept", "application/json")];
    let response = client.post("/mcp", request(3, "tools/call", &secret("b")), &json_only).send().await.unwrap();
    assert_eq!(name_in(&answer_of(response).await), "b");

    let gone = client.http.delete(format!("{}/mcp", client.base)).header("mcp-session-id", &id).send().await.unwrap();
    // Python's clients log any other success as a failure.
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let response = client.post("/mcp", request(4, "tools/list", &json!({})), &headers).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn http_refuses_what_it_should() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &["--allow-host", "tools.example"]).await;
    for path in ["/mcp", "/messages?sessionId=0", "/nowhere"] {
        for (name, value, refused) in [
            ("host", "evil.example", true),
            ("origin", "https://evil.example", true),
            ("origin", "null", true),
            ("host", "tools.example", false),
            ("origin", "http://localhost:3000", false),
        ] {
            let response = client.post(path, initialize(1), &[(name, value)]).send().await.unwrap();
            assert_eq!(response.status() == StatusCode::FORBIDDEN, refused, "{path} {name} {value}");
        }
    }
    for (body, status) in [
        ("{nope".to_owned(), StatusCode::BAD_REQUEST),
        (format!("[{}]", initialize(1)), StatusCode::BAD_REQUEST),
        ("x".repeat(5 * 1024 * 1024), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let response = client.post("/mcp", body, &[]).send().await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(client.get("/nowhere").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let response = client.post("/messages?sessionId=0", initialize(1), &[]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

/// Of a request of the 2026-07-28 era. The handshake and what only sessions had are no methods of that era.
#[tokio::test]
async fn modern_requests_of_former_methods_are_unknown() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        let response = client.post("/mcp", modern(1, method, &json!({})), &headers).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method}");
        let answer = answer_of(response).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32601), &json!(1)), "{method}");
    }
}

#[tokio::test]
async fn the_token_opens_the_door_and_stays_there() {
    let mut backend = Backend::start().await;
    let (keyglass, client) = Keyglass::over_http(&backend, &["--token", "env:TEST_TOKEN"]).await;
    for path in ["/mcp", "/messages?sessionId=0", "/nowhere"] {
        for wrong in [None, Some("Bearer wrong"), Some("Basic canary-token-90d4")] {
            let headers: Vec<_> = wrong.map(|wrong| ("authorization", wrong)).into_iter().collect();
            let response = client.post(path, initialize(1), &headers).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path} {wrong:?}");
            assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        }
    }
    assert_eq!(client.get("/sse").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [MODERN_CALL.as_slice(), &[("authorization", bearer.as_str())]].concat();
    let response = client.post("/mcp", modern(1, "tools/call", &secret("a")), &headers).send().await.unwrap();
    assert_eq!(name_in(&answer_of(response).await), "a");
    let sent = backend.arrival().await.headers;
    assert_eq!(sent["authorization"], format!("Bearer {CREDENTIAL}"));
    assert!(!format!("{sent:?}").contains(TOKEN), "the caller's token goes no further");
    let log = keyglass.log();
    assert!(log.contains("refused"), "the log is kept: {log}");
    assert!(!log.contains(TOKEN) && !log.contains(CREDENTIAL), "{log}");
}

#[tokio::test]
async fn nobody_listens_beyond_this_machine_without_a_token() {
    let backend = Backend::start().await;
    let (status, log) = Keyglass::to_the_end(&backend, &["--http", "0.0.0.0:0"]).await;
    assert_eq!(status.code(), Some(64));
    assert!(log.contains("`--token env:NAME` or `--token file:PATH`"), "{log}");
}

#[tokio::test]
async fn clients_that_use_the_same_id_at_once_get_their_own_answers() {
    let mut backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let sessions = [session(&client).await, session(&client).await];
    let mut older = [SseClient::connect(&client).await, SseClient::connect(&client).await];
    let sending = async {
        older[0].send(&request(7, "tools/call", &secret("held-sse-0"))).await;
        older[1].send(&request(7, "tools/call", &secret("held-sse-1"))).await;
    };
    let releasing = async {
        // All six are in flight together.
        for _ in 0..6 {
            backend.arrival().await;
        }
        backend.release();
    };
    let (modern_0, modern_1, session_0, session_1, (), ()) = tokio::join!(
        modern_call(&client, 7, "held-modern-0"),
        modern_call(&client, 7, "held-modern-1"),
        session_call(&client, &sessions[0], 7, "held-session-0"),
        session_call(&client, &sessions[1], 7, "held-session-1"),
        sending,
        releasing,
    );
    assert_eq!(name_in(&modern_0), "held-modern-0");
    assert_eq!(name_in(&modern_1), "held-modern-1");
    assert_eq!(name_in(&session_0), "held-session-0");
    assert_eq!(name_in(&session_1), "held-session-1");
    for (index, older) in older.iter_mut().enumerate() {
        assert_eq!(name_in(&older.events.message().await), format!("held-sse-{index}"));
    }
}

#[tokio::test]
async fn an_id_is_taken_once_in_a_session() {
    let mut backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let id = session(&client).await;
    let first = session_call(&client, &id, 7, "held");
    let second = async {
        backend.arrival().await;
        let call = request(7, "tools/call", &secret("a"));
        let response = client.post("/mcp", call, &[("mcp-session-id", &id)]).send().await.unwrap();
        backend.release();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        answer_of(response).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(name_in(&first), "held");
    assert_eq!((&second["error"]["code"], &second["id"]), (&json!(-32600), &json!(7)));
    // Once the first answer was taken to its end, which may be a moment after its message.
    let again = async {
        loop {
            let call = request(7, "tools/call", &secret("a"));
            let response = client.post("/mcp", call, &[("mcp-session-id", &id)]).send().await.unwrap();
            if response.status() == StatusCode::OK {
                return Events::of(response).message().await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    assert_eq!(name_in(&within(again).await), "a", "free again");
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_the_work() {
    let mut backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let older = SseClient::connect(&client).await;
    let call = tokio::spawn(client.post("/mcp", modern(1, "tools/call", &secret("held-modern")), &MODERN_CALL).send());
    assert_eq!(backend.arrival().await.name, "held-modern");
    call.abort();
    assert_eq!(within(backend.given_up.recv()).await.unwrap(), "held-modern");

    older.send(&request(2, "tools/call", &secret("held-sse"))).await;
    assert_eq!(backend.arrival().await.name, "held-sse");
    let SseClient { client, events, endpoint } = older;
    drop(events);
    assert_eq!(within(backend.given_up.recv()).await.unwrap(), "held-sse");
    let response = client.post(&endpoint, initialize(1), &[]).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND, "the session is gone");
}

#[tokio::test]
async fn http_answers_calls_in_flight_before_it_leaves() {
    let mut backend = Backend::start().await;
    let (mut keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let id = session(&client).await;
    let standing = client.get("/mcp").header("mcp-session-id", &id).header("accept", "text/event-stream");
    let mut standing = Events::of(standing.send().await.unwrap());
    let mut older = SseClient::connect(&client).await;
    older.send(&request(7, "tools/call", &secret("held-sse"))).await;
    let leaving = async {
        for _ in 0..3 {
            backend.arrival().await;
        }
        keyglass.terminate().await;
        // It takes nobody in any more, and only then the calls are let go.
        let address = client.base.strip_prefix("http://").unwrap();
        within(async { while tokio::net::TcpStream::connect(address).await.is_ok() {} }).await;
        backend.release();
    };
    let (modern, session, ()) =
        tokio::join!(modern_call(&client, 7, "held-modern"), session_call(&client, &id, 7, "held-session"), leaving,);
    assert_eq!(name_in(&modern), "held-modern");
    assert_eq!(name_in(&session), "held-session");
    assert_eq!(name_in(&older.events.message().await), "held-sse");
    assert!(older.events.next().await.is_none(), "the stream ends in peace");
    assert!(standing.next().await.is_none(), "so does the session's own");
    assert!(keyglass.ended().await.success());
}

/// Calls that outlast the grace period are given up with an answer, on every transport.
#[tokio::test]
async fn calls_that_last_too_long_are_answered_that_they_were_given_up() {
    let mut backend = Backend::start().await;
    let (mut over_http, client) = Keyglass::over_http(&backend, &[]).await;
    let (mut over_pipes, mut piped) = Keyglass::over_pipes(&backend);
    let mut older = SseClient::connect(&client).await;
    older.send(&request(7, "tools/call", &secret("held-sse"))).await;
    piped.ask(&initialize(1)).await;
    piped.send(&request(7, "tools/call", &secret("held-pipe"))).await;
    let leaving = async {
        for _ in 0..3 {
            backend.arrival().await;
        }
        over_http.terminate().await;
        over_pipes.terminate().await;
    };
    let (modern, ()) = tokio::join!(modern_call(&client, 7, "held-modern"), leaving);
    for answer in [modern, older.events.message().await, piped.receive().await.expect("an answer")] {
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
        assert!(text.contains("kind: cancelled"), "{text}");
    }
    assert!(older.events.next().await.is_none() && piped.receive().await.is_none());
    for keyglass in [&mut over_http, &mut over_pipes] {
        assert!(keyglass.ended().await.success());
        assert!(keyglass.log().contains("outlasted the grace period"));
    }
}

#[tokio::test]
async fn the_older_transport_reads_both_eras_and_says_what_it_cannot_read() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let older = SseClient::connect(&client).await;
    for (body, code) in [("{nope", -32700), ("[]", -32600)] {
        let response = client.post(&older.endpoint, body, &[]).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer_of(response).await["error"]["code"], code);
    }
    let response = client.get("/sse").send().await.unwrap();
    let mut events = Events::of(response);
    let (_, endpoint) = events.next().await.unwrap();
    client.post(&endpoint, modern(1, "tools/call", &secret("a")), &[]).send().await.unwrap();
    let answer = events.message().await;
    assert_eq!((name_in(&answer), &answer["result"]["resultType"]), ("a", &json!("complete")));
}

/// A backend that answers a gibibyte costs no memory, and the model is told what to do.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let upstream = crate::upstream::Upstream::start().await;
    let (keyglass, client) = Keyglass::over_http_for(&upstream.url, &[]).await;
    let answer = modern_call(&client, 1, "endless").await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("larger than 2097152 bytes"), "{text}");
    let peak = keyglass.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

/// The library logs whole messages below `warn`; whatever level is asked for, no secret is in the log.
#[tokio::test]
async fn no_level_of_the_log_shows_a_secret() {
    let upstream = crate::upstream::Upstream::start().await;
    let (mut keyglass, client) = Keyglass::over_http_for(&upstream.url, &[]).await;
    let arguments = json!({"name": "echo-body", "value": "canary-value-5d20"});
    let call = modern(1, "tools/call", &json!({"name": "update_secret", "arguments": arguments}));
    let headers = [("mcp-method", "tools/call"), ("mcp-name", "update_secret"), ("mcp-protocol-version", "2026-07-28")];
    let answer = answer_of(client.post("/mcp", call, &headers).send().await.unwrap()).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    keyglass.terminate().await;
    keyglass.ended().await;
    let log = within(async {
        // The last line the program writes, so that all of the log is there.
        while !keyglass.log().contains("stopping") {
            tokio::task::yield_now().await;
        }
        keyglass.log()
    })
    .await;
    assert!(log.contains("update_secret"), "the call was logged: {log}");
    assert!(!log.contains("canary"), "{log}");
    assert!(!answer.to_string().contains("canary"), "{answer}");
}
