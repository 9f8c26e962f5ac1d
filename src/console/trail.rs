//! The audit log, as far as the console has to do with it: it reads the last lines, and tells what a person did.

use std::{fs, path::PathBuf};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use super::api::BY;
use crate::{
    audit::{Audit, AuditError, Decision, Entry, Event, Name, Tail, verify},
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

    fn tell(&self, act: Act<'_>) -> BoxFuture<'static, Result<(), AuditError>> {
        told(&self.audit, act, BY)
    }
}

/// Writes down what a person is about to do, by what way, and waits until it is on the disk. Error: it is not, and has to be.
pub fn told(audit: &Audit, act: Act<'_>, by: &str) -> BoxFuture<'static, Result<(), AuditError>> {
    let (entry, audit) = (entry_of(act, by, audit.now_ms()), audit.clone());
    Box::pin(async move { audit.record_lasting(entry).await })
}

/// What the audit log tells of what a person did, and by what way.
fn entry_of(act: Act<'_>, by: &str, now_ms: i64) -> Entry {
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
        Act::NotDone(act) => Entry { outcome: Some("failed"), ..entry_of(*act, by, now_ms) },
    }
}

/// The audit log, as far as the console shows it.
pub trait Trail: Send + Sync {
    /// The last lines, at most so many, and whether all of it is as it was written. Blocks on the disk. Error: why it cannot
    /// be read, as a sentence.
    fn last(&self, most: usize) -> Result<Lines, String>;

    /// Writes down what a person is about to do, or did. It is done after that. Error: it is not on the disk, and has to be.
    fn tell(&self, act: Act<'_>) -> BoxFuture<'static, Result<(), AuditError>>;
}

/// What a person did.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// They decide on a question; its state says how.
    Decided(&'a Question),
    /// They are about to see the value of a handle.
    Revealed(&'a HandleId),
    /// They ended a handle.
    Forgot(&'a HandleId),
    /// What was told before was not done after all.
    NotDone(&'a Act<'a>),
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
