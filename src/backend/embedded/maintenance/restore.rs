//! Restoring: a backup takes the place of everything that a database holds.

use std::{
    fs, io,
    path::{Path, PathBuf, absolute},
};

use rusqlite::{Connection, backup::Backup};

use super::{
    MaintenanceError, Place,
    copy::{self, Looked},
    open_to_read,
};
use crate::backend::embedded::{
    OpenError, Options,
    crypto::MasterKey,
    folder::{Folder, MasterKeySource, private_options},
    keyring::{self, Keyring},
    schema,
    start::Start,
    store, times,
    turn::Turn,
};

/// What `restore` did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// A copy of what the database held before, if there was one: `restore` takes it as any other.
    pub replaced: Option<PathBuf>,
    /// The reference of the master key that opens the database from now on, where the folder has a `master.key` as well,
    /// which does not.
    pub master_key: Option<String>,
}

/// Puts a backup in the place of everything that the database holds; makes a database where there is none. Others that
/// use the database see the old state or the new one, never a mixture.
///
/// All is looked at before anything is changed. The backup's rows are kept as they are, but for the root key: that of the
/// folder stays, since clients are set up with it.
pub fn restore(options: &Options, file: &Path) -> Result<Restored, MaintenanceError> {
    let failed = |source| MaintenanceError::File { path: file.to_owned(), action: "read", source };
    // A whole path: of other names SQLite makes databases in memory, or takes them for URIs.
    let whole = absolute(file).map_err(failed)?;
    match fs::metadata(&whole) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(MaintenanceError::NoBackup(file.to_owned()));
        }
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    if is_same(&whole, &options.data_dir.join("keyglass.db")) {
        return Err(MaintenanceError::Itself(file.to_owned()));
    }
    let damaged = |reason: String| MaintenanceError::Damaged { path: file.to_owned(), reason };
    let source = open_to_read(&whole).map_err(|error| damaged(error.to_string()))?;
    schema::check(&source, file).map_err(|error| match error {
        OpenError::Foreign { .. } => MaintenanceError::NotBackup(file.to_owned()),
        OpenError::Newer { found, known, .. } => MaintenanceError::NewerBackup { path: file.to_owned(), found, known },
        OpenError::Damaged { reason, .. } => damaged(reason),
        other => other.into(),
    })?;

    let place = Place::of(Folder::prepare(&options.data_dir)?, options);
    let lock = place.lock()?;
    let alone = Place::alone(&lock, options)?;
    // A new one would be of no use: the backup was made with another.
    let present = place.source.existing().map_err(|error| match error {
        OpenError::MasterKeyMissing { path, .. } => {
            MaintenanceError::BackupWithoutKey { path, backup: file.to_owned() }
        }
        other => other.into(),
    });
    let mut masters = vec![present?];
    masters.extend(place.source.next()?);
    masters.extend(place.folder.former_master_keys());
    let on_backup = place.start_on(file, options);
    let looked = copy::of(&source, &on_backup).and_then(|copied| copied.look(&on_backup, &masters));
    let looked = looked.map_err(|error| match error {
        OpenError::Damaged { reason, .. } => damaged(reason),
        other => other.into(),
    })?;
    let Looked { connection: copy, keyring, problems } = looked;
    if let Some(first) = problems.first() {
        let more = problems.len() - 1;
        return Err(damaged(if more == 0 { first.clone() } else { format!("{first}; {more} more") }));
    }
    let keyring = keyring.ok_or_else(|| MaintenanceError::BackupMismatch {
        source_name: place.source.name(),
        backup: file.to_owned(),
    })?;
    on_backup.adopt_root_key(&copy, &keyring)?;

    let master = masters.swap_remove(0);
    place.folder.prepare_database()?;
    let start = place.start(options);
    let replaced = replace(&place, &start, master, (&copy, &keyring))?;
    let connection = schema::connect(&place.database, options.patience)?;
    start.run(&connection).map_err(MaintenanceError::Restored)?;
    drop(alone);
    let master_key = match &place.source {
        MasterKeySource::Reference(reference) if place.folder.master_key_path().is_file() => {
            Some(reference.name().to_owned())
        }
        _ => None,
    };
    Ok(Restored { replaced, master_key })
}

/// Puts a copy in the place of the database, in one transaction of it; gives the file that what was there is kept in.
fn replace(
    place: &Place,
    start: &Start<'_>,
    master: MasterKey,
    (copy, keyring): (&Connection, &Keyring),
) -> Result<Option<PathBuf>, MaintenanceError> {
    let patience = start.patience;
    let mut target = schema::connect(&place.database, patience)?;
    let before = schema::connect(&place.database, patience)?;
    let turn = Turn::open(&place.folder.turn_path())?;
    let next = turn.take(patience);
    let backup = Backup::new(copy, &mut target)?;
    // SQLite keeps others from writing to the destination from the first step until the backup ends (sqlite.org,
    // c3ref/backup_finish.html).
    schema::insist(patience, || match backup.step(1)? {
        rusqlite::backup::StepResult::Busy | rusqlite::backup::StepResult::Locked => Err(store::busy()),
        _ => Ok(()),
    })?;
    drop(next);
    // So nobody changes the master key or the root key from here on, and what is kept is what is replaced.
    let master = start.master_key_now(&before, master)?;
    if !keyring::opens(copy, &master)? {
        keyring.change_master_key(copy, &master)?;
    }
    start.adopt_root_key(copy, keyring)?;
    let replaced = keep(place, start, &before)?;
    let written = schema::insist(patience, || copy::all(&backup));
    if let (Err(_), Some(file)) = (&written, &replaced) {
        drop(fs::remove_file(file));
    }
    written?;
    Ok(replaced)
}

/// Copies what is about to be replaced, page by page, whatever state it is in, to a file in the data folder; nothing where
/// there is nothing.
fn keep(place: &Place, start: &Start<'_>, before: &Connection) -> Result<Option<PathBuf>, MaintenanceError> {
    let tables: i64 = before.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let mut time = times::to_text(start.now_ms);
    time.retain(|character| character.is_ascii_alphanumeric());
    let mut number = 1;
    let (file, made) = loop {
        let name = if number == 1 { time.clone() } else { format!("{time}-{number}") };
        let file = place.folder.replaced_path(&name);
        match private_options().create_new(true).open(&file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(source) => return Err(MaintenanceError::File { path: file, action: "made", source }),
            Ok(made) => break (file, made),
        }
    };
    let write = || {
        let mut kept = Connection::open(&file)?;
        copy::all(&Backup::new(before, &mut kept)?)?;
        // One file without side files, as other backups are. Where it is too damaged for that, it stays as it is.
        drop(kept.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())));
        drop(kept);
        made.sync_all().map_err(|source| MaintenanceError::File { path: file.clone(), action: "written", source })
    };
    write().inspect_err(|_| drop(fs::remove_file(&file)))?;
    Ok(Some(file))
}

/// Whether two names are those of one file, by links as well.
fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
        use std::os::unix::fs::MetadataExt as _;

        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}
