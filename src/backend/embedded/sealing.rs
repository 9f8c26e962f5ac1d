//! Sealing for others in this program what lies beside the database, with keys made from the same master key.
//!
//! Knows nothing of what is sealed. A new master key ends what was sealed with the one before.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use zeroize::Zeroizing;

use super::{
    MasterKeyReference, OpenError,
    crypto::Key,
    folder::{Folder, MasterKeySource},
};

/// Seals and opens texts, each for one place. Its `Debug` shows no key.
pub struct Sealing {
    folder: Folder,
    source: MasterKeySource,
    label: &'static [u8],
    key: RwLock<Key>,
}

/// A text cannot be sealed, or was not sealed by this master key for this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another master key or for another place, or is damaged")]
pub struct SealingError;

impl Sealing {
    /// For this purpose, in this data folder. Makes folder and master key where they are missing, as opening the backend does.
    pub fn open(
        data_dir: &Path,
        master_key: Option<&MasterKeyReference>,
        label: &'static [u8],
    ) -> Result<Self, OpenError> {
        let folder = Folder::prepare(data_dir)?;
        let source = match master_key {
            Some(reference) => MasterKeySource::Reference(reference.clone()),
            None => MasterKeySource::Folder(folder.clone()),
        };
        let key = RwLock::new(source.present()?.derive(label));
        Ok(Self { folder, source, label, key })
    }

    /// Makes a file of this name in the data folder where there is none, closed to everybody else.
    pub fn private_file(&self, name: &str) -> Result<PathBuf, OpenError> {
        self.folder.private_file(name)
    }

    /// Seals a text for one place with the master key of now.
    pub fn seal(&self, text: &[u8], place: &[&str]) -> Result<Vec<u8>, SealingError> {
        // A reference may be a command, and the master key behind one stays when the backend gets new keys.
        if matches!(self.source, MasterKeySource::Folder(_)) {
            self.renew();
        }
        self.key().seal(text, place).map_err(|_| SealingError)
    }

    /// Opens what was sealed for the same place.
    pub fn unseal(&self, sealed: &[u8], place: &[&str]) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        self.key().unseal(sealed, place).or_else(|_| {
            self.renew();
            self.key().unseal(sealed, place).map_err(|_| SealingError)
        })
    }

    /// A keyed digest of these parts. Digests of different purposes never coincide.
    pub fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.key().digest(purpose, parts)
    }

    fn key(&self) -> Key {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another process may have made a new master key.
    fn renew(&self) {
        if let Some(master) = self.source.candidates().into_iter().last() {
            let key = master.derive(self.label);
            if key.id() != self.key().id() {
                *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
            }
        }
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sealing").field("folder", &self.folder).finish_non_exhaustive()
    }
}
