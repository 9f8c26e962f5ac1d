//! Secrets stay behind the glass: answers have handles, arguments take them, and a person gives what nobody may write.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use http::{StatusCode, header};
use keyglass::{
    call::{CallContext, CallOutput, Returned},
    clock::Clock,
    config::Options,
    error::CallError,
    gateway::Gateway,
    policy::store::{Decision, HandleId},
    setup::{Purpose, setup},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

const KEY: &str = "canary-key-7d1f0c";

const SPEC: &str = "
ikanos: 1.0.0-beta5
info: { display: Vault, description: Keys and secrets. }
capability:
  consumes:
    - type: http
      namespace: vault
      baseUri: BASE
      resources:
        keys:
          path: /keys
          operations:
            makeKey: { method: POST, description: Make a key. }
            listKeys: { method: GET, description: List keys. }
        secrets:
          path: /secrets
          operations:
            storeSecret:
              method: POST
              description: Store a secret.
              inputParameters:
                - { name: name, in: body, type: string, required: true }
                - { name: password, in: body, type: string, required: true }
                - { name: note, in: body, type: string }
                - { name: env, in: body, type: object }
            listSecrets: { method: GET, description: List secrets. }
        commands:
          path: /commands
          operations:
            runCommand:
              method: POST
              description: Run a command.
              inputParameters:
                - { name: command, in: body, type: string, required: true }
                - { name: env, in: body, type: object }
            runPlain:
              method: POST
              description: Run a command with plain variables.
              inputParameters:
                - { name: command, in: body, type: string, required: true }
                - { name: env, in: body, type: object, schema: 'plain.json#/$defs/Env' }
";

/// What a spec of another kind makes of it.
const OFFERS: &str = "
ikanos: 1.0.0-beta5
info: { display: Desk, description: What is made of keys. }
capability:
  consumes:
    - type: http
      namespace: desk
      baseUri: BASE
      resources:
        keys:
          path: /keys
          operations:
            makeKey: { method: POST, description: Make a key. }
  exposes:
    - type: mcp
      namespace: desk-mcp
      tools:
        - name: say_key
          description: Say what a key is.
          steps:
            - { name: made, type: call, call: desk.makeKey }
            - { type: return, text: 'It is {{made.api_key}}.', structuredContent: { of: k1, api_key: '{{made.api_key}}' } }
      resources:
        - { name: notes, uri: 'docs://notes/', description: Notes., location: 'file:///./notes' }
";

/// What the service was sent.
type Bodies = Arc<Mutex<Vec<Value>>>;

async fn service() -> (String, Bodies) {
    let bodies = Bodies::default();
    let json =
        |status: StatusCode, body: Value| (status, [(header::CONTENT_TYPE, "application/json")], body.to_string());
    let make = async move || {
        json(StatusCode::OK, json!({"id": "k1", "api_key": KEY, "command": format!("login --key {KEY}")}))
    };
    let list = async move || {
        let keys = json!([{"id": "k1", "comment": format!("it is {KEY}")}]);
        json(StatusCode::OK, json!({"keys": keys, "next_token": "page-2"}))
    };
    let store = async move |State(bodies): State<Bodies>, body: String| {
        let body: Value = serde_json::from_str(&body).unwrap();
        bodies.lock().unwrap().push(body.clone());
        if body["name"] == "bad" {
            let message = format!("the password {} is too weak", body["password"].as_str().unwrap());
            return json(StatusCode::BAD_REQUEST, json!({ "message": message }));
        }
        json(StatusCode::OK, json!({"id": "s1", "stored": body}))
    };
    let router = Router::new()
        .route("/keys", get(list).post(make))
        .route("/secrets", get(async move || json(StatusCode::OK, json!([]))).post(store))
        .with_state(Arc::clone(&bodies));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), bodies)
}

fn gateway(folder: &Path, base: &str, config: &str) -> Gateway {
    let plain = json!({"$defs": {"Env": {"type": "object",
        "additionalProperties": {"type": "string", "pattern": "^[A-Z]+$"}}}});
    std::fs::write(folder.join("plain.json"), plain.to_string()).unwrap();
    std::fs::create_dir_all(folder.join("notes")).unwrap();
    std::fs::write(folder.join("desk.yaml"), OFFERS.replace("BASE", base)).unwrap();
    std::fs::write(folder.join("vault.yaml"), SPEC.replace("BASE", base)).unwrap();
    std::fs::write(
        folder.join("keyglass.yaml"),
        format!("capabilities: [vault.yaml, desk.yaml]\ndata_dir: data\n{config}"),
    )
    .unwrap();
    let options = Options {
        config: Some(folder.join("keyglass.yaml")),
        confirm: vec!["grant=allow".to_owned()],
        ..Options::default()
    };
    setup(&options.settings().unwrap(), Purpose::Call, Clock::System).unwrap().gateway
}

async fn called(gateway: &Gateway, tool: &str, arguments: Value) -> Result<Value, CallError> {
    let tool = gateway.tool(tool).unwrap_or_else(|| panic!("`{tool}` is not there"));
    let Value::Object(arguments) = arguments else { panic!("an object") };
    let output = gateway.call(tool, arguments, &CallContext::new("00000000deadbeef")).await?;
    let CallOutput::Answer { structured, .. } = output else { panic!("{output:?}") };
    Ok(Value::Object(structured))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_goes_from_one_call_to_another_by_its_handle() {
    let folder = tempfile::tempdir().unwrap();
    let (base, bodies) = service().await;
    let first = gateway(folder.path(), &base, "");
    let made = called(&first, "make_key", json!({})).await.unwrap();
    let handle = made["api_key"].as_str().unwrap();
    assert!(handle.parse::<HandleId>().is_ok() && handle.starts_with("secret://"), "{made}");
    assert_eq!(made["command"], format!("login --key {handle}"), "where it stands within a text as well");
    assert_eq!(made["id"], "k1");
    // Another process, another day.
    let gateway = gateway(folder.path(), &base, "");
    let stored = called(&gateway, "store_secret", json!({"name": "CI", "password": handle})).await.unwrap();
    assert_eq!(bodies.lock().unwrap()[0], json!({"name": "CI", "password": KEY}), "the service gets the value");
    assert!(!stored.to_string().contains(KEY) && stored["id"] == "s1", "{stored}");
    let listed = called(&gateway, "list_keys", json!({})).await.unwrap();
    assert_eq!(listed["keys"][0]["comment"], format!("it is {handle}"), "wherever it comes back");
    assert_eq!(listed["next_token"], "page-2");
    let env = json!({"name": "CI", "password": handle, "env": {"TOKEN": handle, "STAGE": "test"}});
    called(&gateway, "store_secret", env).await.unwrap();
    assert_eq!(bodies.lock().unwrap()[1]["env"], json!({"TOKEN": KEY, "STAGE": "test"}));
    let error = called(&gateway, "store_secret", json!({"name": "bad", "password": handle})).await.unwrap_err();
    assert!(error.to_string().contains("is too weak") && !error.to_string().contains(KEY), "{error}");
    for (arguments, expected) in [
        (json!({"name": "CI", "password": "hunter2-in-clear"}), "`password` is secret, and is not taken as a value"),
        (json!({"name": "CI", "password": "secret://1111111111111111111111"}), "is no handle that is known here"),
        (json!({"name": handle, "password": handle}), "`name` takes no secret"),
        (json!({"name": "CI", "password": "env:HOME"}), "has not allowed the variable `HOME`"),
    ] {
        let error = called(&gateway, "store_secret", arguments).await.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
    }
    assert_eq!(bodies.lock().unwrap().len(), 3, "nothing else was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gives_the_value_that_a_model_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let (base, bodies) = service().await;
    let gateway = gateway(folder.path(), &base, "");
    let listed = gateway.tool("store_secret").unwrap().input.listed();
    assert_eq!(listed["required"], json!(["name"]), "{listed:?}");
    let arguments = json!({"name": "DB"});
    let error = called(&gateway, "store_secret", arguments.clone()).await.unwrap_err();
    assert_eq!(error.kind(), "waits-for-person");
    let text = error.to_string();
    assert!(text.contains("waits for a person, who gives the secret value of `password`:"), "{text}");
    assert!(text.contains("`keyglass approve --data-dir "), "{text}");
    let store = gateway.policy.vault().unwrap().store().unwrap();
    let question = store.waiting().unwrap().remove(0);
    assert_eq!(question.shown.entries[0].label, "password");
    assert!(!text.contains(&question.shown.code), "the code is the person's alone");
    let repeated = async {
        let tool = gateway.tool("store_secret").unwrap();
        gateway.call(tool, arguments.as_object().unwrap().clone(), &CallContext::new("1")).await
    };
    let entered = BTreeMap::from([("/password".to_owned(), "canary-typed-5512".into())]);
    let decided = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let confirm = Decision::Confirm { by: "terminal".to_owned(), words: None, entered };
        store.decide(&question.id, confirm).unwrap();
    };
    let (output, ()) = tokio::join!(repeated, decided);
    let output = output.unwrap().structured().unwrap();
    assert_eq!(bodies.lock().unwrap()[0], json!({"name": "DB", "password": "canary-typed-5512"}));
    assert!(!output.to_string().contains("canary"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_allows_is_taken_by_reference_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (base, bodies) = service().await;
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/db"), "canary-file-99\n").unwrap();
    let config = "policy: { references: { files: [keys] } }\n";
    let allowed = gateway(folder.path(), &base, config);
    called(&allowed, "store_secret", json!({"name": "DB", "password": "file:db"})).await.unwrap();
    assert_eq!(bodies.lock().unwrap()[0]["password"], "canary-file-99");
    // Variables have values of many kinds, and what the operator has not allowed is one of them.
    let env = json!({"DATABASE_URL": "file:./dev.db", "MODE": "env:production", "KEY": "file:db"});
    called(&allowed, "store_secret", json!({"name": "DB", "password": "file:db", "env": env})).await.unwrap();
    let expected = json!({"DATABASE_URL": "file:./dev.db", "MODE": "env:production", "KEY": "canary-file-99"});
    assert_eq!(bodies.lock().unwrap()[1]["env"], expected);
    for refused in ["file:./dev.db", "env:production"] {
        let arguments = json!({"name": "DB", "password": refused});
        let error = called(&allowed, "store_secret", arguments).await.unwrap_err().to_string();
        for part in ["has not allowed", "`policy.references`", "`secret://ask`"] {
            assert!(error.contains(part), "{refused}: {error}");
        }
    }
    let masked = gateway(folder.path(), &base, "secrets: masked\n");
    let made = called(&masked, "make_key", json!({})).await.unwrap();
    assert_eq!(made["api_key"], "[masked]");
    let store = masked.policy.vault().unwrap().store().unwrap();
    let kept = store.handles().unwrap();
    assert_eq!(kept.len(), 1, "a person can still have a key that is shown this once");
    assert_eq!(store.reveal(&kept[0].id).unwrap().expose_secret(), KEY);
    let taken = called(&masked, "store_secret", json!({"name": "DB", "password": "canary-raw-1"})).await.unwrap();
    assert!(!taken.to_string().contains("canary"), "{taken}");
    assert_eq!(masked.tool("store_secret").unwrap().input.listed()["required"], json!(["name", "password"]));
    let clear = gateway(folder.path(), &base, "secrets: clear\n");
    assert_eq!(called(&clear, "make_key", json!({})).await.unwrap()["api_key"], KEY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handle_stands_for_is_in_no_question_and_in_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (base, bodies) = service().await;
    let gateway = gateway(folder.path(), &base, "");
    let made = called(&gateway, "make_key", json!({})).await.unwrap();
    let handle = made["api_key"].as_str().unwrap();
    // Nothing but the handle says that it is a secret.
    let env = json!({"command": "deploy", "env": {"DATABASE": handle, "STAGE": "test"}});
    let error = called(&gateway, "run_command", env).await.unwrap_err();
    assert_eq!(error.kind(), "waits-for-person", "{error}");
    let store = gateway.policy.vault().unwrap().store().unwrap();
    let shown = serde_json::to_string(&store.waiting().unwrap().remove(0).shown).unwrap();
    assert!(shown.contains("deploy") && shown.contains("DATABASE") && shown.contains("[masked]"), "{shown}");
    assert!(!shown.contains(KEY) && !error.to_string().contains(KEY), "{shown} {error}");
    let env = json!({"command": "deploy", "env": {"DATABASE": handle}});
    let error = called(&gateway, "run_plain", env).await.unwrap_err().to_string();
    assert!(error.contains("must match the pattern") && !error.contains(KEY), "{error}");
    assert!(bodies.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_parts_of_a_result_hide_the_same() {
    for (mode, expected) in [("handles", "secret://"), ("masked", "[masked]")] {
        let folder = tempfile::tempdir().unwrap();
        let (base, _) = service().await;
        let gateway = gateway(folder.path(), &base, &format!("secrets: {mode}\n"));
        let tool = gateway.tool("say_key").unwrap();
        let said =
            gateway.call(tool, serde_json::Map::new().into_iter().collect(), &CallContext::new("1")).await.unwrap();
        let CallOutput::Returned(Returned::Result { content, structured, .. }) = said else { panic!("{said:?}") };
        let (key, text) = (&structured.unwrap()["api_key"], content[0]["text"].as_str().unwrap());
        assert!(key.as_str().unwrap().starts_with(expected), "{key}");
        assert_eq!(text, format!("It is {}.", key.as_str().unwrap()), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_offered_hide_secrets_too() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = service().await;
    let token = format!("ghp_{}", "a1B2".repeat(9));
    std::fs::create_dir(folder.path().join("notes")).unwrap();
    std::fs::write(folder.path().join("notes/a.md"), format!("Log in with {KEY} or {token}.")).unwrap();
    std::fs::write(folder.path().join("notes/a.bin"), [b"\xff\x00".as_slice(), token.as_bytes()].concat()).unwrap();
    let gateway = gateway(folder.path(), &base, "");
    called(&gateway, "make_key", json!({})).await.unwrap();
    for file in ["a.md", "a.bin"] {
        let (resource, target) = gateway.catalog.resources().find(&format!("docs://notes/{file}")).unwrap();
        let read = gateway.read(resource, target, &CallContext::new("1")).await.unwrap();
        let read = format!("{read:?}");
        assert!(read.contains("[masked]") && !read.contains(KEY) && !read.contains(&token), "{read}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_is_gone_is_not_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = service().await;
    let gateway = gateway(folder.path(), &base, "");
    let made = called(&gateway, "make_key", json!({})).await.unwrap();
    let handle: HandleId = made["api_key"].as_str().unwrap().parse().unwrap();
    gateway.policy.vault().unwrap().store().unwrap().forget(&handle).unwrap();
    let listed = called(&gateway, "list_keys", json!({})).await.unwrap();
    assert_eq!(listed["keys"][0]["comment"], "it is [masked]");
}
