//! What an operator does to a whole database: backup, restore, new keys. All of it while others use the database.
//!
//! Whatever takes several steps is done by one process at a time: it holds a file's lock from its first step to its last,
//! and the system lets go of that when the process ends, however it does. Beside that each step works with what the
//! database holds at that moment, under its write lock.

mod copy;
mod rekey;
mod restore;

use std::{
    fs::{self, TryLockError},
    io,
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

pub use self::{
    rekey::{Progress, Rekeyed, change_master_key, rekey},
    restore::{Restored, restore},
};
use super::{
    OpenError, Options,
    folder::{Folder, MasterKeySource, private_options},
    schema,
    start::Start,
    store::StoreError,
    turn::{Taken, Turn},
};

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
    /// There is no such backup.
    #[error("there is no file `{}`; name a backup that `keyglass backend backup` made", .0.display())]
    NoBackup(PathBuf),
    /// The backup is the database itself.
    #[error("`{}` is the database itself; name a backup of it", .0.display())]
    Itself(PathBuf),
    /// There is no master key to open a backup with. Nothing was changed.
    #[error(
        "`{}` is missing, but the backup `{}` cannot be read without the master key it was made with; nothing was restored, \
         put that key there, or give its reference by `--master-key`",
        path.display(), backup.display()
    )]
    BackupWithoutKey {
        /// Where the key should be.
        path: PathBuf,
        /// The backup.
        backup: PathBuf,
    },
    /// A backup that was made with another master key. Nothing was changed.
    #[error(
        "`{source_name}` is not the key that the backup `{}` was made with; nothing was restored, put the right one there, \
         or give its reference by `--master-key`",
        backup.display()
    )]
    BackupMismatch {
        /// The key file, or the reference.
        source_name: String,
        /// The backup.
        backup: PathBuf,
    },
    /// A file that is no backup. Nothing was changed.
    #[error(
        "`{}` is not a backup of a keyglass database; nothing was restored, name one that `keyglass backend backup` made",
        .0.display()
    )]
    NotBackup(PathBuf),
    /// A backup by a later keyglass. Nothing was changed.
    #[error(
        "the backup `{}` has schema version {found}, this keyglass knows up to {known}; nothing was restored, use a newer \
         keyglass",
        path.display()
    )]
    NewerBackup {
        /// The backup.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version known here.
        known: usize,
    },
    /// A copy that was just made is not whole. It was removed.
    #[error("the copy in `{}` was not whole ({reason}) and was removed; see to the disk and try again", path.display())]
    Copy {
        /// The copy.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A backup that is damaged. Nothing was changed.
    #[error("`{}` is damaged ({reason}); nothing was restored, take another backup", path.display())]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Rows that cannot be sealed anew. Nothing was changed.
    #[error(
        "{0}; nothing was changed, get rid of what is damaged by `keyglass secrets delete NAME` and \
         `keyglass keys revoke ID`, or restore a backup, and give the command again"
    )]
    DamagedRows(String),
    /// Another process works on the whole database.
    #[error(
        "another `keyglass backend rekey` or `restore` is at work on `{}`, and was not done within {} s; wait for it, then \
         give the command again",
        data_dir.display(), waited.as_secs_f32()
    )]
    Busy {
        /// The data folder.
        data_dir: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The new master key is the one that is in use.
    #[error("`{0}` holds the master key that is in use already; name another one")]
    SameMasterKey(String),
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

/// Writes a copy of the database to a new file, as it is at one moment, while others go on writing. The copy holds no
/// master key: without it no value and no API key can be had from it.
pub fn backup(options: &Options, file: &Path) -> Result<(), MaintenanceError> {
    let connection = schema::connect(&Place::existing(options)?.database, options.patience)?;
    let failed = |action| move |source| MaintenanceError::File { path: file.to_owned(), action, source };
    // A whole path: of other names SQLite makes databases in memory, or takes them for URIs.
    let whole = absolute(file).map_err(failed("named"))?;
    // SQLite takes names as UTF-8; the nearest name would be another file.
    let name = whole.to_str().ok_or_else(|| failed("named")(io::ErrorKind::InvalidFilename.into()))?;
    let made = private_options().create_new(true).open(&whole).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => MaintenanceError::Exists(file.to_owned()),
        _ => failed("made")(error),
    })?;
    let write = || {
        // Into an empty file: so it is closed to others from the start. SQLite takes everything from one snapshot.
        connection.execute("VACUUM INTO ?1", [name])?;
        made.sync_all().map_err(failed("written"))?;
        check_copy(&whole)
    };
    write().inspect_err(|_| drop(fs::remove_file(&whole)))
}

/// Makes sure that a copy is whole: it is all that is left when the database is lost.
fn check_copy(file: &Path) -> Result<(), MaintenanceError> {
    let damaged = |reason| MaintenanceError::Copy { path: file.to_owned(), reason };
    let look = || -> Result<String, MaintenanceError> {
        let copy = open_to_read(file)?;
        schema::check(&copy, file)?;
        let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        // What every database holds, and what each of them says of itself.
        let find = "SELECT (SELECT count(*) FROM keys) > 0 AND (SELECT count(*) FROM data_keys) > 1
                           AND (SELECT sum(secret_count) FROM accounts) = (SELECT count(*) FROM secrets)";
        let is_whole: bool = copy.query_row(find, [], |row| row.get(0))?;
        Ok(if verdict == "ok" && !is_whole { "rows are missing".to_owned() } else { verdict })
    };
    match look() {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(damaged(verdict)),
        Err(error) => Err(damaged(error.to_string())),
    }
}

/// Looks at everything in a database, and changes nothing: SQLite's own check, what others put there, every mark, every
/// sealed value, the root key. Gives what was found wrong.
pub fn verify(options: &Options) -> Result<Vec<String>, MaintenanceError> {
    let place = Place::existing(options)?;
    let connection = schema::connect_to_look(&place.database, options.patience)?;
    schema::check(&connection, &place.database)?;
    let start = place.start(options);
    let look = || -> Result<_, MaintenanceError> {
        // The database first: the key that it was sealed with at that moment is still there, or the next one is.
        let copied = copy::of(&connection, &start)?;
        let masters = place.source.candidates();
        if masters.is_empty() {
            place.source.existing()?;
        }
        Ok(copied.look(&start, &masters)?)
    };
    let mut looked = look()?;
    if looked.is_closed() {
        // A change of the master key may have come in between.
        looked = look()?;
    }
    if looked.is_closed() {
        let (source_name, database) = (place.source.name(), place.database.clone());
        return Err(OpenError::MasterKeyMismatch { source_name, database }.into());
    }
    let copy::Looked { connection, keyring, mut problems } = looked;
    problems.extend(keyring.and_then(|keyring| start.root_key_problem(&connection, &keyring)));
    Ok(problems)
}

/// Refuses a data folder without a database, as [`MaintenanceError::Missing`]. Makes nothing. What cannot be looked at is
/// told by whoever opens it.
pub fn insist_on_database(options: &Options) -> Result<(), MaintenanceError> {
    match options.data_dir.join("keyglass.db").try_exists() {
        Ok(false) => Err(MaintenanceError::Missing(options.data_dir.clone())),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Opens a database to read it alone.
fn open_to_read(file: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
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

    /// One that holds a database already. Makes nothing.
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

    /// What is held while one works on the whole database.
    fn lock(&self) -> Result<Turn, OpenError> {
        Turn::open(&self.folder.maintenance_path())
    }

    /// The right to work on the whole database, until it is dropped.
    fn alone<'a>(lock: &'a Turn, options: &Options) -> Result<Option<Taken<'a>>, MaintenanceError> {
        match lock.insist(options.patience) {
            Ok(taken) => Ok(Some(taken)),
            Err(TryLockError::WouldBlock) => {
                Err(MaintenanceError::Busy { data_dir: options.data_dir.clone(), waited: options.patience })
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "the data folder has no locks; make sure that nobody else seals anew or restores");
                Ok(None)
            }
        }
    }

    fn start<'a>(&'a self, options: &Options) -> Start<'a> {
        self.start_on(&self.database, options)
    }

    /// The same for another database that is to take the place of this one.
    fn start_on<'a>(&'a self, database: &'a Path, options: &Options) -> Start<'a> {
        let Self { folder, source, .. } = self;
        Start { folder, database, source, master: None, now_ms: options.clock.now_ms(), patience: options.patience }
    }
}
