//! Who uses the database's connections: one thread writes, a few read, and single rows are read without any thread.
//!
//! Holds no statement of a resource: those sit in the resource's own file and come here as jobs. Writing jobs that wait
//! are carried out in one transaction, each in a savepoint of its own: what takes time is to bring a commit down to the
//! disk, and so many callers share one. To hand a job to a thread and to be woken by it costs several times what it costs
//! to find a row, so that is done where the caller is, on a connection that nobody waits for.

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    crypto::CryptoError,
    error::{ApiError, OpenError, is_busy},
    known_keys::KnownKeys,
    schema::insist,
    turn::Turn,
};

/// Jobs that may wait before senders have to wait too.
const WAITING_JOBS: usize = 256;
/// How many writing jobs share one commit at most.
const JOBS_IN_A_COMMIT: usize = 64;
/// The longest patience: what is longer counts as this.
pub(super) const LONGEST_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest id of ours.
const LONGEST_ID: usize = 64;

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
    /// The same, of a row that is known by its id.
    #[error("{what} was changed by someone else, or is damaged; remove it by `{command}`, or restore a backup")]
    DamagedRow {
        /// Which row, as in "the secret `sec_1`".
        what: String,
        /// The command that removes it.
        command: String,
    },
    /// A statement changed another number of rows than the one it is about, or its change did not stay.
    #[error("the table `{0}` did not take a change, so someone else has changed the database; restore a backup")]
    Unchanged(&'static str),
    /// The keys of the database are sealed with a master key that cannot be had here. Nothing is damaged.
    #[error(
        "the database is sealed with a master key that this process does not know; start it anew with the right \
         `--master-key`"
    )]
    Closed,
}

impl StoreError {
    /// Names the row that was found damaged. Any other error stays as it is.
    pub(super) fn of_row(self, kind: &str, id: &str, command: &str) -> Self {
        // The id may be what was changed: it is to be pasted into a shell only where it looks like one of ours.
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_' || letter == b'-';
        let is_plain = (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain);
        match self {
            Self::Damaged(_) if is_plain => {
                Self::DamagedRow { what: format!("the {kind} `{id}`"), command: format!("keyglass {command} {id}") }
            }
            other => other,
        }
    }
}

/// Makes sure that a statement about one row changed one row: a trigger of someone else's may have kept it from that.
pub(super) fn changed_one(table: &'static str, changed: usize) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Unchanged(table)) }
}

/// What tells a caller how its job ended, once it is known why the commit failed, if it did.
type Reply = Box<dyn FnOnce(Option<&rusqlite::Error>) + Send>;
/// A job within the transaction that several share, or the reason why there is none. What it changed is undone where it
/// fails.
type Write = Box<dyn FnOnce(Result<&mut Transaction<'_>, &rusqlite::Error>) -> Reply + Send>;
type ReadJob = Box<dyn FnOnce(&mut Connection) + Send>;

/// A job that waits for its transaction.
struct WriteJob {
    /// Until when its caller waits.
    deadline: Instant,
    run: Write,
}

/// A handle on the connections' threads. They end, and close the connections, when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Store {
    writes: mpsc::Sender<WriteJob>,
    reads: mpsc::Sender<ReadJob>,
    at_hand: Arc<[Mutex<AtHand>]>,
    patience: Duration,
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
    /// Hands connections to threads of their own. `patience` is how long a job waits for other processes and for other
    /// jobs, `turn` what processes take turns by.
    pub(super) fn start(connections: Connections, turn: Turn, patience: Duration) -> Result<Self, OpenError> {
        let Connections { writer, readers, at_hand } = connections;
        let (writes, waiting) = mpsc::channel::<WriteJob>(WAITING_JOBS);
        spawn("keyglass-writer", move || write_all(&writer, waiting, &turn))?;
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
            patience: patience.min(LONGEST_PATIENCE),
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
    /// or nothing where the job gives an error. The answer comes once all is on the disk.
    ///
    /// Nobody's key is looked at: what a caller asks for is written by [`Caller::write`](super::auth::Caller::write).
    ///
    /// A job that has not begun when patience ends is refused as busy. One that nobody waits for any more is not begun; one
    /// that was begun runs to its end.
    pub(super) async fn write_unchecked<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.write_until(Instant::now() + self.patience, job).await
    }

    async fn write_until<T: Send + 'static>(
        &self,
        deadline: Instant,
        job: impl FnOnce(&Connection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let run: Write = Box::new(move |transaction| {
            if reply.is_closed() {
                return Box::new(|_| ());
            }
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
        match self.writes.try_send(WriteJob { deadline, run }) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => match tokio::time::timeout_at(deadline.into(), self.writes.send(job)).await
            {
                Ok(sent) => sent.map_err(|_| ended())?,
                Err(_) => return Err(ApiError::from(busy())),
            },
            Err(TrySendError::Closed(_)) => return Err(ended()),
        }
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

fn write_all(connection: &Connection, mut waiting: mpsc::Receiver<WriteJob>, turn: &Turn) {
    while let Some(job) = waiting.blocking_recv() {
        let mut jobs = VecDeque::from([job]);
        while jobs.len() < JOBS_IN_A_COMMIT {
            let Ok(job) = waiting.try_recv() else { break };
            jobs.push_back(job);
        }
        while !jobs.is_empty() {
            commit(connection, &mut jobs, turn);
        }
    }
}

/// Carries jobs out in one transaction: all of them, unless SQLite gives the transaction up in between. Those left then
/// are still in `jobs`. Those whose time is over before there is a transaction are refused.
fn commit(connection: &Connection, jobs: &mut VecDeque<WriteJob>, turn: &Turn) {
    let begun = loop {
        let now = Instant::now();
        let (in_time, overdue): (VecDeque<_>, VecDeque<_>) = jobs.drain(..).partition(|job| job.deadline > now);
        *jobs = in_time;
        refuse(overdue, &busy());
        let Some(deadline) = jobs.iter().map(|job| job.deadline).min() else { return };
        match begin(connection, turn, deadline) {
            // The time of one of them is over; the others wait on.
            Err(error) if is_busy(&error) => {}
            begun => break begun,
        }
    };
    let mut transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) => return refuse(jobs.drain(..), &error),
    };
    let mut replies: Vec<Reply> = Vec::new();
    let result = loop {
        let Some(job) = jobs.pop_front() else { break transaction.commit() };
        replies.extend(run(job, Ok(&mut transaction)));
        if transaction.is_autocommit() {
            // A full disk or a failed write ends the transaction at once: all that was done in it is undone.
            break Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
                Some("another request's failure ended the transaction".to_owned()),
            ));
        }
    };
    for reply in replies {
        reply(result.as_ref().err());
    }
}

/// Begins a transaction that writes. Error: busy, once the deadline is over.
fn begin<'a>(connection: &'a Connection, turn: &Turn, deadline: Instant) -> rusqlite::Result<Transaction<'a>> {
    let left = || deadline.saturating_duration_since(Instant::now());
    // A part of the time alone, since the lock can be had without the turn: whoever keeps the turn keeps nobody from writing,
    // the jobs of later transactions included.
    let next = turn.take(left() / 4);
    connection.busy_timeout(Duration::ZERO)?;
    let begun = insist(left(), || Transaction::new_unchecked(connection, TransactionBehavior::Immediate));
    drop(next);
    // Without a write-ahead log readers may be in the way of the commit.
    connection.busy_timeout(left())?;
    begun
}

fn refuse(jobs: impl IntoIterator<Item = WriteJob>, error: &rusqlite::Error) {
    for reply in jobs.into_iter().filter_map(|job| run(job, Err(error))) {
        reply(None);
    }
}

/// Runs one job. Gives nothing where it panicked; its caller sees that no answer comes.
fn run(job: WriteJob, transaction: Result<&mut Transaction<'_>, &rusqlite::Error>) -> Option<Reply> {
    let ran = panic::catch_unwind(AssertUnwindSafe(|| (job.run)(transaction)));
    ran.inspect_err(|_| tracing::error!("a writing job of the database panicked")).ok()
}

/// What SQLite says where somebody else holds the database.
pub(super) fn busy() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

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
        store.write_unchecked(|it| Ok(it.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        let job = |number: i64| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write_unchecked(move |it| {
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
        store.write_unchecked(|it| Ok(it.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        for number in 1..=50 {
            store.write_unchecked(|it| Ok(it.execute("INSERT INTO t VALUES (1)", [])?)).await.unwrap();
            assert_eq!(rows(&store).await, number);
        }
    }

    /// Jobs that wait behind one that is at work until something was done.
    async fn behind_a_slow_one<T>(store: &Store, between: impl AsyncFnOnce(&Store) -> T) -> T {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = oneshot::channel();
        let slow = tokio::spawn({
            let store = store.clone();
            async move {
                let job = move |_: &Connection| {
                    begins.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok(())
                };
                store.write_unchecked(job).await
            }
        });
        begun.await.unwrap();
        let result = between(store).await;
        done.send(()).unwrap();
        slow.await.unwrap().unwrap();
        result
    }

    #[tokio::test]
    async fn a_job_whose_time_is_over_is_refused_and_was_not_run() {
        let store = store();
        store.write_unchecked(|it| Ok(it.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        let insert = |it: &Connection| Ok(it.execute("INSERT INTO t VALUES (1)", [])?);
        let (overdue, in_time) = behind_a_slow_one(&store, async |store| {
            let ask = |deadline| {
                let store = store.clone();
                let mut asked = Box::pin(async move { store.write_until(deadline, insert).await });
                assert!(asked.as_mut().now_or_never().is_none(), "it waits");
                asked
            };
            (ask(Instant::now()), ask(Instant::now() + Duration::from_secs(600)))
        })
        .await;
        assert!(overdue.await.unwrap_err().is_busy());
        assert_eq!(in_time.await.unwrap(), 1);
        assert_eq!(rows(&store).await, 1);
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_any_more_is_not_begun() {
        let store = store();
        store.write_unchecked(|it| Ok(it.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        behind_a_slow_one(&store, async |store| {
            let insert = store.write_unchecked(|it| Ok(it.execute("INSERT INTO t VALUES (1)", [])?));
            assert!(insert.now_or_never().is_none(), "it waits, and is dropped");
        })
        .await;
        assert_eq!(rows(&store).await, 0);
    }
}
