//! A service as calls see it: its base URL and how to authenticate, resolved, or the reason why it cannot be called.

use std::{fmt, sync::OnceLock};

use secrecy::SecretString;
use url::Url;

use crate::{
    credential::{Credential, Slot},
    error::CallError,
    mask::Mask,
};

/// A consumed service, resolved.
#[derive(Debug)]
pub struct Service {
    /// The namespace of the spec.
    pub namespace: String,
    /// Which kind of backend serves it.
    pub route: Route,
    /// The places of a request that its credential fills, set or not: no argument goes there.
    pub slots: Vec<Slot>,
    /// The base URL, whether or not calls can be made yet. None where it is not known, or secrets are part of it.
    pub site: Option<Url>,
    /// Where calls go, or what has to be set before any can be made.
    pub endpoint: Result<Endpoint, String>,
    /// Where calls go whose caller brings a key, which takes the place of the secret in the credential; absent where none
    /// may be brought.
    pub for_callers: Option<Endpoint>,
    /// Whether it is Runloop's API, whose keys the backend built in tells of.
    pub is_runloop: bool,
}

/// Which kind of backend serves a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The backend built in.
    Embedded,
    /// A service over HTTP.
    Remote,
}

/// Where the calls of a service go. Its `Debug` shows no secret.
pub struct Endpoint {
    /// The base URL: `http` or `https`, without query, fragment and user information, without a slash at its end.
    pub base: Url,
    /// How calls authenticate.
    pub credential: Credential,
    /// Secrets that stand in the base URL.
    pub secrets: Vec<SecretString>,
    /// The mask over all secrets, once it was asked for: each is looked for in many forms, which take long to make.
    mask: OnceLock<Mask>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Mask::new(&self.secrets).text(self.base.as_str());
        formatter.debug_struct("Endpoint").field("base", &base).field("credential", &self.credential).finish()
    }
}

impl Endpoint {
    /// Calls to this base URL, with the secrets that stand in it, authenticate like this.
    pub fn new(base: Url, credential: Credential, secrets: Vec<SecretString>) -> Self {
        Self { base, credential, secrets, mask: OnceLock::new() }
    }

    /// Everything that no answer may repeat, at this moment.
    pub fn secrets(&self) -> Vec<SecretString> {
        self.secrets.iter().cloned().chain(self.credential.secrets()).collect()
    }

    /// A mask over [all of them](Self::secrets), where they stay the same for as long as there are calls; none where tokens
    /// are issued.
    pub fn mask(&self) -> Option<&Mask> {
        (!self.credential.is_issued_tokens()).then(|| self.mask.get_or_init(|| Mask::new(&self.secrets())))
    }
}

impl Service {
    /// Whether calls to both go to the same place with the same credential. One without a credential is the same as one
    /// with: specs of one service differ in whether they say how to authenticate.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.route == other.route
            && match (&self.endpoint, &other.endpoint) {
                (Ok(own), Ok(other)) => {
                    let same = own.credential.is_same(&other.credential);
                    own.base == other.base && (same || own.credential.is_none() || other.credential.is_none())
                }
                (Err(_), Err(_)) => self.namespace == other.namespace,
                _ => false,
            }
    }

    /// Whether its calls authenticate with tokens that are issued, and change.
    pub fn is_issued_tokens(&self) -> bool {
        self.endpoint.as_ref().is_ok_and(|endpoint| endpoint.credential.is_issued_tokens())
    }

    /// The tokens that were issued for its calls and may still be good.
    pub fn issued_tokens(&self) -> Vec<SecretString> {
        self.endpoint.as_ref().map(|endpoint| endpoint.credential.issued_tokens()).unwrap_or_default()
    }

    /// Whether calls authenticate.
    pub fn has_credential(&self) -> bool {
        self.endpoint.as_ref().is_ok_and(|endpoint| !endpoint.credential.is_none())
    }

    /// Whether it can be told how far a key reaches that a caller brings.
    pub fn tells_of_caller_keys(&self) -> bool {
        self.for_callers.is_some() && self.is_runloop && self.route == Route::Embedded
    }

    /// Where calls go whose caller brings this key, and the credential that it is there. Errors:
    /// [`CallError::Unconfigured`] where the operator allows it and it cannot be.
    pub fn endpoint_for(&self, key: &SecretString) -> Result<(&Endpoint, Credential), CallError> {
        let credential = |endpoint: &Endpoint| endpoint.credential.with_secret(key);
        let endpoint = self.for_callers.as_ref();
        endpoint.and_then(|endpoint| Some((endpoint, credential(endpoint)?))).ok_or_else(|| {
            // Not with the operator's own credential instead: it may do more.
            let missing = format!("the service `{}` cannot be sent the key that a caller brings", self.namespace);
            CallError::Unconfigured(match &self.endpoint {
                Err(problem) => problem.clone(),
                Ok(_) => missing,
            })
        })
    }

    /// Where calls go. Errors: [`CallError::Unconfigured`] with what has to be set.
    pub fn endpoint(&self) -> Result<&Endpoint, CallError> {
        self.endpoint.as_ref().map_err(|missing| CallError::Unconfigured(missing.clone()))
    }
}
