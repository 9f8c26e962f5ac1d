//! API keys: making a standard key, the rows of all keys, and finding the one a request came with.
//!
//! Source: the published document of the API keys API. There is no list, get, revoke or delete in it, so there is none
//! here. A key itself is never stored: the row holds its keyed digest.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::HeaderMap;
use rusqlite::{OptionalExtension as _, Transaction, named_params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{
    Embedded, Operation,
    auth::{AccountWriter, Caller, Rights},
    body::{Body, Members},
    crypto::{DIGEST_BYTES, equal, new_key},
    error::{ApiError, json_headers},
    idempotency::request_name,
    ids,
    restricted_keys::{self, Scope},
    store::StoreError,
};

/// The longest name of a key, in characters. No source gives one.
const LONGEST_NAME: usize = 1024;

/// What a key is, and with that its prefix.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// `ak_`, made at the start, written to a file for the operator.
    Root,
    /// `ak_`, may do everything.
    Standard,
    /// `rk_`, may do what its scopes grant.
    Restricted(Vec<Scope>),
}

impl Kind {
    /// What a key of this kind starts with, without the `_`.
    pub(super) fn prefix(&self) -> &'static str {
        match self {
            Self::Root | Self::Standard => "ak",
            Self::Restricted(_) => "rk",
        }
    }

    fn column(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Standard => "standard",
            Self::Restricted(_) => "restricted",
        }
    }
}

/// A key to be stored.
#[derive(Debug)]
pub(super) struct NewKey {
    /// The account it is for.
    pub(super) account_id: String,
    /// What it is.
    pub(super) kind: Kind,
    /// What its maker calls it.
    pub(super) name: Option<String>,
    /// From when on it is refused, in Unix milliseconds.
    pub(super) expires_at_ms: Option<i64>,
}

/// The published answer, `ApiKeyCreatedView`: all members optional, `expires_at_ms` alone may be `null`. So `name` is
/// left out where none was given, and `expires_at_ms` is always there.
#[derive(Serialize)]
struct CreatedView<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    key_secret: &'a str,
    expires_at_ms: Option<i64>,
}

/// `POST /v1/apikeys`: `name?`, `expires_at_ms?`.
pub(super) async fn create(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut members = body.members()?;
    let key = NewKey { kind: Kind::Standard, ..described(&mut members, &caller, backend.clock().now_ms())? };
    if matches!(caller.rights, Rights::Scoped(_)) {
        // the published API allows it, but it turns a key that may do little into one that may do everything
        tracing::warn!(key_id = %caller.key_id, "restricted key makes a standard key");
    }
    let view = |id: &str, key: &NewKey, secret: &SecretString| {
        to_json(&CreatedView {
            id,
            name: key.name.as_deref(),
            key_secret: secret.expose_secret(),
            expires_at_ms: key.expires_at_ms,
        })
    };
    let request = Minting { operation: Operation::CreateApiKey, caller: &caller, headers: &headers, body: &body };
    mint(&backend, request, key, view).await
}

/// The members that both kinds of keys have. The kind is still to be set.
pub(super) fn described(members: &mut Members, caller: &Caller, now_ms: i64) -> Result<NewKey, ApiError> {
    let name = members.text("name")?;
    if name.as_ref().is_some_and(|name| name.chars().count() > LONGEST_NAME) {
        return Err(ApiError::invalid(format!("`name` must have at most {LONGEST_NAME} characters")));
    }
    let expires_at_ms = members.integer("expires_at_ms")?;
    if let Some(expiry) = expires_at_ms.filter(|expiry| *expiry <= now_ms) {
        return Err(ApiError::invalid(format!(
            "`expires_at_ms` is in the past: `{expiry}`; expected Unix milliseconds after `{now_ms}`"
        )));
    }
    Ok(NewKey { account_id: caller.account_id.clone(), kind: Kind::Standard, name, expires_at_ms })
}

/// The request in which a key is made.
pub(super) struct Minting<'a> {
    /// Which of the two calls it is.
    pub(super) operation: Operation,
    /// Who asks.
    pub(super) caller: &'a Caller,
    /// The request's headers.
    pub(super) headers: &'a HeaderMap,
    /// The request's body.
    pub(super) body: &'a Body,
}

/// Makes and stores a key, or gives the answer again that a request of the same id got. `view` writes the answer.
pub(super) async fn mint(
    backend: &Embedded,
    request: Minting<'_>,
    key: NewKey,
    view: impl Fn(&str, &NewKey, &SecretString) -> Result<SecretString, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let Minting { operation, caller, headers, body } = request;
    let now_ms = backend.clock().now_ms();
    let name = request_name(backend.crypto(), caller, operation.template(), headers, body.bytes());
    let (store, crypto) = (backend.store().clone(), backend.crypto().clone());
    let kind = key.kind.column();
    let work = async move {
        let (id, answer) = store
            .write(move |transaction| {
                let secret = new_key(key.kind.prefix())?;
                let id = insert(transaction, &crypto.key_digest(secret.expose_secret()), &key, now_ms)?;
                let answer = view(&id, &key, &secret)?;
                Ok((id, answer))
            })
            .await?;
        tracing::info!(key_id = %id, kind, "API key made");
        Ok(answer)
    };
    let answer = backend.replays().answer(name, now_ms, work).await?;
    Ok((json_headers(), answer.expose_secret().to_owned()).into_response())
}

/// The caller that a key with this digest stands for, and when the key expires.
pub(super) fn find(
    transaction: &Transaction<'_>,
    digest: &[u8; DIGEST_BYTES],
) -> Result<Option<(Caller, Option<i64>)>, ApiError> {
    // The index finds a row in a time that depends on the digest; without the master key nobody can aim at one. The
    // comparison that decides is the constant-time one below.
    let row = transaction
        .prepare_cached("SELECT id, account_id, kind, scopes, expires_at_ms, digest FROM api_keys WHERE digest = ?1")?
        .query_row([digest], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, Option<String>>(3)?,
                row.get::<_, Option<i64>>(4)?,
                row.get::<_, [u8; DIGEST_BYTES]>(5)?,
            ))
        })
        .optional()?;
    let Some((key_id, account_id, kind, scopes, expires_at_ms, stored)) = row else { return Ok(None) };
    if !equal(&stored, digest) {
        return Ok(None);
    }
    let rights = match (kind.as_str(), scopes) {
        ("root" | "standard", None) => Rights::All,
        (_, scopes) => Rights::Scoped(restricted_keys::stored_scopes(scopes.as_deref().unwrap_or("[]"))?),
    };
    Ok(Some((Caller { key_id, account_id, rights }, expires_at_ms)))
}

/// Stores a key's row and gives its id.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    digest: &[u8; DIGEST_BYTES],
    key: &NewKey,
    now_ms: i64,
) -> Result<String, StoreError> {
    let scopes = match &key.kind {
        Kind::Root | Kind::Standard => None,
        Kind::Restricted(scopes) => Some(serde_json::to_string(scopes)?),
    };
    // no source tells what ids of keys look like; every other id is a short prefix and 21 characters
    let id = ids::next(transaction, "key", now_ms)?;
    transaction.execute(
        "INSERT INTO api_keys (id, account_id, kind, name, digest, scopes, create_time_ms, expires_at_ms)
         VALUES (:id, :account_id, :kind, :name, :digest, :scopes, :now_ms, :expires_at_ms)",
        named_params! {
            ":id": id,
            ":account_id": key.account_id,
            ":kind": key.kind.column(),
            ":name": key.name,
            ":digest": digest,
            ":scopes": scopes,
            ":now_ms": now_ms,
            ":expires_at_ms": key.expires_at_ms,
        },
    )?;
    Ok(id)
}

/// The digest of the account's root key.
pub(super) fn root_digest(
    transaction: &Transaction<'_>,
    account_id: &str,
) -> rusqlite::Result<Option<[u8; DIGEST_BYTES]>> {
    transaction
        .query_row("SELECT digest FROM api_keys WHERE account_id = ?1 AND kind = 'root'", [account_id], |row| {
            row.get(0)
        })
        .optional()
}

/// Retires the account's root key.
pub(super) fn delete_root(transaction: &Transaction<'_>, account_id: &str) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM api_keys WHERE account_id = ?1 AND kind = 'root'", [account_id]).map(drop)
}

/// An answer as JSON; a secret, since it may hold a key.
pub(super) fn to_json(view: &impl Serialize) -> Result<SecretString, ApiError> {
    serde_json::to_string(view).map(SecretString::from).map_err(ApiError::internal)
}
