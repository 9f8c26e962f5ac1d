//! What a person's word is bound to: who asked, and all that the call does. And that it is written down.

use std::{fs, path::Path};

use keyglass::{
    call::{CallContext, CallOutput},
    caller::Caller,
    error::CallError,
    gateway::Gateway,
    policy::store::{Kept, Origin, Shown},
};
use serde_json::{Value, json};

use super::yard::{SPEC, answer, confirm, gateway};
use crate::{
    shipyard::Service,
    support::{finished, keyglass, run},
};

async fn called(gateway: &Gateway, context: &CallContext, tool: &str, arguments: Value) -> Result<Value, CallError> {
    let tool = gateway.tool(tool).unwrap_or_else(|| panic!("`{tool}` is not there"));
    let Value::Object(arguments) = arguments else { panic!("an object") };
    let output = gateway.call(tool, arguments, context).await?;
    let CallOutput::Answer { structured, .. } = output else { panic!("{output:?}") };
    Ok(Value::Object(structured))
}

/// Calls a call that waits, and confirms it.
async fn confirmed(gateway: &Gateway, arguments: &Value) {
    let error = called(gateway, &CallContext::new("1"), "delete_boat", arguments.clone()).await.unwrap_err();
    assert_eq!(error.kind(), "waits-for-person", "{error}");
    let store = gateway.policy.vault().unwrap().store().unwrap();
    let waiting = store.waiting().unwrap();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    store.decide(&waiting[0].id, confirm()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_is_for_the_call_that_was_shown_and_for_who_asked() {
    let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
    let first = gateway(folder.path(), &service.url, "", &[]);
    let arguments = json!({"id": "7", "options": {"a": {"b": [1]}}});
    confirmed(&first, &arguments).await;
    let waits = async |gateway: &Gateway, context: &CallContext, tool: &str, arguments: Value| {
        let error = called(gateway, context, tool, arguments).await.unwrap_err();
        assert_eq!(error.kind(), "waits-for-person", "{error}");
        let store = gateway.policy.vault().unwrap().store().unwrap();
        let waiting = store.waiting().unwrap();
        assert_eq!(waiting.len(), 1, "it is asked about anew: {waiting:?}");
        store.decide(&waiting[0].id, super::yard::refuse()).unwrap();
    };
    let own = CallContext::new("2");
    waits(&first, &own, "delete_boat", json!({"id": "7", "options": {"a": {"b": [2]}}})).await;
    waits(&first, &own, "delete_boat", json!({"id": "7"})).await;
    waits(&first, &own, "run_command", json!({"id": "7", "command": "x"})).await;
    let stranger = CallContext { principal: Caller::anonymous().principal, ..CallContext::new("3") };
    waits(&first, &stranger, "delete_boat", arguments.clone()).await;
    // Another service behind the same tool, and another path.
    let elsewhere = Service::start(answer).await;
    waits(&gateway(folder.path(), &elsewhere.url, "", &[]), &own, "delete_boat", arguments.clone()).await;
    let changed = SPEC.replace("path: /boats/{id}\n", "path: /ships/{id}\n").replace("BASE", &service.url);
    fs::write(folder.path().join("yard.yaml"), changed).unwrap();
    let options = keyglass::config::Options { config: Some(folder.path().join("keyglass.yaml")), ..Default::default() };
    let purpose = keyglass::setup::Purpose::Call;
    let changed = keyglass::setup::setup(&options.settings().unwrap(), purpose, keyglass::clock::Clock::System);
    waits(&changed.unwrap().gateway, &own, "delete_boat", arguments.clone()).await;
    for service in [&service, &elsewhere] {
        assert!(service.lines().iter().all(|line| line.starts_with("GET ")));
    }

    // Another process of the same operator takes it, once, whatever the order of members.
    let again = gateway(folder.path(), &service.url, "", &[]);
    let reordered = json!({"options": {"a": {"b": [1]}}, "id": "7"});
    called(&again, &own, "delete_boat", reordered).await.unwrap();
    assert_eq!(service.lines(), ["DELETE /boats/7"]);
    let error = called(&again, &own, "delete_boat", arguments).await.unwrap_err();
    assert_eq!(error.kind(), "waits-for-person", "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_be_asked_nothing_is_done() {
    let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
    let gateway = gateway(folder.path(), &service.url, "", &[]);
    for id in 0..50 {
        let arguments = json!({"id": id.to_string(), "command": "x"});
        let error = called(&gateway, &CallContext::new("1"), "run_command", arguments).await.unwrap_err();
        assert_eq!(error.kind(), "waits-for-person");
    }
    let error = called(&gateway, &CallContext::new("1"), "run_command", json!({"id": "50", "command": "x"})).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), "not-confirmed");
    assert!(error.to_string().contains("50 calls of this caller wait for a person already"), "{error}");
    assert!(service.lines().iter().all(|line| line.starts_with("GET ")));
}

fn lines(folder: &Path) -> String {
    let files = fs::read_dir(folder.join("audit")).unwrap().map(|entry| entry.unwrap().path());
    files.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

#[test]
fn what_is_decided_and_revealed_by_command_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let store = keyglass::policy::store::Store::open(folder.path(), None, keyglass::clock::Clock::System).unwrap();
    let shown = Shown { tool: "delete_boat".into(), confirms: true, ..Shown::default() };
    let ask =
        |binding: u8| store.ask(&[1; 32], &[binding; 32], shown.clone(), std::time::Duration::from_secs(60)).unwrap();
    let (yes, no) = (ask(1), ask(2));
    for (question, flag) in [(&yes, "--yes"), (&no, "--refuse")] {
        let (code, _, err) = run(folder.path(), &["approve", &question.shown.code, flag]);
        assert_eq!(code, 0, "{err}");
    }
    let value = "canary-revealed-61".into();
    let origin = Origin { tool: "create_key".into(), place: "/key".into(), about: String::new() };
    let kept = store.keep(&[1; 32], &[Kept { value: &value, origin }], std::time::Duration::from_secs(60)).unwrap();
    let (code, out, err) = run(folder.path(), &["reveal", &kept[0].to_string(), "--to-pipe"]);
    assert_eq!((code, out.as_str()), (0, "canary-revealed-61"), "{err}");
    let log = lines(folder.path());
    for (needle, question) in [("confirmed", Some(&yes)), ("declined", Some(&no)), ("reveal", None)] {
        let line = log.lines().find(|line| {
            let has_id = question.is_none_or(|question| line.contains(&question.id.to_string()));
            line.contains(needle) && has_id
        });
        let line: Value = serde_json::from_str(line.unwrap_or_else(|| panic!("no {needle}: {log}"))).unwrap();
        assert!(line.to_string().contains("\"command\""), "by what way: {line}");
    }
    assert!(log.contains(&kept[0].to_string()) && !log.contains("canary-revealed"), "{log}");
    assert_eq!(run(folder.path(), &["audit", "verify"]).0, 0);
    // Who keeps none keeps none of this either.
    let other = tempfile::tempdir().unwrap();
    let question = {
        let store = keyglass::policy::store::Store::open(other.path(), None, keyglass::clock::Clock::System).unwrap();
        store.ask(&[1; 32], &[1; 32], shown.clone(), std::time::Duration::from_secs(60)).unwrap()
    };
    let mut command = keyglass(other.path(), &["approve", &question.shown.code, "--yes", "--audit", "off"]);
    assert_eq!(finished(command.output().unwrap()).0, 0);
    assert!(!other.path().join("audit").exists());
}

/// On a disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn by_command_nothing_is_decided_or_revealed_that_cannot_be_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("keyglass.yaml");
    let written = |required: bool| fs::write(&config, format!("audit: {{ required: {required} }}\n")).unwrap();
    written(true);
    let config = config.to_str().unwrap();
    let call = ["call", "list_secrets", "--config", config];
    assert_eq!(run(folder.path(), &call).0, 0, "a log to begin with");
    let segment = folder.path().join("audit/00000001.jsonl");
    fs::remove_file(&segment).unwrap();
    std::os::unix::fs::symlink("/dev/full", &segment).unwrap();
    let store = keyglass::policy::store::Store::open(folder.path(), None, keyglass::clock::Clock::System).unwrap();
    let shown = Shown { tool: "delete_boat".into(), confirms: true, ..Shown::default() };
    let hour = std::time::Duration::from_secs(3600);
    let code = store.ask(&[1; 32], &[1; 32], shown, hour).unwrap().shown.code;
    let value = "canary-revealed-62".into();
    let origin = Origin { tool: "create_key".into(), place: "/key".into(), about: String::new() };
    let handle = store.keep(&[1; 32], &[Kept { value: &value, origin }], hour).unwrap()[0].to_string();
    let output = folder.path().join("value");
    let to_file = ["--output", output.to_str().unwrap()];
    let acts = [
        vec!["approve", &code, "--yes"],
        vec!["approve", &code, "--refuse"],
        vec!["reveal", &handle, "--to-pipe"],
        vec!["reveal", &handle, to_file[0], to_file[1]],
    ];
    for act in acts {
        let (code, out, err) = run(folder.path(), &[&act[..], &["--config", config]].concat());
        assert!(code == 2 && err.contains("the audit log cannot be written"), "{act:?}: {code} {err}");
        assert!(err.contains("`required`") && !format!("{out}{err}").contains("canary-revealed"), "{out}{err}");
    }
    assert!(!output.exists());
    assert_eq!(store.waiting().unwrap().len(), 1);
    assert_eq!(store.handles().unwrap()[0].revealed_at_ms, None);
    // Where it need not be written, nobody is stopped.
    written(false);
    assert_eq!(run(folder.path(), &["approve", &code, "--yes", "--config", config]).0, 0);
    let (code, out, err) = run(folder.path(), &["reveal", &handle, "--to-pipe", "--config", config]);
    assert_eq!((code, out.as_str()), (0, "canary-revealed-62"), "{err}");
}

#[test]
fn a_call_that_is_repeated_with_the_word_leaves_no_question() {
    let folder = tempfile::tempdir().unwrap();
    let store = || keyglass::policy::store::Store::open(folder.path(), None, keyglass::clock::Clock::System).unwrap();
    let call = ["call", "delete_secret", "name=A"];
    let (code, _, err) = run(folder.path(), &call);
    assert!(code == 5 && err.contains("a person has to confirm"), "{err}");
    assert_eq!(store().waiting().unwrap().len(), 1);
    let (code, _, err) = run(folder.path(), &["call", "delete_secret", "name=B", "--yes"]);
    assert!(code == 5 && !err.contains("a person has to confirm"), "{err}");
    assert_eq!(store().waiting().unwrap().len(), 1, "of another call");
    let (code, _, err) = run(folder.path(), &[&call[..], &["--yes"]].concat());
    assert!(code == 5 && !err.contains("a person has to confirm"), "there is no such secret: {err}");
    assert!(store().waiting().unwrap().is_empty());
    let log = lines(folder.path());
    let said = log.lines().filter(|line| line.contains(r#""decided_by":"command""#)).count();
    assert!(said >= 2, "{log}");
    // Whoever asks nothing needs no place for questions.
    let other = tempfile::tempdir().unwrap();
    run(other.path(), &["call", "delete_secret", "name=A", "--yes"]);
    assert!(!keyglass::policy::store::Store::exists(other.path()));
}
