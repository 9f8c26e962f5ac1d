//! The person at the terminal, as a call asks them: shows what would be done, and reads their word.

use std::{
    io::{BufRead, IsTerminal as _, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::table::plain;
use crate::{
    call::{
        CONFIRM, REFUSE,
        client::{Asked, Client, Event, Reply},
        is_confirmation,
    },
    error::CallError,
    spec::{Capability, QuestionKind},
};

/// How often a person is asked for an answer that fits.
pub(super) const MOST_TRIES: usize = 3;

/// Whoever sits at the terminal that this program was started in, if anybody does.
#[derive(Debug)]
pub(super) struct Person {
    is_there: bool,
    has_refused: AtomicBool,
}

impl Person {
    /// Somebody is there where both the questions and the answers have a terminal.
    pub(super) fn new() -> Self {
        let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self { is_there, has_refused: AtomicBool::new(false) }
    }

    /// Whether somebody is there.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// Whether they refused what they were asked about.
    pub(super) fn has_refused(&self) -> bool {
        self.has_refused.load(Ordering::Relaxed)
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
                let (mut stdin, mut stderr) = (std::io::stdin().lock(), std::io::stderr());
                let mut answers = Vec::new();
                for asked in &questions {
                    let answer = answered(asked, &mut stdin, &mut stderr)?;
                    let is_refusal = is_confirmation(&asked.key) && refuses(&answer);
                    answers.push((asked.key.clone(), answer, is_refusal));
                }
                Some(answers)
            });
            let answers = answering.await.ok().flatten();
            let answers = answers.ok_or_else(|| CallError::Unanswered("nobody is there to answer".to_owned()))?;
            if answers.iter().any(|(.., is_refusal)| *is_refusal) {
                self.has_refused.store(true, Ordering::Relaxed);
            }
            Ok(Reply::Answers(answers.into_iter().map(|(key, answer, _)| (key, answer)).collect()))
        })
    }
}

/// What a person means by a word: yes or no. None where it is neither.
pub(super) fn yes_or_no(word: &str) -> Option<bool> {
    match word.trim().to_lowercase().as_str() {
        "y" | "yes" | CONFIRM => Some(true),
        "n" | "no" | REFUSE => Some(false),
        _ => None,
    }
}

fn refuses(answer: &Value) -> bool {
    answer.pointer("/content/decision").and_then(Value::as_str) == Some(REFUSE)
}

/// One answer: each field of the form in its turn. Nothing typed puts the question away, and so does what fits nowhere.
/// None where nobody can be asked.
fn answered(asked: &Asked, from: &mut impl BufRead, to: &mut impl Write) -> Option<Value> {
    if asked.kind != QuestionKind::Form {
        return None;
    }
    let text = |name: &str| asked.params.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut content = Map::new();
    say(to, &format!("{}\n", escaped_lines(text("message"))))?;
    let fields = asked.params.get("requestedSchema").and_then(|schema| schema.get("properties"))?.as_object()?;
    for (name, field) in fields {
        let Some(value) = entered((name, field), from, to)? else { return Some(json!({"action": "cancel"})) };
        let is_refusal = is_confirmation(&asked.key) && value == REFUSE;
        content.insert(name.clone(), Value::from(value));
        // What else would be asked for is of no use any more.
        if is_refusal {
            break;
        }
    }
    Some(json!({"action": "accept", "content": content}))
}

/// What a person enters into a field. None inside where they enter nothing that fits.
fn entered((name, field): (&str, &Value), from: &mut impl BufRead, to: &mut impl Write) -> Option<Option<String>> {
    let said = |member: &str| field.get(member).and_then(Value::as_str).unwrap_or_default();
    let choices = field.get("enum").and_then(Value::as_array).into_iter().flatten();
    let choices: Vec<&str> = choices.filter_map(Value::as_str).collect();
    let listed = plain(&choices.join(", "));
    let title = plain(if said("title").is_empty() { name } else { said("title") });
    if !said("description").is_empty() {
        say(to, &format!("{}\n", escaped_lines(said("description"))))?;
    }
    for _ in 0..MOST_TRIES {
        let prompt = if choices.is_empty() { format!("{title}: ") } else { format!("{title} ({listed}): ") };
        say(to, &prompt)?;
        let mut line = String::new();
        // At the end of the input nobody is there.
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() || choices.is_empty() {
            return Some(Some(line.to_owned()).filter(|line| !line.is_empty()));
        }
        let meant = match yes_or_no(line) {
            Some(true) if choices.contains(&CONFIRM) => CONFIRM,
            Some(false) if choices.contains(&REFUSE) => REFUSE,
            _ => line,
        };
        if let Some(choice) = choices.iter().find(|choice| choice.eq_ignore_ascii_case(meant)) {
            return Some(Some((*choice).to_owned()));
        }
        say(to, &format!("`{}` is none of: {listed}\n", plain(line)))?;
    }
    Some(None)
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// None where the terminal shows nothing: an answer to a question that nobody saw is none.
fn say(to: &mut impl Write, text: &str) -> Option<()> {
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a question with these fields, and what was shown, where this was typed.
    fn typed(key: &str, fields: Value, lines: &str) -> (Option<Value>, String) {
        let params =
            json!({"message": "May it?\u{1b}[2J", "requestedSchema": {"type": "object", "properties": fields}});
        let Value::Object(params) = params else { panic!("an object") };
        let asked = Asked { key: key.to_owned(), kind: QuestionKind::Form, params };
        let mut shown = Vec::new();
        let answer = answered(&asked, &mut lines.as_bytes(), &mut shown);
        (answer, String::from_utf8(shown).unwrap())
    }

    fn decision() -> Value {
        json!({"decision": {"type": "string", "title": "Decision", "enum": ["refuse", "confirm"]}})
    }

    #[test]
    fn the_same_words_decide_everywhere_and_nonsense_is_asked_about_again() {
        let accepted = |decision: &str| Some(json!({"action": "accept", "content": {"decision": decision}}));
        let cancelled = || Some(json!({"action": "cancel"}));
        for (lines, expected) in [
            ("y\n", accepted("confirm")),
            ("YES\n", accepted("confirm")),
            (" Confirm \n", accepted("confirm")),
            ("n\n", accepted("refuse")),
            ("no\n", accepted("refuse")),
            ("refuse\n", accepted("refuse")),
            ("maybe\nwhat?\nyes\n", accepted("confirm")),
            ("maybe\nwhat?\nperhaps\nyes\n", cancelled()),
            ("\nyes\n", cancelled()),
            ("", None),
            ("maybe\n", None),
        ] {
            let (answer, shown) = typed("keyglass_confirm", decision(), lines);
            assert_eq!(answer, expected, "{lines:?}: {shown}");
            assert!(
                shown.starts_with("May it?\\u{1b}[2J\n") && shown.contains("Decision (refuse, confirm): "),
                "{shown}"
            );
            assert_eq!(shown.contains("`maybe` is none of: refuse, confirm\n"), lines.starts_with("maybe"), "{shown}");
        }
    }

    #[test]
    fn what_is_to_be_written_is_shown_and_not_asked_for_after_a_no() {
        let mut fields = decision();
        fields["words"] =
            json!({"type": "string", "title": "In words", "description": "To confirm, write: all rights"});
        let (answer, shown) = typed("keyglass_confirm_2", fields.clone(), "y\nall rights\n");
        assert_eq!(answer.unwrap()["content"], json!({"decision": "confirm", "words": "all rights"}));
        assert!(shown.ends_with("To confirm, write: all rights\nIn words: "), "{shown}");
        let (answer, shown) = typed("keyglass_confirm", fields, "n\n");
        assert!(answer.as_ref().is_some_and(refuses) && !shown.contains("In words"), "{shown}");
    }

    #[test]
    fn other_questions_take_their_own_words() {
        let fields = json!({"colour": {"enum": ["Red", "no"]}, "name": {"title": "Name"}});
        let (answer, _) = typed("colour", fields, "red\nyes\n");
        assert_eq!(answer.unwrap()["content"], json!({"colour": "Red", "name": "yes"}));
    }
}
