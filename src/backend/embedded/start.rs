//! What happens once, before the first request: the schema, the proof of the master key, the account, the root key.
//!
//! All of it in one transaction under the database's write lock, so that processes starting at once on one folder end
//! with the same account and the same root key.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    accounts,
    api_keys::{self, Kind, NewKey},
    crypto::{self, Crypto},
    error::OpenError,
    folder::Folder,
    store::{self, StoreError},
};

/// What the root key is called in the database.
const ROOT_KEY_NAME: &str = "root";
/// A known text, sealed with the database: whoever can open it has the right master key.
const PROOF: &[u8] = b"keyglass";
const PROOF_PLACE: &[&str] = &["proof"];

/// What a start works with.
#[derive(Debug)]
pub(super) struct Start<'a> {
    /// The data folder.
    pub(super) folder: &'a Folder,
    /// The database in it.
    pub(super) database: &'a Path,
    /// The keys derived from the master key.
    pub(super) crypto: &'a Crypto,
    /// The time of the start, in Unix milliseconds.
    pub(super) now_ms: i64,
    /// How long to wait for other programs.
    pub(super) patience: Duration,
}

impl Start<'_> {
    /// Brings database and folder together; gives the root key.
    pub(super) fn run(&self, connection: &mut Connection) -> Result<SecretString, OpenError> {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.failed(error.into()))?;
        store::migrate(&transaction, self.database, self.patience)?;
        self.prove_master_key(&transaction)?;
        let account_id = accounts::ensure(&transaction, self.now_ms).map_err(|error| self.failed(error))?;
        let root_key = self.root_key(&transaction, account_id)?;
        transaction.commit().map_err(|error| self.failed(error.into()))?;
        Ok(root_key)
    }

    fn prove_master_key(&self, transaction: &Transaction<'_>) -> Result<(), OpenError> {
        let find = "SELECT value FROM meta WHERE key = 'proof'";
        let proof: Option<Vec<u8>> =
            transaction.query_row(find, [], |row| row.get(0)).optional().map_err(|error| self.failed(error.into()))?;
        if let Some(proof) = proof {
            let opened = self.crypto.unseal(&proof, PROOF_PLACE);
            return match opened {
                Ok(text) if text.as_slice() == PROOF => Ok(()),
                _ => Err(OpenError::MasterKeyMismatch {
                    path: self.folder.master_key_path(),
                    database: self.database.to_owned(),
                }),
            };
        }
        let proof = self.crypto.seal(PROOF, PROOF_PLACE).map_err(|error| self.failed(error.into()))?;
        transaction
            .execute("INSERT INTO meta (key, value) VALUES ('proof', ?1)", [proof])
            .map(drop)
            .map_err(|error| self.failed(error.into()))
    }

    /// The root key: the one in the file, or a new one where the file is missing.
    fn root_key(&self, transaction: &Transaction<'_>, account_id: String) -> Result<SecretString, OpenError> {
        let path = self.folder.root_key_path();
        let in_file = self.folder.read_root_key()?;
        let in_database = api_keys::root_digest(transaction, &account_id).map_err(|error| self.failed(error.into()))?;
        let key = match (in_file, in_database) {
            (Some(key), _) if !crypto::is_key(Kind::Root.prefix(), &key) => {
                return Err(OpenError::KeyFileInvalid {
                    path,
                    expected: "an API key that starts with `ak_`",
                    remedy: "restore it from a backup, or delete it to have a new root key made",
                });
            }
            (Some(key), Some(digest)) => {
                if crypto::equal(&self.crypto.key_digest(key.expose_secret()), &digest) {
                    return Ok(key);
                }
                return Err(OpenError::RootKeyMismatch { path, database: self.database.to_owned() });
            }
            // Either a start was cut off after the file was written, or the database was moved away to start empty; in
            // both cases the file is the operator's, and clients are set up with the key in it.
            (Some(key), None) => {
                tracing::info!(file = %path.display(), "root key taken from its file");
                key
            }
            (None, in_database) => {
                if in_database.is_some() {
                    api_keys::delete_root(transaction, &account_id).map_err(|error| self.failed(error.into()))?;
                    tracing::warn!(file = %path.display(), "root key file is missing: made a new key, the old one is void");
                }
                let key = crypto::new_key(Kind::Root.prefix()).map_err(|error| self.failed(error.into()))?;
                // Before the commit: others wait for the lock until then, and find the file when they get it. A start
                // that is cut off in between leaves a file without a row, which is the case above.
                self.folder.write_root_key(&key)?;
                tracing::info!(file = %path.display(), "root key written");
                key
            }
        };
        let row = NewKey { account_id, kind: Kind::Root, name: Some(ROOT_KEY_NAME.to_owned()), expires_at_ms: None };
        api_keys::insert(transaction, &self.crypto.key_digest(key.expose_secret()), &row, self.now_ms)
            .map_err(|error| self.failed(error))?;
        Ok(key)
    }

    fn failed(&self, error: StoreError) -> OpenError {
        match error {
            StoreError::Sqlite(error) => store::database_error(self.database, self.patience, error),
            other => OpenError::System(other.to_string()),
        }
    }
}
