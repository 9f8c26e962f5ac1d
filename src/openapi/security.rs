//! How calls to an API prove who they are, as a document says it.

use serde_json::Value;

use super::{Edition, text};

/// A security scheme of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Its name in the document.
    pub name: String,
    /// The kind.
    pub kind: SecurityKind,
}

/// The kinds of security schemes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityKind {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer,
    /// User name and password (RFC 7617).
    Basic,
    /// Digest authentication (RFC 7616).
    Digest,
    /// A key in a header.
    HeaderKey(String),
    /// A key in a query parameter.
    QueryKey(String),
    /// OAuth 2.0 with client credentials (RFC 6749, section 4.4).
    ClientCredentials {
        /// Where tokens are asked for.
        token_url: String,
        /// The scopes there are.
        scopes: Vec<String>,
    },
    /// OAuth 2.0 or OpenID Connect with a flow that needs a person: a token is got elsewhere and sent as bearer.
    Delegated,
    /// Anything else, as the document names it.
    Other(String),
}

/// The schemes of a document: those of its first general requirement, then those of its operations, then the others.
pub(super) fn read(root: &Value, edition: Edition) -> Vec<Security> {
    let schemes = match edition {
        Edition::Swagger2 => root.get("securityDefinitions"),
        Edition::OpenApi3 => root.pointer("/components/securitySchemes"),
    };
    let Some(schemes) = schemes.and_then(Value::as_object) else { return Vec::new() };
    let mut names: Vec<&str> = Vec::new();
    let paths = root.get("paths").and_then(Value::as_object).into_iter().flat_map(|paths| paths.values());
    let operations = paths.filter_map(Value::as_object).flat_map(|item| item.values());
    for holder in std::iter::once(root).chain(operations) {
        let requirements = holder.get("security").and_then(Value::as_array);
        for requirement in requirements.into_iter().flatten().filter_map(Value::as_object) {
            names.extend(requirement.keys().map(String::as_str));
        }
    }
    names.extend(schemes.keys().map(String::as_str));
    let mut found: Vec<Security> = Vec::new();
    for name in names {
        if !found.iter().any(|known| known.name == name)
            && let Some(scheme) = schemes.get(name)
        {
            found.push(Security { name: name.to_owned(), kind: kind(scheme) });
        }
    }
    found
}

fn kind(scheme: &Value) -> SecurityKind {
    let named = text(scheme, "type").unwrap_or_default();
    match named.as_str() {
        "basic" => SecurityKind::Basic,
        "http" => match text(scheme, "scheme").unwrap_or_default().to_ascii_lowercase().as_str() {
            "bearer" => SecurityKind::Bearer,
            "basic" => SecurityKind::Basic,
            "digest" => SecurityKind::Digest,
            other => SecurityKind::Other(format!("http {other}")),
        },
        "apiKey" => match (text(scheme, "in").as_deref(), text(scheme, "name")) {
            (Some("header"), Some(name)) => SecurityKind::HeaderKey(name),
            (Some("query"), Some(name)) => SecurityKind::QueryKey(name),
            (place, _) => SecurityKind::Other(format!("apiKey in {}", place.unwrap_or("no place"))),
        },
        "oauth2" => client_credentials(scheme).unwrap_or(SecurityKind::Delegated),
        "openIdConnect" => SecurityKind::Delegated,
        other => SecurityKind::Other(other.to_owned()),
    }
}

fn client_credentials(scheme: &Value) -> Option<SecurityKind> {
    let flow = match scheme.pointer("/flows/clientCredentials") {
        Some(flow) => flow,
        None if text(scheme, "flow").as_deref() == Some("application") => scheme,
        None => return None,
    };
    let scopes = flow.get("scopes").and_then(Value::as_object);
    let scopes = scopes.into_iter().flat_map(|scopes| scopes.keys().cloned()).collect();
    Some(SecurityKind::ClientCredentials { token_url: text(flow, "tokenUrl")?, scopes })
}
