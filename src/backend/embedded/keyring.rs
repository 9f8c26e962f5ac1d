//! The keys in use: the master key seals data keys, which lie in the database and seal everything else (envelope
//! encryption). So a new master key, or new data keys, need no stop: what is sealed says which key it was sealed with,
//! and a key that this process has not met yet is fetched from the database.
//!
//! Knows which key serves what, and nothing of HTTP and of what is sealed.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rusqlite::{Connection, OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{
    crypto::{CryptoError, DIGEST_BYTES, Key, KeyId, MasterKey, Parts, equal, sealed_with},
    folder::MasterKeySource,
    store::StoreError,
};

const WRAPPING: &[u8] = b"keyglass wrapping 2";
const SEALING: &[u8] = b"keyglass sealing 2";
const ROWS: &[u8] = b"keyglass rows 2";
/// Where they lie.
const TABLE: &str = "data_keys";

/// All keys of an open database.
pub(super) struct Keyring {
    source: MasterKeySource,
    wrapping: RwLock<Key>,
    data_keys: RwLock<HashMap<KeyId, Arc<DataKey>>>,
    digests: RwLock<Digests>,
}

/// The key for digests of API keys. Its database keeps it for ever, but another database may be put in the place of that
/// one.
#[derive(Clone)]
pub(super) struct Digests(Arc<Key>);

impl Digests {
    /// The digest under which an API key is kept. Keys are random, so a keyed hash is enough: there is no dictionary to
    /// try, and without the master key a stolen database cannot even be used to check a guess.
    pub(super) fn of_key(&self, key: &str) -> [u8; DIGEST_BYTES] {
        self.0.digest("api key", &[key.as_bytes()])
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digests([redacted])")
    }
}

/// What seals and marks rows. There are several only while everything is sealed anew.
struct DataKey {
    sealing: Key,
    rows: Key,
}

impl DataKey {
    fn new(key: &Key) -> Self {
        Self { sealing: key.derive(SEALING), rows: key.derive(ROWS) }
    }
}

/// What a key in the database is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Sealing values and marking rows. Replaced by `rekey`.
    Data,
    /// Digests of API keys. Never replaced: digests cannot be made anew without the keys themselves, and of keys with
    /// 256 random bits a digest tells nothing, whoever has its key.
    Digests,
}

impl Purpose {
    fn column(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Digests => "digests",
        }
    }
}

impl Keyring {
    /// The keys of this database; made where there are none, but for a key for digests that is given. Called inside the
    /// writing transaction of the start.
    ///
    /// Errors: [`CryptoError::Unseal`] where the master key is not the one that sealed them; [`StoreError::Damaged`] where
    /// they are missing, but not what needs them.
    pub(super) fn open(
        connection: &Connection,
        source: MasterKeySource,
        master: &MasterKey,
        digesting: Option<Key>,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let wrapping = master.derive(WRAPPING);
        // Other keys in the place of lost ones would make everything that is there useless in silence.
        let may_make = digesting.is_some() || !has_rows(connection)?;
        let digests = match (stored_of(connection, Purpose::Digests)?, digesting) {
            (Some((id, wrapped)), _) => unwrap(&wrapping, id, &wrapped, Purpose::Digests)?,
            (None, Some(key)) => store(connection, &wrapping, key, Purpose::Digests, now_ms)?,
            (None, None) if may_make => store(connection, &wrapping, Key::generate()?, Purpose::Digests, now_ms)?,
            (None, None) => return Err(StoreError::Damaged(TABLE)),
        };
        if current(connection)?.is_none() {
            if !may_make {
                return Err(StoreError::Damaged(TABLE));
            }
            store(connection, &wrapping, Key::generate()?, Purpose::Data, now_ms)?;
        }
        let ring = Self {
            source,
            wrapping: RwLock::new(wrapping),
            data_keys: RwLock::default(),
            digests: RwLock::new(Digests(Arc::new(digests))),
        };
        // The proof that the master key opens what is in use, before anything relies on it.
        ring.current(connection)?;
        Ok(ring)
    }

    /// What this database's digests of API keys are made with. Another database may have been restored in its place, and
    /// that one may have another key.
    pub(super) fn digests(&self, connection: &Connection) -> Result<Digests, StoreError> {
        let (id, wrapped) = stored_of(connection, Purpose::Digests)?.ok_or(StoreError::Damaged(TABLE))?;
        let known = self.digests.read().unwrap_or_else(PoisonError::into_inner).clone();
        if known.0.id() == id {
            return Ok(known);
        }
        let found = Digests(Arc::new(self.open_stored(connection, id, &wrapped, Purpose::Digests)?.0));
        *self.digests.write().unwrap_or_else(PoisonError::into_inner) = found.clone();
        Ok(found)
    }

    /// A keyed digest of these parts, for use in this process alone.
    pub(super) fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let key = Arc::clone(&self.digests.read().unwrap_or_else(PoisonError::into_inner).0);
        key.digest(purpose, parts)
    }

    /// Seals a text for one place with the current data key.
    pub(super) fn seal(&self, connection: &Connection, text: &[u8], place: &[&str]) -> Result<Vec<u8>, StoreError> {
        Ok(self.current(connection)?.sealing.seal(text, place)?)
    }

    /// Opens what [`seal`](Self::seal) made for the same place, whichever data key it was.
    pub(super) fn unseal(
        &self,
        connection: &Connection,
        sealed: &[u8],
        place: &[&str],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let id = sealed_with(sealed).ok_or(CryptoError::Unseal)?;
        Ok(self.data_key(connection, id)?.sealing.unseal(sealed, place)?)
    }

    /// The mark of a row: the id of the current data key and a keyed digest of what the row holds. Whoever edits the
    /// database by hand, or swaps what two rows hold, cannot make it.
    pub(super) fn mark(&self, connection: &Connection, row: &Row) -> Result<Vec<u8>, StoreError> {
        let key = self.current(connection)?;
        Ok([key.rows.id().as_slice(), row.digest(&key.rows).as_slice()].concat())
    }

    /// Checks a row's mark. Errors: [`StoreError::Damaged`]; [`StoreError::Closed`], which says nothing of the row.
    pub(super) fn check(&self, connection: &Connection, row: &Row, mark: &[u8]) -> Result<(), StoreError> {
        let damaged = || StoreError::Damaged(row.table);
        let (id, digest) = mark.split_first_chunk::<4>().ok_or_else(damaged)?;
        let key = self.data_key(connection, *id).map_err(|error| match error {
            StoreError::Crypto(CryptoError::Unseal) => damaged(),
            other => other,
        })?;
        if equal(&row.digest(&key.rows), digest) { Ok(()) } else { Err(damaged()) }
    }

    /// The id of the current data key.
    pub(super) fn current_id(&self, connection: &Connection) -> Result<KeyId, StoreError> {
        Ok(current(connection)?.ok_or(CryptoError::Unseal)?)
    }

    /// The current data key. Another process may have made a new one: the database says which it is.
    fn current(&self, connection: &Connection) -> Result<Arc<DataKey>, StoreError> {
        self.data_key(connection, self.current_id(connection)?)
    }

    fn data_key(&self, connection: &Connection, id: KeyId) -> Result<Arc<DataKey>, StoreError> {
        let known = self.data_keys.read().unwrap_or_else(PoisonError::into_inner).get(&id).map(Arc::clone);
        if let Some(key) = known {
            return Ok(key);
        }
        let find = "SELECT wrapped FROM data_keys WHERE id = ?1 AND purpose = 'data'";
        let wrapped: Option<Vec<u8>> = connection.query_row(find, [id], |row| row.get(0)).optional()?;
        let wrapped = wrapped.ok_or(CryptoError::Unseal)?;
        let (key, _) = self.open_stored(connection, id, &wrapped, Purpose::Data)?;
        let key = Arc::new(DataKey::new(&key));
        self.data_keys.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&key));
        Ok(key)
    }

    /// The same as [`open_wrapped`](Self::open_wrapped). All keys of a database are sealed with one master key, so where it
    /// opens none of them it is another one, and otherwise this one is damaged.
    ///
    /// Errors: [`StoreError::Closed`], [`CryptoError::Unseal`].
    fn open_stored(
        &self,
        connection: &Connection,
        id: KeyId,
        wrapped: &[u8],
        purpose: Purpose,
    ) -> Result<(Key, Key), StoreError> {
        if let Ok(opened) = self.open_wrapped(id, wrapped, purpose) {
            return Ok(opened);
        }
        let wrapping = self.wrapping.read().unwrap_or_else(PoisonError::into_inner).clone();
        for purpose in [Purpose::Data, Purpose::Digests] {
            if all_of(connection, purpose)?.iter().any(|(id, wrapped)| unwrap(&wrapping, *id, wrapped, purpose).is_ok())
            {
                return Err(CryptoError::Unseal.into());
            }
        }
        Err(StoreError::Closed)
    }

    /// Opens a key of the database; gives it with the one that it was sealed with. Where the master key known here does not
    /// open it, another process has changed that meanwhile.
    fn open_wrapped(&self, id: KeyId, wrapped: &[u8], purpose: Purpose) -> Result<(Key, Key), CryptoError> {
        let wrapping = self.wrapping.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Ok(key) = unwrap(&wrapping, id, wrapped, purpose) {
            return Ok((key, wrapping));
        }
        for master in self.source.candidates() {
            let wrapping = master.derive(WRAPPING);
            if let Ok(key) = unwrap(&wrapping, id, wrapped, purpose) {
                *self.wrapping.write().unwrap_or_else(PoisonError::into_inner) = wrapping.clone();
                return Ok((key, wrapping));
            }
        }
        Err(CryptoError::Unseal)
    }

    /// What the database's keys are sealed with now, whatever this process has seen so far. The caller holds the write lock.
    fn wrapping_now(&self, connection: &Connection) -> Result<Key, StoreError> {
        let (id, wrapped) = stored_of(connection, Purpose::Data)?.ok_or(StoreError::Damaged(TABLE))?;
        Ok(self.open_stored(connection, id, &wrapped, Purpose::Data)?.1)
    }

    /// Forgets data keys that the database no longer has: what was sealed with them is accepted no more, wherever it comes
    /// from.
    pub(super) fn forget_retired(&self, connection: &Connection) -> Result<(), StoreError> {
        let find = "SELECT id FROM data_keys WHERE purpose = 'data'";
        let mut statement = connection.prepare_cached(find)?;
        let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<KeyId>, _>>()?;
        let known = self.data_keys.read().unwrap_or_else(PoisonError::into_inner);
        if known.keys().all(|id| ids.contains(id)) {
            return Ok(());
        }
        drop(known);
        self.data_keys.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| ids.contains(id));
        Ok(())
    }

    /// Begins to use a new data key. What is sealed already stays as it is until it is sealed anew. The caller holds the
    /// write lock.
    pub(super) fn renew(&self, connection: &Connection, now_ms: i64) -> Result<(), StoreError> {
        let wrapping = self.wrapping_now(connection)?;
        store(connection, &wrapping, Key::generate()?, Purpose::Data, now_ms).map(drop)
    }

    /// Removes all data keys but the current one. The caller has made sure, in the same transaction, that nothing is
    /// sealed with them any more.
    pub(super) fn retire(&self, connection: &Connection) -> Result<usize, StoreError> {
        let id = self.current_id(connection)?;
        let retired = connection.execute("DELETE FROM data_keys WHERE purpose = 'data' AND id <> ?1", [id])?;
        self.forget_retired(connection)?;
        Ok(retired)
    }

    /// What is wrong with the keys in the database, a line each.
    pub(super) fn problems(&self, connection: &Connection) -> Result<Vec<String>, StoreError> {
        let mut problems = Vec::new();
        for purpose in [Purpose::Data, Purpose::Digests] {
            for (id, wrapped) in all_of(connection, purpose)? {
                if self.open_wrapped(id, &wrapped, purpose).is_err() {
                    let error = StoreError::Damaged(TABLE);
                    problems.push(format!("the {} key `{}`: {error}", purpose.column(), shown(id)));
                }
            }
        }
        Ok(problems)
    }

    /// Seals all keys in the database with another master key. The caller holds the write lock.
    pub(super) fn change_master_key(&self, connection: &Connection, master: &MasterKey) -> Result<(), StoreError> {
        let (new, old) = (master.derive(WRAPPING), self.wrapping_now(connection)?);
        for purpose in [Purpose::Data, Purpose::Digests] {
            for (id, wrapped) in all_of(connection, purpose)? {
                let key = unwrap(&old, id, &wrapped, purpose).map_err(|_| StoreError::Damaged(TABLE))?;
                let wrapped = new.seal(key.bytes(), &["data key", purpose.column(), &shown(id)])?;
                connection.execute("UPDATE data_keys SET wrapped = ?2 WHERE id = ?1", params![id, wrapped])?;
            }
        }
        *self.wrapping.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

/// Whether this master key opens the keys of a database of the present schema. Changes nothing.
pub(super) fn opens(connection: &Connection, master: &MasterKey) -> Result<bool, StoreError> {
    let Some((id, wrapped)) = stored_of(connection, Purpose::Data)? else { return Ok(false) };
    Ok(unwrap(&master.derive(WRAPPING), id, &wrapped, Purpose::Data).is_ok())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring([redacted])")
    }
}

/// What a row holds, as bytes that are the same only for the same row.
#[derive(Debug)]
pub(super) struct Row {
    table: &'static str,
    columns: Parts,
}

impl Row {
    /// A row of this table.
    pub(super) fn of(table: &'static str) -> Self {
        Self { table, columns: Parts::new() }
    }

    /// Adds a text.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.columns.add(&[b"t", text.as_bytes()]);
        self
    }

    /// Adds bytes.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.columns.add(&[b"b", bytes]);
        self
    }

    /// Adds a number.
    pub(super) fn integer(mut self, number: i64) -> Self {
        self.columns.add(&[b"i", &number.to_be_bytes()]);
        self
    }

    /// Adds a text or nothing.
    pub(super) fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.nothing(),
        }
    }

    /// Adds a number or nothing.
    pub(super) fn optional_integer(self, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.integer(number),
            None => self.nothing(),
        }
    }

    fn nothing(mut self) -> Self {
        self.columns.add(&[]);
        self
    }

    fn digest(&self, key: &Key) -> [u8; DIGEST_BYTES] {
        key.digest_of(self.table, &self.columns)
    }
}

/// Whether there is anything that needs the keys.
fn has_rows(connection: &Connection) -> Result<bool, StoreError> {
    let find = "SELECT EXISTS (SELECT 1 FROM keys) OR EXISTS (SELECT 1 FROM secrets)";
    Ok(connection.query_row(find, [], |row| row.get(0))?)
}

fn stored_of(connection: &Connection, purpose: Purpose) -> Result<Option<(KeyId, Vec<u8>)>, StoreError> {
    let find = "SELECT id, wrapped FROM data_keys WHERE purpose = ?1 ORDER BY number DESC LIMIT 1";
    Ok(connection
        .prepare_cached(find)?
        .query_row([purpose.column()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

fn all_of(connection: &Connection, purpose: Purpose) -> Result<Vec<(KeyId, Vec<u8>)>, StoreError> {
    let mut statement = connection.prepare("SELECT id, wrapped FROM data_keys WHERE purpose = ?1")?;
    let rows = statement.query_map([purpose.column()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

fn current(connection: &Connection) -> Result<Option<KeyId>, StoreError> {
    let find = "SELECT id FROM data_keys WHERE purpose = 'data' ORDER BY number DESC LIMIT 1";
    Ok(connection.prepare_cached(find)?.query_row([], |row| row.get(0)).optional()?)
}

fn store(connection: &Connection, wrapping: &Key, key: Key, purpose: Purpose, now_ms: i64) -> Result<Key, StoreError> {
    let wrapped = wrapping.seal(key.bytes(), &["data key", purpose.column(), &shown(key.id())])?;
    connection.execute(
        "INSERT INTO data_keys (id, purpose, wrapped, create_time_ms) VALUES (?1, ?2, ?3, ?4)",
        params![key.id(), purpose.column(), wrapped, now_ms],
    )?;
    Ok(key)
}

fn unwrap(wrapping: &Key, id: KeyId, wrapped: &[u8], purpose: Purpose) -> Result<Key, CryptoError> {
    let opened = wrapping.unseal(wrapped, &["data key", purpose.column(), &shown(id)])?;
    let bytes = opened.first_chunk::<32>().filter(|bytes| bytes.len() == opened.len()).ok_or(CryptoError::Unseal)?;
    Ok(Key::new(id, Zeroizing::new(*bytes)))
}

fn shown(id: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}
