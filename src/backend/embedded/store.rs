//! Who uses the database's connections: one thread writes, a few read, and single rows are read without any thread.
//!
//! Holds no statement of a resource: those sit in the resource's own file and come here as jobs. Writing jobs that wait
//! are carried out in one transaction, each in a savepoint of its own: what takes time is to bring a commit down to the
//! disk, and so many callers share one. To hand a job to a thread and to be woken by it costs several times what it costs
//! to find a row, so that is done where the caller is, on a connection that nobody waits for.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    crypto::CryptoError,
    error::{ApiError, OpenError},
    known_keys::KnownKeys,
    schema::insist,
    turn::Turn,
};

/// Jobs that may wait before senders have to wait too.
const WAITING_JOBS: usize = 256;
/// How many writing jobs share one commit at most.
const JOBS_IN_A_COMMIT: usize = 64;

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
    /// A row is not as this program wrote it.
    #[error("a row of the table `{0}` was changed by someone else, or is damaged; restore a backup")]
    Damaged(&'static str),
}

/// What tells a caller how its job ended, once it is known why the commit failed, if it did.
type Reply = Box<dyn FnOnce(Option<&rusqlite::Error>) + Send>;
/// A job within the transaction that several share, or the reason why there is none. What it changed is undone where it
/// fails.
type WriteJob = Box<dyn FnOnce(Result<&mut Transaction<'_>, &rusqlite::Error>) -> Reply + Send>;
type ReadJob = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the connections' threads. They end, and close the connections, when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Store {
    writes: mpsc::Sender<WriteJob>,
    reads: mpsc::Sender<ReadJob>,
    at_hand: Arc<[Mutex<AtHand>]>,
}

/// A connection that callers use themselves.
#[derive(Debug)]
struct AtHand {
    connection: Connection,
    known: KnownKeys,
}

/// The connections of a store, prepared.
pub(super) struct Connections {
    /// The one that writes.
    pub(super) writer: Connection,
    /// Those that threads of their own read with.
    pub(super) readers: Vec<Connection>,
    /// Those that callers read single rows with. They wait for nobody: where another process is in the way, SQLite is to
    /// say so at once.
    pub(super) at_hand: Vec<Connection>,
}

impl Store {
    /// Hands connections to threads of their own. `patience` is how long to wait for other processes, `turn` what they
    /// take turns by.
    pub(super) fn start(connections: Connections, turn: Turn, patience: Duration) -> Result<Self, OpenError> {
        let Connections { writer, readers, at_hand } = connections;
        let (writes, waiting) = mpsc::channel::<WriteJob>(WAITING_JOBS);
        spawn("keyglass-writer", move || write_all(&writer, waiting, &turn, patience))?;
        let (reads, waiting) = mpsc::channel::<ReadJob>(WAITING_JOBS);
        let waiting = Arc::new(Mutex::new(waiting));
        for reader in readers {
            let waiting = Arc::clone(&waiting);
            spawn("keyglass-reader", move || read_all(reader, &waiting))?;
        }
        Ok(Self {
            writes,
            reads,
            at_hand: at_hand
                .into_iter()
                .map(|connection| Mutex::new(AtHand { connection, known: KnownKeys::default() }))
                .collect(),
        })
    }

    /// Runs a job that finds one row or a few, by an index. Otherwise as [`read`](Self::read).
    ///
    /// It runs on the caller's own thread, for some microseconds, and without a transaction: each statement sees what is
    /// there when it begins. Where all connections at hand are in use, or another process is in the way, or it fails in
    /// whatever way other than by a refusal, it is given to a thread as a job of `read` is, and runs again: it may have
    /// seen two states.
    pub(super) async fn find<T: Send + 'static>(
        &self,
        job: impl Fn(&Connection, &mut KnownKeys) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let found = self.free_connection().map(|mut at_hand| {
            let AtHand { connection, known } = &mut *at_hand;
            job(connection, known)
        });
        match found {
            Some(Err(error)) if !error.is_refusal() => {}
            Some(result) => return result,
            None => {}
        }
        self.read(move |connection| job(connection, &mut KnownKeys::default())).await
    }

    fn free_connection(&self) -> Option<MutexGuard<'_, AtHand>> {
        self.at_hand.iter().find_map(|connection| match connection.try_lock() {
            Ok(connection) => Some(connection),
            // a statement that was under way ended on the way, and nothing was changed
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// Runs a job that only reads. All its statements see the same state, with all that was written before it was asked
    /// for.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |connection| {
            let result = connection.transaction().map_err(ApiError::from).and_then(|transaction| job(&transaction));
            // nobody waits any more: nothing was changed
            drop(reply.send(result));
        });
        self.reads.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Runs a job that writes. It holds the write lock, so what it reads stays true until it is done; all of it happens,
    /// or nothing where the job gives an error. It runs to its end even if the caller no longer waits. The answer comes
    /// once all is on the disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let job: WriteJob = Box::new(move |transaction| {
            let result = transaction.map_err(ApiError::from).and_then(|transaction| {
                let savepoint = transaction.savepoint()?;
                let value = job(&savepoint)?;
                savepoint.commit()?;
                Ok(value)
            });
            Box::new(move |failure| {
                let result = match failure {
                    None => result,
                    // Where the job failed by itself, that is what its caller has to know.
                    Some(error) => result.and(Err(ApiError::from(error))),
                };
                drop(reply.send(result));
            })
        });
        self.writes.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

fn ended() -> ApiError {
    ApiError::internal("the database's thread has ended, or the job panicked")
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| OpenError::System(format!("no thread for the database ({error})")))
}

fn read_all(mut connection: Connection, waiting: &Mutex<mpsc::Receiver<ReadJob>>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        // A fault in one request must not take the thread from all others; its caller sees that no answer came.
        if panic::catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
            tracing::error!("a reading job of the database panicked");
        }
    }
}

fn write_all(connection: &Connection, mut waiting: mpsc::Receiver<WriteJob>, turn: &Turn, patience: Duration) {
    while let Some(job) = waiting.blocking_recv() {
        let mut jobs = vec![job];
        while jobs.len() < JOBS_IN_A_COMMIT {
            let Ok(job) = waiting.try_recv() else { break };
            jobs.push(job);
        }
        let mut jobs = jobs.into_iter();
        while jobs.len() > 0 {
            commit(connection, &mut jobs, turn, patience);
        }
    }
}

/// Carries jobs out in one transaction: all of them, unless SQLite gives the transaction up in between. Those left then
/// are still in `jobs`.
fn commit(connection: &Connection, jobs: &mut std::vec::IntoIter<WriteJob>, turn: &Turn, patience: Duration) {
    let mut replies: Vec<Reply> = Vec::new();
    let mut run = |job: WriteJob, transaction: Result<&mut Transaction<'_>, &rusqlite::Error>| match panic::catch_unwind(
        AssertUnwindSafe(|| job(transaction)),
    ) {
        Ok(reply) => replies.push(reply),
        Err(_) => tracing::error!("a writing job of the database panicked"),
    };
    let next = turn.take(patience);
    let begun = insist(patience, || Transaction::new_unchecked(connection, TransactionBehavior::Immediate));
    drop(next);
    let result = match begun {
        Ok(mut transaction) => loop {
            let Some(job) = jobs.next() else { break transaction.commit() };
            run(job, Ok(&mut transaction));
            if transaction.is_autocommit() {
                // A full disk or a failed write ends the transaction at once: all that was done in it is undone.
                break Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
                    Some("another request's failure ended the transaction".to_owned()),
                ));
            }
        },
        Err(error) => {
            jobs.by_ref().for_each(|job| run(job, Err(&error)));
            Err(error)
        }
    };
    for reply in replies {
        reply(result.as_ref().err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let folder = tempfile::tempdir().unwrap().keep();
        let open = || {
            let connection = Connection::open(folder.join("db")).unwrap();
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
            connection
        };
        let connections = Connections { writer: open(), readers: vec![open(), open()], at_hand: vec![open()] };
        Store::start(connections, Turn::none(), Duration::from_secs(5)).unwrap()
    }

    async fn rows(store: &Store) -> i64 {
        store.read(|it| Ok(it.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)).await.unwrap()
    }

    #[tokio::test]
    async fn a_job_that_fails_or_panics_leaves_nothing_behind_and_takes_no_other_along() {
        let store = store();
        store.write(|it| Ok(it.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        let job = |number: i64| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write(move |it| {
                        it.execute("INSERT INTO t VALUES (?1)", [number])?;
                        assert!(number % 3 != 1, "as asked for");
                        if number % 3 == 2 { Err(ApiError::invalid("no")) } else { Ok(number) }
                    })
                    .await
            })
        };
        let jobs: Vec<_> = (0..300).map(job).collect();
        let mut done = 0;
        for (number, job) in jobs.into_iter().enumerate() {
            let ended = job.await.unwrap();
            assert_eq!(ended.is_ok(), number % 3 == 0, "{number}: {ended:?}");
            done += i64::from(ended.is_ok());
        }
        assert_eq!(rows(&store).await, done);
    }

    #[tokio::test]
    async fn what_was_written_is_read_afterwards() {
        let store = store();
        store.write(|it| Ok(it.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        for number in 1..=50 {
            store.write(|it| Ok(it.execute("INSERT INTO t VALUES (1)", [])?)).await.unwrap();
            assert_eq!(rows(&store).await, number);
        }
    }
}
