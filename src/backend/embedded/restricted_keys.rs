//! Restricted keys: scopes, and making a key that may do only what they grant.
//!
//! Source: the published document of the API keys API, `RestrictedKeyCreateParameters` and `RestrictedKeyCreatedView`.

use axum::{extract::State, response::Response, routing::post};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Embedded,
    answer::to_json,
    api_keys::{self, Minting},
    auth::AccountWriter,
    body::Body,
    error::ApiError,
    keys::{Kind, NewKey},
    route::Route,
};

/// The operation.
pub(super) const ROUTES: &[Route] = &[Route::post(PATH, || post(create))];
const PATH: &str = "/v1/restricted_keys";
/// How many scopes a key may list: far more than there are different ones, and few enough to keep answers small.
const MOST_SCOPES: usize = 100;

/// What a scope is about. All nine published names are taken; later versions of the API dropped four of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ResourceType {
    #[serde(rename = "RESOURCE_TYPE_DEVBOXES")]
    Devboxes,
    #[serde(rename = "RESOURCE_TYPE_BLUEPRINTS")]
    Blueprints,
    #[serde(rename = "RESOURCE_TYPE_SNAPSHOTS")]
    Snapshots,
    #[serde(rename = "RESOURCE_TYPE_BENCHMARKS")]
    Benchmarks,
    #[serde(rename = "RESOURCE_TYPE_SCENARIOS")]
    Scenarios,
    #[serde(rename = "RESOURCE_TYPE_REPO_CONNECTIONS")]
    RepoConnections,
    #[serde(rename = "RESOURCE_TYPE_AGENTS")]
    Agents,
    #[serde(rename = "RESOURCE_TYPE_OBJECTS")]
    Objects,
    #[serde(rename = "RESOURCE_TYPE_ACCOUNT")]
    Account,
}

/// How far a scope reaches. In rising order: each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum AccessLevel {
    #[serde(rename = "ACCESS_LEVEL_NONE")]
    None,
    #[serde(rename = "ACCESS_LEVEL_READ")]
    Read,
    #[serde(rename = "ACCESS_LEVEL_WRITE")]
    Write,
}

/// One grant, `ScopeEntryView`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    /// What it is about.
    pub(super) resource_type: ResourceType,
    /// How far it reaches.
    pub(super) access_level: AccessLevel,
}

/// The published answer, `RestrictedKeyCreatedView`. The scopes are the ones sent, in their order; `name` is left out
/// where none was given, since it may not be `null`.
#[derive(Serialize)]
struct CreatedView<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    key_secret: &'a str,
    scopes: &'a [Scope],
    expires_at_ms: Option<i64>,
}

/// `POST /v1/restricted_keys`: `name?`, `scopes?`, `expires_at_ms?`. Without scopes the key may do nothing.
async fn create(
    State(backend): State<Embedded>,
    AccountWriter(caller): AccountWriter,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut members = body.members()?;
    let scopes = members.list("scopes").map_err(|error| error.after("Invalid scopes."))?;
    let scopes = sent_scopes(&scopes.unwrap_or_default())?;
    let stored = serde_json::to_string(&scopes).map_err(ApiError::internal)?;
    let described = api_keys::described(&backend, &mut members, &caller, Kind::Restricted)?;
    let key = NewKey { scopes: Some(stored), ..described };
    let view = move |id: &str, key: &NewKey, secret: &SecretString| {
        to_json(&CreatedView {
            id,
            name: key.name.as_deref(),
            key_secret: secret.expose_secret(),
            scopes: &scopes,
            expires_at_ms: key.expires_at_ms,
        })
    };
    let request = Minting { route: PATH, caller: &caller, headers: &headers, body: &body };
    api_keys::mint(&backend, request, key, view).await
}

/// Reads back what a key's row holds.
pub(super) fn stored_scopes(text: &str) -> Result<Vec<Scope>, ApiError> {
    serde_json::from_str(text).map_err(ApiError::internal)
}

/// The scopes of a request. An entry that says less or something else than a scope is refused: taking it as no grant
/// would make a key that fails later, far from the mistake.
fn sent_scopes(entries: &[Value]) -> Result<Vec<Scope>, ApiError> {
    if entries.len() > MOST_SCOPES {
        return Err(ApiError::invalid(format!("Invalid scopes. `scopes` must have at most {MOST_SCOPES} entries")));
    }
    entries
        .iter()
        .enumerate()
        .map(|(at, entry)| {
            if !entry.is_object() {
                return Err(ApiError::invalid(format!("Invalid scopes. `scopes[{at}]` must be an object")));
            }
            Ok(Scope {
                resource_type: scope_member(entry, at, "resource_type", "RESOURCE_TYPE_ACCOUNT")?,
                access_level: scope_member(entry, at, "access_level", "ACCESS_LEVEL_READ")?,
            })
        })
        .collect()
}

fn scope_member<'de, T: Deserialize<'de>>(
    entry: &'de Value,
    at: usize,
    name: &str,
    example: &str,
) -> Result<T, ApiError> {
    let text = entry.get(name).filter(|value| !value.is_null());
    let text = text.ok_or_else(|| ApiError::invalid(format!("Invalid scopes. `scopes[{at}].{name}` is required")))?;
    let expected = || {
        ApiError::invalid(format!(
            "Invalid scopes. `scopes[{at}].{name}` must be one of the published names, such as `{example}`"
        ))
    };
    // an enum may also be written as an object with one member, which is not in the published form
    if !text.is_string() {
        return Err(expected());
    }
    T::deserialize(text).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_published_names_are_taken_and_come_back_as_sent() {
        let types = [
            "DEVBOXES",
            "BLUEPRINTS",
            "SNAPSHOTS",
            "BENCHMARKS",
            "SCENARIOS",
            "REPO_CONNECTIONS",
            "AGENTS",
            "OBJECTS",
            "ACCOUNT",
        ];
        for name in types {
            for level in ["NONE", "READ", "WRITE"] {
                let sent = json!([{
                    "resource_type": format!("RESOURCE_TYPE_{name}"),
                    "access_level": format!("ACCESS_LEVEL_{level}"),
                }]);
                let scopes = sent_scopes(sent.as_array().unwrap()).unwrap();
                assert_eq!(serde_json::to_value(&scopes).unwrap(), sent);
                assert_eq!(stored_scopes(&sent.to_string()).unwrap(), scopes);
            }
        }
    }

    #[test]
    fn anything_else_is_refused_by_place() {
        let good = json!({"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ"});
        let cases = [
            (json!("RESOURCE_TYPE_ACCOUNT"), "scopes[1]"),
            (json!(null), "scopes[1]"),
            (json!({"resource_type": "RESOURCE_TYPE_ACCOUNT"}), "scopes[1].access_level"),
            (json!({"resource_type": null, "access_level": "ACCESS_LEVEL_READ"}), "scopes[1].resource_type"),
            (json!({"resource_type": "ACCOUNT", "access_level": "ACCESS_LEVEL_READ"}), "scopes[1].resource_type"),
            (json!({"resource_type": 1, "access_level": "ACCESS_LEVEL_READ"}), "scopes[1].resource_type"),
            (
                json!({"resource_type": {"RESOURCE_TYPE_ACCOUNT": null}, "access_level": "ACCESS_LEVEL_READ"}),
                "scopes[1].resource_type",
            ),
            (
                json!({"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "access_level_read"}),
                "scopes[1].access_level",
            ),
        ];
        for (entry, place) in cases {
            let error = format!("{:?}", sent_scopes(&[good.clone(), entry.clone()]).unwrap_err());
            assert!(error.contains("Invalid scopes.") && error.contains(&format!("`{place}`")), "{entry}: {error}");
        }
        assert!(sent_scopes(&vec![good.clone(); MOST_SCOPES]).is_ok());
        assert!(sent_scopes(&vec![good; MOST_SCOPES + 1]).is_err());
    }
}
