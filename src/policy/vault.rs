//! The way to the sealed store: opened when it is first needed, worked with on threads that may wait. Beside it, the values
//! behind handles that this process has met, to be found where they come back.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::{ExposeSecret as _, SecretString};

use super::store::{HandleId, Store, StoreError};
use crate::{backend::embedded::MasterKeyReference, caller::Principal, clock::Clock, mask::forms};

/// Shorter values occur in texts by chance, so they are hidden in their own place alone.
pub(super) const MIN_INSIDE: usize = 8;
/// How many principals' values are looked for at once.
const MOST_PRINCIPALS: usize = 1_000;

/// A sealed store that may not be open yet.
pub struct Vault {
    data_dir: PathBuf,
    master_key: Option<MasterKeyReference>,
    clock: Clock,
    open: Mutex<Option<Arc<Store>>>,
    known: RwLock<HashMap<Principal, Arc<Known>>>,
}

/// The values behind the handles of a principal.
pub(super) struct Known {
    /// Finds the values that are long enough.
    pub(super) search: AhoCorasick,
    /// Their handles, by the number of the pattern: a value has one for each form that it comes back in.
    pub(super) ids: Vec<HandleId>,
    /// All handles, those of short values among them.
    all: HashSet<HandleId>,
}

impl Vault {
    /// The store of a data folder.
    pub fn new(data_dir: PathBuf, master_key: Option<MasterKeyReference>, clock: Clock) -> Self {
        Self { data_dir, master_key, clock, open: Mutex::default(), known: RwLock::default() }
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
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(principal).cloned()
    }

    /// Meets a principal: the handles that they have from before are known from now on. Only the first time costs anything.
    pub(crate) async fn meet(self: &Arc<Self>, principal: &Principal) {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(principal) {
            return;
        }
        let values = if Store::exists(&self.data_dir) {
            let owner = principal.binding();
            self.work(move |store| store.values(&owner)).await.unwrap_or_else(|error: StoreError| {
                tracing::warn!(%error, "the handles of before cannot be read");
                Vec::new()
            })
        } else {
            Vec::new()
        };
        self.remember(principal, values);
    }

    /// Looks for the values of these handles from now on. Those that a list shows again and again are known already.
    pub(super) async fn remember_these(self: &Arc<Self>, principal: &Principal, ids: &[HandleId]) {
        if self.known(principal).is_some_and(|known| ids.iter().all(|id| known.all.contains(id))) {
            return;
        }
        let owner = principal.binding();
        match self.work(move |store| store.values(&owner)).await {
            Ok(values) => self.remember(principal, values),
            Err(error) => {
                let error: StoreError = error;
                tracing::warn!(%error, "the values of handles cannot be read");
            }
        }
    }

    /// Looks for these values, all that the principal has, from now on.
    pub(super) fn remember(&self, principal: &Principal, values: Vec<(HandleId, SecretString)>) {
        let all = values.iter().map(|(id, _)| id.clone()).collect();
        let long = |(_, value): &(HandleId, SecretString)| value.expose_secret().len() >= MIN_INSIDE;
        let in_forms = |(id, value): (HandleId, SecretString)| {
            forms(value.expose_secret()).into_iter().map(move |form| (id.clone(), form))
        };
        let (ids, patterns): (Vec<HandleId>, Vec<_>) = values.into_iter().filter(long).flat_map(in_forms).unzip();
        let patterns = patterns.iter().map(|form| form.as_bytes());
        let Ok(search) = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns) else {
            return;
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_PRINCIPALS && !known.contains_key(principal) {
            known.clear(); // whoever is met again is looked up again
        }
        known.insert(principal.clone(), Arc::new(Known { search, ids, all }));
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vault").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}
