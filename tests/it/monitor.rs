//! What operators and browsers are told by the port: health, readiness, numbers, and answers for other origins.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    mcp::{SseClient, initialize, initialized, modern, request, secret, session},
    support::{Backend, CREDENTIAL, Client, Events, Keyglass, TOKEN, within},
};

const MODERN_CALL: [(&str, &str); 3] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "get_secret")];

async fn sent(request: reqwest::RequestBuilder) -> reqwest::Response {
    within(request.send()).await.expect("an answer")
}

/// All samples by name and labels.
async fn samples(request: reqwest::RequestBuilder) -> BTreeMap<String, f64> {
    let response = sent(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.expect("a text");
    assert!(!text.contains("canary"), "{text}");
    let mut known = Vec::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            known.push(rest.split_once(' ').expect("a type").0);
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let family = name.split('{').next().expect("a name");
            assert!(family.starts_with(known.last().expect("its head comes first")), "{line}");
            let value = value.parse().expect("a number");
            assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    samples
}

async fn call(client: &Client, name: &str, arguments: Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", name)];
    let response = sent(client.post("/mcp", modern(1, "tools/call", &params), &headers)).await;
    serde_json::from_str(&response.text().await.expect("a text")).expect("JSON")
}

#[tokio::test]
async fn numbers_tell_what_was_asked_and_what_became_of_it() {
    let mut backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let before = samples(client.get("/metrics")).await;
    assert!(before.keys().any(|name| name.starts_with("keyglass_build_info{version=")), "{before:?}");
    for (name, value) in [
        ("keyglass_requests_in_flight", 0.0),
        ("keyglass_sessions{transport=\"http\"}", 0.0),
        ("keyglass_subscriptions", 0.0),
    ] {
        assert_eq!(before.get(name), Some(&value), "{name}");
    }

    call(&client, "get_secret", json!({"name": "canary-a"})).await;
    call(&client, "get_secret", json!({"name": "missing"})).await;
    call(&client, "get_secret", json!({})).await;
    call(&client, "canary-unknown", json!({})).await;
    let unknown = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "canary/method")];
    sent(client.post("/mcp", modern(1, "canary/method", &json!({})), &unknown)).await;
    let id = session(&client).await;
    let mut sse = SseClient::connect(&client).await;
    sse.send(&request(2, "tools/list", &json!({}))).await;
    sse.events.message().await;
    let listen = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];
    let wanted = modern(5, "subscriptions/listen", &json!({"notifications": {"toolsListChanged": true}}));
    let mut subscription = Events::of(sent(client.post("/mcp", wanted, &listen)).await);
    subscription.message().await;
    let held = tokio::spawn(client.post("/mcp", modern(1, "tools/call", &secret("held")), &MODERN_CALL).send());
    while backend.arrival().await.name != "held" {}

    let now = samples(client.get("/metrics")).await;
    for (name, value) in [
        ("keyglass_requests_total{method=\"tools/call\",outcome=\"ok\"}", 3.0),
        ("keyglass_requests_total{method=\"tools/call\",outcome=\"error\"}", 1.0),
        ("keyglass_requests_total{method=\"other\",outcome=\"error\"}", 1.0),
        ("keyglass_requests_total{method=\"initialize\",outcome=\"ok\"}", 2.0),
        ("keyglass_requests_total{method=\"tools/list\",outcome=\"ok\"}", 1.0),
        ("keyglass_request_duration_seconds_count{method=\"tools/call\"}", 4.0),
        ("keyglass_requests_in_flight", 2.0),
        ("keyglass_tool_calls_total{tool=\"get_secret\",outcome=\"ok\"}", 1.0),
        ("keyglass_tool_calls_total{tool=\"get_secret\",outcome=\"status\"}", 1.0),
        ("keyglass_tool_calls_total{tool=\"get_secret\",outcome=\"arguments\"}", 1.0),
        ("keyglass_tool_call_duration_seconds_count{tool=\"get_secret\"}", 3.0),
        ("keyglass_sessions{transport=\"http\"}", 1.0),
        ("keyglass_sessions{transport=\"sse\"}", 1.0),
        ("keyglass_sessions{transport=\"stdio\"}", 0.0),
        ("keyglass_subscriptions", 1.0),
        ("keyglass_backend_requests_total{backend=\"remote\",outcome=\"2xx\"}", 1.0),
        ("keyglass_backend_requests_total{backend=\"remote\",outcome=\"4xx\"}", 1.0),
        ("keyglass_backend_request_duration_seconds_count{backend=\"remote\"}", 2.0),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name} of {now:#?}");
    }
    #[cfg(target_os = "linux")]
    assert!(now["process_resident_memory_bytes"] > 1_000_000.0);

    held.abort();
    drop((subscription, sse));
    let gone = client.http.delete(format!("{}/mcp", client.base)).header("mcp-session-id", &id);
    sent(gone).await;
    within(async {
        loop {
            let now = samples(client.get("/metrics")).await;
            let open = ["keyglass_requests_in_flight", "keyglass_subscriptions"];
            let sessions = ["http", "sse"].map(|kind| now[&format!("keyglass_sessions{{transport=\"{kind}\"}}")]);
            let given_up = now
                .get("keyglass_tool_calls_total{tool=\"get_secret\",outcome=\"cancelled\"}")
                .copied()
                .unwrap_or_default();
            if open.iter().all(|name| now[*name] == 0.0) && sessions == [0.0, 0.0] && given_up == 1.0 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn numbers_are_the_operators_where_there_is_a_token() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("keyglass.yaml").display().to_string();
    std::fs::write(&config, "open_metrics: true\n").expect("written");
    for (more, without) in [(vec![], StatusCode::UNAUTHORIZED), (vec!["--config", &config], StatusCode::OK)] {
        let arguments = [&["--token", "env:TEST_TOKEN"], more.as_slice()].concat();
        let (keyglass, client) = Keyglass::over_http(&backend, &arguments).await;
        let response = sent(client.get("/metrics")).await;
        assert_eq!(response.status(), without, "{more:?}");
        if without == StatusCode::UNAUTHORIZED {
            assert!(response.headers()["www-authenticate"].to_str().expect("text").starts_with("Bearer"));
            assert_eq!(sent(client.get("/metrics").bearer_auth("canary-wrong")).await.status(), without);
        }
        samples(client.get("/metrics").bearer_auth(TOKEN)).await;
        for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
            let response = sent(client.get("/metrics").bearer_auth(TOKEN).header(name, value)).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}");
        }
        let log = keyglass.log();
        assert!(!log.contains(TOKEN) && !log.contains(CREDENTIAL), "{log}");
    }
}

#[tokio::test]
async fn readiness_ends_when_the_server_begins_to_leave() {
    let mut backend = Backend::start().await;
    let (mut keyglass, client) = Keyglass::over_http(&backend, &["--token", "env:TEST_TOKEN"]).await;
    let ready = sent(client.get("/readyz").header("host", "evil.example")).await;
    assert_eq!(
        (ready.status(), ready.text().await.expect("a text")),
        (StatusCode::OK, json!({"status": "ok"}).to_string())
    );

    // Over one connection, since no other is taken any more: HTTP/2 takes further requests while one is open.
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let client = Client { http, base: client.base };
    let call = client.post("/mcp", modern(1, "tools/call", &secret("held")), &MODERN_CALL).bearer_auth(TOKEN);
    let held = tokio::spawn(call.send());
    assert_eq!(backend.arrival().await.name, "held");
    keyglass.terminate().await;
    within(async {
        loop {
            match client.get("/readyz").send().await {
                Ok(answer) if answer.status() == StatusCode::OK => tokio::task::yield_now().await,
                Ok(answer) => {
                    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                    break;
                }
                // The connection has said that it takes no further one.
                Err(_) => break,
            }
        }
    })
    .await;
    backend.release();
    assert_eq!(within(held).await.expect("no panic").expect("an answer").status(), StatusCode::OK);
    assert!(keyglass.ended().await.success());
}

#[tokio::test]
async fn the_embedded_backend_is_looked_at_and_has_a_port_to_look_at_too() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let listen = port.to_string();
    let (_keyglass, client) = Keyglass::over_http_for("embedded", &["--backend-listen", &listen]).await;
    let own = Client { http: client.http.clone(), base: format!("http://{port}") };
    for path in ["/healthz", "/readyz"] {
        for client in [&client, &own] {
            let answer = sent(client.get(path)).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(answer.text().await.expect("a text"), r#"{"status":"ok"}"#);
        }
    }
    let posted = sent(own.post("/readyz", "", &[])).await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["content-type"], "application/json", "like all that the backend answers");
    assert_eq!(sent(own.get("/v1/secrets")).await.status(), StatusCode::UNAUTHORIZED, "all else needs a key");
}

const ORIGIN: &str = "https://app.example";

async fn preflight(client: &Client, path: &str, origin: &str) -> reqwest::Response {
    let request = client.http.request(http::Method::OPTIONS, format!("{}{path}", client.base));
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    sent(request.header("access-control-request-headers", "mcp-param-tenant, x-other")).await
}

#[tokio::test]
async fn listed_origins_are_answered_as_browsers_ask() {
    let backend = Backend::start().await;
    let arguments = ["--token", "env:TEST_TOKEN", "--allow-origin", ORIGIN];
    let (_keyglass, client) = Keyglass::over_http(&backend, &arguments).await;
    for path in ["/mcp", "/sse", "/messages", "/healthz", "/readyz", "/metrics"] {
        let answer = preflight(&client, path, ORIGIN).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], ORIGIN);
        for method in ["GET", "POST", "DELETE"] {
            assert!(headers["access-control-allow-methods"].to_str().expect("text").contains(method), "{method}");
        }
        let allowed = headers["access-control-allow-headers"].to_str().expect("text");
        let allowed: Vec<&str> = allowed.split(", ").collect();
        for name in [
            "authorization",
            "content-type",
            "last-event-id",
            "mcp-protocol-version",
            "mcp-session-id",
            "mcp-method",
            "mcp-name",
            "mcp-param-tenant",
        ] {
            assert!(allowed.contains(&name), "{name} of {allowed:?}");
        }
        assert!(!allowed.contains(&"x-other"));
        assert!(!headers.contains_key("access-control-allow-credentials"));
        assert!(headers.get_all("vary").iter().any(|value| value == "origin"), "{headers:?}");

        let foreign = preflight(&client, path, "https://evil.example").await;
        assert!(!foreign.headers().contains_key("access-control-allow-origin"), "{path}");
        assert_ne!(foreign.status(), StatusCode::NO_CONTENT, "{path}");
    }
    // A page has to be able to read why it was refused, and its session.
    let refused = sent(client.post("/mcp", initialize(1), &[("origin", ORIGIN)])).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let let_in = sent(client.post("/mcp", initialize(1), &[("origin", ORIGIN)]).bearer_auth(TOKEN)).await;
    assert_eq!(let_in.status(), StatusCode::OK);
    let health = sent(client.get("/healthz").header("origin", ORIGIN)).await;
    for answer in [refused, let_in, health] {
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], ORIGIN);
        let exposed = headers["access-control-expose-headers"].to_str().expect("text");
        assert!(exposed.contains("mcp-session-id") && exposed.contains("www-authenticate"), "{exposed}");
    }
    let rebound = client.http.request(http::Method::OPTIONS, format!("{}/mcp", client.base)).header("origin", ORIGIN);
    let rebound = rebound.header("access-control-request-method", "POST").header("host", "evil.example");
    assert_eq!(sent(rebound).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nothing_is_said_to_browsers_unless_an_origin_is_listed() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let local = "http://localhost:3000";
    let answer = preflight(&client, "/mcp", local).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    let opened = sent(client.post("/mcp", initialize(1), &[("origin", local)])).await;
    assert_eq!(opened.status(), StatusCode::OK);
    for answer in [answer, opened] {
        assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control")));
    }
    let id = session(&client).await;
    let standing = client.get("/mcp").header("mcp-session-id", &id).header("accept", "*/*");
    assert_eq!(sent(standing).await.headers()["content-type"], "text/event-stream", "whatever is accepted");
    let sse = sent(client.get("/sse").header("accept", "*/*")).await;
    assert_eq!(sse.headers()["content-type"], "text/event-stream");
    assert_eq!(
        sent(client.post("/mcp", initialized(), &[("mcp-session-id", &id)])).await.status(),
        StatusCode::ACCEPTED
    );
}
