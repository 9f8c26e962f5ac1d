//! Calls against a service that misbehaves in every way, and against the embedded backend.

use std::path::Path;

use keyglass::{
    call::{CallContext, CallOutput},
    clock::Clock,
    config::Options,
    error::{CallError, Repetition},
    gateway::Gateway,
    setup::{Purpose, setup},
};
use serde_json::{Value, json};

use crate::{
    support::{Backend, within},
    upstream::Upstream,
};

const CANARY: &str = "canary-credential-1f0e";

/// A gateway whose tools all call `url` with the canary as credential.
fn gateway(url: &str, folder: &Path) -> Gateway {
    let credential = folder.join("credential");
    std::fs::write(&credential, CANARY).expect("written");
    let options = Options {
        backend: vec![url.to_owned()],
        credential: vec![format!("file:{}", credential.display())],
        timeout: Some(2),
        ..crate::support::unasked()
    };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Call, Clock::System).expect("set up");
    assert_eq!(set_up.diagnostics, []);
    set_up.gateway
}

async fn call(gateway: &Gateway, tool: &str, arguments: Value) -> Result<CallOutput, CallError> {
    let tool = gateway.tool(tool).expect("the tool");
    let Value::Object(arguments) = arguments else { panic!("an object") };
    gateway.call(tool, arguments, &CallContext::new("00000000deadbeef")).await
}

async fn get(gateway: &Gateway, name: &str) -> Result<Value, CallError> {
    call(gateway, "get_secret", json!({ "name": name })).await.map(|output| output.structured().unwrap())
}

#[tokio::test]
async fn answers_become_results() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let gateway = gateway(&upstream.url, folder.path());
    let ok = get(&gateway, "ok").await.expect("a result");
    assert_eq!(ok["unforeseen"], json!({"a": [1]}), "members nobody promised are kept");
    for name in ["nothing", "empty"] {
        assert_eq!(get(&gateway, name).await.expect("a result"), json!({}), "{name}");
    }
    assert_eq!(get(&gateway, "list").await.expect("a result"), json!({"items": [{"a": 1}]}));
    let requests = upstream.requests();
    let (line, headers) = &requests[0];
    assert_eq!(line, "GET /v1/secrets/ok");
    assert_eq!(headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(headers["x-request-id"], "00000000deadbeef");
    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "authorization", "host", "user-agent", "x-request-id"], "nothing else is sent");
}

#[tokio::test]
async fn failures_tell_a_model_what_to_do() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let gateway = gateway(&upstream.url, folder.path());
    use Repetition::{Harmful, Harmless};
    // The last column of facts: for which tools the same call again may help.
    const NEVER: &[Repetition] = &[];
    const READS: &[Repetition] = &[Harmless];
    const ALWAYS: &[Repetition] = &[Harmless, Harmful];
    for (name, kind, status, again, words) in [
        (
            "400",
            "status",
            Some(400),
            NEVER,
            &["400 Bad Request; in its own words: \"the reason\"", "correct the arguments"][..],
        ),
        ("401", "status", Some(401), NEVER, &["401", "credential", "operator"]),
        ("403", "status", Some(403), NEVER, &["403", "credential may not"]),
        ("404", "status", Some(404), NEVER, &["404", "list what exists"]),
        ("409", "status", Some(409), NEVER, &["409", "current state"]),
        ("413", "status", Some(413), NEVER, &["413", "send less"]),
        ("500", "status", Some(500), READS, &["500", "backend's side", "retry once"]),
        ("501", "status", Some(501), NEVER, &["501", "a retry will not help"]),
        ("503", "status", Some(503), ALWAYS, &["503", "then retry"]),
        ("529", "status", Some(529), READS, &["529", "retry once"]),
        ("304", "status", Some(304), NEVER, &["304"]),
        ("busy", "status", Some(429), ALWAYS, &["429", "slow down", "wait 17 s"]),
        ("busy-a-little", "status", Some(429), ALWAYS, &["wait 2 s"]),
        ("redirect", "redirect", Some(302), NEVER, &["302", "not followed"]),
        ("slow", "timeout", None, READS, &["within 2 s", "may or may not"]),
        ("stalls", "timeout", None, READS, &["within 2 s"]),
        ("breaks-off", "broken", None, READS, &["may or may not", "read the current state"]),
        ("large", "oversized", None, NEVER, &["larger than 2097152 bytes", "ask for less"]),
        ("not-json", "decode", Some(200), NEVER, &["not valid JSON", "text/html"]),
        ("half-json", "decode", Some(200), NEVER, &["not valid JSON"]),
        ("wrong-shape", "shape", None, NEVER, &["promised shape", "`/name`", "do not repeat", "sec_1"]),
    ] {
        let error = get(&gateway, name).await.expect_err(name);
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{name}: {text}");
        assert_eq!(error.status().map(|status| status.as_u16()), status, "{name}");
        for repetition in [Harmless, Harmful] {
            assert_eq!(error.is_retryable(repetition), again.contains(&repetition), "{name} {repetition:?}");
        }
        for word in words {
            assert!(text.contains(word), "{name}: `{word}` in `{text}`");
        }
        for hidden in ["127.0.0.1", "169.254", "stack trace", "10.0.0.7", CANARY] {
            assert!(!text.contains(hidden), "{name}: {text}");
        }
        assert!(text.len() < 2_000);
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_said_to_be_unreachable() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let gateway = gateway(&format!("http://{address}"), folder.path());
    let error = get(&gateway, "a").await.expect_err("nobody listens");
    assert_eq!((error.kind(), error.is_retryable(Repetition::Harmful)), ("unreachable", true), "nothing was sent");
    let text = error.to_string();
    assert!(text.contains("connection was refused") && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_service_that_speaks_no_http_is_told_from_one_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"SSH-2.0-nothing here\r\n").await.ok();
        }
    });
    let gateway = gateway(&format!("http://{address}"), folder.path());
    let error = get(&gateway, "a").await.expect_err("no HTTP");
    assert_eq!(error.kind(), "broken", "{error}");
}

#[tokio::test]
async fn no_answer_shows_a_secret() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let gateway = gateway(&upstream.url, folder.path());
    let text = get(&gateway, "echo-credential").await.expect_err("refused").to_string();
    assert!(text.contains("Bearer [masked]") && !text.contains(CANARY), "{text}");
    let answer = get(&gateway, "echo-credential-200").await.expect("a result");
    assert_eq!(answer["id"], "Bearer [masked]");
    for secret in ["canary-value-77c1", "with \"quotes\" and \\ and\nlines", "ab"] {
        let arguments = json!({ "name": "echo-body", "value": secret });
        let text = call(&gateway, "update_secret", arguments).await.expect_err("refused").to_string();
        assert!(text.contains("[masked]") && !text.contains(secret) && !text.contains("quotes"), "{text}");
    }
    let text = get(&gateway, "hidden-text").await.expect_err("refused").to_string();
    assert!(text.contains("\"a[2Jb long") && text.len() < 1_000, "{text}");
}

#[tokio::test]
async fn bad_arguments_send_nothing() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let gateway = gateway(&upstream.url, folder.path());
    for (tool, arguments, words) in [
        ("get_secret", json!({}), &["`name` is required"][..]),
        ("get_secret", json!({"name": 7}), &["`name`", "string", "in quotes"]),
        ("get_secret", json!({"name": "a", "nmae": "b"}), &["`nmae`", "did you mean `name`"]),
        ("get_secret", json!({"name": ""}), &["`name`", "empty"]),
        ("get_secret", json!({"name": ".."}), &["`name`", "`..`"]),
        ("get_secret", json!({"name": "%2e%2e"}), &["`name`", "`..`"]),
        ("get_secret", json!({"name": "a\u{7}"}), &["`name`", "control"]),
        ("list_secrets", json!({"limit": "5"}), &["`limit`", "without quotes"]),
        ("list_secrets", json!({"limit": 5001}), &["`limit`", "at most 5000"]),
        ("create_secret", json!({"name": "A B", "value": CANARY}), &["`name`", "pattern"]),
        ("create_secret", json!({"name": "A", "value": {"x": CANARY}}), &["`value`", "string"]),
        (
            "create_restricted_key",
            json!({"scopes": [{"resource_type": "DEVBOXES"}]}),
            &["`scopes[0].access_level` is required", "`scopes[0].resource_type` must be one of"],
        ),
    ] {
        let error = call(&gateway, tool, arguments).await.expect_err(tool);
        let text = error.to_string();
        assert_eq!((error.kind(), error.is_retryable(Repetition::Harmless)), ("arguments", false));
        assert!(text.contains("nothing was sent") && !text.contains(CANARY), "{text}");
        for word in words {
            assert!(text.contains(word), "`{word}` in `{text}`");
        }
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_name_with_a_slash_stays_one_segment() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let gateway = gateway(&upstream.url, folder.path());
    get(&gateway, "a/b?c#d").await.expect_err("404");
    assert_eq!(upstream.requests()[0].0, "GET /v1/secrets/a%2Fb%3Fc%23d");
}

#[tokio::test]
async fn a_service_without_credential_or_address_says_what_to_set() {
    let options = Options {
        capabilities: vec!["tests/specs/values-of-the-wrong-kind.bad.yaml".into()],
        ..crate::support::unasked()
    };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Call, Clock::System).expect("set up");
    let error = call(&set_up.gateway, "f", json!({})).await.expect_err("no address");
    assert_eq!(error.kind(), "unconfigured");
    assert!(error.to_string().contains("--backend things=URL"), "{error}");
}

#[tokio::test]
async fn all_seven_tools_work_on_the_embedded_backend() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { data_dir: Some(folder.path().to_owned()), ..crate::support::unasked() };
    let settings = options.settings().expect("settings");
    let gateway = setup(&settings, Purpose::Call, Clock::System).expect("set up").gateway;
    let made = call(&gateway, "create_secret", json!({"name": "DB", "value": "canary-value"})).await.expect("made");
    assert_eq!(made.structured().unwrap()["name"], "DB");
    let error = call(&gateway, "create_secret", json!({"name": "DB", "value": "x"})).await.expect_err("taken");
    assert!(error.to_string().contains("already exists"), "{error}");
    call(&gateway, "update_secret", json!({"name": "DB", "value": "canary-other"})).await.expect("updated");
    let listed = call(&gateway, "list_secrets", json!({"limit": 1})).await.expect("listed");
    assert_eq!(listed.structured().unwrap()["total_count"], 1);
    let key = call(&gateway, "create_api_key", json!({"name": "k", "expires_at_ms": null})).await.expect("made");
    assert!(key.structured().unwrap()["key_secret"].as_str().expect("a key").starts_with("ak_"));
    let scopes = json!([{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ"}]);
    let key = call(&gateway, "create_restricted_key", json!({"name": "r", "scopes": scopes})).await.expect("made");
    assert!(key.structured().unwrap()["key_secret"].as_str().expect("a key").starts_with("rk_"));
    assert_eq!(key.structured().unwrap()["scopes"], scopes);
    drop(gateway);
    // What was stored is there for the next process.
    let gateway = setup(&settings, Purpose::Call, Clock::System).expect("set up").gateway;
    let got = call(&gateway, "get_secret", json!({"name": "DB"})).await.expect("kept");
    assert_eq!(got.structured().unwrap()["id"], made.structured().unwrap()["id"]);
    call(&gateway, "delete_secret", json!({"name": "DB"})).await.expect("deleted");
    let error = call(&gateway, "get_secret", json!({"name": "DB"})).await.expect_err("gone");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(404));
}

#[tokio::test]
async fn a_call_that_is_dropped_stops() {
    let mut backend = Backend::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = gateway(&backend.url(), folder.path());
    {
        let mut call = std::pin::pin!(get(&gateway, "held"));
        tokio::select! {
            _ = &mut call => panic!("it is held"),
            arrival = backend.arrival() => assert_eq!(arrival.name, "held"),
        }
    }
    assert_eq!(within(backend.given_up.recv()).await.as_deref(), Some("held"), "the request was given up");
    get(&gateway, "other").await.expect("the next call is not held up");
}

/// The shipped schemas say what the embedded backend answers, required members and all.
#[tokio::test]
async fn the_embedded_backend_answers_as_the_shipped_schemas_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { data_dir: Some(folder.path().to_owned()), ..crate::support::unasked() };
    let gateway = setup(&options.settings().expect("settings"), Purpose::Call, Clock::System).expect("set up").gateway;
    let scopes = json!([{"resource_type": "RESOURCE_TYPE_OBJECTS", "access_level": "ACCESS_LEVEL_WRITE"}]);
    for (tool, arguments, file, name) in [
        ("create_api_key", json!({}), "runloop-api-keys", "ApiKeyCreated"),
        (
            "create_api_key",
            json!({"name": "n", "expires_at_ms": 4_102_444_800_000_i64}),
            "runloop-api-keys",
            "ApiKeyCreated",
        ),
        ("create_restricted_key", json!({}), "runloop-restricted-keys", "RestrictedKeyCreated"),
        ("create_restricted_key", json!({"scopes": scopes}), "runloop-restricted-keys", "RestrictedKeyCreated"),
        ("create_secret", json!({"name": "A", "value": "v"}), "runloop-secrets", "Secret"),
        ("update_secret", json!({"name": "A", "value": "w"}), "runloop-secrets", "Secret"),
        ("get_secret", json!({"name": "A"}), "runloop-secrets", "Secret"),
        ("list_secrets", json!({}), "runloop-secrets", "SecretList"),
        ("delete_secret", json!({"name": "A"}), "runloop-secrets", "Secret"),
    ] {
        let answer = call(&gateway, tool, arguments).await.expect(tool);
        let text = std::fs::read_to_string(format!("schemas/{file}.json")).expect("the schema");
        let mut schema: Value = serde_json::from_str(&text).expect("JSON");
        schema["$ref"] = json!(format!("#/$defs/{name}"));
        let answer = answer.structured().unwrap();
        let schema = jsonschema::draft202012::new(&schema).expect("a schema");
        let deviations: Vec<String> = schema.iter_errors(&answer).map(|error| error.to_string()).collect();
        assert_eq!(deviations, Vec::<String>::new(), "{tool}: {answer}");
    }
}
