//! Secrets: named values that go in and, over this API, never come out again.
//!
//! Source: the published document of the secrets API. A value is sealed for its account and its id before it reaches
//! SQLite; no view has a member for it.

use axum::{
    extract::{FromRequestParts, RawPathParams, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Uri, request::Parts};
use percent_encoding::percent_decode_str;
use rusqlite::{OptionalExtension as _, Row, Transaction, named_params, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{
    Embedded, Operation,
    api_keys::to_json,
    auth::{AccountReader, AccountWriter},
    body::Body,
    crypto::{Crypto, CryptoError},
    error::{ApiError, json_headers},
    idempotency::request_name,
    ids,
};

/// The longest name. No source gives one.
const LONGEST_NAME: usize = 255;
/// The longest value in bytes: 256 KiB. No source gives one.
const LONGEST_VALUE: usize = 256 * 1024;
/// How many secrets a list holds where nothing is asked for.
const DEFAULT_LIMIT: u32 = 20;
/// How many secrets a list holds at most.
const HIGHEST_LIMIT: u32 = 5000;
const VIEW_COLUMNS: &str = "id, name, create_time_ms, update_time_ms";

/// The published view of a secret. Times are Unix milliseconds.
#[derive(Serialize)]
struct SecretView {
    id: String,
    name: String,
    create_time_ms: i64,
    update_time_ms: i64,
}

impl SecretView {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, name: row.get(1)?, create_time_ms: row.get(2)?, update_time_ms: row.get(3)? })
    }
}

/// The published list. There is no cursor: what lies beyond the highest limit cannot be reached.
#[derive(Serialize)]
struct SecretListView {
    secrets: Vec<SecretView>,
    has_more: bool,
    total_count: i64,
}

/// The name in the path, percent-decoded once after the path was split: `%2F` and `..` stay inside it. It is not checked
/// further, since a name that no secret can have is simply not found.
pub(super) struct PathName(String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::invalid("the name in the path must be percent-encoded UTF-8"))?;
        let name = parameters.iter().next().map(|(_, name)| name.to_owned());
        name.map(Self).ok_or_else(|| ApiError::internal("a route without a name"))
    }
}

impl PathName {
    fn not_found(&self) -> ApiError {
        // names in use are short: a longer one is not worth sending back
        let shown: String = self.0.chars().take(LONGEST_NAME).collect();
        ApiError::not_found(format!("there is no secret `{shown}`"))
    }
}

/// `POST /v1/secrets`: `name`, `value`.
pub(super) async fn create(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut members = body.members()?;
    let name = checked_name(members.required_text("name")?)?;
    let value = checked_value(members.required_secret("value")?)?;
    let now_ms = backend.clock().now_ms();
    let route = Operation::CreateSecret.template();
    let request = request_name(backend.crypto(), &caller, route, &headers, body.bytes());
    let (store, crypto) = (backend.store().clone(), backend.crypto().clone());
    let work = async move {
        store
            .write(move |transaction| {
                to_json(&insert(transaction, &crypto, &caller.account_id, NewSecret { name, value, now_ms })?)
            })
            .await
    };
    let answer = backend.replays().answer(request, now_ms, work).await?;
    Ok((json_headers(), answer.expose_secret().to_owned()).into_response())
}

/// `GET /v1/secrets?limit=`: the newest first. No source gives an order; clients look for a secret they have just made
/// in the first page.
pub(super) async fn list(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    uri: Uri,
) -> Result<Response, ApiError> {
    let limit = limit(uri.query())?;
    let view = backend
        .store()
        .read(move |transaction| {
            let count = "SELECT count(*) FROM secrets WHERE account_id = ?1";
            let total_count: i64 = transaction.query_row(count, [&caller.account_id], |row| row.get(0))?;
            let page = format!("SELECT {VIEW_COLUMNS} FROM secrets WHERE account_id = ?1 ORDER BY id DESC LIMIT ?2");
            let secrets: Vec<SecretView> = transaction
                .prepare(&page)?
                .query_map(params![caller.account_id, limit], SecretView::from_row)?
                .collect::<Result<_, _>>()?;
            Ok(SecretListView { has_more: i64::from(limit) < total_count, secrets, total_count })
        })
        .await?;
    answer(&view)
}

/// `GET /v1/secrets/{name}`.
pub(super) async fn get(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    name: PathName,
) -> Result<Response, ApiError> {
    let view = backend
        .store()
        .read(move |transaction| {
            let sql = format!("SELECT {VIEW_COLUMNS} FROM secrets WHERE account_id = ?1 AND name = ?2");
            transaction
                .query_row(&sql, [&caller.account_id, &name.0], SecretView::from_row)
                .optional()?
                .ok_or_else(|| name.not_found())
        })
        .await?;
    answer(&view)
}

/// `POST /v1/secrets/{name}`: `value`. Keeps the id and the time of creation.
pub(super) async fn update(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    name: PathName,
    body: Body,
) -> Result<Response, ApiError> {
    let value = checked_value(body.members()?.required_secret("value")?)?;
    let (crypto, now_ms) = (backend.crypto().clone(), backend.clock().now_ms());
    let view = backend
        .store()
        .write(move |transaction| {
            let find = "SELECT id FROM secrets WHERE account_id = ?1 AND name = ?2";
            let id: Option<String> =
                transaction.query_row(find, [&caller.account_id, &name.0], |row| row.get(0)).optional()?;
            let id = id.ok_or_else(|| name.not_found())?;
            let sealed = seal(&crypto, &caller.account_id, &id, &value)?;
            // a clock that was set back must not make an update older than the creation
            let change = format!(
                "UPDATE secrets SET sealed = ?2, update_time_ms = max(?3, update_time_ms) WHERE id = ?1
                 RETURNING {VIEW_COLUMNS}"
            );
            Ok(transaction.query_row(&change, params![id, sealed, now_ms], SecretView::from_row)?)
        })
        .await?;
    answer(&view)
}

/// `POST /v1/secrets/{name}/delete`: no members. Answers with what was deleted.
pub(super) async fn delete(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    name: PathName,
    body: Body,
) -> Result<Response, ApiError> {
    drop(body.members()?);
    let view = backend
        .store()
        .write(move |transaction| {
            let sql = format!("DELETE FROM secrets WHERE account_id = ?1 AND name = ?2 RETURNING {VIEW_COLUMNS}");
            transaction
                .query_row(&sql, [&caller.account_id, &name.0], SecretView::from_row)
                .optional()?
                .ok_or_else(|| name.not_found())
        })
        .await?;
    answer(&view)
}

struct NewSecret {
    name: String,
    value: SecretString,
    now_ms: i64,
}

fn insert(
    transaction: &Transaction<'_>,
    crypto: &Crypto,
    account_id: &str,
    secret: NewSecret,
) -> Result<SecretView, ApiError> {
    let NewSecret { name, value, now_ms } = secret;
    let taken = "SELECT 1 FROM secrets WHERE account_id = ?1 AND name = ?2";
    if transaction.query_row(taken, [account_id, &name], |_| Ok(())).optional()?.is_some() {
        return Err(ApiError::already_exists(format!("a secret named `{name}` already exists")));
    }
    let id = ids::next(transaction, "sec", now_ms)?;
    let sealed = seal(crypto, account_id, &id, &value)?;
    transaction.execute(
        "INSERT INTO secrets (id, account_id, name, sealed, create_time_ms, update_time_ms)
         VALUES (:id, :account_id, :name, :sealed, :now_ms, :now_ms)",
        named_params! { ":id": id, ":account_id": account_id, ":name": name, ":sealed": sealed, ":now_ms": now_ms },
    )?;
    Ok(SecretView { id, name, create_time_ms: now_ms, update_time_ms: now_ms })
}

fn seal(crypto: &Crypto, account_id: &str, id: &str, value: &SecretString) -> Result<Vec<u8>, CryptoError> {
    crypto.seal(value.expose_secret().as_bytes(), &["secret", account_id, id])
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
fn checked_value(value: SecretString) -> Result<SecretString, ApiError> {
    if value.expose_secret().len() <= LONGEST_VALUE {
        return Ok(value);
    }
    Err(ApiError::invalid(format!("`value` must have at most {LONGEST_VALUE} bytes")))
}

/// The limit a query asks for. An empty one means the default, a higher one than the highest means the highest.
fn limit(query: Option<&str>) -> Result<u32, ApiError> {
    let pairs = query.unwrap_or("").split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut limit = DEFAULT_LIMIT;
    for (_, value) in pairs.filter(|(name, _)| decoded(name) == "limit") {
        limit = match decoded(value).as_str() {
            "" => DEFAULT_LIMIT,
            digits
                if digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.bytes().any(|digit| digit != b'0') =>
            {
                digits.parse().unwrap_or(HIGHEST_LIMIT).min(HIGHEST_LIMIT)
            }
            _ => return Err(ApiError::invalid("`limit` must be a whole number above 0")),
        };
    }
    Ok(limit)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn answer(view: &impl Serialize) -> Result<Response, ApiError> {
    Ok((json_headers(), to_json(view)?.expose_secret().to_owned()).into_response())
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use rusqlite::Connection;

    use super::*;
    use crate::backend::embedded::{accounts, crypto::MasterKey, store};

    #[test]
    fn a_stored_value_opens_to_the_same_bytes_and_only_in_its_own_row() {
        let crypto = Crypto::new(&MasterKey::generate().unwrap());
        let mut connection = Connection::open_in_memory().unwrap();
        let transaction = connection.transaction().unwrap();
        store::migrate(&transaction, Path::new("memory"), Duration::ZERO).unwrap();
        let account = accounts::ensure(&transaction, 1).unwrap();
        let long = "x".repeat(LONGEST_VALUE);
        let values = ["", "canary", "two\r\nlines\n", "\"quoted\" 'text'", "日本語 🔑", "nul \0 inside", &long];
        let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
        for (at, text) in values.iter().enumerate() {
            let secret = NewSecret { name: format!("S{at}"), value: SecretString::from(*text), now_ms: 1 };
            let id = insert(&transaction, &crypto, &account, secret).unwrap().id;
            let sealed = transaction
                .query_row("SELECT sealed FROM secrets WHERE id = ?1", [&id], |row| row.get::<_, Vec<u8>>(0))
                .unwrap();
            let opened = crypto.unseal(&sealed, &["secret", &account, &id]).unwrap();
            assert_eq!(opened.as_slice(), text.as_bytes(), "{at}");
            rows.push((id, sealed));
        }
        assert!(rows.is_sorted_by(|one, next| one.0 < next.0));
        assert!(crypto.unseal(&rows[1].1, &["secret", &account, &rows[2].0]).is_err());
    }

    #[test]
    fn names_are_letters_digits_underscores_and_hyphens() {
        for good in ["A", "_", "DATABASE_PASSWORD", "a-b", "id", "delete", &"A".repeat(LONGEST_NAME)] {
            assert!(checked_name(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "1A", "-A", "A B", "A.B", "A/B", "..", "Ä", "A\n", "A\0", &"A".repeat(LONGEST_NAME + 1)] {
            assert!(checked_name(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_defaulted_clamped_or_refused() {
        let cases = [
            (None, Some(20)),
            (Some(""), Some(20)),
            (Some("other=1&flag"), Some(20)),
            (Some("limit"), Some(20)),
            (Some("limit="), Some(20)),
            (Some("limit=1"), Some(1)),
            (Some("x=2&limit=007"), Some(7)),
            (Some("%6cimit=%33"), Some(3)),
            (Some("limit=5000"), Some(5000)),
            (Some("limit=5001"), Some(5000)),
            (Some("limit=99999999999999999999999"), Some(5000)),
            (Some("limit=0"), None),
            (Some("limit=00"), None),
            (Some("limit=-1"), None),
            (Some("limit=1.5"), None),
            (Some("limit=+1"), None),
            (Some("limit=%201"), None),
            (Some("limit=ten"), None),
            (Some("limit=%ff"), None),
            (Some("limit=\u{0661}"), None),
        ];
        for (query, expected) in cases {
            assert_eq!(limit(query).ok(), expected, "{query:?}");
        }
    }
}
