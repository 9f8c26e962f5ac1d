//! The audit log, as far as the console has to do with it: it reads the last lines, and tells what a person did.

use std::{fs, path::PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::{
    audit::{Audit, Decision, Entry, Event, Name, Tail, verify},
    policy::store::{HandleId, Question, State},
};

/// The largest log that is looked through whenever somebody looks at its end, in bytes; of larger ones `keyglass audit
/// verify` tells whether they are whole.
const MAX_VERIFIED: u64 = 4 * 1024 * 1024;

/// The audit log in a folder.
#[derive(Debug)]
pub struct AuditTrail {
    folder: PathBuf,
    audit: Audit,
}

impl AuditTrail {
    /// The log in a folder, which this process writes.
    pub fn new(folder: PathBuf, audit: Audit) -> Self {
        Self { folder, audit }
    }

    fn size(&self) -> u64 {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

impl Trail for AuditTrail {
    fn last(&self, most: usize) -> Result<Lines, String> {
        let (lines, _) =
            Tail::of(&self.folder, most).map_err(|error| format!("the audit log cannot be read: {error}"))?;
        let lines = lines.iter().rev().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let report = (self.size() <= MAX_VERIFIED).then(|| verify(&self.folder)).and_then(Result::ok);
        let problem = report.as_ref().and_then(|report| report.damages.first()).map(ToString::to_string);
        Ok(Lines { lines, intact: report.map(|report| report.is_intact()), problem })
    }

    fn note(&self, act: Act<'_>) {
        self.audit.note(entry_of(act, "console", self.audit.now_ms()));
    }
}

/// What the audit log tells of what a person did, and by what way.
pub fn entry_of(act: Act<'_>, by: &str, now_ms: i64) -> Entry {
    match act {
        Act::Decided(question) => {
            let decision = if question.state == State::Confirmed { Decision::Confirmed } else { Decision::Declined };
            Entry {
                tool: Some(Name::Known(question.shown.tool.clone())),
                decision: Some(decision),
                decided_by: Some(by.to_owned()),
                ..Entry::new(Event::Decision, now_ms)
            }
            .with("question", question.id.to_string())
        }
        Act::Revealed(id) => Entry { decided_by: Some(by.to_owned()), ..Entry::new(Event::Reveal, now_ms) }
            .with("handle", id.to_string()),
        Act::Forgot(id) => Entry { decided_by: Some(by.to_owned()), ..Entry::new(Event::Decision, now_ms) }
            .with("forgot", id.to_string()),
    }
}

/// The audit log, as far as the console shows it.
pub trait Trail: Send + Sync {
    /// The last lines, at most so many, and whether all of it is as it was written. Blocks on the disk. Error: why it cannot
    /// be read, as a sentence.
    fn last(&self, most: usize) -> Result<Lines, String>;

    /// Writes down what a person did. A value is shown after that.
    fn note(&self, act: Act<'_>);
}

/// What a person did.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// They decided on a question; its state says how.
    Decided(&'a Question),
    /// They are about to see the value of a handle.
    Revealed(&'a HandleId),
    /// They ended a handle.
    Forgot(&'a HandleId),
}

/// Lines of the audit log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lines {
    /// The lines, the newest first.
    pub lines: Vec<Value>,
    /// Whether the chain holds. None where that was not looked at.
    pub intact: Option<bool>,
    /// What is wrong, as a sentence, where something is.
    pub problem: Option<String>,
}
