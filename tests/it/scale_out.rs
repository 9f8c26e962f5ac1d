//! Several replicas without sessions behind a proxy that deals connections out in turn.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    mcp::{initialize, initialized, modern, name_in, request, secret},
    support::{Backend, Client, Keyglass, within},
};

/// Forwards each connection to the next of several addresses; tells how many each has had.
async fn proxy(replicas: Vec<SocketAddr>) -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let dealt = Arc::new(Mutex::new(vec![0; replicas.len()]));
    let count = dealt.clone();
    let next = AtomicUsize::new(0);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let turn = next.fetch_add(1, Ordering::SeqCst) % replicas.len();
            count.lock().expect("no panic")[turn] += 1;
            let replica = replicas[turn];
            tokio::spawn(async move {
                let mut server = TcpStream::connect(replica).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (address, dealt)
}

async fn answer(client: &Client, message: &Value, headers: &[(&str, &str)]) -> Value {
    let response = within(client.post("/mcp", message, headers).send()).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK, "{message}");
    assert!(!response.headers().contains_key("mcp-session-id"));
    serde_json::from_str(&response.text().await.expect("a text")).expect("JSON")
}

#[tokio::test]
async fn any_replica_serves_any_request_of_both_eras() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("state.key");
    std::fs::write(&key, "canary-key-that-is-of-at-least-32-bytes\n").expect("written");
    let reference = format!("file:{}", key.display());
    let arguments = ["--stateless", "--state-key", &reference];
    let (one, first) = Keyglass::over_http(&backend, &arguments).await;
    let (other, second) = Keyglass::over_http(&backend, &arguments).await;
    let address = |client: &Client| client.base.strip_prefix("http://").expect("HTTP").parse().expect("an address");
    let (proxy, dealt) = proxy(vec![address(&first), address(&second)]).await;
    // A connection for each request, so that no two of a conversation go to the same replica.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    let client = Client { http, base: format!("http://{proxy}") };

    for round in 0..2 {
        let version = [("mcp-protocol-version", "2025-11-25")];
        let hello = answer(&client, &initialize(1), &[]).await;
        assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{round}");
        let ready = within(client.post("/mcp", initialized(), &version).send()).await.expect("an answer");
        assert_eq!(ready.status(), StatusCode::ACCEPTED);
        for turn in 0..3 {
            let list = answer(&client, &request(2, "tools/list", &json!({})), &version).await;
            assert!(list["result"]["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "{turn} {list}");
            let call = answer(&client, &request(3, "tools/call", &secret("a")), &version).await;
            assert_eq!(name_in(&call), "a");
        }
        let modern_headers = |method| [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        for turn in 0..3 {
            let list = modern(4, "tools/list", &json!({}));
            let list = answer(&client, &list, &modern_headers("tools/list")).await;
            assert_eq!(list["result"]["resultType"], "complete", "{turn}");
            let headers = [modern_headers("tools/call").as_slice(), &[("mcp-name", "get_secret")]].concat();
            assert_eq!(name_in(&answer(&client, &modern(5, "tools/call", &secret("a")), &headers).await), "a");
        }
    }
    let dealt = dealt.lock().expect("no panic").clone();
    assert!(dealt.iter().all(|count| *count > 10), "both took part: {dealt:?}");
    for keyglass in [&one, &other] {
        let log = keyglass.log();
        assert!(!log.contains("canary-key") && !log.contains("has one of its own"), "{log}");
    }
}

#[tokio::test]
async fn what_needs_a_session_is_refused_with_a_reason() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &["--stateless"]).await;
    for (path, post) in [("/sse", false), ("/sse", true), ("/messages?sessionId=0", true)] {
        let request = if post { client.post(path, initialize(1), &[]) } else { client.get(path) };
        let response = within(request.send()).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let text = response.text().await.expect("a text");
        assert!(text.contains("`--stateless`") && text.contains("`/mcp`"), "{text}");
    }
    let standing = within(client.get("/mcp").header("accept", "*/*").send()).await.expect("an answer");
    assert_eq!(standing.status(), StatusCode::METHOD_NOT_ALLOWED);
    // A session of before is no reason to refuse.
    let headers = [("mcp-session-id", "of-before"), ("mcp-protocol-version", "2025-11-25")];
    assert_eq!(name_in(&answer(&client, &request(3, "tools/call", &secret("a")), &headers).await), "a");
}

#[tokio::test]
async fn the_key_that_replicas_share_is_checked_at_the_start() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short.key"), "canary-short").expect("written");
    std::fs::write(folder.path().join("keyglass.yaml"), "stateless: true\nstate_key: file:short.key\n")
        .expect("written");
    let config = folder.path().join("keyglass.yaml").display().to_string();
    for (arguments, code, words) in [
        (vec!["--http", "127.0.0.1:0", "--config", &config], 64, "shorter than 32 bytes"),
        (vec!["--http", "127.0.0.1:0", "--stateless", "--state-key", "canary-literal"], 64, "by reference"),
        (vec!["--http", "127.0.0.1:0", "--stateless", "--state-key", "env:NOT_SET"], 2, "credential env:NOT_SET"),
        (vec!["--stateless"], 64, "is for HTTP"),
    ] {
        let (status, log) = Keyglass::to_the_end(&backend, &arguments).await;
        assert_eq!(status.code(), Some(code), "{arguments:?}: {log}");
        assert!(log.contains(words) && !log.contains("canary"), "{arguments:?}: {log}");
    }
    let (keyglass, _client) = Keyglass::over_http(&backend, &["--stateless"]).await;
    assert!(keyglass.log().contains("several replicas need one that they share"), "{}", keyglass.log());
}

#[tokio::test]
async fn without_sessions_nothing_is_promised_that_only_a_session_can_deliver() {
    let backend = Backend::start().await;
    let spec = ["--capabilities", "capabilities/examples/conformance.yaml"];
    let (_keyglass, client) = Keyglass::over_http(&backend, &[&spec[..], &["--stateless"]].concat()).await;
    let opened = answer(&client, &initialize(1), &[]).await;
    let capabilities = &opened["result"]["capabilities"];
    for list in ["tools", "resources", "prompts"] {
        assert_eq!(capabilities[list], json!({}), "{capabilities}");
    }
    // Log messages come with the answer to a call.
    assert_eq!(capabilities["logging"], json!({}), "{capabilities}");
    // Asked for all the same, neither is refused: some clients do so whatever was announced.
    let headers = [("mcp-protocol-version", "2025-11-25")];
    let watched = json!({"uri": "test://watched-resource"});
    for (id, method, params) in
        [(2, "resources/subscribe", &watched), (3, "logging/setLevel", &json!({"level": "info"}))]
    {
        assert_eq!(answer(&client, &request(id, method, params), &headers).await["result"], json!({}));
    }
    // The newer era listens by a request of its own.
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "server/discover")];
    let discovered = answer(&client, &modern(4, "server/discover", &json!({})), &headers).await;
    assert_eq!(discovered["result"]["capabilities"]["resources"], json!({"subscribe": true, "listChanged": true}));
}
