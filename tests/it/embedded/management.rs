//! What the backend has beyond Runloop's API: listing, revoking and rotating keys, secrets by expiry.

use super::*;

const KEY_VIEW: [&str; 11] = [
    "id",
    "provider",
    "kind",
    "name",
    "state",
    "scopes",
    "create_time_ms",
    "expires_at_ms",
    "revoked_at_ms",
    "last_used_at_ms",
    "replaced_by",
];

/// A key of this name: its id and itself.
async fn mint(backend: &Embedded, path: &str, body: &Value) -> (String, String) {
    let made = call(backend, "POST", path, &body.to_string()).await.json();
    let text = |member: &str| made[member].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    (text("id"), text("key_secret"))
}

#[tokio::test]
async fn keys_are_listed_newest_first_without_themselves() {
    let (folder, backend) = new_backend();
    let scopes = json!([{ "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ" }]);
    let (standard, secret) = mint(&backend, "/v1/apikeys", &json!({ "name": "one" })).await;
    let body = json!({ "name": "two", "scopes": scopes, "expires_at_ms": NOW_MS + 1 });
    let (restricted, _) = mint(&backend, "/v1/restricted_keys", &body).await;
    let list = call(&backend, "GET", "/keyglass/v1/keys", "").await;
    assert!(!list.text.contains(&secret) && !list.text.contains("digest"), "{}", list.text);
    let list = list.with_members(&["keys", "has_more", "total_count"]);
    let kinds: Vec<&Value> = list["keys"].as_array().unwrap().iter().map(|key| &key["kind"]).collect();
    assert_eq!(kinds, ["restricted", "standard", "root"]);
    assert_eq!((&list["total_count"], &list["has_more"]), (&json!(3), &json!(false)));
    assert_eq!(list["keys"][0]["scopes"], scopes);

    let one = call(&backend, "GET", &format!("/keyglass/v1/keys/{standard}"), "").await.with_members(&KEY_VIEW);
    assert_eq!((&one["name"], &one["state"], &one["scopes"]), (&json!("one"), &json!("active"), &Value::Null));
    call(&backend, "GET", "/keyglass/v1/keys/none", "").await.refused(404);

    let page = call(&backend, "GET", "/keyglass/v1/keys?limit=1", "").await.json();
    assert_eq!((&page["keys"][0]["id"], &page["has_more"]), (&json!(restricted), &json!(true)));
    let path = format!("/keyglass/v1/keys?limit=1&starting_after={restricted}");
    assert_eq!(call(&backend, "GET", &path, "").await.json()["keys"][0]["id"], json!(standard));
    for wrong in ["limit=0", "state=dead", "provider=nobody", "starting_after=none"] {
        call(&backend, "GET", &format!("/keyglass/v1/keys?{wrong}"), "").await.refused(400);
    }

    let later = at(&folder, 2).await;
    let ids = async |query: &str| {
        let list = call(&later, "GET", &format!("/keyglass/v1/keys?{query}"), "").await.json();
        list["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("state=expired").await, [restricted.as_str()]);
    assert_eq!(ids("state=all").await.len(), 3);
    assert_eq!(ids("state=active&provider=runloop").await.len(), 2);
    assert!(ids("provider=runtype").await.is_empty());
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let (_folder, backend) = new_backend();
    let (id, secret) = mint(&backend, "/v1/apikeys", &json!({})).await;
    assert_eq!(call_as(&backend, &secret, "GET", "/v1/secrets", "").await.status, 200);
    let path = format!("/keyglass/v1/keys/{id}/revoke");
    let revoked = call(&backend, "POST", &path, "").await.with_members(&KEY_VIEW);
    assert_eq!((&revoked["state"], &revoked["revoked_at_ms"]), (&json!("revoked"), &json!(NOW_MS)));
    let message = call_as(&backend, &secret, "GET", "/v1/secrets", "").await.refused(401);
    assert!(message.contains("revoked"), "{message}");
    let again = call(&backend, "POST", &path, "").await.with_members(&KEY_VIEW);
    assert_eq!(again["revoked_at_ms"], revoked["revoked_at_ms"], "a second time changes nothing");
    call(&backend, "POST", &format!("/keyglass/v1/keys/{id}/rotate"), "").await.refused(400);
}

#[tokio::test]
async fn a_rotated_key_has_a_successor_and_ends_with_its_grace_period() {
    let (folder, backend) = new_backend();
    let lifetime = 90 * DAY_MS;
    let scopes = json!([{ "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ" }]);
    let body = json!({ "name": "agent", "scopes": scopes, "expires_at_ms": NOW_MS + lifetime });
    let (id, old) = mint(&backend, "/v1/restricted_keys", &body).await;
    let path = format!("/keyglass/v1/keys/{id}/rotate");
    for wrong in
        [json!({ "grace_period_seconds": -1 }), json!({ "grace_period_seconds": "1" }), json!({ "expires_at_ms": 1 })]
    {
        call(&backend, "POST", &path, &wrong.to_string()).await.refused(400);
    }
    let rotated = call(&backend, "POST", &path, r#"{"grace_period_seconds": 60}"#).await;
    let rotated = rotated.with_members(&["key", "key_secret", "replaced"]);
    let new = rotated["key_secret"].as_str().unwrap();
    assert_ne!(new, old);
    assert_eq!(rotated["key"]["scopes"], scopes);
    assert_eq!(rotated["key"]["expires_at_ms"], json!(NOW_MS + lifetime));
    assert_eq!(rotated["replaced"]["replaced_by"], rotated["key"]["id"]);
    for key in [new, &old] {
        assert_eq!(call_as(&backend, key, "GET", "/v1/secrets", "").await.status, 200);
        call_as(&backend, key, "POST", "/v1/secrets", r#"{"name": "A", "value": "v"}"#).await.refused(403);
    }
    assert!(call(&backend, "POST", &path, "").await.refused(400).contains("replaced already"));
    let later = at(&folder, 60_000).await;
    assert_eq!(call_as(&later, new, "GET", "/v1/secrets", "").await.status, 200);
    call_as(&later, &old, "GET", "/v1/secrets", "").await.refused(401);
}

#[tokio::test]
async fn the_root_key_is_not_changed_over_http_and_rights_are_asked_for() {
    let (_folder, backend) = new_backend();
    let list = call(&backend, "GET", "/keyglass/v1/keys", "").await.json();
    let root_id = list["keys"][0]["id"].as_str().unwrap();
    let (standard, _) = mint(&backend, "/v1/apikeys", &json!({})).await;
    for action in ["revoke", "rotate"] {
        let path = format!("/keyglass/v1/keys/{root_id}/{action}");
        assert!(call(&backend, "POST", &path, "").await.refused(400).contains("root.key"));
    }
    let (_, none) = mint(&backend, "/v1/restricted_keys", &json!({})).await;
    let scopes = json!([{ "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ" }]);
    let (_, reader) = mint(&backend, "/v1/restricted_keys", &json!({ "scopes": scopes })).await;
    call_as(&backend, &none, "GET", "/keyglass/v1/keys", "").await.refused(403);
    assert_eq!(call_as(&backend, &reader, "GET", "/keyglass/v1/keys", "").await.status, 200);
    for action in ["revoke", "rotate"] {
        let path = format!("/keyglass/v1/keys/{standard}/{action}");
        call_as(&backend, &reader, "POST", &path, "").await.refused(403);
    }
    call_as(&backend, "ak_nobody", "GET", "/keyglass/v1/keys", "").await.refused(401);
}

#[tokio::test]
async fn a_use_of_a_key_is_seen() {
    let (_folder, backend) = new_backend();
    let (id, secret) = mint(&backend, "/v1/apikeys", &json!({})).await;
    let view = async || call(&backend, "GET", &format!("/keyglass/v1/keys/{id}"), "").await.json();
    assert_eq!(view().await["last_used_at_ms"], Value::Null);
    call_as(&backend, &secret, "GET", "/v1/accounts/me", "").await;
    // Written behind the answer.
    for _ in 0..1_000 {
        if view().await["last_used_at_ms"] == NOW_MS {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no use was written: {}", view().await);
}

#[tokio::test]
async fn secrets_are_listed_by_their_expiry() {
    let (_folder, backend) = new_backend();
    for name in ["LATE", "SOON", "NEVER"] {
        create_secret(&backend, name).await;
    }
    let set = async |name: &str, expiry: Value| {
        let body = json!({ "expires_at_ms": expiry }).to_string();
        call(&backend, "POST", &format!("/keyglass/v1/secrets/{name}/expiry"), &body).await
    };
    let view = ["id", "name", "create_time_ms", "update_time_ms", "expires_at_ms"];
    assert_eq!(set("LATE", json!(NOW_MS + DAY_MS)).await.with_members(&view)["expires_at_ms"], NOW_MS + DAY_MS);
    set("SOON", json!(NOW_MS + 1)).await.with_members(&view);
    let names = async |query: &str| {
        let list = call(&backend, "GET", &format!("/keyglass/v1/secrets{query}"), "").await;
        let list = list.with_members(&["secrets", "has_more", "total_count"]);
        list["secrets"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["SOON", "LATE"]);
    assert_eq!(names(&format!("?expires_before_ms={}", NOW_MS + 2)).await, ["SOON"]);
    assert_eq!(names("?limit=1").await, ["SOON"]);
    set("SOON", Value::Null).await.with_members(&view);
    assert_eq!(names("").await, ["LATE"]);
    set("SOON", json!(NOW_MS)).await.refused(400);
    set("NOBODY", Value::Null).await.refused(404);
    call(&backend, "POST", "/keyglass/v1/secrets/SOON/expiry", "{}").await.refused(400);
    // The published view stays as published.
    call(&backend, "GET", "/v1/secrets/LATE", "").await.with_members(&SECRET_VIEW);
}
