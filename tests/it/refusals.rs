//! Refusals that come before a request reaches anything of a spec: that they say what to do.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    mcp::modern,
    support::{Backend, Keyglass, within},
};

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    within(async {
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
    })
    .await
}

#[tokio::test]
async fn who_asks_in_the_newer_era_for_what_it_dropped_hears_what_there_is_instead() {
    let backend = Backend::start().await;
    let (_keyglass, mut piped) = Keyglass::over_pipes(&backend);
    // Before a first request it is not settled which era it will be.
    piped.ask(&modern(9, "tools/list", &json!({}))).await;
    let (_other, client) = Keyglass::over_http(&backend, &[]).await;
    for (id, method, params, instead) in [
        (1, "ping", json!({}), "`server/discover`"),
        (2, "resources/subscribe", json!({"uri": "a:b"}), "`subscriptions/listen`"),
        (3, "resources/unsubscribe", json!({"uri": "a:b"}), "`subscriptions/listen`"),
        (4, "logging/setLevel", json!({"level": "info"}), "`io.modelcontextprotocol/logLevel`"),
    ] {
        let request = modern(id, method, &params);
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        headers.extend(params["uri"].as_str().map(|_| ("mcp-name", "a:b")));
        let (status, posted) = answer(client.post("/mcp", &request, &headers)).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        for answer in [piped.ask(&request).await, posted] {
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(-32601)), "{answer}");
            let message = answer["error"]["message"].as_str().expect("a message");
            assert!(message.contains(&format!("`{method}`")) && message.contains(instead), "{message}");
        }
    }
}
