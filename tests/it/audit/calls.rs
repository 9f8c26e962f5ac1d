//! Calls as the log tells of them: of every transport and of the command, with everything about them but secrets.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use axum::{Router, extract::State, response::IntoResponse as _, routing::any};
use serde_json::{Value, json};

use keyglass::{
    audit::{Audit, Options},
    clock::Clock,
};

use super::{Log, NOW_MS, entry, lines, segments};
use crate::{
    mcp::{initialize, initialized, modern, request, secret},
    support::{Backend, CREDENTIAL, Events, Keyglass, TOKEN, finished, keyglass, run, within},
};

const CANARY: &str = "canary-argument-51c7";

/// The lines of calls, without those of the log itself.
fn calls(folder: &Path) -> Vec<Value> {
    lines(folder).into_iter().filter(|line| line["event"] == "call").collect()
}

/// What a line says, by the names of members.
fn said<'a>(line: &'a Value, names: &[&str]) -> Vec<&'a str> {
    names.iter().map(|name| line[*name].as_str().unwrap_or("-")).collect()
}

fn verified(folder: &Path) -> keyglass::audit::Report {
    let report = keyglass::audit::verify(folder).expect("a log");
    assert!(report.is_intact(), "{:?}", report.damages);
    report
}

#[tokio::test]
async fn a_call_is_written_down_by_whatever_way_it_comes() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let flags = ["--audit", log.to_str().unwrap()];
    let unknown = json!({"name": CANARY, "arguments": {CANARY: CANARY}});
    let wrong = json!({"name": "get_secret", "arguments": {"nmae": CANARY}});

    let (mut over_stdio, mut client) = Keyglass::over_pipes_with(&backend, &flags);
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    for (id, params) in [(2, secret("A")), (3, unknown.clone()), (4, wrong.clone())] {
        client.ask(&request(id, "tools/call", &params)).await;
    }
    client.close();
    assert!(over_stdio.ended().await.success());

    let (mut over_http, client) =
        Keyglass::over_http(&backend, &[&flags[..], &["--token", "env:TEST_TOKEN"]].concat()).await;
    let token = format!("Bearer {TOKEN}");
    for (id, params) in [(2, secret("missing")), (3, unknown.clone()), (4, wrong.clone())] {
        let name = params["name"].as_str().unwrap();
        let headers = [
            ("authorization", token.as_str()),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", name),
        ];
        within(client.post("/mcp", modern(id, "tools/call", &params), &headers).send()).await.unwrap();
    }
    let stream = client.get("/sse").header("authorization", &token).header("accept", "text/event-stream");
    let mut events = Events::of(within(stream.send()).await.unwrap());
    let (_, endpoint) = events.next().await.unwrap();
    for message in [initialize(1), initialized(), request(2, "tools/call", &secret("B"))] {
        let is_request = message["id"].is_u64();
        within(client.post(&endpoint, message, &[("authorization", &token)]).send()).await.unwrap();
        if is_request {
            events.message().await;
        }
    }
    over_http.terminate().await;
    drop(events);
    assert!(over_http.ended().await.success());

    let backend_flags = ["--backend", &backend.url(), "--credential", "env:STUB_KEY"];
    let command = [&["call", "get_secret", "name=A"][..], &flags, &backend_flags].concat();
    let mut command = keyglass(folder.path(), &command);
    command.env("STUB_KEY", CREDENTIAL);
    let called = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    assert_eq!(finished(called.unwrap()).0, 0);

    verified(&log);
    let calls = calls(&log);
    let of = |line: &Value| {
        let names = ["transport", "method", "principal", "client", "tool", "risk", "decision", "outcome"];
        said(line, &names).join(" ")
    };
    let told: Vec<String> = calls.iter().map(of).collect();
    assert_eq!(
        told,
        [
            "stdio tools/call local test get_secret read allowed ok",
            "stdio tools/call local test - - refused unknown",
            "stdio tools/call local test get_secret read refused arguments",
            "http tools/call operator test get_secret read allowed status",
            "http tools/call operator test - - refused unknown",
            "http tools/call operator test get_secret read refused arguments",
            "sse tools/call operator test get_secret read allowed ok",
            "command call local - get_secret read allowed ok",
        ]
    );
    assert_eq!((&calls[0]["status"], &calls[3]["status"]), (&json!(200), &json!(404)));
    assert_eq!(calls[0]["sent_request_id"], calls[0]["request_id"]);
    assert_eq!(calls[0]["arguments"], json!({"name": {"value": "A"}}));
    assert_eq!(calls[1]["tool_digest"], calls[4]["tool_digest"]);
    assert!(calls[1]["arguments"].as_object().unwrap().keys().all(|name| name.starts_with('#')), "{}", calls[1]);
    assert!(calls[0]["duration_ms"].is_f64() && calls[2].get("sent_request_id").is_none());
    assert_eq!(calls[0]["client_version"], "0");
    let events: Vec<Value> = lines(&log).iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events.iter().filter(|event| **event == "start").count(), 2);
    assert_eq!(events.iter().filter(|event| **event == "stop").count(), 2);
    let text: String = segments(&log).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for canary in [CANARY, CREDENTIAL, TOKEN] {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
}

/// What a backend does with a request.
#[derive(Clone, Default)]
struct Desk {
    /// The log that it looks into when a request arrives.
    log: Arc<OnceLock<PathBuf>>,
    /// What it found there.
    seen: Arc<std::sync::Mutex<Vec<Value>>>,
}

async fn desk(State(desk): State<Desk>, request: axum::extract::Request) -> axum::response::Response {
    if let Some(log) = desk.log.get() {
        let last = lines(log).pop().unwrap();
        desk.seen.lock().unwrap().push(last);
    }
    let echo = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = format!("req_1 {echo}");
    let body = json!({"id": "sec_1", "name": "A", "create_time_ms": 1, "update_time_ms": 2, "echo": CANARY});
    ([("content-type", "application/json"), ("request-id", id.as_str())], body.to_string()).into_response()
}

async fn backend(desk_: Desk) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/{*path}", any(desk)).with_state(desk_);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn what_cannot_be_undone_is_on_the_disk_before_it_is_sent() {
    let desk = Desk::default();
    let url = backend(desk.clone()).await;
    let (mut server, mut client) = Keyglass::over_pipes_for(&url, &[]);
    desk.log.set(server.audit()).unwrap();
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    let delete = json!({"name": "delete_secret", "arguments": {"name": "A"}});
    let answer = client.ask(&request(2, "tools/call", &delete)).await;
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    client.close();
    assert!(server.ended().await.success());
    let seen = desk.seen.lock().unwrap().clone();
    let names = ["event", "tool", "risk", "decision"];
    assert_eq!(
        seen.iter().map(|line| said(line, &names).join(" ")).collect::<Vec<_>>(),
        ["intent delete_secret destructive allowed"]
    );
    let call = &calls(&server.audit())[0];
    assert_eq!((&call["outcome"], &call["request_id"]), (&json!("ok"), &seen[0]["request_id"]));
    // What the backend calls it is told, but for the secret that it put there.
    assert_eq!(call["backend_request_id"], "req_1 Bearer [masked]");
    verified(&server.audit());
}

#[tokio::test]
async fn a_call_that_is_given_up_is_written_down() {
    let mut backend = Backend::start().await;
    let (mut server, mut client) = Keyglass::over_pipes(&backend);
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    client.send(&request(2, "tools/call", &secret("held"))).await;
    backend.arrival().await;
    let cancelled = json!({"requestId": 2});
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})).await;
    within(backend.given_up.recv()).await.unwrap();
    client.close();
    server.ended().await;
    let calls = calls(&server.audit());
    assert_eq!(
        said(&calls[0], &["tool", "decision", "outcome", "status"]),
        ["get_secret", "allowed", "cancelled", "-"]
    );
    assert_eq!(calls[0]["sent_request_id"], calls[0]["request_id"], "it had been sent");
}

#[tokio::test]
async fn no_secret_is_ever_in_it() {
    const VALUE: &str = "canary-value-88d1";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let grant = json!({"name": "ci", "scopes": [{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ"}]});
    for (tool, arguments) in [
        ("create_secret", json!({"name": "A", "value": VALUE})),
        ("get_secret", json!({"name": "A"})),
        // In the wrong places.
        ("update_secret", json!({"name": VALUE, "value": VALUE})),
        ("update_secret", json!({"name": "A", "valeu": VALUE})),
        ("update_secret", json!({"name": "A", VALUE: 1})),
        ("list_secrets", json!({"limit": VALUE})),
        ("create_api_key", json!({"name": "wide"})),
        ("create_restricted_key", grant),
    ] {
        let (_, out, _) = run(data, &["call", tool, "--json", &arguments.to_string()]);
        // A new key is shown once, and never written down.
        if let Some(key) =
            serde_json::from_str::<Value>(&out).ok().and_then(|out| Some(out["key_secret"].as_str()?.to_owned()))
        {
            let text = fs::read_to_string(&segments(&data.join("audit"))[0]).unwrap();
            assert!(!text.contains(&key), "{text}");
        }
    }
    let log = data.join("audit");
    verified(&log);
    let text = fs::read_to_string(&segments(&log)[0]).unwrap();
    let root_key = fs::read_to_string(data.join("root.key")).unwrap();
    for canary in [VALUE, root_key.trim()] {
        assert!(!text.contains(canary), "{text}");
    }
    let calls = calls(&log);
    assert_eq!(calls.len(), 8);
    let same = |at: usize, name: &str| calls[at]["arguments"][name]["digest"].clone();
    assert_eq!(same(0, "value"), same(2, "value"), "the same value has the same digest");
    assert_eq!(calls[0]["arguments"]["name"], json!({"value": "A"}));
    assert!(calls[2]["arguments"]["name"].get("value").is_none(), "{}", calls[2]);
    let scopes = &calls[7]["arguments"]["scopes"];
    assert_eq!(
        scopes["members"],
        json!({"0.resource_type": "RESOURCE_TYPE_ACCOUNT", "0.access_level": "ACCESS_LEVEL_READ"}),
        "what a new key may do"
    );
}

#[test]
fn an_operator_chooses_what_is_told_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let config = data.join("keyglass.yaml");
    let config = config.to_str().unwrap();
    let told = |section: &str| {
        fs::write(config, section).unwrap();
        run(data, &["call", "get_secret", "name=A", "--config", config]);
        calls(&data.join("audit")).pop().unwrap()["arguments"]["name"].clone()
    };
    assert_eq!(told("audit: {}\n"), json!({"value": "A"}));
    assert!(told("audit: {clear: []}\n")["digest"].is_string());
    assert_eq!(told("audit: {clear: [get_secret.name]}\n"), json!({"value": "A"}));
    fs::write(config, "audit: {clear: [name]}\n").unwrap();
    let (code, _, error) = run(data, &["call", "get_secret", "name=A", "--config", config]);
    assert!(code == 64 && error.contains("`TOOL.ARGUMENT`"), "{code} {error}");
}

#[test]
fn there_is_no_log_of_what_calls_nobody_or_where_it_is_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    run(data, &["tools"]);
    run(data, &["call", "get_secret", "name=A", "--dry-run"]);
    run(data, &["check"]);
    assert!(!data.join("audit").exists());
    let (code, ..) = run(data, &["call", "list_secrets", "--audit", "off"]);
    assert!(code == 0 && !data.join("audit").exists());
    let off = keyglass(data, &["call", "list_secrets"]).env("KEYGLASS_AUDIT", "off").output().unwrap();
    assert!(off.status.success() && !data.join("audit").exists());
    let (code, _, error) = run(data, &["audit", "verify"]);
    assert!(code == 2 && error.contains("there is no audit log"), "{code} {error}");
}

#[test]
fn a_log_that_cannot_be_opened_stops_nobody_unless_it_has_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    fs::write(data.join("audit"), "in the way").unwrap();
    let (code, _, error) = run(data, &["call", "list_secrets"]);
    assert!(code == 0 && error.contains("calls are not written down"), "{code} {error}");
    let config = data.join("keyglass.yaml");
    fs::write(&config, "audit: {required: true}\n").unwrap();
    let config = config.to_str().unwrap();
    let (code, _, error) = run(data, &["call", "list_secrets", "--config", config]);
    assert!(code == 2 && error.contains("cannot be opened"), "{code} {error}");
    let (code, _, error) = run(data, &["call", "list_secrets", "--config", config, "--audit", "off"]);
    assert!(code == 64 && error.contains("there has to be"), "{code} {error}");
}

/// A segment that takes nothing, as a full disk does.
#[cfg(target_os = "linux")]
mod full {
    use super::*;

    fn fill(log: &Path) -> (PathBuf, Vec<u8>) {
        let segment = segments(log).pop().unwrap();
        let text = fs::read(&segment).unwrap();
        // In one step: somebody may be writing.
        let instead = log.join("full");
        std::os::unix::fs::symlink("/dev/full", &instead).unwrap();
        fs::rename(&instead, &segment).unwrap();
        (segment, text)
    }

    /// A segment that takes everything and keeps nothing for sure.
    fn slip(log: &Path) -> (PathBuf, Vec<u8>) {
        let segment = segments(log).pop().unwrap();
        let text = fs::read(&segment).unwrap();
        let instead = log.join("null");
        std::os::unix::fs::symlink("/dev/null", &instead).unwrap();
        fs::rename(&instead, &segment).unwrap();
        (segment, text)
    }

    fn empty((segment, text): (PathBuf, Vec<u8>)) {
        // In one step here too: what is written between two would be written over.
        let instead = segment.with_extension("put-back");
        fs::write(&instead, text).unwrap();
        fs::rename(&instead, &segment).unwrap();
    }

    /// Waits until so many calls are in the log.
    async fn has_told(log: &Path, count: usize) {
        within(async {
            while calls(log).len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn calls_go_on_and_what_is_lost_is_counted() {
        let backend = Backend::start().await;
        let (mut server, mut client) = Keyglass::over_pipes(&backend);
        client.ask(&initialize(1)).await;
        client.send(&initialized()).await;
        client.ask(&request(2, "tools/call", &secret("A"))).await;
        let delete = json!({"name": "delete_secret", "arguments": {"name": "A"}});
        client.ask(&request(3, "tools/call", &delete)).await;
        has_told(&server.audit(), 2).await;
        let full = fill(&server.audit());
        for id in 4..9 {
            let answer = client.ask(&request(id, "tools/call", &secret("A"))).await;
            assert_eq!(answer["result"]["isError"], false, "{answer}");
        }
        // Waits until it is known that nothing can be written.
        client.ask(&request(9, "tools/call", &delete)).await;
        server.logged("the audit log cannot be written", 1).await;
        empty(full);
        server.logged("the audit log is written again", 1).await;
        client.ask(&request(10, "tools/call", &secret("A"))).await;
        client.close();
        assert!(server.ended().await.success());
        assert_eq!(server.log().matches("the audit log cannot be written").count(), 1, "told once");
        let report = verified(&server.audit());
        // Five calls and the intent of the sixth, whose end may have come when there was room again.
        assert!(report.lost == 6 || report.lost == 7, "{report:?}");
        let told = u64::try_from(calls(&server.audit()).len()).unwrap();
        assert_eq!(told + report.lost, 9 + 1, "nine calls and an intent are told or counted");
    }

    #[tokio::test]
    async fn what_was_written_and_may_not_last_is_not_written_again() {
        let log = Log::new();
        let options = Options { required: true, ..log.options() };
        let audit = Audit::open(options, Clock::Fixed(NOW_MS)).unwrap();
        audit.record_lasting(entry(1)).await.unwrap();
        let unsure = slip(log.path());
        audit.record(entry(2)).await;
        let error = audit.record_lasting(entry(3)).await.unwrap_err();
        assert!(error.to_string().contains("the audit log cannot be written"), "{error}");
        empty(unsure);
        // It is tried again by itself, though nothing is left to be written.
        within(async {
            while audit.record_lasting(entry(4)).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        audit.close();
        let told: Vec<Value> = lines(log.path());
        let events: Vec<&str> = told.iter().filter_map(|line| line["event"].as_str()).collect();
        assert_eq!(events.iter().filter(|event| **event == "call").count(), 2, "the first and the last: {told:?}");
        assert!(!events.contains(&"lost"), "{told:?}");
    }

    #[tokio::test]
    async fn where_it_is_required_nothing_is_carried_out_unwritten() {
        let backend = Backend::start().await;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("keyglass.yaml");
        fs::write(&config, "audit: {required: true}\n").unwrap();
        let (mut server, mut client) = Keyglass::over_pipes_with(&backend, &["--config", config.to_str().unwrap()]);
        client.ask(&initialize(1)).await;
        client.send(&initialized()).await;
        let delete = json!({"name": "delete_secret", "arguments": {"name": "A"}});
        client.ask(&request(2, "tools/call", &delete)).await;
        // Else it is known too early that nothing can be written, and the next call is not even tried.
        has_told(&server.audit(), 1).await;
        let full = fill(&server.audit());
        for (id, params) in [(3, delete.clone()), (4, secret("A"))] {
            let answer = client.ask(&request(id, "tools/call", &params)).await;
            let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
            assert!(
                answer["result"]["isError"] == true && text.contains("the audit log cannot be written"),
                "{answer}"
            );
            assert_eq!(answer["result"]["_meta"]["keyglass/error"]["kind"], "unaudited");
        }
        empty(full);
        server.logged("the audit log is written again", 1).await;
        let answer = client.ask(&request(5, "tools/call", &secret("A"))).await;
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        client.close();
        assert!(server.ended().await.success());
        verified(&server.audit());
        let calls = calls(&server.audit());
        let told: Vec<String> =
            calls.iter().map(|line| said(line, &["tool", "decision", "outcome"]).join(" ")).collect();
        assert_eq!(told, ["delete_secret allowed status", "delete_secret refused unaudited", "get_secret allowed ok"]);
    }
}

#[test]
fn a_person_reads_it_and_is_told_of_damage() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    for name in ["A", "B", "C"] {
        run(data, &["call", "get_secret", &format!("name={name}")]);
    }
    let (code, out, _) = run(data, &["audit", "verify"]);
    assert!(code == 0 && out.starts_with("intact: 4 lines in 1 segment, seq 1 to 4, "), "{out}");
    let (code, out, _) = run(data, &["audit", "tail", "-n", "2"]);
    assert!(code == 0 && out.lines().count() == 3, "{out}");
    assert!(out.contains("name=\"B\"") && out.contains("name=\"C\"") && !out.contains("name=\"A\""), "{out}");
    let (_, out, _) = run(data, &["audit", "tail", "--json", "-n", "1"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["tool"], "get_secret");
    let (code, out, _) = run(data, &["audit", "rotate"]);
    assert_eq!((code, out.as_str()), (0, "the log goes on in the segment 2\n"));
    let (_, out, _) = run(data, &["audit", "tail", "-n", "3"]);
    assert!(out.contains("name=\"B\"") && out.contains("name=\"C\"") && out.contains("segment"), "{out}");
    let path = segments(&data.join("audit"))[0].clone();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"value\":\"B\"", "\"value\":\"\u{9b}2J\"")).unwrap();
    let (code, out, _) = run(data, &["audit", "verify"]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.starts_with("00000001.jsonl, line 3: edited: this line (seq 3) is not as written\ndamaged: 5 lines"),
        "{out}"
    );
    let (_, out, _) = run(data, &["audit", "tail"]);
    assert!(!out.contains('\u{9b}'), "{out}");
    let (_, out, _) = run(data, &["audit", "tail", "--json"]);
    assert!(!out.contains('\u{9b}'), "{out}");
    let (code, out, _) = run(data, &["audit", "verify", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 1 && report["intact"] == false && report["damages"][0]["kind"] == "edited", "{report}");
}
