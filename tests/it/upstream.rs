//! A stand-in for services that misbehave: what `get_secret` asks for decides how it answers.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    response::Response,
    routing::get,
};
use futures_util::stream;
use http::HeaderMap;

/// A running service; it ends with the runtime of its test.
pub(crate) struct Upstream {
    /// Its base URL.
    pub(crate) url: String,
    /// The headers of every request it got, with its method and path.
    pub(crate) seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let seen = Arc::default();
        let router = Router::new()
            .route("/v1/secrets/{name}", get(answer).post(answer))
            .fallback(answer_fallback)
            .with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url: format!("http://{address}"), seen }
    }

    pub(crate) fn requests(&self) -> Vec<(String, HeaderMap)> {
        self.seen.lock().expect("no panic").clone()
    }
}

type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;

fn record(seen: &Seen, request: &Request) {
    let line = format!("{} {}", request.method(), request.uri());
    seen.lock().expect("no panic").push((line, request.headers().clone()));
}

async fn answer_fallback(State(seen): State<Seen>, request: Request) -> Response {
    record(&seen, &request);
    json(404, "{}")
}

async fn answer(State(seen): State<Seen>, Path(name): Path<String>, request: Request) -> Response {
    record(&seen, &request);
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let authorization = authorization.unwrap_or_default().to_owned();
    match name.as_str() {
        "ok" => json(200, r#"{"id":"sec_1","name":"ok","create_time_ms":1,"update_time_ms":2,"unforeseen":{"a":[1]}}"#),
        "nothing" => Response::builder().status(204).body(Body::empty()).expect("a response"),
        "empty" => json(200, ""),
        "list" => json(200, r#"[{"a":1}]"#),
        "wrong-shape" => json(200, r#"{"id":"sec_1","name":7}"#),
        "not-json" => text(200, "text/html", "<html>internal stack trace at 10.0.0.7</html>"),
        "half-json" => json(200, r#"{"id": "#),
        "redirect" => {
            let location = "http://169.254.169.254/latest";
            Response::builder().status(302).header("location", location).body(Body::empty()).expect("a response")
        }
        "busy" => {
            let body = Body::from(r#"{"message":"slow down"}"#);
            Response::builder().status(429).header("retry-after", "17").body(body).expect("a response")
        }
        "busy-a-little" => {
            let response = Response::builder().status(429).header("retry-after", "1.2");
            response.body(Body::empty()).expect("a response")
        }
        "breaks-off" => {
            let broken = stream::iter([Ok(Bytes::from_static(b"{\"id\":")), Err(std::io::Error::other("cut"))]);
            Response::new(Body::from_stream(broken))
        }
        "304" => Response::builder().status(304).body(Body::empty()).expect("a response"),
        "slow" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            json(200, "{}")
        }
        "stalls" => {
            let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"{\"id\":")) });
            use futures_util::StreamExt;
            Response::new(Body::from_stream(first.chain(stream::pending())))
        }
        "large" => {
            let body = format!(r#"{{"id":"{}"}}"#, "x".repeat(3 * 1024 * 1024));
            Response::new(Body::from(body))
        }
        "endless" => {
            const CHUNK: usize = 64 * 1024;
            let chunk = Bytes::from(vec![b' '; CHUNK]);
            let chunks = (0..1024 * 1024 * 1024 / CHUNK).map(move |_| Ok::<_, Infallible>(chunk.clone()));
            Response::new(Body::from_stream(stream::iter(chunks)))
        }
        "echo-credential" => {
            let body = format!(r#"{{"message":"bad header `{authorization}` in request"}}"#);
            Response::builder().status(400).body(Body::from(body)).expect("a response")
        }
        "echo-credential-200" => {
            let body = format!(r#"{{"id":"{authorization}","name":"a"}}"#);
            Response::new(Body::from(body))
        }
        "echo-body" => {
            let body = axum::body::to_bytes(request.into_body(), 1024 * 1024).await.expect("a body");
            let body = serde_json::json!({ "error": { "message": format!("cannot store {}", String::from_utf8_lossy(&body)) } });
            Response::builder().status(500).body(Body::from(body.to_string())).expect("a response")
        }
        "hidden-text" => {
            let body = serde_json::json!({ "message": format!("a\u{1b}[2J\u{202e}b {}", "long ".repeat(400)) });
            Response::builder().status(400).body(Body::from(body.to_string())).expect("a response")
        }
        status => match status.parse::<u16>() {
            Ok(status) => json(status, r#"{"message":"the reason"}"#),
            Err(_) => json(404, r#"{"message":"no such secret"}"#),
        },
    }
}

fn json(status: u16, body: &str) -> Response {
    text(status, "application/json", body)
}

fn text(status: u16, kind: &str, body: &str) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Body::from(body.to_owned()))
        .expect("a response")
}
