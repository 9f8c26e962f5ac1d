//! A service as calls see it: its base URL and how to authenticate, resolved, or the reason why it cannot be called.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::CallError;

/// A consumed service, resolved.
#[derive(Debug)]
pub struct Service {
    /// The namespace of the spec.
    pub namespace: String,
    /// Which kind of backend serves it.
    pub route: Route,
    /// The environment variable that its credential comes from, where it comes from one.
    pub credential_variable: Option<String>,
    /// Where calls go, or what has to be set before any can be made.
    pub endpoint: Result<Endpoint, String>,
}

/// Which kind of backend serves a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The backend built in.
    Embedded,
    /// A service over HTTP.
    Remote,
}

/// Where the calls of a service go.
#[derive(Debug)]
pub struct Endpoint {
    /// The base URL: `http` or `https`, without query, fragment and user information, without a slash at its end.
    pub base: Url,
    /// How calls authenticate.
    pub credential: Credential,
}

/// A resolved credential and where it goes. Its `Debug` shows no secret.
#[derive(Debug)]
pub enum Credential {
    /// Calls are anonymous.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(SecretString),
    /// A header of any name.
    Header(http::HeaderName, SecretString),
    /// A query parameter.
    Query(String, SecretString),
}

impl Service {
    /// Where calls go. Errors: [`CallError::Unconfigured`] with what has to be set.
    pub fn endpoint(&self) -> Result<&Endpoint, CallError> {
        self.endpoint.as_ref().map_err(|missing| CallError::Unconfigured(missing.clone()))
    }
}

impl Credential {
    /// Whether both are the same secret in the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_place = match (self, other) {
            (Self::None, Self::None) | (Self::Bearer(_), Self::Bearer(_)) => true,
            (Self::Header(own, _), Self::Header(other, _)) => own == other,
            (Self::Query(own, _), Self::Query(other, _)) => own == other,
            _ => false,
        };
        let secret = |credential: &Self| credential.secret().map(|secret| secret.expose_secret().to_owned());
        same_place && secret(self).map(zeroize::Zeroizing::new) == secret(other).map(zeroize::Zeroizing::new)
    }

    /// The secret itself.
    pub fn secret(&self) -> Option<&SecretString> {
        match self {
            Self::None => None,
            Self::Bearer(secret) | Self::Header(_, secret) | Self::Query(_, secret) => Some(secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_not_printed() {
        let credential = Credential::Bearer("canary-credential".into());
        assert!(!format!("{credential:?}").contains("canary"));
    }
}
