//! Who calls, and what they may: the question for a key, before anything else happens, and the two rights that
//! handlers ask for.
//!
//! Source: the published API documents name the bearer scheme, the prefixes and the scopes, and one rule (making keys
//! needs `RESOURCE_TYPE_ACCOUNT` at write). The other rules are decisions of this backend: writing includes reading,
//! secrets and the account itself belong to `RESOURCE_TYPE_ACCOUNT`, and what is not granted is refused.

use std::{ops::Deref, sync::Arc};

use axum::extract::{FromRequestParts, Request};
use http::{HeaderMap, header, request::Parts};
use rusqlite::Connection;
use secrecy::SecretString;

use super::{
    Embedded,
    error::ApiError,
    grants,
    keyring::Keyring,
    keys::{self, Kind, NewKey, Provider, State as KeyState, StoredKey},
    known_keys::KnownKeys,
    restricted_keys::{self, AccessLevel, ResourceType, Scope},
    surface::Surface,
    uses,
};

/// What has to hold of a caller's rights for a request. Error: 403, with what is lacking.
pub(super) type Rule = fn(&Rights) -> Result<(), ApiError>;

/// The key a request came with, as the database knows it, and what the request needs of it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    known: Arc<CallerKey>,
    rule: Rule,
}

/// What a handler knows of the key.
#[derive(Debug)]
pub(super) struct CallerKey {
    surface: Surface,
    stored: Arc<StoredKey>,
    /// What it may do.
    pub(super) rights: Rights,
}

impl Deref for Caller {
    type Target = CallerKey;

    fn deref(&self) -> &CallerKey {
        &self.known
    }
}

impl CallerKey {
    /// The key's id.
    pub(super) fn key_id(&self) -> &str {
        &self.stored.id
    }

    /// The account it belongs to.
    pub(super) fn account_id(&self) -> &str {
        &self.stored.key.account_id
    }

    /// The key itself, as it was made or changed since.
    pub(super) fn key(&self) -> &NewKey {
        &self.stored.key
    }
}

impl Caller {
    /// The caller of a request, where this holds of it.
    pub(super) fn of(parts: &Parts, rule: Rule) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>();
        let caller = caller.ok_or_else(|| ApiError::internal("a route outside the auth layer"))?;
        rule(&caller.rights)?;
        Ok(Self { known: Arc::clone(&caller.known), rule })
    }

    /// Runs a job that writes what this caller asks for; see [`Store::write_unchecked`](super::store::Store).
    ///
    /// The key is looked at again in the same transaction, and so is what the request needs of it: since it was let in, with
    /// its body still to come, the key may have been revoked, replaced or narrowed. The job gets the caller as it is now.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        backend: &Embedded,
        job: impl FnOnce(&Connection, &Keyring, &Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (before, at) = (self.clone(), backend.clone());
        let write = move |connection: &Connection| {
            let caller = before.again(connection, at.keyring(), at.clock().now_ms())?;
            job(connection, at.keyring(), &caller)
        };
        backend.store().write_unchecked(write).await
    }

    /// The caller as it is now. Error: the one that a request of it would get now.
    pub(super) fn again(&self, connection: &Connection, keyring: &Keyring, now_ms: i64) -> Result<Self, ApiError> {
        let stored = keys::by_digest(connection, keyring, self.known.stored.digest())?.map(Arc::new);
        let known = admitted(self.known.surface, stored, now_ms)?;
        (self.rule)(&known.rights)?;
        Ok(Self { known: Arc::new(known), rule: self.rule })
    }
}

/// What a key may do.
#[derive(Clone, Debug)]
pub(super) enum Rights {
    /// Everything, at every API: the root key, which is the operator's.
    Operator,
    /// Everything at Runloop's API: standard keys (`ak_`).
    All,
    /// What these scopes grant: restricted keys (`rk_`).
    Scoped(Vec<Scope>),
    /// What these names grant, in the words of the key's own provider, and nothing of Runloop's: keys of RunTools and
    /// Runtype.
    Named(Vec<String>),
}

impl Rights {
    /// Those of a key.
    pub(super) fn of(key: &NewKey) -> Result<Self, ApiError> {
        let scopes = key.scopes.as_deref();
        Ok(match (key.provider, key.kind) {
            (Provider::Runloop, Kind::Root) if scopes.is_none() => Self::Operator,
            (Provider::Runloop, Kind::Standard) if scopes.is_none() => Self::All,
            (Provider::Runloop, _) => Self::Scoped(restricted_keys::stored_scopes(scopes.unwrap_or("[]"))?),
            (Provider::RunTools | Provider::Runtype, _) => Self::Named(grants::stored(scopes)?),
        })
    }

    /// Whether these rights reach that level for that kind of resource. Where one is listed twice, the higher counts.
    pub(super) fn reach(&self, resource_type: ResourceType, level: AccessLevel) -> bool {
        match self {
            Self::Operator | Self::All => true,
            Self::Named(_) => false,
            Self::Scoped(scopes) => {
                scopes.iter().any(|scope| scope.resource_type == resource_type && scope.access_level >= level)
            }
        }
    }

    /// Whether a key with those other rights may do no more than one with these.
    pub(super) fn cover(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::Operator, _) | (Self::All, Self::All | Self::Scoped(_)) => true,
            (Self::Scoped(_), Self::Scoped(scopes)) => scopes.iter().all(|scope| {
                scope.access_level == AccessLevel::None || self.reach(scope.resource_type, scope.access_level)
            }),
            (Self::Named(granted), Self::Named(names)) => names.iter().all(|name| grants::covers(granted, name)),
            _ => false,
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
        Caller::of(parts, |rights| reaches(rights, AccessLevel::Read)).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AccountWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Caller::of(parts, |rights| reaches(rights, AccessLevel::Write)).map(Self)
    }
}

/// Marks requests that come from this process itself: how often they come is its own matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct InProcess;

/// Lets only requests with a valid key pass, and notes whose it is. Asked for the whole router, unknown routes too: without
/// a key nothing tells what exists.
///
/// Requests are counted by key, those without a good one all together. The latter are still looked up when there were too
/// many: what strangers send must not lock a good key out.
pub(super) async fn admit(backend: &Embedded, surface: Surface, request: &mut Request) -> Result<(), ApiError> {
    let now_ms = backend.clock().now_ms();
    let counted = request.extensions().get::<InProcess>().is_none();
    let key = token(request.headers(), surface).map(SecretString::from);
    let caller = match caller(backend, surface, key, now_ms).await {
        Err(error) if counted && error.is_unauthorized() => {
            let too_soon = |seconds| ApiError::rate_limited("too many requests without a valid API key", seconds);
            backend.rates().of_failures(now_ms).map_err(too_soon)?;
            return Err(error);
        }
        found => found?,
    };
    if counted {
        let too_soon = |seconds| ApiError::rate_limited("too many requests with this API key", seconds);
        backend.rates().of_key(caller.key_id(), now_ms).map_err(too_soon)?;
    }
    if backend.uses().note(caller.key_id(), now_ms) {
        let (store, key_id) = (backend.store().clone(), caller.key_id().to_owned());
        tokio::spawn(async move {
            let write = move |connection: &Connection| Ok(uses::write(connection, &key_id, now_ms)?);
            if let Err(error) = store.write_unchecked(write).await {
                tracing::debug!(?error, "the use of a key could not be written");
            }
        });
    }
    request.extensions_mut().insert(caller);
    Ok(())
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
    // What a request needs is said by its handler.
    Ok(Caller { known: Arc::new(admitted(surface, stored, now_ms)?), rule: |_| Ok(()) })
}

/// What a key may do at Runloop's API. Error: 401 where it is none that works.
pub(super) async fn rights_at_runloop(backend: &Embedded, key: SecretString) -> Result<Rights, ApiError> {
    let caller = caller(backend, Surface::Runloop, Ok(key), backend.clock().now_ms()).await?;
    Ok(caller.rights.clone())
}

/// Lets a key in that is one of this API and works. Error: 401.
fn admitted(surface: Surface, stored: Option<Arc<StoredKey>>, now_ms: i64) -> Result<CallerKey, ApiError> {
    // A key of another API is as good as none.
    let stored = stored.filter(|stored| surface.knows(stored.key.provider, stored.key.kind));
    let stored = stored.ok_or_else(|| surface.invalid_token("the API key is not valid"))?;
    match stored.state(now_ms) {
        KeyState::Active => {}
        KeyState::Expired => return Err(surface.token_expired("the API key has expired")),
        KeyState::Revoked => return Err(surface.invalid_token("the API key has been revoked")),
    }
    Ok(CallerKey { surface, rights: Rights::of(&stored.key)?, stored })
}

fn reaches(rights: &Rights, level: AccessLevel) -> Result<(), ApiError> {
    if rights.reach(ResourceType::Account, level) {
        return Ok(());
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
