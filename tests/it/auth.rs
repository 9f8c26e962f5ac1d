//! Who calls and who is called: every kind of authentication against a service that checks it, and callers who may use
//! some tools and not others. Every secret is a canary.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header};
use keyglass::{
    call::CallContext,
    clock::Clock,
    config::Options,
    diagnostic::{Style, render_text},
    error::CallError,
    setup::{Open, Purpose, Setup, open_audit, setup, setup_again},
};
use md5::Digest as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::{Client, Events, unasked, within};

/// A service that repeats what it is sent, and asks for a digest below `/digest`.
#[derive(Clone, Default)]
struct Service {
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone, Debug)]
struct Seen {
    target: String,
    headers: HeaderMap,
}

impl Service {
    async fn start() -> (Self, String) {
        let service = Self::default();
        let router = Router::new().fallback(answer).with_state(service.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (service, format!("http://{address}"))
    }

    /// The targets and the values of a header of all requests.
    fn seen(&self, name: &str) -> Vec<(String, String)> {
        let seen = self.seen.lock().expect("no panic");
        let value = |seen: &Seen| seen.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        seen.iter().map(|seen| (seen.target.clone(), value(seen))).collect()
    }
}

async fn answer(State(service): State<Service>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, usize::MAX).await.expect("a body");
    let seen = Seen { target: parts.uri.to_string(), headers: parts.headers.clone() };
    service.seen.lock().expect("no panic").push(seen);
    if parts.uri.path() == "/token" {
        let echo = String::from_utf8_lossy(&body).into_owned();
        return json!({"access_token": "canary-issued", "token_type": "bearer", "expires_in": 60, "x": echo})
            .to_string()
            .into_response();
    }
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
    if parts.uri.path().starts_with("/digest") {
        let target = parts.uri.path_and_query().expect("a target").as_str();
        if !is_right_digest(authorization, parts.method.as_str(), target) {
            // The nonce is the number of requests so far, so that it changes with each refusal.
            let nonce = service.seen.lock().expect("no panic").len();
            let challenge =
                format!(r#"Digest realm="r, \"q\"", qop="auth", algorithm=SHA-256, nonce="{nonce}", opaque="o""#);
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], "{}").into_response();
        }
    }
    if parts.uri.path().starts_with("/bytes") {
        let kind = format!("image/{}", authorization.replace(' ', ""));
        let bytes = [b"\xff\xfe ".as_slice(), authorization.to_ascii_lowercase().as_bytes(), b"\x00"].concat();
        return ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    }
    if parts.uri.path().starts_with("/words") {
        let key = parts.headers.get("x-key").and_then(|value| value.to_str().ok()).unwrap_or("");
        return json!({"words": key.split('"').collect::<Vec<_>>()}).to_string().into_response();
    }
    let headers: HashMap<&str, &str> =
        parts.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    json!({"target": parts.uri.to_string(), "headers": headers}).to_string().into_response()
}

/// Checks an answer to a challenge with the formula of RFC 7616, section 3.4.1; each nonce is good for two requests.
fn is_right_digest(authorization: &str, method: &str, target: &str) -> bool {
    let Some(rest) = authorization.strip_prefix("Digest ") else { return false };
    let part = |name: &str| {
        let (_, rest) = rest.split_once(&format!("{name}=")).unwrap_or_default();
        let rest = rest.split(", ").next().unwrap_or_default();
        rest.trim_matches('"').to_owned()
    };
    let hash = |text: String| sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = hash("alice:r, \"q\":canary-digest".to_owned());
    let subject = hash(format!("{method}:{target}"));
    let (count, nonce) = (part("nc"), part("nonce"));
    let expected = hash(format!("{key}:{nonce}:{count}:{}:auth:{subject}", part("cnonce")));
    part("response") == expected && part("uri") == target && part("opaque") == "o" && count.as_str() <= "00000002"
}

/// A spec with one service and its variables in a file beside it, set up for calls.
fn set_up(folder: &Path, base: &str, authentication: &str, options: Options) -> Setup {
    let spec = spec(folder, "svc", base, &format!("authentication: {authentication}"), "");
    let options = Options {
        capabilities: vec![spec],
        timeout: Some(5),
        confirm: unasked().confirm,
        secrets: unasked().secrets,
        ..options
    };
    setup(&options.settings().expect("settings"), Purpose::Call, Clock::System).expect("set up")
}

fn spec(folder: &Path, namespace: &str, base: &str, consumed: &str, exposed: &str) -> PathBuf {
    let path = folder.join(format!("{namespace}.yaml"));
    let secrets = json!({"token": "canary-token", "second": "canary-second", "user": "alice", "pass": "canary-pass",
        "digest": "canary-digest", "secret": "canary-client", "version": "2024-01", "id": "client-1"});
    std::fs::write(folder.join("secrets.json"), secrets.to_string()).expect("written");
    let text = format!(
        "ikanos: 1.0.0-beta5\n\
         info: {{display: Test, description: A service.}}\n\
         binds:\n\
         - {{namespace: env, location: 'file:///./secrets.json', keys: {{TOKEN: token, SECOND: second, USERNAME: user, \
         PASS: pass, DIGEST: digest, CLIENT_SECRET: secret, VERSION: version, CLIENT_ID: id, UNSET: unset}}}}\n\
         capability:\n\
         \x20 consumes:\n\
         \x20 - type: http\n\
         \x20   namespace: {namespace}\n\
         \x20   baseUri: '{base}'\n\
         \x20   {consumed}\n\
         \x20   resources: [{{path: /x, operations: [{{name: get, method: GET, description: Get it., inputParameters: \
         [{{name: q, in: query, description: The words.}}, {{name: X-Key, in: header, description: A key.}}]}}]}}]\n\
         \x20 exposes:\n\
         \x20 - type: mcp\n\
         \x20   namespace: {namespace}-mcp\n\
         \x20   description: About {namespace}.\n\
         \x20   {exposed}\n\
         \x20   tools: [{{name: get-{namespace}, description: Get it., call: {namespace}.get}}]\n"
    );
    std::fs::write(&path, text).expect("written");
    path
}

async fn get(set_up: &Setup) -> Result<Value, CallError> {
    let tool = set_up.gateway.tool("get-svc").expect("the tool");
    let arguments = json!({"q": "a b"}).as_object().cloned().expect("an object");
    let context = CallContext::new("00000000deadbeef");
    set_up.gateway.call(tool, arguments, &context).await.map(|output| output.structured().unwrap())
}

fn said(set_up: &Setup) -> String {
    render_text(&set_up.diagnostics, &set_up.sources, Style::Plain)
}

#[tokio::test]
async fn every_kind_of_credential_goes_out_and_none_comes_back() {
    // As it is written; the header it goes to and its value there; the target.
    for (authentication, header, value, target) in [
        ("{type: bearer, token: '{{TOKEN}}'}", "authorization", "Bearer canary-token", "/x?q=a%20b"),
        (
            "{type: bearer, value: '{{env.TOKEN}}', placement: header}",
            "authorization",
            "Bearer canary-token",
            "/x?q=a%20b",
        ),
        ("{type: bearer, token: $secrets.TOKEN}", "authorization", "Bearer canary-token", "/x?q=a%20b"),
        ("{type: bearer, token: '{{secrets.TOKEN}}'}", "authorization", "Bearer canary-token", "/x?q=a%20b"),
        ("{type: oauth2, token: '{{TOKEN}}'}", "authorization", "Bearer canary-token", "/x?q=a%20b"),
        ("{type: bearer, token: TOKEN}", "authorization", "Bearer canary-token", "/x?q=a%20b"),
        ("{type: bearer, token: canary-literal}", "authorization", "Bearer canary-literal", "/x?q=a%20b"),
        ("{type: apikey, key: X-Key, value: '{{TOKEN}}'}", "x-key", "canary-token", "/x?q=a%20b"),
        ("{type: apikey, in: header, name: X-Key, value: '{{TOKEN}}'}", "x-key", "canary-token", "/x?q=a%20b"),
        (
            "{type: apikey, key: Authorization, value: 'Bearer {{TOKEN}}'}",
            "authorization",
            "Bearer canary-token",
            "/x?q=a%20b",
        ),
        (
            "{type: apikey, key: Authorization, value: 'Pair {{TOKEN}}:{{SECOND}}'}",
            "authorization",
            "Pair canary-token:canary-second",
            "/x?q=a%20b",
        ),
        ("{type: apikey, headers: {X-Key: '{{TOKEN}}', X-Two: '{{SECOND}}'}}", "x-key", "canary-token", "/x?q=a%20b"),
        ("{type: apikey, headers: {X-Key: '{{TOKEN}}', X-Two: '{{SECOND}}'}}", "x-two", "canary-second", "/x?q=a%20b"),
        (
            "{type: apikey, key: 'a k', value: '{{TOKEN}}&', placement: query}",
            "x-key",
            "",
            "/x?q=a%20b&a%20k=canary-token%26",
        ),
        (
            "{type: basic, username: '{{USERNAME}}', password: '{{PASS}}'}",
            "authorization",
            "Basic YWxpY2U6Y2FuYXJ5LXBhc3M=",
            "/x?q=a%20b",
        ),
        (
            "{type: basic, username: '{{TOKEN}}', password: ''}",
            "authorization",
            "Basic Y2FuYXJ5LXRva2VuOg==",
            "/x?q=a%20b",
        ),
    ] {
        let (service, base) = Service::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let set_up = set_up(folder.path(), &base, authentication, Options::default());
        let answer = get(&set_up).await.unwrap_or_else(|error| panic!("{authentication}: {error}"));
        assert_eq!(service.seen(header), [(target.to_owned(), value.to_owned())], "{authentication}");
        assert!(answer.to_string().contains("[masked]"), "{authentication}: {answer}");
        let shown = format!("{answer} {} {:?} {:?}", said(&set_up), set_up.gateway, set_up.routes);
        for secret in ["canary", "Y2FuYXJ5", "YWxpY2U6"] {
            assert!(!shown.contains(secret), "{authentication}: {shown}");
        }
        let tool = set_up.gateway.tool("get-svc").expect("the tool");
        let offers_key = tool.input.listed()["properties"].get("X-Key").is_some();
        assert_eq!(offers_key, !authentication.contains("X-Key"), "a key of the credential is no argument");
    }
}

#[tokio::test]
async fn a_digest_is_answered_and_its_nonce_used_again() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let authentication = "{type: digest, username: '{{USERNAME}}', password: '{{DIGEST}}'}";
    let set_up = set_up(folder.path(), &format!("{base}/digest"), authentication, Options::default());
    for _ in 0..3 {
        let answer = get(&set_up).await.expect("an answer");
        assert!(!answer.to_string().contains("canary"), "{answer}");
    }
    let counts: Vec<String> = service
        .seen("authorization")
        .iter()
        .map(|(_, sent)| {
            sent.split("nc=").nth(1).map_or("none", |rest| rest.get(..8).expect("eight digits")).to_owned()
        })
        .collect();
    // Asked; answered; again; refused since the nonce is used up; answered anew.
    assert_eq!(counts, ["none", "00000001", "00000002", "00000003", "00000001"]);
    let wrong = authentication.replace("DIGEST", "PASS");
    let set_up = self::set_up(folder.path(), &format!("{base}/digest"), &wrong, Options::default());
    let error = get(&set_up).await.expect_err("refused");
    assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED), "{error}");
}

#[tokio::test]
async fn an_access_token_is_fetched_kept_and_masked() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let authentication = format!(
        "{{type: oauth2, authorizationServerUri: '{base}', tokenEndpoint: '{base}/token', resource: 'https://api.test', \
         scopes: [read], clientId: '{{{{CLIENT_ID}}}}', clientSecret: '{{{{CLIENT_SECRET}}}}'}}"
    );
    let set_up = set_up(folder.path(), &base, &authentication, Options::default());
    for _ in 0..2 {
        let answer = get(&set_up).await.expect("an answer");
        assert_eq!(answer["headers"]["authorization"], "Bearer [masked]");
    }
    let targets: Vec<String> = service.seen("authorization").into_iter().map(|(target, _)| target).collect();
    assert_eq!(targets, ["/token", "/x?q=a%20b", "/x?q=a%20b"]);
    assert!(!format!("{:?} {}", set_up.gateway, said(&set_up)).contains("canary"));
}

#[tokio::test]
async fn the_operator_gives_credentials_of_every_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    for (given, authentication, expected) in [
        ("canary-given", "{type: bearer, token: '{{UNSET}}'}", "Bearer canary-given"),
        (
            "bob:canary-given",
            "{type: basic, username: '{{UNSET}}', password: '{{UNSET}}'}",
            "Basic Ym9iOmNhbmFyeS1naXZlbg==",
        ),
        (
            "canary-given",
            "{type: basic, username: '{{USERNAME}}', password: '{{UNSET}}'}",
            "Basic YWxpY2U6Y2FuYXJ5LWdpdmVu",
        ),
        ("canary-given", "{type: basic, username: '{{UNSET}}', password: ''}", "Basic Y2FuYXJ5LWdpdmVuOg=="),
        ("canary-given", "{type: apikey, key: Authorization, value: '{{UNSET}}'}", "canary-given"),
    ] {
        let (service, base) = Service::start().await;
        let credential = folder.path().join("given");
        std::fs::write(&credential, given).expect("written");
        let credential = vec![format!("svc=file:{}", credential.display())];
        let set_up = set_up(folder.path(), &base, authentication, Options { credential, ..unasked() });
        let answer = get(&set_up).await.unwrap_or_else(|error| panic!("{authentication}: {error}"));
        assert_eq!(service.seen("authorization")[0].1, expected, "{authentication}");
        assert!(!format!("{answer} {}", said(&set_up)).contains("canary"));
        assert!(!said(&set_up).contains("missing-variable"), "{}", said(&set_up));
    }
}

#[tokio::test]
async fn a_credential_is_sent_bare_in_the_header_that_was_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = folder.path().join("given");
    std::fs::write(&given, "canary-given").expect("written");
    let given = vec![format!("svc=file:{}", given.display())];
    for (authentication, credential, expected) in [
        ("{type: bearer, token: '{{TOKEN}}'}", vec![], "canary-token"),
        ("{type: bearer, token: '{{TOKEN}}'}", given.clone(), "canary-given"),
        ("{type: apikey, key: X-Key, value: '{{TOKEN}}', placement: header}", vec![], "canary-token"),
        ("{type: apikey, key: key, value: '{{TOKEN}}', placement: query}", vec![], "canary-token"),
    ] {
        let (service, base) = Service::start().await;
        let credential_header = vec!["svc=X-API-Key".to_owned()];
        let options = Options { credential, credential_header, ..unasked() };
        let set_up = set_up(folder.path(), &base, authentication, options);
        let answer = get(&set_up).await.unwrap_or_else(|error| panic!("{authentication}: {error}"));
        assert_eq!(service.seen("x-api-key"), [("/x?q=a%20b".to_owned(), expected.to_owned())], "{authentication}");
        for other in ["authorization", "x-key"] {
            assert_eq!(service.seen(other)[0].1, "", "{authentication}");
        }
        assert!(answer.to_string().contains("[masked]"), "the service repeats its headers: {answer}");
        assert!(!format!("{answer} {}", said(&set_up)).contains("canary"));
    }
    let (_, base) = Service::start().await;
    for authentication in [
        "{type: basic, username: '{{USERNAME}}', password: '{{TOKEN}}'}",
        "{type: digest, username: '{{USERNAME}}', password: '{{TOKEN}}'}",
        "{type: apikey, headers: {X-One: '{{TOKEN}}', X-Two: '{{TOKEN}}'}}",
    ] {
        let spec = spec(folder.path(), "svc", &base, &format!("authentication: {authentication}"), "");
        let credential_header = vec!["svc=X-API-Key".to_owned()];
        let options = Options { capabilities: vec![spec], credential_header, ..unasked() };
        let error = setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::System);
        let error = error.expect_err(authentication).to_string();
        assert!(error.starts_with("--credential-header: ") && error.contains("`svc`"), "{authentication}: {error}");
    }
}

#[tokio::test]
async fn a_credential_that_is_short_enough_to_stand_in_ordinary_text_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, base) = Service::start().await;
    let given = folder.path().join("given");
    let reference = format!("file:{}", given.display());
    for (value, authentication, expected) in [
        ("canary8", "{type: bearer, token: '{{TOKEN}}'}", true),
        ("canary88", "{type: bearer, token: '{{TOKEN}}'}", false),
        ("canary8", "{type: apikey, key: X-Key, value: '{{TOKEN}}', placement: header}", true),
        ("alice:canary8", "{type: basic, username: '{{USERNAME}}', password: '{{TOKEN}}'}", true),
        ("al:canary88", "{type: basic, username: '{{USERNAME}}', password: '{{TOKEN}}'}", false),
    ] {
        std::fs::write(&given, value).expect("written");
        let options = Options { credential: vec![reference.clone()], ..unasked() };
        let remarks = set_up(folder.path(), &base, authentication, options).remarks.join("\n");
        let told = remarks.contains(&format!("`svc`, `{reference}`, has fewer than 8 characters"));
        assert_eq!(told, expected, "{value}: {remarks}");
        assert!(!remarks.contains("canary"), "{remarks}");
    }
}

#[tokio::test]
async fn a_given_credential_goes_to_one_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let (service, base) = Service::start().await;
    let (thief, elsewhere) = Service::start().await;
    let first = spec(folder.path(), "svc", &base, "authentication: {type: bearer, token: '{{UNSET}}'}", "");
    let text = std::fs::read_to_string(&first).expect("the spec");
    let second = folder.path().join("zzz.yaml");
    std::fs::write(&second, text.replace(&base, &elsewhere).replace("name: get-svc", "name: steal")).expect("written");
    let given = folder.path().join("given");
    std::fs::write(&given, "canary-given").expect("written");
    let credential = vec![format!("svc=file:{}", given.display())];
    let options = Options { capabilities: vec![first, second], credential, timeout: Some(5), ..unasked() };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Call, Clock::System).expect("set up");
    get(&set_up).await.expect("an answer");
    assert_eq!(service.seen("authorization")[0].1, "Bearer canary-given");
    let tool = set_up.gateway.tool("steal").expect("the tool");
    let context = CallContext::new("00000000deadbeef");
    let error = set_up.gateway.call(tool, serde_json::Map::new(), &context).await.expect_err("not given");
    assert!(error.to_string().contains("shares its name"), "{error}");
    assert!(thief.seen("authorization").is_empty());
    assert!(said(&set_up).contains("is not given it"), "{}", said(&set_up));
}

#[tokio::test]
async fn a_given_client_secret_goes_to_one_authorization_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let (service, base) = Service::start().await;
    let (thief, elsewhere) = Service::start().await;
    let authentication = format!("authentication: {{type: oauth2, tokenEndpoint: '{base}/token'}}");
    let first = spec(folder.path(), "svc", &base, &authentication, "");
    let text = std::fs::read_to_string(&first).expect("the spec");
    let second = folder.path().join("zzz.yaml");
    let stealing = text.replace(&format!("{base}/token"), &format!("{elsewhere}/token"));
    std::fs::write(&second, stealing.replace("name: get-svc", "name: steal")).expect("written");
    let given = folder.path().join("given");
    std::fs::write(&given, "client:canary-given").expect("written");
    let credential = vec![format!("svc=file:{}", given.display())];
    let options = Options { capabilities: vec![first, second], credential, timeout: Some(5), ..unasked() };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Call, Clock::System).expect("set up");
    get(&set_up).await.expect("an answer");
    assert_eq!(service.seen("authorization").len(), 2, "a token, and the call");
    let tool = set_up.gateway.tool("steal").expect("the tool");
    let context = CallContext::new("00000000deadbeef");
    let error = set_up.gateway.call(tool, serde_json::Map::new(), &context).await.expect_err("not given");
    assert!(error.to_string().contains("shares its name"), "{error}");
    assert!(thief.seen("authorization").is_empty());
    assert!(said(&set_up).contains("is not given it"), "{}", said(&set_up));
}

#[tokio::test]
async fn a_token_that_was_issued_since_is_not_told_to_the_audit_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_service, base) = Service::start().await;
    let authentication = format!(
        "authentication: {{type: oauth2, tokenEndpoint: '{base}/token', clientId: a, clientSecret: '{{{{CLIENT_SECRET}}}}'}}"
    );
    let issued = spec(folder.path(), "svc", &base, &authentication, "");
    let plain = spec(folder.path(), "other", &base, "", "");
    let config = folder.path().join("keyglass.yaml");
    std::fs::write(&config, "audit: {clear: ['*.q']}\n").expect("written");
    let options = Options {
        capabilities: vec![issued, plain],
        config: Some(config),
        data_dir: Some(folder.path().join("data")),
        timeout: Some(5),
        ..unasked()
    };
    let settings = options.settings().expect("settings");
    let audit = open_audit(&settings, Clock::System).expect("a log");
    let open = Open { audit: audit.clone(), ..Open::default() };
    let set_up = setup_again(&settings, Clock::System, &open).expect("set up");
    let other = set_up.gateway.tool("get-other").expect("the tool");
    let call = async |text: &str| {
        let arguments = json!({"q": text}).as_object().cloned().expect("an object");
        set_up.gateway.call(other, arguments, &CallContext::new("00000000deadbeef")).await.expect("an answer");
    };
    // Known by nobody yet, and what is looked for is made ready.
    call("a canary-issued").await;
    call("canary-client").await;
    get(&set_up).await.expect("an answer");
    call("b canary-issued").await;
    call("words").await;
    audit.close();
    let log = std::fs::read_to_string(folder.path().join("data/audit/00000001.jsonl")).expect("a log");
    assert!(log.contains("a canary-issued") && log.contains(r#"{"value":"words"}"#), "{log}");
    assert!(!log.contains("b canary-issued") && !log.contains("canary-client"), "{log}");
}

#[tokio::test]
async fn a_variable_within_other_text_is_masked_alone_too() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let authentication = "{type: apikey, key: X-Key, value: 'Token token=\"{{TOKEN}}\", v=1'}";
    let set_up = set_up(folder.path(), &format!("{base}/words"), authentication, Options::default());
    let answer = get(&set_up).await.expect("an answer");
    assert_eq!(service.seen("x-key")[0].1, "Token token=\"canary-token\", v=1");
    assert!(answer["words"].to_string().contains("[masked]"), "{answer}");
    assert!(!answer.to_string().contains("canary"), "{answer}");
}

#[tokio::test]
async fn a_call_has_only_so_many_secrets() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = spec(folder.path(), "svc", &base, "", "");
    let schema = "{name: q, in: query, type: array, schema: 'schemas/q.json', description: The words.}";
    let text = std::fs::read_to_string(&path).expect("the spec");
    let replaced = text.replace("{name: q, in: query, description: The words.}", schema);
    assert_ne!(replaced, text);
    std::fs::write(&path, replaced).expect("written");
    std::fs::create_dir(folder.path().join("schemas")).expect("a folder");
    let items = json!({"type": "array", "items": {"type": "string", "writeOnly": true}});
    std::fs::write(folder.path().join("schemas/q.json"), items.to_string()).expect("written");
    let options = Options { capabilities: vec![path], timeout: Some(5), ..unasked() };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Call, Clock::System).expect("set up");
    let tool = set_up.gateway.tool("get-svc").expect("the tool");
    let context = CallContext::new("00000000deadbeef");
    for (count, is_sent) in [(1_000, true), (1_001, false)] {
        let words: Vec<String> = (0..count).map(|number| format!("w{number}")).collect();
        let arguments = json!({"q": words}).as_object().cloned().expect("an object");
        let answer = set_up.gateway.call(tool, arguments, &context).await;
        assert_eq!(answer.is_ok(), is_sent, "{answer:?}");
    }
    assert_eq!(service.seen("host").len(), 1);
}

#[tokio::test]
async fn bytes_and_what_they_are_called_hold_no_secret() {
    let (_service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let authentication = "{type: bearer, token: '{{TOKEN}}'}";
    let set_up = set_up(folder.path(), &format!("{base}/bytes"), authentication, Options::default());
    let tool = set_up.gateway.tool("get-svc").expect("the tool");
    let context = CallContext::new("00000000deadbeef");
    let output = set_up.gateway.call(tool, serde_json::Map::new(), &context).await.expect("an answer");
    let binary = output.into_binary().expect("bytes");
    assert_eq!(binary.media_type, "image/bearer[masked]");
    assert_eq!(binary.bytes, b"\xff\xfe bearer [masked]\x00".as_slice());
}

#[tokio::test]
async fn what_is_not_set_is_named_at_start_and_in_a_call() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    for authentication in [
        "{type: bearer, token: '{{UNSET}}'}",
        "{type: apikey, headers: {X-Key: '{{TOKEN}}', X-Two: '{{UNSET}}'}}",
        "{type: basic, username: '{{USERNAME}}', password: '{{UNSET}}'}",
        "{type: apikey, key: X-Key, value: 'canary {{UNSET}}'}",
        "{type: oauth2, tokenEndpoint: 'https://as.test/t', clientId: x, clientSecret: '{{UNSET}}'}",
    ] {
        let set_up = set_up(folder.path(), &base, authentication, Options::default());
        let said = said(&set_up);
        assert!(said.contains("warning[missing-variable]: the variable `unset` has no value"), "{said}");
        assert!(said.contains("svc.yaml:10:"), "at its line: {said}");
        let error = get(&set_up).await.expect_err(authentication).to_string();
        assert!(error.contains("put `unset` into the file `file:///./secrets.json`"), "{error}");
        assert!(error.contains("--credential svc=env:NAME"), "{error}");
        assert!(!format!("{said}{error}").contains("canary"));
    }
    assert!(service.seen("authorization").is_empty(), "nothing was sent");
}

#[tokio::test]
async fn base_urls_are_filled_in() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let anonymous = "{type: bearer, token: '{{TOKEN}}'}";
    for (path, target) in [
        ("/{{VERSION}}", "/2024-01/x?q=a%20b"),
        ("/{{env.VERSION}}/", "/2024-01/x?q=a%20b"),
        ("/{VERSION}/b", "/2024-01/b/x?q=a%20b"),
        ("/{version}", "/2024-01/x?q=a%20b"),
        ("/bot{{TOKEN}}", "/botcanary-token/x?q=a%20b"),
    ] {
        let set_up = set_up(folder.path(), &format!("{base}{path}"), anonymous, Options::default());
        let answer = get(&set_up).await.unwrap_or_else(|error| panic!("{path}: {error} {}", said(&set_up)));
        assert_eq!(service.seen("x").last().expect("a request").0, target);
        let shown = format!("{answer} {} {:?} {:?}", said(&set_up), set_up.gateway, set_up.routes);
        assert!(!shown.contains("canary"), "{path}: {shown}");
        assert_eq!(answer.to_string().contains("2024-01"), target.contains("2024-01"), "configuration is no secret");
    }
    for (base, words) in [
        ("https://{region}.api.test", &["--backend svc=URL"][..]),
        ("https://{{UNSET}}.api.test", &["put `unset` into the file", "--backend svc=URL"]),
        ("{{NEVER_SET_BASE}}", &["set the environment variable `NEVER_SET_BASE`", "--backend svc=URL"]),
    ] {
        let set_up = set_up(folder.path(), base, anonymous, Options::default());
        let error = get(&set_up).await.expect_err(base).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{base}: {error}");
        assert_eq!(set_up.routes, ["svc -> no address yet"], "{base}");
    }
}

#[test]
fn what_a_url_gives_away_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    for (base, code) in [
        ("http://api.test", "warning[insecure-base-uri]"),
        ("https://api.example.com", "warning[example-base-uri]"),
        ("https://api.test/v1/", "note[trailing-slash]"),
    ] {
        let said = said(&set_up(folder.path(), base, "{type: bearer, token: '{{TOKEN}}'}", Options::default()));
        assert!(said.contains(code), "{base}: {said}");
    }
    let said =
        said(&set_up(folder.path(), "https://api.test", "{type: bearer, token: '{{TOKEN}}'}", Options::default()));
    assert_eq!(said, "", "an ordinary one");
}

#[tokio::test]
async fn no_log_holds_a_secret() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    for authentication in [
        "{type: bearer, token: '{{KG_TOKEN}}'}",
        "{type: apikey, key: k, value: '{{KG_TOKEN}}', placement: query}",
        "{type: basic, username: '{{KG_TOKEN}}', password: ''}",
        "{type: digest, username: alice, password: '{{KG_TOKEN}}'}",
        &format!("{{type: oauth2, tokenEndpoint: '{base}/token', clientId: a, clientSecret: '{{{{KG_TOKEN}}}}'}}"),
    ] {
        let path = if authentication.contains("digest") { "/digest" } else { "" };
        let consumed = format!("authentication: {authentication}");
        let spec = spec(folder.path(), "svc", &format!("{base}{path}"), &consumed, "");
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
        command.args(["call", "get-svc", "--capabilities"]).arg(spec).arg("--data-dir").arg(folder.path());
        command.env_clear().env("KG_TOKEN", "canary-digest").env("KEYGLASS_LOG", "trace").stdin(Stdio::null());
        let output = within(command.output()).await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("the call succeeded"), "{authentication}: {said}");
        assert!(said.contains("[unbound-variable]") || said.contains("warning"), "{said}");
        for secret in ["canary", "Y2FuYXJ5", "YTpjYW5hcnk"] {
            let line = said.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{authentication}");
        }
    }
    assert!(!service.seen("x").is_empty());
}

/// `keyglass serve` over HTTP with specs of its own, and its log.
struct Served {
    _child: Child,
    log: Arc<Mutex<String>>,
    client: Client,
}

impl Served {
    async fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
        command.args(["serve", "--http", "127.0.0.1:0", "--capabilities"]).arg(folder).args(arguments);
        command.env_clear().env("KEYGLASS_LOG", "trace").env("OPERATOR", "canary-operator");
        command.env("A_TOKEN", "canary-a").env("B_KEY", "canary-b").env("C_PASS", "canary-c");
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log: Arc<Mutex<String>> = Arc::default();
        let base = loop {
            let line = within(stderr.next_line()).await.expect("a line").expect("it listens");
            log.lock().expect("no panic").push_str(&line);
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split_once("/mcp").expect("the endpoint").0.to_owned();
            }
        };
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                kept.lock().expect("no panic").push_str(&line);
            }
        });
        Self { _child: child, log, client: Client { http: reqwest::Client::new(), base } }
    }

    /// A request of the 2026-07-28 era.
    async fn ask(
        &self,
        path: &str,
        credential: &[(&str, &str)],
        method: &str,
        mut params: Value,
    ) -> (StatusCode, Value) {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        });
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        headers.extend(credential);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = within(self.client.post(path, body, &headers).send()).await.expect("an answer");
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            assert!(response.headers().contains_key("www-authenticate"));
        }
        (status, serde_json::from_str(&response.text().await.expect("text")).expect("JSON"))
    }

    async fn tools(&self, path: &str, credential: &[(&str, &str)]) -> Vec<String> {
        let (status, answer) = self.ask(path, credential, "tools/list", json!({})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let tools = answer["result"]["tools"].as_array().expect("tools");
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    }
}

/// Specs whose servers ask for a bearer token, a key in a header, in the query, a user, nothing, and what is not there.
fn guarded_specs(folder: &Path, base: &str, open: bool) {
    let anonymous = "description: A service.";
    for (namespace, exposed) in [
        ("a", "authentication: {type: bearer, token: '{{A_TOKEN}}'}"),
        ("b", "authentication: {type: apikey, key: X-Entry, value: '{{B_KEY}}'}"),
        ("c", "authentication: {type: basic, username: carol, password: '{{C_PASS}}'}"),
        ("d", "authentication: {type: apikey, key: entry, value: '{{B_KEY}}', placement: query}"),
        ("e", "authentication: {type: bearer, token: '{{NOT_THERE}}'}"),
        ("f", "authentication: {type: digest, username: x, password: y}"),
        ("g", "authentication: {type: apikey, placement: body, key: x, value: y}"),
        ("h", "authentication: {type: bearer, token: ''}"),
    ] {
        spec(folder, namespace, base, anonymous, exposed);
    }
    if open {
        spec(folder, "open", base, anonymous, "");
    }
}

const A: (&str, &str) = ("authorization", "Bearer canary-a");
const B: (&str, &str) = ("x-entry", "canary-b");
const C: (&str, &str) = ("authorization", "Basic Y2Fyb2w6Y2FuYXJ5LWM=");
const OPERATOR: (&str, &str) = ("authorization", "Bearer canary-operator");

#[tokio::test]
async fn callers_see_what_their_credential_opens() {
    let (service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    guarded_specs(folder.path(), &base, true);
    let served = Served::start(folder.path(), &[]).await;
    for (path, credential, expected) in [
        ("/mcp", &[][..], &["get-open"][..]),
        ("/mcp", &[A], &["get-a", "get-open"]),
        ("/mcp", &[B], &["get-b", "get-open"]),
        ("/mcp", &[C], &["get-c", "get-open"]),
        ("/mcp?entry=canary-b", &[], &["get-d", "get-open"]),
        ("/mcp?entry=canary-b", &[A, B], &["get-a", "get-b", "get-d", "get-open"]),
    ] {
        assert_eq!(served.tools(path, credential).await, expected, "{path} {credential:?}");
    }
    for (path, credential) in [
        ("/mcp", &[("authorization", "Bearer canary-b")][..]),
        ("/mcp", &[("authorization", "Bearer y")]),
        ("/mcp", &[("authorization", "Basic Y2Fyb2w6")]),
        ("/mcp", &[("x-entry", "canary-a")]),
        ("/mcp", &[("x-entry", "")]),
        ("/mcp?entry=", &[]),
        ("/mcp?entry=canary-a", &[]),
    ] {
        let (status, answer) = served.ask(path, credential, "tools/list", json!({})).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {credential:?}");
        assert!(!answer.to_string().contains("canary"));
    }
    let (_, answer) = served.ask("/mcp", &[A], "tools/call", json!({"name": "get-a"})).await;
    let headers = &answer["result"]["structuredContent"]["headers"];
    assert!(headers["accept"].is_string() && headers.get("authorization").is_none(), "{answer}");
    for name in ["get-b", "get-e", "get-f", "get-g", "get-h"] {
        let (_, answer) = served.ask("/mcp", &[A], "tools/call", json!({"name": name})).await;
        assert_eq!(answer["error"]["code"], -32602, "as unknown as one that is not there: {answer}");
        assert!(!answer.to_string().contains("get-b"), "{answer}");
    }
    let (_, answer) = served.ask("/mcp", &[A], "server/discover", json!({})).await;
    let told = answer["result"]["instructions"].as_str().expect("instructions");
    assert!(told.contains("About a.") && told.contains("About open.") && !told.contains("About b."), "{told}");
    assert_eq!(service.seen("x").len(), 1, "refused calls went nowhere");
    let log = served.log.lock().expect("no panic").clone();
    assert!(log.contains("NOT_THERE") && log.contains("unsupported-feature"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn the_operators_token_opens_everything() {
    let (_service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    guarded_specs(folder.path(), &base, true);
    let served = Served::start(folder.path(), &["--token", "env:OPERATOR"]).await;
    assert_eq!(served.tools("/mcp", &[OPERATOR]).await.len(), 9);
    assert_eq!(served.tools("/mcp", &[OPERATOR, B]).await.len(), 9);
    assert_eq!(served.tools("/mcp", &[A]).await, ["get-a", "get-open"]);
    for credential in [&[][..], &[("authorization", "Bearer x")]] {
        assert_eq!(served.ask("/mcp", credential, "tools/list", json!({})).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn where_every_tool_is_guarded_a_credential_is_asked_for() {
    let (_service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    guarded_specs(folder.path(), &base, false);
    let served = Served::start(folder.path(), &[]).await;
    assert_eq!(served.ask("/mcp", &[], "tools/list", json!({})).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(served.tools("/mcp", &[B]).await, ["get-b"]);
}

#[tokio::test]
async fn over_stdio_nothing_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    guarded_specs(folder.path(), "https://api.test", true);
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
    command.args(["serve", "--capabilities"]).arg(folder.path()).env_clear();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut input = child.stdin.take().expect("piped");
    for message in [
        initialize(),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        message(2, "tools/list", &json!({})),
    ] {
        within(input.write_all(format!("{message}\n").as_bytes())).await.expect("written");
    }
    drop(input);
    let output = within(child.wait_with_output()).await.expect("it ends");
    let answers = String::from_utf8(output.stdout).expect("text");
    let list: Value = serde_json::from_str(answers.lines().nth(1).expect("two answers")).expect("JSON");
    assert_eq!(list["result"]["tools"].as_array().expect("tools").len(), 9);
    assert!(answers.contains("About b."), "{answers}");
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(log.contains("over stdio nothing is asked of the caller"), "{log}");
    assert!(log.contains("variables without a value: A_TOKEN, B_KEY, C_PASS, NOT_THERE;"), "{log}");
}

fn message(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize() -> Value {
    message(
        1,
        "initialize",
        &json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}),
    )
}

#[tokio::test]
async fn a_session_belongs_to_whoever_opened_it() {
    let (_service, base) = Service::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    guarded_specs(folder.path(), &base, true);
    let served = Served::start(folder.path(), &["--token", "env:OPERATOR"]).await;
    let client = &served.client;
    let response = within(client.post("/mcp", initialize(), &[A]).send()).await.expect("an answer");
    let session = response.headers()["mcp-session-id"].to_str().expect("an id").to_owned();
    let hello = Events::of(response).message().await;
    let told = hello["result"]["instructions"].as_str().expect("instructions");
    assert!(told.contains("About a.") && !told.contains("About b."), "{told}");
    let session = ("mcp-session-id", session.as_str());
    let list = || message(2, "tools/list", &json!({}));
    let response = within(client.post("/mcp", list(), &[A, session]).send()).await.expect("an answer");
    let tools = Events::of(response).message().await["result"]["tools"].clone();
    let names: Vec<&str> = tools.as_array().expect("tools").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["get-a", "get-open"]);
    for other in [B, OPERATOR] {
        let response = within(client.post("/mcp", list(), &[other, session]).send()).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{other:?}");
        let stream = client.get("/mcp").header(other.0, other.1).header(session.0, session.1);
        let stream = within(stream.header("accept", "text/event-stream").send()).await.expect("an answer");
        assert_eq!(stream.status(), StatusCode::NOT_FOUND, "{other:?}");
    }

    let stream = client.get("/sse").header(A.0, A.1).header("accept", "text/event-stream");
    let mut events = Events::of(within(stream.send()).await.expect("an answer"));
    let (_, endpoint) = events.next().await.expect("an event");
    for (credential, expected) in [(B, StatusCode::NOT_FOUND), (A, StatusCode::ACCEPTED)] {
        let response = within(client.post(&endpoint, initialize(), &[credential]).send()).await.expect("an answer");
        assert_eq!(response.status(), expected);
    }
    events.message().await;
    for body in [json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), list()] {
        within(client.post(&endpoint, body, &[A]).send()).await.expect("an answer");
    }
    let tools = events.message().await["result"]["tools"].clone();
    assert_eq!(tools.as_array().expect("tools").len(), 2, "{tools}");
}
