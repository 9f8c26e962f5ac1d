//! Where the console reads the audit log.

use serde::Serialize;
use serde_json::Value;

/// The audit log, as far as the console shows it.
pub trait Trail: Send + Sync {
    /// The last lines, at most so many, and whether all of it is as it was written. Blocks on the disk. Error: why it cannot
    /// be read, as a sentence.
    fn last(&self, most: usize) -> Result<Lines, String>;
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
