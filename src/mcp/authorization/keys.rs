//! The keys that an issuer signs tokens with: fetched when they are needed, kept, and fetched anew when they are old or
//! one is not among them (RFC 7517, RFC 8414).
//!
//! A caller decides which key a token names, so how often the issuer is asked is limited.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::{
    backend::{Backend, Limits},
    base_url::is_loopback,
    credential::oauth2::metadata_places,
};

/// How long keys are used without asking for them again.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// How long they are used at most when the issuer does not answer.
const STALE: Duration = Duration::from_secs(60 * 60);
/// How often the issuer is asked at most in [`WINDOW`].
const MAX_FETCHES: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Keys of one issuer that are kept.
const MAX_KEYS: usize = 256;
/// The deadline and the size of one answer of the issuer.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_answer_bytes: 256 * 1024 };

/// The keys of one issuer.
pub(super) struct Keys {
    place: Place,
    remote: Backend,
    state: Mutex<State>,
    /// Held while keys are fetched, so that requests at the same time fetch once.
    fetching: tokio::sync::Mutex<()>,
}

enum Place {
    /// The keys are here.
    At(Url),
    /// The metadata of this issuer says where.
    Of(Url),
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// When the issuer was asked lately.
    asked: VecDeque<Instant>,
}

#[derive(Clone)]
struct Kept {
    keys: Arc<Vec<Key>>,
    since: Instant,
}

/// A key that signatures can be checked with.
pub(super) struct Key {
    id: Option<String>,
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

/// Why keys were not fetched.
enum NotFetched {
    /// The issuer was asked too often lately.
    TooOften,
    /// It has not said what they are.
    Failed,
}

/// The keys cannot be had at this time.
#[derive(Debug)]
pub(super) struct Unavailable;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Keys {
    pub(super) fn at(url: Url, remote: Backend) -> Self {
        Self::new(Place::At(url), remote)
    }

    pub(super) fn of(issuer: Url, remote: Backend) -> Self {
        Self::new(Place::Of(issuer), remote)
    }

    fn new(place: Place, remote: Backend) -> Self {
        Self { place, remote, state: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// Does something with the keys that a token of this header may be signed with. Where there are none the issuer is
    /// asked once more.
    pub(super) async fn with<T>(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        work: impl Fn(&DecodingKey) -> T,
    ) -> Result<Vec<T>, Unavailable> {
        let fitting = |kept: &Kept| -> Vec<T> {
            kept.keys.iter().filter(|key| key.fits(id, algorithm)).map(|key| work(&key.key)).collect()
        };
        let kept = self.present().await?;
        let found = fitting(&kept);
        if !found.is_empty() {
            return Ok(found);
        }
        // A new key may be in use.
        match self.newer_than(kept.since).await {
            Ok(newer) => Ok(fitting(&newer)),
            Err(NotFetched::Failed) => Ok(found),
            // Whether the token is good is not known before the issuer may be asked again.
            Err(NotFetched::TooOften) => Err(Unavailable),
        }
    }

    /// The keys, fetched where there are none yet or they are old.
    async fn present(&self) -> Result<Kept, Unavailable> {
        let kept = self.state().kept.clone();
        let Some(kept) = kept else { return self.newer_than_all().await.map_err(|_| Unavailable) };
        let age = kept.since.elapsed();
        if age < FRESH {
            return Ok(kept);
        }
        match self.newer_than(kept.since).await {
            Ok(newer) => Ok(newer),
            Err(_) if age < STALE => Ok(kept),
            Err(_) => Err(Unavailable),
        }
    }

    async fn newer_than_all(&self) -> Result<Kept, NotFetched> {
        let _fetching = self.fetching.lock().await;
        let kept = self.state().kept.clone();
        match kept {
            Some(kept) => Ok(kept),
            None => self.fetched().await,
        }
    }

    async fn newer_than(&self, since: Instant) -> Result<Kept, NotFetched> {
        let _fetching = self.fetching.lock().await;
        // Another request may have fetched them meanwhile.
        let newer = self.state().kept.clone().filter(|kept| kept.since > since);
        match newer {
            Some(kept) => Ok(kept),
            None => self.fetched().await,
        }
    }

    /// Asks the issuer, unless it was asked too often lately.
    async fn fetched(&self) -> Result<Kept, NotFetched> {
        {
            let mut state = self.state();
            state.asked.retain(|asked| asked.elapsed() < WINDOW);
            if state.asked.len() >= MAX_FETCHES {
                tracing::warn!("the issuer of tokens was asked for its keys too often; it is asked again later");
                return Err(NotFetched::TooOften);
            }
            state.asked.push_back(Instant::now());
        }
        match self.fetch().await {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "fetched the keys of the issuer of tokens");
                let kept = Kept { keys: Arc::new(keys), since: Instant::now() };
                self.state().kept = Some(kept.clone());
                Ok(kept)
            }
            Err(problem) => {
                tracing::warn!(problem, "the keys of the issuer of tokens cannot be had");
                Err(NotFetched::Failed)
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, &'static str> {
        let place = match &self.place {
            Place::At(url) => url.clone(),
            Place::Of(issuer) => self.discovered(issuer).await?,
        };
        let set: Set = self.get(&place).await?;
        let mut usable = set.keys.into_iter().filter_map(Key::read);
        let keys: Vec<Key> = usable.by_ref().take(MAX_KEYS).collect();
        if usable.next().is_some() {
            tracing::warn!(
                kept = MAX_KEYS,
                "the issuer of tokens has more keys than are kept; tokens of the others are refused"
            );
        }
        if keys.is_empty() { Err("its key set holds no key that can be used") } else { Ok(keys) }
    }

    /// Where the metadata of an issuer says that its keys are.
    async fn discovered(&self, issuer: &Url) -> Result<Url, &'static str> {
        let mut problem = "it has no readable metadata";
        for place in metadata_places(issuer) {
            let metadata: Metadata = match self.get(&place).await {
                Ok(metadata) => metadata,
                Err(other) => {
                    problem = other;
                    continue;
                }
            };
            // Else one issuer could answer for another (RFC 8414, section 3.3).
            if metadata.issuer.trim_end_matches('/') != issuer.as_str().trim_end_matches('/') {
                return Err("its metadata is that of another issuer");
            }
            let url = Url::parse(&metadata.jwks_uri).ok();
            let url = url.filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)));
            let url = url.ok_or("its metadata names no keys over `https://`")?;
            // An answer names no other host than its own, unless that may be called anyway.
            if url.origin() != issuer.origin() && self.remote.may_reach(&url).is_err() {
                return Err(
                    "its metadata names keys on another host; name them by `jwks_uri`, or the host under `egress.allow`",
                );
            }
            return Ok(url);
        }
        Err(problem)
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, &'static str> {
        let request = Request::builder().uri(url.as_str()).header(header::ACCEPT, "application/json");
        let request = request.body(Bytes::new()).map_err(|_| "its address cannot be asked")?;
        let response = self.remote.send(request, &LIMITS).await.map_err(|error| match error {
            crate::error::CallError::Timeout(_) => "it did not answer in time",
            crate::error::CallError::Oversized(_) => "its answer is too large",
            _ => "it could not be reached",
        })?;
        if response.status() != StatusCode::OK {
            return Err("it did not answer with 200");
        }
        serde_json::from_slice(response.body()).map_err(|_| "its answer is of another shape")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    /// A key of a set, where signatures can be checked with it by those who cannot make them.
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if jwk.common.public_key_use.is_some_and(|purpose| purpose != PublicKeyUse::Signature) {
            return None;
        }
        let key = DecodingKey::from_jwk(&Jwk { common: Default::default(), algorithm: jwk.algorithm }).ok()?;
        if key.family() == AlgorithmFamily::Hmac {
            return None;
        }
        Some(Self { id: jwk.common.key_id, algorithm: jwk.common.key_algorithm, key })
    }

    fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        id.is_none_or(|id| self.id.as_deref() == Some(id))
            && self.key.family().algorithms().contains(&algorithm)
            && self.algorithm.is_none_or(|own| own == algorithm.into())
    }
}
