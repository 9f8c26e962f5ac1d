//! API keys that a connection has read already: who calls is asked with every request, and mostly it is the same key.
//!
//! Knows nothing of what keys may do. What is kept holds until anybody writes to the database, this process or another:
//! SQLite tells that by a number. With it goes the key for digests, which a restored database may have changed.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    crypto::DIGEST_BYTES,
    keyring::{Digests, Keyring},
    keys::{self, StoredKey},
    store::StoreError,
};

/// How many keys are kept before all are forgotten.
const MOST: usize = 1_024;

/// The keys that were read over one connection.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    version: Option<i64>,
    digests: Option<Digests>,
    by_digest: HashMap<[u8; DIGEST_BYTES], Arc<StoredKey>>,
}

impl KnownKeys {
    /// The row of an API key. Always call it with the connection of these keys.
    pub(super) fn find(
        &mut self,
        connection: &Connection,
        keyring: &Keyring,
        key: &SecretString,
    ) -> Result<Option<Arc<StoredKey>>, StoreError> {
        let found = self.find_once(connection, keyring, key)?;
        // A whole database may have been put in the place of this one meanwhile, whose digests are others.
        if found.is_none() && self.version != Some(version(connection)?) {
            return self.find_once(connection, keyring, key);
        }
        Ok(found)
    }

    fn find_once(
        &mut self,
        connection: &Connection,
        keyring: &Keyring,
        key: &SecretString,
    ) -> Result<Option<Arc<StoredKey>>, StoreError> {
        let version = version(connection)?;
        if self.version != Some(version) || self.by_digest.len() >= MOST {
            self.by_digest.clear();
            self.digests = None;
            keyring.forget_retired(connection)?;
            self.version = Some(version);
        }
        let digest = match &self.digests {
            Some(digests) => digests.of_key(key.expose_secret()),
            None => self.digests.insert(keyring.digests(connection)?).of_key(key.expose_secret()),
        };
        // The table is searched in a time that depends on the digest, as the database's index is: see `keys::by_digest`.
        if let Some(known) = self.by_digest.get(&digest) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(found) = keys::by_digest(connection, keyring, &digest)? else { return Ok(None) };
        let found = Arc::new(found);
        self.by_digest.insert(digest, Arc::clone(&found));
        Ok(Some(found))
    }
}

/// A number that is another one after somebody wrote.
fn version(connection: &Connection) -> Result<i64, StoreError> {
    // It tells commits of all connections but the asking one (sqlite.org, pragma.html#pragma_data_version), and the
    // connection of known keys never writes.
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}
