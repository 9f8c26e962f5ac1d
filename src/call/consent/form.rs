//! The question as a client puts it to a person: its own form, or a page that it opens; and what its answer says.

use serde_json::{Map, Value, json};

use super::super::{answer::shorten, client::Asked};
use crate::{
    policy::store::{Shown, are_the_words},
    prose::invisible::spelled_out,
    spec::QuestionKind,
};

/// The name of the question, among those of a call.
pub(super) const KEY: &str = "keyglass_confirm";
/// How often one call asks by the form at most, where the answer does not fit.
pub(super) const MOST_ROUNDS: u8 = 3;
/// The choice that confirms.
pub(crate) const CONFIRM: &str = "confirm";
/// The choice that refuses. The first one, so that a client that fills forms in by itself confirms nothing.
pub(crate) const REFUSE: &str = "refuse";
/// How long a request may be that is shown in a client's own form, and how much of an object is, in characters.
const MAX_FORM_TEXT: usize = 4_000;

/// What a person says of a call.
pub(super) enum Word {
    Confirmed,
    /// They chose to refuse it.
    Refused,
    /// The client says that it is declined. Some do so of themselves.
    Declined,
    /// They say it elsewhere.
    Elsewhere,
    /// What they wrote does not fit: what is wrong, and what was expected.
    Unfit(String),
    /// Nothing that counts: it was put away, or nobody was asked.
    None,
}

/// The name of the question in its first, second, … round: no answer is taken for one to a later round.
pub(super) fn key(round: u8) -> String {
    if round <= 1 { KEY.to_owned() } else { format!("{KEY}_{round}") }
}

/// Whether a question of this name is whether a call may be carried out.
pub(crate) fn is_confirmation(key: &str) -> bool {
    key.starts_with(KEY)
}

/// The answer of a client to the form.
pub(super) fn judged(answer: &Value, words: Option<&str>) -> Word {
    match answer.get("action").and_then(Value::as_str) {
        Some("accept") => {}
        Some("decline") => return Word::Declined,
        _ => return Word::None,
    }
    let said = |name: &str| answer.get("content").and_then(|content| content.get(name));
    let Some(decision) = said("decision") else { return Word::None };
    let decided = |word: &str| decision.as_str().is_some_and(|said| are_the_words(said, word));
    if decided(REFUSE) {
        return Word::Refused;
    }
    if !decided(CONFIRM) {
        return Word::Unfit(format!("the decision has to be `{REFUSE}` or `{CONFIRM}`"));
    }
    let Some(words) = words else { return Word::Confirmed };
    if said("words").and_then(Value::as_str).is_some_and(|said| are_the_words(said, words)) {
        return Word::Confirmed;
    }
    Word::Unfit(format!("to confirm this, the words have to be: {words}"))
}

/// The answer of a client that was asked to open the page. It decides nothing.
pub(super) fn judged_page(answer: &Value) -> Word {
    match answer.get("action").and_then(Value::as_str) {
        Some("accept") => Word::Elsewhere,
        Some("decline") => Word::Declined,
        _ => Word::None,
    }
}

/// The question as a form of the client, in this round, after an answer with this wrong. None where the request is too long
/// for one: a part that is not shown must not be confirmed by it. What is read of the object may be cut, as it is told beside
/// the request and nothing of it is sent.
pub(super) fn form(shown: &Shown, words: Option<&str>, (round, wrong): (u8, Option<&str>)) -> Option<Asked> {
    let (request, 0) = in_form(&shown.request) else { return None };
    let mut lines: Vec<String> = wrong.iter().map(|wrong| format!("The answer did not fit: {wrong}.")).collect();
    lines.extend([
        format!("{}: may this be carried out?", shown.title),
        format!("Tool `{}`, risk: {} ({}).", shown.tool, shown.risk, shown.reason),
        format!("Request:\n{request}"),
    ]);
    if let Some(subject) = &shown.subject {
        let (mut about, rest) = in_form(&subject.value.to_string());
        if rest > 0 {
            about.push_str(&format!(
                "\n({rest} more characters of it are not shown here; `keyglass approve` shows all of them)"
            ));
        }
        lines.push(format!("It is about:\n{about}"));
    }
    lines.extend(shown.notes.iter().map(|note| format!("Note: {note}.")));
    let mut properties = json!({
        "decision": {
            "type": "string",
            "title": "Decision",
            "description": "Whether the call may be carried out, once, as it is shown.",
            "enum": [REFUSE, CONFIRM],
        }
    });
    let mut required = vec![json!("decision")];
    if let (Some(words), Some(properties)) = (words, properties.as_object_mut()) {
        let field =
            json!({"type": "string", "title": "In words", "description": format!("To confirm, write: {words}")});
        properties.insert("words".to_owned(), field);
        required.push(json!("words"));
    }
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let params =
        Map::from_iter([("message".to_owned(), Value::from(lines.join("\n"))), ("requestedSchema".to_owned(), schema)]);
    Some(Asked { key: key(round), kind: QuestionKind::Form, params })
}

/// A text that others wrote, so that no line of it looks like one of ours, and nothing in it goes unseen; and how many
/// characters of it were left out.
fn in_form(text: &str) -> (String, usize) {
    // Before it is taken apart into lines: clients know more ends of a line than one.
    let text = spelled_out(text.trim_end());
    let rest = text.chars().count().saturating_sub(MAX_FORM_TEXT);
    let lines = shorten(&text, MAX_FORM_TEXT).split('\n').map(|line| format!("  {line}\n")).collect::<String>();
    (lines.trim_end().to_owned(), rest)
}

/// The question as a page that the client opens.
pub(super) fn address(page: &str, shown: &Shown) -> Asked {
    let message = if shown.entries.is_empty() {
        format!("{}: look at the request and decide.", shown.title)
    } else {
        format!("{}: enter the secret value; it does not pass through this program.", shown.title)
    };
    let params = Map::from_iter([("message".to_owned(), Value::from(message)), ("url".to_owned(), Value::from(page))]);
    Asked { key: KEY.to_owned(), kind: QuestionKind::Url, params }
}
