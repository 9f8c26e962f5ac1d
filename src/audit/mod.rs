//! The audit log: one line of JSON for each call and each decision, chained so that a line that was edited, cut off, put in
//! or moved is found, and where.
//!
//! | file | holds |
//! |---|---|
//! | `entry` | what a line says |
//! | `arguments` | what is told of arguments |
//! | `chain` | the codes that bind lines to each other and to the key |
//! | `folder` | the files: segments, key, head, lock |
//! | `lines` | reading a segment |
//! | `log` | the end of the chain, and putting lines there |
//! | `rotation` | new segments, and the removal of old ones |
//! | `writer` | the thread that writes, and its queue |
//! | `recording` | one call as it is written down |
//! | `verify` | looking whether a log is what was written |
//!
//! Must not know MCP, specs nor how calls are carried out. No secret comes here: of arguments there are digests, of results
//! nothing at all.
//!
//! # How a log is kept
//!
//! A folder holds the segments `00000001.jsonl`, `00000002.jsonl` and so on, `audit.key`, `audit.head` and `audit.lock`.
//! Each line holds its number (`seq`), the code of the line before (`prev`), and its own code (`mac`): an HMAC over all
//! else in it, by the key. The head tells how far the log goes, with a code of its own, so that a cut at the end is found.
//! All processes that share the folder write one chain, in turns. One that is killed may leave lines behind the head, which
//! the next one takes up, and half a line, which the next one ends with a line that says so.

mod arguments;
mod chain;
mod entry;
mod folder;
mod lines;
mod log;
mod recording;
mod rotation;
mod tail;
mod verify;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tokio::sync::Semaphore;

pub use self::{
    arguments::{Argument, Arguments, Name},
    chain::Code,
    entry::{Decision, Entry, Event, Origin, Request, Transport, cleaned},
    recording::Recording,
    tail::Tail,
    verify::{Damage, Damaged, Report, verify},
};
use self::{chain::Keys, folder::Folder, log::Log, writer::Queued};
use crate::clock::Clock;

/// How many entries may be on their way: calls that are under way, and what is queued. A further call waits.
const PLACES: usize = 8192;

/// Where a log is and how it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The folder.
    pub folder: PathBuf,
    /// Whether calls fail when they cannot be written down.
    pub required: bool,
    /// How long segments may get, and how many there are.
    pub limits: Limits,
    /// Which arguments are told in clear.
    pub clear: Clear,
}

/// How long segments may get, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From how many bytes on a segment is followed by another.
    pub max_bytes: u64,
    /// How many segments are kept, at least one.
    pub keep: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 32 * 1024 * 1024, keep: 16 }
    }
}

/// Which arguments are told in clear, besides those that a schema proves harmless: `TOOL.ARGUMENT`, where `*` stands for any
/// tool, and members follow with dots, of which `*` stands for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clear(Vec<Vec<String>>);

impl Clear {
    /// Reads patterns. Error: what is wrong with one of them.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, String> {
        let read = |pattern: &str| {
            let parts: Vec<String> = pattern.split('.').map(str::to_owned).collect();
            if parts.len() < 2 || parts.iter().any(String::is_empty) || parts.get(1).is_some_and(|part| part == "*") {
                return Err(format!("`{pattern}` names no argument; expected `TOOL.ARGUMENT` or `*.ARGUMENT`"));
            }
            Ok(parts)
        };
        let patterns = patterns.into_iter().map(|pattern| read(pattern.as_ref()));
        Ok(Self(patterns.collect::<Result<_, _>>()?))
    }

    /// Whether a value is told in clear: that of an argument, or what stands in it at this path.
    pub fn names(&self, tool: &str, path: &[&str]) -> bool {
        let fits = |(pattern, part): (&String, &&str)| pattern == "*" || pattern == part;
        self.0.iter().any(|pattern| {
            pattern.split_first().is_some_and(|(of, rest)| {
                (of == "*" || of == tool) && rest.len() == path.len() && rest.iter().zip(path).all(fits)
            })
        })
    }
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It cannot be opened.
    #[error("the audit log in `{}` cannot be opened: {source}", folder.display())]
    Open {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("the audit log cannot be written ({0})")]
    Unwritable(String),
}

/// The audit log of a process, or none. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Audit(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    writer: Arc<writer::Shared>,
    keys: Keys,
    clock: Clock,
    required: bool,
    clear: Clear,
    places: Arc<Semaphore>,
}

/// Ends an audit log when it is dropped: all that was recorded is written.
#[derive(Debug)]
pub struct Closing(Audit);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Audit {
    /// No log.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens a log; makes it where there is none.
    pub fn open(options: Options, clock: Clock) -> Result<Self, AuditError> {
        let Options { folder, required, limits, clear } = options;
        let open = || {
            let mut log = Log::new(Folder::prepare(&folder)?, limits, clock);
            let keys = log.open()?;
            let writer = writer::Writer::start(log, keys.clone(), required)?;
            let places = Arc::new(Semaphore::new(PLACES));
            Ok(Self(Some(Arc::new(Inner { writer, keys, clock, required, clear, places }))))
        };
        open().map_err(|source| AuditError::Open { folder: folder.clone(), source })
    }

    /// Whether anything is written.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes an entry. Waits for room in the queue alone.
    pub async fn record(&self, entry: Entry) {
        if let Some(inner) = &self.0 {
            let place = inner.places(1).await;
            inner.writer.push(Queued { entry: Box::new(entry), _place: place, waits: None });
        }
    }

    /// Writes an entry and waits until it is on the disk. Error: it is not, and has to be.
    pub async fn record_lasting(&self, entry: Entry) -> Result<(), AuditError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.check()?;
        let place = inner.places(1).await;
        inner.write_lasting(entry, place).await
    }

    /// Writes an entry from where nothing can be awaited. To be used for what happens rarely: nothing pushes back.
    pub fn note(&self, entry: Entry) {
        if let Some(inner) = &self.0 {
            inner.writer.push(Queued { entry: Box::new(entry), _place: None, waits: None });
        }
    }

    /// The time, in milliseconds since the Unix epoch, where there is a log.
    pub fn now_ms(&self) -> i64 {
        self.0.as_ref().map(|inner| inner.clock.now_ms()).unwrap_or_default()
    }

    /// Which arguments are told in clear, besides those that a schema proves harmless.
    pub fn clears(&self, tool: &str, path: &[&str]) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.clear.names(tool, path))
    }

    /// What is told of the arguments of a call. For each its value, whether its name is one that the spec gives, and what is
    /// harmless of it.
    pub fn arguments<'a>(
        &self,
        arguments: impl IntoIterator<Item = (&'a String, &'a Value)>,
        told: impl Fn(&str, &Value) -> (bool, Vec<(String, Value)>),
    ) -> Option<Arc<Arguments>> {
        let inner = self.0.as_ref()?;
        let mut all = Arguments::default();
        for (name, value) in arguments {
            all.push(|| {
                let (is_known, clear) = told(name, value);
                let name = if is_known { Name::Known(name.clone()) } else { inner.unknown(name) };
                Argument::new(&inner.keys, name, value, clear)
            });
        }
        Some(Arc::new(all))
    }

    /// A name that somebody else wrote.
    pub fn unknown(&self, name: &str) -> Option<Name> {
        self.0.as_ref().map(|inner| inner.unknown(name))
    }

    /// Writes all that is queued, and ends.
    pub fn close(&self) {
        if let Some(inner) = &self.0 {
            inner.writer.close();
        }
    }

    /// Ends it when what is given back is dropped.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(self.clone())
    }
}

impl Inner {
    fn unknown(&self, name: &str) -> Name {
        Name::Unknown(arguments::digest(&self.keys, &Value::from(name)))
    }
}

/// Begins a new segment of the log in a folder, and gives its number.
pub fn rotate(folder: &Path, limits: Limits, clock: Clock) -> Result<u64, AuditError> {
    let rotate = || {
        let mut log = Log::new(Folder::prepare(folder)?, limits, clock);
        let keys = log.open()?;
        log.rotate(&keys)
    };
    rotate().map_err(|source| AuditError::Open { folder: folder.to_owned(), source })
}
