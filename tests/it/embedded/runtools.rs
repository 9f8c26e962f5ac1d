//! RunTools' API keys as RunTools' clients see them.

use super::*;

const KEYS: &str = "/runtools/v1/api-keys";
const KEY_VIEW: [&str; 13] = [
    "id",
    "name",
    "keyPrefix",
    "scopes",
    "projectId",
    "expiresAt",
    "lastUsedAt",
    "revokedAt",
    "createdAt",
    "status",
    "ownerUserId",
    "ownerDisplayName",
    "ownerEmail",
];
const PROJECT: &str = "0a1b2c3d-0000-4000-8000-00000000000f";
const OTHER_PROJECT: &str = "0a1b2c3d-0000-4000-8000-00000000000e";

impl Answer {
    /// The message of a refusal in RunTools' form, with this code.
    #[track_caller]
    pub(super) fn refused_by_runtools(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let json = self.json();
        assert_members(&json, &["error"]);
        assert_members(&json["error"], &["code", "message", "requestId"]);
        assert_eq!(json["error"]["code"], code, "{json}");
        assert!(!json["error"]["requestId"].as_str().unwrap().is_empty());
        json["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// A new key: what is known of it, and itself.
#[track_caller]
fn created(answer: &Answer) -> (Value, String) {
    assert_eq!(answer.status, 201, "{}", answer.text);
    let json = answer.json();
    assert_members(&json, &["data", "message", "meta"]);
    assert_fits(&json, "runtools-api-keys", "ApiKeyCreated");
    let mut data = json["data"].clone();
    let key = data.as_object_mut().unwrap().remove("key").unwrap().as_str().unwrap().to_owned();
    assert_members(&data, &KEY_VIEW);
    (data, key)
}

async fn create_as(backend: &Embedded, key: &str, body: Value) -> Answer {
    call_as(backend, key, "POST", KEYS, &body.to_string()).await
}

async fn mint(backend: &Embedded, body: Value) -> (Value, String) {
    created(&create_as(backend, &root(backend), body).await)
}

/// The key of a single answer.
#[track_caller]
fn one(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    assert_members(&json, &["data", "meta"]);
    assert_members(&json["data"], &KEY_VIEW);
    assert!(json["meta"]["requestId"].is_string());
    assert_fits(&json, "runtools-api-keys", "ApiKeyAnswer");
    json["data"].clone()
}

fn path(key: &Value) -> String {
    format!("{KEYS}/{}", key["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_key_lives_from_creation_to_revocation() {
    let (_folder, backend) = new_backend();
    let body = json!({ "name": "ci", "scopes": ["org:read", "files:*"], "expiresIn": "90d", "projectId": PROJECT });
    let answer = create_as(&backend, &root(&backend), body).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let (key, secret) = created(&answer);
    let characters = secret.strip_prefix("rt_live_").unwrap();
    assert!(characters.len() == 32 && characters.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
    assert_eq!(key["keyPrefix"], "rt_live_");
    assert_eq!((&key["name"], &key["status"]), (&json!("ci"), &json!("active")));
    assert_eq!(key["scopes"], json!(["org:read", "files:*"]));
    assert_eq!(key["projectId"], PROJECT);
    assert_eq!(key["createdAt"], "2027-01-15T08:00:00.000Z");
    assert_eq!(key["expiresAt"], "2027-04-15T08:00:00.000Z");
    assert_eq!((&key["revokedAt"], &key["lastUsedAt"]), (&Value::Null, &Value::Null));

    let shown = call(&backend, "GET", &path(&key), "").await;
    assert!(!shown.text.contains(&secret));
    assert_eq!(one(&shown), key);
    let body = json!({ "name": "new", "scopes": ["org:write", "org:write"], "projectId": null }).to_string();
    let changed = one(&call(&backend, "PATCH", &path(&key), &body).await);
    assert_eq!((&changed["name"], &changed["scopes"]), (&json!("new"), &json!(["org:write"])));
    assert_eq!((&changed["projectId"], &changed["expiresAt"]), (&Value::Null, &key["expiresAt"]));
    let kept = one(&call(&backend, "PATCH", &path(&key), r#"{"name": "again"}"#).await);
    assert_eq!(kept["scopes"], json!(["org:write"]), "what is not sent stays");
    assert_eq!(call_as(&backend, &secret, "GET", KEYS, "").await.status, 200);

    let revoked = one(&call(&backend, "DELETE", &path(&key), "").await);
    assert_eq!((&revoked["status"], &revoked["revokedAt"]), (&json!("revoked"), &json!("2027-01-15T08:00:00.000Z")));
    call_as(&backend, &secret, "GET", KEYS, "").await.refused_by_runtools(401, "invalid_token");
    call(&backend, "DELETE", &path(&key), "").await.refused_by_runtools(404, "not_found");
    call(&backend, "PATCH", &path(&key), r#"{"name": "x"}"#).await.refused_by_runtools(404, "not_found");
    assert_eq!(one(&call(&backend, "GET", &path(&key), "").await)["status"], "revoked");
    assert_eq!(call(&backend, "GET", KEYS, "").await.json()["data"], json!([]), "revoked ones are hidden");
}

#[tokio::test]
async fn without_scopes_a_key_may_do_everything_and_test_keys_say_so() {
    let (_folder, backend) = new_backend();
    for body in [json!({ "name": "a" }), json!({ "name": "a", "scopes": [] }), json!({ "name": "a", "scopes": null })] {
        assert_eq!(mint(&backend, body).await.0["scopes"], json!(["*"]));
    }
    let (key, secret) = mint(&backend, json!({ "name": "t", "isTest": true, "scopes": ["org:read"] })).await;
    assert!(secret.starts_with("rt_test_") && key["keyPrefix"] == "rt_test_", "{key}");
}

#[tokio::test]
async fn lists_are_newest_first_and_go_on_at_the_cursor() {
    let (_folder, backend) = new_backend();
    let mut ids = Vec::new();
    for at in 0..5 {
        ids.push(mint(&backend, json!({ "name": format!("k{at}") })).await.0["id"].clone());
    }
    ids.reverse();
    let mut found = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let list = call(&backend, "GET", &format!("{KEYS}{query}"), "").await.json();
        assert_fits(&list, "runtools-api-keys", "ApiKeyList");
        found.extend(list["data"].as_array().unwrap().iter().map(|key| key["id"].clone()));
        assert_eq!(list["meta"]["hasMore"], json!(list["meta"]["nextCursor"].is_string()));
        let Some(cursor) = list["meta"]["nextCursor"].as_str() else { break };
        // A key that is revoked meanwhile still says where to go on.
        call(&backend, "DELETE", &format!("{KEYS}/{cursor}"), "").await;
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(found, ids);
    for wrong in ["limit=0", "limit=x", "cursor=none", "cursor=key_none"] {
        call(&backend, "GET", &format!("{KEYS}?{wrong}"), "").await.refused_by_runtools(400, "bad_request");
    }
}

#[tokio::test]
async fn wrong_input_is_refused_by_name_and_never_shown() {
    let (_folder, backend) = new_backend();
    let (key, _) = mint(&backend, json!({ "name": "k" })).await;
    let canary = "rt_live_canary0000000000000000000000";
    for (body, member) in [
        (json!({}), "`name` is required"),
        (json!({ "name": "" }), "`name`"),
        (json!({ "name": " " }), "`name`"),
        (json!({ "name": "x".repeat(256) }), "`name`"),
        (json!({ "name": 1 }), "`name`"),
        (json!({ "name": "a", "scopes": "*" }), "`scopes`"),
        (json!({ "name": "a", "scopes": ["*", canary] }), "`scopes[1]`"),
        (json!({ "name": "a", "scopes": ["org:reed"] }), "`scopes[0]`"),
        (json!({ "name": "a", "isTest": "true" }), "`isTest`"),
        (json!({ "name": "a", "projectId": canary }), "`projectId`"),
        (json!({ "name": "a", "expiresIn": 90 }), "`expiresIn`"),
        (json!({ "name": "a", "expiresIn": canary }), "expiry unit must be d, m, or y"),
    ] {
        let message = create_as(&backend, &root(&backend), body.clone()).await.refused_by_runtools(400, "bad_request");
        assert!(message.contains(member) && !message.contains("canary"), "{body}: {message}");
    }
    for body in [
        json!({}),
        json!({ "scopes": [] }),
        json!({ "scopes": ["none"] }),
        json!({ "name": "" }),
        json!({ "projectId": "x" }),
        json!([]),
    ] {
        let answer = call(&backend, "PATCH", &path(&key), &body.to_string()).await;
        answer.refused_by_runtools(400, "bad_request");
    }
    call(&backend, "POST", KEYS, "{").await.refused_by_runtools(400, "bad_request");
    call(&backend, "PUT", KEYS, "{}").await.refused_by_runtools(405, "bad_request");
    call(&backend, "POST", &format!("{KEYS}/verify"), "{}").await.refused_by_runtools(405, "bad_request");
    call(&backend, "GET", "/runtools/v1/secrets", "").await.refused_by_runtools(404, "not_found");
    for (method, body) in [("GET", ""), ("PATCH", r#"{"name": "x"}"#), ("DELETE", "")] {
        let message = call(&backend, method, &format!("{KEYS}/{canary}"), body).await;
        let message = message.refused_by_runtools(404, "not_found");
        assert!(!message.contains("canary"), "{message}");
    }
}

#[tokio::test]
async fn an_expiry_is_a_number_of_days_months_of_30_days_or_years_of_365() {
    let (folder, backend) = new_backend();
    let day = 24 * 60 * 60 * 1000;
    for (text, days) in [("1d", 1), ("2m", 60), ("1y", 365), ("007d", 7)] {
        let (_, secret) = mint(&backend, json!({ "name": "k", "expiresIn": text })).await;
        let before = at(&folder, days * day - 1).await;
        assert_eq!(call_as(&before, &secret, "GET", KEYS, "").await.status, 200, "{text}");
        let after = at(&folder, days * day).await;
        call_as(&after, &secret, "GET", KEYS, "").await.refused_by_runtools(401, "token_expired");
        let newest = call(&after, "GET", &format!("{KEYS}?limit=1"), "").await.json();
        assert_eq!(newest["data"][0]["status"], "expired");
    }
    for none in [json!("never"), Value::Null] {
        assert_eq!(mint(&backend, json!({ "name": "k", "expiresIn": none })).await.0["expiresAt"], Value::Null);
    }
    for wrong in
        ["", "d", "1", "0d", "-1d", "1.5d", "1h", "1D", " 1d", "1d ", "1 d", "Never", "9999999999999999999d", "9000y"]
    {
        let answer = create_as(&backend, &root(&backend), json!({ "name": "k", "expiresIn": wrong })).await;
        let message = answer.refused_by_runtools(400, "bad_request");
        assert!(message.contains("`expiresIn`"), "{wrong}: {message}");
    }
}

#[tokio::test]
async fn what_a_key_may_do_with_keys_is_in_its_scopes() {
    let (_folder, backend) = new_backend();
    let (other, _) = mint(&backend, json!({ "name": "other", "scopes": ["org:read"] })).await;
    for (scopes, reads, manages) in [
        (json!(["*"]), true, true),
        (json!(["org:*"]), true, true),
        (json!(["org:write", "org:read"]), true, true),
        (json!(["admin:resources", "org:read"]), true, true),
        (json!(["admin:*", "org:read"]), true, true),
        (json!(["org:read"]), true, false),
        (json!(["org:members"]), false, false),
        (json!(["sandbox:*", "agent:*", "files:*", "tool:*"]), false, false),
    ] {
        let (_, key) = mint(&backend, json!({ "name": "k", "scopes": scopes })).await;
        for path in [KEYS.to_owned(), path(&other)] {
            let answer = call_as(&backend, &key, "GET", &path, "").await;
            if reads {
                assert_eq!(answer.status, 200, "{scopes}");
            } else {
                answer.refused_by_runtools(403, "forbidden");
            }
        }
        let made = create_as(&backend, &key, json!({ "name": "n", "scopes": ["org:read"] })).await;
        let changed = call_as(&backend, &key, "PATCH", &path(&other), r#"{"name": "other"}"#).await;
        if manages {
            let (made, _) = created(&made);
            one(&changed);
            one(&call_as(&backend, &key, "DELETE", &path(&made), "").await);
        } else {
            made.refused_by_runtools(403, "forbidden");
            changed.refused_by_runtools(403, "forbidden");
            call_as(&backend, &key, "DELETE", &path(&other), "").await.refused_by_runtools(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn no_key_gives_more_than_it_has() {
    let (_folder, backend) = new_backend();
    let body = json!({
        "name": "manager", "scopes": ["org:write", "files:*"], "isTest": true, "expiresIn": "30d", "projectId": PROJECT,
    });
    let (own, manager) = mint(&backend, body).await;
    let within = json!({
        "name": "n", "scopes": ["files:read"], "isTest": true, "expiresIn": "30d", "projectId": PROJECT.to_uppercase(),
    });
    let with = |member: &str, value: Value| {
        let mut body = within.clone();
        body[member] = value;
        body
    };
    for (body, about) in [
        (with("scopes", json!(["*"])), "scopes"),
        (with("scopes", json!([])), "scopes"),
        (with("scopes", json!(["files:read", "org:read"])), "scopes"),
        (with("scopes", json!(["org:*"])), "scopes"),
        (with("isTest", json!(false)), "test key"),
        (with("expiresIn", json!("31d")), "outlives"),
        (with("expiresIn", json!("never")), "outlives"),
        (with("projectId", Value::Null), "project"),
        (with("projectId", json!(OTHER_PROJECT)), "project"),
    ] {
        let message = create_as(&backend, &manager, body.clone()).await.refused_by_runtools(403, "forbidden");
        assert!(message.contains(about), "{body}: {message}");
    }
    let (made, _) = created(&create_as(&backend, &manager, within.clone()).await);
    for key in [&made, &own] {
        for body in [json!({ "scopes": ["*"] }), json!({ "projectId": null }), json!({ "projectId": OTHER_PROJECT })] {
            let answer = call_as(&backend, &manager, "PATCH", &path(key), &body.to_string()).await;
            answer.refused_by_runtools(403, "forbidden");
        }
        let now = one(&call(&backend, "GET", &path(key), "").await);
        for member in ["name", "scopes", "projectId", "expiresAt"] {
            assert_eq!(now[member], key[member], "nothing was changed");
        }
    }
    let fewer = json!({ "scopes": ["files:read"], "projectId": PROJECT }).to_string();
    for body in [with("scopes", json!(["*"])), with("isTest", json!(false))] {
        let (stronger, secret) = mint(&backend, body).await;
        for method in ["PATCH", "DELETE"] {
            let answer = call_as(&backend, &manager, method, &path(&stronger), &fewer).await;
            answer.refused_by_runtools(403, "forbidden");
        }
        assert_ne!(call_as(&backend, &secret, "GET", KEYS, "").await.status, 401, "not revoked");
    }
    let (lasting, _) = mint(&backend, with("expiresIn", json!("1y"))).await;
    let answer = call_as(&backend, &manager, "PATCH", &path(&lasting), &fewer).await;
    answer.refused_by_runtools(403, "forbidden");
    // It may do no more, only longer, and to end it gives nobody anything.
    one(&call_as(&backend, &manager, "DELETE", &path(&lasting), "").await);
}

#[tokio::test]
async fn a_key_of_a_project_sees_that_project_alone() {
    let (_folder, backend) = new_backend();
    let body = |project: Value| json!({ "name": "k", "scopes": ["org:write", "org:read"], "projectId": project });
    let (own, manager) = mint(&backend, body(json!(PROJECT))).await;
    let (inside, _) = mint(&backend, body(json!(PROJECT))).await;
    for project in [Value::Null, json!(OTHER_PROJECT)] {
        let (outside, _) = mint(&backend, body(project)).await;
        for (method, body) in [("GET", ""), ("PATCH", r#"{"name": "x"}"#), ("DELETE", "")] {
            let answer = call_as(&backend, &manager, method, &path(&outside), body).await;
            answer.refused_by_runtools(404, "not_found");
        }
        let cursor = format!("{KEYS}?cursor={}", outside["id"].as_str().unwrap());
        call_as(&backend, &manager, "GET", &cursor, "").await.refused_by_runtools(400, "bad_request");
    }
    let list = call_as(&backend, &manager, "GET", &format!("{KEYS}?limit=1"), "").await.json();
    assert_eq!((&list["data"][0]["id"], &list["meta"]["hasMore"]), (&inside["id"], &json!(true)));
    let next = format!("{KEYS}?limit=1&cursor={}", list["meta"]["nextCursor"].as_str().unwrap());
    let list = call_as(&backend, &manager, "GET", &next, "").await.json();
    assert_eq!((&list["data"][0]["id"], &list["meta"]["hasMore"]), (&own["id"], &json!(false)));
    one(&call_as(&backend, &manager, "DELETE", &path(&inside), "").await);
}

#[tokio::test]
async fn a_key_comes_in_either_header_but_not_in_both() {
    let (_folder, backend) = new_backend();
    let (_, key) = mint(&backend, json!({ "name": "k", "scopes": ["org:read"] })).await;
    let request = |headers: &[(&str, String)]| {
        let mut request = Request::builder().uri(KEYS);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(Body::empty()).unwrap()
    };
    let bearer = ("authorization", format!("Bearer {key}"));
    let plain = ("x-api-key", key.clone());
    for headers in [vec![bearer.clone()], vec![plain.clone()]] {
        assert_eq!(send(&backend, request(&headers)).await.status, 200, "{headers:?}");
    }
    for headers in [vec![], vec![bearer, plain.clone()], vec![plain.clone(), plain]] {
        let answer = send(&backend, request(&headers)).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answer.refused_by_runtools(401, "unauthorized");
    }
    let unknown = [("x-api-key", "rt_live_canary".to_owned())];
    let message = send(&backend, request(&unknown)).await.refused_by_runtools(401, "invalid_token");
    assert!(!message.contains("canary"));
}

#[tokio::test]
async fn keys_and_ids_of_runtools_are_nothing_elsewhere() {
    let (_folder, backend) = new_backend();
    let (key, secret) = mint(&backend, json!({ "name": "k", "scopes": ["*"] })).await;
    for path in ["/v1/accounts/me", "/v1/secrets", "/keyglass/v1/keys", "/nowhere"] {
        call_as(&backend, &secret, "GET", path, "").await.refused(401);
    }
    for path in ["/runtype/v1/api-keys", "/runtype/v1/api-keys/options", "/runtype/nowhere"] {
        let answer = call_as(&backend, &secret, "GET", path, "").await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("unauthorized")));
    }
    let at_runtype = format!("/runtype/v1/api-keys/{}", key["id"].as_str().unwrap());
    for method in ["GET", "DELETE"] {
        assert_eq!(call(&backend, method, &at_runtype, "").await.status, 404);
    }
    let standard = call(&backend, "POST", "/v1/apikeys", "{}").await.json();
    let standard_secret = standard["key_secret"].as_str().unwrap();
    call_as(&backend, standard_secret, "GET", KEYS, "").await.refused_by_runtools(401, "invalid_token");
    call(&backend, "DELETE", &path(&standard), "").await.refused_by_runtools(404, "not_found");
    let cursor = format!("{KEYS}?cursor={}", standard["id"].as_str().unwrap());
    call(&backend, "GET", &cursor, "").await.refused_by_runtools(400, "bad_request");

    let rotate = |id: &Value| format!("/keyglass/v1/keys/{}/rotate", id.as_str().unwrap());
    let rotated = call(&backend, "POST", &rotate(&key["id"]), "").await.json();
    let new = rotated["key_secret"].as_str().unwrap();
    assert!(new.starts_with("rt_live_"));
    assert_eq!(call_as(&backend, new, "GET", KEYS, "").await.status, 200);
}

#[tokio::test]
async fn a_repeated_creation_makes_one_key_and_answers_name_the_request() {
    let (_folder, backend) = new_backend();
    let create = async |id: &str| {
        let mut request = request("POST", KEYS, &root(&backend), r#"{"name": "k"}"#);
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        send(&backend, request).await
    };
    let (first, again, other) = (create("one").await, create("one").await, create("two").await);
    assert_eq!(first.text, again.text);
    assert_eq!(again.status, 201);
    assert_ne!(created(&first).1, created(&other).1);
    assert_eq!(first.json()["meta"]["requestId"], "one");
    assert_eq!(call(&backend, "GET", KEYS, "").await.json()["data"].as_array().unwrap().len(), 2);
}
