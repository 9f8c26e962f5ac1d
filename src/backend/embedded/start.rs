//! What happens once, before the first request: the schema, the proof of the master key, the account, the root key.
//!
//! All of it in one transaction under the database's write lock, so that processes starting at once on one folder end
//! with the same account and the same root key.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    accounts,
    crypto::{self, CryptoError, MasterKey},
    error::OpenError,
    folder::{Folder, MasterKeySource},
    keyring::{self, Keyring},
    keys::{self, Kind, NewKey, Provider},
    schema::{self, insist},
    store::StoreError,
    upgrade,
};

/// What the root key is called in the database.
const ROOT_KEY_NAME: &str = "root";

/// What a start works with.
#[derive(Debug)]
pub(super) struct Start<'a> {
    /// The data folder.
    pub(super) folder: &'a Folder,
    /// The database in it.
    pub(super) database: &'a Path,
    /// Where the master key comes from.
    pub(super) source: &'a MasterKeySource,
    /// What came from there, where it was read already.
    pub(super) master: Option<&'a MasterKey>,
    /// The time of the start, in Unix milliseconds.
    pub(super) now_ms: i64,
    /// How long to wait for other programs.
    pub(super) patience: Duration,
}

impl Start<'_> {
    /// Brings database and folder together; gives the keys and the root key.
    pub(super) fn run(&self, connection: &Connection) -> Result<(Keyring, SecretString), OpenError> {
        let begin = || Transaction::new_unchecked(connection, TransactionBehavior::Immediate);
        let transaction = insist(self.patience, begin).map_err(|error| self.failed(error.into()))?;
        schema::migrate(&transaction, self.database, self.patience)?;
        let keyring = self.keyring(&transaction)?;
        let account_id = accounts::ensure(&transaction, self.now_ms).map_err(|error| self.failed(error))?;
        let root_key = self.root_key(&transaction, &keyring, account_id)?;
        self.folder.remove_drafts();
        transaction.commit().map_err(|error| self.failed(error.into()))?;
        Ok((keyring, root_key))
    }

    /// The keys that the master key opens: the present one, or the next one where a change of it was cut off before its
    /// last step; then that step is made up for. The caller holds the write lock, so no other process is between two
    /// steps of a change that is not in the database yet.
    pub(super) fn keyring(&self, connection: &Connection) -> Result<Keyring, OpenError> {
        let read;
        let present = match (self.master, self.source) {
            // What lies elsewhere may cost a person's consent each time; another process cannot change it.
            (Some(master), MasterKeySource::Reference(_)) => master,
            _ => {
                read = self.source.present()?;
                &read
            }
        };
        if let Some(keyring) = self.keyring_of(connection, present)? {
            self.folder.forget_next_master_key()?;
            return Ok(keyring);
        }
        let next = self.source.next()?.ok_or_else(|| self.mismatch())?;
        let keyring = self.keyring_of(connection, &next)?.ok_or_else(|| self.mismatch())?;
        self.folder.promote_master_key()?;
        tracing::info!(file = %self.source.name(), "the change of the master key was finished");
        Ok(keyring)
    }

    /// The master key that opens the database now, or the present one where none does, as while a damaged database is
    /// replaced. The caller holds the write lock by another connection: nothing is written to the database. One that lies
    /// outside the folder is as it was `read` before: nobody is to wait for a command.
    pub(super) fn master_key_now(&self, connection: &Connection, read: MasterKey) -> Result<MasterKey, OpenError> {
        if let MasterKeySource::Reference(_) = self.source {
            return Ok(read);
        }
        let present = self.source.existing()?;
        // What cannot be read is not opened either.
        let opens = |master: &MasterKey| keyring::opens(connection, master).unwrap_or(false);
        match self.source.next()? {
            Some(next) if !opens(&present) && opens(&next) => {
                self.folder.promote_master_key()?;
                Ok(next)
            }
            _ => Ok(present),
        }
    }

    /// The keys of a database that this master key opens; nothing where it is another one.
    pub(super) fn keyring_of(&self, connection: &Connection, master: &MasterKey) -> Result<Option<Keyring>, OpenError> {
        let open = || {
            let first = upgrade::first_schema(connection, master)?;
            let digesting = first.as_ref().map(|first| first.digesting.clone());
            let keyring = Keyring::open(connection, self.source.clone(), master, digesting, self.now_ms)?;
            if let Some(first) = first {
                first.finish(connection, &keyring)?;
            }
            Ok(keyring)
        };
        match open() {
            Ok(keyring) => Ok(Some(keyring)),
            Err(StoreError::Crypto(CryptoError::Unseal) | StoreError::Closed) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The root key: the one in the file, or a new one where the file is missing.
    fn root_key(
        &self,
        connection: &Connection,
        keyring: &Keyring,
        account_id: String,
    ) -> Result<SecretString, OpenError> {
        let path = self.folder.root_key_path();
        let in_file = self.root_key_in_file()?;
        let in_database = keys::root(connection, keyring, &account_id).map_err(|error| self.failed(error))?;
        let key = match (in_file, in_database) {
            (Some(key), Some(stored)) => {
                if keys::is(&stored, connection, keyring, &key).map_err(|error| self.failed(error))? {
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
                    keys::delete_root(connection, &account_id).map_err(|error| self.failed(error))?;
                    tracing::warn!(file = %path.display(), "root key file is missing: made a new key, the old one is void");
                }
                let key = crypto::new_key(Kind::Root.prefix(), Kind::Root.characters())
                    .map_err(|error| self.failed(error.into()))?;
                // Before the commit: others wait for the lock until then, and find the file when they get it. A start
                // that is cut off in between leaves a file without a row, which is the case above.
                self.folder.write_root_key(&key)?;
                tracing::info!(file = %path.display(), "root key written");
                key
            }
        };
        self.insert_root_key(connection, keyring, account_id, &key)?;
        Ok(key)
    }

    /// Makes the folder's root key that of a database which is to take the place of this folder's: the file is the
    /// operator's, and clients are set up with the key in it.
    pub(super) fn adopt_root_key(&self, connection: &Connection, keyring: &Keyring) -> Result<(), OpenError> {
        let failed = |error| self.failed(error);
        let Some(key) = self.root_key_in_file()? else { return Ok(()) };
        let account_id = accounts::ensure(connection, self.now_ms).map_err(failed)?;
        if let Some(stored) = keys::root(connection, keyring, &account_id).map_err(failed)? {
            if keys::is(&stored, connection, keyring, &key).map_err(failed)? {
                return Ok(());
            }
            keys::delete_root(connection, &account_id).map_err(failed)?;
        }
        self.insert_root_key(connection, keyring, account_id, &key)
    }

    /// What keeps the folder's root key from being the database's. A row that is damaged is not told of.
    pub(super) fn root_key_problem(&self, connection: &Connection, keyring: &Keyring) -> Option<String> {
        let path = self.folder.root_key_path();
        let key = match self.root_key_in_file() {
            Ok(Some(key)) => key,
            Ok(None) => {
                let path = path.display();
                return Some(format!("`{path}` is missing; put it back, or the next start makes a new root key"));
            }
            Err(error) => return Some(error.to_string()),
        };
        let stored = accounts::ensure(connection, self.now_ms)
            .and_then(|account_id| keys::root(connection, keyring, &account_id))
            .ok()??;
        let is_it = keys::is(&stored, connection, keyring, &key).ok()?;
        let database = self.database.to_owned();
        (!is_it).then(|| OpenError::RootKeyMismatch { path, database }.to_string())
    }

    fn root_key_in_file(&self) -> Result<Option<SecretString>, OpenError> {
        match self.folder.read_root_key()? {
            Some(key) if !crypto::is_key(Kind::Root.prefix(), Kind::Root.characters(), key.expose_secret()) => {
                Err(OpenError::KeyFileInvalid {
                    path: self.folder.root_key_path(),
                    expected: "an API key that starts with `ak_`",
                    remedy: "restore it from a backup, or delete it to have a new root key made",
                })
            }
            read => Ok(read),
        }
    }

    fn insert_root_key(
        &self,
        connection: &Connection,
        keyring: &Keyring,
        account_id: String,
        key: &SecretString,
    ) -> Result<(), OpenError> {
        let row = NewKey {
            account_id,
            provider: Provider::Runloop,
            kind: Kind::Root,
            name: Some(ROOT_KEY_NAME.to_owned()),
            scopes: None,
            details: None,
            expires_at_ms: None,
        };
        keys::insert(connection, keyring, key, row, self.now_ms).map(drop).map_err(|error| self.failed(error))
    }

    fn mismatch(&self) -> OpenError {
        OpenError::MasterKeyMismatch { source_name: self.source.name(), database: self.database.to_owned() }
    }

    pub(super) fn failed(&self, error: StoreError) -> OpenError {
        match error {
            StoreError::Sqlite(error) => schema::database_error(self.database, self.patience, error),
            StoreError::Damaged(_) | StoreError::DamagedRow { .. } | StoreError::Unchanged(_) | StoreError::Json(_) => {
                OpenError::Damaged { database: self.database.to_owned(), reason: error.to_string() }
            }
            StoreError::Closed => self.mismatch(),
            StoreError::Crypto(_) => OpenError::System(error.to_string()),
        }
    }
}
