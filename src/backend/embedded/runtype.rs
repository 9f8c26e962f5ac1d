//! Runtype's API keys, under `/runtype/v1/api-keys`: options, making, listing, reading, changing, regenerating and
//! revoking them.
//!
//! Source: Runtype's documents; neither its newest SDK nor its newest specification has these routes, so they may change.
//! Not here: showing a test key again (only digests are kept, so `canReveal` is always false) and usage figures.
//!
//! - An API key can neither make nor regenerate keys, as published. Changing them is refused as well, since a wider
//!   permission or a later expiry gives what making one would. Listing, reading and revoking need `*`: no permission names
//!   keys. The root key stands for a person who is signed in.
//! - `allowedIps` is refused unless it is empty: this backend does not see where a call comes from, and a limit that is
//!   taken and not kept would be worse than none.

use axum::{
    extract::{FromRequestParts, State},
    response::Response,
    routing::{delete, get, post, put},
};
use http::{HeaderMap, StatusCode, request::Parts};
use rusqlite::{Connection, params};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{
    Embedded,
    answer::{secret_answer, to_json},
    api_keys::{Minting, mint_with},
    auth::{Caller, Rights},
    body::{Body, Members},
    error::ApiError,
    grants,
    keyring::Keyring,
    keys::{self, Kind, NewKey, Provider, State as KeyState, StoredKey},
    management::KeyId,
    route::Route,
    times,
};

/// The operations.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/runtype/v1/api-keys/options", || get(options)),
    Route::get(COLLECTION, || get(list)),
    Route::post(COLLECTION, || post(create)),
    Route::get(ONE, || get(get_one)),
    Route::put(ONE, || put(change)),
    Route::delete(ONE, || delete(revoke)),
    Route::post(REGENERATE, || post(regenerate)),
];
const COLLECTION: &str = "/runtype/v1/api-keys";
const ONE: &str = "/runtype/v1/api-keys/{id}";
const REGENERATE: &str = "/runtype/v1/api-keys/{id}/regenerate";
/// What a key may do where nothing is said.
const DEFAULT_PERMISSIONS: [&str; 2] = ["FLOWS:READ", "RECORDS:READ"];
/// What goes with a key that is shown.
const WARNING: &str = "Store this key now: it is not shown again.";

/// Permissions that belong together, from which the dashboard makes its presets.
#[derive(Serialize)]
struct Group {
    key: &'static str,
    label: &'static str,
    description: &'static str,
    permissions: &'static [&'static str],
}

/// The published permissions. The documents' list ends in "…"; what stands before that is taken.
const GROUPS: &[Group] = &[
    Group { key: "all", label: "Everything", description: "Every permission, also later ones.", permissions: &["*"] },
    Group {
        key: "flows",
        label: "Flows",
        description: "Read, change and run flows.",
        permissions: &["FLOWS:READ", "FLOWS:WRITE", "FLOWS:EXECUTE", "FLOWS:*"],
    },
    Group {
        key: "records",
        label: "Records",
        description: "Read and change records.",
        permissions: &["RECORDS:READ", "RECORDS:WRITE", "RECORDS:*"],
    },
    Group {
        key: "dispatch",
        label: "Dispatch",
        description: "Run flows on records.",
        permissions: &["DISPATCH:EXECUTE", "DISPATCH:*"],
    },
    Group {
        key: "agents",
        label: "Agents",
        description: "Read, change and run agents.",
        permissions: &["AGENTS:READ", "AGENTS:WRITE", "AGENTS:EXECUTE", "AGENTS:*"],
    },
    Group {
        key: "secrets",
        label: "Secrets",
        description: "Store secrets; no permission reads them.",
        permissions: &["SECRETS:WRITE"],
    },
    Group {
        key: "analytics",
        label: "Analytics",
        description: "Read figures of use.",
        permissions: &["ANALYTICS:READ"],
    },
    Group { key: "telemetry", label: "Telemetry", description: "Send telemetry.", permissions: &["TELEMETRY:WRITE"] },
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OptionsView {
    permission_groups: &'static [Group],
    permission_scopes: Vec<&'static str>,
    rate_limits: RateLimits,
}

/// As published; this backend counts no calls.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RateLimits {
    default_per_hour: u32,
    default_per_day: u32,
    max_per_hour: u32,
    max_per_day: u32,
}

/// A key, without the key itself, of which no character is kept: so `maskedKey` is the prefix alone, and there is no
/// `searchHint`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyView {
    id: String,
    name: String,
    key_prefix: String,
    search_hint: Option<String>,
    masked_key: String,
    permissions: Vec<String>,
    is_active: bool,
    is_test_key: bool,
    can_reveal: bool,
    expires_at: Option<String>,
    allowed_ips: Vec<String>,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneView {
    api_key: KeyView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownView<'a> {
    api_key: KeyView,
    plain_key: &'a str,
    warning: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListView {
    api_keys: Vec<KeyView>,
    total: usize,
    timestamp: String,
}

/// A caller that may list, read and revoke keys.
struct KeyReader(Caller);

/// A person, who alone may make and change keys.
struct Person(Caller);

impl<S: Send + Sync> FromRequestParts<S> for KeyReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Caller::of(parts, |rights| match rights {
            Rights::Operator => Ok(()),
            Rights::Named(granted) if grants::covers(granted, "*") => Ok(()),
            _ => {
                Err(ApiError::forbidden("this key lacks the permission `*`, without which no key sees or revokes keys"))
            }
        })
        .map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Caller::of(parts, |rights| match rights {
            Rights::Operator => Ok(()),
            _ => Err(ApiError::forbidden(
                "an API key can neither create, change nor regenerate keys: this needs a dashboard session, for which the \
                 root key stands here",
            )),
        })
        .map(Self)
    }
}

/// `GET /runtype/v1/api-keys/options`: for any key, since it tells nothing of the account.
async fn options() -> Result<Response, ApiError> {
    let view = OptionsView {
        permission_groups: GROUPS,
        permission_scopes: permissions(),
        rate_limits: RateLimits {
            default_per_hour: 1000,
            default_per_day: 24_000,
            max_per_hour: 5000,
            max_per_day: 120_000,
        },
    };
    answer(StatusCode::OK, &to_json(&view)?)
}

/// `GET /runtype/v1/api-keys`: the newest first, without those that were revoked. There is no cursor.
async fn list(State(backend): State<Embedded>, KeyReader(caller): KeyReader) -> Result<Response, ApiError> {
    let (keyring, now_ms) = (backend.keyring().clone(), backend.clock().now_ms());
    let found = backend.store().read(move |connection| {
        let condition = "account_id = ?1 AND provider = ?2 AND revoked_at_ms IS NULL ORDER BY rowid DESC";
        Ok(keys::select(connection, &keyring, condition, params![caller.account_id(), Provider::Runtype.name()])?)
    });
    let api_keys: Vec<KeyView> =
        found.await?.into_iter().map(|stored| view(stored, now_ms)).collect::<Result<_, _>>()?;
    let view = ListView { total: api_keys.len(), api_keys, timestamp: times::to_text(now_ms) };
    answer(StatusCode::OK, &to_json(&view)?)
}

/// `GET /runtype/v1/api-keys/{id}`.
async fn get_one(
    State(backend): State<Embedded>,
    KeyReader(caller): KeyReader,
    id: KeyId,
) -> Result<Response, ApiError> {
    let (keyring, now_ms) = (backend.keyring().clone(), backend.clock().now_ms());
    let find = move |connection: &Connection| find(&id, connection, &keyring, caller.account_id());
    let api_key = view(backend.store().read(find).await?, now_ms)?;
    answer(StatusCode::OK, &to_json(&OneView { api_key })?)
}

/// `POST /runtype/v1/api-keys`: `name`, `permissions?`, `expiresAt?`, `allowedIps?`, `environment?` (`production` or
/// `test`).
async fn create(
    State(backend): State<Embedded>,
    Person(caller): Person,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let mut members = body.members()?;
    let name = grants::checked_name(backend.limits(), members.required_text("name")?)?;
    let permissions = sent_permissions(&mut members)?;
    let permissions = permissions.unwrap_or_else(|| DEFAULT_PERMISSIONS.map(str::to_owned).to_vec());
    refuse_addresses(&mut members)?;
    let kind = match members.text("environment")?.as_deref() {
        None | Some("production") => Kind::Live,
        Some("test") => Kind::Test,
        Some(_) => return Err(ApiError::invalid("`environment` must be `production` or `test`")),
    };
    let key = NewKey {
        account_id: caller.account_id().to_owned(),
        provider: Provider::Runtype,
        kind,
        name: Some(name),
        scopes: Some(grants::to_row(&permissions)?),
        details: None,
        expires_at_ms: expiry(&mut members, now_ms)?,
    };
    let make = move |connection: &Connection, keyring: &Keyring, _: &Caller| {
        let (stored, secret) = keys::mint(connection, keyring, key, now_ms)?;
        let answer = shown(&stored, &secret, now_ms)?;
        Ok((stored, answer))
    };
    let request = Minting { route: COLLECTION, caller: &caller, headers: &headers, body: &body };
    answer(StatusCode::CREATED, &mint_with(&backend, request, make).await?)
}

/// `PUT /runtype/v1/api-keys/{id}`: `name?`, `permissions?`, `expiresAt?` (`null` for none), `allowedIps?`. What is not
/// sent stays.
async fn change(
    State(backend): State<Embedded>,
    Person(caller): Person,
    id: KeyId,
    body: Body,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let mut members = body.members()?;
    let name = members.text("name")?.map(|name| grants::checked_name(backend.limits(), name)).transpose()?;
    let scopes = sent_permissions(&mut members)?.map(|permissions| grants::to_row(&permissions)).transpose()?;
    refuse_addresses(&mut members)?;
    let expires_at_ms = if members.has("expiresAt") { Some(expiry(&mut members, now_ms)?) } else { None };
    let work = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let mut stored = find(&id, connection, keyring, caller.account_id())?;
        stored.refuse_replaced()?;
        stored.key.name = name.or(stored.key.name);
        stored.key.scopes = scopes.or(stored.key.scopes);
        stored.key.expires_at_ms = expires_at_ms.unwrap_or(stored.key.expires_at_ms);
        keys::update(connection, keyring, &stored)?;
        Ok(stored)
    };
    let stored = caller.write(&backend, work).await?;
    tracing::info!(key_id = %stored.id, "API key changed");
    answer(StatusCode::OK, &to_json(&OneView { api_key: view(stored, now_ms)? })?)
}

/// `POST /runtype/v1/api-keys/{id}/regenerate`: no members. The same key by id, name, permissions and expiry, with new
/// characters; the old ones are nothing from then on.
async fn regenerate(
    State(backend): State<Embedded>,
    Person(caller): Person,
    headers: HeaderMap,
    id: KeyId,
    body: Body,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    drop(body.members()?);
    let route = format!("{ONE} {}", id.as_str());
    let make = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let mut stored = find(&id, connection, keyring, caller.account_id())?;
        stored.refuse_replaced()?;
        if stored.state(now_ms) == KeyState::Expired {
            return Err(ApiError::invalid("the key has expired; give it a later `expiresAt` first, or make a new one"));
        }
        let secret = keys::renew(connection, keyring, &mut stored)?;
        let answer = shown(&stored, &secret, now_ms)?;
        Ok((stored, answer))
    };
    let request = Minting { route: &route, caller: &caller, headers: &headers, body: &body };
    answer(StatusCode::OK, &mint_with(&backend, request, make).await?)
}

/// `DELETE /runtype/v1/api-keys/{id}`: from then on the key is refused, and is not there any more.
async fn revoke(
    State(backend): State<Embedded>,
    KeyReader(caller): KeyReader,
    id: KeyId,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let by = caller.key_id().to_owned();
    let work = move |connection: &Connection, keyring: &Keyring, caller: &Caller| {
        let stored = find(&id, connection, keyring, caller.account_id())?;
        if caller.key().kind == Kind::Test && stored.key.kind != Kind::Test {
            return Err(ApiError::forbidden("a test key revokes test keys only"));
        }
        Ok(keys::revoke(connection, keyring, stored, now_ms)?)
    };
    let stored = caller.write(&backend, work).await?;
    tracing::info!(key_id = %stored.id, %by, "API key revoked");
    answer(StatusCode::OK, &to_json(&OneView { api_key: view(stored, now_ms)? })?)
}

/// The key of Runtype with this id, unless it was revoked.
fn find(id: &KeyId, connection: &Connection, keyring: &Keyring, account_id: &str) -> Result<StoredKey, ApiError> {
    let stored = id.find(connection, keyring, account_id)?;
    let found = stored.key.provider == Provider::Runtype && stored.revoked_at_ms.is_none();
    if found { Ok(stored) } else { Err(id.unknown()) }
}

/// All known permissions.
fn permissions() -> Vec<&'static str> {
    GROUPS.iter().flat_map(|group| group.permissions).copied().collect()
}

fn sent_permissions(members: &mut Members) -> Result<Option<Vec<String>>, ApiError> {
    let entries = members.list("permissions")?;
    entries.map(|entries| grants::sent("permissions", &entries, &permissions())).transpose()
}

fn refuse_addresses(members: &mut Members) -> Result<(), ApiError> {
    match members.list("allowedIps")? {
        Some(entries) if !entries.is_empty() => Err(ApiError::invalid(
            "`allowedIps` must be empty here: this backend does not see callers' addresses, so it could not keep to them",
        )),
        _ => Ok(()),
    }
}

/// `expiresAt` of a request as Unix milliseconds: in the future, or nothing.
fn expiry(members: &mut Members, now_ms: i64) -> Result<Option<i64>, ApiError> {
    let Some(text) = members.text("expiresAt")? else { return Ok(None) };
    let end = times::from_text(&text).ok_or_else(|| {
        ApiError::invalid("`expiresAt` must be a date and time of RFC 3339, such as `2027-01-31T12:00:00Z`")
    })?;
    if end <= now_ms {
        return Err(ApiError::invalid(format!("`expiresAt` must be after the present, {}", times::to_text(now_ms))));
    }
    if end > times::LATEST_MS {
        return Err(ApiError::invalid("`expiresAt` must be before the year 10000"));
    }
    Ok(Some(end))
}

fn view(stored: StoredKey, now_ms: i64) -> Result<KeyView, ApiError> {
    let prefix = stored.key.kind.prefix();
    Ok(KeyView {
        key_prefix: format!("{prefix}_"),
        search_hint: None,
        masked_key: format!("{prefix}_****"),
        permissions: grants::stored(stored.key.scopes.as_deref())?,
        is_active: stored.state(now_ms) == KeyState::Active,
        is_test_key: stored.key.kind == Kind::Test,
        can_reveal: false,
        expires_at: stored.key.expires_at_ms.map(times::to_text),
        allowed_ips: Vec::new(),
        created_at: times::to_text(stored.create_time_ms),
        name: stored.key.name.unwrap_or_default(),
        id: stored.id,
    })
}

/// The answer that shows a key.
fn shown(stored: &StoredKey, secret: &SecretString, now_ms: i64) -> Result<SecretString, ApiError> {
    let api_key = view(stored.clone(), now_ms)?;
    to_json(&ShownView { api_key, plain_key: secret.expose_secret(), warning: WARNING })
}

fn answer(status: StatusCode, json: &SecretString) -> Result<Response, ApiError> {
    Ok(secret_answer(status, json))
}
