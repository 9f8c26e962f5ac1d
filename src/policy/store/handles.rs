//! Handles: names for secret values that this program holds. Each belongs to one principal and expires.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use rusqlite::{OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, place, questions::after, random_text};

/// Characters of an id: 22 of 58 kinds hold 128 bits.
const ID_CHARACTERS: usize = 22;
/// How a handle begins.
const SCHEME: &str = "secret://";
/// How many handles one principal may have. Whichever was shown last the longest ago goes first.
const MOST: i64 = 2_000;

/// The name of a secret value: `secret://` and 22 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(String);

/// Where a secret value came from, for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The tool that answered with it, or asked for it.
    pub tool: String,
    /// The member of the answer or the argument, as `/key_secret`.
    pub place: String,
    /// What it is about, where that is known: the name or the id of an object.
    pub about: String,
}

/// A value to be kept.
#[derive(Debug)]
pub struct Kept<'a> {
    /// The value.
    pub value: &'a SecretString,
    /// Where it came from.
    pub origin: Origin,
}

/// What is known of a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Its name.
    pub id: HandleId,
    /// Where its value came from.
    pub origin: Origin,
    /// When it was made, in Unix milliseconds.
    pub create_time_ms: i64,
    /// When it ends, in Unix milliseconds.
    pub expires_at_ms: i64,
    /// When a person saw its value, in Unix milliseconds.
    pub revealed_at_ms: Option<i64>,
}

/// Why a handle gives no value.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// There is none of this name for this principal.
    #[error(
        "there is no such handle here: it never was, is somebody else's, or has expired; `keyglass reveal` lists those there \
         are, and the call that gave it gives a new one"
    )]
    Unknown,
    /// A person saw its value already.
    #[error(
        "its value was revealed already, and each is revealed once; calls go on taking the handle, and where the value is lost, \
         have its service make a new one"
    )]
    Revealed,
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HandleId {
    /// Whether a text is meant as a handle.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }
}

impl FromStr for HandleId {
    type Err = HandleError;

    /// With `secret://` before it, or without.
    fn from_str(text: &str) -> Result<Self, HandleError> {
        let id = text.trim();
        let id = id.strip_prefix(SCHEME).unwrap_or(id);
        let is_one = id.len() == ID_CHARACTERS && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_one { Ok(Self(id.to_owned())) } else { Err(HandleError::Unknown) }
    }
}

impl fmt::Display for HandleId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}", self.0)
    }
}

/// Whoever lives until then was shown a moment ago, and what that changes is not worth a write.
fn fresh(expires_at_ms: i64, life: Duration) -> i64 {
    expires_at_ms.saturating_sub(i64::try_from(life.as_millis() / 24).unwrap_or_default())
}

impl Store {
    /// Keeps values for a principal, and gives the handle of each, in their order. A value that is there already keeps its
    /// handle, which lives on for as long.
    pub fn keep(&self, owner: &[u8; 32], values: &[Kept<'_>], life: Duration) -> Result<Vec<HandleId>, StoreError> {
        let now = self.now_ms();
        let expires = after(now, life);
        let digests: Vec<[u8; 32]> = values
            .iter()
            .map(|Kept { value, .. }| self.sealing.digest("handle", &[owner, value.expose_secret().as_bytes()]))
            .collect();
        if let Some(ids) = self.kept_lately(owner, &digests, fresh(expires, life))? {
            return Ok(ids);
        }
        self.write(|connection| {
            let mut ids = Vec::with_capacity(values.len());
            for (Kept { value, origin }, digest) in values.iter().zip(digests) {
                let known: Option<String> = connection
                    .prepare_cached(
                        "UPDATE handles SET expires_at_ms = max(expires_at_ms, ?3) WHERE owner = ?1 AND digest = ?2
                         RETURNING id",
                    )?
                    .query_row(params![owner, digest, expires], |row| row.get(0))
                    .optional()?;
                if let Some(id) = known {
                    ids.push(HandleId(id));
                    continue;
                }
                let id = random_text(ID_CHARACTERS)?;
                let sealed = self.sealing.seal(value.expose_secret().as_bytes(), &[&place("handle", owner, &id)])?;
                let origin = serde_json::to_vec(origin).map_err(|_| StoreError::Damaged)?;
                let origin = self.sealing.seal(&origin, &[&place("origin", owner, &id)])?;
                connection
                    .prepare_cached(
                        "INSERT INTO handles (id, owner, digest, sealed, origin, create_time_ms, expires_at_ms)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![id, owner, digest, sealed, origin, now, expires])?;
                ids.push(HandleId(id));
            }
            connection
                .prepare_cached(
                    "DELETE FROM handles WHERE owner = ?1 AND id NOT IN
                     (SELECT id FROM handles WHERE owner = ?1 ORDER BY expires_at_ms DESC, rowid DESC LIMIT ?2)",
                )?
                .execute(params![owner, MOST])?;
            Ok(ids)
        })
    }

    /// The handles of values with these digests, where all of them live until `fresh` at least.
    fn kept_lately(
        &self,
        owner: &[u8; 32],
        digests: &[[u8; 32]],
        fresh: i64,
    ) -> Result<Option<Vec<HandleId>>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT id FROM handles WHERE owner = ?1 AND digest = ?2 AND expires_at_ms >= ?3";
        let mut find = connection.prepare_cached(sql)?;
        let found = digests.iter().map(|digest| {
            let id = find.query_row(params![owner, digest, fresh], |row| row.get(0)).optional()?;
            Ok(id.map(HandleId))
        });
        found.collect()
    }

    /// Lets these handles of a principal live on for as long. Those that there are.
    pub fn renew(
        &self,
        owner: &[u8; 32],
        ids: Vec<HandleId>,
        life: Duration,
    ) -> Result<BTreeSet<HandleId>, StoreError> {
        let now = self.now_ms();
        let expires = after(now, life);
        let fresh = fresh(expires, life);
        let (mut good, mut old) = (BTreeSet::new(), Vec::new());
        {
            let connection = self.lock();
            let mut find =
                connection.prepare_cached("SELECT expires_at_ms FROM handles WHERE owner = ?1 AND id = ?2")?;
            for id in ids {
                match find.query_row(params![owner, id.0], |row| row.get::<_, i64>(0)).optional()? {
                    Some(until) if until >= fresh => drop(good.insert(id)),
                    Some(_) => old.push(id),
                    None => {}
                }
            }
        }
        if old.is_empty() {
            return Ok(good);
        }
        self.write(|connection| {
            let sql = "UPDATE handles SET expires_at_ms = max(expires_at_ms, ?3) WHERE owner = ?1 AND id = ?2";
            let mut renew = connection.prepare_cached(sql)?;
            for id in old {
                if renew.execute(params![owner, id.0, expires])? > 0 {
                    good.insert(id);
                }
            }
            Ok(good)
        })
    }

    /// The value that a handle stands for.
    pub fn value(&self, owner: &[u8; 32], id: &HandleId) -> Result<SecretString, HandleError> {
        let connection = self.lock();
        let find = "SELECT sealed FROM handles WHERE id = ?1 AND owner = ?2 AND expires_at_ms > ?3";
        let sealed: Option<Vec<u8>> = connection
            .prepare_cached(find)
            .and_then(|mut statement| {
                statement.query_row(params![id.0, owner, self.now_ms()], |row| row.get(0)).optional()
            })
            .map_err(StoreError::from)?;
        self.opened(owner, &id.0, &sealed.ok_or(HandleError::Unknown)?)
    }

    /// The value that a handle of whomever stands for, for a person, once.
    pub fn reveal(&self, id: &HandleId) -> Result<SecretString, HandleError> {
        self.write(|connection| {
            let found: Option<([u8; 32], Vec<u8>, Option<i64>)> = connection
                .prepare_cached("SELECT owner, sealed, revealed_at_ms FROM handles WHERE id = ?1")
                .and_then(|mut statement| {
                    statement.query_row([&id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
                })
                .map_err(StoreError::from)?;
            let (owner, sealed, revealed) = found.ok_or(HandleError::Unknown)?;
            if revealed.is_some() {
                return Err(HandleError::Revealed);
            }
            let value = self.opened(&owner, &id.0, &sealed)?;
            connection
                .execute("UPDATE handles SET revealed_at_ms = ?2 WHERE id = ?1", params![id.0, self.now_ms()])
                .map_err(StoreError::from)?;
            Ok(value)
        })
    }

    /// Ends a handle. Whether there was one.
    pub fn forget(&self, id: &HandleId) -> Result<bool, StoreError> {
        self.write(|connection| Ok(connection.execute("DELETE FROM handles WHERE id = ?1", [&id.0])? > 0))
    }

    /// All handles, of whomever, the newest first.
    pub fn handles(&self) -> Result<Vec<Handle>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, owner, origin, create_time_ms, expires_at_ms, revealed_at_ms FROM handles
             WHERE expires_at_ms > ?1 ORDER BY create_time_ms DESC, rowid DESC",
        )?;
        let mut rows = statement.query([self.now_ms()])?;
        let mut handles = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, owner, origin): (String, [u8; 32], Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            // What an earlier master key sealed is as good as gone.
            let Ok(origin) = self.sealing.unseal(&origin, &[&place("origin", &owner, &id)]) else { continue };
            handles.push(Handle {
                id: HandleId(id),
                origin: serde_json::from_slice(&origin).map_err(|_| StoreError::Damaged)?,
                create_time_ms: row.get(3)?,
                expires_at_ms: row.get(4)?,
                revealed_at_ms: row.get(5)?,
            });
        }
        Ok(handles)
    }

    /// The values of all handles of a principal, each with its handle.
    pub fn values(&self, owner: &[u8; 32]) -> Result<Vec<(HandleId, SecretString)>, StoreError> {
        let connection = self.lock();
        let find = "SELECT id, sealed FROM handles WHERE owner = ?1 AND expires_at_ms > ?2";
        let mut statement = connection.prepare_cached(find)?;
        let mut rows = statement.query(params![owner, self.now_ms()])?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            if let Ok(value) = self.opened(owner, &id, &sealed) {
                values.push((HandleId(id), value));
            }
        }
        Ok(values)
    }

    fn opened(&self, owner: &[u8; 32], id: &str, sealed: &[u8]) -> Result<SecretString, HandleError> {
        // Sealed with an earlier master key, which is gone: so is what it sealed.
        let value = self.sealing.unseal(sealed, &[&place("handle", owner, id)]).map_err(|_| HandleError::Unknown)?;
        let text = std::str::from_utf8(&value).map_err(|_| StoreError::Damaged)?;
        Ok(SecretString::from(text))
    }
}
