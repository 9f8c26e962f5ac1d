//! What the operator says of confirmations: by class, by tool, in the file and by flags.

use keyglass::{call::CallContext, config::Options, error::CallError};
use serde_json::{Value, json};

use super::yard::{Manners, Way, Yard, answer, form, gateway};
use crate::{shipyard::Service, support::run};

async fn kind(gateway: &keyglass::gateway::Gateway, tool: &str, arguments: Value) -> &'static str {
    let Value::Object(arguments) = arguments else { panic!("an object") };
    let outcome = gateway.call(gateway.tool(tool).unwrap(), arguments, &CallContext::new("1")).await;
    outcome.map_or_else(|error: CallError| error.kind(), |_| "done")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_by_class_and_by_tool_and_flags_count_before_the_file() {
    let service = Service::start(answer).await;
    let file = |rules: &str| format!("policy: {{ confirm: {{ {rules} }} }}\n");
    for (config, flags, deletes, runs) in [
        (String::new(), vec![], "waits-for-person", "waits-for-person"),
        (file("destructive: allow"), vec![], "done", "waits-for-person"),
        (file("destructive: client, exec: deny"), vec![], "done", "denied"),
        (file("destructive: deny, delete_boat: allow"), vec![], "done", "waits-for-person"),
        (file("destructive: allow, delete_boat: ask"), vec![], "waits-for-person", "waits-for-person"),
        (file("destructive: allow, exec: allow"), vec!["exec=deny", "destructive=ask"], "waits-for-person", "denied"),
        (file("run_command: deny"), vec!["run_command=allow"], "waits-for-person", "done"),
        (String::new(), vec!["exec=deny", "delete_boat=deny"], "denied", "denied"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let gateway = gateway(folder.path(), &service.url, &config, &flags);
        service.take();
        assert_eq!(kind(&gateway, "delete_boat", json!({"id": "7"})).await, deletes, "{config} {flags:?}");
        assert_eq!(kind(&gateway, "run_command", json!({"id": "7", "command": "x"})).await, runs, "{config} {flags:?}");
        assert_eq!(kind(&gateway, "get_boat", json!({"id": "7"})).await, "done");
        let lines = service.lines();
        let done = [("DELETE /boats/7", deletes), ("POST /boats/7/commands", runs)];
        for (line, kind) in done {
            assert_eq!(lines.iter().any(|seen| seen == line), kind == "done", "{config} {flags:?}: {lines:?}");
        }
    }
}

#[test]
fn slips_in_rules_are_found() {
    let settings = |rule: &str| Options { confirm: vec![rule.to_owned()], ..Options::default() }.settings();
    for (rule, expected) in [
        ("exec=alow", "did you mean `allow`"),
        ("exec", "exec"),
        ("=deny", ""),
        ("exec=", ""),
        ("exec=ask;grant=deny", ""),
    ] {
        let error = settings(rule).err().unwrap_or_else(|| panic!("`{rule}` is taken"));
        assert!(error.to_string().contains(expected), "{rule}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (rule, expected) in [
        ("destructve=ask", "changes nothing; did you mean the class `destructive`?"),
        ("delete_secrt=deny", "changes nothing; did you mean the tool `delete_secret`?"),
    ] {
        for command in ["tools", "check"] {
            let (code, _, err) = run(folder.path(), &[command, "--confirm", rule]);
            assert!(code == 0 && err.contains(expected), "a slip is told of: {command} {rule}: {code} {err}");
        }
    }
}

#[tokio::test]
async fn what_is_left_to_the_client_is_not_asked_and_what_is_denied_is_asked_of_nobody() {
    for way in [Way::Http, Way::ModernPipes] {
        let rules = "destructive=client,exec=deny,write=ask";
        let (yard, mut talker) = Yard::with(way, form(), (rules, "")).await;
        talker.with(Manners::Decline).call("delete_boat", &json!({"id": "7"})).await;
        assert_eq!(yard.done(), ["DELETE /boats/7"], "{way:?}");
        let text = talker.text("run_command", &json!({"id": "7", "command": "x"})).await;
        assert!(text.contains("policy denies") && text.contains("a retry will not help"), "{text}");
        assert!(talker.asked.is_empty(), "{way:?}");
        assert_eq!(yard.done(), [""; 0]);
    }
}
