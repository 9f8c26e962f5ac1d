//! The database: opening it, its schema, and the thread that owns the connection.
//!
//! Holds no statement of a resource: those sit in the resource's own file and come here as jobs. Several processes may
//! have the same file open; SQLite's locks keep them apart.

use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    crypto::CryptoError,
    error::{ApiError, OpenError, is_busy},
};

/// Jobs that may wait for the connection before senders have to wait too.
const WAITING_JOBS: usize = 128;
const LONGEST_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// Marks the file as ours: SQLite's `application_id`, "kygl" in ASCII.
const APPLICATION_ID: i64 = 0x6b79_676c;
/// The schema, a step a version. Steps are never changed once released; new ones are put at the end.
const MIGRATIONS: &[&str] = &[MIGRATION_1];

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

/// Why a row could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A value could not be sealed, or there is no chance to draw an id or a key from.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A column that holds JSON could not be written or read.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the connection's thread. The thread ends, and closes the connection, when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Store {
    jobs: mpsc::Sender<Job>,
}

impl Store {
    /// Hands a prepared connection to a thread of its own.
    pub(super) fn start(mut connection: Connection) -> Result<Self, OpenError> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_JOBS);
        thread::Builder::new()
            .name("keyglass-store".to_owned())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    // A fault in one request must not take the database from all others; its caller sees that no
                    // answer came, and the transaction is rolled back as it is dropped.
                    if panic::catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
                        tracing::error!("a job of the database panicked");
                    }
                }
            })
            .map_err(|error| OpenError::System(format!("no thread for the database ({error})")))?;
        Ok(Self { jobs })
    }

    /// Runs a job that only reads. All its statements see the same state.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run(TransactionBehavior::Deferred, job).await
    }

    /// Runs a job that writes. It takes the write lock at once, so what it reads stays true until it is done; all of it
    /// happens, or nothing where the job gives an error. It runs to its end even if the caller no longer waits.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run(TransactionBehavior::Immediate, job).await
    }

    async fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result =
                connection.transaction_with_behavior(behavior).map_err(ApiError::from).and_then(|transaction| {
                    let value = job(&transaction)?;
                    transaction.commit()?;
                    Ok(value)
                });
            // nobody waits any more: the work is done all the same
            drop(reply.send(result));
        });
        self.jobs.send(job).await.map_err(|_| ApiError::internal("the database's thread has ended"))?;
        answer.await.map_err(|_| ApiError::internal("the database's thread has ended"))?
    }
}

/// Opens the database's file and sets the connection up. The schema is still to be brought up to date: [`migrate`].
pub(super) fn connect(database: &Path, patience: Duration) -> Result<Connection, OpenError> {
    let failed = |error| database_error(database, patience, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(failed)?;
    // SQLite counts milliseconds in 32 bits
    connection.busy_timeout(patience.min(LONGEST_PATIENCE)).map_err(failed)?;
    // before anything is changed: the file may be another program's
    steps_to_do(&connection, database, patience)?;
    let begun = Instant::now();
    // Several processes that turn a new file to WAL at once get "busy" straight away, whatever the timeout is.
    while let Err(error) = set_up(&connection) {
        if !is_busy(&error) || begun.elapsed() >= patience {
            return Err(failed(error));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(connection)
}

/// Brings the schema up to date, inside the caller's writing transaction.
pub(super) fn migrate(transaction: &Transaction<'_>, database: &Path, patience: Duration) -> Result<(), OpenError> {
    let failed = |error| database_error(database, patience, error);
    for step in steps_to_do(transaction, database, patience)? {
        let version =
            transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version + 1).map_err(failed)?;
    }
    Ok(())
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

/// What SQLite said, as a reason not to start.
pub(super) fn database_error(database: &Path, waited: Duration, error: rusqlite::Error) -> OpenError {
    let database = database.to_owned();
    if is_busy(&error) {
        return OpenError::Locked { database, waited };
    }
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign { database },
        _ => OpenError::Database { database, source: error },
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
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

    #[tokio::test]
    async fn a_job_that_fails_leaves_nothing_behind() {
        let store = Store::start(Connection::open_in_memory().unwrap()).unwrap();
        store.write(|transaction| Ok(transaction.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        let failed: Result<(), ApiError> = store
            .write(|transaction| {
                transaction.execute("INSERT INTO t VALUES (1)", [])?;
                Err(ApiError::invalid("no"))
            })
            .await;
        assert!(failed.is_err());
        let rows = store.read(|it| Ok(it.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?)).await;
        assert_eq!(rows.unwrap(), 0);
    }
}
