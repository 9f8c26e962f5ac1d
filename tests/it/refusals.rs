//! Refusals that come before a request reaches anything of a spec: that they belong to the request, and say what to do.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    mcp::{initialize, modern, request},
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

#[tokio::test]
async fn a_request_of_a_session_that_is_not_there_is_answered_by_its_id() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b"] {
        std::fs::write(folder.path().join(name), format!("canary-token-of-{name}-0123456789")).expect("written");
    }
    let config = folder.path().join("keyglass.yaml");
    std::fs::write(&config, "tokens:\n- {name: a, token: 'file:a'}\n- {name: b, token: 'file:b'}\n").expect("written");
    let config = config.display().to_string();
    let (_keyglass, client) = Keyglass::over_http(&backend, &["--config", &config]).await;
    let [own, foreign] = ["a", "b"].map(|name| format!("Bearer canary-token-of-{name}-0123456789"));
    let opened =
        within(client.post("/mcp", initialize(1), &[("authorization", &own)]).send()).await.expect("an answer");
    let open = opened.headers()["mcp-session-id"].to_str().expect("a text").to_owned();
    let list = request(7, "tools/list", &json!({}));
    for (session, caller) in [("of-before", &own), (open.as_str(), &foreign)] {
        let headers = [("mcp-session-id", session), ("authorization", caller.as_str())];
        let (status, refused) = answer(client.post("/mcp", &list, &headers)).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(refused["id"], 7, "{refused}");
        assert!(refused["error"]["message"].as_str().expect("a message").contains("`initialize`"), "{refused}");
    }
    let (status, refused) = answer(client.post("/mcp", &list, &[("authorization", &own)])).await;
    assert_eq!((status, &refused["id"]), (StatusCode::BAD_REQUEST, &json!(7)), "{refused}");
    let stream = client.get("/mcp").header("mcp-session-id", "of-before").header("authorization", &own);
    let (status, refused) = answer(stream.header("accept", "text/event-stream")).await;
    assert_eq!((status, &refused["id"]), (StatusCode::NOT_FOUND, &Value::Null), "{refused}");
}
