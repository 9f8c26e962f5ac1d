//! What is another in a contract than in the one that was locked, tool by tool, what matters most first.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::{
    contract::{Call, Contract, Prompt, Resource, Tool},
    schema::{self, Way},
    shown::{both, plain, short},
};
use crate::catalog::risk::Risk;

/// What a change is about. Ordered: the first matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It may do worse than before.
    RiskRaised,
    /// A secret more, or one that is not marked any more.
    Secret,
    /// Less stands before it: a lower class of risk, no gate.
    Unguarded,
    /// It takes more arguments, or other ones.
    Widened,
    /// Its requests go elsewhere, or something else goes into them.
    Elsewhere,
    /// A model is told something else.
    Text,
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// Clients may assume something else.
    Hints,
    /// Its result is another one.
    Result,
    /// It takes less.
    Narrowed,
}

impl Kind {
    /// In words for a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::RiskRaised => "risk raised",
            Self::Secret => "secret",
            Self::Unguarded => "less guarded",
            Self::Widened => "takes more",
            Self::Elsewhere => "goes elsewhere",
            Self::Text => "text changed",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Hints => "hints",
            Self::Result => "result changed",
            Self::Narrowed => "takes less",
        }
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub kind: Kind,
    /// What changed, for a person: in one line, nothing hidden.
    pub words: String,
}

/// What changed of one tool, resource or prompt, or of what all of them share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of what, as ``tool `NAME` ``.
    pub of: String,
    /// What, the worst first; never empty.
    pub changes: Vec<Change>,
}

/// All that changed, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences(pub Vec<Difference>);

impl Differences {
    /// What changed from a contract to another.
    pub fn between(old: &Contract, new: &Contract) -> Self {
        let mut all = Vec::new();
        entries(("tool", of_tools), (&old.tools, &new.tools), &mut all);
        entries(("resource", of_resources), (&old.resources, &new.resources), &mut all);
        entries(("prompt", of_prompts), (&old.prompts, &new.prompts), &mut all);
        let mut told = Changes::default();
        told.lines(Kind::Text, "clients are told", (&old.instructions, &new.instructions));
        all.extend(told.of("the server's instructions".to_owned()));
        all.sort_by(|one, other| one.key().cmp(&other.key()));
        Self(all)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As JSON, for programs.
    pub fn to_json(&self) -> Value {
        let changes = |changes: &[Change]| -> Vec<Value> {
            changes.iter().map(|change| json!({"kind": change.kind.name(), "what": change.words})).collect()
        };
        self.0.iter().map(|one| json!({"of": one.of, "changes": changes(&one.changes)})).collect()
    }
}

impl Difference {
    fn key(&self) -> (Option<Kind>, &str) {
        (self.changes.first().map(|change| change.kind), &self.of)
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Difference { of, changes } in &self.0 {
            writeln!(formatter, "{of}")?;
            for Change { kind, words } in changes {
                writeln!(formatter, "  {}: {words}", kind.name())?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, kind: Kind, words: impl Into<String>) {
        self.0.push(Change { kind, words: words.into() });
    }

    fn text(&mut self, what: &str, (old, new): (&str, &str)) {
        if old != new {
            let (old, new) = both(old, new);
            self.add(Kind::Text, format!("{what}: {old} → {new}"));
        }
    }

    /// Lists of lines. Two that were put in another's place are shown side by side.
    fn lines(&mut self, kind: Kind, what: &str, (old, new): (&[String], &[String])) {
        let only = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        let (gone, come) = (only(old, new), only(new, old));
        if gone.is_empty() && come.is_empty() && old != new {
            self.add(kind, format!("{what}: the same in another order or number"));
        }
        let mut come = come.iter();
        for old in &gone {
            match come.next() {
                Some(new) => {
                    let (old, new) = both(old, new);
                    self.add(kind, format!("{what}: {old} → {new}"));
                }
                None => self.add(kind, format!("{what}: no more {}", short(old))),
            }
        }
        for new in come {
            self.add(kind, format!("{what}: now {}", short(new)));
        }
    }

    fn calls(&mut self, old: &[Call], new: &[Call]) {
        let shown = |calls: &[Call]| -> Vec<String> {
            calls.iter().map(|Call { method, origin, path }| format!("{method} {origin} {path}")).collect()
        };
        self.lines(Kind::Elsewhere, "calls", (&shown(old), &shown(new)));
    }

    fn gate(&mut self, old: bool, new: bool) {
        match (old, new) {
            (true, false) => self.add(Kind::Unguarded, "callers need show nothing for it any more"),
            (false, true) => self.add(Kind::Narrowed, "callers have to show something for it now"),
            _ => {}
        }
    }

    /// Marks of secrets, with the schemas before and after where there are any.
    fn secrets(&mut self, what: &str, (old, new): (&[String], &[String]), schema: Option<&Value>) {
        for place in new.iter().filter(|place| !old.contains(place)) {
            self.add(Kind::Secret, format!("{what} {} is a secret now", place_of(place)));
        }
        for place in old.iter().filter(|place| !new.contains(place)) {
            // Where it went altogether, that is said.
            if schema.is_none_or(|schema| schema::has(schema, place)) {
                self.add(Kind::Secret, format!("{what} {} is not marked as a secret any more", place_of(place)));
            } else {
                self.add(Kind::Narrowed, format!("{what} {}, a secret, is there no more", place_of(place)));
            }
        }
    }

    /// In order, under a name; nothing where nothing changed.
    fn of(mut self, of: String) -> Option<Difference> {
        self.0.sort_by_key(|change| change.kind);
        (!self.0.is_empty()).then_some(Difference { of, changes: self.0 })
    }
}

fn place_of(pointer: &str) -> String {
    let names: Vec<String> =
        pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    if names.is_empty() { "as a whole".to_owned() } else { format!("`{}`", plain(&names.join("."))) }
}

type Compared<T> = fn(Option<&T>, Option<&T>, &mut Changes);

/// Entries of one kind, by name.
fn entries<T: PartialEq>(
    (what, compare): (&str, Compared<T>),
    (old, new): (&BTreeMap<String, T>, &BTreeMap<String, T>),
    all: &mut Vec<Difference>,
) {
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        let mut changes = Changes::default();
        compare(before, after, &mut changes);
        if changes.0.is_empty() {
            // Nothing changes unseen, whatever it is.
            changes.add(Kind::Widened, "something else of it");
        }
        all.extend(changes.of(format!("{what} `{}`", plain(name))));
    }
}

fn of_tools(old: Option<&Tool>, new: Option<&Tool>, changes: &mut Changes) {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => {
            let calls: Vec<String> =
                new.calls.iter().map(|call| format!("{} {} {}", call.method, call.origin, call.path)).collect();
            let calls = if calls.is_empty() { "fixed values".to_owned() } else { calls.join(", ") };
            let (class, description) = (plain(&new.risk.class), short(&new.description));
            return changes.add(Kind::Added, format!("class `{class}`, {}, {description}", plain(&calls)));
        }
        (Some(old), None) => {
            return changes.add(Kind::Removed, format!("it was of the class `{}`", plain(&old.risk.class)));
        }
        (None, None) => return,
    };
    risks(old, new, changes);
    changes.secrets("argument", (&old.secret_arguments, &new.secret_arguments), Some(&new.input));
    changes.secrets("result", (&old.secret_results, &new.secret_results), Some(&new.output));
    changes.gate(old.gated, new.gated);
    for found in schema::compare(&old.input, &new.input) {
        let (kind, words) = match found.way {
            Way::Wider => (Kind::Widened, found.words),
            Way::Narrower => (Kind::Narrowed, found.words),
            Way::Text => (Kind::Text, format!("argument {}", found.words)),
        };
        changes.add(kind, words);
    }
    for found in schema::compare(&old.output, &new.output) {
        let kind = if found.way == Way::Text { Kind::Text } else { Kind::Result };
        changes.add(kind, format!("result {}", found.words));
    }
    changes.calls(&old.calls, &new.calls);
    changes.lines(Kind::Elsewhere, "sends", (&old.sends, &new.sends));
    changes.text("title", (&old.title, &new.title));
    changes.text("description", (&old.description, &new.description));
    changes.text("group", (&old.group, &new.group));
    hints(old, new, changes);
}

fn risks(old: &Tool, new: &Tool, changes: &mut Changes) {
    let (before, after) = (&old.risk, &new.risk);
    if before == after {
        return;
    }
    let told = |class: &super::contract::Class| format!("`{}` ({})", plain(&class.class), plain(&class.reason));
    let words = format!("{} → {}", told(before), told(after));
    let class = |text: &str| text.parse::<Risk>().ok();
    match (class(&before.class), class(&after.class)) {
        (Some(before), Some(after)) if after == before => {
            changes.add(Kind::Text, format!("what tells its class of risk: {words}"));
        }
        (Some(before), Some(after)) if after < before => {
            changes.add(Kind::Unguarded, format!("risk lowered, so that a person may be asked less: {words}"));
        }
        _ => changes.add(Kind::RiskRaised, words),
    }
}

fn hints(old: &Tool, new: &Tool, changes: &mut Changes) {
    let (before, after) = (&old.hints, &new.hints);
    for (was, is, when, when_not) in [
        (before.read_only, after.read_only, "that it changes nothing", "that it may change something"),
        (!before.destructive, !after.destructive, "that it destroys nothing", "that it may destroy something"),
        (before.idempotent, after.idempotent, "that repeating it does no more", "that repeating it may do more"),
        (
            !before.open_world,
            !after.open_world,
            "that it stays in a closed world",
            "that it reaches into an open world",
        ),
    ] {
        match (was, is) {
            (true, false) => changes.add(Kind::Hints, format!("weaker: it says {when_not}, and said {when}")),
            (false, true) => changes.add(Kind::Hints, format!("stronger: it says {when}, and said {when_not}")),
            _ => {}
        }
    }
}

fn of_resources(old: Option<&Resource>, new: Option<&Resource>, changes: &mut Changes) {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => return changes.add(Kind::Added, short(&new.description)),
        (Some(_), None) => return changes.add(Kind::Removed, "it is not offered any more"),
        (None, None) => return,
    };
    changes.secrets("result", (&old.secret_results, &new.secret_results), None);
    changes.gate(old.gated, new.gated);
    changes.calls(&old.calls, &new.calls);
    changes.lines(Kind::Elsewhere, "sends", (&old.sends, &new.sends));
    changes.text("name", (&old.name, &new.name));
    changes.text("title", (&old.title, &new.title));
    changes.text("description", (&old.description, &new.description));
    changes.text("group", (&old.group, &new.group));
    let media_type = |resource: &Resource| resource.media_type.clone().unwrap_or_default();
    changes.text("media type", (&media_type(old), &media_type(new)));
    match (old.folder, new.folder) {
        (false, true) => changes.add(Kind::Elsewhere, "it is the files of a folder now"),
        (true, false) => changes.add(Kind::Elsewhere, "it is the files of a folder no more"),
        _ => {}
    }
}

fn of_prompts(old: Option<&Prompt>, new: Option<&Prompt>, changes: &mut Changes) {
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (old, new),
        (None, Some(new)) => return changes.add(Kind::Added, short(&new.description)),
        (Some(_), None) => return changes.add(Kind::Removed, "it is not offered any more"),
        (None, None) => return,
    };
    changes.gate(old.gated, new.gated);
    changes.calls(&old.calls, &new.calls);
    changes.lines(Kind::Elsewhere, "sends", (&old.sends, &new.sends));
    changes.text("title", (&old.title, &new.title));
    changes.text("description", (&old.description, &new.description));
    changes.text("group", (&old.group, &new.group));
    changes.lines(Kind::Text, "argument", (&old.arguments, &new.arguments));
    changes.lines(Kind::Text, "message", (&old.messages, &new.messages));
}
