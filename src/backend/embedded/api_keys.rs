//! Runloop's API keys: making a standard key.
//!
//! Source: the published document of the API keys API. There is no list, get, revoke or delete in it, so there is none
//! here: [`super::management`] has them.

use axum::{extract::State, response::Response, routing::post};
use http::{HeaderMap, StatusCode};
use rusqlite::Connection;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{
    Embedded,
    answer::{secret_answer, to_json},
    auth::{AccountWriter, Caller, Rights},
    body::{Body, Members},
    error::ApiError,
    idempotency::{self, Made, Thing, repeatable},
    keyring::Keyring,
    keys::{self, Kind, NewKey, Provider, StoredKey},
    route::Route,
};

/// The operation.
pub(super) const ROUTES: &[Route] = &[Route::post(PATH, || post(create))];
const PATH: &str = "/v1/apikeys";

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
async fn create(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut members = body.members()?;
    let key = described(&backend, &mut members, &caller, Kind::Standard)?;
    let view = |id: &str, key: &NewKey, secret: &SecretString| {
        to_json(&CreatedView {
            id,
            name: key.name.as_deref(),
            key_secret: secret.expose_secret(),
            expires_at_ms: key.expires_at_ms,
        })
    };
    let request = Minting { route: PATH, caller: &caller, headers: &headers, body: &body };
    mint(&backend, request, key, view).await
}

/// A key of the members that both kinds have.
pub(super) fn described(
    backend: &Embedded,
    members: &mut Members,
    caller: &Caller,
    kind: Kind,
) -> Result<NewKey, ApiError> {
    let name = members.text("name")?;
    let longest = backend.limits().max_name_length;
    if name.as_ref().is_some_and(|name| name.chars().count() > longest) {
        return Err(ApiError::invalid(format!("`name` must have at most {longest} characters")));
    }
    let expires_at_ms = expiry(members, backend.clock().now_ms())?;
    let account_id = caller.account_id().to_owned();
    Ok(NewKey { account_id, provider: Provider::Runloop, kind, name, scopes: None, details: None, expires_at_ms })
}

/// `expires_at_ms` of a request: in the future, or nothing.
pub(super) fn expiry(members: &mut Members, now_ms: i64) -> Result<Option<i64>, ApiError> {
    let expiry = members.integer("expires_at_ms")?;
    match expiry.filter(|expiry| *expiry <= now_ms) {
        None => Ok(expiry),
        Some(past) => Err(ApiError::invalid(format!(
            "`expires_at_ms` is in the past: `{past}`; expected Unix milliseconds after `{now_ms}`"
        ))),
    }
}

/// The request in which a key is made.
pub(super) struct Minting<'a> {
    /// Which call it is: its path.
    pub(super) route: &'a str,
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
    let now_ms = backend.clock().now_ms();
    let may_be_wider = backend.restricted_keys_make_wider_keys();
    let answer = mint_with(backend, request, move |connection, keyring, caller| {
        refuse_wider(caller, &key, may_be_wider)?;
        let (stored, secret) = keys::mint(connection, keyring, key, now_ms)?;
        let answer = view(&stored.id, &stored.key, &secret)?;
        Ok((stored, answer))
    });
    Ok(secret_answer(StatusCode::OK, &answer.await?))
}

/// Refuses to let a restricted key make one that may do more or lives longer, unless that is allowed. The published API
/// allows it, but it turns a key that may do little into one that may do everything.
fn refuse_wider(caller: &Caller, key: &NewKey, allowed: bool) -> Result<(), ApiError> {
    if !matches!(caller.rights, Rights::Scoped(_)) {
        return Ok(());
    }
    let wider = !caller.rights.cover(&Rights::of(key)?);
    match (wider || outlives(key.expires_at_ms, caller), allowed) {
        (false, _) => Ok(()),
        (true, true) => {
            if wider {
                tracing::warn!(key_id = %caller.key_id(), kind = key.kind.name(), "restricted key makes one that may do more");
            }
            Ok(())
        }
        (true, false) => Err(ApiError::forbidden(
            "this backend is set so that a restricted key makes only restricted keys that may do no more and live no \
             longer than it does",
        )),
    }
}

/// Whether something that ends at this time is there longer than the caller's key.
pub(super) fn outlives(expires_at_ms: Option<i64>, caller: &Caller) -> bool {
    caller.key().expires_at_ms.is_some_and(|end| expires_at_ms.is_none_or(|expiry| expiry > end))
}

/// Has a key made and its answer written, in one transaction, or gives the answer again that a request of the same id
/// got.
pub(super) async fn mint_with(
    backend: &Embedded,
    request: Minting<'_>,
    make: impl FnOnce(&Connection, &Keyring, &Caller) -> Result<(StoredKey, SecretString), ApiError> + Send + 'static,
) -> Result<SecretString, ApiError> {
    let Minting { route, caller, headers, body } = request;
    let name = repeatable(backend.keyring(), caller, route, headers, body.bytes());
    let (maker, creator) = (backend.clone(), caller.clone());
    let work = async move {
        let (stored, answer) = creator.write(&maker, make).await?;
        let (provider, kind) = (stored.key.provider.name(), stored.key.kind.name());
        tracing::info!(key_id = %stored.id, provider, kind, "API key made");
        let digest = Some(*stored.digest());
        Ok(Made { thing: Thing { id: stored.id, digest }, answer })
    };
    idempotency::once(backend, caller, name, work).await
}
