//! What an operator does to a whole database: backup, restore, new keys. All of it while others use the database.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags, Transaction, TransactionBehavior,
    backup::{Backup, StepResult},
};

use super::{
    OpenError, Options,
    crypto::MasterKey,
    folder::{Folder, MasterKeySource, private_options},
    keys, schema, secrets,
    start::Start,
    store::StoreError,
    turn::Turn,
};

/// How many rows are sealed anew in one transaction: others write in between.
const ROWS_AT_A_TIME: u32 = 100;

/// Why an operation on a whole database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// The data folder, its keys or its database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is nothing to work on.
    #[error("there is no database in `{}`; name the data folder by `--data-dir`", .0.display())]
    Missing(PathBuf),
    /// The file to be written is there already.
    #[error("`{}` is there already; name another file", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("`{}` cannot be {action} ({source}); look at its permissions and those of its folder", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A backup that is damaged. Nothing was changed.
    #[error("`{}` is damaged ({reason}); nothing was restored", path.display())]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The backup is in place, but the data folder does not go with it.
    #[error("the backup was restored, but {0}")]
    Restored(#[source] OpenError),
    /// The database refused, or holds what it should not. What was done before stays done; the same command goes on.
    #[error("{0}; what was done so far is safe, give the command again once this is mended")]
    Store(String),
}

impl From<StoreError> for MaintenanceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<rusqlite::Error> for MaintenanceError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// What `rekey` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// How many secrets were sealed anew.
    pub secrets: usize,
    /// How many API keys were marked anew.
    pub keys: usize,
    /// Whether there is a new master key. There is none where it lies outside the data folder: who keeps it, changes it.
    pub master_key: bool,
}

/// Writes a copy of the database to a new file, as it is at one moment, while others go on writing. The copy holds no
/// master key: without it no value and no API key can be had from it.
pub fn backup(options: &Options, file: &Path) -> Result<(), MaintenanceError> {
    let connection = schema::connect(&Place::existing(options)?.database, options.patience)?;
    let failed = |action| move |source| MaintenanceError::File { path: file.to_owned(), action, source };
    // SQLite takes names as UTF-8; the nearest name would be another file.
    let name = file.to_str().ok_or_else(|| failed("named")(io::ErrorKind::InvalidFilename.into()))?;
    let made = private_options().create_new(true).open(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => MaintenanceError::Exists(file.to_owned()),
        _ => failed("made")(error),
    })?;
    // Into an empty file: so it is closed to others from the start. SQLite takes everything from one snapshot.
    let copied = connection.execute("VACUUM INTO ?1", [name]);
    let copied = copied.map_err(MaintenanceError::from).and_then(|_| made.sync_all().map_err(failed("written")));
    copied.inspect_err(|_| drop(fs::remove_file(file)))
}

/// Puts a backup in the place of everything that the database holds; makes a database where there is none. Others that
/// use the database see the old state or the new one, never a mixture.
pub fn restore(options: &Options, file: &Path) -> Result<(), MaintenanceError> {
    let damaged = |reason: String| MaintenanceError::Damaged { path: file.to_owned(), reason };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(file, flags).map_err(|error| damaged(error.to_string()))?;
    // Before anything is changed: a whole database of ours, that our master key opens.
    schema::check(&source, file)?;
    let verdict: String = source
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| damaged(error.to_string()))?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    let place = Place::of(Folder::prepare(&options.data_dir)?, options);
    // A new one would be of no use: the backup was made with another.
    let master = place.source.existing()?;
    let mut copy = Connection::open_in_memory()?;
    Backup::new(&source, &mut copy)?.run_to_completion(1_000, Duration::ZERO, None)?;
    schema::migrate(&copy, file, options.patience)?;
    place.folder.prepare_database()?;
    let start = place.start(options, &master);
    if start.keyring_of(&copy, &master)?.is_none() {
        let mut former = place.source.former().into_iter();
        let keyring = former.find_map(|former| start.keyring_of(&copy, &former).transpose()).transpose()?;
        let mismatch = || OpenError::MasterKeyMismatch { source_name: place.source.name(), database: file.to_owned() };
        keyring.ok_or_else(mismatch)?.change_master_key(&copy, &master)?;
    }
    let mut target = schema::connect(&place.database, options.patience)?;
    let next = Turn::open(&place.folder.turn_path())?;
    let next = next.take(options.patience);
    let backup = Backup::new(&copy, &mut target)?;
    // All pages in one step: one transaction of the target.
    schema::insist(options.patience, || match backup.step(-1)? {
        StepResult::Done => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)),
    })?;
    drop((backup, next));
    start.run(&target).map(drop).map_err(MaintenanceError::Restored)
}

/// Makes new keys and seals everything with them: a new data key, and a new master key where that lies in the data
/// folder. Others go on reading and writing meanwhile. Cut off at any moment, all can still be read, and the next run
/// does it all.
///
/// `progress` is told how many rows were done.
pub fn rekey(options: &Options, mut progress: impl FnMut(usize)) -> Result<Rekeyed, MaintenanceError> {
    let place = Place::existing(options)?;
    // Where it can only be read, that is told before anything begins.
    place.folder.prepare_database()?;
    let connection = schema::connect(&place.database, options.patience)?;
    let (keyring, _) = place.start(options, &place.source.present()?).run(&connection)?;
    let turn = Turn::open(&place.folder.turn_path())?;
    let now_ms = options.clock.now_ms();
    let writing = |work: &mut dyn FnMut(&Connection) -> Result<usize, MaintenanceError>| {
        let next = turn.take(options.patience);
        let transaction = schema::insist(options.patience, || {
            Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)
        })?;
        drop(next);
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok::<_, MaintenanceError>(done)
    };

    let mut rekeyed = Rekeyed::default();
    if let MasterKeySource::Folder(folder) = &place.source {
        let master = MasterKey::generate().map_err(StoreError::from)?;
        writing(&mut |connection| {
            // Before the commit: whoever finds the database sealed with the new key finds the key as well.
            folder.announce_master_key(&master)?;
            keyring.change_master_key(connection, &master)?;
            Ok(0)
        })?;
        folder.promote_master_key()?;
        rekeyed.master_key = true;
    }
    writing(&mut |connection| Ok(keyring.renew(connection, now_ms).map(|()| 0)?))?;
    loop {
        let (mut of_secrets, mut of_keys) = (0, 0);
        writing(&mut |connection| {
            of_secrets = secrets::seal_anew(connection, &keyring, ROWS_AT_A_TIME)?;
            of_keys = keys::mark_anew(connection, &keyring, ROWS_AT_A_TIME, true)?;
            if of_secrets + of_keys == 0 {
                // In this transaction nothing else is written: no row can be left that needs an older key.
                keyring.retire(connection)?;
            }
            Ok(0)
        })?;
        if of_secrets + of_keys == 0 {
            return Ok(rekeyed);
        }
        rekeyed.secrets += of_secrets;
        rekeyed.keys += of_keys;
        progress(rekeyed.secrets + rekeyed.keys);
    }
}

/// Looks at everything in a database: SQLite's own check, every mark, every sealed value. Gives what was found wrong.
pub fn verify(options: &Options) -> Result<Vec<String>, MaintenanceError> {
    let place = Place::existing(options)?;
    let connection = schema::connect(&place.database, options.patience)?;
    let master = place.source.present()?;
    let start = place.start(options, &master);
    // A damaged root key keeps everything from starting; it is a problem to be told like the others.
    let (keyring, refusal) = match start.run(&connection) {
        Ok((keyring, _)) => (keyring, None),
        Err(error) => match start.keyring_of(&connection, &master)? {
            Some(keyring) => (keyring, Some(error)),
            None => return Err(error.into()),
        },
    };
    let snapshot = connection.unchecked_transaction()?;
    let mut problems = snapshot
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    problems.retain(|line| line != "ok");
    problems.extend(keys::problems(&snapshot, &keyring)?);
    problems.extend(secrets::problems(&snapshot, &keyring)?);
    match refusal {
        Some(error) if problems.is_empty() => Err(error.into()),
        _ => Ok(problems),
    }
}

/// A data folder with its database and master key.
struct Place {
    folder: Folder,
    database: PathBuf,
    source: MasterKeySource,
}

impl Place {
    fn of(folder: Folder, options: &Options) -> Self {
        let source = match &options.master_key {
            Some(reference) => MasterKeySource::Reference(reference.clone()),
            None => MasterKeySource::Folder(folder.clone()),
        };
        Self { database: folder.database(), folder, source }
    }

    /// One that holds a database already.
    fn existing(options: &Options) -> Result<Self, MaintenanceError> {
        // What cannot be looked at may be there all the same.
        let there = |path: &Path| {
            let failed = |source| MaintenanceError::File { path: path.to_owned(), action: "read", source };
            path.try_exists().map_err(failed)
        };
        if there(&options.data_dir)? {
            let place = Self::of(Folder::prepare(&options.data_dir)?, options);
            if there(&place.database)? {
                return Ok(place);
            }
        }
        Err(MaintenanceError::Missing(options.data_dir.clone()))
    }

    fn start<'a>(&'a self, options: &Options, master: &'a MasterKey) -> Start<'a> {
        let Self { folder, database, source } = self;
        Start { folder, database, source, master, now_ms: options.clock.now_ms(), patience: options.patience }
    }
}
