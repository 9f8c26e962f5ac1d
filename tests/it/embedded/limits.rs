//! What the backend takes: how large, how slow, how often.

use keyglass::backend::embedded::{Limits, Rate};

use super::*;
use crate::support::within;

fn limited(limits: Limits) -> (TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let backend = embedded::open(&Options { limits, ..options(folder.path()) }).unwrap();
    (folder, backend)
}

/// A port of a backend with such limits.
async fn port(limits: Limits) -> (TempDir, Embedded, std::net::SocketAddr) {
    let (folder, backend) = limited(limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(&backend, listener);
    (folder, backend, address)
}

#[tokio::test]
async fn bodies_and_values_have_the_size_that_was_set() {
    let (_folder, backend) = limited(Limits { max_body_bytes: 2048, max_value_bytes: 10, ..Limits::default() });
    let create = async |value: String| {
        call(&backend, "POST", "/v1/secrets", &json!({ "name": "A", "value": value }).to_string()).await
    };
    assert!(create("x".repeat(11)).await.refused(400).contains("at most 10 bytes"));
    assert!(create("x".repeat(2048)).await.refused(413).contains("2048 bytes"));
    create("x".repeat(10)).await.with_members(&SECRET_VIEW);
    let update = call(&backend, "POST", "/v1/secrets/A", &json!({ "value": "x".repeat(11) }).to_string()).await;
    assert!(update.refused(400).contains("at most 10 bytes"));
}

#[tokio::test]
async fn a_key_that_is_used_too_often_waits_alone() {
    let (_folder, backend) = limited(Limits { requests: Rate { per_second: 1, burst: 3 }, ..Limits::default() });
    let made = call(&backend, "POST", "/v1/apikeys", "{}").await.json();
    let key = made["key_secret"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(call_as(&backend, key, "GET", "/v1/accounts/me", "").await.status, 200);
    }
    let answer = call_as(&backend, key, "GET", "/v1/accounts/me", "").await;
    assert!(answer.refused(429).contains("try again in 1 s"), "{}", answer.text);
    assert_eq!(
        (&answer.headers["retry-after"], &answer.json()["code"]),
        (&"1".parse().unwrap(), &json!("rate_limited"))
    );
    assert_eq!(call(&backend, "GET", "/v1/accounts/me", "").await.status, 200, "another key");

    call(&backend, "GET", "/v1/accounts/me", "").await;
    let answer = call(&backend, "GET", "/runtools/v1/none", "").await;
    assert_eq!((answer.status, &answer.headers["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(answer.json()["error"]["code"], "rate_limited", "{}", answer.text);
    let answer = call(&backend, "GET", "/runtype/v1/none", "").await;
    assert_eq!((answer.status, &answer.json()["code"]), (429, &json!("rate_limited")));
    let request = request("GET", "/v1/accounts/me", &root(&backend), "");
    let answer = backend.router_in_process().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "the tools of this process are not counted");
}

#[tokio::test]
async fn requests_without_a_good_key_are_limited_together_and_lock_no_good_key_out() {
    let (_folder, backend) = limited(Limits { failures: Rate { per_second: 1, burst: 2 }, ..Limits::default() });
    for guess in ["ak_one", "ak_two"] {
        call_as(&backend, guess, "GET", "/v1/accounts/me", "").await.refused(401);
    }
    for guess in ["ak_three", "ak_four"] {
        let answer = call_as(&backend, guess, "GET", "/v1/accounts/me", "").await;
        assert_eq!((answer.status, &answer.headers["retry-after"]), (429, &"1".parse().unwrap()));
        assert_eq!(call(&backend, "GET", "/v1/accounts/me", "").await.status, 200);
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_refused_and_ends_the_connection() {
    let (_folder, backend, address) = port(Limits { body_time: Duration::from_millis(200), ..Limits::default() }).await;
    for path in ["/v1/secrets", "/runtools/v1/none"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n{{\"na",
            root(&backend)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        if path == "/v1/secrets" {
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            assert!(answer.contains("connection: close\r\n") && answer.contains("body_timeout"), "{answer}");
            assert!(answer.contains("the body did not arrive within"), "{answer}");
        } else {
            // Refused at once, since nobody wants the body; the connection ends all the same.
            drop(stream.read_to_string(&mut answer).await);
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        }
    }
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let made = client.post(format!("http://{address}/v1/secrets")).bearer_auth(root(&backend));
    let made = made.body(json!({ "name": "A", "value": "v" }).to_string()).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::OK);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_request_to_end() {
    let (_folder, backend, address) = port(Limits { max_connections: 1, ..Limits::default() }).await;
    let body = json!({ "name": "A", "value": "v" }).to_string();
    let mut one = TcpStream::connect(address).await.unwrap();
    let key = root(&backend);
    let head = format!(
        "POST /v1/secrets HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    one.write_all(head.as_bytes()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let other = client.get(format!("http://{address}/v1/secrets/A")).bearer_auth(&key).send();
    let other = tokio::spawn(other);
    for _ in 0..20 {
        call(&backend, "GET", "/v1/secrets", "").await;
        assert!(!other.is_finished(), "the second is not served beside the first");
    }
    one.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(within(one.read_buf(&mut answer)).await.unwrap(), 0, "connection closed");
    }
    let found = within(other).await.unwrap().unwrap();
    assert_eq!(found.status(), StatusCode::OK, "served after the first, which made what it asks for");
}

#[tokio::test]
async fn connections_that_rest_or_whose_clients_take_nothing_end() {
    let soon = Duration::from_millis(200);
    let (_folder, backend, address) = port(Limits { idle_time: soon, answer_time: soon, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    within(silent.read_to_end(&mut Vec::new())).await.unwrap();

    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) =
        h2::client::Builder::new().initial_window_size(0).handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://localhost/v1/accounts/me");
    let request = request.header("authorization", format!("Bearer {}", root(&backend))).body(()).unwrap();
    let answer = within(client.send_request(request, true).unwrap().0).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!matches!(within(answer.into_body().data()).await, Some(Ok(_))), "no byte of it was granted");
    drop(within(connection).await);
}

/// Holds the write lock of a backend's database until dropped.
fn hold(folder: &TempDir) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(folder.path().join("keyglass.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[tokio::test]
async fn a_request_that_waits_for_too_long_is_the_backends_own_fault_and_may_be_repeated() {
    let (folder, backend) = limited(Limits { request_time: Duration::from_millis(300), ..Limits::default() });
    let held = hold(&folder);
    let create = async || {
        let body = json!({ "name": "A", "value": "v" }).to_string();
        let mut request = request("POST", "/v1/secrets", &root(&backend), body);
        request.headers_mut().insert("x-request-id", "first".parse().unwrap());
        send(&backend, request).await
    };
    let answer = create().await;
    let message = answer.refused(503);
    assert!(message.contains("within 0.3 s") && message.contains("`x-request-id`"), "{message}");
    assert_eq!(answer.json()["code"], "overdue");
    let create_key = json!({ "name": "ci", "scopes": ["*"] }).to_string();
    let answer = call(&backend, "POST", "/runtools/v1/api-keys", &create_key).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("internal_error")), "{}", answer.text);
    let answer = call(&backend, "POST", "/runtype/v1/api-keys", r#"{"name": "ci"}"#).await;
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("overdue")), "{}", answer.text);
    assert_eq!(call(&backend, "GET", "/v1/secrets", "").await.status, 200, "reading goes on");
    drop(held);
    let repeated = within(async {
        loop {
            let answer = create().await;
            if answer.status != 503 {
                return answer;
            }
        }
    });
    repeated.await.with_members(&SECRET_VIEW);
}

#[tokio::test]
async fn names_are_as_long_as_was_set_and_secrets_names_are_strict_where_it_was_said() {
    let limits = Limits { max_name_length: 5, strict_secret_names: true, ..Limits::default() };
    let (_folder, backend) = limited(limits);
    for (path, rest) in [
        ("/v1/secrets", json!({ "value": "v" })),
        ("/v1/apikeys", json!({})),
        ("/v1/restricted_keys", json!({})),
        ("/runtools/v1/api-keys", json!({})),
        ("/runtype/v1/api-keys", json!({})),
    ] {
        let create = async |name: &str| {
            let mut body = rest.clone();
            body["name"] = json!(name);
            call(&backend, "POST", path, &body.to_string()).await
        };
        let made = create("A_1_b").await;
        assert!(made.status < 300, "{path}: {}", made.text);
        let refused = create("A_1_bc").await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.text);
        assert!(refused.text.contains("`name` must") && refused.text.contains(" 5 "), "{path}: {}", refused.text);
        let hyphened = create("a-b").await;
        assert_eq!(hyphened.status == 400, path == "/v1/secrets", "{path}: {}", hyphened.text);
        let id = made.json().pointer("/data/id").or(made.json().pointer("/apiKey/id")).cloned();
        if let Some(id) = id {
            let method = if path.starts_with("/runtype") { "PUT" } else { "PATCH" };
            let path = format!("{path}/{}", id.as_str().unwrap());
            let changed = call(&backend, method, &path, &json!({ "name": "longer" }).to_string()).await;
            assert_eq!(changed.status, 400, "{path}: {}", changed.text);
        }
    }
}

#[tokio::test]
async fn the_head_of_a_request_has_room_in_8_kib() {
    let (_folder, backend, address) = port(Limits::default()).await;
    for (more, status) in [(7_900, "200"), (9_000, "431")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (key, more) = (root(&backend), "x".repeat(more));
        let head = format!("GET /v1/accounts/me HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-more: {more}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
    }
}
