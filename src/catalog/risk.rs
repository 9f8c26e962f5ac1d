//! What a tool may do at worst, in classes that an operator can draw a line between, and how the class of an operation is
//! worked out.
//!
//! Words and shapes alone decide: no rule knows of an API. Must not know who may use what.

mod destroys;
mod grants;
mod runs;
pub(in crate::catalog) mod shapes;
mod words;

use std::{borrow::Cow, fmt, str::FromStr};

use self::words::Words;
use super::{hints::Called, verbs};
use crate::nearest::nearest;

/// What a tool may do at worst. Ordered: who may use tools of a class may use those of the classes below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// It changes nothing.
    Read,
    /// It adds or changes something.
    Write,
    /// It may take something away or overwrite it for good, shut it down or revoke it.
    Destructive,
    /// It runs commands or code, takes such as will be run, or starts what does.
    Exec,
    /// It makes or renews credentials, or widens what somebody may reach.
    Grant,
}

impl Risk {
    /// All classes, the least one first.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Destructive, Self::Exec, Self::Grant];

    /// Its name, as in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Exec => "exec",
            Self::Grant => "grant",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Risk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(risk) = Self::ALL.into_iter().find(|risk| risk.name() == text) {
            return Ok(risk);
        }
        let known = Self::ALL.map(|risk| format!("`{risk}`")).join(", ");
        let near = nearest(text, Self::ALL.map(Self::name)).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("`{text}` is no class of risk; expected one of {known}{}", near.unwrap_or_default()))
    }
}

/// The class of a tool, and what it was told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessed {
    /// The class.
    pub class: Risk,
    /// Why, for a person: a few words without a full stop.
    pub reason: Cow<'static, str>,
}

impl Assessed {
    pub(super) fn new(class: Risk, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { class, reason: reason.into() }
    }

    /// The worse of two; of the same class the first.
    #[must_use]
    pub(super) fn worse(self, other: Self) -> Self {
        if other.class > self.class { other } else { self }
    }
}

/// What an operation does, as its words and shapes tell.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// The class and why.
    pub(super) assessed: Assessed,
    /// Whether something is gone or overwritten afterwards, whatever the class.
    pub(super) destroys: bool,
    /// Whether a plain word or the method says so.
    pub(super) is_plain: bool,
    /// Whether a spec that says it only reads may be believed.
    pub(super) may_read: bool,
}

/// Verbs at the end of a path by which a request by POST reads.
const READING: [&str; 14] = [
    "count", "describe", "download", "estimate", "fetch", "find", "get", "list", "lookup", "preview", "read",
    "retrieve", "search", "wait",
];

/// Works the class of an operation out. `description` is what its author says of it.
pub(super) fn assess(called: Called<'_>, shapes: &shapes::Shapes, description: &str) -> Verdict {
    let Called { method, path, operation, tool } = called;
    let words = Words::new(called);
    if is_safe(method) {
        let by = method_of(method);
        if let Some(reason) = runs::terminal(&words) {
            return Verdict {
                assessed: Assessed::new(Risk::Exec, reason),
                destroys: false,
                is_plain: false,
                may_read: false,
            };
        }
        return match destroys::by_safe_method(&words) {
            Some(reason) => Verdict {
                assessed: Assessed::new(Risk::Destructive, reason),
                destroys: true,
                is_plain: true,
                may_read: false,
            },
            None => {
                Verdict { assessed: Assessed::new(Risk::Read, by), destroys: false, is_plain: false, may_read: true }
            }
        };
    }
    let writes = matches!(method, "PUT" | "PATCH" | "DELETE")
        || words.is_graphql()
        || verbs::say_that_it_writes(tool, operation, path);
    // `messages/{id}/read` marks them as read.
    let is_mark = words.action().is_some_and(|action| action.text() == "read");
    let reading = (method == "POST" && !writes && !is_mark).then(|| words.action_in(&READING)).flatten();
    let plainly = destroys::plainly(method, &words);
    let is_plain = plainly.is_some();
    let destroyed = plainly.or_else(|| destroys::otherwise(&words, shapes, description));
    let surely_runs = runs::whatever_is_read(&words, shapes);
    if let (Some(verb), None, None) = (reading, &destroyed, &surely_runs) {
        let reason = format!("`{verb}` at the end of the path");
        return Verdict {
            assessed: Assessed::new(Risk::Read, reason),
            destroys: false,
            is_plain: false,
            may_read: true,
        };
    }
    let granted = grants::reason(method, &words, shapes);
    let destroys = destroyed.is_some() || granted.as_ref().is_some_and(|granted| granted.overwrites);
    let run = surely_runs.or_else(|| runs::reason(method, &words, shapes));
    let (class, reason) = match (granted, run, destroyed) {
        (Some(granted), _, _) => (Risk::Grant, granted.reason.into()),
        (None, Some(reason), _) => (Risk::Exec, reason.into()),
        (None, None, Some(reason)) => (Risk::Destructive, reason.into()),
        (None, None, None) => (Risk::Write, method_of(method)),
    };
    Verdict { assessed: Assessed::new(class, reason), destroys, is_plain, may_read: !writes && class <= Risk::Write }
}

/// Whether a method is not to change anything (RFC 9110, section 9.2.1).
pub(super) fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

fn method_of(method: &str) -> Cow<'static, str> {
    match method {
        "GET" => "the method `GET`".into(),
        "POST" => "the method `POST`".into(),
        "PUT" => "the method `PUT`".into(),
        "PATCH" => "the method `PATCH`".into(),
        other => format!("the method `{other}`").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read_by_their_names() {
        for risk in Risk::ALL {
            assert_eq!(risk.to_string().parse(), Ok(risk));
        }
        assert!(Risk::ALL.is_sorted(), "who may use one may use those before it");
        let problem = "reed".parse::<Risk>().unwrap_err();
        assert!(problem.contains("did you mean `read`?"), "{problem}");
    }
}
