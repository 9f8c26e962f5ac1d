//! A copy of a database in memory, and a look at everything in it: the database itself is not touched, and whatever time
//! the look takes, nobody waits for it.

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::super::{
    accounts,
    crypto::MasterKey,
    error::OpenError,
    ids,
    keyring::Keyring,
    keys, schema, secrets,
    start::Start,
    store::{self, StoreError},
};

/// How many of SQLite's own complaints are kept.
const COMPLAINTS: usize = 10;

/// A copy that nobody has looked at yet.
pub(super) struct Copied {
    connection: Connection,
    problems: Vec<String>,
}

/// A copy, and what is wrong with it.
pub(super) struct Looked {
    /// The copy, of the present schema unless there are problems.
    pub(super) connection: Connection,
    /// The keys, if a master key opened them.
    pub(super) keyring: Option<Keyring>,
    /// What is wrong, a line each.
    pub(super) problems: Vec<String>,
}

impl Looked {
    /// Whether nothing is wrong with it but that no master key opened it.
    pub(super) fn is_closed(&self) -> bool {
        self.keyring.is_none() && self.problems.is_empty()
    }
}

/// Copies a database, as it is at one moment.
pub(super) fn of(source: &Connection, start: &Start<'_>) -> Result<Copied, OpenError> {
    let copy = || -> rusqlite::Result<Copied> {
        let mut connection = Connection::open_in_memory()?;
        let mut problems = Vec::new();
        let encoding: String = source.query_row("PRAGMA encoding", [], |row| row.get(0))?;
        if encoding != "UTF-8" {
            problems.push(format!("its texts are encoded in {encoding}, which keyglass never does"));
        }
        let page_size: i64 = source.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let usual: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        if page_size != usual {
            problems.push(format!("its pages have {page_size} bytes, those of keyglass {usual}"));
        }
        if problems.is_empty() {
            let backup = Backup::new(source, &mut connection)?;
            schema::insist(start.patience, || all(&backup))?;
        }
        Ok(Copied { connection, problems })
    };
    copy().map_err(|error| start.failed(error.into()))
}

/// Copies all pages, or all that are left, in one step.
pub(super) fn all(backup: &Backup<'_, '_>) -> rusqlite::Result<()> {
    match backup.step(-1)? {
        StepResult::Done => Ok(()),
        _ => Err(store::busy()),
    }
}

impl Copied {
    /// Looks at everything, with the first of these master keys that opens it. `start` names the database in errors.
    pub(super) fn look(self, start: &Start<'_>, masters: &[MasterKey]) -> Result<Looked, OpenError> {
        let Self { connection, mut problems } = self;
        let mut keyring = None;
        if problems.is_empty() && structure(&connection, start, &mut problems)? {
            keyring = open(&connection, start, masters, &mut problems)?;
        }
        if let Some(keyring) = &keyring {
            let failed = |error| start.failed(error);
            let ids = ids::last(&connection).map(drop);
            let account = accounts::ensure(&connection, start.now_ms).map(drop);
            for outcome in [ids, account] {
                match outcome {
                    Err(error @ StoreError::Damaged(_)) => problems.push(error.to_string()),
                    other => other.map_err(failed)?,
                }
            }
            problems.extend(keyring.problems(&connection).map_err(failed)?);
            problems.extend(keys::problems(&connection, keyring).map_err(failed)?);
            problems.extend(secrets::problems(&connection, keyring).map_err(failed)?);
            problems.extend(secrets::count_problems(&connection).map_err(failed)?);
        }
        Ok(Looked { connection, keyring, problems })
    }
}

/// Looks at pages, tables and references, and brings the schema up to date; gives whether it is.
fn structure(connection: &Connection, start: &Start<'_>, problems: &mut Vec<String>) -> Result<bool, OpenError> {
    let look = || -> rusqlite::Result<(Vec<String>, Vec<String>)> {
        let lines = |sql| -> rusqlite::Result<Vec<String>> {
            connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        let mut complaints = lines("PRAGMA integrity_check")?;
        complaints.retain(|line| line != "ok");
        complaints.truncate(COMPLAINTS);
        let dangling = "SELECT DISTINCT 'rows of the table `' || \"table\" || '` refer to rows that are not there'
                        FROM pragma_foreign_key_check";
        complaints.extend(lines(dangling)?);
        let deviations = schema::deviations(connection)?;
        Ok((complaints, deviations.into_iter().map(|deviation| deviation.line).collect()))
    };
    let (complaints, deviations) = look().map_err(|error| start.failed(error.into()))?;
    let is_as_made = deviations.is_empty();
    problems.extend(complaints.into_iter().chain(deviations));
    if is_as_made {
        schema::migrate(connection, start.database, start.patience)?;
    }
    Ok(is_as_made || schema::is_current(connection).map_err(|error| start.failed(error.into()))?)
}

/// The keys, with the first of these master keys that opens them.
fn open(
    connection: &Connection,
    start: &Start<'_>,
    masters: &[MasterKey],
    problems: &mut Vec<String>,
) -> Result<Option<Keyring>, OpenError> {
    for master in masters {
        match start.keyring_of(connection, master) {
            Ok(None) => {}
            Err(OpenError::Damaged { reason, .. }) => {
                problems.push(reason);
                return Ok(None);
            }
            other => return other,
        }
    }
    Ok(None)
}
