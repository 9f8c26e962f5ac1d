//! The person at the terminal, as a call asks them: shows what would be done, and reads their word.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::table::plain;
use crate::{
    call::client::{Asked, Client, Event, Reply},
    error::CallError,
    spec::{Capability, QuestionKind},
};

/// Whoever sits at the terminal that this program was started in, if anybody does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    is_there: bool,
}

impl Person {
    /// Somebody is there where both the questions and the answers have a terminal.
    pub(super) fn new() -> Self {
        Self { is_there: std::io::stdin().is_terminal() && std::io::stderr().is_terminal() }
    }
}

impl Client for Person {
    fn has(&self, capability: Capability) -> bool {
        self.is_there && capability == Capability::Elicitation
    }

    fn name(&self) -> Option<String> {
        Some("keyglass call".to_owned())
    }

    fn tell(&self, _: Event) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn ask(&self, questions: Vec<Asked>) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async move {
            let answering = tokio::task::spawn_blocking(move || {
                let answers = questions.iter().map(|asked| Some((asked.key.clone(), answered(asked)?)));
                answers.collect::<Option<_>>()
            });
            let answers = answering.await.ok().flatten();
            let nobody = || CallError::Unanswered("nobody is there to answer".to_owned());
            answers.map(Reply::Answers).ok_or_else(nobody)
        })
    }
}

/// One answer: each field of the form in its turn. Nothing typed puts the question away.
fn answered(asked: &Asked) -> Option<Value> {
    if asked.kind != QuestionKind::Form {
        return None;
    }
    let text = |name: &str| asked.params.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut content = Map::new();
    say(&format!("{}\n", escaped_lines(text("message"))));
    let fields = asked.params.get("requestedSchema").and_then(|schema| schema.get("properties"))?.as_object()?;
    for (name, field) in fields {
        let said = |member: &str| field.get(member).and_then(Value::as_str).unwrap_or_default();
        let choices = field.get("enum").and_then(Value::as_array).into_iter().flatten();
        let choices: Vec<&str> = choices.filter_map(Value::as_str).collect();
        let choices = if choices.is_empty() { String::new() } else { format!(" ({})", choices.join(", ")) };
        say(&format!("{}{choices}: ", plain(if said("title").is_empty() { name } else { said("title") })));
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).ok()?;
        let line = line.trim();
        if line.is_empty() {
            return Some(json!({"action": "cancel"}));
        }
        content.insert(name.clone(), Value::from(line));
    }
    Some(json!({"action": "accept", "content": content}))
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn say(text: &str) {
    // The answer would be read from a terminal that showed nothing: then nobody answers.
    let mut out = std::io::stderr().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}
