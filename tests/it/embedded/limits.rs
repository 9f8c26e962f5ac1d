//! What the backend takes: how large, how slow, how often.

use keyglass::backend::embedded::{Limits, Rate};

use super::*;

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
async fn connections_beyond_the_limit_wait_for_one_to_end() {
    let (_folder, backend, address) = port(Limits { max_connections: 1, ..Limits::default() }).await;
    let head =
        format!("GET /v1/accounts/me HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", root(&backend));
    let ask = async |stream: &mut TcpStream| {
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "connection closed");
        }
    };
    let mut one = TcpStream::connect(address).await.unwrap();
    one.write_all(head.as_bytes()).await.unwrap();
    ask(&mut one).await;
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..50 {
        one.write_all(head.as_bytes()).await.unwrap();
        ask(&mut one).await;
    }
    let refused = other.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock, "the second is not served beside the first");
    drop(one);
    ask(&mut other).await;
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
