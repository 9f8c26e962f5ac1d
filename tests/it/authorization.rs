//! Who may call over HTTP: tokens of the operator and of an issuer, against a server that runs and a backend that notes
//! what it is sent. Every secret is a canary.

use std::{
    collections::HashMap,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{Request, State},
    routing::get,
};
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::{Client, Events, UNASKED, within};

/// A backend that repeats the headers of each request, and keeps them.
#[derive(Clone, Default)]
struct Backend {
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Backend {
    async fn start() -> (Self, String) {
        let backend = Self::default();
        let router = Router::new().fallback(Self::answer).with_state(backend.clone());
        (backend, listening(router).await)
    }

    /// Repeats what it is sent, and to those who ask for birds also what it was sent before, as one who passes it on would.
    async fn answer(State(backend): State<Self>, request: Request) -> String {
        let before = backend.seen().last().filter(|_| request.uri().path().contains("birds")).cloned();
        let before = before.and_then(|seen| Some(seen.get("authorization")?.to_str().ok()?.to_owned()));
        backend.seen.lock().expect("no panic").push(request.headers().clone());
        let headers: HashMap<&str, &str> =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        json!({"headers": headers, "before": before}).to_string()
    }

    fn seen(&self) -> Vec<HeaderMap> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn listening(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// An issuer of tokens, whose keys can be changed.
#[derive(Clone)]
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<SigningKey>>>,
    fetched: Arc<Mutex<usize>>,
}

#[derive(Clone)]
struct SigningKey {
    id: String,
    private: EncodingKey,
    public: Value,
}

impl SigningKey {
    fn new(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let private = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut public =
            serde_json::to_value(Jwk::from_encoding_key(&private, Algorithm::ES256).expect("a key")).expect("JSON");
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        Self { id: id.to_owned(), private, public }
    }
}

const RESOURCE: &str = "https://tools.test/mcp";

impl Issuer {
    async fn start() -> Self {
        let mut issuer = Self {
            url: String::new(),
            keys: Arc::new(Mutex::new(vec![SigningKey::new("one")])),
            fetched: Arc::default(),
        };
        let url = Arc::new(Mutex::new(String::new()));
        let (keys, fetched, own) = (issuer.keys.clone(), issuer.fetched.clone(), url.clone());
        let set = move || async move {
            *fetched.lock().expect("no panic") += 1;
            let keys: Vec<Value> = keys.lock().expect("no panic").iter().map(|key| key.public.clone()).collect();
            json!({"keys": keys}).to_string()
        };
        let metadata = move || async move {
            let url = own.lock().expect("no panic").clone();
            json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string()
        };
        let router =
            Router::new().route("/keys", get(set)).route("/.well-known/oauth-authorization-server", get(metadata));
        issuer.url = listening(router).await;
        url.lock().expect("no panic").clone_from(&issuer.url);
        issuer
    }

    fn claims(&self, scope: &str) -> Value {
        let now = now();
        json!({"iss": self.url, "sub": "alice", "aud": RESOURCE, "exp": now + 600, "nbf": now - 5, "scope": scope})
    }

    fn key(&self) -> SigningKey {
        self.keys.lock().expect("no panic").last().expect("a key").clone()
    }

    fn sign(&self, claims: &Value) -> String {
        let key = self.key();
        let header = Header { kid: Some(key.id), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &key.private).expect("a token")
    }

    fn token(&self, scope: &str) -> String {
        self.sign(&self.claims(scope))
    }

    fn fetched(&self) -> usize {
        *self.fetched.lock().expect("no panic")
    }
}

#[allow(clippy::disallowed_methods, reason = "the time that tokens are checked against is the machine's")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// `keyglass serve` over HTTP with the specs `pets` and `birds`, and its log.
struct Served {
    _child: Child,
    _folder: TempDir,
    log: Arc<Mutex<String>>,
    client: Client,
}

fn spec(folder: &Path, namespace: &str, base: &str, exposed: &str) {
    let text = format!(
        "ikanos: 1.0.0-beta5\n\
         info: {{display: Test, description: A service.}}\n\
         capability:\n\
         \x20 consumes:\n\
         \x20 - type: http\n\
         \x20   namespace: {namespace}\n\
         \x20   baseUri: '{base}'\n\
         \x20   resources:\n\
         \x20   - path: /{namespace}\n\
         \x20     operations:\n\
         \x20     - {{name: list, method: GET, description: List them.}}\n\
         \x20     - {{name: add, method: POST, description: Add one.}}\n\
         \x20     - {{name: delete, method: DELETE, description: Delete one.}}\n\
         \x20 exposes:\n\
         \x20 - type: mcp\n\
         \x20   namespace: {namespace}\n\
         \x20   description: About {namespace}.\n\
         \x20   {exposed}\n\
         \x20   tools:\n\
         \x20   - {{name: list_{namespace}, description: List {namespace}., call: {namespace}.list}}\n\
         \x20   - {{name: add_{namespace}, description: Add {namespace}., call: {namespace}.add}}\n\
         \x20   - {{name: delete_{namespace}, description: Delete {namespace}., call: {namespace}.delete}}\n\
         \x20   resources:\n\
         \x20   - {{name: all, label: All, uri: 'res://{namespace}', description: All {namespace}., call: {namespace}.list}}\n\
         \x20   prompts:\n\
         \x20   - {{name: about_{namespace}, label: About, description: About., template: [{{role: user, content: Hello.}}]}}\n"
    );
    std::fs::write(folder.join(format!("{namespace}.yaml")), text).expect("written");
}

const BIRDS_GATE: &str = "authentication: {type: apikey, key: X-Birds, value: '{{BIRDS_KEY}}'}";

impl Served {
    /// Birds are kept behind a key.
    async fn start(base: &str, config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let specs = folder.path().join("specs");
        std::fs::create_dir(&specs).expect("made");
        spec(&specs, "pets", base, "");
        spec(&specs, "birds", base, BIRDS_GATE);
        std::fs::write(folder.path().join("keyglass.yaml"), format!("capabilities: [specs]\n{config}\n"))
            .expect("written");
        std::fs::write(folder.path().join("b.token"), "canary-b\n").expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
        command.args(["serve", "--http", "127.0.0.1:0", "--credential", "env:BACKEND"]).args(arguments);
        command.arg("--config").arg(folder.path().join("keyglass.yaml"));
        command.env_clear().env("KEYGLASS_LOG", "trace").env("BACKEND", "canary-backend").env("HOME", folder.path());
        command.envs(UNASKED);
        command.env("OPERATOR", "canary-operator").env("A", "canary-a").env("BIRDS_KEY", "canary-birds");
        Self::of(command, folder).await
    }

    async fn of(mut command: Command, folder: TempDir) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log: Arc<Mutex<String>> = Arc::default();
        let base = loop {
            let line = within(stderr.next_line()).await.expect("a line").unwrap_or_else(|| {
                panic!("it listens: {}", log.lock().expect("no panic"));
            });
            log.lock().expect("no panic").push_str(&format!("{line}\n"));
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split_once("/mcp").expect("the endpoint").0.to_owned();
            }
        };
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                kept.lock().expect("no panic").push_str(&format!("{line}\n"));
            }
        });
        Self { _child: child, _folder: folder, log, client: Client { http: reqwest::Client::new(), base } }
    }

    /// A request of the 2026-07-28 era.
    async fn ask(&self, shown: &[(&str, &str)], method: &str, mut params: Value) -> Answer {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        });
        let name = params["name"].as_str().or(params["uri"].as_str()).unwrap_or_default().to_owned();
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        headers.extend(shown);
        self.post(&headers, message(1, method, &params)).await
    }

    async fn post(&self, headers: &[(&str, &str)], body: Value) -> Answer {
        let response = within(self.client.post("/mcp", body, headers).send()).await.expect("an answer");
        let status = response.status();
        let challenge =
            response.headers().get("www-authenticate").map(|value| value.to_str().expect("text").to_owned());
        let text = response.text().await.expect("text");
        let text = text.lines().rev().find_map(|line| line.strip_prefix("data:")).unwrap_or(&text);
        Answer { status, challenge, body: serde_json::from_str(text).unwrap_or_else(|_| panic!("{status} {text}")) }
    }

    async fn tools(&self, shown: &[(&str, &str)]) -> Vec<String> {
        names(&self.ask(shown, "tools/list", json!({})).await.body["result"]["tools"])
    }

    async fn call(&self, shown: &[(&str, &str)], tool: &str) -> Answer {
        self.ask(shown, "tools/call", json!({"name": tool})).await
    }

    /// A session of the 2025-11-25 era.
    async fn session(&self, shown: &[(&str, &str)]) -> String {
        let response = within(self.client.post("/mcp", initialize(), shown).send()).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        response.headers()["mcp-session-id"].to_str().expect("an id").to_owned()
    }

    /// A stream of the HTTP+SSE transport, after its handshake, and where to send to.
    async fn stream(&self, shown: (&str, &str)) -> (Events, String) {
        let stream = self.client.get("/sse").header(shown.0, shown.1).header("accept", "text/event-stream");
        let mut events = Events::of(within(stream.send()).await.expect("an answer"));
        let (_, endpoint) = events.next().await.expect("an event");
        for body in [initialize(), json!({"jsonrpc": "2.0", "method": "notifications/initialized"})] {
            let response = within(self.client.post(&endpoint, body, &[shown]).send()).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::ACCEPTED);
        }
        events.message().await;
        (events, endpoint)
    }

    fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    challenge: Option<String>,
    body: Value,
}

impl Answer {
    fn is_unknown_tool(&self) -> bool {
        self.body["error"]["code"] == -32602
            && self.body["error"]["message"].as_str().unwrap().starts_with("unknown tool")
    }
}

fn names(list: &Value) -> Vec<String> {
    let name = |entry: &Value| entry["name"].as_str().expect("a name").to_owned();
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).iter().map(name).collect()
}

fn message(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize() -> Value {
    let info = json!({"name": "test", "version": "0"});
    message(1, "initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

const A: (&str, &str) = ("authorization", "Bearer canary-a");
const B: (&str, &str) = ("authorization", "Bearer canary-b");
const OPERATOR: (&str, &str) = ("authorization", "Bearer canary-operator");
const BIRDS: (&str, &str) = ("x-birds", "canary-birds");

const TOKENS: &str = "tokens:\n\
    - { name: a, token: env:A, groups: [pets], ceiling: write }\n\
    - { name: b, token: file:b.token, ceiling: read }\n";

#[tokio::test]
async fn a_token_of_the_operator_is_good_for_its_groups_and_up_to_its_ceiling() {
    let (backend, base) = Backend::start().await;
    let served = Served::start(&base, TOKENS, &["--token", "env:OPERATOR"]).await;
    let all: Vec<String> = served.tools(&[OPERATOR]).await;
    assert_eq!(all.len(), 6, "{all:?}");
    for (shown, tools, open, closed) in [
        (A, &["list_pets", "add_pets"][..], "add_pets", &["delete_pets", "list_birds", "nothing"][..]),
        (B, &["list_birds", "list_pets"], "list_birds", &["add_pets", "delete_birds"]),
    ] {
        // The era without sessions, and that with them.
        assert_eq!(served.tools(&[shown]).await, tools);
        let list = served.ask(&[shown], "tools/list", json!({})).await;
        assert_eq!(list.body["result"]["cacheScope"], "private");
        let id = served.session(&[shown]).await;
        let session = ("mcp-session-id", id.as_str());
        let list = served.post(&[shown, session], message(2, "tools/list", &json!({}))).await;
        assert_eq!(names(&list.body["result"]["tools"]), tools);
        // The older transport.
        let (mut events, endpoint) = served.stream(shown).await;
        let send = async |body: Value| {
            let response = within(served.client.post(&endpoint, body, &[shown]).send()).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::ACCEPTED);
        };
        send(message(2, "tools/list", &json!({}))).await;
        assert_eq!(names(&events.message().await["result"]["tools"]), tools);

        let before = backend.seen().len();
        for name in closed {
            assert!(served.call(&[shown], name).await.is_unknown_tool(), "{name}");
            let call = message(3, "tools/call", &json!({"name": name}));
            assert!(served.post(&[shown, session], call.clone()).await.is_unknown_tool(), "{name}");
            send(call).await;
            assert_eq!(events.message().await["error"]["code"], -32602, "{name}");
        }
        assert_eq!(backend.seen().len(), before, "refused calls went nowhere");
        let answer = served.call(&[shown], open).await;
        assert_eq!(answer.body["result"]["isError"], json!(false), "{answer:?}");
        send(message(4, "tools/call", &json!({"name": open}))).await;
        assert_eq!(events.message().await["result"]["isError"], json!(false));
    }
    let about = |answer: Answer| answer.body["result"]["instructions"].as_str().expect("instructions").to_owned();
    let told = about(served.ask(&[A], "server/discover", json!({})).await);
    assert!(told.contains("About pets.") && !told.contains("birds"), "{told}");
    assert_eq!(
        names(&served.ask(&[A], "prompts/list", json!({})).await.body["result"]["prompts"]),
        ["about_pets", "guide_pets"]
    );
    let resources = served.ask(&[A], "resources/list", json!({})).await.body["result"]["resources"].clone();
    assert_eq!(resources.as_array().expect("resources").len(), 1, "{resources}");
    let resources = served.ask(&[OPERATOR], "resources/list", json!({})).await.body["result"]["resources"].clone();
    let uris = resources.as_array().expect("resources").iter().map(|resource| resource["uri"].clone());
    let uris: Vec<Value> = uris.filter(|uri| uri != "res://pets").collect();
    assert!(uris.len() > 1, "the specs themselves, which tell of all groups: {resources}");
    for uri in uris {
        let read = served.ask(&[A], "resources/read", json!({"uri": uri})).await;
        assert_eq!(read.body["error"]["code"], -32602, "{uri}");
    }
    let read = served.ask(&[A], "resources/read", json!({"uri": "res://birds"})).await;
    assert_eq!(read.body["error"]["code"], -32602);
    for shown in [&[][..], &[("authorization", "Bearer canary-c")], &[("authorization", "Basic YTpi")]] {
        let refused = served.ask(shown, "tools/list", json!({})).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{shown:?}");
        assert!(refused.challenge.expect("a challenge").starts_with("Bearer realm"));
    }
    assert!(!served.log().contains("canary"), "{}", served.log());
}

#[tokio::test]
async fn what_a_spec_asks_for_opens_that_spec_alone_where_the_operator_gives_tokens() {
    let (_backend, base) = Backend::start().await;
    let served = Served::start(&base, TOKENS, &[]).await;
    let birds = ["list_birds", "add_birds", "delete_birds"];
    assert_eq!(served.tools(&[BIRDS]).await, birds);
    assert_eq!(served.tools(&[BIRDS, A]).await, ["list_pets", "add_pets"], "the operator's word goes first");
    assert!(served.call(&[BIRDS], "list_pets").await.is_unknown_tool());
    let told = served.ask(&[BIRDS], "server/discover", json!({})).await.body["result"]["instructions"].clone();
    assert!(!told.to_string().contains("pets"), "{told}");
}

#[tokio::test]
async fn a_session_is_that_of_one_caller_whatever_others_may_use() {
    let (_backend, base) = Backend::start().await;
    let issuer = Issuer::start().await;
    let tokens = "tokens: [{ name: a, token: env:A }, { name: b, token: file:b.token }]";
    let config = format!("{tokens}\noauth: {{ issuer: '{}', resource: '{RESOURCE}' }}", issuer.url);
    let served = Served::start(&base, &config, &[]).await;
    let mut claims = issuer.claims("");
    let alice = bearer(&issuer.sign(&claims));
    claims["sub"] = json!("bob");
    let bob = bearer(&issuer.sign(&claims));
    let of = |token| ("authorization", token);
    for (owner, other) in [(A, B), (of(alice.as_str()), of(bob.as_str()))] {
        let id = served.session(&[owner]).await;
        let session = ("mcp-session-id", id.as_str());
        let list = || message(2, "tools/list", &json!({}));
        assert_eq!(served.post(&[other, session], list()).await.status, StatusCode::NOT_FOUND);
        assert_eq!(served.post(&[owner, session], list()).await.status, StatusCode::OK);
        let (mut events, endpoint) = served.stream(owner).await;
        for (shown, expected) in [(other, StatusCode::NOT_FOUND), (owner, StatusCode::ACCEPTED)] {
            let response = within(served.client.post(&endpoint, list(), &[shown]).send()).await.expect("an answer");
            assert_eq!(response.status(), expected);
        }
        assert_eq!(events.message().await["id"], 2);
    }
}

fn oauth(issuer: &Issuer, more: &str) -> String {
    format!("oauth:\n  issuer: '{}'\n  resource: {RESOURCE}\n  {more}\n", issuer.url)
}

const SCOPES: &str = "scopes: { required: [use], risks: { read: [look], write: [change], destructive: [change, remove] }, groups: { birds: \
                      [birds] }, tools: { add_pets: [pets:add] }, implied: { admin: [change, remove] } }";

#[tokio::test]
async fn clients_are_told_where_tokens_come_from() {
    let (_backend, base) = Backend::start().await;
    let issuer = Issuer::start().await;
    let served = Served::start(&base, &oauth(&issuer, SCOPES), &[]).await;
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let response = within(served.client.get(path).send()).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let metadata: Value = serde_json::from_str(&response.text().await.expect("text")).expect("JSON");
        assert_eq!(metadata["resource"], RESOURCE);
        assert_eq!(metadata["authorization_servers"], json!([issuer.url]));
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
        assert_eq!(metadata["scopes_supported"], json!(["look", "use"]));
        let foreign = served.client.get(path).header("host", "evil.example.com");
        assert_eq!(within(foreign.send()).await.expect("an answer").status(), StatusCode::FORBIDDEN);
    }
    let elsewhere = served.client.get("/.well-known/oauth-protected-resource/other");
    assert_eq!(within(elsewhere.send()).await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    let pointer = r#"resource_metadata="https://tools.test/.well-known/oauth-protected-resource/mcp""#;
    let refused = served.ask(&[], "tools/list", json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.challenge, Some(format!(r#"Bearer realm="keyglass", scope="look use", {pointer}"#)));
    for path in ["/mcp", "/sse"] {
        let response = within(served.client.get(path).send()).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers()["www-authenticate"].to_str().expect("text").contains(pointer));
    }
    let refused = served.ask(&[("authorization", "Bearer a.b.c")], "tools/list", json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let invalid = format!(r#"Bearer realm="keyglass", error="invalid_token", scope="look use", {pointer}"#);
    assert_eq!(refused.challenge, Some(invalid));
    for malformed in ["Bearer", "Bearer a b"] {
        let refused = served.ask(&[("authorization", malformed)], "tools/list", json!({})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{malformed}");
        assert!(refused.challenge.expect("a challenge").contains(r#"error="invalid_request""#));
    }
}

#[tokio::test]
async fn only_tokens_of_the_issuer_for_this_server_at_this_time_are_taken() {
    let (backend, base) = Backend::start().await;
    let issuer = Issuer::start().await;
    let served = Served::start(&base, &oauth(&issuer, ""), &[]).await;
    let with = |member: &str, value: Value| {
        let mut claims = issuer.claims("");
        match value {
            Value::Null => claims.as_object_mut().expect("an object").remove(member).map(drop).unwrap_or_default(),
            value => claims[member] = value,
        }
        claims
    };
    let signed = |header: Header, key: &EncodingKey| encode(&header, &issuer.claims(""), key).expect("a token");
    let key = issuer.key();
    let named = |algorithm| Header { kid: Some("one".to_owned()), ..Header::new(algorithm) };
    let part = |value: Value| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, value.to_string());
    let unsigned = format!("{}.{}.", part(json!({"alg": "none", "kid": "one"})), part(issuer.claims("")));
    let good = issuer.token("");
    let (head, _) = good.rsplit_once('.').expect("three parts");
    let (_, foreign) = good.rsplit_once('.').expect("three parts");
    let (start, _) = head.split_once('.').expect("two parts");
    let changed = format!("{start}.{}.{foreign}", part(with("sub", json!("mallory"))));
    // What anyone can read of the key is no secret that a token could be made with.
    let public = |text: String| EncodingKey::from_secret(text.as_bytes());
    let coordinates = ["x", "y"].map(|name| key.public[name].as_str().expect("text"));
    let point: Vec<u8> = [vec![4]]
        .into_iter()
        .chain(
            coordinates
                .map(|text| base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text).expect("base64")),
        )
        .flatten()
        .collect();
    for (what, token) in [
        ("another audience", issuer.sign(&with("aud", json!("https://other.test/mcp")))),
        ("no audience", issuer.sign(&with("aud", Value::Null))),
        ("a longer audience", issuer.sign(&with("aud", json!(format!("{RESOURCE}/x"))))),
        ("expired", issuer.sign(&with("exp", json!(now() - 60)))),
        ("no end", issuer.sign(&with("exp", Value::Null))),
        ("an end that is none", issuer.sign(&with("exp", json!("tomorrow")))),
        ("not yet valid", issuer.sign(&with("nbf", json!(now() + 300)))),
        ("another issuer", issuer.sign(&with("iss", json!("https://other.test")))),
        ("no issuer", issuer.sign(&with("iss", Value::Null))),
        ("issuers", issuer.sign(&with("iss", json!([issuer.url, "https://other.test"])))),
        ("no subject", issuer.sign(&with("sub", Value::Null))),
        ("unsigned", unsigned),
        ("without a signature", format!("{head}.")),
        ("changed", changed),
        ("a secret that is the public key", signed(named(Algorithm::HS256), &public(key.public.to_string()))),
        ("a secret that is its point", signed(named(Algorithm::HS256), &EncodingKey::from_secret(&point))),
        ("another key of the same name", signed(named(Algorithm::ES256), &SigningKey::new("one").private)),
        ("an unknown key", signed(Header { kid: Some("x".to_owned()), ..named(Algorithm::ES256) }, &key.private)),
        (
            "of another kind",
            signed(Header { typ: Some("dpop+jwt".to_owned()), ..named(Algorithm::ES256) }, &key.private),
        ),
        (
            "with its own key",
            signed(
                Header {
                    jwk: Some(serde_json::from_value(SigningKey::new("one").public).expect("a key")),
                    ..named(Algorithm::ES256)
                },
                &SigningKey::new("one").private,
            ),
        ),
    ] {
        let shown = bearer(&token);
        let answer = served.call(&[("authorization", &shown)], "list_pets").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        assert!(answer.challenge.expect("a challenge").contains(r#"error="invalid_token""#), "{what}");
        assert!(!served.log().contains(&token), "{what}");
    }
    assert_eq!(backend.seen().len(), 0);
    let mut without_scope = issuer.claims("");
    without_scope["scope"] = Value::Null;
    for claims in [
        issuer.claims(""),
        with("aud", json!(["https://other.test", RESOURCE])),
        with("nbf", Value::Null),
        without_scope,
        with("exp", json!(now() as f64 + 60.5)),
    ] {
        let shown = bearer(&issuer.sign(&claims));
        let answer = served.call(&[("authorization", &shown)], "list_pets").await;
        assert_eq!(answer.body["result"]["isError"], json!(false), "{claims} {answer:?}");
    }
    for seen in backend.seen() {
        assert_eq!(seen["authorization"], "Bearer canary-backend");
        assert!(!format!("{seen:?}").contains("eyJ"), "{seen:?}");
    }
    assert!(!served.log().contains(&good) && !served.log().contains("canary"));
}

#[tokio::test]
async fn new_keys_are_fetched_when_they_are_used_and_not_too_often() {
    let (_backend, base) = Backend::start().await;
    let issuer = Issuer::start().await;
    let explicit = format!("jwks_uri: '{}/keys'", issuer.url);
    for more in ["", &explicit] {
        let before = issuer.fetched();
        let served = Served::start(&base, &oauth(&issuer, more), &[]).await;
        let ask = async |token: &str| {
            let shown = bearer(token);
            served.ask(&[("authorization", &shown)], "tools/list", json!({})).await.status
        };
        let old = issuer.token("");
        assert_eq!(ask(&old).await, StatusCode::OK);
        assert_eq!(ask(&old).await, StatusCode::OK);
        assert_eq!(issuer.fetched(), before + 1, "kept");
        let id = format!("two{more}");
        *issuer.keys.lock().expect("no panic") = vec![SigningKey::new(&id)];
        assert_eq!(ask(&issuer.token("")).await, StatusCode::OK, "a new key");
        assert_eq!(ask(&old).await, StatusCode::UNAUTHORIZED, "its key is gone");
        let key = issuer.key();
        let mut asked = issuer.fetched();
        for number in 0..20 {
            let header = Header { kid: Some(format!("unknown-{number}")), ..Header::new(Algorithm::ES256) };
            let token = encode(&header, &issuer.claims(""), &key.private).expect("a token");
            let status = ask(&token).await;
            // What the issuer is not asked about is not known.
            let expected =
                if issuer.fetched() > asked { StatusCode::UNAUTHORIZED } else { StatusCode::SERVICE_UNAVAILABLE };
            assert_eq!(status, expected, "{number}");
            asked = issuer.fetched();
        }
        assert!(issuer.fetched() <= before + 6, "{} times", issuer.fetched() - before);
        assert_eq!(ask(&issuer.token("")).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn keys_that_cannot_be_used_take_no_room() {
    let (_backend, base) = Backend::start().await;
    let issuer = Issuer::start().await;
    let unusable = SigningKey { public: json!({"kty": "future", "kid": "x"}), ..issuer.key() };
    issuer.keys.lock().expect("no panic").splice(0..0, vec![unusable; 300]);
    let served = Served::start(&base, &oauth(&issuer, ""), &[]).await;
    let shown = bearer(&issuer.token(""));
    let answer = served.call(&[("authorization", &shown)], "list_pets").await;
    assert_eq!(answer.body["result"]["isError"], json!(false), "{answer:?}");
}

#[tokio::test]
async fn without_the_keys_of_the_issuer_nobody_is_let_in() {
    let (backend, base) = Backend::start().await;
    let issuer = Issuer::start().await;
    let elsewhere = listening(Router::new()).await;
    for place in [
        format!("jwks_uri: '{elsewhere}/keys'"),
        format!("jwks_uri: '{}/.well-known/oauth-authorization-server'", issuer.url),
    ] {
        let served = Served::start(&base, &oauth(&issuer, &place), &[]).await;
        let shown = bearer(&issuer.token(""));
        let answer = served.call(&[("authorization", &shown)], "list_pets").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    }
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn what_a_token_may_do_is_what_its_scopes_say() {
    let (backend, base) = Backend::start().await;
    let issuer = Issuer::start().await;
    let served = Served::start(&base, &oauth(&issuer, SCOPES), &[]).await;
    let tokens: HashMap<&str, String> =
        ["", "use", "use look", "use look change", "use look admin", "use look admin pets:add birds"]
            .map(|scope| (scope, bearer(&issuer.token(scope))))
            .into();
    let shown = |scope: &str| ("authorization", tokens[scope].as_str());
    for (scope, tools) in [
        ("use look", &["list_pets"][..]),
        ("use look change", &["list_pets"]),
        ("use look admin", &["list_pets", "delete_pets"]),
        ("use look admin pets:add birds", &["list_pets", "add_pets", "delete_pets"]),
    ] {
        let list = served.ask(&[shown(scope)], "tools/list", json!({})).await;
        assert_eq!(names(&list.body["result"]["tools"]), tools, "{scope}");
        assert_eq!(list.body["result"]["cacheScope"], "private");
    }
    // A gate stays one: its tools need what the spec asks for, and the scopes.
    let both = [shown("use look admin pets:add birds"), BIRDS];
    assert_eq!(served.tools(&both).await.len(), 6);
    assert_eq!(served.tools(&[shown("use look"), BIRDS]).await, ["list_pets"]);
    assert!(served.call(&[shown("use look admin pets:add birds")], "list_birds").await.is_unknown_tool());
    assert_eq!(served.tools(&[BIRDS]).await.len(), 3, "the spec's own callers need no token");

    let before = backend.seen().len();
    for (scope, tool, needed) in [
        ("", "list_pets", "use"),
        ("use", "list_pets", "look use"),
        ("use look", "add_pets", "change pets:add use"),
        ("use look change", "add_pets", "change pets:add use"),
        ("use look change", "delete_pets", "change remove use"),
    ] {
        let refused = served.call(&[shown(scope)], tool).await;
        let expected = format!(
            r#"Bearer realm="keyglass", error="insufficient_scope", scope="{needed}", resource_metadata="https://tools.test/.well-known/oauth-protected-resource/mcp""#
        );
        assert_eq!((refused.status, refused.challenge), (StatusCode::FORBIDDEN, Some(expected)), "{scope} {tool}");
    }
    assert_eq!(served.ask(&[shown("")], "tools/list", json!({})).await.status, StatusCode::FORBIDDEN);
    // What the headers say is looked at before the body comes; what the body says counts too.
    let headers = [shown("use look"), ("mcp-method", "tools/call"), ("mcp-name", "delete_pets")];
    assert_eq!(served.post(&headers, json!({})).await.status, StatusCode::FORBIDDEN);
    let id = served.session(&[shown("use look")]).await;
    let call = message(3, "tools/call", &json!({"name": "delete_pets"}));
    let disguised =
        [shown("use look"), ("mcp-session-id", &id), ("mcp-method", "tools/call"), ("mcp-name", "list_pets")];
    for headers in [&disguised[..2], &disguised] {
        assert_eq!(served.post(headers, call.clone()).await.status, StatusCode::FORBIDDEN);
    }
    let (_events, endpoint) = served.stream(shown("use look")).await;
    let response = within(served.client.post(&endpoint, call, &[shown("use look")]).send()).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(served.call(&[shown("use look")], "nothing").await.is_unknown_tool());
    assert_eq!(backend.seen().len(), before, "refused calls went nowhere");

    let answer = served.call(&[shown("use look admin")], "delete_pets").await;
    assert_eq!(answer.body["result"]["isError"], json!(false), "{answer:?}");
    let read = served.ask(&[shown("use look")], "resources/read", json!({"uri": "res://pets"})).await;
    assert!(read.body["result"]["contents"].is_array(), "{read:?}");
    let prompt = served.ask(&[shown("use look")], "prompts/get", json!({"name": "about_pets"})).await;
    assert!(prompt.body["result"]["messages"].is_array(), "{prompt:?}");
    for seen in backend.seen() {
        assert_eq!(seen["authorization"], "Bearer canary-backend");
    }
    let log = served.log();
    assert!(tokens.values().all(|token| !log.contains(token.trim_start_matches("Bearer "))));
}

const KEY_HEADER: &str = "x-keyglass-backend-key";

#[tokio::test]
async fn a_key_that_a_caller_brings_is_sent_in_the_place_of_the_configured_one() {
    let (backend, base) = Backend::start().await;
    let tokens = "tokens: [{ name: a, token: env:A }]\n";
    let config = format!("{tokens}caller_backend_key: {{ namespaces: [pets] }}");
    let served = Served::start(&base, &config, &[]).await;
    let sent = || backend.seen().last().expect("a request")["authorization"].to_str().expect("text").to_owned();
    let own = (KEY_HEADER, "canary-own-key");
    for (shown, tool, expected) in [
        (&[A][..], "list_pets", "Bearer canary-backend"),
        (&[A, own], "list_pets", "Bearer canary-own-key"),
        (&[A, own], "list_birds", "Bearer canary-backend"),
    ] {
        let answer = served.call(shown, tool).await;
        assert_eq!(answer.body["result"]["isError"], json!(false), "{answer:?}");
        assert_eq!(sent(), expected, "{tool}");
        // The backend repeats what it is sent.
        assert!(!answer.body.to_string().contains("canary"), "{answer:?}");
    }
    let (mut events, endpoint) = served.stream(A).await;
    let call = message(7, "tools/call", &json!({"name": "list_pets"}));
    let response = within(served.client.post(&endpoint, call.clone(), &[A, own]).send()).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::NOT_FOUND, "with a key it is another caller");
    within(served.client.post(&endpoint, call.clone(), &[A]).send()).await.expect("an answer");
    events.message().await;
    assert_eq!(sent(), "Bearer canary-backend");
    let id = served.session(&[A, own]).await;
    let session = ("mcp-session-id", id.as_str());
    for (shown, expected) in [
        (&[A, session][..], StatusCode::NOT_FOUND),
        (&[A, session, (KEY_HEADER, "canary-other-key")], StatusCode::NOT_FOUND),
        (&[A, session, own], StatusCode::OK),
    ] {
        assert_eq!(served.post(shown, call.clone()).await.status, expected, "{shown:?}");
    }
    assert_eq!(sent(), "Bearer canary-own-key");
    let list = served.ask(&[A, own], "tools/list", json!({})).await;
    assert_eq!(list.body["result"]["cacheScope"], "private");
    for wrong in ["", "a b"] {
        let refused = served.ask(&[A, (KEY_HEADER, wrong)], "tools/list", json!({})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let refused = served.ask(&[own], "tools/list", json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "it is no token");
    assert!(backend.seen().iter().all(|seen| !seen.contains_key(KEY_HEADER)));
    assert!(!served.log().contains("canary"), "{}", served.log());
}

#[tokio::test]
async fn keys_of_callers_go_nowhere_unless_the_operator_says_so() {
    let (backend, base) = Backend::start().await;
    let served = Served::start(&base, "", &[]).await;
    served.call(&[(KEY_HEADER, "canary-own-key")], "list_pets").await;
    let seen = backend.seen();
    assert_eq!(seen[0]["authorization"], "Bearer canary-backend");
    assert!(!format!("{seen:?}").contains("own-key"));
    assert!(!served.log().contains("own-key"));
}

#[tokio::test]
async fn where_the_backend_tells_of_a_key_its_tools_are_those_that_it_reaches() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "caller_backend_key: { header: X-Own-Key, namespaces: [runloop-secrets, runloop-restricted-keys] }\n\
                  groups: [runloop]\ndata_dir: data\n";
    std::fs::write(folder.path().join("keyglass.yaml"), config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
    command.args(["serve", "--http", "127.0.0.1:0", "--config"]).arg(folder.path().join("keyglass.yaml"));
    command.env_clear().env("KEYGLASS_LOG", "trace").env("HOME", folder.path()).envs(UNASKED);
    let served = Served::of(command, folder).await;
    let all = served.tools(&[]).await;
    let make = async |level: &str| {
        let scopes = json!([{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": level}]);
        let arguments = json!({"name": "a", "scopes": scopes});
        let made =
            served.ask(&[], "tools/call", json!({"name": "create_restricted_key", "arguments": arguments})).await;
        made.body["result"]["structuredContent"]["key_secret"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
    };
    let (reads, writes) = (make("ACCESS_LEVEL_READ").await, make("ACCESS_LEVEL_WRITE").await);
    fn own(key: &str) -> (&str, &str) {
        ("x-own-key", key)
    }
    assert_eq!(served.tools(&[own(&writes)]).await, all);
    let list = served.ask(&[own(&reads)], "tools/list", json!({})).await;
    assert_eq!(list.body["result"]["cacheScope"], "private");
    let readable = names(&list.body["result"]["tools"]);
    assert!(readable.contains(&"list_secrets".to_owned()), "{readable:?}");
    assert!(readable.contains(&"create_api_key".to_owned()), "of a service that is not sent the key: {readable:?}");
    for hidden in ["create_secret", "create_restricted_key"] {
        assert!(all.contains(&hidden.to_owned()) && !readable.contains(&hidden.to_owned()), "{readable:?}");
        assert!(served.call(&[own(&reads)], hidden).await.is_unknown_tool());
    }
    let answer = served.call(&[own(&reads)], "list_secrets").await;
    assert_eq!(answer.body["result"]["isError"], json!(false), "{answer:?}");
    let answer = served.call(&[own("ak_canary-of-nobody")], "list_secrets").await;
    assert_eq!(answer.body["result"]["isError"], json!(true), "{answer:?}");
    assert!(!answer.body.to_string().contains("canary"));
    let log = served.log();
    assert!(!log.contains("canary") && !log.contains(&reads) && !log.contains(&writes));
}

#[tokio::test]
async fn a_service_without_a_credential_is_called_with_keys_of_callers_alone_and_at_one_place() {
    let (backend, base) = Backend::start().await;
    let (other, elsewhere) = Backend::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, base: &str| {
        let text = format!(
            "ikanos: 1.0.0-beta5\n\
             info: {{display: Test, description: A service.}}\n\
             binds: [{{namespace: env, keys: {{PETS_KEY: PETS_KEY}}}}]\n\
             capability:\n\
             \x20 consumes:\n\
             \x20 - type: http\n\
             \x20   namespace: pets\n\
             \x20   baseUri: '{base}'\n\
             \x20   authentication: {{type: apikey, key: X-Pets, value: '{{{{PETS_KEY}}}}'}}\n\
             \x20   resources: [{{path: /{name}, operations: [{{name: get, method: GET, description: Get it.}}]}}]\n\
             \x20 exposes:\n\
             \x20 - {{type: mcp, namespace: {name}, description: About., tools: [{{name: get_{name}, description: Get it., call: pets.get}}]}}\n"
        );
        std::fs::write(folder.path().join(format!("{name}.yaml")), text).expect("written");
    };
    write("a", &base);
    write("b", &elsewhere);
    let config = "capabilities: [a.yaml, b.yaml]\ncaller_backend_key: { namespaces: [pets] }\n";
    std::fs::write(folder.path().join("keyglass.yml"), config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
    command.args(["serve", "--http", "127.0.0.1:0", "--config"]).arg(folder.path().join("keyglass.yml"));
    command.env_clear().env("KEYGLASS_LOG", "trace").env("HOME", folder.path()).envs(UNASKED);
    let served = Served::of(command, folder).await;
    let own = (KEY_HEADER, "canary-own-key");
    let answer = served.call(&[own], "get_a").await;
    assert_eq!(answer.body["result"]["isError"], json!(false), "{answer:?}");
    assert_eq!(backend.seen()[0]["x-pets"], "canary-own-key");
    assert!(!answer.body.to_string().contains("canary"), "{answer:?}");
    for (shown, tool) in [(&[][..], "get_a"), (&[own], "get_b"), (&[], "get_b")] {
        let answer = served.call(shown, tool).await;
        assert_eq!(answer.body["result"]["isError"], json!(true), "{tool} {answer:?}");
    }
    assert_eq!((backend.seen().len(), other.seen().len()), (1, 0));
    assert!(served.log().contains("the keys of callers for `pets` go to"));
}
