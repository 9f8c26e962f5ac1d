//! Clients of five kinds: of the newer era, of the older one with elicitation, without any, lying about it, declining by
//! itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::yard::{Manners, Talker, Way, Yard, confirm, form, question, refuse, text_of};
use crate::{mcp::request, support::within};

/// A call of each grave class, about this boat, and the request that it makes.
fn grave(id: &str) -> [(&'static str, Value, String); 3] {
    let scopes = json!(["boats:read"]);
    [
        ("delete_boat", json!({"id": id}), format!("DELETE /boats/{id}")),
        ("run_command", json!({"id": id, "command": "sail"}), format!("POST /boats/{id}/commands")),
        (
            "create_key",
            json!({"name": id, "scopes": scopes, "expires_at_ms": 1_900_000_000_000_i64}),
            "POST /keys".into(),
        ),
    ]
}

/// What opens the page, as the log has it.
async fn token(yard: &Yard, page: &str) -> String {
    let before = format!("{page}/#");
    yard.keyglass.logged(&before, 1).await;
    let log = yard.keyglass.log();
    log.split_once(&before).and_then(|(_, rest)| rest.get(..64)).expect("a link").to_owned()
}

/// A person confirms what waits, and the same call is carried out, once.
async fn finishes(yard: &Yard, talker: &mut Talker, (tool, arguments, line): &(&str, Value, String)) {
    let waiting = yard.store.waiting().unwrap();
    let needle = arguments["id"].as_str().or(arguments["name"].as_str()).unwrap().to_owned();
    let one = waiting.iter().find(|one| one.shown.tool == *tool && one.shown.request.contains(&needle));
    let one = one.unwrap_or_else(|| panic!("{tool} {needle} does not wait: {waiting:?}"));
    assert!(!talker.heard.contains(&one.shown.code), "the code is the person's alone");
    yard.store.decide(&one.id, confirm()).unwrap();
    assert_eq!(yard.done(), [""; 0], "not before it is called again");
    let result = talker.call(tool, arguments).await;
    assert_ne!(result["result"]["isError"], true, "{result}");
    assert_eq!(yard.done(), [line.as_str()]);
}

#[tokio::test]
async fn who_answers_by_a_form_confirms_each_call_once() {
    for way in Way::ALL {
        let (yard, mut talker) = Yard::open(way, form()).await;
        for (tool, arguments, line) in grave("7") {
            for round in 1..=2 {
                let result = talker.with(Manners::Confirm).call(tool, &arguments).await;
                assert_ne!(result["result"]["isError"], true, "{way:?} {result}");
                assert_eq!(yard.done(), [line.as_str()], "{way:?}");
                assert_eq!(talker.asked.len(), round, "{way:?}: each time anew");
            }
            let question = talker.asked.pop().unwrap()["params"].clone();
            talker.asked.clear();
            let message = question["message"].as_str().unwrap();
            assert!(message.contains(tool) && message.contains("risk: "), "{message}");
            assert_eq!(question["requestedSchema"]["properties"]["decision"]["enum"], json!(["refuse", "confirm"]));
            assert!(yard.store.waiting().unwrap().is_empty(), "{way:?}: nothing is left of it");
        }
        let text = talker.with(Manners::Decline).text("delete_boat", &json!({"id": "7"})).await;
        assert!(text.contains("the client answered that it is declined"), "{way:?} {text}");
        assert_eq!(yard.done(), [""; 0]);
    }
}

#[tokio::test]
async fn who_lies_about_it_or_declines_by_itself_gets_nothing_done_until_a_person_agrees_elsewhere() {
    for way in Way::ALL {
        let (yard, mut talker) = Yard::open(way, form()).await;
        let mut left = Vec::new();
        for (manners, expected) in [
            (Manners::Fail, "waits for a person"),
            (Manners::Cancel, "waits for a person"),
            (Manners::Nothing, "waits for a person"),
            (Manners::Decline, "the client answered that it is declined"),
        ] {
            for call in grave(&format!("{manners:?}").to_lowercase()) {
                let text = talker.with(manners).text(call.0, &call.1).await;
                assert!(text.contains(expected) && text.contains("nothing was sent"), "{way:?} {manners:?}: {text}");
                assert!(
                    text.contains("`keyglass approve --data-dir ") && text.contains("exactly the same arguments"),
                    "{text}"
                );
                left.push(call);
            }
        }
        assert_eq!(yard.done(), [""; 0], "{way:?}");
        let asked = talker.asked.len();
        for call in &left {
            finishes(&yard, &mut talker, call).await;
        }
        assert_eq!(talker.asked.len(), asked, "{way:?}: it is not bothered again");
        // The first choice refuses, and nothing is left to be confirmed by a slip.
        for call in grave("first") {
            let text = talker.with(Manners::First).text(call.0, &call.1).await;
            assert!(text.contains("nothing was sent") && text.contains("a person refused it (client)"), "{text}");
        }
        assert!(yard.store.waiting().unwrap().is_empty(), "{way:?}");
        assert_eq!(yard.done(), [""; 0], "{way:?}");
    }
}

#[tokio::test]
async fn who_cannot_be_asked_is_told_what_waits_and_how() {
    for way in Way::ALL {
        let (yard, mut talker) = Yard::open(way, json!({"sampling": {}})).await;
        for call in grave("7") {
            let text = talker.text(call.0, &call.1).await;
            assert!(text.contains(&format!("whether `{}` may be carried out (risk: ", call.0)), "{text}");
            assert!(
                text.contains("console at http://127.0.0.1:") && text.contains("`keyglass approve --data-dir "),
                "{text}"
            );
            assert!(!text.contains('#') && !text.contains(super::yard::CANARY), "{text}");
            let code = yard.question().await.shown.code;
            assert!(!text.contains(&code), "{text}");
            yard.keyglass.logged(&format!(" {code}` decides on it"), 1).await;
            assert_eq!(yard.done(), [""; 0], "{way:?}");
            finishes(&yard, &mut talker, &call).await;
        }
        let waits = || question(&yard.store, &|_| true);
        // Once more: what was confirmed was one call. It goes on when it is decided while it waits.
        let arguments = json!({"id": "7"});
        let text_with_page = talker.text("delete_boat", &arguments).await;
        assert!(text_with_page.contains("waits for a person"), "{text_with_page}");
        let id = waits().await.id;
        let decided = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            yard.store.decide(&id, confirm()).unwrap();
        };
        let (result, ()) = tokio::join!(talker.call("delete_boat", &arguments), decided);
        assert_ne!(result["result"]["isError"], true, "{way:?} {result}");
        assert_eq!(yard.done(), ["DELETE /boats/7"]);
        talker.text("delete_boat", &arguments).await;
        let id = waits().await.id;
        let decided = async {
            yard.store.decide(&id, refuse()).unwrap();
        };
        let (text, ()) = tokio::join!(talker.text("delete_boat", &arguments), decided);
        assert!(text.contains("a person refused it (console)"), "{text}");
        assert_eq!(yard.done(), [""; 0]);
        let page = text_with_page.split_once("console at ").unwrap().1.split_once("/ ").unwrap().0.to_owned();
        assert!(!talker.heard.contains(&token(&yard, &page).await), "what lets anybody in is in the log alone");
    }
}

#[tokio::test]
async fn who_never_answers_is_not_waited_for_where_a_person_decides_elsewhere() {
    for way in [Way::Pipes, Way::Http, Way::Sse] {
        let (yard, mut talker) = Yard::open(way, form()).await;
        talker.manners = Manners::Silent;
        let arguments = json!({"id": "7"});
        let (result, ()) = tokio::join!(talker.call("delete_boat", &arguments), yard.decide(confirm()));
        assert_ne!(result["result"]["isError"], true, "{way:?} {result}");
        assert_eq!(yard.done(), ["DELETE /boats/7"]);
        let (text, ()) = tokio::join!(talker.text("delete_boat", &arguments), yard.decide(refuse()));
        assert!(text.contains("a person refused it (console)"), "{text}");
        assert_eq!(yard.done(), [""; 0]);
    }
    for way in [Way::ModernPipes, Way::ModernHttp] {
        let (yard, mut talker) = Yard::open(way, form()).await;
        talker.manners = Manners::Silent;
        let arguments = json!({"id": "7"});
        let asked = talker.call("delete_boat", &arguments).await;
        assert_eq!(asked["result"]["resultType"], "input_required");
        // One that forgot what it was asked is asked again, as is one that calls twice.
        assert_eq!(talker.call("delete_boat", &arguments).await["result"]["resultType"], "input_required");
        yard.decide(confirm()).await;
        talker.call("delete_boat", &arguments).await;
        assert_eq!(yard.done(), ["DELETE /boats/7"], "{way:?}");
    }
}

#[tokio::test]
async fn a_page_that_the_client_opens_decides_by_the_person_alone() {
    for way in Way::ALL {
        let (yard, mut talker) = Yard::open(way, json!({"elicitation": {"url": {}}})).await;
        let arguments = json!({"id": "7"});
        for (manners, decision, done) in [
            (Manners::Nothing, confirm(), true),
            (Manners::Confirm, refuse(), false),
            (Manners::First, refuse(), false),
        ] {
            // Whatever it says beside that it opened the page.
            let decided = async {
                let question = yard.question().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                assert_eq!(yard.done(), [""; 0], "{way:?} {manners:?}");
                yard.store.decide(&question.id, decision).unwrap();
                question.id.to_string()
            };
            let (result, id) = tokio::join!(talker.with(manners).call("delete_boat", &arguments), decided);
            assert_eq!(result["result"]["isError"] != true, done, "{way:?} {result}");
            assert_eq!(yard.done().len(), usize::from(done));
            let question = talker.asked.pop().unwrap()["params"].clone();
            assert_eq!(question["mode"], "url", "{question}");
            let url = question["url"].as_str().unwrap();
            assert!(url.starts_with("http://127.0.0.1:") && url.ends_with(&format!("/#/waiting/{id}")), "{url}");
        }
        let text = talker.with(Manners::Decline).text("delete_boat", &arguments).await;
        assert!(text.contains("the client answered that it is declined"), "{text}");
        assert_eq!(yard.done(), [""; 0]);
    }
}

#[tokio::test]
async fn no_form_confirms_where_a_secret_is_to_be_given() {
    let capabilities = json!({"elicitation": {"form": {}, "url": {}}});
    for way in [Way::Pipes, Way::ModernHttp] {
        let (yard, mut talker) = Yard::with(way, capabilities.clone(), ("save_login=ask", "")).await;
        let arguments = json!({"name": "mail"});
        let decided = async {
            let question = yard.question().await;
            assert_eq!(question.shown.entries[0].label, "password");
            tokio::time::sleep(Duration::from_millis(400)).await;
            assert_eq!(yard.done(), [""; 0]);
            let entered = [("/password".to_owned(), "canary-entered-19".into())].into();
            let given = keyglass::policy::store::Decision::Confirm { by: "console".into(), words: None, entered };
            yard.store.decide(&question.id, given).unwrap();
        };
        let (result, ()) = tokio::join!(talker.call("save_login", &arguments), decided);
        assert_eq!(talker.asked[0]["params"]["mode"], "url");
        assert_ne!(result["result"]["isError"], true, "{way:?} {result}");
        let sent = yard.service.take();
        assert_eq!(sent[0].json(), json!({"name": "mail", "password": "canary-entered-19"}), "{way:?}");
        assert!(!talker.heard.contains("canary-entered"));
    }
}

#[tokio::test]
async fn the_page_itself_answers_for_a_client_that_cannot_ask() {
    let (yard, mut talker) = Yard::open(Way::ModernPipes, json!({})).await;
    let arguments = json!({"id": "7"});
    let text = talker.text("delete_boat", &arguments).await;
    let page = text.split_once("console at ").unwrap().1.split_once("/ ").unwrap().0.to_owned();
    let token = token(&yard, &page).await;
    let http = reqwest::Client::new();
    let post = async |name: &str, key: &str, body: Value| -> Value {
        let request = http.post(format!("{page}/api/{name}")).header("origin", &page).bearer_auth(key);
        let sent = request.header("content-type", "application/json").body(body.to_string()).send();
        serde_json::from_str(&within(sent).await.unwrap().text().await.unwrap()).unwrap()
    };
    let key = post("session", "", json!({"token": token})).await["key"].as_str().unwrap().to_owned();
    let waiting = post("waiting", &key, json!({"active": true})).await["waiting"][0].clone();
    assert_eq!(waiting["shown"]["subject"]["value"]["name"], "Elise", "{waiting}");
    assert!(waiting["shown"]["request"].as_str().unwrap().contains("DELETE "), "{waiting}");
    assert!(!waiting.to_string().contains(super::yard::CANARY));
    post("decide", &key, json!({"id": waiting["id"], "confirm": true})).await;
    assert_ne!(talker.call("delete_boat", &arguments).await["result"]["isError"], true);
    assert_eq!(yard.done(), ["DELETE /boats/7"]);
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_its_question_for_a_short_time() {
    let (yard, mut talker) = Yard::open(Way::Pipes, form()).await;
    let call = request(500, "tools/call", &json!({"name": "delete_boat", "arguments": {"id": "7"}}));
    talker.send(&call).await;
    assert_eq!(talker.receive().await["method"], "elicitation/create");
    let asked = yard.question().await;
    talker.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 500}})).await;
    let is_short = |one: &keyglass::policy::store::Question| one.expires_at_ms < asked.create_time_ms + 5 * 60_000;
    assert_eq!(question(&yard.store, &is_short).await.id, asked.id);
    assert_eq!(talker.receive().await["method"], "notifications/cancelled", "the form is taken back");
    // The same call again is asked about by the form again.
    let result = talker.call("delete_boat", &json!({"id": "7"})).await;
    assert_ne!(result["result"]["isError"], true, "{}", text_of(&result));
    assert_eq!(yard.done(), ["DELETE /boats/7"]);
}

#[tokio::test]
async fn two_calls_that_are_the_same_need_two_confirmations() {
    let (yard, mut talker) = Yard::open(Way::Pipes, form()).await;
    let params = json!({"name": "delete_boat", "arguments": {"id": "7"}});
    for id in [600, 601] {
        talker.send(&request(id, "tools/call", &params)).await;
    }
    let questions = [talker.receive().await, talker.receive().await];
    assert!(questions.iter().all(|one| one["method"] == "elicitation/create"), "each has its own form: {questions:?}");
    let shared = yard.question().await;
    let accept = json!({"action": "accept", "content": {"decision": "confirm"}});
    talker.send(&json!({"jsonrpc": "2.0", "id": questions[0]["id"], "result": accept})).await;
    let first = talker.receive().await;
    assert_eq!(first["result"]["isError"], false, "{first}");
    assert_eq!(yard.done(), ["DELETE /boats/7"], "the other one waits on");
    // In the console as well, by a question of its own.
    let own = question(&yard.store, &|one| one.id != shared.id).await;
    assert_eq!(yard.done(), [""; 0]);
    yard.store.decide(&own.id, confirm()).unwrap();
    let mut second = talker.receive().await;
    if second["method"] == "notifications/cancelled" {
        second = talker.receive().await;
    }
    assert_eq!(second["result"]["isError"], false, "{second}");
    assert_ne!(first["id"], second["id"]);
    assert_eq!(yard.done(), ["DELETE /boats/7"]);
}

#[tokio::test]
async fn one_confirmation_is_for_one_of_two_clients_that_cannot_ask() {
    let (yard, mut talker) = Yard::open(Way::Pipes, json!({})).await;
    let params = json!({"name": "delete_boat", "arguments": {"id": "7"}});
    talker.text("delete_boat", &params["arguments"]).await;
    for id in [600, 601] {
        talker.send(&request(id, "tools/call", &params)).await;
    }
    let shared = yard.question().await;
    yard.store.decide(&shared.id, confirm()).unwrap();
    let own = question(&yard.store, &|one| one.id != shared.id).await;
    yard.store.decide(&own.id, refuse()).unwrap();
    let answers = [talker.receive().await, talker.receive().await];
    assert_eq!(yard.done(), ["DELETE /boats/7"]);
    let (done, left): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer["result"]["isError"] == false);
    assert_eq!((done.len(), left.len()), (1, 1), "{answers:?}");
    // It came too late for the first question, or waited for its own.
    let text = text_of(left[0]);
    assert!(text.contains("a person refused it") || text.contains("waits for a person"), "{text}");
}
