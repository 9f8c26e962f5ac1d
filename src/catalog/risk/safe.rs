//! What a request does by a method that is not to change anything (RFC 9110, section 9.2.1), and does all the same.
//!
//! Nearly all of them only read, and many are named by a noun that is a verb too: a stop, a build, a reset. So one word in
//! one place is not enough where it has another meaning, and a name that says that it reads is believed.

use super::{
    Assessed, Risk,
    destroys::ANYWHERE,
    grants::CREDENTIALS,
    runs,
    shapes::Shapes,
    words::{Phrase, Words},
};

/// Verbs that run something and mean nothing else.
const RUNNING: [&str; 7] = ["eval", "execute", "invoke", "redeploy", "rerun", "spawn", "runscript"];

/// Such as are nouns as well.
const RUNNING_NOUNS: [&str; 8] = ["deploy", "dispatch", "exec", "launch", "rebuild", "retry", "run", "trigger"];

/// Verbs that take something away or stop it and mean nothing else.
const TAKING: [&str; 23] = [
    "abort",
    "deactivate",
    "deregister",
    "discard",
    "evict",
    "expunge",
    "flush",
    "halt",
    "invalidate",
    "overwrite",
    "poweroff",
    "prune",
    "reboot",
    "redact",
    "regenerate",
    "restart",
    "rotate",
    "suspend",
    "truncate",
    "uninstall",
    "unregister",
    "unsubscribe",
    "wipe",
];

/// Such as are nouns or adjectives as well.
const TAKING_NOUNS: [&str; 9] = ["clear", "close", "drop", "expire", "kill", "reset", "rollback", "stop", "void"];

/// Verbs by which a credential comes to be or gets a new value.
const MAKING: [&str; 12] = [
    "create",
    "generate",
    "issue",
    "make",
    "mint",
    "provision",
    "recreate",
    "regenerate",
    "reissue",
    "renew",
    "reset",
    "rotate",
];

/// Verbs by which somebody gets more rights.
const RAISING: [&str; 4] = ["elevate", "grant", "impersonate", "promote"];

/// First or last words of a name that only reads.
const READING: [&str; 22] = [
    "check", "count", "describe", "details", "fetch", "find", "get", "index", "info", "inspect", "list", "lookup",
    "query", "read", "retrieve", "search", "show", "status", "stream", "validate", "view", "watch",
];

/// First words of a name that gives a collection, which may be filtered by anything.
const LISTING: [&str; 7] = ["count", "describe", "filter", "find", "list", "lookup", "search"];

/// Last words that make a noun of the verb before them: `stop-reason`, `delete_requests`.
const NOUNS: [&str; 32] = [
    "by",
    "config",
    "configuration",
    "date",
    "details",
    "event",
    "events",
    "history",
    "id",
    "ids",
    "info",
    "inspect",
    "list",
    "log",
    "logs",
    "metrics",
    "off",
    "options",
    "policies",
    "policy",
    "reason",
    "reasons",
    "report",
    "request",
    "requests",
    "result",
    "results",
    "settings",
    "stats",
    "status",
    "time",
    "times",
];

/// What such a request does at worst; `None` where it only reads.
pub(super) fn assessed(words: &Words, shapes: &Shapes) -> Option<Assessed> {
    let grant = granted(words).map(|reason| Assessed::new(Risk::Grant, reason));
    grant.or_else(|| run(words, shapes).map(|reason| Assessed::new(Risk::Exec, reason))).or_else(|| {
        let taken = verb(words, &ANYWHERE, &TAKING_NOUNS).or_else(|| verb(words, &TAKING, &[]));
        taken.map(|(verb, place)| Assessed::new(Risk::Destructive, format!("`{verb}` in {place}")))
    })
}

fn run(words: &Words, shapes: &Shapes) -> Option<String> {
    if let Some(sql) = &shapes.sql {
        return Some(format!("takes `{sql}` and runs it"));
    }
    let is_filter = || LISTING.contains(&words.operation().first());
    if let Some(name) = shapes.command.as_ref().filter(|_| !is_filter()) {
        return Some(format!("takes a `{name}` and runs it, now or later"));
    }
    if let Some(reason) = runs::terminal(words) {
        return Some(reason);
    }
    if words.any(&runs::NO_CODE).is_some() {
        return None;
    }
    verb(words, &RUNNING, &RUNNING_NOUNS).map(|(verb, place)| format!("`{verb}` in {place}"))
}

fn granted(words: &Words) -> Option<String> {
    // `tokens/create` and `keys/new`: made of what stands before.
    let before = || words.parts().iter().rev().nth(1).and_then(|part| credential(part));
    if let (Some(verb), Some(what)) = (of_path(words, &MAKING).or_else(|| of_path(words, &["new"])), before()) {
        return Some(format!("makes a credential or renews one: `{verb}` of `{what}` in the path"));
    }
    let by_name = of_name(words, &MAKING).and_then(|verb| Some((verb, credential(words.operation())?)));
    if let Some((verb, what)) = by_name {
        return Some(format!("makes a credential or renews one: `{verb}` of `{what}` in the name"));
    }
    let (verb, place) = verb(words, &RAISING, &[])?;
    let whom =
        ["user", "users", "member", "members", "account", "accounts", "admin", "owner", "role", "roles", "access"];
    words.any(&whom).map(|whom| format!("widens what somebody may do: `{verb}` in {place}, `{whom}`"))
}

fn credential(name: &Phrase) -> Option<&'static str> {
    name.any(&CREDENTIALS)
}

/// The verb that path or name say, and where. A noun has to be in both, or alone in the path of a request whose name does
/// not say that it reads.
fn verb(words: &Words, verbs: &[&'static str], nouns: &[&'static str]) -> Option<(&'static str, &'static str)> {
    let path = |verbs| of_path(words, verbs).map(|verb| (verb, "the path"));
    let sure = verbs.iter().copied().filter(|verb| !nouns.contains(verb)).collect::<Vec<_>>();
    path(&sure).or_else(|| of_name(words, &sure).map(|verb| (verb, "the name"))).or_else(|| path(nouns))
}

/// The verb that the path ends with, unless it is a part of a noun or the name says that it reads.
fn of_path(words: &Words, verbs: &[&'static str]) -> Option<&'static str> {
    let action = words.action()?;
    let name = words.operation();
    let verb = verbs.iter().find(|verb| action.first() == **verb || action.last() == **verb)?;
    let is_in_name = (name.first() == *verb || name.last() == *verb) && !is_reading_noun(words, verb);
    let reads = READING.contains(&name.first()) || READING.contains(&name.last());
    let says = is_in_name || action.first() == *verb && !reads;
    (says && !NOUNS.contains(&action.last())).then_some(*verb)
}

/// Whether `getStop` is of one stop: a noun that only a verb of reading stands before.
fn is_reading_noun(words: &Words, verb: &str) -> bool {
    let name = words.operation();
    let is_noun = TAKING_NOUNS.contains(&verb) || RUNNING_NOUNS.contains(&verb);
    is_noun && READING.contains(&name.first())
}

/// The verb that the name begins with, unless it is a part of a noun.
fn of_name(words: &Words, verbs: &[&'static str]) -> Option<&'static str> {
    let name = words.operation();
    let is_noun = NOUNS.contains(&name.last()) || READING.contains(&name.last());
    verbs.iter().find(|verb| name.first() == **verb && !is_noun).copied()
}
