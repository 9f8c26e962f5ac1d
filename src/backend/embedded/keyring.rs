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

/// All keys of an open database.
pub(super) struct Keyring {
    source: MasterKeySource,
    wrapping: RwLock<Key>,
    data_keys: RwLock<HashMap<KeyId, Arc<DataKey>>>,
    digesting: Key,
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
    /// Error: [`CryptoError::Unseal`] where the master key is not the one that sealed them.
    pub(super) fn open(
        connection: &Connection,
        source: MasterKeySource,
        master: &MasterKey,
        digesting: Option<Key>,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let wrapping = master.derive(WRAPPING);
        let stored = stored_of(connection, Purpose::Digests)?;
        let digesting = match (stored, digesting) {
            (Some((id, wrapped)), _) => unwrap(&wrapping, id, &wrapped, Purpose::Digests)?,
            (None, Some(key)) => store(connection, &wrapping, key, Purpose::Digests, now_ms)?,
            (None, None) => store(connection, &wrapping, Key::generate()?, Purpose::Digests, now_ms)?,
        };
        if current(connection)?.is_none() {
            store(connection, &wrapping, Key::generate()?, Purpose::Data, now_ms)?;
        }
        let ring = Self { source, wrapping: RwLock::new(wrapping), data_keys: RwLock::default(), digesting };
        // The proof that the master key opens what is in use, before anything relies on it.
        ring.current(connection)?;
        Ok(ring)
    }

    /// The digest under which an API key is kept. Keys are random, so a keyed hash is enough: there is no dictionary to
    /// try, and without the master key a stolen database cannot even be used to check a guess.
    pub(super) fn key_digest(&self, key: &str) -> [u8; DIGEST_BYTES] {
        self.digest("api key", &[key.as_bytes()])
    }

    /// A keyed digest of these parts.
    pub(super) fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        self.digesting.digest(purpose, parts)
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

    /// Checks a row's mark. Error: [`StoreError::Damaged`].
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
        let wrapping = self.wrapping.read().unwrap_or_else(PoisonError::into_inner).clone();
        let key = match unwrap(&wrapping, id, &wrapped, Purpose::Data) {
            Ok(key) => key,
            Err(_) => self.with_new_master_key(id, &wrapped)?,
        };
        let key = Arc::new(DataKey::new(&key));
        self.data_keys.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&key));
        Ok(key)
    }

    /// Opens a data key that the master key known here does not open: another process has changed it meanwhile.
    fn with_new_master_key(&self, id: KeyId, wrapped: &[u8]) -> Result<Key, CryptoError> {
        for master in self.source.candidates() {
            let wrapping = master.derive(WRAPPING);
            if let Ok(key) = unwrap(&wrapping, id, wrapped, Purpose::Data) {
                *self.wrapping.write().unwrap_or_else(PoisonError::into_inner) = wrapping;
                return Ok(key);
            }
        }
        Err(CryptoError::Unseal)
    }

    /// Begins to use a new data key. What is sealed already stays as it is until it is sealed anew.
    pub(super) fn renew(&self, connection: &Connection, now_ms: i64) -> Result<(), StoreError> {
        let wrapping = self.wrapping.read().unwrap_or_else(PoisonError::into_inner).clone();
        store(connection, &wrapping, Key::generate()?, Purpose::Data, now_ms).map(drop)
    }

    /// Removes all data keys but the current one. The caller has made sure, in the same transaction, that nothing is
    /// sealed with them any more.
    pub(super) fn retire(&self, connection: &Connection) -> Result<usize, StoreError> {
        let id = self.current_id(connection)?;
        let retired = connection.execute("DELETE FROM data_keys WHERE purpose = 'data' AND id <> ?1", [id])?;
        self.data_keys.write().unwrap_or_else(PoisonError::into_inner).retain(|known, _| *known == id);
        Ok(retired)
    }

    /// Seals all keys in the database with another master key.
    pub(super) fn change_master_key(&self, connection: &Connection, master: &MasterKey) -> Result<(), StoreError> {
        let new = master.derive(WRAPPING);
        let mut old = self.wrapping.write().unwrap_or_else(PoisonError::into_inner);
        for purpose in [Purpose::Data, Purpose::Digests] {
            let find = "SELECT id, wrapped FROM data_keys WHERE purpose = ?1";
            let rows = connection
                .prepare(find)?
                .query_map([purpose.column()], |row| Ok((row.get::<_, KeyId>(0)?, row.get::<_, Vec<u8>>(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            for (id, wrapped) in rows {
                let key = unwrap(&old, id, &wrapped, purpose)?;
                let wrapped = new.seal(key.bytes(), &["data key", purpose.column(), &shown(id)])?;
                connection.execute("UPDATE data_keys SET wrapped = ?2 WHERE id = ?1", params![id, wrapped])?;
            }
        }
        *old = new;
        Ok(())
    }
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

fn stored_of(connection: &Connection, purpose: Purpose) -> Result<Option<(KeyId, Vec<u8>)>, StoreError> {
    let find = "SELECT id, wrapped FROM data_keys WHERE purpose = ?1 ORDER BY number DESC LIMIT 1";
    Ok(connection
        .prepare_cached(find)?
        .query_row([purpose.column()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
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
