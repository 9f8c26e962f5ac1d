//! Calls over HTTP that are answered in place, beside the same ones answered by the MCP library: one that wants log
//! messages, of which there are none, goes the library's way.

use http::{HeaderMap, StatusCode};
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
    let id = regex::Regex::new("[0-9a-f]{16}").expect("a pattern");
    (status, headers, id.replace_all(&text, "ID").into_owned())
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
