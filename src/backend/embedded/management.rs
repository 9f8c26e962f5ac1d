//! What Runloop's API lacks, under `/keyglass/v1`: listing, revoking and rotating keys, and secrets by expiry.
//!
//! Source: none but this file; the forms follow those of Runloop's API. What is decided:
//!
//! - Keys of RunTools and Runtype lie in the same store, but only the operator's root key sees and manages them here: a key
//!   of one provider is nothing at the others.
//! - A restricted key revokes and rotates only keys that may do no more than it does. To rotate a wider one would give the
//!   caller its rights. To revoke one gives nobody anything, but a key that somebody limited, for an agent say, is not
//!   meant to be able to shut its owner out; who has to end a wider key at once has a wider key, or the command line.
//! - What a restricted key gets by rotating ends when it does itself at the latest: an end that a key can put off is none.
//! - The operator can revoke a key whose row is damaged, and the row is removed then. Nothing in it can be believed, so it
//!   is not marked as good again.

use axum::{
    extract::{FromRequestParts, State},
    response::Response,
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, Uri, request::Parts};
use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;

use super::{
    Embedded,
    answer::{secret_answer, to_json},
    api_keys::{expiry, outlives},
    auth::{AccountReader, AccountWriter, Caller, Rights},
    body::Body,
    error::ApiError,
    idempotency::{self, Made, Thing, repeatable},
    keyring::Keyring,
    keys::{self, Kind, NewKey, Provider, State as KeyState, StoredKey},
    query::Query,
    route::Route,
    secrets::{self, PathName, path_parameter},
    uses,
};

/// The operations.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/keyglass/v1/keys", || get(list_keys)),
    Route::get("/keyglass/v1/keys/{id}", || get(get_key)),
    Route::post("/keyglass/v1/keys/{id}/revoke", || post(revoke_key)),
    Route::post("/keyglass/v1/keys/{id}/rotate", || post(rotate_key)),
    Route::get("/keyglass/v1/secrets", || get(list_secrets)),
    Route::post("/keyglass/v1/secrets/{name}/expiry", || post(set_expiry)),
];
/// How many rows a list holds where nothing is asked for, and at most.
const LIMITS: (u32, u32) = (20, 1_000);
/// How many secrets a list holds at most: as many as Runloop's own.
const MOST_SECRETS: u32 = 5_000;
/// How long a replaced key still works where nothing is asked for: a day, enough to bring the new one to where the old
/// one is in use.
const DEFAULT_GRACE_SECONDS: i64 = 24 * 60 * 60;
/// How long at most: 30 days.
const LONGEST_GRACE_SECONDS: i64 = 30 * 24 * 60 * 60;

/// A key, without the key itself. Times are Unix milliseconds.
#[derive(Serialize)]
struct KeyView {
    id: String,
    provider: &'static str,
    kind: &'static str,
    name: Option<String>,
    state: &'static str,
    /// As the provider's API writes them; `null` where the key may do everything.
    scopes: Option<Value>,
    create_time_ms: i64,
    expires_at_ms: Option<i64>,
    revoked_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
    replaced_by: Option<String>,
}

#[derive(Serialize)]
struct KeyListView {
    keys: Vec<KeyView>,
    has_more: bool,
    total_count: i64,
}

#[derive(Serialize)]
struct RotatedView<'a> {
    key: &'a KeyView,
    key_secret: &'a str,
    replaced: &'a KeyView,
}

/// The published view, and what is beyond it.
#[derive(Serialize)]
struct SecretView {
    #[serde(flatten)]
    published: secrets::SecretView,
    expires_at_ms: Option<i64>,
}

/// The id in the path.
pub(super) struct KeyId(String);

impl<S: Send + Sync> FromRequestParts<S> for KeyId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        path_parameter(parts, state).await.map(Self)
    }
}

impl KeyId {
    /// The id as it was sent.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The account's key with this id. Error: there is none.
    pub(super) fn find(
        &self,
        connection: &Connection,
        keyring: &Keyring,
        account_id: &str,
    ) -> Result<StoredKey, ApiError> {
        keys::by_id(connection, keyring, account_id, &self.0)?.ok_or_else(|| self.unknown())
    }

    /// That there is no key with this id. The id is shown, unless it is a key itself by its looks.
    pub(super) fn unknown(&self) -> ApiError {
        if ["ak_", "rk_", "rt_"].iter().any(|prefix| self.0.starts_with(prefix)) {
            return ApiError::not_found(
                "there is no key with this id; ids are those in the list, not the keys themselves",
            );
        }
        let shown: String = self.0.chars().take(100).collect();
        ApiError::not_found(format!("there is no key with the id `{shown}`"))
    }
}

/// `GET /keyglass/v1/keys?provider=&state=&limit=&starting_after=`: the newest first, those that work where no state is
/// asked for.
async fn list_keys(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = Query::of(&uri);
    let limit = query.limit(LIMITS.0, LIMITS.1)?;
    let provider = match query.text("provider") {
        None => None,
        Some(name) => Some(
            Provider::named(name)
                .ok_or_else(|| ApiError::invalid("`provider` must be `runloop`, `runtools` or `runtype`"))?,
        ),
    };
    let now_ms = backend.clock().now_ms();
    // Each is a condition on `?3`, the present.
    let state = match query.text("state") {
        None | Some("active") => "revoked_at_ms IS NULL AND coalesce(expires_at_ms > ?3, true)",
        Some("expired") => "revoked_at_ms IS NULL AND expires_at_ms <= ?3",
        Some("revoked") => "revoked_at_ms IS NOT NULL AND ?3 IS NOT NULL",
        Some("all") => "?3 IS NOT NULL",
        Some(_) => return Err(ApiError::invalid("`state` must be `active`, `expired`, `revoked` or `all`")),
    };
    let seen = if matches!(caller.rights, Rights::Operator) { "true" } else { "provider = 'runloop'" };
    let after = query.text("starting_after").map(str::to_owned);
    let keyring = backend.keyring().clone();
    let view = backend.store().read(move |connection| {
        let provider = provider.map(Provider::name);
        let condition = format!("account_id = ?1 AND {seen} AND coalesce(provider = ?2, true) AND {state}");
        let count = format!("SELECT count(*) FROM keys WHERE {condition}");
        let total_count =
            connection.query_row(&count, params![caller.account_id(), provider, now_ms], |row| row.get(0))?;
        let before: Option<i64> = match &after {
            None => None,
            Some(id) => {
                let find = format!("SELECT rowid FROM keys WHERE account_id = ?1 AND {seen} AND id = ?2");
                let found = connection.query_row(&find, [caller.account_id(), id], |row| row.get(0)).optional()?;
                Some(found.ok_or_else(|| ApiError::invalid("`starting_after` must be the id of a key"))?)
            }
        };
        // One more than asked for tells whether there are more.
        let page = format!("{condition} AND coalesce(rowid < ?4, true) ORDER BY rowid DESC LIMIT ?5");
        let parameters = params![caller.account_id(), provider, now_ms, before, i64::from(limit) + 1];
        let mut found = keys::select(connection, &keyring, &page, parameters)?;
        let asked = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = found.len() > asked;
        found.truncate(asked);
        let keys = found.into_iter().map(|stored| view(connection, stored, now_ms)).collect::<Result<_, _>>()?;
        Ok(KeyListView { keys, has_more, total_count })
    });
    answer(&view.await?)
}

/// `GET /keyglass/v1/keys/{id}`.
async fn get_key(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    id: KeyId,
) -> Result<Response, ApiError> {
    let (keyring, now_ms) = (backend.keyring().clone(), backend.clock().now_ms());
    let find = move |connection: &Connection| view(connection, find_seen(&id, connection, &keyring, &caller)?, now_ms);
    answer(&backend.store().read(find).await?)
}

/// `POST /keyglass/v1/keys/{id}/revoke`: no members. From then on the key is refused; a second call changes nothing.
async fn revoke_key(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    id: KeyId,
    body: Body,
) -> Result<Response, ApiError> {
    drop(body.members()?);
    let now_ms = backend.clock().now_ms();
    let by = caller.key_id().to_owned();
    let revoke = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let mut stored = match find_seen(&id, connection, keyring, caller) {
            Err(error) if error.is_damaged() && matches!(caller.rights, Rights::Operator) => {
                return Ok((remove_damaged(connection, caller, &id, now_ms)?, true));
            }
            found => found?,
        };
        refuse_root(stored.key.kind)?;
        refuse_wider(caller, &stored)?;
        if stored.revoked_at_ms.is_none() {
            stored = keys::revoke(connection, keyring, stored, now_ms)?;
        }
        Ok((view(connection, stored, now_ms)?, false))
    };
    let (view, was_damaged) = caller.write(&backend, revoke).await?;
    if was_damaged {
        tracing::warn!(key_id = %view.id, %by, "a damaged API key was removed");
    } else {
        tracing::info!(key_id = %view.id, %by, "API key revoked");
    }
    answer(&view)
}

/// Removes a key that cannot be revoked, since nothing in its row can be believed.
fn remove_damaged(connection: &Connection, caller: &Caller, id: &KeyId, now_ms: i64) -> Result<KeyView, ApiError> {
    let removed = keys::remove_damaged(connection, caller.account_id(), &id.0)?;
    let (provider, kind) =
        removed.map_or((Provider::Runloop, Kind::Standard), |stored| (stored.key.provider, stored.key.kind));
    refuse_root(kind)?;
    Ok(KeyView {
        id: id.0.clone(),
        provider: provider.name(),
        kind: kind.name(),
        name: Some("damaged, removed".to_owned()),
        state: "revoked",
        scopes: Some(Value::Array(Vec::new())),
        create_time_ms: 0,
        expires_at_ms: None,
        revoked_at_ms: Some(now_ms),
        last_used_at_ms: None,
        replaced_by: None,
    })
}

/// `POST /keyglass/v1/keys/{id}/rotate`: `grace_period_seconds?` (a day), `expires_at_ms?`. A new key with the same name
/// and rights; the old one works until the grace period is over. The new one lives as long as the old one was meant to,
/// unless an expiry is given.
async fn rotate_key(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    headers: HeaderMap,
    id: KeyId,
    body: Body,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let mut members = body.members()?;
    let grace = members.integer("grace_period_seconds")?.unwrap_or(DEFAULT_GRACE_SECONDS);
    if !(0..=LONGEST_GRACE_SECONDS).contains(&grace) {
        return Err(ApiError::invalid(format!(
            "`grace_period_seconds` must be a whole number from 0 to {LONGEST_GRACE_SECONDS}"
        )));
    }
    let expiry = expiry(&mut members, now_ms)?;
    let route = format!("rotate {}", id.0);
    let name = repeatable(backend.keyring(), &caller, &route, &headers, body.bytes());
    let (maker, creator) = (backend.clone(), caller.clone());
    let work = async move {
        let rotate = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
            let old = find_seen(&id, connection, keyring, caller)?;
            refuse_root(old.key.kind)?;
            refuse_wider(caller, &old)?;
            let is_restricted = matches!(caller.rights, Rights::Scoped(_));
            if is_restricted && expiry.is_some() && outlives(expiry, caller) {
                return Err(ApiError::forbidden(
                    "a restricted key makes none that outlives it; send no `expires_at_ms`",
                ));
            }
            let latest = if is_restricted { caller.key().expires_at_ms } else { None };
            let (new, old, secret) = rotate(connection, keyring, old, &Rotation { grace, expiry, latest, now_ms })?;
            let thing = Thing { id: new.id.clone(), digest: Some(*new.digest()) };
            let old_id = old.id.clone();
            let (key, replaced) = (view(connection, new, now_ms)?, view(connection, old, now_ms)?);
            let answer = to_json(&RotatedView { key: &key, key_secret: secret.expose_secret(), replaced: &replaced })?;
            Ok((Made { thing, answer }, old_id))
        };
        let (made, old_id) = creator.write(&maker, rotate).await?;
        tracing::info!(key_id = %made.thing.id, replaces = %old_id, "API key rotated");
        Ok(made)
    };
    let answer = idempotency::once(&backend, &caller, name, work).await?;
    Ok(secret_answer(StatusCode::OK, &answer))
}

/// How a key is to be replaced.
struct Rotation {
    /// How long the old key still works, in seconds.
    grace: i64,
    /// When the new key expires, where that is said.
    expiry: Option<i64>,
    /// When the new key expires at the latest.
    latest: Option<i64>,
    /// The time, in Unix milliseconds.
    now_ms: i64,
}

/// Makes a key that takes the place of another: the new one, the old one as it is now, the new key itself.
fn rotate(
    connection: &Connection,
    keyring: &Keyring,
    mut old: StoredKey,
    rotation: &Rotation,
) -> Result<(StoredKey, StoredKey, SecretString), ApiError> {
    let Rotation { grace, expiry, latest, now_ms } = *rotation;
    if let Some(other) = &old.replaced_by {
        return Err(ApiError::invalid(format!("the key was replaced already, by `{other}`; rotate that one")));
    }
    match old.state(now_ms) {
        KeyState::Active => {}
        KeyState::Expired => return Err(ApiError::invalid("the key has expired; make a new one")),
        KeyState::Revoked => return Err(ApiError::invalid("the key is revoked; make a new one")),
    }
    let lifetime = old.key.expires_at_ms.map(|expiry| expiry.saturating_sub(old.create_time_ms));
    let expires_at_ms = expiry.or_else(|| lifetime.map(|lifetime| now_ms.saturating_add(lifetime)));
    let expires_at_ms = [expires_at_ms, latest].into_iter().flatten().min();
    let (new, secret) = keys::mint(connection, keyring, NewKey { expires_at_ms, ..old.key.clone() }, now_ms)?;
    let end = now_ms.saturating_add(grace.saturating_mul(1000));
    old.key.expires_at_ms = Some(old.key.expires_at_ms.map_or(end, |expiry| expiry.min(end)));
    old.replaced_by = Some(new.id.clone());
    keys::update(connection, keyring, &old)?;
    Ok((new, old, secret))
}

/// `GET /keyglass/v1/secrets?expires_before_ms=&limit=`: secrets that have an expiry, the next to expire first.
async fn list_secrets(
    State(backend): State<Embedded>,
    AccountReader(caller): AccountReader,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = Query::of(&uri);
    let limit = query.limit(LIMITS.0, MOST_SECRETS)?;
    let before = query.integer("expires_before_ms")?.unwrap_or(i64::MAX);
    let keyring = backend.keyring().clone();
    let view = backend.store().read(move |connection| {
        let condition = "account_id = ?1 AND expires_at_ms < ?2";
        let count = format!("SELECT count(*) FROM secrets WHERE {condition}");
        let total_count: i64 = connection.query_row(&count, params![caller.account_id(), before], |row| row.get(0))?;
        let page = format!("{condition} ORDER BY expires_at_ms, id LIMIT ?3");
        let found = secrets::select(connection, &keyring, &page, params![caller.account_id(), before, limit])?;
        let secrets = found.into_iter().map(secret_view).collect();
        Ok(secrets::SecretListView { secrets, has_more: i64::from(limit) < total_count, total_count })
    });
    answer(&view.await?)
}

/// `POST /keyglass/v1/secrets/{name}/expiry`: `expires_at_ms`, or `null` for none. A reminder: the secret works on after
/// it, since what needs it would break without warning.
async fn set_expiry(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    PathName(which): PathName,
    body: Body,
) -> Result<Response, ApiError> {
    let mut members = body.members()?;
    members.required("expires_at_ms")?;
    let expires_at_ms = expiry(&mut members, backend.clock().now_ms())?;
    let change = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let mut stored = which.find(connection, keyring, caller.account_id())?;
        stored.expires_at_ms = expires_at_ms;
        secrets::update(connection, keyring, &stored, None)?;
        Ok(secret_view(stored))
    };
    answer(&caller.write(&backend, change).await?)
}

/// The key with this id, where the caller sees keys of its provider.
fn find_seen(id: &KeyId, connection: &Connection, keyring: &Keyring, caller: &Caller) -> Result<StoredKey, ApiError> {
    let stored = id.find(connection, keyring, caller.account_id())?;
    let seen = matches!(caller.rights, Rights::Operator) || stored.key.provider == Provider::Runloop;
    if seen { Ok(stored) } else { Err(id.unknown()) }
}

fn refuse_wider(caller: &Caller, stored: &StoredKey) -> Result<(), ApiError> {
    if caller.rights.cover(&Rights::of(&stored.key)?) {
        return Ok(());
    }
    Err(ApiError::forbidden("a restricted key revokes and rotates only keys that may do no more than it does"))
}

fn refuse_root(kind: Kind) -> Result<(), ApiError> {
    match kind {
        Kind::Root => Err(ApiError::invalid(
            "this is the root key, which is not changed over HTTP: delete the file `root.key` in the data folder and \
             start anew, and another one is made",
        )),
        _ => Ok(()),
    }
}

fn view(connection: &Connection, stored: StoredKey, now_ms: i64) -> Result<KeyView, ApiError> {
    let state = match stored.state(now_ms) {
        KeyState::Active => "active",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
    };
    let NewKey { provider, kind, name, scopes, expires_at_ms, account_id: _, details: _ } = stored.key;
    Ok(KeyView {
        provider: provider.name(),
        kind: kind.name(),
        name,
        state,
        scopes: scopes.map(|scopes| serde_json::from_str(&scopes)).transpose().map_err(ApiError::internal)?,
        create_time_ms: stored.create_time_ms,
        expires_at_ms,
        revoked_at_ms: stored.revoked_at_ms,
        last_used_at_ms: uses::last(connection, &stored.id)?,
        replaced_by: stored.replaced_by,
        id: stored.id,
    })
}

fn secret_view(stored: secrets::Stored) -> SecretView {
    SecretView { expires_at_ms: stored.expires_at_ms, published: stored.into() }
}

fn answer(view: &impl Serialize) -> Result<Response, ApiError> {
    Ok(secret_answer(StatusCode::OK, &to_json(view)?))
}
