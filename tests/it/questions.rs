//! Questions to clients of the older era while much else is under way: that nothing waits for what only the client can free.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{
    mcp::{SseClient, initialize, initialized, request},
    support::{Backend, Events, Keyglass, within},
};

const SPEC: [&str; 2] = ["--capabilities", "capabilities/examples/conformance.yaml"];

fn hello() -> Value {
    let mut hello = initialize(1);
    hello["params"]["capabilities"] = json!({"elicitation": {}});
    hello
}

/// A call that asks a person something.
fn asking(id: u64) -> Value {
    request(id, "tools/call", &json!({"name": "test_elicitation", "arguments": {"message": "Who?"}}))
}

fn answer_to(question: &Value) -> Value {
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let content = json!({"username": "a", "email": "a@example.com"});
    json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": content}})
}

#[tokio::test]
async fn answers_come_in_however_many_calls_ask() {
    for calls in [64, 70] {
        let backend = Backend::start().await;
        let (_keyglass, mut client) = Keyglass::over_pipes_with(&backend, &SPEC);
        client.ask(&hello()).await;
        client.send(&initialized()).await;
        for id in 0..calls {
            client.send(&asking(100 + id)).await;
        }
        let mut questions = Vec::new();
        while questions.len() < 64 {
            questions.push(client.receive().await.expect("a question"));
        }
        let pong = client.ask(&request(7, "ping", &json!({}))).await;
        assert_eq!(pong["result"], json!({}), "a ping waits for nothing");
        for question in &questions {
            client.send(&answer_to(question)).await;
        }
        let mut results = HashMap::new();
        while results.len() < usize::try_from(calls).expect("few") {
            let message = client.receive().await.expect("a message");
            if message.get("method").is_some() {
                client.send(&answer_to(&message)).await;
            } else {
                assert_eq!(message["result"]["isError"], false, "{message}");
                results.insert(message["id"].as_u64(), message);
            }
        }
    }
}

#[tokio::test]
async fn answers_come_in_over_the_older_transport() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &SPEC).await;
    let mut sse = SseClient::connect_with(&client, &json!({"elicitation": {}})).await;
    let mut questions = Vec::new();
    for id in 0..70 {
        sse.send(&asking(100 + id)).await;
        if id < 64 {
            questions.push(sse.events.message().await);
        }
    }
    for question in &questions {
        sse.send(&answer_to(question)).await;
    }
    let mut results = 0;
    while results < 70 {
        let message = sse.events.message().await;
        if message.get("method").is_some() {
            sse.send(&answer_to(&message)).await;
        } else {
            assert_eq!(message["result"]["isError"], false, "{message}");
            results += 1;
        }
    }
}

#[tokio::test]
async fn what_goes_beyond_all_places_is_refused_while_answers_are_awaited() {
    let backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes_with(&backend, &SPEC);
    client.ask(&hello()).await;
    client.send(&initialized()).await;
    for id in 0..64 + 64 + 1 {
        client.send(&asking(100 + id)).await;
    }
    let mut questions = Vec::new();
    let refusal = loop {
        let message = client.receive().await.expect("a message");
        if message.get("method").is_none() {
            break message;
        }
        questions.push(message);
    };
    assert_eq!(refusal["id"], 100 + 64 + 64);
    let text = refusal["error"]["message"].as_str().expect("a message");
    assert!(text.contains("answer what you were asked or cancel some"), "{text}");
    // One that is cancelled while it waits is never carried out.
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 164}})).await;
    let mut answered = Vec::new();
    while answered.len() < 127 {
        for question in questions.drain(..) {
            client.send(&answer_to(&question)).await;
        }
        let message = client.receive().await.expect("a message");
        if message.get("method").is_some() {
            questions.push(message);
        } else {
            answered.push(message["id"].as_u64().expect("an id"));
        }
    }
    assert!(!answered.contains(&164));
}

#[tokio::test]
async fn who_leaves_is_not_waited_for() {
    let backend = Backend::start().await;
    let (mut keyglass, mut client) = Keyglass::over_pipes_with(&backend, &SPEC);
    client.ask(&hello()).await;
    client.send(&initialized()).await;
    client.send(&asking(2)).await;
    assert_eq!(client.receive().await.expect("a question")["method"], "elicitation/create");
    client.close();
    let answer = client.receive().await.expect("an answer");
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(2), &json!(true)), "{answer}");
    assert!(keyglass.ended().await.success());
    assert!(!keyglass.log().contains("outlasted the grace period"), "it ends at once");
}

#[tokio::test]
async fn who_takes_no_event_stream_is_not_asked() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &SPEC).await;
    let opened = within(client.post("/mcp", hello(), &[]).send()).await.expect("an answer");
    let id = opened.headers()["mcp-session-id"].to_str().expect("a text").to_owned();
    let headers = [("mcp-session-id", id.as_str()), ("accept", "application/json")];
    let answer = within(async {
        let answer = client.post("/mcp", asking(2), &headers).send().await.expect("an answer");
        answer.text().await.expect("a text")
    })
    .await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(text.contains("elicitation"), "{text}");
}

#[tokio::test]
async fn a_question_of_a_call_that_was_cancelled_is_taken_back() {
    let backend = Backend::start().await;
    let (_keyglass, mut client) = Keyglass::over_pipes_with(&backend, &SPEC);
    client.ask(&hello()).await;
    client.send(&initialized()).await;
    client.send(&asking(2)).await;
    let question = client.receive().await.expect("a question");
    assert_eq!(question["method"], "elicitation/create");
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})).await;
    let taken_back = client.receive().await.expect("a notification");
    assert_eq!(taken_back["method"], "notifications/cancelled", "{taken_back}");
    assert_eq!(taken_back["params"]["requestId"], question["id"]);
    // One that was answered is not.
    client.send(&asking(3)).await;
    let question = client.receive().await.expect("a question");
    client.send(&answer_to(&question)).await;
    assert_eq!(client.receive().await.expect("an answer")["id"], 3);
    assert_eq!(client.ask(&request(4, "ping", &json!({}))).await["id"], 4);
}

#[tokio::test]
async fn a_question_over_http_is_taken_back_too() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &SPEC).await;
    let mut session = SseClient::connect_with(&client, &json!({"elicitation": {}})).await;
    session.send(&asking(2)).await;
    let question = session.events.message().await;
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}});
    session.send(&cancelled).await;
    let taken_back = session.events.message().await;
    assert_eq!(taken_back["params"]["requestId"], question["id"], "{taken_back}");

    let opened = within(client.post("/mcp", hello(), &[]).send()).await.expect("an answer");
    let id = opened.headers()["mcp-session-id"].to_str().expect("a text").to_owned();
    let headers = [("mcp-session-id", id.as_str())];
    within(client.post("/mcp", initialized(), &headers).send()).await.expect("taken");
    let asking = within(client.post("/mcp", asking(2), &headers).send()).await.expect("an answer");
    let mut events = Events::of(asking);
    let question = events.message().await;
    assert_eq!(question["method"], "elicitation/create");
    let mut standing = Events::of(
        within(client.get("/mcp").header("mcp-session-id", &id).header("accept", "text/event-stream").send())
            .await
            .expect("a stream"),
    );
    within(client.post("/mcp", &cancelled, &headers).send()).await.expect("taken");
    let taken_back = standing.message().await;
    assert_eq!(taken_back["params"]["requestId"], question["id"], "{taken_back}");
}
