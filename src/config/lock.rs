//! The setting `lock` of the configuration file, the flag `--locked` and its variable.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Settings, variable};
use crate::lock;

/// Where the tool contract is kept, and whether what is offered has to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSettings {
    /// The file.
    pub path: PathBuf,
    /// Whether it counts.
    pub locked: bool,
}

/// The flag of commands that hold specs against the file.
#[derive(Args, Clone, Debug, Default)]
pub struct LockFlag {
    /// Take the tools only if they are those of the lock file, which `keyglass lock` writes [default file: `keyglass.lock`
    /// beside the configuration file, else here] [env: KEYGLASS_LOCKED, a file]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    locked: Option<Option<PathBuf>>,
}

impl LockSettings {
    /// As the configuration file says it, which is `config`.
    pub(super) fn new(written: Option<PathBuf>, config: Option<&Path>) -> Self {
        let locked = written.is_some();
        let beside = || config.and_then(Path::parent).unwrap_or(Path::new("")).join(lock::FILE);
        Self { path: written.unwrap_or_else(beside), locked }
    }

    /// The file that counts.
    pub fn file(&self) -> Option<&Path> {
        self.locked.then_some(&self.path)
    }

    /// With the variable, which wins over the configuration file.
    pub fn or_variable(&mut self) {
        if let Some(path) = variable("KEYGLASS_LOCKED") {
            *self = Self { path: PathBuf::from(path), locked: true };
        }
    }
}

impl LockFlag {
    /// The settings with this flag, or the variable where it names no file.
    pub fn over(self, settings: &mut Settings) {
        settings.lock.or_variable();
        if let Some(given) = self.locked {
            settings.lock.locked = true;
            if let Some(path) = given {
                settings.lock.path = path;
            }
        }
    }
}
