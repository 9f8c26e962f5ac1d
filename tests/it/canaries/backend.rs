//! A service that answers as the test says, well or badly, and repeats what it was sent.

use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::planted::{Brought, Planted};

/// How a request is answered.
#[derive(Clone, Debug)]
pub(super) enum Scene {
    /// 200 with this as JSON.
    Success(Value),
    /// This status, content type, body and further headers.
    Answer(u16, &'static str, Vec<u8>, Vec<(&'static str, &'static str)>),
    /// An answer that breaks off.
    Cut,
    /// None, and the connection is closed.
    Closed,
    /// None.
    Silence,
}

/// What is said of everything that came, whatever the call was.
static ECHO: LazyLock<String> =
    LazyLock::new(|| format!("got {{{{body}}}} from {{{{credential}}}}: {}", Planted::in_every_form("sent")));

impl Scene {
    fn text(status: u16, kind: &'static str, body: &str) -> Self {
        Self::Answer(status, kind, body.as_bytes().to_vec(), Vec::new())
    }

    /// All that can go wrong, each with what was sent in it, and secrets that nobody asked for.
    pub(super) fn failures() -> Vec<(&'static str, Self)> {
        let echo = ECHO.as_str();
        let refused = json!({
            "message": format!("refused: {echo}; {{{{said elsewhere}}}} ghp_{{{{form in an error:word}}}}{}", "x".repeat(20)),
            "error_context": {"password": "{{said elsewhere}}"},
        });
        let plain = format!(
            "broken: {echo} https://u:{{{{password in an address:word}}}}@db.test/ \
             DB_PASSWORD={{{{password in a line:word}}}}"
        );
        let nested = json!({"error": {"message": echo, "token": "{{beside a message}}"}});
        // What is shown of it ends within the form, which half of it has not.
        let before = "x".repeat(464);
        let cut = json!({"message": format!("{before} github_pat_{{{{form across the cut:word}}}}{}", "y".repeat(60))});
        let location = ("location", "https://elsewhere.test/?token={{in a location:word}}&v={{sent:url}}");
        let moved = Self::Answer(307, "text/plain", echo.into(), vec![location]);
        vec![
            ("a refusal", Self::text(400, "application/json", &refused.to_string())),
            ("a nested refusal", Self::text(422, "application/problem+json", &nested.to_string())),
            ("a breakdown", Self::text(500, "text/plain", &plain)),
            ("a page of errors", Self::text(502, "text/html", &format!("<p>{echo} {{{{in a page}}}}</p>"))),
            ("another address", moved),
            ("no JSON", Self::text(200, "application/json", &format!("{{\"a\": {echo} {{{{in bad JSON}}}}"))),
            ("a page", Self::text(200, "text/html", &format!("<p>{echo} {{{{in a good page}}}}</p>"))),
            ("XML", Self::text(200, "application/{{sent:url}}", &format!("<a>{echo}</b>"))),
            ("bad JSON of a kind", Self::text(200, "application/{{credential}}+json", "{\"a\": ")),
            ("a list", Self::Success(json!([{"password": "{{in a list}}", "log": echo}]))),
            (
                "a wrong shape",
                Self::Success(json!({
                    "id": {"token": "{{in a wrong place}}"}, "name": [echo], "data": echo, "apiKey": echo, "keys": echo,
                    "secrets": echo, "key": echo,
                })),
            ),
            ("a long refusal", Self::text(400, "application/json", &cut.to_string())),
            ("half of it", Self::Cut),
            ("nothing", Self::Closed),
        ]
    }
}

/// A running service; it ends with the runtime of its test.
pub(super) struct Stub {
    pub(super) url: String,
    scene: Arc<Mutex<Scene>>,
    received: Arc<Mutex<Vec<Brought>>>,
}

impl Stub {
    pub(super) async fn start(planted: Arc<Planted>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (scene, received) = (Arc::new(Mutex::new(Scene::Closed)), Arc::<Mutex<Vec<Brought>>>::default());
        let (scenes, log) = (Arc::clone(&scene), Arc::clone(&received));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (planted, scenes, log) = (Arc::clone(&planted), Arc::clone(&scenes), Arc::clone(&log));
                // Whoever gives up ends it.
                tokio::spawn(async move { answer(stream, &planted, &scenes, &log).await.ok() });
            }
        });
        Self { url, scene, received }
    }

    /// From now on requests are answered so.
    pub(super) fn plays(&self, scene: Scene) {
        *self.scene.lock().unwrap() = scene;
    }

    /// What came since the last time this was asked.
    pub(super) fn take(&self) -> Vec<Brought> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

async fn answer(
    mut stream: TcpStream,
    planted: &Planted,
    scenes: &Mutex<Scene>,
    log: &Mutex<Vec<Brought>>,
) -> std::io::Result<()> {
    let (head, body) = request(&mut stream).await?;
    let brought = planted.brought(&head, &body);
    log.lock().unwrap().push(brought.clone());
    let scene = scenes.lock().unwrap().clone();
    let (status, kind, body, headers) = match scene {
        Scene::Success(value) => {
            let body = planted.filled_value(&value, &brought).to_string().into_bytes();
            (200, "application/json", body, Vec::new())
        }
        Scene::Answer(status, kind, body, headers) => {
            let filled = |text: &str| planted.filled(text, &brought);
            let body = match String::from_utf8(body) {
                Ok(text) if kind.ends_with("json") => match serde_json::from_str(&text) {
                    Ok(value) => planted.filled_value(&value, &brought).to_string().into_bytes(),
                    Err(_) => filled(&text).into_bytes(),
                },
                Ok(text) => filled(&text).into_bytes(),
                // Bytes that are no text around one.
                Err(error) => {
                    let bytes = error.into_bytes();
                    let text = String::from_utf8(bytes[2..].to_vec()).unwrap();
                    [&bytes[..2], filled(&text).as_bytes()].concat()
                }
            };
            (status, kind, body, headers)
        }
        Scene::Cut => {
            let begun =
                planted.filled_value(&json!({"id": ECHO.as_str(), "password": "{{in half an answer}}"}), &brought);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
            return stream.write_all(format!("{head}{begun}").as_bytes()).await;
        }
        Scene::Closed => return Ok(()),
        Scene::Silence => {
            // Until the other side gives up.
            stream.read_to_end(&mut Vec::new()).await?;
            return Ok(());
        }
    };
    let mut head = format!("HTTP/1.1 {status} x\r\ncontent-type: {}\r\n", planted.filled(kind, &brought));
    for (name, value) in headers {
        head += &format!("{name}: {}\r\n", planted.filled(value, &brought));
    }
    head += &format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    stream.shutdown().await
}

async fn request(stream: &mut TcpStream) -> std::io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, String::from_utf8(bytes[end..].to_vec()).unwrap()))
}
