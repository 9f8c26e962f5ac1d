//! The tool contract as a file, and holding what specs make against it: whoever reviewed the file knows what a model is told
//! and where calls go, and hears of it when a spec says something else.
//!
//! [`contract`] has what is locked, [`difference`] what changed and how much that matters. Must not know MCP, nor who asks.

pub mod contract;
pub mod difference;
mod schema;
mod sends;
mod shown;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

pub use self::{contract::Contract, difference::Differences};
use crate::{gateway::Gateway, spec};

/// The name of the file where none is given.
pub const FILE: &str = "keyglass.lock";
/// The largest lock file, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Why a contract is refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// There is no file to hold it against.
    #[error(
        "there is no lock file `{}`; look at the tools (`keyglass tools --reasons`) and write it by `keyglass lock --output {}` \
         with the same settings",
        path.display(),
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read, or is none.
    #[error("the lock file `{}` cannot be used: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// It is another one.
    #[error(
        "the tool contract is not that of `{}`\n\n{differences}\nif all of this is as it should be, write the file anew by \
         `keyglass lock --output {}` with the same settings",
        path.display(),
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// What changed.
        differences: Differences,
    },
}

/// Writes the contract of what is offered.
///
/// # Errors
///
/// The file cannot be written.
pub fn write(path: &Path, contract: &Contract) -> io::Result<()> {
    // Whole or not at all: half a file would refuse everything.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    fs::write(&draft, contract.to_text())?;
    fs::rename(&draft, path)
}

/// Reads a contract.
///
/// # Errors
///
/// [`LockError::Missing`] and [`LockError::Unusable`].
pub fn read(path: &Path) -> Result<Contract, LockError> {
    let unusable = |problem: String| LockError::Unusable { path: path.to_owned(), problem };
    let anew = "`keyglass lock` writes it anew";
    let text = match spec::read_text(path, MAX_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LockError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(unusable(error.to_string())),
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| unusable(format!("{error}; {anew}")))?;
    match value.get("keyglass_lock").and_then(Value::as_u64) {
        Some(contract::VERSION) => {}
        Some(other) => {
            let problem = format!("it has version {other} of the format, and this keyglass has {}", contract::VERSION);
            return Err(unusable(format!("{problem}; {anew}")));
        }
        None => return Err(unusable(format!("it has no `keyglass_lock`; {anew}"))),
    }
    serde_json::from_value(value).map_err(|error| unusable(format!("{error}; {anew}")))
}

/// Holds what is offered against a file.
///
/// # Errors
///
/// All of [`LockError`].
pub fn verify(path: &Path, gateway: &Gateway) -> Result<(), LockError> {
    let differences = Differences::between(&read(path)?, &Contract::of(gateway));
    if differences.is_empty() {
        return Ok(());
    }
    Err(LockError::Changed { path: path.to_owned(), differences })
}
