//! The sealed store: secret values that handles stand for, and questions that wait for a person, in a database of its own
//! in the data folder. Every process with the same data folder sees the same, so a person may answer in another one.
//!
//! Blocks on the disk. Knows nothing of tools and clients. What it holds is short-lived: with a new master key it is gone.

mod handles;
mod questions;

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use self::{
    handles::{Handle, HandleError, HandleId, Kept, Origin},
    questions::{
        Answer, AskError, Decision, DecisionError, Entry, Question, QuestionId, Shown, State, Subject, are_the_words,
    },
};
use crate::{
    backend::embedded::{MasterKeyReference, OpenError, Sealing, SealingError},
    clock::Clock,
};

/// The file in the data folder.
const FILE: &str = "glass.db";
/// Tells this file from those of others (SQLite, `application_id`).
const APPLICATION_ID: i64 = 0x6b67_6c73;
const VERSION: i64 = 2;
/// How long to wait for another process.
const PATIENCE: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE handles (
        id             TEXT PRIMARY KEY,
        owner          BLOB NOT NULL CHECK (length(owner) = 32),
        digest         BLOB NOT NULL CHECK (length(digest) = 32),
        sealed         BLOB NOT NULL,
        origin         BLOB NOT NULL,
        create_time_ms INTEGER NOT NULL,
        expires_at_ms  INTEGER NOT NULL,
        revealed_at_ms INTEGER,
        UNIQUE (owner, digest)
    ) STRICT;
    CREATE INDEX handles_by_expiry ON handles (expires_at_ms);
    CREATE TABLE questions (
        id             TEXT PRIMARY KEY,
        owner          BLOB NOT NULL CHECK (length(owner) = 32),
        binding        BLOB NOT NULL CHECK (length(binding) = 32),
        state          TEXT NOT NULL CHECK (state IN ('waiting', 'confirmed', 'refused', 'used')),
        shown          BLOB NOT NULL,
        answer         BLOB,
        create_time_ms INTEGER NOT NULL,
        expires_at_ms  INTEGER NOT NULL,
        passed_on      INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX questions_by_binding ON questions (owner, binding);
    CREATE INDEX questions_by_expiry ON questions (expires_at_ms);
";

/// An open store. Its `Debug` shows none of what it holds.
pub struct Store {
    connection: Mutex<Connection>,
    sealing: Sealing,
    clock: Clock,
    path: PathBuf,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder or its master key cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The file is no store, or one of a later version.
    #[error("`{}` is not a store of this keyglass; move it away, what it holds is short-lived", .0.display())]
    Foreign(PathBuf),
    /// SQLite refused.
    #[error(
        "the store of handles and questions, `{FILE}` in the data folder, cannot be used ({0}); see that this user may write \
         there and that the disk has room, or stop keyglass and move `{FILE}*` away, what it holds is short-lived"
    )]
    Sqlite(#[from] rusqlite::Error),
    /// What it holds does not open.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The operating system has no randomness.
    #[error(
        "the operating system gives no random bytes; see that what confines keyglass lets it have them (getrandom)"
    )]
    Random,
    /// What it holds is not what was written.
    #[error(
        "a row of the store of handles and questions is damaged; stop keyglass and move `{FILE}*` in the data folder away, what \
         it holds is short-lived"
    )]
    Damaged,
}

impl Store {
    /// Opens the store of a data folder, and makes it where there is none.
    pub fn open(data_dir: &Path, master_key: Option<&MasterKeyReference>, clock: Clock) -> Result<Self, StoreError> {
        let sealing = Sealing::open(data_dir, master_key, b"keyglass glass 1")?;
        let path = sealing.private_file(FILE)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // A decision outlasts the process, not a power cut: the person is asked again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        let transaction = Transaction::new(&mut connection, TransactionBehavior::Immediate)?;
        let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => {}
            (0, 0) => {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            _ => return Err(StoreError::Foreign(path)),
        }
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection), sealing, clock, path })
    }

    /// Whether a data folder has a store already.
    pub fn exists(data_dir: &Path) -> bool {
        data_dir.join(FILE).is_file()
    }

    /// The time.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic cut off was rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does some work in one transaction that writes. What has expired is gone first.
    fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let mut connection = self.lock();
        let failed = |error: rusqlite::Error| E::from(StoreError::from(error));
        let transaction = Transaction::new(&mut connection, TransactionBehavior::Immediate).map_err(failed)?;
        let now = self.clock.now_ms();
        for statement in
            ["DELETE FROM handles WHERE expires_at_ms <= ?1", "DELETE FROM questions WHERE expires_at_ms <= ?1"]
        {
            transaction.prepare_cached(statement).and_then(|mut it| it.execute([now])).map_err(failed)?;
        }
        let done = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What something sealed is bound to: a row that is given to somebody else, or to another id, does not open.
fn place(kind: &str, owner: &[u8; 32], id: &str) -> String {
    let owner = owner.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").ok(); // a string takes everything
        text
    });
    format!("{kind} {id} {owner}")
}

/// A random text of so many characters of 58 kinds: none that looks like another.
fn random_text(characters: usize) -> Result<String, StoreError> {
    const KINDS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut text = String::with_capacity(characters);
    let mut random = [0; 64];
    while text.len() < characters {
        getrandom::fill(&mut random).map_err(|_| StoreError::Random)?;
        // 232 is the largest multiple of 58 in a byte: taking the rest of larger ones would favour the first kinds.
        let fair = random.iter().filter(|byte| **byte < 232).filter_map(|byte| KINDS.get(usize::from(byte % 58)));
        text.extend(fair.map(|kind| char::from(*kind)).take(characters - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use secrecy::{ExposeSecret as _, SecretString};

    use super::*;
    use crate::clock::ManualClock;

    const OWNER: [u8; 32] = [1; 32];
    const OTHER: [u8; 32] = [2; 32];
    const HOUR: Duration = Duration::from_secs(3600);

    fn kept(value: &SecretString) -> Kept<'_> {
        let origin = Origin { tool: "create_key".into(), place: "/key_secret".into(), about: "ci".into() };
        Kept { value, origin }
    }

    fn shown() -> Shown {
        Shown { tool: "delete_pet".into(), confirms: true, ..Shown::default() }
    }

    fn confirm() -> Decision {
        Decision::Confirm { by: "terminal".into(), words: None, entered: BTreeMap::new() }
    }

    #[test]
    fn a_handle_is_its_owners_and_is_revealed_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::System).unwrap();
        let (one, two): (SecretString, SecretString) = ("canary-one".into(), "canary-two".into());
        let ids = store.keep(&OWNER, &[kept(&one), kept(&two)], HOUR).unwrap();
        assert_eq!(store.keep(&OWNER, &[kept(&one)], HOUR).unwrap(), ids[..1], "the same value, the same handle");
        assert_ne!(store.keep(&OTHER, &[kept(&one)], HOUR).unwrap(), ids[..1], "but another one of somebody else");
        let again: HandleId = ids[0].to_string().parse().unwrap();
        let other = Store::open(folder.path(), None, Clock::System).unwrap();
        assert_eq!(other.value(&OWNER, &again).unwrap().expose_secret(), "canary-one", "another process knows it");
        assert!(matches!(store.value(&OTHER, &ids[1]), Err(HandleError::Unknown)));
        assert_eq!(store.reveal(&ids[1]).unwrap().expose_secret(), "canary-two");
        assert!(matches!(store.reveal(&ids[1]), Err(HandleError::Revealed)));
        assert_eq!(store.value(&OWNER, &ids[1]).unwrap().expose_secret(), "canary-two", "tools go on using it");
        let known = store.handles().unwrap();
        assert_eq!(known.len(), 3);
        assert!(known.iter().any(|handle| handle.id == ids[1] && handle.revealed_at_ms.is_some()));
        assert!(store.forget(&ids[1]).unwrap() && !store.forget(&ids[1]).unwrap());
        for text in ["secret://short", "secret://", "", "secret://../../../../etc/passwd"] {
            assert!(text.parse::<HandleId>().is_err(), "{text}");
        }
        let files = ["glass.db", "glass.db-wal"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
        for canary in ["canary", "key_secret", "create_key"] {
            let is_in = |file: &Vec<u8>| file.windows(canary.len()).any(|bytes| bytes == canary.as_bytes());
            assert!(!files.iter().any(is_in), "`{canary}` lies there in clear");
        }
    }

    #[test]
    fn handles_and_questions_expire() {
        static TIME: ManualClock = ManualClock::at(1_000);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::Manual(&TIME)).unwrap();
        let value: SecretString = "canary".into();
        let ids = store.keep(&OWNER, &[kept(&value)], HOUR).unwrap();
        let question = store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap();
        TIME.pass(3_600_000);
        assert!(matches!(store.value(&OWNER, &ids[0]), Err(HandleError::Unknown)));
        assert!(store.handles().unwrap().is_empty() && store.waiting().unwrap().is_empty());
        assert!(matches!(store.decide(&question.id, confirm()), Err(DecisionError::Unknown)));
        assert!(store.take(&OWNER, &[7; 32]).unwrap().is_none());
    }

    #[test]
    fn a_handle_that_is_shown_lives_on() {
        static TIME: ManualClock = ManualClock::at(1_000);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::Manual(&TIME)).unwrap();
        let until = || store.handles().unwrap()[0].expires_at_ms;
        let value: SecretString = "canary".into();
        let ids = store.keep(&OWNER, &[kept(&value)], HOUR).unwrap();
        let all = BTreeSet::from_iter(ids.clone());
        let first = until();
        TIME.pass(60_000);
        assert_eq!(store.keep(&OWNER, &[kept(&value)], HOUR).unwrap(), ids);
        assert_eq!(store.renew(&OWNER, ids.clone(), HOUR).unwrap(), all);
        assert_eq!(until(), first, "a minute is not worth a write");
        TIME.pass(600_000);
        assert_eq!(store.renew(&OWNER, ids.clone(), HOUR).unwrap(), all);
        assert_eq!(until(), first + 660_000);
        TIME.pass(600_000);
        assert_eq!(store.keep(&OWNER, &[kept(&value)], HOUR).unwrap(), ids);
        assert_eq!(until(), first + 1_260_000);
        assert!(store.renew(&OTHER, ids.clone(), HOUR).unwrap().is_empty(), "somebody else's");
        store.forget(&ids[0]).unwrap();
        assert!(store.renew(&OWNER, ids, HOUR).unwrap().is_empty());
    }

    #[test]
    fn an_answer_is_used_once_by_its_own_call() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::System).unwrap();
        assert!(store.take(&OWNER, &[7; 32]).unwrap().is_none());
        let question = store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap();
        assert_eq!(store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap(), question, "asked once");
        assert!(matches!(store.take(&OWNER, &[7; 32]).unwrap(), Some(Answer::Waiting(found)) if *found == question));
        let code = question.shown.code.to_lowercase();
        assert_eq!(store.waiting_as(&code).unwrap().as_ref(), Some(&question));
        store.decide(&question.id, confirm()).unwrap();
        assert!(matches!(store.decide(&question.id, confirm()), Err(DecisionError::Unknown)), "decided once");
        assert!(store.take(&OWNER, &[8; 32]).unwrap().is_none(), "another call");
        assert!(store.take(&OTHER, &[7; 32]).unwrap().is_none(), "somebody else's");
        assert!(
            matches!(store.take(&OWNER, &[7; 32]).unwrap(), Some(Answer::Confirmed { by, .. }) if by == "terminal")
        );
        assert!(store.take(&OWNER, &[7; 32]).unwrap().is_none(), "used once");
        let again = store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap();
        assert_ne!(again.id, question.id);
        store.decide(&again.id, Decision::Refuse { by: "console".into() }).unwrap();
        assert!(matches!(store.take(&OWNER, &[7; 32]).unwrap(), Some(Answer::Refused { by }) if by == "console"));
    }

    #[test]
    fn a_question_is_passed_on_or_ends_sooner() {
        static TIME: ManualClock = ManualClock::at(1_000);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::Manual(&TIME)).unwrap();
        assert!(store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap().passed_on_at_ms.is_none());
        store.pass_on(&OTHER, &[7; 32]).unwrap();
        assert!(store.waiting().unwrap()[0].passed_on_at_ms.is_none(), "somebody else's");
        store.pass_on(&OWNER, &[7; 32]).unwrap();
        assert_eq!(store.waiting().unwrap()[0].passed_on_at_ms, Some(1_000));
        store.shorten(&OWNER, &[7; 32], HOUR * 2).unwrap();
        store.shorten(&OTHER, &[7; 32], Duration::ZERO).unwrap();
        assert_eq!(store.waiting().unwrap()[0].expires_at_ms, 3_601_000, "no longer than before");
        store.shorten(&OWNER, &[7; 32], Duration::from_secs(1)).unwrap();
        TIME.pass(1_000);
        assert!(store.waiting().unwrap().is_empty());
    }

    #[test]
    fn a_question_is_looked_at_without_using_it_up_and_used_up_once() {
        static TIME: ManualClock = ManualClock::at(1_000);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::Manual(&TIME)).unwrap();
        let state = || store.look(&OWNER, &[7; 32]).unwrap().map(|question| question.state);
        assert_eq!(state(), None);
        assert!(!store.use_up(&OWNER, &[7; 32], None).unwrap(), "nothing waits");
        let first = store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap();
        assert_eq!((state(), state()), (Some(State::Waiting), Some(State::Waiting)));
        let other = store.ask(&OWNER, &[8; 32], shown(), HOUR).unwrap();
        assert!(!store.use_up(&OWNER, &[7; 32], Some(&other.id)).unwrap(), "the question of another call");
        assert!(!store.use_up(&OTHER, &[7; 32], Some(&first.id)).unwrap(), "somebody else's");
        assert!(store.use_up(&OWNER, &[7; 32], Some(&first.id)).unwrap());
        assert!(!store.use_up(&OWNER, &[7; 32], Some(&first.id)).unwrap(), "used up already");
        let second = store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap();
        assert!(!store.use_up(&OWNER, &[7; 32], Some(&first.id)).unwrap(), "a later one of the same call");
        store.decide(&second.id, Decision::Refuse { by: "console".into() }).unwrap();
        assert!(!store.use_up(&OWNER, &[7; 32], None).unwrap(), "the first answer counts");
        assert_eq!((state(), state()), (Some(State::Refused), Some(State::Refused)));
        TIME.pass(3_600_000);
        assert_eq!(state(), None, "it is over");
        assert!(store.take(&OWNER, &[7; 32]).unwrap().is_none());
    }

    #[test]
    fn only_so_many_questions_of_one_wait() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::System).unwrap();
        for number in 0..50 {
            store.ask(&OWNER, &[number; 32], shown(), HOUR).unwrap();
        }
        let error = store.ask(&OWNER, &[50; 32], shown(), HOUR).unwrap_err();
        assert_eq!(error.to_string(), "50 calls of this caller wait for a person already");
        store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap();
        store.ask(&OTHER, &[50; 32], shown(), HOUR).unwrap();
    }

    #[test]
    fn a_row_that_was_edited_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::System).unwrap();
        let question = store.ask(&OWNER, &[7; 32], shown(), HOUR).unwrap();
        store.decide(&question.id, Decision::Refuse { by: "console".into() }).unwrap();
        store.lock().execute("UPDATE questions SET state = 'confirmed'", []).unwrap();
        assert!(store.take(&OWNER, &[7; 32]).is_err(), "a refusal is no confirmation");
        let value: SecretString = "canary".into();
        let ids = store.keep(&OWNER, &[kept(&value)], HOUR).unwrap();
        store.lock().execute("UPDATE handles SET owner = ?1", [OTHER]).unwrap();
        assert!(matches!(store.value(&OTHER, &ids[0]), Err(HandleError::Unknown)));
    }

    #[test]
    fn words_and_values_that_are_asked_for_have_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None, Clock::System).unwrap();
        let entries = vec![Entry { pointer: "/value".into(), label: "value".into() }];
        let asked = Shown { words: Some("delete everything".into()), entries, ..shown() };
        let question = store.ask(&OWNER, &[7; 32], asked, HOUR).unwrap();
        let decide = |words: Option<&str>, value: &str| {
            let entered = BTreeMap::from([("/value".to_owned(), value.into())]);
            let confirm = Decision::Confirm { by: "console".into(), words: words.map(str::to_owned), entered };
            store.decide(&question.id, confirm)
        };
        assert!(matches!(decide(None, "canary"), Err(DecisionError::Words(_))));
        assert!(matches!(decide(Some("delete"), "canary"), Err(DecisionError::Words(_))));
        assert!(matches!(decide(Some("delete everything"), ""), Err(DecisionError::Missing(_))));
        decide(Some(" Delete EVERYTHING "), "canary").unwrap();
        let Some(Answer::Confirmed { entered, .. }) = store.take(&OWNER, &[7; 32]).unwrap() else {
            panic!("confirmed")
        };
        assert_eq!(entered["/value"].expose_secret(), "canary");
        let left = std::fs::read(folder.path().join("glass.db-wal")).unwrap();
        assert!(!left.windows(6).any(|bytes| bytes == b"canary"));
    }
}
