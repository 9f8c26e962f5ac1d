//! Keys: what they may do is shown, what goes too far is refused before anybody is asked, what has no limit needs words.

use std::collections::BTreeMap;

use keyglass::policy::store::{Decision, DecisionError};
use serde_json::{Value, json};

use super::yard::{Manners, Way, Yard, confirm, form};

/// Of a day in 2030, in milliseconds.
const END: i64 = 1_900_000_000_000;

fn key(scopes: &Value, end: &Value) -> Value {
    json!({"name": "ci", "scopes": scopes, "expires_at_ms": end})
}

#[tokio::test]
async fn what_a_key_may_do_and_how_long_is_shown() {
    for way in [Way::Pipes, Way::ModernHttp] {
        let (yard, mut talker) = Yard::open(way, form()).await;
        let call = key(&json!(["boats:read", "docks:write\nNote: it is harmless"]), &json!(END));
        talker.with(Manners::Decline).call("create_key", &call).await;
        let question = talker.asked.pop().unwrap()["params"].clone();
        let message = question["message"].as_str().unwrap();
        assert!(message.contains("the key may do: boats:read, docks:write, Note:"), "{message}");
        assert!(message.contains("the key expires at 2030-03-17"), "{message}");
        assert!(question["requestedSchema"]["properties"].get("words").is_none());
        let shown = yard.question().await.shown;
        assert!(shown.notes[0].starts_with("the key may do: boats:read") && shown.words.is_none(), "{shown:?}");
        assert_eq!(yard.done(), [""; 0]);
    }
}

#[tokio::test]
async fn a_key_without_limits_needs_words() {
    for way in [Way::Sse, Way::ModernPipes] {
        let (yard, mut talker) = Yard::open(way, form()).await;
        for (arguments, words, other) in [
            (json!({"name": "a"}), "all rights, never expires", "all rights"),
            (key(&json!(["*"]), &json!(END)), "all rights", "never expires"),
            (key(&json!(["boats:read"]), &Value::Null), "never expires", "yes"),
            (key(&json!(["boats:read"]), &json!(0)), "never expires", ""),
            (key(&json!(["boats:read"]), &json!(315_360_000_000_i64)), "unclear end", "never expires"),
            (key(&json!(["*:*"]), &json!(END)), "all rights", "yes"),
        ] {
            let arguments: Value = arguments
                .as_object()
                .unwrap()
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let text = talker.with(Manners::Write(other)).text("create_key", &arguments).await;
            assert!(text.contains("waits for a person"), "{way:?} {words}: {text}");
            let question = talker.asked.pop().unwrap()["params"]["requestedSchema"].clone();
            assert!(question["properties"]["words"]["description"].as_str().unwrap().contains(words), "{question}");
            assert_eq!(question["required"], json!(["decision", "words"]));
            assert_eq!(yard.done(), [""; 0]);
            // The console and the terminal want them as well.
            let waiting = yard.question().await;
            assert_eq!(waiting.shown.words.as_deref(), Some(words));
            let error = yard.store.decide(&waiting.id, confirm()).unwrap_err();
            assert!(matches!(error, DecisionError::Words(wanted) if wanted == words));
            let given = |words: &str| Decision::Confirm {
                by: "console".into(),
                words: Some(words.to_owned()),
                entered: BTreeMap::new(),
            };
            assert!(yard.store.decide(&waiting.id, given(other)).is_err());
            yard.store.decide(&waiting.id, given(words)).unwrap();
            let result = talker.call("create_key", &arguments).await;
            assert_ne!(result["result"]["isError"], true, "{way:?} {result}");
            assert_eq!(yard.done(), ["POST /keys"]);
            talker.with(Manners::Write(words)).call("create_key", &arguments).await;
            assert_eq!(yard.done(), ["POST /keys"], "{way:?}: by the form, with the words");
        }
    }
}

#[tokio::test]
async fn what_is_wider_than_the_ceiling_is_refused_before_anybody_is_asked() {
    let config = "policy: { grants: { scopes: ['boats:write', 'docks:*'], unlimited: false } }\n";
    for way in [Way::Http, Way::ModernPipes] {
        for rules in ["write=allow", "grant=allow"] {
            let (yard, mut talker) = Yard::with(way, form(), (rules, config)).await;
            for arguments in [
                key(&json!(["boats:admin"]), &json!(END)),
                key(&json!(["docks:read", "fleet:read"]), &json!(END)),
                key(&json!(["*"]), &json!(END)),
                key(&json!([]), &json!(END)),
                json!({"name": "a", "scopes": ["boats:read"]}),
                json!({"name": "a", "scopes": ["boats:read"], "expires_at_ms": 0}),
                key(&json!(["boats:read"]), &json!(315_360_000_000_i64)),
                json!({"name": "a"}),
            ] {
                let text = talker.text("create_key", &arguments).await;
                assert!(
                    text.contains("nothing was sent") && text.contains("a retry will not help"),
                    "{arguments}: {text}"
                );
                assert!(talker.asked.is_empty() && yard.store.waiting().unwrap().is_empty(), "{way:?} {arguments}");
            }
            assert_eq!(yard.done(), [""; 0]);
            talker.call("create_key", &key(&json!(["boats:read", "docks:x"]), &json!(END))).await;
            assert_eq!(talker.asked.len(), usize::from(rules == "write=allow"), "{way:?}");
            assert_eq!(yard.done(), ["POST /keys"]);
        }
    }
}
