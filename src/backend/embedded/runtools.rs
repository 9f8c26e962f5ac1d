//! RunTools' API keys, under `/runtools/v1/api-keys`: making, listing, reading, changing and revoking them.
//!
//! Source: RunTools' documents and the published source of its key service. `verify`, which only that service's own parts
//! call, is left out, and so are secrets. What the documents leave open is decided so that no key gives more than it has:
//!
//! - Managing keys needs `org:write` or `admin:resources`, reading them one of these or `org:read`: keys belong to the
//!   organization, and no scope names them. The root key stands for a person who is signed in.
//! - A key hands on only what it has itself: scopes, its project, its time; and a test key makes test keys. It changes and
//!   revokes only keys that may do no more than it may: a key that somebody limited is not meant to shut others out. One
//!   that merely lives longer may be revoked.
//! - A key of a project sees keys of that project only.

use axum::{
    extract::{FromRequestParts, State},
    response::Response,
    routing::{delete, get, patch, post},
};
use http::{HeaderMap, StatusCode, Uri, request::Parts};
use rusqlite::{Connection, OptionalExtension as _, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    Embedded,
    answer::{secret_answer, to_json},
    api_keys::{Minting, mint_with},
    auth::{Caller, Rights},
    body::{Body, Members},
    error::ApiError,
    grants, ids,
    keyring::Keyring,
    keys::{self, Kind, NewKey, Provider, State as KeyState, StoredKey},
    management::KeyId,
    query::Query,
    route::Route,
    surface::RequestId,
    times, uses,
};

/// The operations.
pub(super) const ROUTES: &[Route] = &[
    Route::get(COLLECTION, || get(list)),
    Route::post(COLLECTION, || post(create)),
    Route::get(ONE, || get(get_one)),
    Route::patch(ONE, || patch(change)),
    Route::delete(ONE, || delete(revoke)),
];
const COLLECTION: &str = "/runtools/v1/api-keys";
const ONE: &str = "/runtools/v1/api-keys/{id}";
/// How many keys a list holds where nothing is asked for, and at most. No source gives them.
const LIMITS: (u32, u32) = (20, 100);
/// What reading keys needs, one of them.
const READING: &[&str] = &["org:read", "org:write", "admin:resources"];
/// What managing keys needs, one of them.
const MANAGING: &[&str] = &["org:write", "admin:resources"];
/// The published scopes. Of the last four kinds the documents give the names alone; of their actions those are taken that
/// nearly all the others have.
const SCOPES: &[&str] = &[
    "*",
    "sandbox:create",
    "sandbox:read",
    "sandbox:write",
    "sandbox:*",
    "agent:run",
    "agent:read",
    "agent:write",
    "agent:*",
    "files:read",
    "files:write",
    "files:*",
    "org:read",
    "org:write",
    "org:members",
    "org:*",
    "admin:resources",
    "admin:*",
    "workflow:read",
    "workflow:write",
    "workflow:*",
    "tool:read",
    "tool:write",
    "tool:*",
    "ssh-key:read",
    "ssh-key:write",
    "ssh-key:*",
    "template:read",
    "template:write",
    "template:*",
];

/// What a key's row holds besides.
#[derive(Serialize, Deserialize)]
struct Details {
    project_id: Option<String>,
}

/// A key, without the key itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyView {
    id: String,
    name: String,
    /// The prefix alone, as in the published source.
    key_prefix: String,
    scopes: Vec<String>,
    project_id: Option<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
    created_at: String,
    status: &'static str,
    owner_user_id: String,
    owner_display_name: &'static str,
    owner_email: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    request_id: String,
}

#[derive(Serialize)]
struct OneView {
    data: KeyView,
    meta: Meta,
}

#[derive(Serialize)]
struct CreatedView<'a> {
    data: WithKey<'a>,
    message: &'static str,
    meta: Meta,
}

#[derive(Serialize)]
struct WithKey<'a> {
    #[serde(flatten)]
    view: KeyView,
    key: &'a str,
}

#[derive(Serialize)]
struct ListView {
    data: Vec<KeyView>,
    meta: ListMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    has_more: bool,
    next_cursor: Option<String>,
    request_id: String,
}

/// A caller that may read keys.
struct KeyReader(Caller);

/// A caller that may manage keys.
struct KeyManager(Caller);

impl<S: Send + Sync> FromRequestParts<S> for KeyReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Caller::of(parts, |rights| has_one_of(rights, READING)).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for KeyManager {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Caller::of(parts, |rights| has_one_of(rights, MANAGING)).map(Self)
    }
}

fn has_one_of(rights: &Rights, wanted: &[&str]) -> Result<(), ApiError> {
    let may = match rights {
        Rights::Operator => true,
        Rights::Named(granted) => wanted.iter().any(|scope| grants::covers(granted, scope)),
        Rights::All | Rights::Scoped(_) => false,
    };
    if may {
        return Ok(());
    }
    let wanted: Vec<String> = wanted.iter().map(|scope| format!("`{scope}`")).collect();
    Err(ApiError::forbidden(format!("this key lacks the scope for it, which is {}", wanted.join(" or "))))
}

/// `GET /runtools/v1/api-keys?limit=&cursor=`: the newest first, without those that were revoked.
async fn list(
    State(backend): State<Embedded>,
    KeyReader(caller): KeyReader,
    RequestId(request_id): RequestId,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = Query::of(&uri);
    let limit = query.limit(LIMITS.0, LIMITS.1)?;
    let cursor = query.text("cursor").map(str::to_owned);
    let keyring = backend.keyring().clone();
    let (now_ms, provider) = (backend.clock().now_ms(), Provider::RunTools.name());
    // Of a key of a project: what keys of the same project hold, to the byte.
    let project = project_of(caller.key())?.map(|project_id| details_to_row(Some(project_id))).transpose()?;
    let view = backend.store().read(move |connection| {
        let before: Option<i64> = match &cursor {
            None => None,
            Some(id) => {
                let find = "SELECT rowid FROM keys
                            WHERE account_id = ?1 AND provider = ?2 AND id = ?3 AND coalesce(details = ?4, true)";
                let parameters = params![caller.account_id(), provider, id, project];
                let found = connection.query_row(find, parameters, |row| row.get(0));
                let wrong = || ApiError::invalid("`cursor` must be the `nextCursor` of an earlier answer");
                Some(found.optional()?.ok_or_else(wrong)?)
            }
        };
        // One more than asked for tells whether there are more.
        let page = "account_id = ?1 AND provider = ?2 AND revoked_at_ms IS NULL AND coalesce(rowid < ?3, true)
                    AND coalesce(details = ?5, true) ORDER BY rowid DESC LIMIT ?4";
        let parameters = params![caller.account_id(), provider, before, i64::from(limit) + 1, project];
        let mut found = keys::select(connection, &keyring, page, parameters)?;
        let asked = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = found.len() > asked;
        found.truncate(asked);
        let next_cursor = found.last().filter(|_| has_more).map(|last| last.id.clone());
        let data =
            found.into_iter().map(|stored| view(connection, &keyring, stored, now_ms)).collect::<Result<_, _>>()?;
        Ok(ListView { data, meta: ListMeta { has_more, next_cursor, request_id } })
    });
    answer(StatusCode::OK, &to_json(&view.await?)?)
}

/// `GET /runtools/v1/api-keys/{id}`. One that was revoked is shown, as such.
async fn get_one(
    State(backend): State<Embedded>,
    KeyReader(caller): KeyReader,
    RequestId(request_id): RequestId,
    id: KeyId,
) -> Result<Response, ApiError> {
    let (keyring, now_ms) = (backend.keyring().clone(), backend.clock().now_ms());
    let find = move |connection: &Connection| {
        let stored = find(&id, connection, &keyring, &caller)?;
        view(connection, &keyring, stored, now_ms)
    };
    let data = backend.store().read(find).await?;
    answer(StatusCode::OK, &to_json(&OneView { data, meta: Meta { request_id } })?)
}

/// `POST /runtools/v1/api-keys`: `name`, `scopes?`, `expiresIn?`, `isTest?`, `projectId?`. Without scopes the key may do
/// everything, as published; so a key that may not cannot leave them out.
async fn create(
    State(backend): State<Embedded>,
    KeyManager(caller): KeyManager,
    RequestId(request_id): RequestId,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let mut members = body.members()?;
    let name = grants::checked_name(backend.limits(), members.required_text("name")?)?;
    let scopes = grants::sent("scopes", &members.list("scopes")?.unwrap_or_default(), SCOPES)?;
    let scopes = if scopes.is_empty() { vec!["*".to_owned()] } else { scopes };
    let kind = if members.boolean("isTest")?.unwrap_or(false) { Kind::Test } else { Kind::Live };
    let key = NewKey {
        account_id: caller.account_id().to_owned(),
        provider: Provider::RunTools,
        kind,
        name: Some(name),
        scopes: Some(grants::to_row(&scopes)?),
        details: Some(details_to_row(project(&mut members)?)?),
        expires_at_ms: expiry(members.text("expiresIn")?.as_deref(), now_ms)?,
    };
    let make = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        Ceiling::of(caller).refuse_more(&key)?;
        let (stored, secret) = keys::mint(connection, keyring, key, now_ms)?;
        let data = WithKey { view: view(connection, keyring, stored.clone(), now_ms)?, key: secret.expose_secret() };
        let message = "Store this key now: it is not shown again.";
        let answer = to_json(&CreatedView { data, message, meta: Meta { request_id } })?;
        Ok((stored, answer))
    };
    let request = Minting { route: COLLECTION, caller: &caller, headers: &headers, body: &body };
    answer(StatusCode::CREATED, &mint_with(&backend, request, make).await?)
}

/// `PATCH /runtools/v1/api-keys/{id}`: `name?`, `scopes?`, `projectId?`; `null` takes the key out of its project. No
/// scopes at all are refused, where creation takes them for all: nobody who empties a list means that.
async fn change(
    State(backend): State<Embedded>,
    KeyManager(caller): KeyManager,
    RequestId(request_id): RequestId,
    id: KeyId,
    body: Body,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let by = caller.key_id().to_owned();
    let mut members = body.members()?;
    let moves = members.has("projectId");
    let project_id = project(&mut members)?;
    let name = members.text("name")?.map(|name| grants::checked_name(backend.limits(), name)).transpose()?;
    let scopes = match members.list("scopes")? {
        None => None,
        Some(entries) if entries.is_empty() => {
            return Err(ApiError::invalid("`scopes` must name at least one; revoke the key to end it"));
        }
        Some(entries) => Some(grants::to_row(&grants::sent("scopes", &entries, SCOPES)?)?),
    };
    if name.is_none() && scopes.is_none() && !moves {
        return Err(ApiError::invalid("say what to change: `name`, `scopes` or `projectId`"));
    }
    let work = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let mut stored = find_working(&id, connection, keyring, caller)?;
        stored.refuse_replaced()?;
        let ceiling = Ceiling::of(caller);
        ceiling.refuse_more(&stored.key)?;
        stored.key.name = name.or(stored.key.name);
        stored.key.scopes = scopes.or(stored.key.scopes);
        if moves {
            stored.key.details = Some(details_to_row(project_id)?);
        }
        ceiling.refuse_more(&stored.key)?;
        keys::update(connection, keyring, &stored)?;
        view(connection, keyring, stored, now_ms)
    };
    let data = caller.write(&backend, work).await?;
    tracing::info!(key_id = %data.id, %by, "API key changed");
    answer(StatusCode::OK, &to_json(&OneView { data, meta: Meta { request_id } })?)
}

/// `DELETE /runtools/v1/api-keys/{id}`: from then on the key is refused. A second time there is no such key.
async fn revoke(
    State(backend): State<Embedded>,
    KeyManager(caller): KeyManager,
    RequestId(request_id): RequestId,
    id: KeyId,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let by = caller.key_id().to_owned();
    let work = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let stored = find_working(&id, connection, keyring, caller)?;
        Ceiling::of(caller).refuse_wider(&stored.key)?;
        view(connection, keyring, keys::revoke(connection, keyring, stored, now_ms)?, now_ms)
    };
    let data = caller.write(&backend, work).await?;
    tracing::info!(key_id = %data.id, %by, "API key revoked");
    answer(StatusCode::OK, &to_json(&OneView { data, meta: Meta { request_id } })?)
}

/// The most that a caller may hand on.
struct Ceiling<'a> {
    /// The caller's own key; `None` for a person, who may hand on everything.
    own: Option<&'a NewKey>,
}

impl<'a> Ceiling<'a> {
    fn of(caller: &'a Caller) -> Self {
        Self { own: if matches!(caller.rights, Rights::Operator) { None } else { Some(caller.key()) } }
    }

    /// Refuses a key that is more in any way than the caller's.
    fn refuse_more(&self, wanted: &NewKey) -> Result<(), ApiError> {
        self.refuse_wider(wanted)?;
        match self.own.and_then(|own| own.expires_at_ms) {
            Some(end) if wanted.expires_at_ms.is_none_or(|expiry| expiry > end) => Err(ApiError::forbidden(format!(
                "a key neither makes nor changes one that outlives it; this one ends at {}, so send a shorter `expiresIn`",
                times::to_text(end)
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a key that may do more than the caller's.
    fn refuse_wider(&self, wanted: &NewKey) -> Result<(), ApiError> {
        let Some(own) = self.own else { return Ok(()) };
        if !Rights::of(own)?.cover(&Rights::of(wanted)?) {
            return Err(ApiError::forbidden(
                "a key gives only scopes that it has itself, and changes and revokes only keys that have no others; name \
                 fewer in `scopes` (none at all means `*`)",
            ));
        }
        if own.kind == Kind::Test && wanted.kind != Kind::Test {
            return Err(ApiError::forbidden(
                "a test key makes, changes and revokes test keys only; send `isTest: true`",
            ));
        }
        let own_project = project_of(own)?;
        if own_project.is_some() && own_project != project_of(wanted)? {
            return Err(ApiError::forbidden("a key of a project makes and changes keys of that project only"));
        }
        Ok(())
    }
}

/// The key of RunTools with this id, where the caller sees it.
fn find(id: &KeyId, connection: &Connection, keyring: &Keyring, caller: &Caller) -> Result<StoredKey, ApiError> {
    let stored = id.find(connection, keyring, caller.account_id())?;
    let project = project_of(caller.key())?;
    let seen = stored.key.provider == Provider::RunTools && (project.is_none() || project == project_of(&stored.key)?);
    if seen { Ok(stored) } else { Err(id.unknown()) }
}

/// The same, unless it was revoked.
fn find_working(
    id: &KeyId,
    connection: &Connection,
    keyring: &Keyring,
    caller: &Caller,
) -> Result<StoredKey, ApiError> {
    let stored = find(id, connection, keyring, caller)?;
    if stored.revoked_at_ms.is_none() { Ok(stored) } else { Err(id.unknown()) }
}

/// `expiresIn` of a request as Unix milliseconds. The grammar and the unit's text are those of the published source.
fn expiry(text: Option<&str>, now_ms: i64) -> Result<Option<i64>, ApiError> {
    let Some(text) = text.filter(|text| *text != "never") else { return Ok(None) };
    let wrong = || {
        ApiError::invalid(
            "`expiresIn` must be `never`, or a whole number above 0 and a unit, such as `90d`; the expiry unit must be d, \
             m, or y, and `m` is 30 days",
        )
    };
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let days = match unit {
        "d" => 1,
        "m" => 30,
        "y" => 365,
        _ => return Err(wrong()),
    };
    if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) || number.bytes().all(|it| it == b'0') {
        return Err(wrong());
    }
    let lifetime = number.parse::<i64>().ok().and_then(|number| number.checked_mul(days * times::DAY_MS));
    let end = lifetime.and_then(|lifetime| now_ms.checked_add(lifetime)).filter(|end| *end <= times::LATEST_MS);
    end.map(Some).ok_or_else(|| ApiError::invalid("`expiresIn` reaches beyond the year 9999; send `never`"))
}

/// `projectId` of a request: a UUID, or none.
fn project(members: &mut Members) -> Result<Option<String>, ApiError> {
    let is_uuid = |text: &String| {
        let parts: Vec<&str> = text.split('-').collect();
        parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
            && parts.iter().all(|part| part.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    match members.text("projectId")? {
        Some(text) if !is_uuid(&text) => Err(ApiError::invalid("`projectId` must be a UUID or `null`")),
        // RFC 9562, section 4: either case is read, and lower case written.
        project_id => Ok(project_id.map(|text| text.to_ascii_lowercase())),
    }
}

fn details_to_row(project_id: Option<String>) -> Result<String, ApiError> {
    serde_json::to_string(&Details { project_id }).map_err(ApiError::internal)
}

fn project_of(key: &NewKey) -> Result<Option<String>, ApiError> {
    let details = key.details.as_deref().map(serde_json::from_str::<Details>).transpose();
    Ok(details.map_err(ApiError::internal)?.and_then(|details| details.project_id))
}

fn view(connection: &Connection, keyring: &Keyring, stored: StoredKey, now_ms: i64) -> Result<KeyView, ApiError> {
    Ok(KeyView {
        key_prefix: format!("{}_", stored.key.kind.prefix()),
        scopes: grants::stored(stored.key.scopes.as_deref())?,
        project_id: project_of(&stored.key)?,
        expires_at: stored.key.expires_at_ms.map(times::to_text),
        last_used_at: uses::last(connection, &stored.id)?.map(times::to_text),
        revoked_at: stored.revoked_at_ms.map(times::to_text),
        created_at: times::to_text(stored.create_time_ms),
        status: match stored.state(now_ms) {
            KeyState::Active => "active",
            KeyState::Expired => "expired",
            KeyState::Revoked => "revoked",
        },
        name: stored.key.name.unwrap_or_default(),
        // There is one account, which stands for its user; nobody's address is known. The documents show a UUID.
        owner_user_id: ids::uuid_of(&keyring.digest("owner", &[stored.key.account_id.as_bytes()])),
        owner_display_name: "keyglass",
        owner_email: None,
        id: stored.id,
    })
}

fn answer(status: StatusCode, json: &SecretString) -> Result<Response, ApiError> {
    Ok(secret_answer(status, json))
}
