//! The way to the sealed store: opened when it is first needed, worked with on threads that may wait. Beside it, the values
//! behind handles that this process has met, to be found where they come back.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::{ExposeSecret as _, SecretString};

use super::store::{HandleId, Store, StoreError};
use crate::{
    backend::embedded::MasterKeyReference,
    caller::Principal,
    clock::Clock,
    config::{Options, default_data_dir},
    mask::forms,
};

/// Shorter values occur in texts by chance, so they are hidden in their own place alone.
pub(super) const MIN_INSIDE: usize = 8;
/// How many principals' values are looked for at once, and how many values of all of them: each is looked for in many forms,
/// which takes some KiB.
const MOST_PRINCIPALS: usize = 1_000;
const MOST_VALUES: usize = 10_000;

/// A sealed store that may not be open yet.
pub struct Vault {
    data_dir: PathBuf,
    master_key: Option<MasterKeyReference>,
    clock: Clock,
    open: Mutex<Option<Arc<Store>>>,
    known: RwLock<HashMap<Principal, Arc<Known>>>,
    /// Held while what is known of a principal is read.
    reading: Mutex<()>,
    /// Counts the times that something known was asked for.
    turn: AtomicU64,
}

/// The values behind the handles of a principal.
pub(super) struct Known {
    /// Finds the values that are long enough.
    pub(super) search: AhoCorasick,
    /// Their handles, by the number of the pattern: a value has one for each form that it comes back in.
    pub(super) ids: Vec<HandleId>,
    /// All handles, those of short values among them.
    all: HashSet<HandleId>,
    /// When it was asked for last.
    used: AtomicU64,
}

impl Vault {
    /// The store of a data folder.
    pub fn new(data_dir: PathBuf, master_key: Option<MasterKeyReference>, clock: Clock) -> Self {
        Self {
            data_dir,
            master_key,
            clock,
            open: Mutex::default(),
            known: RwLock::default(),
            reading: Mutex::default(),
            turn: AtomicU64::default(),
        }
    }

    /// The store, opened where it is not. Blocks on the disk.
    pub fn store(&self) -> Result<Arc<Store>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*open {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(Store::open(&self.data_dir, self.master_key.as_ref(), self.clock)?);
        *open = Some(Arc::clone(&store));
        Ok(store)
    }

    /// A command of this program on this store, for a person who pastes it into a shell of theirs.
    pub fn command(&self, name: &str) -> String {
        let is_usual = default_data_dir().is_some_and(|usual| usual == self.data_dir);
        // They may stand in another folder.
        let folder = std::path::absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone());
        Options { data_dir: (!is_usual).then_some(folder), ..Options::default() }.command(name)
    }

    /// Whether there is a store already. One that is not there has nothing to tell.
    pub fn is_there(&self) -> bool {
        Store::exists(&self.data_dir)
    }

    /// Works with the store on a thread that may wait for the disk.
    pub async fn work<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let vault = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&*vault.store()?)).await;
        done.unwrap_or_else(|_| Err(StoreError::Damaged.into()))
    }

    /// The values behind a principal's handles, as far as this process has met them.
    pub(super) fn known(&self, principal: &Principal) -> Option<Arc<Known>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(principal).cloned()?;
        known.used.store(self.turn.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(known)
    }

    /// Meets a principal: the handles that they have from before are known from now on. Only the first time costs anything.
    pub(crate) async fn meet(self: &Arc<Self>, principal: &Principal) {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(principal) {
            return;
        }
        if Store::exists(&self.data_dir) {
            self.look_again(principal).await;
        } else {
            let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody may have made one meanwhile, and be known by it.
            if self.known(principal).is_none() {
                self.insert(principal, Known::of(Vec::new()));
            }
        }
    }

    /// Looks for the values of these handles from now on. Those that a list shows again and again are known already.
    pub(super) async fn remember_these(self: &Arc<Self>, principal: &Principal, ids: &[HandleId]) {
        if !self.known(principal).is_some_and(|known| ids.iter().all(|id| known.all.contains(id))) {
            self.look_again(principal).await;
        }
    }

    /// Reads all values that a principal has. Where they cannot be read, those known so far stay, and the next call tries again.
    pub(super) async fn look_again(self: &Arc<Self>, principal: &Principal) {
        let (vault, principal) = (Arc::clone(self), principal.clone());
        let read = self.work(move |store| {
            // Nobody puts what was read before in the place of what was read after.
            let _reading = vault.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let values = store.values(&principal.binding())?;
            vault.insert(&principal, Known::of(values));
            Ok::<_, StoreError>(())
        });
        if let Err(error) = read.await {
            tracing::warn!(%error, "the values of handles cannot be read");
        }
    }

    fn insert(&self, principal: &Principal, known: Option<Known>) {
        let Some(known) = known else { return };
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(principal.clone(), Arc::new(known));
        // Whoever is met again is looked up again.
        while all.len() > 1
            && (all.len() > MOST_PRINCIPALS || all.values().map(|known| known.all.len()).sum::<usize>() > MOST_VALUES)
        {
            let others = all.iter().filter(|(other, _)| *other != principal);
            let oldest = others.min_by_key(|(_, known)| known.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|(other, _)| other.clone()) else { return };
            all.remove(&oldest);
        }
    }
}

impl Known {
    /// Of all values of a principal. None where they are too many to be looked for.
    fn of(values: Vec<(HandleId, SecretString)>) -> Option<Self> {
        let all = values.iter().map(|(id, _)| id.clone()).collect();
        let long = |(_, value): &(HandleId, SecretString)| value.expose_secret().len() >= MIN_INSIDE;
        let in_forms = |(id, value): (HandleId, SecretString)| {
            forms(value.expose_secret()).into_iter().map(move |form| (id.clone(), form))
        };
        let (ids, patterns): (Vec<HandleId>, Vec<_>) = values.into_iter().filter(long).flat_map(in_forms).unzip();
        let patterns = patterns.iter().map(|form| form.as_bytes());
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).ok()?;
        Some(Self { search, ids, all, used: AtomicU64::default() })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vault").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}
