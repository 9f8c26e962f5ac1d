//! Who calls, and what they may: the layer that asks for a key before anything else happens, and the two rights that
//! handlers ask for.
//!
//! Source: the published API documents name the bearer scheme, the prefixes and the scopes, and one rule (making keys
//! needs `RESOURCE_TYPE_ACCOUNT` at write). The other rules are decisions of this backend: writing includes reading,
//! secrets and the account itself belong to `RESOURCE_TYPE_ACCOUNT`, and what is not granted is refused.

use std::{ops::Deref, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header, request::Parts};
use rusqlite::Connection;
use secrecy::SecretString;

use super::{
    Embedded,
    error::ApiError,
    grants,
    keys::{Kind, NewKey, Provider, State as KeyState, StoredKey},
    known_keys::KnownKeys,
    restricted_keys::{self, AccessLevel, ResourceType, Scope},
    surface::Surface,
    uses,
};

/// The key a request came with, as the database knows it.
#[derive(Clone, Debug)]
pub(super) struct Caller(Arc<CallerKey>);

/// What a handler knows of it.
#[derive(Debug)]
pub(super) struct CallerKey {
    /// The key's id.
    pub(super) key_id: String,
    /// The account it belongs to.
    pub(super) account_id: String,
    /// What it may do.
    pub(super) rights: Rights,
}

impl Deref for Caller {
    type Target = CallerKey;

    fn deref(&self) -> &CallerKey {
        &self.0
    }
}

/// What a key may do.
#[derive(Clone, Debug)]
pub(super) enum Rights {
    /// Everything: the root key and standard keys (`ak_`).
    All,
    /// What these scopes grant: restricted keys (`rk_`).
    Scoped(Vec<Scope>),
    /// What these names grant, in the words of the key's own provider, and nothing of Runloop's: keys of RunTools and
    /// Runtype.
    Named(Vec<String>),
}

impl Rights {
    /// Whether these rights reach that level for that kind of resource. Where one is listed twice, the higher counts.
    pub(super) fn reach(&self, resource_type: ResourceType, level: AccessLevel) -> bool {
        match self {
            Self::All => true,
            Self::Named(_) => false,
            Self::Scoped(scopes) => {
                scopes.iter().any(|scope| scope.resource_type == resource_type && scope.access_level >= level)
            }
        }
    }
}

/// A caller that may read the account's things. As the parameter of a handler it makes the router check that.
pub(super) struct AccountReader(pub(super) Caller);

/// A caller that may change the account's things.
pub(super) struct AccountWriter(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for AccountReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        caller_with(parts, AccessLevel::Read).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AccountWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        caller_with(parts, AccessLevel::Write).map(Self)
    }
}

/// Marks requests that come from this process itself: how often they come is its own matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct InProcess;

/// Lets only requests with a valid key pass, and notes whose it is. Lies around the whole router, unknown routes too:
/// without a key nothing tells what exists.
///
/// Requests are counted by key, those without a good one all together. The latter are still looked up when there were too
/// many: what strangers send must not lock a good key out.
pub(super) async fn layer(
    State(backend): State<Embedded>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let now_ms = backend.clock().now_ms();
    let counted = request.extensions().get::<InProcess>().is_none();
    let surface = Surface::of(request.uri().path());
    let key = token(request.headers(), surface).map(SecretString::from);
    let caller = match caller(&backend, surface, key, now_ms).await {
        Err(error) if counted && error.is_unauthorized() => {
            let too_soon = |seconds| ApiError::rate_limited("too many requests without a valid API key", seconds);
            backend.rates().of_failures(now_ms).map_err(too_soon)?;
            return Err(error);
        }
        found => found?,
    };
    if counted {
        let too_soon = |seconds| ApiError::rate_limited("too many requests with this API key", seconds);
        backend.rates().of_key(&caller.key_id, now_ms).map_err(too_soon)?;
    }
    if backend.uses().note(&caller.key_id, now_ms) {
        let (store, key_id) = (backend.store().clone(), caller.key_id.clone());
        tokio::spawn(async move {
            let write = move |connection: &Connection| Ok(uses::write(connection, &key_id, now_ms)?);
            if let Err(error) = store.write(write).await {
                tracing::debug!(?error, "the use of a key could not be written");
            }
        });
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Whose key a request came with. Error: 401 where it is none that works.
async fn caller(
    backend: &Embedded,
    surface: Surface,
    key: Result<SecretString, ApiError>,
    now_ms: i64,
) -> Result<Caller, ApiError> {
    let key = key?;
    let keyring = backend.keyring().clone();
    let find = move |connection: &Connection, known: &mut KnownKeys| Ok(known.find(connection, &keyring, &key)?);
    let stored = backend.store().find(find).await?;
    // A key of another API is as good as none.
    let stored = stored.filter(|stored| surface.knows(stored.key.provider, stored.key.kind));
    let stored = stored.ok_or_else(|| surface.invalid_token("the API key is not valid"))?;
    match stored.state(now_ms) {
        KeyState::Active => {}
        KeyState::Expired => return Err(surface.token_expired("the API key has expired")),
        KeyState::Revoked => return Err(surface.invalid_token("the API key has been revoked")),
    }
    caller_of(&stored)
}

/// The caller that a key stands for.
fn caller_of(stored: &StoredKey) -> Result<Caller, ApiError> {
    let NewKey { account_id, provider, kind, scopes, .. } = &stored.key;
    let rights = match (provider, kind, scopes.as_deref()) {
        (Provider::Runloop, Kind::Root | Kind::Standard, None) => Rights::All,
        (Provider::Runloop, _, scopes) => Rights::Scoped(restricted_keys::stored_scopes(scopes.unwrap_or("[]"))?),
        (Provider::RunTools | Provider::Runtype, _, scopes) => Rights::Named(grants::stored(scopes)?),
    };
    let (key_id, account_id) = (stored.id.clone(), account_id.clone());
    Ok(Caller(Arc::new(CallerKey { key_id, account_id, rights })))
}

fn caller_with(parts: &Parts, level: AccessLevel) -> Result<Caller, ApiError> {
    let caller =
        parts.extensions.get::<Caller>().ok_or_else(|| ApiError::internal("a route outside the auth layer"))?;
    if caller.rights.reach(ResourceType::Account, level) {
        return Ok(caller.clone());
    }
    let wanted = if level == AccessLevel::Write { "ACCESS_LEVEL_WRITE" } else { "ACCESS_LEVEL_READ" };
    Err(ApiError::forbidden(format!("this key lacks the scope `RESOURCE_TYPE_ACCOUNT` with `{wanted}`")))
}

/// The key of a request: in `Authorization`, or in the header that the API has besides.
fn token(headers: &HeaderMap, surface: Surface) -> Result<&str, ApiError> {
    let Some(name) = surface.key_header().filter(|name| headers.contains_key(*name)) else {
        return bearer_token(headers);
    };
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next(), headers.contains_key(header::AUTHORIZATION)) {
        (Some(value), None, false) => value
            .to_str()
            .ok()
            .map(str::trim)
            .filter(|token| !token.is_empty())
            .ok_or_else(|| ApiError::unauthorized(format!("the `{name}` header must be an API key"))),
        _ => Err(ApiError::unauthorized(format!("send the API key once, in `Authorization` or in `{name}`"))),
    }
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, section 2.1; RFC 9110, section 11.1: the scheme's case does
/// not matter).
fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::unauthorized("send the API key once, as `Authorization: Bearer <key>`"));
    };
    value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim_matches(' '))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| ApiError::unauthorized("the `Authorization` header must be `Bearer <key>`"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn one_bearer_token_is_taken_whatever_the_case_of_its_scheme() {
        for value in ["Bearer t", "bearer t", "BEARER  t "] {
            assert_eq!(bearer_token(&headers(&[value.as_bytes()])).unwrap(), "t", "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let refused: [&[&[u8]]; 8] = [
            &[],
            &[b""],
            &[b"Bearer"],
            &[b"Bearer "],
            &[b"Basic t"],
            &[b"t"],
            &[b"Bearer \xff"],
            &[b"Bearer t", b"Bearer t"],
        ];
        for values in refused {
            assert!(bearer_token(&headers(values)).is_err(), "{values:?}");
        }
    }

    #[test]
    fn the_highest_level_of_a_type_counts_and_writing_includes_reading() {
        let scope = |access_level| Scope { resource_type: ResourceType::Account, access_level };
        let other = Scope { resource_type: ResourceType::Devboxes, access_level: AccessLevel::Write };
        let cases = [
            (vec![], false, false),
            (vec![other], false, false),
            (vec![scope(AccessLevel::None)], false, false),
            (vec![scope(AccessLevel::Read)], true, false),
            (vec![scope(AccessLevel::Write)], true, true),
            (vec![scope(AccessLevel::Write), scope(AccessLevel::None)], true, true),
        ];
        for (scopes, reads, writes) in cases {
            let rights = Rights::Scoped(scopes);
            assert_eq!(rights.reach(ResourceType::Account, AccessLevel::Read), reads, "{rights:?}");
            assert_eq!(rights.reach(ResourceType::Account, AccessLevel::Write), writes, "{rights:?}");
        }
    }
}
