//! Runtype's API keys as Runtype's clients see them.

use super::*;

const KEYS: &str = "/runtype/v1/api-keys";
const KEY_VIEW: [&str; 12] = [
    "id",
    "name",
    "keyPrefix",
    "searchHint",
    "maskedKey",
    "permissions",
    "isActive",
    "isTestKey",
    "canReveal",
    "expiresAt",
    "allowedIps",
    "createdAt",
];

impl Answer {
    /// The message of a refusal in Runtype's form.
    #[track_caller]
    fn refused_by_runtype(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let json = self.json();
        assert_members(&json, &["error", "code"]);
        json["error"].as_str().unwrap().to_owned()
    }
}

/// A key that is shown: what is known of it, and itself.
#[track_caller]
fn shown(answer: &Answer, status: u16) -> (Value, String) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let json = answer.json();
    assert_members(&json, &["apiKey", "plainKey", "warning"]);
    assert_members(&json["apiKey"], &KEY_VIEW);
    assert_fits(&json, "runtype-api-keys", "ApiKeyShown");
    (json["apiKey"].clone(), json["plainKey"].as_str().unwrap().to_owned())
}

async fn mint(backend: &Embedded, body: Value) -> (Value, String) {
    shown(&call(backend, "POST", KEYS, &body.to_string()).await, 201)
}

/// The key of a single answer.
#[track_caller]
fn one(answer: &Answer) -> Value {
    let json = answer.with_members(&["apiKey"]);
    assert_members(&json["apiKey"], &KEY_VIEW);
    assert_fits(&json, "runtype-api-keys", "ApiKeyAnswer");
    json["apiKey"].clone()
}

fn path(key: &Value) -> String {
    format!("{KEYS}/{}", key["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_key_lives_from_creation_to_revocation() {
    let (_folder, backend) = new_backend();
    let body = json!({
        "name": "ci", "permissions": ["FLOWS:*", "RECORDS:READ"], "expiresAt": "2027-02-01T01:00:00+01:00",
        "environment": "test", "allowedIps": [],
    });
    let (key, secret) = mint(&backend, body).await;
    assert!(secret.starts_with("rt_test_") && secret.len() == 40, "{secret}");
    let expected = json!({
        "id": key["id"], "name": "ci", "keyPrefix": "rt_test_", "searchHint": null, "maskedKey": "rt_test_****",
        "permissions": ["FLOWS:*", "RECORDS:READ"], "isActive": true, "isTestKey": true, "canReveal": false,
        "expiresAt": "2027-02-01T00:00:00.000Z", "allowedIps": [], "createdAt": "2027-01-15T08:00:00.000Z",
    });
    assert_eq!(key, expected);
    assert_eq!(one(&call(&backend, "GET", &path(&key), "").await), key);

    let changed =
        call(&backend, "PUT", &path(&key), r#"{"name": "new", "permissions": ["*"], "expiresAt": null}"#).await;
    let changed = one(&changed);
    assert_eq!((&changed["name"], &changed["permissions"]), (&json!("new"), &json!(["*"])));
    assert_eq!(changed["expiresAt"], Value::Null);
    assert_eq!(one(&call(&backend, "PUT", &path(&key), "{}").await), changed, "what is not sent stays");

    let (renewed, new) = shown(&call(&backend, "POST", &format!("{}/regenerate", path(&key)), "").await, 200);
    assert_eq!(renewed, changed, "the same key with other characters");
    assert_ne!(new, secret);
    call_as(&backend, &secret, "GET", KEYS, "").await.refused_by_runtype(401);
    let list = call_as(&backend, &new, "GET", KEYS, "").await;
    assert!(!list.text.contains(&new) && !list.text.contains(&secret));
    let list = list.with_members(&["apiKeys", "total", "timestamp"]);
    assert_fits(&list, "runtype-api-keys", "ApiKeyList");
    assert_eq!((&list["apiKeys"], &list["total"]), (&json!([changed]), &json!(1)));

    assert_eq!(one(&call(&backend, "DELETE", &path(&key), "").await)["isActive"], false);
    call_as(&backend, &new, "GET", KEYS, "").await.refused_by_runtype(401);
    for (method, suffix) in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/regenerate")] {
        call(&backend, method, &format!("{}{suffix}", path(&key)), "").await.refused_by_runtype(404);
    }
    assert_eq!(call(&backend, "GET", KEYS, "").await.json()["total"], 0);
}

#[tokio::test]
async fn defaults_are_those_published() {
    let (_folder, backend) = new_backend();
    let (first, secret) = mint(&backend, json!({ "name": "k" })).await;
    assert!(secret.starts_with("rt_live_"));
    assert_eq!(first["permissions"], json!(["FLOWS:READ", "RECORDS:READ"]));
    assert_eq!((&first["isTestKey"], &first["expiresAt"]), (&json!(false), &Value::Null));
    let (none, _) = mint(&backend, json!({ "name": "k", "permissions": [], "environment": "production" })).await;
    assert_eq!(none["permissions"], json!([]), "an empty list grants nothing");
    let list = call(&backend, "GET", KEYS, "").await.json();
    assert_eq!(list["apiKeys"], json!([none, first]), "the newest first");
}

#[tokio::test]
async fn the_options_name_every_permission_that_is_taken() {
    let (_folder, backend) = new_backend();
    let (_, nothing) = mint(&backend, json!({ "name": "k", "permissions": [] })).await;
    let options = call_as(&backend, &nothing, "GET", &format!("{KEYS}/options"), "").await;
    let options = options.with_members(&["permissionGroups", "permissionScopes", "rateLimits"]);
    assert_fits(&options, "runtype-api-keys", "ApiKeyOptions");
    let limits = json!({ "defaultPerHour": 1000, "defaultPerDay": 24000, "maxPerHour": 5000, "maxPerDay": 120_000 });
    assert_eq!(options["rateLimits"], limits);
    let mut permissions = Vec::new();
    for group in options["permissionGroups"].as_array().unwrap() {
        assert_members(group, &["key", "label", "description", "permissions"]);
        permissions.extend(group["permissions"].as_array().unwrap().clone());
    }
    assert_eq!(options["permissionScopes"], json!(permissions));
    let (all, _) = mint(&backend, json!({ "name": "k", "permissions": permissions })).await;
    assert_eq!(all["permissions"], json!(permissions));
}

#[tokio::test]
async fn wrong_input_is_refused_by_name_and_never_shown() {
    let (_folder, backend) = new_backend();
    let (key, _) = mint(&backend, json!({ "name": "k" })).await;
    let canary = "rt_live_canary0000000000000000000000";
    let wrong = [
        (json!({ "name": "" }), "`name`"),
        (json!({ "name": "x".repeat(256) }), "`name`"),
        (json!({ "name": 1 }), "`name`"),
        (json!({ "name": "a", "permissions": "*" }), "`permissions`"),
        (json!({ "name": "a", "permissions": ["FLOWS:READ", canary] }), "`permissions[1]`"),
        (json!({ "name": "a", "permissions": ["flows:read"] }), "`permissions[0]`"),
        (json!({ "name": "a", "permissions": ["SECRETS:READ"] }), "`permissions[0]`"),
        (json!({ "name": "a", "expiresAt": canary }), "`expiresAt`"),
        (json!({ "name": "a", "expiresAt": "2027-01-15T08:00:00Z" }), "`expiresAt`"),
        (json!({ "name": "a", "expiresAt": "2020-01-01T00:00:00Z" }), "`expiresAt`"),
        (json!({ "name": "a", "expiresAt": "9999-12-31T23:59:59-01:00" }), "`expiresAt`"),
        (json!({ "name": "a", "expiresAt": NOW_MS + 1000 }), "`expiresAt`"),
        (json!({ "name": "a", "allowedIps": ["192.0.2.1"] }), "`allowedIps`"),
    ];
    for (body, member) in wrong {
        for (method, path) in [("POST", KEYS.to_owned()), ("PUT", path(&key))] {
            let message = call(&backend, method, &path, &body.to_string()).await.refused_by_runtype(400);
            assert!(message.contains(member) && !message.contains("canary"), "{method} {body}: {message}");
        }
    }
    for body in [json!({}), json!({ "name": null }), json!({ "name": "a", "environment": "staging" }), json!([])] {
        call(&backend, "POST", KEYS, &body.to_string()).await.refused_by_runtype(400);
    }
    assert_eq!(one(&call(&backend, "GET", &path(&key), "").await), key, "nothing was changed");
    call(&backend, "PATCH", &path(&key), "{}").await.refused_by_runtype(405);
    call(&backend, "GET", "/runtype/v1/secrets", "").await.refused_by_runtype(404);
    let message = call(&backend, "GET", &format!("{KEYS}/{canary}"), "").await.refused_by_runtype(404);
    assert!(!message.contains("canary"), "{message}");
    let message = call(&backend, "GET", &format!("{}/reveal", path(&key)), "").await.refused_by_runtype(404);
    assert!(message.contains("no key is shown again"), "{message}");
}

#[tokio::test]
async fn a_key_works_until_its_expiry_and_is_not_renewed_after_it() {
    let (folder, backend) = new_backend();
    let body = json!({ "name": "k", "permissions": ["*"], "expiresAt": "2027-01-15T08:00:01.500Z" });
    let (key, secret) = mint(&backend, body).await;
    let before = at(&folder, 1499).await;
    assert_eq!(call_as(&before, &secret, "GET", KEYS, "").await.status, 200);
    let after = at(&folder, 1500).await;
    assert!(call_as(&after, &secret, "GET", KEYS, "").await.refused_by_runtype(401).contains("expired"));
    assert_eq!(one(&call(&after, "GET", &path(&key), "").await)["isActive"], false);
    let regenerate = format!("{}/regenerate", path(&key));
    assert!(call(&after, "POST", &regenerate, "").await.refused_by_runtype(400).contains("expired"));
    one(&call(&after, "PUT", &path(&key), r#"{"expiresAt": "2027-02-01T00:00:00Z"}"#).await);
    let (_, new) = shown(&call(&after, "POST", &regenerate, "").await, 200);
    assert_eq!(call_as(&after, &new, "GET", KEYS, "").await.status, 200);
}

#[tokio::test]
async fn no_key_makes_changes_or_regenerates_keys() {
    let (_folder, backend) = new_backend();
    let (all_key, all) = mint(&backend, json!({ "name": "all", "permissions": ["*"] })).await;
    let everything = json!(["FLOWS:*", "RECORDS:*", "DISPATCH:*", "AGENTS:*", "SECRETS:WRITE"]);
    let (some_key, some) = mint(&backend, json!({ "name": "some", "permissions": everything })).await;
    for key in [&all, &some] {
        for (method, path, body) in [
            ("POST", KEYS.to_owned(), r#"{"name": "k", "permissions": []}"#),
            ("POST", KEYS.to_owned(), "not json"),
            ("PUT", path(&some_key), r#"{"name": "k"}"#),
            ("POST", format!("{}/regenerate", path(&some_key)), ""),
        ] {
            let message = call_as(&backend, key, method, &path, body).await.refused_by_runtype(403);
            assert!(message.contains("dashboard session") && message.contains("root key"), "{message}");
        }
    }
    for (method, path) in [("GET", KEYS.to_owned()), ("GET", path(&all_key)), ("DELETE", path(&all_key))] {
        let message = call_as(&backend, &some, method, &path, "").await.refused_by_runtype(403);
        assert!(message.contains("`*`"), "{message}");
    }
    assert_eq!(call_as(&backend, &all, "GET", KEYS, "").await.json()["total"], 2);
    one(&call_as(&backend, &all, "GET", &path(&some_key), "").await);
    one(&call_as(&backend, &all, "DELETE", &path(&some_key), "").await);
    call_as(&backend, &some, "GET", &format!("{KEYS}/options"), "").await.refused_by_runtype(401);
}

#[tokio::test]
async fn keys_and_ids_of_runtype_are_nothing_elsewhere() {
    let (_folder, backend) = new_backend();
    let (key, secret) = mint(&backend, json!({ "name": "k", "permissions": ["*"] })).await;
    for path in ["/v1/accounts/me", "/v1/secrets", "/keyglass/v1/keys"] {
        call_as(&backend, &secret, "GET", path, "").await.refused(401);
    }
    for header in ["authorization", "x-api-key"] {
        let value = if header == "authorization" { format!("Bearer {secret}") } else { secret.clone() };
        let request = Request::builder().uri("/runtools/v1/api-keys").header(header, value);
        let answer = send(&backend, request.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("invalid_token")));
    }
    // Runtype takes keys in one header alone.
    let request = Request::builder().uri(KEYS).header("x-api-key", &secret);
    send(&backend, request.body(Body::empty()).unwrap()).await.refused_by_runtype(401);
    let at_runtools = format!("/runtools/v1/api-keys/{}", key["id"].as_str().unwrap());
    for method in ["GET", "DELETE"] {
        assert_eq!(call(&backend, method, &at_runtools, "").await.status, 404);
    }
    assert_eq!(call(&backend, "GET", "/runtools/v1/api-keys", "").await.json()["data"], json!([]));
    let standard = call(&backend, "POST", "/v1/apikeys", "{}").await.json();
    let standard_secret = standard["key_secret"].as_str().unwrap();
    call_as(&backend, standard_secret, "GET", KEYS, "").await.refused_by_runtype(401);
    for (method, suffix) in [("GET", ""), ("DELETE", ""), ("POST", "/regenerate")] {
        call(&backend, method, &format!("{}{suffix}", path(&standard)), "").await.refused_by_runtype(404);
    }
    assert_eq!(call_as(&backend, standard_secret, "GET", "/v1/accounts/me", "").await.status, 200);
}

#[tokio::test]
async fn a_repeated_regeneration_gives_the_key_that_works() {
    let (_folder, backend) = new_backend();
    let (key, _) = mint(&backend, json!({ "name": "k", "permissions": ["*"] })).await;
    let regenerate = async |id: &str| {
        let mut request = request("POST", &format!("{}/regenerate", path(&key)), &root(&backend), "");
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        shown(&send(&backend, request).await, 200).1
    };
    let (first, again) = (regenerate("one").await, regenerate("one").await);
    assert_eq!(first, again);
    assert_eq!(call_as(&backend, &first, "GET", KEYS, "").await.status, 200);
    assert_ne!(regenerate("two").await, first);
    call_as(&backend, &first, "GET", KEYS, "").await.refused_by_runtype(401);
}
