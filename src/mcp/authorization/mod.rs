//! This server as a resource server of OAuth 2 (MCP authorization, RFC 6750, RFC 9728): what it says of itself, which
//! tokens it takes, what it answers to those who lack one or a scope.
//!
//! Knows nothing of what tools do, and shows a token to nobody.

mod keys;
pub(super) mod operation;
mod token;

use std::{fmt, sync::Arc};

use http::Uri;
use secrecy::SecretString;
use serde::Serialize;

use self::keys::Keys;
pub(super) use self::token::Invalid;
use crate::{
    access::{Granted, Scopes},
    backend::Backend,
    config::callers::{OAuthSettings, canonical},
};

/// Where the metadata is (RFC 9728, section 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// A resource server. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct ResourceServer(Arc<Shared>);

struct Shared {
    settings: OAuthSettings,
    keys: Keys,
}

/// Whom a token was issued for, and what it grants.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) subject: String,
    pub(super) granted: Granted,
}

/// What clients that want a token have to know.
#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    resource: &'a str,
    authorization_servers: [&'a str; 1],
    bearer_methods_supported: [&'a str; 1],
    resource_name: &'a str,
    #[serde(skip_serializing_if = "Scopes::is_empty")]
    scopes_supported: Scopes,
}

impl ResourceServer {
    /// A server that takes the tokens of this issuer. The backend fetches its keys.
    pub fn new(settings: OAuthSettings, remote: Backend) -> Self {
        let keys = match &settings.jwks_uri {
            Some(url) => Keys::at(url.clone(), remote),
            None => Keys::of(settings.issuer_url.clone(), remote),
        };
        Self(Arc::new(Shared { settings, keys }))
    }

    /// The issuer, as tokens name it.
    pub(super) fn issuer(&self) -> &str {
        &self.0.settings.issuer
    }

    /// Whom the token was issued for.
    pub(super) async fn verify(&self, token: &SecretString) -> Result<Verified, Invalid> {
        let claims = token::verify(token, &self.0.settings, &self.0.keys).await?;
        let granted = Granted::new(self.0.settings.scopes.clone(), claims.scopes);
        Ok(Verified { subject: claims.subject, granted })
    }

    /// Whether this path is one of the metadata's: for the server as a whole, for its endpoint, and where the resource
    /// has another path, for that.
    pub(super) fn is_metadata(&self, target: &Uri) -> bool {
        let of_resource = self.0.settings.resource.path().trim_end_matches('/');
        target.path().strip_prefix(WELL_KNOWN).is_some_and(|rest| ["", "/mcp", of_resource].contains(&rest))
    }

    /// The metadata (RFC 9728, section 2).
    pub(super) fn metadata(&self) -> Metadata<'_> {
        let settings = &self.0.settings;
        Metadata {
            resource: canonical(&settings.resource),
            authorization_servers: [&settings.issuer],
            bearer_methods_supported: ["header"],
            resource_name: "keyglass",
            scopes_supported: settings.scopes.basic(),
        }
    }

    /// What to send to be let in. `shown` is whether a token was.
    pub(super) fn unauthorized(&self, shown: bool) -> String {
        self.challenge(shown.then_some("invalid_token"), &self.0.settings.scopes.basic())
    }

    /// The answer to a token that lacks some of these scopes, all of which are needed.
    pub(super) fn insufficient_scope(&self, needed: &Scopes) -> String {
        self.challenge(Some("insufficient_scope"), needed)
    }

    /// The answer to a caller whose token lacks what is asked for anything at all.
    pub(super) fn lacks_required(&self) -> String {
        self.insufficient_scope(&self.0.settings.scopes.required)
    }

    /// The answer to a request that shows a token otherwise than it is shown.
    pub(super) fn invalid_request(&self) -> String {
        self.challenge(Some("invalid_request"), &Scopes::new())
    }

    fn challenge(&self, error: Option<&str>, scopes: &Scopes) -> String {
        let resource = &self.0.settings.resource;
        let origin = resource.origin().ascii_serialization();
        let path = resource.path().trim_end_matches('/');
        let mut parts = vec![r#"realm="keyglass""#.to_owned()];
        parts.extend(error.map(|error| format!(r#"error="{error}""#)));
        if !scopes.is_empty() {
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            parts.push(format!(r#"scope="{}""#, scopes.join(" ")));
        }
        parts.push(format!(r#"resource_metadata="{origin}{WELL_KNOWN}{path}""#));
        format!("Bearer {}", parts.join(", "))
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResourceServer").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
