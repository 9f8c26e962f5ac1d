//! The audit log, as far as the console has to do with it: it reads the last lines, and tells what a person did.

use serde::Serialize;
use serde_json::Value;

use crate::policy::store::{HandleId, Question};

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
