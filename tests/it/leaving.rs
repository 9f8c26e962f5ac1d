//! What becomes of tasks when the server leaves: they are work in flight as calls are, and nobody asks for a grace that
//! nobody can use.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    mcp::request,
    shipyard::{Answer, Seen, Service},
    support::{Client, Keyglass, Lined, within},
};

const LAUNCHES: &str = r#"
ikanos: 1.0.0-beta5
capability:
  consumes:
    - type: http
      namespace: yard
      baseUri: https://yard.test
      resources:
        ships: { path: /ships, operations: { launch: { method: POST } } }
  exposes:
    - type: mcp
      namespace: launches
      tools:
        - name: launch
          description: Launches a ship at high tide.
          steps:
            - { type: task }
            - { type: delay, duration: 1s }
            - { name: launched, call: yard.launch }
            - { type: return, text: Launched. }
        - name: ask
          description: Asks before it launches a ship.
          steps:
            - { type: task }
            - name: person
              type: input
              requests:
                word: { type: elicitation, message: A word?, schema: { type: object, properties: { word: { type: string } } } }
            - { name: launched, call: yard.launch }
            - { type: return, text: Launched. }
        - { name: rest, description: Rests., steps: [{ type: task }, { type: delay, duration: 60s }, { type: return, text: Rested. }] }
"#;

fn written() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = folder.path().join("launches.yaml");
    fs::write(&spec, LAUNCHES).expect("written");
    let spec = spec.display().to_string();
    (folder, spec)
}

async fn yard() -> Service {
    Service::start(|_: &Seen| Answer::json(&json!({"id": 1}))).await
}

fn following(id: u64, method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":
            {"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
    });
    request(id, method, &params)
}

fn call(tool: &str) -> Value {
    following(1, "tools/call", &json!({"name": tool}))
}

async fn posted(client: &Client, message: &Value) -> Value {
    let method = message["method"].as_str().expect("a method");
    let params = &message["params"];
    let name = params["name"].as_str().or(params["taskId"].as_str()).expect("a name");
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method), ("mcp-name", name)];
    let answer = within(async {
        let answer = client.post("/mcp", message, &headers).send().await.expect("an answer");
        answer.text().await.expect("a text")
    });
    serde_json::from_str(&answer.await).expect("JSON")
}

/// Waits until a task asks something.
async fn asked<R: tokio::io::AsyncRead + Unpin, W: tokio::io::AsyncWrite + Unpin>(
    client: &mut Lined<R, W>,
    task: &Value,
) {
    let id = json!({"taskId": task["result"]["taskId"]});
    for number in 100..400 {
        let state = client.ask(&following(number, "tasks/get", &id)).await;
        if state["result"]["status"] == "input_required" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("nothing is asked");
}

#[tokio::test]
async fn a_task_that_ends_in_time_is_carried_to_its_end() {
    let ((_folder, spec), service) = (written(), yard().await);
    for is_closed in [true, false] {
        let (mut keyglass, mut client) = Keyglass::over_pipes_for(&service.url, &["--capabilities", &spec]);
        let task = client.ask(&call("launch")).await;
        assert_eq!(task["result"]["resultType"], "task", "{task}");
        if is_closed {
            client.close();
        } else {
            keyglass.terminate().await;
        }
        assert!(keyglass.ended().await.success());
        assert_eq!(service.take().len(), 1, "closed: {is_closed}");
        assert!(!keyglass.log().contains("outlasted the grace period"));
    }
    let (mut keyglass, client) = Keyglass::over_http_for(&service.url, &["--capabilities", &spec]).await;
    assert_eq!(posted(&client, &call("launch")).await["result"]["resultType"], "task");
    keyglass.terminate().await;
    assert!(keyglass.ended().await.success());
    assert_eq!(service.take().len(), 1);
}

#[tokio::test]
async fn a_task_that_waits_for_an_answer_ends_when_nobody_can_give_it() {
    let ((_folder, spec), service) = (written(), yard().await);
    let (mut keyglass, mut client) = Keyglass::over_pipes_for(&service.url, &["--capabilities", &spec]);
    let task = client.ask(&call("ask")).await;
    asked(&mut client, &task).await;
    client.close();
    let (mut other, client) = Keyglass::over_http_for(&service.url, &["--capabilities", &spec]).await;
    posted(&client, &call("ask")).await;
    other.terminate().await;
    for keyglass in [&mut keyglass, &mut other] {
        assert!(keyglass.ended().await.success());
        assert!(!keyglass.log().contains("outlasted the grace period"), "it ends at once");
    }
    assert!(service.take().is_empty());
}

#[tokio::test]
async fn a_task_that_lasts_too_long_is_given_up() {
    let ((_folder, spec), service) = (written(), yard().await);
    let (mut over_pipes, mut piped) = Keyglass::over_pipes_for(&service.url, &["--capabilities", &spec]);
    let (mut over_http, client) = Keyglass::over_http_for(&service.url, &["--capabilities", &spec]).await;
    piped.ask(&call("rest")).await;
    posted(&client, &call("rest")).await;
    piped.close();
    over_http.terminate().await;
    for keyglass in [&mut over_pipes, &mut over_http] {
        assert!(keyglass.ended().await.success());
        assert!(keyglass.log().contains("outlasted the grace period"));
    }
}
