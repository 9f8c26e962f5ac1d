//! Calls that are answered in place, beside the same ones answered by the MCP library: one that wants log messages or
//! progress, of which there are none, goes the library's way.

use http::{HeaderMap, StatusCode};
use regex::Regex;
use serde_json::{Value, json};

use crate::support::{Backend, Client, Keyglass, TOKEN, within};

/// Status, headers and body of the answer to a call, without the names of single calls and the time.
async fn answered(client: &Client, mut call: Value, name: &str, level: bool) -> (StatusCode, HeaderMap, String) {
    let bearer = format!("Bearer {TOKEN}");
    let meta = &mut call["params"]["_meta"];
    if meta.is_null() {
        *meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        });
    }
    if level {
        meta["io.modelcontextprotocol/logLevel"] = json!("emergency");
    }
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", name),
        ("authorization", &bearer),
    ];
    let response = within(client.post("/mcp", call, &headers).send()).await.expect("an answer");
    let (status, mut headers) = (response.status(), response.headers().clone());
    headers.remove("date");
    let text = response.text().await.expect("a text");
    (status, headers, without_names(&text))
}

/// A text without the names of single calls.
fn without_names(text: &str) -> String {
    Regex::new("[0-9a-f]{16}").expect("a pattern").replace_all(text, "ID").into_owned()
}

#[tokio::test]
async fn a_call_is_answered_as_by_the_library() {
    let backend = Backend::start().await;
    let token = ["--token", "env:TEST_TOKEN"];
    for arguments in [&[][..], &token] {
        let (_keyglass, client) = Keyglass::over_http(&backend, arguments).await;
        let call =
            |id: Value, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let (mut results, mut errors, mut failures) = (0, 0, 0);
        for (id, name, params) in [
            (json!(1), "get_secret", json!({"name": "get_secret", "arguments": {"name": "a"}})),
            (json!("é\"1"), "get_secret", json!({"name": "get_secret", "arguments": {"name": "b_2"}})),
            (json!(-3), "get_secret", json!({"name": "get_secret", "arguments": {"name": "missing"}})),
            (json!(4), "get_secret", json!({"name": "get_secret", "arguments": {}})),
            (json!(5), "get_secret", json!({"name": "get_secret", "arguments": null})),
            (json!(6), "get_secret", json!({"name": "get_secret"})),
            (json!(7), "get_secret", json!({"name": "get_secret", "arguments": {"name": 1, "other": [1.5, -0.0]}})),
            (json!(8), "get_secrets", json!({"name": "get_secrets", "arguments": {}})),
            (json!(9), "list_secrets", json!({"name": "list_secrets", "arguments": {"limit": 1}})),
            // What the library refuses.
            (json!(10), "get_secret", json!({"name": "list_secrets", "arguments": {}})),
            (json!(11), "get_secret", json!({"name": "get_secret", "arguments": []})),
            (json!(1.5), "get_secret", json!({"name": "get_secret", "arguments": {"name": "a"}})),
            (json!(12), "get_secret", json!({"name": "get_secret", "_meta": {}})),
            (
                json!(13),
                "get_secret",
                json!({"name": "get_secret", "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {"elicitation": 3}}}),
            ),
            (
                json!(14),
                "get_secret",
                json!({"name": "get_secret", "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2025-11-25",
                    "io.modelcontextprotocol/clientCapabilities": {}}}),
            ),
        ] {
            let call = call(id, params);
            let theirs = answered(&client, call.clone(), name, true).await;
            let own = answered(&client, call.clone(), name, false).await;
            assert_eq!(own, theirs, "{call}");
            let body: Value = serde_json::from_str(&own.2).expect("JSON");
            match (&body["error"], &body["result"]["isError"]) {
                (Value::Null, Value::Bool(false)) => results += 1,
                (Value::Null, Value::Bool(true)) => failures += 1,
                (Value::Object(_), Value::Null) => errors += 1,
                _ => panic!("{body}"),
            }
        }
        assert!(results >= 2 && failures >= 4 && errors >= 6, "{results} {failures} {errors}");
    }
}

/// A call as a line, in one era or the other, that goes the library's way or not.
fn line(id: &Value, params: &Value, modern: bool, theirs: bool) -> Value {
    let mut params = params.clone();
    if modern && params["_meta"].is_null() {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        });
    }
    if theirs {
        params["_meta"]["progressToken"] = json!("token");
    }
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

#[tokio::test]
async fn a_line_is_answered_as_by_the_library() {
    let backend = Backend::start().await;
    for modern in [false, true] {
        let (_keyglass, mut client) = Keyglass::over_pipes(&backend);
        let opening = match modern {
            // The first call of a connection without a handshake opens it.
            true => line(&json!(0), &json!({"name": "get_secret", "arguments": {"name": "a"}}), true, false),
            false => json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}}),
        };
        assert!(client.ask(&opening).await["result"].is_object());
        let (mut results, mut failures, mut errors) = (0, 0, 0);
        for (id, params) in [
            (json!(1), json!({"name": "get_secret", "arguments": {"name": "a"}})),
            (json!("é\"1"), json!({"name": "get_secret", "arguments": {"name": "b_2"}})),
            (json!(-3), json!({"name": "get_secret", "arguments": {"name": "missing"}})),
            (json!(5), json!({"name": "get_secret", "arguments": null})),
            (json!(7), json!({"name": "get_secret", "arguments": {"name": 1, "other": [1.5, -0.0]}})),
            (json!(8), json!({"name": "get_secrets", "arguments": {}})),
            (json!(9), json!({"name": "list_secrets", "arguments": {"limit": 1}})),
            (json!(10), json!({"name": "get_secret", "arguments": []})),
            (json!(11), json!({"name": "get_secret", "_meta": {"com.example/mine": {}}})),
            (
                json!(12),
                json!({"name": "get_secret", "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2027-01-01",
                    "io.modelcontextprotocol/clientCapabilities": {}}}),
            ),
        ] {
            let [own, theirs] = [false, true].map(|theirs| line(&id, &params, modern, theirs));
            let theirs = client.ask(&theirs).await;
            let own = client.ask(&own).await;
            assert_eq!(without_names(&own.to_string()), without_names(&theirs.to_string()), "{params}");
            match (&own["error"], &own["result"]["isError"]) {
                (Value::Null, Value::Bool(false)) => results += 1,
                (Value::Null, Value::Bool(true)) => failures += 1,
                (Value::Object(_), Value::Null) => errors += 1,
                _ => panic!("{own}"),
            }
        }
        assert!(results >= 2 && failures >= 3 && errors >= 2, "{results} {failures} {errors}");
    }
}

#[tokio::test]
async fn a_cancelled_line_is_not_answered_and_its_id_is_free() {
    let mut backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes(&backend);
    let call = |id: u32, name: &str| {
        line(&json!(id), &json!({"name": "get_secret", "arguments": {"name": name}}), true, false)
    };
    client.ask(&call(0, "a")).await;
    assert_eq!(backend.arrival().await.name, "a");
    client.send(&call(1, "held")).await;
    assert_eq!(backend.arrival().await.name, "held");
    let refused = client.ask(&call(1, "b")).await;
    assert_eq!(refused["error"]["code"], -32600, "the id is taken");
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    let answer = client.ask(&call(1, "c")).await;
    assert_eq!(answer["result"]["structuredContent"]["name"], "c");
    assert_eq!(within(backend.given_up.recv()).await.as_deref(), Some("held"));
    // What is under way at the end is answered, and nothing else comes.
    client.send(&call(2, "held")).await;
    while backend.arrival().await.name != "held" {}
    client.close();
    backend.release();
    assert_eq!(client.receive().await.expect("an answer")["id"], 2);
    assert!(client.receive().await.is_none());
    assert!(keyglass.ended().await.success());
}
