//! Whether an operation runs commands or code, takes such as will be run, or starts what does.

use super::{shapes::Shapes, words::Words};

/// What a person types commands into.
const TERMINALS: [&str; 4] = ["pty", "tty", "shell", "console"];

/// Verbs that open one.
const OPENING: [&str; 6] = ["attach", "connect", "create", "open", "start", "reconnect"];

/// Verbs that run something, whatever it is.
const RUNNING: [&str; 8] = ["deploy", "eval", "exec", "execute", "invoke", "redeploy", "rerun", "spawn"];

/// Verbs that start what follows.
const STARTING: [&str; 9] = ["create", "start", "trigger", "launch", "submit", "run", "schedule", "dispatch", "begin"];

/// What runs commands or code that were handed over before.
const RUNS: [&str; 12] = [
    "run",
    "runs",
    "execution",
    "executions",
    "build",
    "builds",
    "pipeline",
    "pipelines",
    "workflow",
    "workflows",
    "command",
    "commands",
];

/// What is started by naming the collection alone.
const COLLECTIONS: [&str; 10] = [
    "runs",
    "executions",
    "builds",
    "pipelines",
    "pipeline",
    "commands",
    "dispatches",
    "invocations",
    "run",
    "deployments",
];

/// Verbs that start such a thing again, or go on with it.
const AGAIN: [&str; 10] =
    ["retry", "rerun", "replay", "rebuild", "play", "score", "resume", "restart", "trigger", "start"];

/// What those verbs are said of.
const STARTED: [&str; 12] = [
    "run",
    "runs",
    "job",
    "jobs",
    "execution",
    "executions",
    "build",
    "builds",
    "pipeline",
    "pipelines",
    "workflow",
    "workflows",
];

/// Arguments that hold a program, where something is run.
const CODE: [&str; 6] = ["code", "expression", "lua", "program", "snippet", "source"];

/// Words beside a run, a pipeline or an execution that tell of money and papers and not of code.
pub(super) const NO_CODE: [&str; 21] = [
    "agreement",
    "agreements",
    "billing",
    "crm",
    "deal",
    "deals",
    "dry",
    "lead",
    "leads",
    "opportunities",
    "order",
    "orders",
    "pay",
    "payment",
    "payments",
    "payroll",
    "report",
    "reports",
    "sales",
    "settlement",
    "transfers",
];

/// Whatever method: it opens a terminal.
pub(super) fn terminal(words: &Words) -> Option<String> {
    let word = words.parts().iter().find_map(|part| part.any(&TERMINALS)).filter(|word| *word != "console")?;
    words.operation().any(&OPENING)?;
    Some(format!("opens a terminal: `{word}` in the path"))
}

/// What runs though the verb of its path is one of reading.
pub(super) fn whatever_is_read(words: &Words, shapes: &Shapes) -> Option<String> {
    if let Some(query) = shapes.query.as_ref().filter(|_| words.names_graphql()) {
        return Some(format!("takes a GraphQL `{query}` of any kind"));
    }
    if words.is_graphql() && shapes.has("body") {
        return Some("takes a GraphQL `body` of any kind".to_owned());
    }
    if let Some(sql) = &shapes.sql {
        return Some(format!("takes `{sql}` and runs it"));
    }
    if words.parts().iter().any(|part| part.text() == "sql") {
        return Some("`sql` in the path".to_owned());
    }
    None
}

/// Why an operation of a method that changes something runs something; `None` where nothing says so.
pub(super) fn reason(method: &str, words: &Words, shapes: &Shapes) -> Option<String> {
    if method == "DELETE" {
        return None;
    }
    if let Some(name) = &shapes.command {
        return Some(format!("takes a `{name}` and runs it, now or later"));
    }
    // `code` alone may be that of a country.
    if let (Some(verb), Some(name)) =
        (words.verb_in(&["run", "execute", "eval", "evaluate", "interpret"]), CODE.iter().find(|name| shapes.has(name)))
    {
        return Some(format!("takes `{name}` to `{verb}`"));
    }
    if let Some(name) = &shapes.agents {
        return Some(format!("starts agents: `{name}`"));
    }
    let names = || words.action().into_iter().chain([words.operation()]);
    if names().any(|name| name.pair(&["std"], &["in"]).is_some() || name.any(&["stdin"]).is_some()) {
        return Some("writes to a running program".to_owned());
    }
    if let Some(word) = words.parts().iter().find_map(|part| part.any(&["pty", "tty", "shell"])) {
        return Some(format!("drives a terminal: `{word}` in the path"));
    }
    if method != "POST" {
        return None;
    }
    if words.any(&NO_CODE).is_some() {
        return None;
    }
    if let Some(verb) = words.verb_in(&RUNNING) {
        return Some(format!("`{verb}` in {}", place(words.action_in(&RUNNING).is_some())));
    }
    if let Some(action) = words.action() {
        let (first, last) = (action.first(), action.last());
        let starts = STARTING.contains(&first) && RUNS.contains(&last) && first != last;
        if starts || COLLECTIONS.contains(&last) {
            return Some(format!("starts a run: `{}` in the path", action.text()));
        }
        let mut before = words.parts().iter().rev().skip(1);
        let started =
            before.find(|part| STARTED.contains(&part.last()) || part.pair(&STARTED, &["schedules"]).is_some());
        if let (Some(verb), Some(started)) = (words.action_in(&AGAIN), started) {
            return Some(format!("`{verb}` of `{}` in the path", started.text()));
        }
    }
    None
}

fn place(in_path: bool) -> &'static str {
    if in_path { "the path" } else { "the name" }
}
