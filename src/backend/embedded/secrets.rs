//! Secrets: named values that go in and, over this API, never come out again.
//!
//! Source: the published document of the secrets API; calls by id are those of the vendor's clients since 2.0. A value is
//! sealed for its account, its id and the time it was set before it reaches SQLite; no view has a member for it.

use axum::{
    extract::{FromRequestParts, RawPathParams, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, Uri, request::Parts};
use rusqlite::{Connection, OptionalExtension as _, named_params, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Embedded,
    api_keys::to_json,
    auth::{AccountReader, AccountWriter, Caller},
    body::Body,
    error::{ApiError, json_headers},
    idempotency::repeatable,
    ids,
    keyring::{Keyring, Row},
    query::Query,
    route::Route,
    store::StoreError,
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
/// The longest name. No source gives one.
const LONGEST_NAME: usize = 255;
/// How many secrets a list holds where nothing is asked for.
const DEFAULT_LIMIT: u32 = 20;
/// How many secrets a list holds at most.
const HIGHEST_LIMIT: u32 = 5000;
const COLUMNS: &str = "id, account_id, name, create_time_ms, update_time_ms, expires_at_ms, mark";

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
        // names in use are short: a longer one is not worth sending back
        let shown: String = text.chars().take(LONGEST_NAME).collect();
        ApiError::not_found(format!("there is no {kind} `{shown}`"))
    }

    /// The secret of this account. Error: 404 where there is none.
    pub(super) fn find(
        &self,
        connection: &Connection,
        keyring: &Keyring,
        account_id: &str,
    ) -> Result<Stored, ApiError> {
        let (condition, text) = match self {
            Self::Name(name) => ("account_id = ?1 AND name = ?2", name),
            Self::Id(id) => ("account_id = ?1 AND id = ?2", id),
        };
        select(connection, keyring, condition, [account_id, text])?.pop().ok_or_else(|| self.not_found())
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
        let stored = read(row)?;
        keyring.check(connection, &stored.row(), &row.get::<_, Vec<u8>>("mark")?)?;
        found.push(stored);
    }
    Ok(found)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get("id")?,
        account_id: row.get("account_id")?,
        name: row.get("name")?,
        create_time_ms: row.get("create_time_ms")?,
        update_time_ms: row.get("update_time_ms")?,
        expires_at_ms: row.get("expires_at_ms")?,
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
    connection.execute(
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
    Ok(())
}

/// Seals a value of the first schema for its row, and marks the row.
pub(super) fn adopt(connection: &Connection, keyring: &Keyring, id: &str, value: &[u8]) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM secrets WHERE id = ?1");
    let stored = connection.query_row(&sql, [id], read)?;
    update(connection, keyring, &stored, Some(value))
}

/// Seals secrets anew that are not sealed with the current data key, so many at a time; gives how many they were.
pub(super) fn seal_anew(connection: &Connection, keyring: &Keyring, limit: u32) -> Result<usize, StoreError> {
    let current = keyring.current_id(connection)?;
    let sql = format!("SELECT {COLUMNS}, sealed FROM secrets WHERE coalesce(substr(mark, 1, 4) <> ?1, true) LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![current, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = read(row)?;
        keyring.check(connection, &stored.row(), &row.get::<_, Vec<u8>>("mark")?)?;
        let value = stored.unseal(connection, keyring, &row.get::<_, Vec<u8>>("sealed")?)?;
        found.push((stored, value));
    }
    for (stored, value) in &found {
        update(connection, keyring, stored, Some(value))?;
    }
    Ok(found.len())
}

/// What is wrong with the rows and their sealed values, a line each.
pub(super) fn problems(connection: &Connection, keyring: &Keyring) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare("SELECT id, sealed FROM secrets")?;
    let mut rows = statement.query([])?;
    let mut problems = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, sealed) = (row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?);
        let check = || -> Result<(), StoreError> {
            for stored in select(connection, keyring, "id = ?1", [&id])? {
                drop(stored.unseal(connection, keyring, &sealed)?);
            }
            Ok(())
        };
        if let Err(error) = check() {
            problems.push(format!("the secret `{id}`: {error}"));
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
        _ => Err(ApiError::method_not_allowed("this route has other methods only")),
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
    let name = checked_name(members.required_text("name")?)?;
    let value = checked_value(&backend, members.required_secret("value")?)?;
    let now_ms = backend.clock().now_ms();
    let request = repeatable(backend.keyring(), &caller, COLLECTION, &headers, body.bytes());
    let (store, keyring) = (backend.store().clone(), backend.keyring().clone());
    let work = async move {
        store
            .write(move |connection| {
                let new = NewSecret { name, value, now_ms };
                to_json(&SecretView::from(insert(connection, &keyring, &caller.account_id, new)?))
            })
            .await
    };
    let answer = backend.replays().answer(request, now_ms, work).await?;
    Ok((json_headers(), answer.expose_secret().to_owned()).into_response())
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
            let count = "SELECT count(*) FROM secrets WHERE account_id = ?1";
            let total_count: i64 = connection.query_row(count, [&caller.account_id], |row| row.get(0))?;
            let page = "account_id = ?1 ORDER BY id DESC LIMIT ?2";
            let secrets = select(connection, &keyring, page, params![caller.account_id, limit])?;
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
    let find = move |connection: &Connection| which.find(connection, &keyring, &caller.account_id);
    answer(&SecretView::from(backend.store().read(find).await?))
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
    let (keyring, now_ms) = (backend.keyring().clone(), backend.clock().now_ms());
    let change = move |connection: &Connection| {
        let mut stored = which.find(connection, &keyring, &caller.account_id)?;
        // a clock that was set back must not make an update older than the creation
        stored.update_time_ms = stored.update_time_ms.max(now_ms);
        update(connection, &keyring, &stored, Some(value.expose_secret().as_bytes()))?;
        Ok(stored)
    };
    answer(&SecretView::from(backend.store().write(change).await?))
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
    let keyring = backend.keyring().clone();
    let delete = move |connection: &Connection| {
        let stored = which.find(connection, &keyring, &caller.account_id)?;
        connection.execute("DELETE FROM secrets WHERE id = ?1", [&stored.id])?;
        Ok(stored)
    };
    answer(&SecretView::from(backend.store().write(delete).await?))
}

struct NewSecret {
    name: String,
    value: SecretString,
    now_ms: i64,
}

fn insert(connection: &Connection, keyring: &Keyring, account_id: &str, secret: NewSecret) -> Result<Stored, ApiError> {
    let NewSecret { name, value, now_ms } = secret;
    let taken = "SELECT 1 FROM secrets WHERE account_id = ?1 AND name = ?2";
    if connection.query_row(taken, [account_id, &name], |_| Ok(())).optional()?.is_some() {
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
    connection.execute(
        "INSERT INTO secrets (id, account_id, name, sealed, create_time_ms, update_time_ms, mark)
         VALUES (:id, :account_id, :name, :sealed, :now_ms, :now_ms, :mark)",
        named_params! {
            ":id": stored.id,
            ":account_id": stored.account_id,
            ":name": stored.name,
            ":sealed": stored.seal(connection, keyring, value.expose_secret().as_bytes())?,
            ":now_ms": now_ms,
            ":mark": keyring.mark(connection, &stored.row())?,
        },
    )?;
    Ok(stored)
}

/// The documents ask for the name of an environment variable, while the vendor's own client makes and expects names with
/// hyphens; so hyphens are taken too.
fn checked_name(name: String) -> Result<String, ApiError> {
    let mut characters = name.chars();
    let good = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_' || other == '-')
        && name.len() <= LONGEST_NAME;
    if good {
        return Ok(name);
    }
    Err(ApiError::invalid(format!(
        "`name` must be 1 to {LONGEST_NAME} letters, digits, `_` or `-`, and must not start with a digit or `-`"
    )))
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
    Ok((json_headers(), to_json(view)?.expose_secret().to_owned()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_underscores_and_hyphens() {
        for good in ["A", "_", "DATABASE_PASSWORD", "a-b", "id", "delete", &"A".repeat(LONGEST_NAME)] {
            assert!(checked_name(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "1A", "-A", "A B", "A.B", "A/B", "..", "Ä", "A\n", "A\0", &"A".repeat(LONGEST_NAME + 1)] {
            assert!(checked_name(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
