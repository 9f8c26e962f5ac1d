//! Secrets: named values that go in and, over this API, never come out again.
//!
//! Source: the published document of the secrets API; calls by id are those of the vendor's clients since 2.0. A value is
//! sealed for its account, its id and the time it was set before it reaches SQLite; no view has a member for it.

use axum::{
    extract::{FromRequestParts, RawPathParams, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts};
use rusqlite::{Connection, OptionalExtension as _, named_params, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Embedded,
    answer::{json_answer, secret_answer, to_json},
    auth::{AccountReader, AccountWriter, Caller},
    body::Body,
    error::ApiError,
    idempotency::{self, Made, Thing, repeatable},
    ids,
    keyring::{Keyring, Row},
    keys,
    known_keys::KnownKeys,
    limits::Limits,
    query::Query,
    route::Route,
    store::{StoreError, changed_one},
};

/// The operations.
pub(super) const ROUTES: &[Route] = &[
    Route::post(COLLECTION, || post(create)),
    Route::get(COLLECTION, || get(list)),
    // A secret may be called `id`: `/v1/secrets/id` and `/v1/secrets/id/delete` are about that one.
    Route::get("/v1/secrets/{name}", || get(get_by_name)),
    Route::post("/v1/secrets/{name}", || post(update_by_name)),
    Route::post("/v1/secrets/{name}/delete", || post(delete_by_name)),
    Route::get("/v1/secrets/id/{id}", || get(get_by_id).post(delete_called_id)),
    Route::post("/v1/secrets/id/{id}/update", || post(update_by_id)),
    Route::post("/v1/secrets/id/{id}/delete", || post(delete_by_id)),
];
const COLLECTION: &str = "/v1/secrets";
/// How much of a name that is not there is repeated, in characters.
const LONGEST_SHOWN: usize = 255;
/// How many secrets a list holds where nothing is asked for.
const DEFAULT_LIMIT: u32 = 20;
/// How many secrets a list holds at most.
const HIGHEST_LIMIT: u32 = 5000;
const COLUMNS: &str = "id, account_id, name, create_time_ms, update_time_ms, expires_at_ms, mark";
/// Rows that need another data key than `?1`: a value keeps its key where the rest of its row is written anew. A mark
/// begins with the id of its key, a sealed value with its version before that.
const OF_OTHERS: &str = "coalesce(substr(mark, 1, 4) <> ?1 OR substr(sealed, 2, 4) <> ?1, true)";

/// The published view of a secret. Times are Unix milliseconds.
#[derive(Serialize)]
pub(super) struct SecretView {
    id: String,
    name: String,
    create_time_ms: i64,
    update_time_ms: i64,
}

impl From<Stored> for SecretView {
    fn from(stored: Stored) -> Self {
        let Stored { id, name, create_time_ms, update_time_ms, .. } = stored;
        Self { id, name, create_time_ms, update_time_ms }
    }
}

/// The row of a secret, but for its value.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    account_id: String,
    pub(super) name: String,
    pub(super) create_time_ms: i64,
    pub(super) update_time_ms: i64,
    /// When its value should be replaced. It works on after that: devboxes that need it would break without warning.
    pub(super) expires_at_ms: Option<i64>,
}

impl Stored {
    fn checked(self, connection: &Connection, keyring: &Keyring, mark: &[u8]) -> Result<Self, StoreError> {
        let check = keyring.check(connection, &self.row(), mark);
        check.map_err(|error| error.of_row("secret", &self.id, "secrets delete --id"))?;
        Ok(self)
    }

    fn row(&self) -> Row {
        Row::of("secrets")
            .text(&self.id)
            .text(&self.account_id)
            .text(&self.name)
            .integer(self.create_time_ms)
            .integer(self.update_time_ms)
            .optional_integer(self.expires_at_ms)
    }

    fn seal(&self, connection: &Connection, keyring: &Keyring, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        keyring.seal(connection, value, &["secret", &self.account_id, &self.id, &self.update_time_ms.to_string()])
    }

    fn unseal(
        &self,
        connection: &Connection,
        keyring: &Keyring,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        keyring.unseal(connection, sealed, &["secret", &self.account_id, &self.id, &self.update_time_ms.to_string()])
    }
}

/// Which secret a request is about. An id is never taken for a name, nor a name for an id.
pub(super) enum Which {
    Name(String),
    Id(String),
}

impl Which {
    fn not_found(&self) -> ApiError {
        let (text, kind) = match self {
            Self::Name(name) => (name, "secret"),
            Self::Id(id) => (id, "secret with the id"),
        };
        if keys::has_form_of_key(text) {
            return ApiError::not_found("there is no such secret; what stands in the path has the form of an API key");
        }
        // names in use are short: a longer one is not worth sending back
        let shown: String = text.chars().take(LONGEST_SHOWN).collect();
        ApiError::not_found(format!("there is no {kind} `{shown}`"))
    }

    /// The secret of this account. Error: 404 where there is none.
    pub(super) fn find(
        &self,
        connection: &Connection,
        keyring: &Keyring,
        account_id: &str,
    ) -> Result<Stored, ApiError> {
        let (stored, mark) = self.unchecked(connection, account_id)?;
        Ok(stored.checked(connection, keyring, &mark)?)
    }

    /// The same with its mark, which may not be its own: what it says is not to be believed.
    fn unchecked(&self, connection: &Connection, account_id: &str) -> Result<(Stored, Vec<u8>), ApiError> {
        let (condition, text) = match self {
            Self::Name(name) => ("account_id = ?1 AND name = ?2", name),
            Self::Id(id) => ("account_id = ?1 AND id = ?2", id),
        };
        let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM secrets WHERE {condition}"))?;
        let found = statement.query_row([account_id, text], |row| Ok((read(row)?, row.get(6)?))).optional()?;
        found.ok_or_else(|| self.not_found())
    }
}

/// Rows that a condition on the columns picks out, each checked against its mark.
pub(super) fn select(
    connection: &Connection,
    keyring: &Keyring,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM secrets WHERE {condition}"))?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?.checked(connection, keyring, &row.get::<_, Vec<u8>>(6)?)?);
    }
    Ok(found)
}

/// A row of [`COLUMNS`]. By their numbers: by its name each would be searched for in every row.
fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        account_id: row.get(1)?,
        name: row.get(2)?,
        create_time_ms: row.get(3)?,
        update_time_ms: row.get(4)?,
        expires_at_ms: row.get(5)?,
    })
}

/// Writes a row that is there already, with a new value where one is given.
pub(super) fn update(
    connection: &Connection,
    keyring: &Keyring,
    stored: &Stored,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    let sealed = value.map(|value| stored.seal(connection, keyring, value)).transpose()?;
    let changed = connection.execute(
        "UPDATE secrets SET sealed = coalesce(:sealed, sealed), update_time_ms = :update_time_ms,
                            expires_at_ms = :expires_at_ms, mark = :mark
         WHERE id = :id",
        named_params! {
            ":id": stored.id,
            ":sealed": sealed,
            ":update_time_ms": stored.update_time_ms,
            ":expires_at_ms": stored.expires_at_ms,
            ":mark": keyring.mark(connection, &stored.row())?,
        },
    )?;
    changed_one("secrets", changed)
}

/// Seals a value of the first schema for its row, and marks the row.
pub(super) fn adopt(connection: &Connection, keyring: &Keyring, id: &str, value: &[u8]) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM secrets WHERE id = ?1");
    let stored = connection.query_row(&sql, [id], read)?;
    update(connection, keyring, &stored, Some(value))
}

/// Seals secrets anew that are not sealed with the current data key, so many at a time; gives how many they were.
/// `after` is the row that the time before ended with: rows before that need not be looked at again.
pub(super) fn seal_anew(
    connection: &Connection,
    keyring: &Keyring,
    limit: u32,
    after: &mut i64,
) -> Result<usize, StoreError> {
    let current = keyring.current_id(connection)?;
    let sql = format!(
        "SELECT {COLUMNS}, sealed, rowid FROM secrets WHERE rowid > ?3 AND {OF_OTHERS} ORDER BY rowid LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![current, limit, *after])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = read(row)?.checked(connection, keyring, &row.get::<_, Vec<u8>>(6)?)?;
        let value = stored.unseal(connection, keyring, &row.get::<_, Vec<u8>>("sealed")?)?;
        *after = row.get("rowid")?;
        found.push((stored, value));
    }
    for (stored, value) in &found {
        update(connection, keyring, stored, Some(value))?;
    }
    Ok(found.len())
}

/// Whether any secret is sealed or marked with another than the current data key.
pub(super) fn any_to_seal_anew(connection: &Connection, keyring: &Keyring) -> Result<bool, StoreError> {
    let find = format!("SELECT 1 FROM secrets WHERE {OF_OTHERS}");
    Ok(connection.prepare_cached(&find)?.exists([keyring.current_id(connection)?])?)
}

/// What is wrong with the rows and their sealed values, a line each.
pub(super) fn problems(connection: &Connection, keyring: &Keyring) -> Result<Vec<String>, StoreError> {
    let find = "SELECT rowid, CAST(id AS BLOB), CAST(name AS BLOB), sealed FROM secrets";
    let mut statement = connection.prepare(find)?;
    let mut rows = statement.query([])?;
    let mut problems = Vec::new();
    while let Some(row) = rows.next()? {
        let sealed = row.get::<_, Vec<u8>>(3)?;
        let check = || -> Result<(), StoreError> {
            for stored in select(connection, keyring, "rowid = ?1", [row.get::<_, i64>(0)?])? {
                drop(stored.unseal(connection, keyring, &sealed)?);
            }
            Ok(())
        };
        match check() {
            Ok(()) => {}
            Err(error @ StoreError::DamagedRow { .. }) => problems.push(error.to_string()),
            Err(error) => {
                let (id, name) = (row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?);
                let (id, name) = (String::from_utf8_lossy(&id), String::from_utf8_lossy(&name));
                problems.push(format!("the secret `{name}` (`{id}`): {error}"));
            }
        }
    }
    Ok(problems)
}

/// What is wrong with the number of secrets that is kept beside them.
pub(super) fn count_problems(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    let sql = "SELECT secret_count, (SELECT count(*) FROM secrets WHERE account_id = accounts.id) FROM accounts";
    let mut statement = connection.prepare(sql)?;
    for counts in statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))? {
        let (kept, counted) = counts?;
        if kept != counted {
            problems.push(format!("the number of secrets: {kept} is kept, but there are {counted}"));
        }
    }
    Ok(problems)
}

/// `POST /v1/secrets/id/delete`: about the secret that is called `id`. The route has the form of one by id.
async fn delete_called_id(
    backend: State<Embedded>,
    writer: AccountWriter,
    PathId(which): PathId,
    body: Body,
) -> Result<Response, ApiError> {
    match which {
        Which::Id(id) if id == "delete" => {
            delete_by_name(backend, writer, PathName(Which::Name("id".to_owned())), body).await
        }
        _ => {
            let mut refusal =
                ApiError::method_not_allowed("`/v1/secrets/id/{id}` does not take `POST`; it takes `GET`")
                    .into_response();
            // The router adds it where there is no handler at all.
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
            Ok(refusal)
        }
    }
}

/// The published list. There is no cursor: what lies beyond the highest limit cannot be reached.
#[derive(Serialize)]
pub(super) struct SecretListView<T> {
    pub(super) secrets: Vec<T>,
    pub(super) has_more: bool,
    pub(super) total_count: i64,
}

/// The name in the path, percent-decoded once after the path was split: `%2F` and `..` stay inside it. It is not checked
/// further, since a name that no secret can have is simply not found.
pub(super) struct PathName(pub(super) Which);

/// The id in the path, taken as it is.
struct PathId(Which);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(Which::Name(path_parameter(parts, state).await?)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(Which::Id(path_parameter(parts, state).await?)))
    }
}

/// The one parameter of a route's path.
pub(super) async fn path_parameter<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiError> {
    let parameters = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| ApiError::invalid("the name in the path must be percent-encoded UTF-8"))?;
    let text = parameters.iter().next().map(|(_, text)| text.to_owned());
    text.ok_or_else(|| ApiError::internal("a route without a parameter"))
}

/// `POST /v1/secrets`: `name`, `value`.
async fn create(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut members = body.members()?;
    let name = checked_name(backend.limits(), members.required_text("name")?)?;
    let value = checked_value(&backend, members.required_secret("value")?)?;
    let now_ms = backend.clock().now_ms();
    let request = repeatable(backend.keyring(), &caller, COLLECTION, &headers, body.bytes());
    let (maker, creator) = (backend.clone(), caller.clone());
    let work = async move {
        let make = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
            let new = NewSecret { name, value, now_ms };
            let view = SecretView::from(insert(connection, keyring, caller.account_id(), new)?);
            Ok(Made { answer: to_json(&view)?, thing: Thing { id: view.id, digest: None } })
        };
        creator.write(&maker, make).await
    };
    let answer = idempotency::once(&backend, &caller, request, work).await?;
    Ok(secret_answer(StatusCode::OK, &answer))
}

/// `GET /v1/secrets?limit=`: the newest first. No source gives an order; clients look for a secret they have just made
/// in the first page.
async fn list(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    uri: Uri,
) -> Result<Response, ApiError> {
    let limit = Query::of(&uri).limit(DEFAULT_LIMIT, HIGHEST_LIMIT)?;
    let keyring = backend.keyring().clone();
    let view = backend
        .store()
        .read(move |connection| {
            let count = "SELECT secret_count FROM accounts WHERE id = ?1";
            let total_count: i64 =
                connection.prepare_cached(count)?.query_row([caller.account_id()], |row| row.get(0))?;
            // The plus keeps SQLite from the index of the names, which it would have to sort.
            let page = "+account_id = ?1 ORDER BY id DESC LIMIT ?2";
            let secrets = select(connection, &keyring, page, params![caller.account_id(), limit])?;
            let secrets = secrets.into_iter().map(SecretView::from).collect();
            Ok(SecretListView { has_more: i64::from(limit) < total_count, secrets, total_count })
        })
        .await?;
    answer(&view)
}

/// `GET /v1/secrets/{name}`.
async fn get_by_name(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    PathName(which): PathName,
) -> Result<Response, ApiError> {
    get_one(&backend, caller, which).await
}

/// `GET /v1/secrets/id/{id}`.
async fn get_by_id(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    PathId(which): PathId,
) -> Result<Response, ApiError> {
    get_one(&backend, caller, which).await
}

async fn get_one(backend: &Embedded, caller: Caller, which: Which) -> Result<Response, ApiError> {
    let keyring = backend.keyring().clone();
    let find = move |connection: &Connection, _: &mut KnownKeys| which.find(connection, &keyring, caller.account_id());
    answer(&SecretView::from(backend.store().find(find).await?))
}

/// `POST /v1/secrets/{name}`: `value`. Keeps the id and the time of creation.
async fn update_by_name(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    PathName(which): PathName,
    body: Body,
) -> Result<Response, ApiError> {
    update_one(&backend, caller, which, body).await
}

/// `POST /v1/secrets/id/{id}/update`: `value`.
async fn update_by_id(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    PathId(which): PathId,
    body: Body,
) -> Result<Response, ApiError> {
    update_one(&backend, caller, which, body).await
}

async fn update_one(backend: &Embedded, caller: Caller, which: Which, body: Body) -> Result<Response, ApiError> {
    let value = checked_value(backend, body.members()?.required_secret("value")?)?;
    let now_ms = backend.clock().now_ms();
    let change = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let mut stored = which.find(connection, keyring, caller.account_id())?;
        // a clock that was set back must not make an update older than the creation
        stored.update_time_ms = stored.update_time_ms.max(now_ms);
        update(connection, keyring, &stored, Some(value.expose_secret().as_bytes()))?;
        Ok(stored)
    };
    answer(&SecretView::from(caller.write(backend, change).await?))
}

/// `POST /v1/secrets/{name}/delete`: no members. Answers with what was deleted.
async fn delete_by_name(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    PathName(which): PathName,
    body: Body,
) -> Result<Response, ApiError> {
    delete_one(&backend, caller, which, body).await
}

/// `POST /v1/secrets/id/{id}/delete`: no members.
async fn delete_by_id(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    PathId(which): PathId,
    body: Body,
) -> Result<Response, ApiError> {
    delete_one(&backend, caller, which, body).await
}

async fn delete_one(backend: &Embedded, caller: Caller, which: Which, body: Body) -> Result<Response, ApiError> {
    drop(body.members()?);
    // Of a damaged one too, since nothing else could be done with it: its name would stay taken.
    let delete = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let (stored, mark) = which.unchecked(connection, caller.account_id())?;
        let checked = stored.clone().checked(connection, keyring, &mark);
        let deleted = connection.prepare_cached("DELETE FROM secrets WHERE id = ?1")?.execute([&stored.id])?;
        changed_one("secrets", deleted)?;
        Ok((stored, checked.err()))
    };
    let (stored, damage) = caller.write(backend, delete).await?;
    if let Some(damage) = damage {
        tracing::warn!(id = %stored.id, %damage, "a damaged secret was deleted");
    }
    answer(&SecretView::from(stored))
}

struct NewSecret {
    name: String,
    value: SecretString,
    now_ms: i64,
}

fn insert(connection: &Connection, keyring: &Keyring, account_id: &str, secret: NewSecret) -> Result<Stored, ApiError> {
    let NewSecret { name, value, now_ms } = secret;
    let taken = "SELECT 1 FROM secrets WHERE account_id = ?1 AND name = ?2";
    if connection.prepare_cached(taken)?.exists([account_id, &name])? {
        return Err(ApiError::already_exists(format!("a secret named `{name}` already exists")));
    }
    let stored = Stored {
        id: ids::next(connection, "sec", now_ms)?,
        account_id: account_id.to_owned(),
        name,
        create_time_ms: now_ms,
        update_time_ms: now_ms,
        expires_at_ms: None,
    };
    let sql = "INSERT INTO secrets (id, account_id, name, sealed, create_time_ms, update_time_ms, mark)
               VALUES (:id, :account_id, :name, :sealed, :now_ms, :now_ms, :mark)";
    let made = connection.prepare_cached(sql)?.execute(named_params! {
        ":id": stored.id,
        ":account_id": stored.account_id,
        ":name": stored.name,
        ":sealed": stored.seal(connection, keyring, value.expose_secret().as_bytes())?,
        ":now_ms": now_ms,
        ":mark": keyring.mark(connection, &stored.row())?,
    })?;
    changed_one("secrets", made)?;
    Ok(stored)
}

/// The documents ask for the name of an environment variable, while the vendor's own client makes and expects names with
/// hyphens; so hyphens are taken too, unless it is said that they are not.
fn checked_name(limits: &Limits, name: String) -> Result<String, ApiError> {
    let Limits { max_name_length: longest, strict_secret_names: strict, .. } = limits;
    let mut characters = name.chars();
    let good = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_' || other == '-' && !strict)
        && name.len() <= *longest;
    if good {
        return Ok(name);
    }
    Err(ApiError::invalid(if *strict {
        format!("`name` must be 1 to {longest} letters, digits or `_`, and must not start with a digit")
    } else {
        format!("`name` must be 1 to {longest} letters, digits, `_` or `-`, and must not start with a digit or `-`")
    }))
}

/// Any text, kept to the byte: line ends, other scripts and even NUL. What an environment variable can hold is a matter
/// of where it is used.
fn checked_value(backend: &Embedded, value: SecretString) -> Result<SecretString, ApiError> {
    // No source gives a limit.
    let longest = backend.limits().max_value_bytes;
    if value.expose_secret().len() <= longest {
        return Ok(value);
    }
    Err(ApiError::invalid(format!("`value` must have at most {longest} bytes")))
}

fn answer(view: &impl Serialize) -> Result<Response, ApiError> {
    Ok(json_answer(StatusCode::OK, serde_json::to_string(view).map_err(ApiError::internal)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_underscores_and_hyphens() {
        let limits = Limits { max_name_length: 20, ..Limits::default() };
        let strict = Limits { strict_secret_names: true, ..limits };
        for good in ["A", "_", "DATABASE_PASSWORD", "id", "delete", "a1", &"A".repeat(20)] {
            assert!(checked_name(&limits, good.to_owned()).is_ok(), "{good}");
            assert!(checked_name(&strict, good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "1A", "-A", "A B", "A.B", "A/B", "..", "Ä", "A\n", "A\0", &"A".repeat(21)] {
            assert!(checked_name(&limits, bad.to_owned()).is_err(), "{bad}");
            assert!(checked_name(&strict, bad.to_owned()).is_err(), "{bad}");
        }
        for hyphened in ["a-b", "A-"] {
            assert!(checked_name(&limits, hyphened.to_owned()).is_ok(), "{hyphened}");
            assert!(checked_name(&strict, hyphened.to_owned()).is_err(), "{hyphened}");
        }
    }
}
