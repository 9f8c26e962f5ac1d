//! `poll` of a consumed operation: which of its answers mean "not yet", and how to ask again. As written.
//!
//! It is this program's addition to the language; `docs/steps.md` tells authors about it.

use std::time::Duration;

use super::{
    interaction::duration,
    parameters::read_values,
    reader::{Fields, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Span};

const MAX_INTERVAL: Duration = Duration::from_secs(10 * 60);
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// How the end of an operation is waited for.
#[derive(Clone, Debug)]
pub struct Poll {
    /// Statuses that mean "not yet".
    pub statuses: Vec<u16>,
    /// The member that says whether it is done, a JSONPath, and the values it has then.
    pub until: Option<(Spanned<String>, Vec<serde_json::Value>)>,
    /// The operation that says how it is; the same one again where none is named.
    pub call: Option<Spanned<String>>,
    /// What feeds its parameters.
    pub with: Vec<(Spanned<String>, Node)>,
    /// Whether to ask where the `Location` of the answer points instead.
    pub location: bool,
    /// How long to wait between two requests, where an answer does not say it.
    pub interval: Duration,
    /// How long to wait in all.
    pub timeout: Duration,
    /// Where it stands.
    pub span: Span,
}

/// The `poll` of an operation.
pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Poll> {
    let mut fields = Fields::of(node, "`poll`", problems)?;
    let until = fields.node(&["until"]);
    let statuses = match fields.node(&["statuses"]) {
        None => vec![202], // RFC 9110, section 15.3.3
        Some(node) => read_statuses(node, problems)?,
    };
    let until = match until {
        None => None,
        Some(node) => Some(read_until(node, problems)?),
    };
    let call = fields.text(&["call"], problems);
    let with = fields.node(&["with"]).map(|node| read_values(node, "`with`", problems)).unwrap_or_default();
    let location = fields.flag(&["location"], problems).is_some_and(|flag| flag.value);
    if let (true, Some(call)) = (location, &call) {
        let message = "`location` and `call` exclude each other; keep one of them";
        problems.push(Diagnostic::error(Code::InvalidValue, call.span, message));
    }
    let mut span_of = |name: &'static str, default: u64, limit| match fields.text(&[name], problems) {
        None => Some(Duration::from_secs(default)),
        Some(text) => duration(&text, limit, problems),
    };
    let (interval, timeout) = (span_of("interval", 2, MAX_INTERVAL)?, span_of("timeout", 300, MAX_TIMEOUT)?);
    let span = fields.span();
    fields.finish(problems);
    Some(Poll { statuses, until, call, with, location, interval, timeout, span })
}

fn read_statuses(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vec<u16>> {
    let status = |node: &Node| match &node.value {
        Value::Number(number, _) => {
            number.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|status| (200..600).contains(status))
        }
        _ => None,
    };
    let read = match &node.value {
        Value::Sequence(items) => items.iter().map(status).collect::<Option<Vec<u16>>>(),
        _ => None,
    };
    if read.is_none() {
        let message = "`statuses` must be a list of HTTP statuses that mean \"not yet\", as in `[202, 408]`";
        problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
    }
    read
}

fn read_until(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<(Spanned<String>, Vec<serde_json::Value>)> {
    let mut fields = Fields::of(node, "`until`", problems)?;
    let path = fields.required_text(&["path"], problems);
    let values = fields.node(&["values"]).map(Node::to_json);
    fields.finish(problems);
    match values {
        Some(serde_json::Value::Array(values)) if !values.is_empty() => Some((path?, values)),
        _ => {
            let message = "`until` needs `values`, a list of what the member at `path` is in the end";
            problems.push(Diagnostic::error(Code::MissingField, node.span, message));
            None
        }
    }
}
