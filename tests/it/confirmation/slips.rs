//! Persons who slip, or refuse, in a form of their client: they are told what is wrong and asked again, but no client is led
//! round in circles.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures_util::future::BoxFuture;
use keyglass::{
    call::{
        CallContext, CallOutput,
        client::{Asked, Client, Continuation, Event, Reply, Resume},
    },
    clock::{Clock, ManualClock},
    error::CallError,
    gateway::Gateway,
    spec::Capability,
};
use serde_json::{Value, json};

use super::yard::{Manners, Way, Yard, answer, confirm, form, gateway_at, question, refuse};
use crate::shipyard::Service;

/// A client with a form, whose person answers this, in turn. With no answer left it answers later.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Value>>,
    asked: Mutex<Vec<Asked>>,
}

impl Scripted {
    fn will_say(&self, answers: &[Value]) {
        self.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    /// The messages that it was asked with since this was asked last.
    fn messages(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.iter().map(|asked| asked.params["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Client for Scripted {
    fn has(&self, capability: Capability) -> bool {
        capability == Capability::Elicitation
    }

    fn tell(&self, _: Event) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn ask(&self, questions: Vec<Asked>) -> BoxFuture<'_, Result<Reply, CallError>> {
        let asked = questions[0].clone();
        let key = asked.key.clone();
        self.asked.lock().unwrap().push(asked);
        let answer = self.answers.lock().unwrap().pop_front();
        let reply = answer.map_or(Reply::Later, |answer| Reply::Answers([(key, answer)].into()));
        Box::pin(std::future::ready(Ok(reply)))
    }
}

fn said(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

async fn called(
    gateway: &Gateway,
    client: &Arc<Scripted>,
    (tool, arguments): (&str, &Value),
    continuation: Continuation,
) -> Result<CallOutput, CallError> {
    let context = CallContext { client: client.clone(), continuation, ..CallContext::new("1") };
    gateway.call(gateway.tool(tool).unwrap(), arguments.as_object().unwrap().clone(), &context).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_and_space_say_nothing_and_what_does_not_fit_is_asked_about_again() {
    let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
    let gateway = gateway_at(folder.path(), &service.url, ("", &[]), Clock::System);
    let client = Arc::new(Scripted::default());
    let key = ("create_key", &json!({"name": "a"}));
    let words = |words: &str| said(json!({"decision": " Confirm ", "words": words}));
    client.will_say(&[words("  All rights, NEVER expires")]);
    called(&gateway, &client, key, Continuation::default()).await.unwrap();
    assert_eq!(client.messages().len(), 1);

    client.will_say(&[said(json!({"decision": "yes"})), words("all"), words("all rights, never expires")]);
    called(&gateway, &client, key, Continuation::default()).await.unwrap();
    let messages = client.messages();
    assert!(!messages[0].contains("did not fit"), "{messages:?}");
    assert!(messages[1].starts_with("The answer did not fit: the decision has to be `refuse` or `confirm`."));
    assert!(messages[2].contains("the words have to be: all rights, never expires"), "{}", messages[2]);
    assert_eq!(service.lines(), ["POST /keys", "POST /keys"]);

    client.will_say(&[words("a"), words("b"), words("c"), words("all rights, never expires")]);
    let error = called(&gateway, &client, key, Continuation::default()).await.unwrap_err();
    assert_eq!(error.kind(), "waits-for-person");
    assert!(error.to_string().contains("did not fit (to confirm this, the words have to be: all rights"), "{error}");
    assert_eq!(client.messages().len(), 3, "no more often than that");
    assert_eq!(service.lines(), [""; 0]);
}

#[tokio::test]
async fn what_does_not_fit_is_asked_about_again_in_both_eras() {
    for way in [Way::Pipes, Way::ModernHttp] {
        let (yard, mut talker) = Yard::open(way, form()).await;
        let text = talker.with(Manners::Write("all")).text("create_key", &json!({"name": "a"})).await;
        assert!(text.contains("did not fit") && text.contains("waits for a person"), "{way:?} {text}");
        let asked: Vec<String> = talker.asked.iter().map(|asked| asked["params"]["message"].to_string()).collect();
        assert_eq!(asked.len(), 3, "{way:?} {asked:?}");
        assert!(asked[1].contains("the words have to be: all rights, never expires"), "{}", asked[1]);
        assert_eq!(yard.done(), [""; 0]);
        yard.decide(refuse()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_ends_the_question_and_the_same_call_asks_anew() {
    let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
    let gateway = gateway_at(folder.path(), &service.url, ("", &[]), Clock::System);
    let store = gateway.policy.vault().unwrap().store().unwrap();
    let client = Arc::new(Scripted::default());
    let call = ("delete_boat", &json!({"id": "7"}));
    for _ in 0..2 {
        client.will_say(&[said(json!({"decision": "Refuse"}))]);
        let error = called(&gateway, &client, call, Continuation::default()).await.unwrap_err();
        assert_eq!(error.kind(), "not-confirmed");
        assert!(error.to_string().contains("a person refused it"), "{error}");
        assert!(!error.to_string().contains("approve"), "nobody is sent elsewhere with it: {error}");
        assert_eq!(client.messages().len(), 1);
        assert!(store.waiting().unwrap().is_empty());
    }
    client.will_say(&[said(json!({"decision": "confirm"}))]);
    called(&gateway, &client, call, Continuation::default()).await.unwrap();
    assert_eq!(service.lines().last().map(String::as_str), Some("DELETE /boats/7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_declined_is_asked_again_after_a_while() {
    static TIME: ManualClock = ManualClock::at(1_900_000_000_000);
    let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
    let gateway = gateway_at(folder.path(), &service.url, ("", &[]), Clock::Manual(&TIME));
    let store = gateway.policy.vault().unwrap().store().unwrap();
    let client = Arc::new(Scripted::default());
    let call = ("delete_boat", &json!({"id": "7"}));
    for action in ["decline", "cancel"] {
        client.will_say(&[json!({"action": action})]);
        called(&gateway, &client, call, Continuation::default()).await.unwrap_err();
        assert_eq!(client.messages().len(), 1);
        // At once it waits for somebody elsewhere.
        let decided = async {
            let id = question(&store, &|_| true).await.id;
            store.decide(&id, refuse()).unwrap();
        };
        let (error, ()) = tokio::join!(called(&gateway, &client, call, Continuation::default()), decided);
        assert!(error.unwrap_err().to_string().contains("a person refused it (console)"));
        assert_eq!(client.messages(), [""; 0], "it is not asked again");

        client.will_say(&[json!({"action": action}), said(json!({"decision": "confirm"}))]);
        called(&gateway, &client, call, Continuation::default()).await.unwrap_err();
        TIME.pass(30_000);
        called(&gateway, &client, call, Continuation::default()).await.unwrap();
        assert_eq!(client.messages().len(), 2, "{action}: after a while it is");
        assert!(store.waiting().unwrap().is_empty());
        assert!(service.lines().contains(&"DELETE /boats/7".to_owned()));
    }
}

/// Where a call goes on that asked its client.
async fn paused(gateway: &Gateway, client: &Arc<Scripted>, call: (&str, &Value)) -> (Resume, String) {
    let output = called(gateway, client, call, Continuation::default()).await.unwrap();
    let CallOutput::Paused(paused) = output else { panic!("{output:?}") };
    (paused.at, client.asked.lock().unwrap().pop().unwrap().key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_a_client_carries_is_good_once_whatever_was_forgotten() {
    let (service, folder) = (Service::start(answer).await, tempfile::tempdir().unwrap());
    let first = gateway_at(folder.path(), &service.url, ("", &[]), Clock::System);
    let store = first.policy.vault().unwrap().store().unwrap();
    let client = Arc::new(Scripted::default());
    let call = ("delete_boat", &json!({"id": "7"}));
    let word = |(at, key): &(Resume, String)| Continuation {
        resume: Some(at.clone()),
        answers: [(key.clone(), said(json!({"decision": "confirm"})))].into(),
    };
    let asked = paused(&first, &client, call).await;
    called(&first, &client, call, word(&asked)).await.unwrap();
    assert_eq!(service.lines().last().map(String::as_str), Some("DELETE /boats/7"));
    // A process that has started anew knows of no state that was used.
    let again = gateway_at(folder.path(), &service.url, ("", &[]), Clock::System);
    for _ in 0..2 {
        let output = called(&again, &client, call, word(&asked)).await.unwrap();
        assert!(matches!(output, CallOutput::Paused(_)), "it is asked about anew: {output:?}");
    }
    // Nor is one good that a person refused meanwhile, or confirmed elsewhere: that is used, once.
    let asked = paused(&again, &client, call).await;
    store.decide(&store.waiting().unwrap()[0].id, refuse()).unwrap();
    let error = called(&again, &client, call, word(&asked)).await.unwrap_err();
    assert!(error.to_string().contains("a person refused it (console)"), "{error}");
    assert!(service.lines().iter().all(|line| line.starts_with("GET ")));
    let asked = paused(&again, &client, call).await;
    store.decide(&store.waiting().unwrap()[0].id, confirm()).unwrap();
    called(&again, &client, call, word(&asked)).await.unwrap();
    let output = called(&again, &client, call, word(&asked)).await.unwrap();
    assert!(matches!(output, CallOutput::Paused(_)), "{output:?}");
    assert_eq!(service.lines().iter().filter(|line| line.starts_with("DELETE ")).count(), 1);
}
