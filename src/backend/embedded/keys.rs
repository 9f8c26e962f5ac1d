//! The rows of API keys, whoever they are for: Runloop's, RunTools', Runtype's.
//!
//! A key itself is never stored: the row holds its keyed digest. Every row carries a mark, so that a scope or an expiry
//! that was edited in the file is noticed before it is believed.

use rusqlite::{Connection, OptionalExtension as _, named_params};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    crypto::{DIGEST_BYTES, KEY_CHARACTERS, equal, is_key, new_key},
    error::ApiError,
    ids,
    keyring::{Keyring, Row},
    store::{StoreError, changed_one},
};

const COLUMNS: &str = "id, account_id, provider, kind, name, digest, scopes, details, create_time_ms, expires_at_ms, \
                       revoked_at_ms, replaced_by, mark";

/// Whose API a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// `ak_`, `rk_`.
    Runloop,
    /// `rt_live_`, `rt_test_`.
    RunTools,
    /// `rt_live_`, `rt_test_` as well: the key itself does not tell the two apart.
    Runtype,
}

impl Provider {
    /// As the database and the management API write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Runloop => "runloop",
            Self::RunTools => "runtools",
            Self::Runtype => "runtype",
        }
    }

    /// The provider of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Runloop, Self::RunTools, Self::Runtype].into_iter().find(|provider| provider.name() == name)
    }
}

/// What a key is, and with that its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ak_`, made at the start, written to a file for the operator.
    Root,
    /// `ak_`, may do everything at Runloop's API.
    Standard,
    /// `rk_`, may do what its scopes grant.
    Restricted,
    /// `rt_live_`.
    Live,
    /// `rt_test_`.
    Test,
}

impl Kind {
    /// What a key of this kind starts with, without the last `_`.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Root | Self::Standard => "ak",
            Self::Restricted => "rk",
            Self::Live => "rt_live",
            Self::Test => "rt_test",
        }
    }

    /// How many random characters follow the prefix. Those of `rt_` keys are 32 in RunTools' published source, and clients
    /// may look for that; they hold 190 bits.
    pub(super) fn characters(self) -> usize {
        match self {
            Self::Root | Self::Standard | Self::Restricted => KEY_CHARACTERS,
            Self::Live | Self::Test => 32,
        }
    }

    /// As the database and the management API write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Standard => "standard",
            Self::Restricted => "restricted",
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Root, Self::Standard, Self::Restricted, Self::Live, Self::Test]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A key to be stored.
#[derive(Clone, Debug)]
pub(super) struct NewKey {
    /// The account it is for.
    pub(super) account_id: String,
    /// Whose API it is for.
    pub(super) provider: Provider,
    /// What it is.
    pub(super) kind: Kind,
    /// What its maker calls it.
    pub(super) name: Option<String>,
    /// What it may do, as its provider's API writes it, in JSON. `None`: everything.
    pub(super) scopes: Option<String>,
    /// What else its provider's API tells of it, in JSON.
    pub(super) details: Option<String>,
    /// From when on it is refused, in Unix milliseconds.
    pub(super) expires_at_ms: Option<i64>,
}

/// A stored key.
#[derive(Clone, Debug)]
pub(super) struct StoredKey {
    /// Its id: of the form of Runloop's ids, or a UUID.
    pub(super) id: String,
    /// What was stored at first, or changed since.
    pub(super) key: NewKey,
    /// When it was made, in Unix milliseconds.
    pub(super) create_time_ms: i64,
    /// When it was revoked, in Unix milliseconds.
    pub(super) revoked_at_ms: Option<i64>,
    /// The id of the key that took its place.
    pub(super) replaced_by: Option<String>,
    digest: [u8; DIGEST_BYTES],
}

impl StoredKey {
    /// Whether it works at this time.
    pub(super) fn state(&self, now_ms: i64) -> State {
        match (self.revoked_at_ms, self.key.expires_at_ms) {
            (Some(_), _) => State::Revoked,
            (None, Some(expiry)) if expiry <= now_ms => State::Expired,
            _ => State::Active,
        }
    }

    /// What the key is found by.
    pub(super) fn digest(&self) -> &[u8; DIGEST_BYTES] {
        &self.digest
    }

    /// Refuses to change a key that another one took the place of: its end was set then, and is to stay.
    pub(super) fn refuse_replaced(&self) -> Result<(), ApiError> {
        match &self.replaced_by {
            None => Ok(()),
            Some(other) => Err(ApiError::invalid(format!("the key was replaced, by `{other}`; change that one"))),
        }
    }

    fn checked(self, connection: &Connection, keyring: &Keyring, mark: &[u8]) -> Result<Self, StoreError> {
        keyring.check(connection, &self.row(), mark).map_err(|error| match self.key.kind {
            // Without it nothing starts, so no command can remove it.
            Kind::Root => error,
            _ => damaged(error, &self.id),
        })?;
        Ok(self)
    }

    fn row(&self) -> Row {
        let NewKey { account_id, provider, kind, name, scopes, details, expires_at_ms } = &self.key;
        Row::of("keys")
            .text(&self.id)
            .text(account_id)
            .text(provider.name())
            .text(kind.name())
            .optional_text(name.as_deref())
            .bytes(&self.digest)
            .optional_text(scopes.as_deref())
            .optional_text(details.as_deref())
            .integer(self.create_time_ms)
            .optional_integer(*expires_at_ms)
            .optional_integer(self.revoked_at_ms)
            .optional_text(self.replaced_by.as_deref())
    }
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It works.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

/// Makes a key, stores it, and gives it with its row.
pub(super) fn mint(
    connection: &Connection,
    keyring: &Keyring,
    key: NewKey,
    now_ms: i64,
) -> Result<(StoredKey, SecretString), StoreError> {
    let secret = new_key(key.kind.prefix(), key.kind.characters())?;
    let stored = insert(connection, keyring, &secret, key, now_ms)?;
    Ok((stored, secret))
}

/// Stores a key that there is already.
pub(super) fn insert(
    connection: &Connection,
    keyring: &Keyring,
    secret: &SecretString,
    key: NewKey,
    now_ms: i64,
) -> Result<StoredKey, StoreError> {
    let id = match key.provider {
        // no source tells what ids of keys look like; every other id is a short prefix and 21 characters
        Provider::Runloop => ids::next(connection, "key", now_ms)?,
        Provider::RunTools | Provider::Runtype => ids::uuid()?,
    };
    let digest = keyring.digests(connection)?.of_key(secret.expose_secret());
    let stored = StoredKey { id, key, create_time_ms: now_ms, revoked_at_ms: None, replaced_by: None, digest };
    let mark = keyring.mark(connection, &stored.row())?;
    let made = connection.execute(
        "INSERT INTO keys (id, account_id, provider, kind, name, digest, scopes, details, create_time_ms, expires_at_ms,
                           mark)
         VALUES (:id, :account_id, :provider, :kind, :name, :digest, :scopes, :details, :now_ms, :expires_at_ms, :mark)",
        named_params! {
            ":id": stored.id,
            ":account_id": stored.key.account_id,
            ":provider": stored.key.provider.name(),
            ":kind": stored.key.kind.name(),
            ":name": stored.key.name,
            ":digest": stored.digest,
            ":scopes": stored.key.scopes,
            ":details": stored.key.details,
            ":now_ms": now_ms,
            ":expires_at_ms": stored.key.expires_at_ms,
            ":mark": mark,
        },
    )?;
    changed_one("keys", made)?;
    Ok(stored)
}

/// Puts a new key in the place of a stored one: the row stays, the old key is nothing from now on.
pub(super) fn renew(
    connection: &Connection,
    keyring: &Keyring,
    stored: &mut StoredKey,
) -> Result<SecretString, StoreError> {
    let kind = stored.key.kind;
    let secret = new_key(kind.prefix(), kind.characters())?;
    stored.digest = keyring.digests(connection)?.of_key(secret.expose_secret());
    update(connection, keyring, stored)?;
    Ok(secret)
}

/// Writes what was changed of a stored key.
pub(super) fn update(connection: &Connection, keyring: &Keyring, stored: &StoredKey) -> Result<(), StoreError> {
    let mark = keyring.mark(connection, &stored.row())?;
    let changed = connection.execute(
        "UPDATE keys SET name = :name, digest = :digest, scopes = :scopes, details = :details, expires_at_ms = :expires_at_ms,
                         revoked_at_ms = :revoked_at_ms, replaced_by = :replaced_by, mark = :mark
         WHERE id = :id",
        named_params! {
            ":id": stored.id,
            ":name": stored.key.name,
            ":digest": stored.digest,
            ":scopes": stored.key.scopes,
            ":details": stored.key.details,
            ":expires_at_ms": stored.key.expires_at_ms,
            ":revoked_at_ms": stored.revoked_at_ms,
            ":replaced_by": stored.replaced_by,
            ":mark": mark,
        },
    )?;
    changed_one("keys", changed)
}

/// Ends a key at once. It is read back: that a key is dead is believed and acted upon.
pub(super) fn revoke(
    connection: &Connection,
    keyring: &Keyring,
    stored: StoredKey,
    now_ms: i64,
) -> Result<StoredKey, StoreError> {
    let ended = StoredKey { revoked_at_ms: Some(now_ms), ..stored };
    update(connection, keyring, &ended)?;
    let found = by_id(connection, keyring, &ended.key.account_id, &ended.id)?;
    found.filter(|found| found.revoked_at_ms == Some(now_ms)).ok_or(StoreError::Unchanged("keys"))
}

/// Removes a key whose row is damaged; gives what the row held, which is not to be believed. Nothing where there is no
/// such row.
pub(super) fn remove_damaged(
    connection: &Connection,
    account_id: &str,
    id: &str,
) -> Result<Option<StoredKey>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE account_id = ?1 AND id = ?2");
    let read = connection.prepare_cached(&sql)?.query_row([account_id, id], read).optional()?.flatten();
    let removed = connection.execute("DELETE FROM keys WHERE account_id = ?1 AND id = ?2", [account_id, id])?;
    changed_one("keys", removed)?;
    Ok(read.map(|(stored, _)| stored))
}

/// The key with this digest.
pub(super) fn by_digest(
    connection: &Connection,
    keyring: &Keyring,
    digest: &[u8; DIGEST_BYTES],
) -> Result<Option<StoredKey>, StoreError> {
    // The index finds a row in a time that depends on the digest; without the digests' key nobody can aim at one. The
    // comparison that decides is the constant-time one below.
    let found = select(connection, keyring, "digest = ?1", [digest])?.pop();
    Ok(found.filter(|stored| equal(&stored.digest, digest)))
}

/// The key with this id, of this account.
pub(super) fn by_id(
    connection: &Connection,
    keyring: &Keyring,
    account_id: &str,
    id: &str,
) -> Result<Option<StoredKey>, StoreError> {
    Ok(select(connection, keyring, "account_id = ?1 AND id = ?2", [account_id, id])?.pop())
}

/// The account's root key.
pub(super) fn root(
    connection: &Connection,
    keyring: &Keyring,
    account_id: &str,
) -> Result<Option<StoredKey>, StoreError> {
    Ok(select(connection, keyring, "account_id = ?1 AND kind = 'root'", [account_id])?.pop())
}

/// Whether a key's digest is that of this text.
pub(super) fn is(
    stored: &StoredKey,
    connection: &Connection,
    keyring: &Keyring,
    secret: &SecretString,
) -> Result<bool, StoreError> {
    Ok(equal(&stored.digest, &keyring.digests(connection)?.of_key(secret.expose_secret())))
}

/// Whether a text has the form of a key, of whichever kind: it may be one that got to a wrong place.
pub(super) fn has_form_of_key(text: &str) -> bool {
    let kinds = [Kind::Standard, Kind::Restricted, Kind::Live, Kind::Test];
    kinds.into_iter().any(|kind| is_key(kind.prefix(), kind.characters(), text))
}

/// Retires the account's root key.
pub(super) fn delete_root(connection: &Connection, account_id: &str) -> Result<(), StoreError> {
    let retired = connection.execute("DELETE FROM keys WHERE account_id = ?1 AND kind = 'root'", [account_id])?;
    changed_one("keys", retired)
}

/// Rows that a condition on the columns picks out, each checked against its mark.
pub(super) fn select(
    connection: &Connection,
    keyring: &Keyring,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<StoredKey>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (stored, mark) = read_whole(row)?;
        found.push(stored.checked(connection, keyring, &mark)?);
    }
    Ok(found)
}

/// Marks all keys anew that are not marked with the current data key, so many at a time; gives how many they were.
/// `after` is the row that the time before ended with: rows before that need not be looked at again. `checked` tells whether their marks are to be believed: rows of the first schema have none.
pub(super) fn mark_anew(
    connection: &Connection,
    keyring: &Keyring,
    limit: u32,
    after: &mut i64,
    checked: bool,
) -> Result<usize, StoreError> {
    let current = keyring.current_id(connection)?;
    // Of an empty mark SQLite makes nothing at all.
    let sql = format!(
        "SELECT {COLUMNS}, rowid FROM keys
         WHERE rowid > ?3 AND coalesce(substr(mark, 1, 4) <> ?1, true) ORDER BY rowid LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params![current, limit, *after])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (stored, mark) = read_whole(row)?;
        found.push(if checked { stored.checked(connection, keyring, &mark)? } else { stored });
        *after = row.get("rowid")?;
    }
    for stored in &found {
        update(connection, keyring, stored)?;
    }
    Ok(found.len())
}

/// Whether any key is marked with another than the current data key.
pub(super) fn any_to_mark_anew(connection: &Connection, keyring: &Keyring) -> Result<bool, StoreError> {
    let find = "SELECT 1 FROM keys WHERE coalesce(substr(mark, 1, 4) <> ?1, true)";
    Ok(connection.prepare_cached(find)?.exists([keyring.current_id(connection)?])?)
}

/// What is wrong with the rows, a line each.
pub(super) fn problems(connection: &Connection, keyring: &Keyring) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare("SELECT rowid, CAST(id AS BLOB) FROM keys")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let check = |(row, id): (i64, Vec<u8>)| match select(connection, keyring, "rowid = ?1", [row]) {
        Ok(_) => None,
        Err(error @ StoreError::DamagedRow { .. }) => Some(error.to_string()),
        Err(error) => Some(format!("the API key `{}`: {error}", String::from_utf8_lossy(&id))),
    };
    Ok(rows.into_iter().filter_map(check).collect())
}

/// Names the row that an error is about.
fn damaged(error: StoreError, id: &str) -> StoreError {
    error.of_row("API key", id, "keys revoke")
}

/// A row, with its mark still to be checked.
fn read_whole(row: &rusqlite::Row<'_>) -> Result<(StoredKey, Vec<u8>), StoreError> {
    match read(row)? {
        Some(read) => Ok(read),
        None => Err(damaged(StoreError::Damaged("keys"), &row.get::<_, String>(0)?)),
    }
}

/// A row, with its mark still to be checked; nothing where a column holds what this program never writes. By the
/// numbers of [`COLUMNS`]: by its name each would be searched for in every row.
fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(StoredKey, Vec<u8>)>> {
    let (provider, kind) = (row.get::<_, String>(2)?, row.get::<_, String>(3)?);
    let (Some(provider), Some(kind)) = (Provider::named(&provider), Kind::named(&kind)) else { return Ok(None) };
    let key = NewKey {
        account_id: row.get(1)?,
        provider,
        kind,
        name: row.get(4)?,
        scopes: row.get(6)?,
        details: row.get(7)?,
        expires_at_ms: row.get(9)?,
    };
    let stored = StoredKey {
        id: row.get(0)?,
        key,
        create_time_ms: row.get(8)?,
        revoked_at_ms: row.get(10)?,
        replaced_by: row.get(11)?,
        digest: row.get(5)?,
    };
    Ok(Some((stored, row.get(12)?)))
}
