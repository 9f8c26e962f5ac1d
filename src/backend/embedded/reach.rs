//! How far a key of Runloop's API reaches here, for those who show its owner what it can do.

use secrecy::SecretString;

use super::{
    Embedded, auth,
    restricted_keys::{AccessLevel, ResourceType},
};
use crate::access::Reach;

impl Embedded {
    /// How far a key reaches at Runloop's API: what is asked for by `GET` is read, anything else is written. `None` for a
    /// key that is none there, or cannot be looked up at this time: each request is told so itself.
    pub async fn reach(&self, key: &SecretString) -> Option<Reach> {
        let rights = auth::rights_at_runloop(self, key.clone()).await.ok()?;
        let reaches = |level| rights.reach(ResourceType::Account, level);
        Some(match (reaches(AccessLevel::Read), reaches(AccessLevel::Write)) {
            (_, true) => Reach::Writing,
            (true, false) => Reach::Reading,
            (false, false) => Reach::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::{Request, StatusCode, header};
    use secrecy::ExposeSecret as _;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;
    use crate::backend::embedded::{Options, open, operations};

    async fn send(backend: &Embedded, key: &str, method: &str, path: &str, body: String) -> (StatusCode, Value) {
        let request =
            Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap();
        let response = backend.router_in_process().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn what_is_told_of_a_key_is_what_holds_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let backend = open(&Options::new(folder.path())).unwrap();
        let root = backend.root_key().clone();
        let made = async |path: &str, scopes: Option<Value>| {
            let body = scopes.map_or(json!({"name": "a"}), |scopes| json!({"name": "a", "scopes": scopes}));
            let (status, made) = send(&backend, root.expose_secret(), "POST", path, body.to_string()).await;
            assert_eq!(status, StatusCode::OK, "{made}");
            made["key_secret"].as_str().unwrap().to_owned()
        };
        let scope = |level: &str| Some(json!([{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": level}]));
        let keys = [
            (root.expose_secret().to_owned(), Some(Reach::Writing)),
            (made("/v1/apikeys", None).await, Some(Reach::Writing)),
            (made("/v1/restricted_keys", scope("ACCESS_LEVEL_WRITE")).await, Some(Reach::Writing)),
            (made("/v1/restricted_keys", scope("ACCESS_LEVEL_READ")).await, Some(Reach::Reading)),
            (made("/v1/restricted_keys", scope("ACCESS_LEVEL_NONE")).await, Some(Reach::Nothing)),
            (made("/v1/restricted_keys", None).await, Some(Reach::Nothing)),
            ("ak_of_nobody".to_owned(), None),
        ];
        for (key, expected) in keys {
            assert_eq!(backend.reach(&key.as_str().into()).await, expected);
            let Some(reach) = expected else { continue };
            let known = |template: &str| template.starts_with("/v1/") || template.starts_with("/keyglass/");
            for (method, template) in operations().filter(|(_, template)| known(template)) {
                let path = template.replace('{', "no-").replace('}', "");
                let needed = if method == "GET" { Reach::Reading } else { Reach::Writing };
                // A body that cannot be read comes to nothing, whoever sends it.
                let (status, _) = send(&backend, &key, method.as_str(), &path, "{".to_owned()).await;
                assert_eq!(status == StatusCode::FORBIDDEN, reach < needed, "{method} {template} {status}");
            }
        }
    }
}
