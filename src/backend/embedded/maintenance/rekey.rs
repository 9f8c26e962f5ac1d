//! New keys, and everything sealed with them.
//!
//! The order of the steps, and what a process leaves that is killed after one. Whoever opens the database next, be it to
//! serve or to seal anew, settles which master key is in force, under the database's write lock:
//! [`Start::keyring`](super::super::start::Start::keyring).
//!
//! 1. The lock on `maintenance.lock`. The system lets go of it.
//! 2. A look at every row: what is damaged could not be sealed anew. Nothing is changed yet.
//! 3. One transaction: settle, write `master.key.next`, seal the data keys with it, commit. Killed before the commit,
//!    `master.key` opens the database and the next one is forgotten. Killed after it, `master.key` does not, but the next
//!    one does, and takes its place. It cannot be overwritten before: whoever writes one has settled in the same
//!    transaction.
//! 4. One transaction: settle again, by which the next master key takes the place of the present one, which stays as
//!    `master.key.old-…`: a copy first, then one rename. Killed in between, the next one still opens the database.
//! 5. One transaction: a new data key, sealed with whatever master key the others are sealed with at that moment.
//! 6. Transactions of some rows each. Killed in between, rows of both data keys lie side by side, each naming its own.
//! 7. One transaction: no row names an older data key, so those go.

use std::path::PathBuf;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{MaintenanceError, Place};
use crate::backend::embedded::{
    MasterKeyReference, Options,
    crypto::MasterKey,
    folder::MasterKeySource,
    keyring::{self, Keyring},
    keys, schema, secrets,
    store::StoreError,
    turn::Turn,
};

/// How many rows are sealed anew in one transaction: others write in between.
const ROWS_AT_A_TIME: u32 = 100;
/// How many damaged rows are named.
const NAMED: usize = 3;

/// What `rekey` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// How many secrets were sealed anew.
    pub secrets: usize,
    /// How many API keys were marked anew.
    pub keys: usize,
    /// The file that the master key from before is kept in, where there is a new one. There is none where it lies outside
    /// the data folder: see [`change_master_key`].
    pub former_master_key: Option<PathBuf>,
}

/// How far `rekey` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// All rows were looked at.
    Looked,
    /// The new master key is in its file; nothing is sealed with it for good yet.
    Announced,
    /// All data keys are sealed with the new master key.
    MasterKeyChanged,
    /// The new master key's file has taken the place of the old one's.
    MasterKeyPromoted,
    /// There is a new data key.
    DataKeyMade,
    /// So many rows were sealed and marked anew so far.
    Sealed(usize),
    /// No row needs an older data key.
    AllSealed,
}

/// Makes new keys and seals everything with them: a new data key, and a new master key where that lies in the data
/// folder. Others go on reading and writing meanwhile. Cut off at any moment, all can still be read, and the next run
/// does it all.
pub fn rekey(options: &Options, mut progress: impl FnMut(Progress)) -> Result<Rekeyed, MaintenanceError> {
    let place = Place::existing(options)?;
    // Where it can only be read, that is told before anything begins.
    place.folder.prepare_database()?;
    let lock = place.lock()?;
    let alone = Place::alone(&lock, options)?;
    let writer = Writer::open(&place, options)?;
    let start = place.start(options);
    let (mut keyring, _) = start.run(&writer.connection)?;
    look(&writer.connection, &keyring)?;
    progress(Progress::Looked);

    let mut rekeyed = Rekeyed::default();
    if let MasterKeySource::Folder(folder) = &place.source {
        let master = MasterKey::generate().map_err(StoreError::from)?;
        rekeyed.former_master_key = writer.write(|connection| {
            let keyring = start.keyring(connection)?;
            let former = folder.former_master_key_path()?;
            // Before the commit: whoever finds the database sealed with the new key finds the key as well.
            folder.announce_master_key(&master)?;
            progress(Progress::Announced);
            keyring.change_master_key(connection, &master)?;
            Ok(former)
        })?;
        progress(Progress::MasterKeyChanged);
        keyring = writer.write(|connection| Ok(start.keyring(connection)?))?;
        progress(Progress::MasterKeyPromoted);
    }
    writer.write(|connection| Ok(keyring.renew(connection, start.now_ms)?))?;
    progress(Progress::DataKeyMade);
    while !writer.retire(&keyring, &mut progress)? {
        let (mut last_secret, mut last_key) = (0, 0);
        loop {
            let (secrets, keys) = writer.write(|connection| {
                let secrets = secrets::seal_anew(connection, &keyring, ROWS_AT_A_TIME, &mut last_secret)?;
                Ok((secrets, keys::mark_anew(connection, &keyring, ROWS_AT_A_TIME, &mut last_key, true)?))
            })?;
            if secrets + keys == 0 {
                break;
            }
            rekeyed.secrets += secrets;
            rekeyed.keys += keys;
            progress(Progress::Sealed(rekeyed.secrets + rekeyed.keys));
        }
    }
    drop(alone);
    Ok(rekeyed)
}

/// Seals the data keys with another master key, which lies outside the data folder; one that lies in it is set aside. No
/// row is sealed anew. Other processes go on with the keys that they know, and need the new master key when they start
/// next, or meet a data key that they do not know: the next `rekey` makes one.
pub fn change_master_key(options: &Options, new: &MasterKeyReference) -> Result<(), MaintenanceError> {
    let place = Place::existing(options)?;
    // Where it can only be read, that is told before anything begins.
    place.folder.prepare_database()?;
    let lock = place.lock()?;
    let alone = Place::alone(&lock, options)?;
    let writer = Writer::open(&place, options)?;
    let start = place.start(options);
    let (keyring, _) = start.run(&writer.connection)?;
    let master = new.read()?;
    writer.write(|connection| {
        if keyring::opens(connection, &master)? {
            return Err(MaintenanceError::SameMasterKey(new.name().to_owned()));
        }
        Ok(keyring.change_master_key(connection, &master)?)
    })?;
    if let MasterKeySource::Folder(folder) = &place.source {
        writer.write(|_| Ok(folder.retire_master_key()?))?;
    }
    drop(alone);
    Ok(())
}

/// Makes sure that every row can be sealed anew.
fn look(connection: &Connection, keyring: &Keyring) -> Result<(), MaintenanceError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut problems = keyring.problems(&snapshot)?;
    problems.extend(secrets::problems(&snapshot, keyring)?);
    problems.extend(keys::problems(&snapshot, keyring)?);
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(NAMED);
    problems.truncate(NAMED);
    if more > 0 {
        problems.push(format!("{more} more"));
    }
    Err(MaintenanceError::DamagedRows(problems.join("; ")))
}

/// A connection that writes in turn with all others.
struct Writer<'a> {
    connection: Connection,
    turn: Turn,
    options: &'a Options,
}

impl<'a> Writer<'a> {
    fn open(place: &Place, options: &'a Options) -> Result<Self, MaintenanceError> {
        let connection = schema::connect(&place.database, options.patience)?;
        Ok(Self { connection, turn: Turn::open(&place.folder.turn_path())?, options })
    }

    /// Does some work in one transaction, under the write lock.
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, MaintenanceError>) -> Result<T, MaintenanceError> {
        let next = self.turn.take(self.options.patience);
        let transaction = schema::insist(self.options.patience, || {
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
        })?;
        drop(next);
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Removes the older data keys, unless a row still needs one.
    fn retire(&self, keyring: &Keyring, progress: &mut impl FnMut(Progress)) -> Result<bool, MaintenanceError> {
        let is_needed = |connection: &Connection| -> Result<bool, StoreError> {
            Ok(secrets::any_to_seal_anew(connection, keyring)? || keys::any_to_mark_anew(connection, keyring)?)
        };
        // To look at all rows takes a while, and the write lock is needed only where somebody writes meanwhile.
        let seen = self.version()?;
        let snapshot = self.connection.unchecked_transaction()?;
        let needed = is_needed(&snapshot)?;
        drop(snapshot);
        if needed {
            return Ok(false);
        }
        progress(Progress::AllSealed);
        self.write(|connection| {
            if self.version()? != seen && is_needed(connection)? {
                return Ok(false);
            }
            keyring.retire(connection)?;
            Ok(true)
        })
    }

    /// A number that is another one once somebody else has written to the database.
    fn version(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))
    }
}
