//! Sealing for others in this program what lies beside the database, with keys made from the same master key.
//!
//! Knows nothing of what is sealed. A new master key ends what was sealed with the one before.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
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
    /// When the key was last read anew and was of no help.
    in_vain: Mutex<Option<Instant>>,
}

/// How long a key that was read anew in vain counts as the present one. Reading it may mean a command of the operator, and
/// what was sealed with a key that is gone may be looked at thousands of times.
const FRESH: Duration = Duration::from_secs(3);

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
        Ok(Self { folder, source, label, key, in_vain: Mutex::new(None) })
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
        let key = self.key();
        key.unseal(sealed, place).or_else(|_| {
            // One at a time: what another has just read need not be read again.
            let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
            let is_costly = matches!(self.source, MasterKeySource::Reference(_));
            let is_fresh = is_costly && in_vain.is_some_and(|at| at.elapsed() < FRESH);
            if !is_fresh {
                self.renew();
            } else if self.key().id() == key.id() {
                return Err(SealingError);
            }
            let opened = self.key().unseal(sealed, place).map_err(|_| SealingError);
            *in_vain =
                if opened.is_ok() { None } else { in_vain.filter(|_| is_fresh).or_else(|| Some(Instant::now())) };
            opened
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use secrecy::SecretString;

    use super::*;

    #[test]
    fn what_cannot_be_opened_does_not_read_the_key_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let (reads, digit) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
        let reference = |reads: Arc<AtomicUsize>, digit: Arc<AtomicUsize>| {
            MasterKeyReference::new("cmd:key", move || {
                reads.fetch_add(1, Ordering::SeqCst);
                Ok(SecretString::from(digit.load(Ordering::SeqCst).to_string().repeat(64)))
            })
        };
        let own = reference(Arc::clone(&reads), Arc::clone(&digit));
        let sealing = Sealing::open(folder.path(), Some(&own), b"test").expect("open");
        let other = |digit: usize| {
            let reference = reference(Arc::default(), Arc::new(AtomicUsize::new(digit)));
            Sealing::open(folder.path(), Some(&reference), b"test").expect("open")
        };
        // The key that the operator changes to is seen at the first look, also behind one that is gone.
        let of_next = other(2).seal(b"text", &["a"]).expect("sealed");
        digit.store(2, Ordering::SeqCst);
        let gone = other(3).seal(b"text", &["a"]).expect("sealed");
        for _ in 0..500 {
            assert_eq!(sealing.unseal(&gone, &["a"]), Err(SealingError));
        }
        assert!(reads.load(Ordering::SeqCst) < 100, "{reads:?}");
        assert_eq!(*sealing.unseal(&of_next, &["a"]).expect("opened"), b"text");
    }
}
