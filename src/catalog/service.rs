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

/// Checks and normalises a base URL. The error says what is wrong, to be put behind the URL's name.
pub fn base_url(text: &str) -> Result<Url, &'static str> {
    let mut url =
        Url::parse(text.trim()).map_err(|_| "is not a URL; expected one like `https://api.example.com/v1`")?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() || !url.has_host() {
        return Err("must start with `https://` or `http://` and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user or password; give the credential by reference");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither a query nor a fragment");
    }
    if url.path().contains(['{', '}']) || text.contains(['{', '}']) {
        return Err("still holds a placeholder; set the real address");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether a URL names this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_checked() {
        for (text, expected) in [
            ("https://api.runloop.ai", Some("https://api.runloop.ai/")),
            (" http://127.0.0.1:80/v1/ ", Some("http://127.0.0.1/v1")),
            ("", None),
            ("api.runloop.ai", None),
            ("ftp://host/", None),
            ("https://user:pass@host/", None),
            ("https://host/?a=b", None),
            ("https://{region}.host/", None),
            ("https://host/{version}", None),
            ("https:///path", Some("https://path/")),
        ] {
            assert_eq!(base_url(text).ok().map(|url| url.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_credential_is_not_printed() {
        let credential = Credential::Bearer("canary-credential".into());
        assert!(!format!("{credential:?}").contains("canary"));
    }
}
