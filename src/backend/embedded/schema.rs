//! The database's schema, a step a version, and opening the database's file.
//!
//! Several processes may have the same file open; SQLite's locks keep them apart.

use std::{
    collections::BTreeMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use sha2::{Digest, Sha256};

use super::{
    error::{OpenError, is_busy},
    store::LONGEST_PATIENCE,
};

/// How long to wait between two attempts to get the write lock. SQLite's own waits grow to 100 ms, and a process that
/// waits so long at a time hardly ever meets the moment when busier ones let go.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(2);
/// How many prepared statements a connection keeps: all that there are.
const STATEMENTS: usize = 96;
/// How many deviations are told where one line has to do.
const SHOWN: usize = 3;
/// Marks the file as ours: SQLite's `application_id`, "kygl" in ASCII.
const APPLICATION_ID: i64 = 0x6b79_676c;
/// The schema, a step a version. Steps are never changed once released; new ones are put at the end, and then [`CURRENT`]
/// is another.
const MIGRATIONS: &[&str] = &[MIGRATION_1, MIGRATION_2, MIGRATION_3];
/// What [`digest`] gives of the newest schema. To make that schema anew, only to compare with it, takes longer than all
/// the rest of opening a database.
const CURRENT: &str = "3d7d35ed798b01b264b5d62e848dc3a6135297efc7a8f148ba5c60ba176754b8";

const MIGRATION_1: &str = "
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE accounts (
        id             TEXT PRIMARY KEY,
        name           TEXT NOT NULL,
        create_time_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE api_keys (
        id             TEXT PRIMARY KEY,
        account_id     TEXT NOT NULL REFERENCES accounts (id),
        kind           TEXT NOT NULL CHECK (kind IN ('root', 'standard', 'restricted')),
        name           TEXT,
        digest         BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        scopes         TEXT,
        create_time_ms INTEGER NOT NULL,
        expires_at_ms  INTEGER,
        CHECK ((kind = 'restricted') = (scopes IS NOT NULL))
    ) STRICT;
    CREATE UNIQUE INDEX one_root_key ON api_keys (account_id) WHERE kind = 'root';
    CREATE TABLE secrets (
        id             TEXT PRIMARY KEY,
        account_id     TEXT NOT NULL REFERENCES accounts (id),
        name           TEXT NOT NULL,
        sealed         BLOB NOT NULL,
        create_time_ms INTEGER NOT NULL,
        update_time_ms INTEGER NOT NULL,
        UNIQUE (account_id, name)
    ) STRICT;
";

/// Data keys, keys of all providers, marks on rows. Rows of version 1 have an empty mark until [`super::upgrade`] has
/// marked them, in the same transaction.
const MIGRATION_2: &str = "
    CREATE TABLE data_keys (
        number         INTEGER PRIMARY KEY AUTOINCREMENT,
        id             BLOB NOT NULL UNIQUE CHECK (length(id) = 4),
        purpose        TEXT NOT NULL CHECK (purpose IN ('data', 'digests')),
        wrapped        BLOB NOT NULL,
        create_time_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE keys (
        id             TEXT PRIMARY KEY,
        account_id     TEXT NOT NULL REFERENCES accounts (id),
        provider       TEXT NOT NULL CHECK (provider IN ('runloop', 'runtools', 'runtype')),
        kind           TEXT NOT NULL CHECK (kind IN ('root', 'standard', 'restricted', 'live', 'test')),
        name           TEXT,
        digest         BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        scopes         TEXT,
        details        TEXT,
        create_time_ms INTEGER NOT NULL,
        expires_at_ms  INTEGER,
        revoked_at_ms  INTEGER,
        replaced_by    TEXT,
        mark           BLOB NOT NULL
    ) STRICT;
    INSERT INTO keys (id, account_id, provider, kind, name, digest, scopes, create_time_ms, expires_at_ms, mark)
        SELECT id, account_id, 'runloop', kind, name, digest, scopes, create_time_ms, expires_at_ms, x'' FROM api_keys;
    DROP TABLE api_keys;
    CREATE UNIQUE INDEX one_root_key ON keys (account_id) WHERE kind = 'root';
    CREATE TABLE key_uses (
        key_id         TEXT PRIMARY KEY REFERENCES keys (id) ON DELETE CASCADE,
        last_used_ms   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE secrets ADD COLUMN expires_at_ms INTEGER;
    ALTER TABLE secrets ADD COLUMN mark BLOB NOT NULL DEFAULT x'';
";

/// How many secrets an account has, so that lists need not count them; and the few that have an expiry. By triggers, since
/// an older program may still have the database open.
const MIGRATION_3: &str = "
    ALTER TABLE accounts ADD COLUMN secret_count INTEGER NOT NULL DEFAULT 0;
    UPDATE accounts SET secret_count = (SELECT count(*) FROM secrets WHERE account_id = accounts.id);
    CREATE TRIGGER secret_made AFTER INSERT ON secrets BEGIN
        UPDATE accounts SET secret_count = secret_count + 1 WHERE id = NEW.account_id;
    END;
    CREATE TRIGGER secret_deleted AFTER DELETE ON secrets BEGIN
        UPDATE accounts SET secret_count = secret_count - 1 WHERE id = OLD.account_id;
    END;
    CREATE INDEX secrets_by_expiry ON secrets (account_id, expires_at_ms, id) WHERE expires_at_ms IS NOT NULL;
";

/// Opens the database's file and sets the connection up. The schema is still to be brought up to date: [`migrate`].
pub(super) fn connect(database: &Path, patience: Duration) -> Result<Connection, OpenError> {
    let connection = connect_to_look(database, patience)?;
    let begun = Instant::now();
    // Several processes that turn a new file to WAL at once get "busy" straight away, whatever the timeout is.
    while let Err(error) = set_up(&connection) {
        if !is_busy(&error) || begun.elapsed() >= patience {
            return Err(database_error(database, patience, error));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(connection)
}

/// The same, for a connection that changes nothing, not even the database's journal.
pub(super) fn connect_to_look(database: &Path, patience: Duration) -> Result<Connection, OpenError> {
    let failed = |error| database_error(database, patience, error);
    // A whole path: of other names SQLite makes databases in memory, or takes them for URIs.
    let database = &std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(failed)?;
    // SQLite counts milliseconds in 32 bits
    connection.busy_timeout(patience.min(LONGEST_PATIENCE)).map_err(failed)?;
    // before anything is changed: the file may be another program's
    steps_to_do(&connection, database, patience)?;
    Ok(connection)
}

/// The same, for a connection that afterwards waits for nobody.
pub(super) fn connect_impatient(database: &Path, patience: Duration) -> Result<Connection, OpenError> {
    let connection = connect(database, patience)?;
    connection.busy_timeout(Duration::ZERO).map_err(|error| database_error(database, patience, error))?;
    Ok(connection)
}

/// Runs a statement that needs a lock until it is had, or patience has ended.
pub(super) fn insist<T>(patience: Duration, mut statement: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let begun = Instant::now();
    loop {
        match statement() {
            Err(error) if is_busy(&error) && begun.elapsed() < patience => thread::sleep(BETWEEN_ATTEMPTS),
            result => return result,
        }
    }
}

/// Brings the schema up to date, inside the caller's writing transaction. Error: [`OpenError::Altered`] where what is
/// there would change what this program's statements do.
pub(super) fn migrate(connection: &Connection, database: &Path, patience: Duration) -> Result<(), OpenError> {
    let failed = |error| database_error(database, patience, error);
    let deviations = deviations(connection).map_err(failed)?;
    for deviation in deviations.iter().filter(|deviation| !deviation.matters) {
        tracing::warn!("`{}` holds something else: {}", database.display(), deviation.line);
    }
    let matter: Vec<_> = deviations.into_iter().filter(|deviation| deviation.matters).collect();
    if !matter.is_empty() {
        return Err(OpenError::Altered { database: database.to_owned(), what: summary(matter) });
    }
    for step in steps_to_do(connection, database, patience)? {
        let version =
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(failed)?;
        connection.execute_batch(step).map_err(failed)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        connection.pragma_update(None, "user_version", version + 1).map_err(failed)?;
    }
    Ok(())
}

/// How a database's tables, indexes, triggers and views are other than this program made them.
#[derive(Debug)]
pub(super) struct Deviation {
    /// What it is, for a person.
    pub(super) line: String,
    /// Whether statements of this program would fail or do something else: a trigger can make any of them do nothing.
    matters: bool,
}

/// The first few deviations in one line.
pub(super) fn summary(deviations: Vec<Deviation>) -> String {
    let more = deviations.len().saturating_sub(SHOWN);
    let mut lines: Vec<_> = deviations.into_iter().take(SHOWN).map(|deviation| deviation.line).collect();
    if more > 0 {
        lines.push(format!("{more} more"));
    }
    lines.join(", ")
}

/// How this database's schema is another than that of the version which it states. What SQLite keeps for itself to find
/// rows faster does not count.
pub(super) fn deviations(connection: &Connection) -> rusqlite::Result<Vec<Deviation>> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    let steps = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(..done)).unwrap_or(MIGRATIONS);
    let mut found = objects(connection)?;
    if steps.len() == MIGRATIONS.len() && digest(&found) == CURRENT {
        return Ok(Vec::new());
    }
    let expected = objects(&made_of(steps)?)?;
    let mut deviations = Vec::new();
    for ((kind, name), sql) in expected {
        let line = match found.remove(&(kind.clone(), name.clone())) {
            None => format!("the {kind} `{name}` of schema version {version} is missing"),
            Some(other) if other != sql => format!("the {kind} `{name}` is not as in schema version {version}"),
            Some(_) => continue,
        };
        deviations.push(Deviation { line, matters: true });
    }
    for (kind, name) in found.into_keys() {
        let line = format!("the {kind} `{name}` is no part of schema version {version}");
        deviations.push(Deviation { matters: kind == "trigger", line });
    }
    Ok(deviations)
}

/// A database in memory that these steps have made.
fn made_of(steps: &[&str]) -> rusqlite::Result<Connection> {
    let fresh = Connection::open_in_memory()?;
    steps.iter().try_for_each(|step| fresh.execute_batch(step))?;
    Ok(fresh)
}

/// Kind and name of all that a database holds, with the statement that made it.
type Objects = BTreeMap<(String, String), String>;

/// Stands for all of them, in hexadecimal digits.
fn digest(objects: &Objects) -> String {
    let mut digest = Sha256::new();
    for ((kind, name), sql) in objects {
        for part in [kind, name, sql] {
            // With the length: a name may have anything in it.
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn objects(connection: &Connection) -> rusqlite::Result<Objects> {
    let find = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE substr(name, 1, 11) <> 'sqlite_stat'";
    let mut statement = connection.prepare(find)?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, String>(2)?)))?;
    let tidy = |(key, sql): (_, String)| (key, sql.split_whitespace().collect::<Vec<_>>().join(" "));
    rows.map(|row| row.map(tidy)).collect()
}

fn steps_to_do(
    connection: &Connection,
    database: &Path,
    patience: Duration,
) -> Result<&'static [&'static str], OpenError> {
    let failed = |error| database_error(database, patience, error);
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    // Tables first: another process that makes them sets the two numbers in the same transaction, so whoever sees its
    // tables sees its numbers too.
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
        return Err(OpenError::Foreign { database: database.to_owned() });
    }
    usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done..)).ok_or_else(|| OpenError::Newer {
        database: database.to_owned(),
        found: version,
        known: MIGRATIONS.len(),
    })
}

/// Whether the schema states that it is the present one.
pub(super) fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(version) == Ok(MIGRATIONS.len()))
}

/// Makes sure that this is a database of ours, which this program knows.
pub(super) fn check(connection: &Connection, database: &Path) -> Result<(), OpenError> {
    steps_to_do(connection, database, Duration::ZERO)?;
    let application = connection.query_row("PRAGMA application_id", [], |row| row.get::<_, i64>(0));
    match application.map_err(|error| database_error(database, Duration::ZERO, error))? {
        APPLICATION_ID => Ok(()),
        _ => Err(OpenError::Foreign { database: database.to_owned() }),
    }
}

/// What SQLite said, as a reason not to start.
pub(super) fn database_error(database: &Path, waited: Duration, error: rusqlite::Error) -> OpenError {
    let database = database.to_owned();
    if is_busy(&error) {
        return OpenError::Locked { database, waited };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { database },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged {
            database,
            reason: "SQLite finds it damaged; move it away, together with the files whose names go on with `-wal` and \
                     `-shm`, and restore a backup"
                .to_owned(),
        },
        // SQLite keeps what it writes in files beside the database.
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            OpenError::Unwritable { database, reason: error.to_string() }
        }
        _ => OpenError::Database { database, reason: without_statement(error).to_string() },
    }
}

/// The same error without the statement that it is about: that is long, and of no use to whoever reads the message.
fn without_statement(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => rusqlite::Error::SqliteFailure(error, Some(msg)),
        other => other,
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Answers with the mode that is now in force; where WAL cannot be had, the old journal serves as well.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // deleted and replaced rows are overwritten, not only unlinked
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_schema_is_known_by_its_digest() {
        assert_eq!(digest(&objects(&made_of(MIGRATIONS).unwrap()).unwrap()), CURRENT);
    }

    #[test]
    fn nothing_that_deviates_has_the_digest() {
        let made = || made_of(MIGRATIONS).unwrap();
        for change in [
            "CREATE TRIGGER quiet BEFORE DELETE ON keys BEGIN SELECT RAISE(IGNORE); END",
            "CREATE TABLE more (x)",
            "DROP TRIGGER secret_made",
            "ALTER TABLE secrets RENAME COLUMN sealed TO sealed_",
        ] {
            let changed = made();
            changed.execute_batch(change).unwrap();
            changed.pragma_update(None, "user_version", MIGRATIONS.len() as i64).unwrap();
            assert_ne!(digest(&objects(&changed).unwrap()), CURRENT, "{change}");
            assert!(!deviations(&changed).unwrap().is_empty(), "{change}");
        }
        let unchanged = made();
        unchanged.pragma_update(None, "user_version", MIGRATIONS.len() as i64).unwrap();
        assert!(deviations(&unchanged).unwrap().is_empty());
    }
}
