//! Steps that speak with the client, wait, and end a call, as clients of both eras see them; and operations whose end is
//! waited for.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{ChildStdin, ChildStdout};

use crate::{
    mcp::{SseClient, initialized, request},
    shipyard::{Answer, Seen, Service},
    support::{Backend, Client, Keyglass, Lined, within},
};

const MARKET: &str = r#"
ikanos: 1.0.0-beta5
capability:
  consumes:
    - type: http
      namespace: boats
      baseUri: https://boats.test
      resources:
        boats:
          path: /boats/{id}
          operations:
            get-boat: { method: GET, inputParameters: [{ name: id, in: path }] }
            sell-boat: { method: DELETE, inputParameters: [{ name: id, in: path }] }
        builds:
          path: /builds
          operations:
            build:
              method: POST
              poll: { call: get-build, with: { id: $.answer.id }, until: { path: $.state, values: [ready, failed] }, interval: 50ms, timeout: 5s }
            await: { method: PUT, poll: { statuses: [408], interval: 50ms, timeout: 5s } }
            follow: { method: PATCH, poll: { location: true, interval: 50ms, timeout: 5s } }
            never: { method: DELETE, poll: { interval: 50ms, timeout: 1s } }
        build:
          path: /builds/{id}
          operations:
            get-build: { method: GET, inputParameters: [{ name: id, in: path }] }
  exposes:
    - type: mcp
      namespace: market
      tools:
        - name: sell_boat
          description: Sells a boat, once a person has agreed.
          hints: { destructive: true }
          inputParameters: [{ name: id, type: string, description: The boat. }]
          steps:
            - { name: boat, call: boats.get-boat, with: { id: tools.id } }
            - { type: progress, progress: 1, total: 2, message: "Found {{boat.name}}." }
            - name: seller
              type: input
              requests:
                agreed:
                  type: elicitation
                  message: "Sell {{boat.name}}?"
                  schema: { type: object, properties: { price: { type: integer, minimum: 1 } }, required: [price] }
            - { name: sold, call: boats.sell-boat, with: { id: tools.id } }
            - { type: return, text: "Sold {{boat.name}} for {{seller.agreed.price}}." }
        - name: maybe_ask
          description: Asks where somebody can answer.
          steps:
            - name: person
              type: input
              requests:
                word: { type: elicitation, optional: true, message: A word?, schema: { type: object, properties: { word: { type: string } } } }
            - { type: return, text: "Word: {{person.word.word}}." }
        - name: paint
          description: Strips a boat, then asks for its colour.
          inputParameters: [{ name: id, type: string, description: The boat. }]
          steps:
            - { name: stripped, call: boats.sell-boat, with: { id: tools.id } }
            - name: person
              type: input
              sealed: false
              requests:
                colour: { type: elicitation, message: Which colour?, schema: { type: object, properties: { colour: { type: string } } } }
            - { type: return, text: "Painted {{person.colour.colour}}." }
        - { name: rest, description: Rests., steps: [{ type: task }, { type: delay, duration: 60s }, { type: return, text: Rested. }] }
        - { name: build, description: Builds., call: boats.build }
        - { name: await, description: Waits., call: boats.await }
        - { name: follow, description: Follows., call: boats.follow }
        - { name: never, description: Never ends., call: boats.never }
"#;

struct Market {
    keyglass: Keyglass,
    service: Service,
    _folder: TempDir,
}

fn written(folder: &TempDir) -> (String, String) {
    let (spec, config) = (folder.path().join("market.yaml"), folder.path().join("config.yaml"));
    fs::write(&spec, MARKET).unwrap();
    fs::write(&config, "soft_deadline: 1\n").unwrap();
    (spec.to_str().unwrap().to_owned(), config.to_str().unwrap().to_owned())
}

impl Market {
    async fn over_pipes(
        answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static,
    ) -> (Self, Lined<ChildStdout, ChildStdin>) {
        let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
        let (spec, config) = written(&folder);
        let arguments = ["--capabilities", &spec, "--config", &config];
        let (keyglass, client) = Keyglass::over_pipes_for(&service.url, &arguments);
        (Self { keyglass, service, _folder: folder }, client)
    }

    async fn over_http(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> (Self, Client) {
        let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
        let (spec, config) = written(&folder);
        let arguments = ["--capabilities", &spec, "--config", &config];
        let (keyglass, client) = Keyglass::over_http_for(&service.url, &arguments).await;
        (Self { keyglass, service, _folder: folder }, client)
    }
}

fn boats(seen: &Seen) -> Answer {
    match seen.line.as_str() {
        "GET /boats/7" => Answer::json(&json!({"id": 7, "name": "Elise", "key": "canary-boat-key"})),
        "DELETE /boats/7" => Answer::json(&json!({"id": 7})),
        _ => Answer::json(&json!({"message": "no such boat"})).with_status(404),
    }
}

/// A request of the newer era, of a client that declares these capabilities.
fn modern_of(id: u64, method: &str, params: &Value, capabilities: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
    });
    request(id, method, &params)
}

fn initialize_with(capabilities: &Value) -> Value {
    request(
        1,
        "initialize",
        &json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
        "clientInfo": {"name": "test", "version": "0"}}),
    )
}

fn sell() -> Value {
    json!({"name": "sell_boat", "arguments": {"id": "7"}})
}

fn agreed(price: i64) -> Value {
    json!({"action": "accept", "content": {"price": price}})
}

fn asks() -> Value {
    json!({"elicitation": {}})
}

fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

async fn posted(client: &Client, message: &Value) -> (StatusCode, Value) {
    let method = message["method"].as_str().unwrap();
    let name = message["params"]["name"].as_str().or(message["params"]["taskId"].as_str()).unwrap_or_default();
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method), ("mcp-name", name)];
    let response = within(client.post("/mcp", message, &headers).send()).await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
}

#[tokio::test]
async fn a_person_is_asked_over_the_session_in_the_older_era() {
    let (market, mut client) = Market::over_pipes(boats).await;
    client.ask(&initialize_with(&asks())).await;
    client.send(&initialized()).await;
    let mut call = sell();
    call["_meta"] = json!({"progressToken": "p"});
    client.send(&request(2, "tools/call", &call)).await;
    let progress = client.receive().await.unwrap();
    assert_eq!(progress["method"], "notifications/progress");
    assert_eq!(
        progress["params"],
        json!({"progressToken": "p", "progress": 1.0, "total": 2.0, "message": "Found Elise."})
    );
    let question = client.receive().await.unwrap();
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("Sell Elise?"))
    );
    assert_eq!(market.service.lines(), ["GET /boats/7"], "nothing is sold before the answer");
    client.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": agreed(500)})).await;
    let answer = client.receive().await.unwrap();
    assert_eq!(text_of(&answer), "Sold Elise for 500.");
    assert!(answer["result"].get("structuredContent").is_none());
    assert_eq!(market.service.lines(), ["DELETE /boats/7"]);
}

#[tokio::test]
async fn what_a_person_declines_is_not_done() {
    let (market, mut client) = Market::over_pipes(boats).await;
    client.ask(&initialize_with(&asks())).await;
    client.send(&initialized()).await;
    for (id, reply, says) in [
        (2, json!({"action": "decline"}), "declined"),
        (3, json!({"action": "cancel"}), "dismissed"),
        (4, agreed(0), "does not fit its form"),
        (5, json!({"action": "accept"}), "does not fit its form"),
    ] {
        client.send(&request(id, "tools/call", &sell())).await;
        let question = client.receive().await.unwrap();
        client.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": reply})).await;
        let answer = client.receive().await.unwrap();
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(text_of(&answer).contains(says), "{answer}");
    }
    assert!(market.service.lines().iter().all(|line| line == "GET /boats/7"));
}

#[tokio::test]
async fn a_client_that_cannot_ask_is_told_so_before_anything_is_sold() {
    let (market, mut client) = Market::over_pipes(boats).await;
    let refused = client.ask(&modern_of(1, "tools/call", &sell(), &json!({"sampling": {}}))).await;
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
    assert!(refused["error"]["data"]["requiredCapabilities"]["elicitation"].is_object(), "{refused}");
    let url_only = json!({"elicitation": {"url": {}}});
    assert_eq!(client.ask(&modern_of(2, "tools/call", &sell(), &url_only)).await["error"]["code"], -32021);
    let word = client.ask(&modern_of(3, "tools/call", &json!({"name": "maybe_ask"}), &json!({}))).await;
    assert_eq!(text_of(&word), "Word: .", "an optional question is left out");
    assert_eq!(market.service.lines(), [""; 0]);

    let (market, mut client) = Market::over_pipes(boats).await;
    client.ask(&initialize_with(&json!({}))).await;
    client.send(&initialized()).await;
    let refused = client.ask(&request(2, "tools/call", &sell())).await;
    assert!(text_of(&refused).contains("`elicitation`"), "the older era has no code for it: {refused}");
    assert_eq!(market.service.lines(), [""; 0]);
}

#[tokio::test]
async fn a_question_and_its_answer_are_two_requests_in_the_newer_era() {
    let (market, client) = Market::over_http(boats).await;
    let (status, asked) = posted(&client, &modern_of(1, "tools/call", &sell(), &asks())).await;
    assert_eq!(status, StatusCode::OK);
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["inputRequests"]["agreed"]["params"]["message"], "Sell Elise?");
    let state = result["requestState"].as_str().unwrap().to_owned();
    assert!(!state.contains("canary") && !asked.to_string().contains("canary-boat-key"));
    assert_eq!(market.service.lines(), ["GET /boats/7"]);

    let repeated = |state: &str, answer: &Value, id: &str| {
        let mut params = json!({"name": "sell_boat", "arguments": {"id": id}, "inputResponses": {"agreed": answer}});
        if !state.is_empty() {
            params["requestState"] = json!(state);
        }
        modern_of(2, "tools/call", &params, &asks())
    };
    // Without the state, for another boat, with a state that was touched: nothing is sold.
    let (_, again) = posted(&client, &repeated("", &agreed(5), "7")).await;
    assert_eq!(again["result"]["resultType"], "input_required", "{again}");
    for (state, boat) in [(state.as_str(), "8"), (&format!("{state}x"), "7"), (state.get(1..).unwrap(), "7")] {
        let (_, refused) = posted(&client, &repeated(state, &agreed(5), boat)).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    assert_eq!(market.service.lines(), ["GET /boats/7"], "of the one without a state");

    let (_, sold) = posted(&client, &repeated(&state, &agreed(500), "7")).await;
    assert_eq!(text_of(&sold), "Sold Elise for 500.");
    assert_eq!(market.service.lines(), ["DELETE /boats/7"], "what was done is not done again");
    let (_, replayed) = posted(&client, &repeated(&state, &agreed(500), "7")).await;
    assert!(replayed["error"]["message"].as_str().unwrap().contains("used already"), "{replayed}");
    assert_eq!(market.service.lines(), [""; 0]);
    assert!(!market.keyglass.log().contains("canary-boat-key"));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_again() {
    let (market, mut client) = Market::over_pipes(boats).await;
    let mut params = sell();
    for (id, reply) in [(1, None), (2, Some(json!(5))), (3, Some(agreed(0))), (4, Some(json!({"action": "maybe"})))] {
        if let Some(reply) = reply {
            params["inputResponses"] = json!({"agreed": reply});
        }
        let asked = client.ask(&modern_of(id, "tools/call", &params, &asks())).await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        params["requestState"] = asked["result"]["requestState"].clone();
    }
    params["inputResponses"] = json!({"agreed": {"action": "decline"}});
    let declined = client.ask(&modern_of(5, "tools/call", &params, &asks())).await;
    assert!(text_of(&declined).contains("declined"), "{declined}");
    assert_eq!(market.service.lines(), ["GET /boats/7"]);
}

/// Capabilities of a client that follows tasks.
fn follows() -> Value {
    json!({"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}})
}

async fn over_pipes_with_soft_deadline(backend: &Backend) -> (Keyglass, Lined<ChildStdout, ChildStdin>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (_, config) = written(&folder);
    let (keyglass, client) = Keyglass::over_pipes_with(backend, &["--config", &config]);
    (keyglass, client, folder)
}

async fn ended(client: &mut Lined<ChildStdout, ChildStdin>, id: &Value) -> Value {
    for number in 100..400 {
        let task = client.ask(&modern_of(number, "tasks/get", &json!({"taskId": id}), &follows())).await;
        if !["working", "input_required"].contains(&task["result"]["status"].as_str().unwrap_or_default()) {
            return task;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the task does not end");
}

#[tokio::test]
async fn a_long_call_goes_on_as_a_task() {
    let mut backend = Backend::start().await;
    let (_keyglass, mut client, _folder) = over_pipes_with_soft_deadline(&backend).await;
    let call = json!({"name": "get_secret", "arguments": {"name": "held"}});
    let task = client.ask(&modern_of(1, "tools/call", &call, &follows())).await;
    assert_eq!(task["result"]["resultType"], "task", "{task}");
    let id = &task["result"]["taskId"];
    assert_eq!(backend.arrival().await.name, "held");
    let working = client.ask(&modern_of(2, "tasks/get", &json!({"taskId": id}), &follows())).await;
    assert_eq!(working["result"]["status"], "working");
    backend.release();
    let done = ended(&mut client, id).await;
    assert_eq!(done["result"]["status"], "completed");
    assert_eq!(done["result"]["result"]["structuredContent"]["name"], "held", "{done}");
    assert!(backend.arrivals.try_recv().is_err(), "the call was carried out once");
}

#[tokio::test]
async fn a_cancelled_task_stops_its_request() {
    let mut backend = Backend::start().await;
    let (_keyglass, mut client, _folder) = over_pipes_with_soft_deadline(&backend).await;
    let call = json!({"name": "get_secret", "arguments": {"name": "held"}});
    let task = client.ask(&modern_of(1, "tools/call", &call, &follows())).await;
    let id = &task["result"]["taskId"];
    backend.arrival().await;
    client.ask(&modern_of(2, "tasks/cancel", &json!({"taskId": id}), &follows())).await;
    assert_eq!(within(backend.given_up.recv()).await.as_deref(), Some("held"));
    assert_eq!(ended(&mut client, id).await["result"]["status"], "cancelled");
    let unknown = client.ask(&modern_of(3, "tasks/get", &json!({"taskId": "nope"}), &follows())).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[tokio::test]
async fn a_client_that_waits_hears_that_the_call_goes_on() {
    let mut backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes_with(&backend, &["--timeout", "60"]);
    client.ask(&initialize_with(&json!({}))).await;
    client.send(&initialized()).await;
    let call = json!({"name": "get_secret", "arguments": {"name": "held"}, "_meta": {"progressToken": 5}});
    client.send(&request(2, "tools/call", &call)).await;
    backend.arrival().await;
    let mut told: Vec<f64> = Vec::new();
    for _ in 0..2 {
        let progress = client.receive().await.unwrap();
        assert_eq!(progress["method"], "notifications/progress");
        assert_eq!(progress["params"]["progressToken"], 5);
        told.push(progress["params"]["progress"].as_f64().unwrap());
    }
    assert!(told[0] < told[1], "{told:?}");
    backend.release();
    assert_eq!(client.receive().await.unwrap()["result"]["structuredContent"]["name"], "held");
}

/// A caller of a server that tells its callers apart.
fn of_caller<'a>(message: &Value, token: &'a str, headers: &mut Vec<(&'a str, String)>) {
    let method = message["method"].as_str().unwrap();
    let name = message["params"]["name"].as_str().or(message["params"]["taskId"].as_str()).unwrap_or_default();
    headers.extend([
        ("mcp-protocol-version", "2026-07-28".to_owned()),
        ("mcp-method", method.to_owned()),
        ("mcp-name", name.to_owned()),
        ("authorization", format!("Bearer {token}")),
    ]);
}

async fn posted_by(client: &Client, token: &str, message: &Value) -> Value {
    let mut headers = Vec::new();
    of_caller(message, token, &mut headers);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let response = within(client.post("/mcp", message, &headers).send()).await.unwrap();
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn what_one_caller_began_is_nobody_elses() {
    let (service, folder) = (Service::start(boats).await, tempfile::tempdir().unwrap());
    let (spec, config) = written(&folder);
    for name in ["a", "b"] {
        fs::write(folder.path().join(format!("{name}.token")), format!("canary-token-of-{name}")).unwrap();
    }
    let tokens = "soft_deadline: 1\ntokens:\n- {name: a, token: 'file:a.token'}\n- {name: b, token: 'file:b.token'}\n";
    fs::write(&config, tokens).unwrap();
    let arguments = ["--capabilities", &spec, "--config", &config];
    let (_keyglass, client) = Keyglass::over_http_for(&service.url, &arguments).await;
    let (a, b) = ("canary-token-of-a", "canary-token-of-b");

    let asked = posted_by(&client, a, &modern_of(1, "tools/call", &sell(), &asks())).await;
    let mut repeated = sell();
    repeated["requestState"] = asked["result"]["requestState"].clone();
    repeated["inputResponses"] = json!({"agreed": agreed(500)});
    let repeated = modern_of(2, "tools/call", &repeated, &asks());
    let refused = posted_by(&client, b, &repeated).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(service.lines(), ["GET /boats/7"]);
    assert_eq!(text_of(&posted_by(&client, a, &repeated).await), "Sold Elise for 500.");

    let slow = modern_of(3, "tools/call", &json!({"name": "rest"}), &follows());
    let task = posted_by(&client, a, &slow).await;
    let id = json!({"taskId": task["result"]["taskId"]});
    for (number, method) in [(4, "tasks/get"), (5, "tasks/cancel")] {
        let foreign = posted_by(&client, b, &modern_of(number, method, &id, &follows())).await;
        assert_eq!(foreign["error"]["code"], -32602, "{foreign}");
    }
    let own = posted_by(&client, a, &modern_of(6, "tasks/get", &id, &follows())).await;
    assert_eq!(own["result"]["status"], "working", "{own}");
}

#[tokio::test]
async fn a_person_is_asked_over_the_oldest_transport_too() {
    let (market, client) = Market::over_http(boats).await;
    let mut session = SseClient::connect_with(&client, &asks()).await;
    session.send(&request(2, "tools/call", &sell())).await;
    let question = session.events.message().await;
    assert_eq!(question["method"], "elicitation/create");
    session.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": agreed(7)})).await;
    assert_eq!(text_of(&session.events.message().await), "Sold Elise for 7.");
    assert_eq!(market.service.lines(), ["GET /boats/7", "DELETE /boats/7"]);
}

#[tokio::test]
async fn nobody_can_be_asked_without_a_session_in_the_older_era() {
    let (service, folder) = (Service::start(boats).await, tempfile::tempdir().unwrap());
    let (spec, _) = written(&folder);
    let (_keyglass, client) = Keyglass::over_http_for(&service.url, &["--capabilities", &spec, "--stateless"]).await;
    let call = request(2, "tools/call", &sell());
    let response = within(client.post("/mcp", call, &[("mcp-protocol-version", "2025-11-25")]).send()).await.unwrap();
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert!(answer["result"]["isError"] == true && text_of(&answer).contains("`elicitation`"), "{answer}");
    assert_eq!(service.lines(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_leaves_is_asked_no_more() {
    let (market, mut client) = Market::over_pipes(boats).await;
    client.ask(&initialize_with(&asks())).await;
    client.send(&initialized()).await;
    client.send(&request(2, "tools/call", &sell())).await;
    assert_eq!(client.receive().await.unwrap()["method"], "elicitation/create");
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}});
    client.send(&cancelled).await;
    client.close();
    let Market { mut keyglass, service, .. } = market;
    assert!(keyglass.ended().await.success(), "an open question holds nobody back");
    assert_eq!(service.lines(), ["GET /boats/7"]);
}

#[tokio::test]
async fn a_call_is_not_repeated_for_an_answer_that_needs_no_state() {
    let nothing = |_: &Seen| Answer::of("text/plain", "").with_status(204);
    let (market, mut client) = Market::over_pipes(nothing).await;
    let call = json!({"name": "paint", "arguments": {"id": "7"}});
    let asked = client.ask(&modern_of(1, "tools/call", &call, &asks())).await;
    let mut repeated = call.clone();
    repeated["requestState"] = asked["result"]["requestState"].clone();
    repeated["inputResponses"] = json!({"colour": {"action": "accept", "content": {"colour": "red"}}});
    let painted = client.ask(&modern_of(2, "tools/call", &repeated, &asks())).await;
    assert_eq!(text_of(&painted), "Painted red.");
    assert_eq!(market.service.lines(), ["DELETE /boats/7"]);
}

#[tokio::test]
async fn what_a_person_agreed_to_is_not_another_thing_after_a_change() {
    let (market, mut client) = Market::over_pipes(boats).await;
    let asked = client.ask(&modern_of(1, "tools/call", &sell(), &asks())).await;
    let spec = market._folder.path().join("market.yaml");
    fs::write(&spec, MARKET.replace("Sell {{boat.name}}?", "Scrap {{boat.name}}?")).unwrap();
    // Another answer than before tells that the change is there.
    for number in 10..400 {
        let other = client.ask(&modern_of(number, "tools/call", &sell(), &asks())).await;
        if other["result"]["inputRequests"]["agreed"]["params"]["message"] == "Scrap Elise?" {
            break;
        }
        assert!(number < 399, "the change is never seen");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut repeated = sell();
    repeated["requestState"] = asked["result"]["requestState"].clone();
    repeated["inputResponses"] = json!({"agreed": agreed(500)});
    let refused = client.ask(&modern_of(2, "tools/call", &repeated, &asks())).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert!(market.service.lines().iter().all(|line| line == "GET /boats/7"));
}

/// A yard in which everything takes three requests.
fn yard() -> impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static {
    let asked = Arc::new(AtomicUsize::new(0));
    move |seen: &Seen| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        match seen.line.as_str() {
            "POST /builds" => Answer::json(&json!({"id": "b1", "state": "begun"})),
            "GET /builds/b1" if number < 2 => Answer::json(&json!({"id": "b1", "state": "half"})),
            "GET /builds/b1" => Answer::json(&json!({"id": "b1", "state": "ready"})),
            "PUT /builds" if number < 2 => Answer::json(&json!({"message": "not yet"})).with_status(408),
            "PUT /builds" => Answer::json(&json!({"state": "ready"})),
            "PATCH /builds" => Answer::of("text/plain", "").with_status(202).with_header("location", "/jobs/9"),
            "GET /jobs/9" if number < 2 => {
                Answer::of("text/plain", "").with_status(202).with_header("retry-after", "0")
            }
            "GET /jobs/9" => Answer::json(&json!({"state": "ready"})),
            "DELETE /builds" => Answer::of("text/plain", "").with_status(202),
            line => panic!("{line}"),
        }
    }
}

#[tokio::test]
async fn the_end_of_an_operation_is_waited_for() {
    for (tool, expected) in [
        ("build", vec!["POST /builds", "GET /builds/b1", "GET /builds/b1"]),
        ("await", vec!["PUT /builds", "PUT /builds", "PUT /builds"]),
        ("follow", vec!["PATCH /builds", "GET /jobs/9", "GET /jobs/9"]),
    ] {
        let (market, mut client) = Market::over_pipes(yard()).await;
        let answer = client.ask(&modern_of(1, "tools/call", &json!({"name": tool}), &json!({}))).await;
        assert_eq!(answer["result"]["structuredContent"]["state"], "ready", "{answer}");
        let seen = market.service.take();
        assert_eq!(seen.iter().map(|seen| seen.line.as_str()).collect::<Vec<_>>(), expected);
        let names: std::collections::BTreeSet<&str> = seen.iter().map(|seen| seen.header("x-request-id")).collect();
        assert_eq!(names.len(), if tool == "await" { 1 } else { 3 }, "a repeated request keeps its name");
    }
    let (_market, mut client) = Market::over_pipes(yard()).await;
    let answer = client.ask(&modern_of(1, "tools/call", &json!({"name": "never"}), &json!({}))).await;
    assert!(text_of(&answer).contains("not done after 1 s") && answer["result"]["isError"] == true, "{answer}");
}

#[tokio::test]
async fn an_operation_is_followed_to_its_own_origin_alone() {
    let away = |_: &Seen| Answer::of("text/plain", "").with_status(202).with_header("location", "https://away.test/9");
    let (market, mut client) = Market::over_pipes(away).await;
    let answer = client.ask(&modern_of(1, "tools/call", &json!({"name": "follow"}), &json!({}))).await;
    assert!(text_of(&answer).contains("another address"), "{answer}");
    assert_eq!(market.service.lines(), ["PATCH /builds"]);
}
