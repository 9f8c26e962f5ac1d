//! Specs that change while the server runs: who is told, what is listed, and what becomes of calls.

use std::{fmt::Write as _, fs, path::PathBuf};

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    mcp::{SseClient, initialize, initialized, modern, name_in, request, secret, session},
    support::{Backend, Client, Events, Keyglass, Lined, within},
};

const CHANGED: &str = "notifications/tools/list_changed";
/// Of specs and schemas themselves, which are resources.
const FILES_CHANGED: &str = "notifications/resources/list_changed";

/// A folder with a spec that offers tools of these names.
struct Specs {
    _folder: TempDir,
    file: PathBuf,
}

impl Specs {
    fn new(tools: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let this = Self { file: folder.path().join("spec.yaml"), _folder: folder };
        this.offer(tools);
        this
    }

    fn write(&self, text: &str) {
        fs::write(&self.file, text).expect("written");
    }

    /// Every tool asks for a secret.
    fn offer(&self, tools: &[&str]) {
        let mut text = "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - type: http\n      namespace: s\n      baseUri: \
                        https://secrets.test\n      resources:\n        - path: /v1/secrets/{name}\n          operations:\n"
            .to_owned();
        for tool in tools {
            writeln!(text, "            - {{name: {tool}, method: GET, description: Read with {tool}., inputParameters: [{{name: name, in: path}}]}}").expect("a string");
        }
        self.write(&text);
    }

    fn path(&self) -> String {
        self.file.display().to_string()
    }

    fn arguments(&self) -> [&str; 2] {
        ["--capabilities", self.file.parent().and_then(|folder| folder.to_str()).expect("text")]
    }
}

fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect()
}

async fn list<R, W>(client: &mut Lined<R, W>) -> Value
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    client.ask(&request(7, "tools/list", &json!({}))).await
}

#[tokio::test]
async fn a_changed_spec_is_listed_and_told_over_stdio() {
    let backend = Backend::start().await;
    let specs = Specs::new(&["get_secret"]);
    let (keyglass, mut client) = Keyglass::over_pipes_with(&backend, &specs.arguments());
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    assert_eq!(names(&list(&mut client).await), ["get_secret"]);

    specs.offer(&["get_secret", "read_secret"]);
    assert_eq!(client.receive().await.expect("a message")["method"], CHANGED);
    assert_eq!(names(&list(&mut client).await), ["get_secret", "read_secret"]);
    let call = json!({"name": "read_secret", "arguments": {"name": "a"}});
    assert_eq!(name_in(&client.ask(&request(8, "tools/call", &call)).await), "a");

    // Broken, and then well again with other words that change no tool: neither is worth a notification.
    specs.write("naftiko: 1.0.0-alpha2\ncapability: [\n");
    keyglass.logged("the tools stay as they were", 1).await;
    assert!(keyglass.log().contains(&format!("{}:", specs.path())), "{}", keyglass.log());
    assert_eq!(names(&list(&mut client).await), ["get_secret", "read_secret"]);
    specs.offer(&["get_secret", "read_secret"]);
    keyglass.logged("were read anew", 2).await;
    let text = fs::read_to_string(&specs.file).expect("read");
    specs.write(&format!("# only a comment\n{text}"));
    keyglass.logged("were read anew", 3).await;
    specs.offer(&["read_secret"]);
    assert_eq!(client.receive().await.expect("a message")["method"], CHANGED);
    assert_eq!(names(&list(&mut client).await), ["read_secret"]);
}

#[tokio::test]
async fn a_new_file_counts_and_an_old_error_stops_nothing() {
    let backend = Backend::start().await;
    let specs = Specs::new(&["get_secret"]);
    fs::write(specs.file.with_file_name("broken.yaml"), "naftiko: [").expect("written");
    fs::create_dir(specs.file.with_file_name("deeper")).expect("made");
    let (keyglass, mut client) = Keyglass::over_pipes_with(&backend, &specs.arguments());
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    assert_eq!(names(&list(&mut client).await), ["get_secret"]);
    let more = fs::read_to_string(&specs.file).expect("read").replace("get_secret", "read_secret");
    fs::write(specs.file.with_file_name("deeper").join("more.yaml"), more).expect("written");
    assert_eq!(client.receive().await.expect("a message")["method"], CHANGED);
    assert_eq!(client.receive().await.expect("a message")["method"], FILES_CHANGED);
    assert_eq!(names(&list(&mut client).await), ["read_secret", "get_secret"]);
    assert_eq!(keyglass.log().matches("broken.yaml:").count(), 1, "said once: {}", keyglass.log());
}

#[tokio::test]
async fn schemas_count_too_even_those_that_come_late() {
    let backend = Backend::start().await;
    let specs = Specs::new(&[]);
    let root = specs.file.parent().expect("a folder").to_owned();
    fs::create_dir(root.join("specs")).expect("made");
    let spec = root.join("specs/spec.yaml");
    let text = "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - {type: http, namespace: a, baseUri: 'https://a.test', \
                resources: [{path: /x, operations: [{name: getX, method: GET, description: Get.}, {name: setX, method: \
                POST, description: Set., inputParameters: [{name: body, in: body, schema: '../schemas/x.json'}]}]}]}\n";
    fs::write(&spec, text).expect("written");
    let (_keyglass, mut client) =
        Keyglass::over_pipes_with(&backend, &["--capabilities", spec.to_str().expect("text")]);
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    assert_eq!(names(&list(&mut client).await), ["get_x"], "the schema is missing");
    for (member, first) in [("one", true), ("two", false)] {
        if first {
            fs::create_dir(root.join("schemas")).expect("made");
        }
        let schema = json!({"type": "object", "properties": {member: {"type": "string"}}});
        fs::write(root.join("schemas/x.json"), schema.to_string()).expect("written");
        assert_eq!(client.receive().await.expect("a message")["method"], CHANGED);
        if first {
            assert_eq!(client.receive().await.expect("a message")["method"], FILES_CHANGED);
        }
        let list = list(&mut client).await;
        assert_eq!(names(&list), ["get_x", "set_x"]);
        assert!(list["result"]["tools"][1]["inputSchema"]["properties"][member].is_object(), "{list}");
    }
}

#[tokio::test]
async fn a_call_in_flight_ends_with_the_tools_it_began_with() {
    let mut backend = Backend::start().await;
    let specs = Specs::new(&["get_secret"]);
    let (_keyglass, mut client) = Keyglass::over_pipes_with(&backend, &specs.arguments());
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    client.send(&request(2, "tools/call", &secret("held"))).await;
    assert_eq!(backend.arrival().await.name, "held");
    specs.offer(&["read_secret"]);
    assert_eq!(client.receive().await.expect("a message")["method"], CHANGED);
    backend.release();
    let answer = client.receive().await.expect("an answer");
    assert_eq!((&answer["id"], name_in(&answer)), (&json!(2), "held"));
    let refused = client.ask(&request(3, "tools/call", &secret("a"))).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}

async fn post(client: &Client, session: &str, message: &Value) -> reqwest::Response {
    within(client.post("/mcp", message, &[("mcp-session-id", session)]).send()).await.expect("an answer")
}

#[tokio::test]
async fn sessions_over_http_are_told_on_their_stream() {
    let backend = Backend::start().await;
    let specs = Specs::new(&["get_secret"]);
    let (_keyglass, client) = Keyglass::over_http(&backend, &specs.arguments()).await;
    let session = session(&client).await;
    assert_eq!(post(&client, &session, &initialized()).await.status(), StatusCode::ACCEPTED);
    let stream = client.get("/mcp").header("accept", "text/event-stream").header("mcp-session-id", &session).send();
    let stream = within(stream).await.expect("a stream");
    assert_eq!(stream.status(), StatusCode::OK);
    let mut sse = SseClient::connect(&client).await;

    specs.offer(&["get_secret", "read_secret"]);
    assert_eq!(Events::of(stream).message().await["method"], CHANGED);
    let answer = post(&client, &session, &request(2, "tools/list", &json!({}))).await;
    assert_eq!(names(&Events::of(answer).message().await), ["get_secret", "read_secret"]);

    assert_eq!(sse.events.message().await["method"], CHANGED, "over HTTP+SSE as well");
    sse.send(&request(3, "tools/list", &json!({}))).await;
    assert_eq!(names(&sse.events.message().await), ["get_secret", "read_secret"]);
}

const LISTEN: [(&str, &str); 2] = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];

fn listen(id: u64) -> Value {
    modern(id, "subscriptions/listen", &json!({"notifications": {"toolsListChanged": true}}))
}

fn subscription_of(message: &Value) -> &Value {
    &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
}

#[tokio::test]
async fn subscribers_over_http_are_told_until_the_server_leaves() {
    let backend = Backend::start().await;
    let specs = Specs::new(&["get_secret"]);
    let (mut keyglass, client) = Keyglass::over_http(&backend, &specs.arguments()).await;
    let stream = within(client.post("/mcp", listen(5), &LISTEN).send()).await.expect("a stream");
    assert_eq!(stream.status(), StatusCode::OK);
    let mut events = Events::of(stream);
    let acknowledged = events.message().await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], json!({"toolsListChanged": true}));

    specs.offer(&["read_secret"]);
    let told = events.message().await;
    assert_eq!((&told["method"], subscription_of(&told)), (&json!(CHANGED), subscription_of(&acknowledged)));
    assert!(subscription_of(&told).is_number() || subscription_of(&told).is_string(), "{told}");

    keyglass.terminate().await;
    let ended = events.message().await;
    assert_eq!((&ended["id"], &ended["result"]["resultType"]), (&json!(5), &json!("complete")), "{ended}");
    assert!(keyglass.ended().await.success());
    assert!(!keyglass.log().contains("outlasted"), "nobody waits for a subscription: {}", keyglass.log());
}

#[tokio::test]
async fn a_subscription_needs_a_stream() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let request = client.http.post(format!("{}/mcp", client.base)).body(listen(5).to_string());
    let request = request.header("content-type", "application/json").header("accept", "application/json");
    let request = LISTEN.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    assert_eq!(within(request.send()).await.expect("an answer").status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn subscribers_over_stdio_are_told_until_they_leave() {
    let backend = Backend::start().await;
    let specs = Specs::new(&["get_secret"]);
    let (mut keyglass, mut client) = Keyglass::over_pipes_with(&backend, &specs.arguments());
    client.send(&listen(5)).await;
    let acknowledged = client.receive().await.expect("a message");
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let answer = client.ask(&modern(6, "tools/list", &json!({}))).await;
    assert_eq!(names(&answer), ["get_secret"], "other requests are answered meanwhile");
    specs.offer(&["read_secret"]);
    let told = client.receive().await.expect("a message");
    assert_eq!((&told["method"], subscription_of(&told)), (&json!(CHANGED), subscription_of(&acknowledged)));
    client.close();
    let ended = client.receive().await.expect("the subscription's result");
    assert_eq!((&ended["id"], &ended["result"]["resultType"]), (&json!(5), &json!("complete")), "{ended}");
    assert!(keyglass.ended().await.success());
    assert!(!keyglass.log().contains("outlasted"), "{}", keyglass.log());
}
