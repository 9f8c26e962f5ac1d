//! Questions that wait for a person: whether a call may be carried out, and which secret values go into it.
//!
//! A question is bound to one call of one principal. Its answer is used once, by that call alone.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Store, StoreError, place, random_text};

/// Characters of an id.
const ID_CHARACTERS: usize = 22;
/// Characters of a code: enough among the few questions that wait, and easily typed.
const CODE_CHARACTERS: usize = 6;
/// How many questions of one principal may wait at once.
const MOST_WAITING: i64 = 50;

/// The name of a question, unguessable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QuestionId(String);

/// What a person sees of a call before they decide. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Names the question to a person, in a terminal and in the console alone. Given by the store.
    #[serde(default)]
    pub code: String,
    /// The name of the tool.
    pub tool: String,
    /// Its name for a person.
    pub title: String,
    /// Its class of risk.
    pub risk: String,
    /// Why it is in that class.
    pub reason: String,
    /// Who asked for the call.
    pub principal: String,
    /// The program that asked for it, as it calls itself.
    pub client: String,
    /// The exact request, as text: method, URL, headers, body.
    pub request: String,
    /// What the call is about, as it is now, where that could be read.
    #[serde(default)]
    pub subject: Option<Subject>,
    /// What the person has to be told besides, a sentence each: scopes that are asked for, what never expires.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What the person has to write to confirm, where a click is too little.
    #[serde(default)]
    pub words: Option<String>,
    /// Secret values that the person is asked for.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// Whether the call waits to be confirmed, and not for secret values alone.
    pub confirms: bool,
}

/// The object that a call is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The tool that it was read by.
    pub tool: String,
    /// What it answered, with secrets masked.
    pub value: Value,
}

/// A secret value that a person is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The argument, as a JSON pointer.
    pub pointer: String,
    /// What it is, for a person.
    pub label: String,
}

/// How far a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has decided.
    Waiting,
    /// A person confirmed the call, which was not carried out yet.
    Confirmed,
    /// A person refused it.
    Refused,
    /// The call was carried out, or told of the refusal.
    Used,
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Its name.
    pub id: QuestionId,
    /// What a person sees.
    pub shown: Shown,
    /// How far it is.
    pub state: State,
    /// When the client of the call was last asked and nobody decided there, in Unix milliseconds: somebody has to do so
    /// elsewhere. None where that was not so.
    pub passed_on_at_ms: Option<i64>,
    /// When it was asked, in Unix milliseconds.
    pub create_time_ms: i64,
    /// When it ends, in Unix milliseconds.
    pub expires_at_ms: i64,
}

/// Why a question does not wait.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Too many do.
    #[error("{MOST_WAITING} calls of this caller wait for a person already")]
    TooMany,
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a person decides.
#[derive(Debug)]
pub enum Decision {
    /// The call may be carried out as it was shown.
    Confirm {
        /// By what way, as `console` or `terminal`.
        by: String,
        /// What the person wrote, where something is to be written.
        words: Option<String>,
        /// The secret values, by their pointers.
        entered: BTreeMap<String, SecretString>,
    },
    /// It may not.
    Refuse {
        /// By what way.
        by: String,
    },
}

/// Why a decision does not count.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such question.
    #[error("no call waits under this name: it never did, was decided on already, or its time is over")]
    Unknown,
    /// The words are not those that were asked for.
    #[error("to confirm this, write `{0}`")]
    Words(String),
    /// A value is missing.
    #[error("the value of `{0}` is missing")]
    Missing(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a question, for the call that it is about.
#[derive(Debug)]
pub enum Answer {
    /// A person confirmed the call. Now it is used up.
    Confirmed {
        /// By what way.
        by: String,
        /// The secret values, by their pointers.
        entered: BTreeMap<String, SecretString>,
    },
    /// A person refused it. The same call asks anew.
    Refused {
        /// By what way.
        by: String,
    },
    /// Nobody has decided.
    Waiting(Box<Question>),
}

#[derive(Serialize, Deserialize)]
struct Written {
    by: String,
    #[serde(default)]
    /// Overwritten when it is freed, as all memory of this program.
    entered: BTreeMap<String, String>,
}

/// Whether what a person wrote are the words that they were asked for. Case and the space around them say nothing.
pub fn are_the_words(written: &str, wanted: &str) -> bool {
    written.trim().to_lowercase() == wanted.trim().to_lowercase()
}

impl fmt::Display for QuestionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for QuestionId {
    type Err = DecisionError;

    fn from_str(text: &str) -> Result<Self, DecisionError> {
        let is_one = text.len() == ID_CHARACTERS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_one { Ok(Self(text.to_owned())) } else { Err(DecisionError::Unknown) }
    }
}

impl Decision {
    /// What it comes to for a question that is shown so. Error: [`DecisionError::Words`], [`DecisionError::Missing`].
    pub fn state(&self, shown: &Shown) -> Result<State, DecisionError> {
        let Self::Confirm { words, entered, .. } = self else { return Ok(State::Refused) };
        if let Some(wanted) = &shown.words
            && !words.as_deref().is_some_and(|words| are_the_words(words, wanted))
        {
            return Err(DecisionError::Words(wanted.clone()));
        }
        let is_missing = |pointer: &String| entered.get(pointer).is_none_or(|value| value.expose_secret().is_empty());
        match shown.entries.iter().find(|entry| is_missing(&entry.pointer)) {
            Some(entry) => Err(DecisionError::Missing(entry.label.clone())),
            None => Ok(State::Confirmed),
        }
    }
}

impl State {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Waiting, "waiting"), (Self::Confirmed, "confirmed"), (Self::Refused, "refused"), (Self::Used, "used")];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, own)| *own == name).map(|(state, _)| state)
    }
}

impl Store {
    /// Asks whether a call of a principal may be carried out; `binding` stands for all of the call that must not change. A
    /// question that is asked already is given as it is.
    ///
    /// Error: [`AskError::TooMany`] where too many of this principal wait.
    pub fn ask(
        &self,
        owner: &[u8; 32],
        binding: &[u8; 32],
        shown: Shown,
        life: Duration,
    ) -> Result<Question, AskError> {
        let now = self.now_ms();
        let expires = after(now, life);
        self.write(|connection| {
            if let Some(row) = find(connection, owner, binding).map_err(StoreError::from)? {
                return Ok(self.question(row)?);
            }
            let waiting: i64 = connection
                .prepare_cached("SELECT count(*) FROM questions WHERE owner = ?1 AND state = 'waiting'")
                .and_then(|mut statement| statement.query_row([owner], |row| row.get(0)))
                .map_err(StoreError::from)?;
            if waiting >= MOST_WAITING {
                return Err(AskError::TooMany);
            }
            let id = random_text(ID_CHARACTERS)?;
            let shown = Shown { code: random_text(CODE_CHARACTERS)?, ..shown };
            let text = serde_json::to_vec(&shown).map_err(|_| StoreError::Damaged)?;
            let sealed = self.sealing.seal(&text, &[&place("question", owner, &id)]).map_err(StoreError::from)?;
            connection
                .prepare_cached(
                    "INSERT INTO questions (id, owner, binding, state, shown, create_time_ms, expires_at_ms)
                     VALUES (?1, ?2, ?3, 'waiting', ?4, ?5, ?6)",
                )
                .and_then(|mut statement| statement.execute(params![id, owner, binding, sealed, now, expires]))
                .map_err(StoreError::from)?;
            let id = QuestionId(id);
            let passed_on_at_ms = None;
            let (create_time_ms, expires_at_ms) = (now, expires);
            Ok(Question { id, shown, state: State::Waiting, passed_on_at_ms, create_time_ms, expires_at_ms })
        })
    }

    /// The question about a call, however far it is. None where it was not asked, or is over. Uses nothing up.
    pub fn look(&self, owner: &[u8; 32], binding: &[u8; 32]) -> Result<Option<Question>, StoreError> {
        // Before the row is unsealed others may use the connection.
        let row = find(&self.lock(), owner, binding)?;
        row.filter(|row| row.expires_at_ms > self.now_ms()).map(|row| self.question(row)).transpose()
    }

    /// What became of the question about a call. None where it was not asked, or is over. An answer is used up by this.
    pub fn take(&self, owner: &[u8; 32], binding: &[u8; 32]) -> Result<Option<Answer>, StoreError> {
        // Calls that were never asked about, and those that go on waiting, take no turn at writing.
        match self.look(owner, binding)? {
            None => return Ok(None),
            Some(question) if question.state == State::Waiting => return Ok(Some(Answer::Waiting(Box::new(question)))),
            Some(_) => {}
        }
        self.write(|connection| {
            let Some(row) = find(connection, owner, binding)? else { return Ok(None) };
            if row.state == State::Waiting {
                return Ok(Some(Answer::Waiting(Box::new(self.question(row)?))));
            }
            let used = "UPDATE questions SET state = 'used', answer = NULL WHERE id = ?1";
            connection.prepare_cached(used)?.execute([&row.id])?;
            let sealed = row.answer.as_deref().ok_or(StoreError::Damaged)?;
            let written = self.sealing.unseal(sealed, &[&answer_place(owner, binding, &row)])?;
            let Written { by, entered } = serde_json::from_slice(&written).map_err(|_| StoreError::Damaged)?;
            Ok(Some(match row.state {
                State::Confirmed => {
                    let secret = |(pointer, value): (String, String)| (pointer, SecretString::from(value));
                    Answer::Confirmed { by, entered: entered.into_iter().map(secret).collect() }
                }
                _ => Answer::Refused { by },
            }))
        })
    }

    /// Uses the question about a call up, as one that was confirmed by another way. With an `id` it has to be that question.
    /// False where none waits: it was decided on, used up, or is over.
    pub fn use_up(&self, owner: &[u8; 32], binding: &[u8; 32], id: Option<&QuestionId>) -> Result<bool, StoreError> {
        self.write(|connection| {
            let sql = "UPDATE questions SET state = 'used', answer = NULL
                       WHERE owner = ?1 AND binding = ?2 AND state = 'waiting' AND (?3 IS NULL OR id = ?3)";
            let used = connection.prepare_cached(sql)?.execute(params![owner, binding, id.map(|id| &id.0)])?;
            Ok(used > 0)
        })
    }

    /// Ends the question about a call that waits: it was answered by another way.
    pub fn settle(&self, owner: &[u8; 32], binding: &[u8; 32]) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE questions SET state = 'used', answer = NULL WHERE owner = ?1 AND binding = ?2";
            connection.prepare_cached(sql)?.execute(params![owner, binding])?;
            Ok(())
        })
    }

    /// Notes that the client of a call was asked just now and nobody decided there.
    pub fn pass_on(&self, owner: &[u8; 32], binding: &[u8; 32]) -> Result<(), StoreError> {
        let now = self.now_ms();
        self.write(|connection| {
            let sql = "UPDATE questions SET passed_on = ?3 WHERE owner = ?1 AND binding = ?2 AND state = 'waiting'";
            connection.prepare_cached(sql)?.execute(params![owner, binding, now])?;
            Ok(())
        })
    }

    /// Lets the question about a call wait for no longer than this from now on.
    pub fn shorten(&self, owner: &[u8; 32], binding: &[u8; 32], life: Duration) -> Result<(), StoreError> {
        let expires = after(self.now_ms(), life);
        self.write(|connection| {
            let sql = "UPDATE questions SET expires_at_ms = min(expires_at_ms, ?3)
                       WHERE owner = ?1 AND binding = ?2 AND state = 'waiting'";
            connection.prepare_cached(sql)?.execute(params![owner, binding, expires])?;
            Ok(())
        })
    }

    /// Decides on a question that waits.
    pub fn decide(&self, id: &QuestionId, decision: Decision) -> Result<Question, DecisionError> {
        self.write(|connection| {
            let found = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM questions WHERE id = ?1 AND state = 'waiting'"))
                .and_then(|mut statement| statement.query_row([&id.0], read).optional())
                .map_err(StoreError::from)?;
            let mut row = found.ok_or(DecisionError::Unknown)?;
            let question = self.question(row.clone())?;
            let state = decision.state(&question.shown)?;
            let written = match decision {
                Decision::Refuse { by } => Written { by, entered: BTreeMap::new() },
                Decision::Confirm { by, words: _, mut entered } => {
                    let pointers = question.shown.entries.iter().map(|entry| &entry.pointer);
                    let values = pointers.filter_map(|pointer| Some((pointer.clone(), entered.remove(pointer)?)));
                    let values = values.map(|(pointer, value)| (pointer, value.expose_secret().to_owned()));
                    Written { by, entered: values.collect() }
                }
            };
            row.state = state;
            let text = Zeroizing::new(serde_json::to_vec(&written).map_err(|_| StoreError::Damaged)?);
            let place = answer_place(&row.owner, &row.binding, &row);
            let sealed = self.sealing.seal(&text, &[&place]).map_err(StoreError::from)?;
            connection
                .execute(
                    "UPDATE questions SET state = ?2, answer = ?3 WHERE id = ?1",
                    params![row.id, state.name(), sealed],
                )
                .map_err(StoreError::from)?;
            Ok(Question { state, ..question })
        })
    }

    /// How far a question is. None where there is none, or it is over.
    pub fn state(&self, id: &QuestionId) -> Result<Option<State>, StoreError> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM questions WHERE id = ?1 AND expires_at_ms > ?2");
        let mut statement = connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![id.0, self.now_ms()], read).optional()?.map(|row| row.state))
    }

    /// The questions of whomever that wait for a person, the oldest first.
    pub fn waiting(&self) -> Result<Vec<Question>, StoreError> {
        let connection = self.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM questions WHERE state = 'waiting' AND expires_at_ms > ?1 ORDER BY create_time_ms, rowid"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([self.now_ms()], read)?.collect::<Result<Vec<Row>, _>>()?;
        // What an earlier master key sealed is as good as gone.
        Ok(rows.into_iter().filter_map(|row| self.question(row).ok()).collect())
    }

    /// The question that waits under this code, in whatever case it is written, or under its whole name.
    pub fn waiting_as(&self, code: &str) -> Result<Option<Question>, StoreError> {
        let code = code.trim();
        let waiting = self.waiting()?;
        let mut found = waiting.into_iter().filter(|one| one.shown.code.eq_ignore_ascii_case(code) || one.id.0 == code);
        let first = found.next();
        // Two codes that differ in case alone name neither.
        Ok(first.filter(|_| found.next().is_none()))
    }

    fn question(&self, row: Row) -> Result<Question, StoreError> {
        let shown = self.sealing.unseal(&row.shown, &[&place("question", &row.owner, &row.id)])?;
        let shown = serde_json::from_slice(&shown).map_err(|_| StoreError::Damaged)?;
        let Row { id, state, passed_on_at_ms, create_time_ms, expires_at_ms, .. } = row;
        Ok(Question { id: QuestionId(id), shown, state, passed_on_at_ms, create_time_ms, expires_at_ms })
    }
}

const COLUMNS: &str = "id, owner, binding, state, shown, answer, create_time_ms, expires_at_ms, passed_on";

#[derive(Clone)]
struct Row {
    id: String,
    owner: [u8; 32],
    binding: [u8; 32],
    state: State,
    shown: Vec<u8>,
    answer: Option<Vec<u8>>,
    create_time_ms: i64,
    expires_at_ms: i64,
    passed_on_at_ms: Option<i64>,
}

pub(super) fn after(now_ms: i64, life: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let state: String = row.get(3)?;
    Ok(Row {
        id: row.get(0)?,
        owner: row.get(1)?,
        binding: row.get(2)?,
        state: State::of(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        shown: row.get(4)?,
        answer: row.get(5)?,
        create_time_ms: row.get(6)?,
        expires_at_ms: row.get(7)?,
        passed_on_at_ms: Some(row.get(8)?).filter(|at_ms| *at_ms != 0),
    })
}

/// The question about a call that is not used up.
fn find(connection: &Connection, owner: &[u8; 32], binding: &[u8; 32]) -> rusqlite::Result<Option<Row>> {
    let sql =
        format!("SELECT {COLUMNS} FROM questions WHERE owner = ?1 AND binding = ?2 AND state <> 'used' ORDER BY rowid");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(params![owner, binding], read).optional()
}

/// A sealed answer says which question of which call it is to, and how it was decided: none is worth anything elsewhere.
fn answer_place(owner: &[u8; 32], binding: &[u8; 32], row: &Row) -> String {
    place(&format!("answer {} {}", row.state.name(), row.id), owner, &place("binding", binding, ""))
}
