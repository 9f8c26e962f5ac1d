//! Taking turns: which of several processes writes next.
//!
//! SQLite gives its lock to whoever asks at the right moment, and a process that has much to write asks again the moment
//! it let go: others may wait for ever. So a process that wants to write holds a file's lock until it has SQLite's. While
//! it waits nobody else asks, and so it is the next one.

use std::{
    fs::{File, TryLockError},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{error::OpenError, folder};

/// How long to wait between two attempts.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(1);

/// The file by which processes take turns. The system lets go of its lock when a process ends, however it does.
#[derive(Debug)]
pub(super) struct Turn(Option<File>);

/// The turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a>(Option<&'a File>);

impl Turn {
    /// The file of this folder; made where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let mut options = folder::private_options();
        let file = options.create(true).truncate(false).open(path);
        file.map(|file| Self(Some(file))).map_err(|source| OpenError::File {
            path: path.to_owned(),
            action: "opened for writing",
            source,
        })
    }

    /// For a database that no other process has open.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Waits for the turn. Where it is not had within this time, or the file system has no locks, the caller tries without
    /// it: it is a matter of fairness alone.
    pub(super) fn take(&self, patience: Duration) -> Taken<'_> {
        self.insist(patience).unwrap_or(Taken(None))
    }

    /// Waits for the turn, for work that must not be done by two at once. Errors: another has it all this time, or the file
    /// system has no locks.
    pub(super) fn insist(&self, patience: Duration) -> Result<Taken<'_>, TryLockError> {
        let Some(file) = &self.0 else { return Ok(Taken(None)) };
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Taken(Some(file))),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => thread::sleep(BETWEEN_ATTEMPTS),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // A lock that cannot be let go of ends with the process; the others go on without it.
            file.unlock().ok();
        }
    }
}
