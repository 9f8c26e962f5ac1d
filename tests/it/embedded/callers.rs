//! Callers whose keys change while they ask, keys that reach for more than they may, and rows that are not what they
//! were.

use keyglass::backend::embedded::maintenance;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::*;

fn database(folder: &TempDir) -> Connection {
    Connection::open(folder.path().join("keyglass.db")).unwrap()
}

fn account_scopes(level: &str) -> Value {
    json!([{ "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": level }])
}

/// A new key: its id and itself, whichever API it is for.
async fn mint_as(backend: &Embedded, key: &str, path: &str, body: Value) -> (String, String) {
    let answer = call_as(backend, key, "POST", path, &body.to_string()).await;
    assert!(answer.status < 300, "{}", answer.text);
    let made = answer.json();
    let text = |pointers: [&str; 3]| {
        let found = pointers.into_iter().find_map(|pointer| made.pointer(pointer).and_then(Value::as_str));
        found.unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    (text(["/id", "/data/id", "/apiKey/id"]), text(["/key_secret", "/data/key", "/plainKey"]))
}

async fn mint(backend: &Embedded, path: &str, body: Value) -> (String, String) {
    mint_as(backend, &root(backend), path, body).await
}

/// A request that was let in before `between` happened, and whose body came after it. All have the same id.
async fn with_late_body(backend: &Embedded, request: (&str, &str, &str, &str), between: impl Future) -> Answer {
    let (key, method, path, body) = request;
    let (asked, was_asked) = oneshot::channel();
    let (sends, sent) = oneshot::channel::<()>();
    let body = body.to_owned();
    let stream = futures_util::stream::once(async move {
        asked.send(()).unwrap();
        sent.await.unwrap();
        Ok::<_, std::io::Error>(body)
    });
    let mut request = super::request(method, path, key, Body::from_stream(stream));
    request.headers_mut().insert("x-request-id", "same".parse().unwrap());
    let backend = backend.clone();
    let answer = tokio::spawn(async move { send(&backend, request).await });
    was_asked.await.unwrap();
    between.await;
    sends.send(()).unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_request_arrives_changes_nothing() {
    let (_folder, backend) = new_backend();
    create_secret(&backend, "KEPT").await;
    let (other, _) = mint(&backend, "/v1/apikeys", json!({})).await;
    let before = call(&backend, "GET", "/keyglass/v1/keys", "").await.json()["total_count"].as_i64();
    for (path, body) in [
        ("/v1/apikeys", "{}"),
        ("/v1/restricted_keys", "{}"),
        ("/v1/secrets", r#"{"name": "A", "value": "v"}"#),
        ("/v1/secrets/KEPT", r#"{"value": "v"}"#),
        ("/v1/secrets/KEPT/delete", "{}"),
        ("/keyglass/v1/secrets/KEPT/expiry", r#"{"expires_at_ms": null}"#),
        (&format!("/keyglass/v1/keys/{other}/revoke"), "{}"),
        (&format!("/keyglass/v1/keys/{other}/rotate"), "{}"),
    ] {
        let (id, key) = mint(&backend, "/v1/apikeys", json!({})).await;
        let revoke = async {
            let answer = call(&backend, "POST", &format!("/keyglass/v1/keys/{id}/revoke"), "").await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        };
        let answer = with_late_body(&backend, (&key, "POST", path, body), revoke).await;
        assert!(answer.refused(401).contains("revoked"), "{path}: {}", answer.text);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let after = call(&backend, "GET", "/keyglass/v1/keys", "").await.json()["total_count"].as_i64();
    assert_eq!(after, before);
    let secrets = call(&backend, "GET", "/v1/secrets", "").await.json();
    assert_eq!((&secrets["total_count"], &secrets["secrets"][0]["name"]), (&json!(1), &json!("KEPT")));
}

#[tokio::test]
async fn a_key_that_expires_while_its_request_arrives_changes_nothing() {
    let (folder, backend) = new_backend();
    let (id, key) = mint(&backend, "/v1/apikeys", json!({})).await;
    let replace = async {
        let body = r#"{"grace_period_seconds": 0}"#;
        let answer = call(&backend, "POST", &format!("/keyglass/v1/keys/{id}/rotate"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    let answer = with_late_body(&backend, (&key, "POST", "/v1/apikeys", "{}"), replace).await;
    assert!(answer.refused(401).contains("expired"), "{}", answer.text);

    let (_, key) = mint(&backend, "/v1/apikeys", json!({})).await;
    let void = async {
        database(&folder).execute("DELETE FROM keys WHERE id = (SELECT max(id) FROM keys)", []).unwrap();
    };
    let answer = with_late_body(&backend, (&key, "POST", "/v1/apikeys", "{}"), void).await;
    assert!(answer.refused(401).contains("not valid"), "{}", answer.text);
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_request_arrives_gets_no_answer_again() {
    let (_folder, backend) = new_backend();
    let (id, key) = mint(&backend, "/v1/apikeys", json!({})).await;
    let repeated = (key.as_str(), "POST", "/v1/apikeys", "{}");
    let first = with_late_body(&backend, repeated, async {}).await.json();
    let again = with_late_body(&backend, repeated, async {}).await.json();
    assert_eq!(again["key_secret"], first["key_secret"]);
    let revoke = async {
        assert_eq!(call(&backend, "POST", &format!("/keyglass/v1/keys/{id}/revoke"), "").await.status, 200);
    };
    with_late_body(&backend, repeated, revoke).await.refused(401);
}

#[tokio::test]
async fn a_key_of_another_api_is_asked_again_in_the_form_of_that_api() {
    let (_folder, backend) = new_backend();
    let keys = "/runtools/v1/api-keys";
    let manager = json!({ "name": "m", "scopes": ["org:write", "org:read"] });
    let (id, key) = mint(&backend, keys, manager.clone()).await;
    let body = r#"{"name": "n", "scopes": ["org:read"]}"#;
    let revoke = async {
        assert_eq!(call(&backend, "DELETE", &format!("{keys}/{id}"), "").await.status, 200);
    };
    let answer = with_late_body(&backend, (&key, "POST", keys, body), revoke).await;
    answer.refused_by_runtools(401, "invalid_token");

    let (id, key) = mint(&backend, keys, manager).await;
    let narrow = async {
        let answer = call(&backend, "PATCH", &format!("{keys}/{id}"), r#"{"scopes": ["org:read"]}"#).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    let answer = with_late_body(&backend, (&key, "POST", keys, body), narrow).await;
    let message = answer.refused_by_runtools(403, "forbidden");
    assert!(message.contains("`org:write`"), "{message}");
}

#[tokio::test]
async fn who_waits_for_another_program_is_told_that_nothing_was_changed_and_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let hasty = Options { patience: Duration::from_millis(100), ..options(folder.path()) };
    let backend = embedded::open(&hasty).unwrap();
    let other = database(&folder);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let creations: Vec<_> = (0..200)
        .map(|number| {
            let (backend, body) = (backend.clone(), json!({ "name": format!("S{number}"), "value": "v" }).to_string());
            tokio::spawn(async move { call(&backend, "POST", "/v1/secrets", &body).await })
        })
        .collect();
    for creation in creations {
        let answer = creation.await.unwrap();
        assert_eq!(answer.headers["retry-after"], "1", "{}", answer.text);
        assert_eq!(answer.json()["code"], "busy");
        assert!(answer.refused(503).contains("nothing was changed"), "{}", answer.text);
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(call(&backend, "GET", "/v1/secrets", "").await.json()["total_count"], 0);
    create_secret(&backend, "AFTER").await;
}

#[tokio::test]
async fn who_keeps_the_turn_keeps_nobody_from_writing() {
    let folder = tempfile::tempdir().unwrap();
    let backend = embedded::open(&Options { patience: Duration::from_secs(2), ..options(folder.path()) }).unwrap();
    let turn = fs::File::options().write(true).open(folder.path().join("turn.lock")).unwrap();
    turn.lock().unwrap();
    // More than one transaction takes.
    let creations: Vec<_> = (0..100)
        .map(|number| {
            let (backend, body) = (backend.clone(), json!({ "name": format!("S{number}"), "value": "v" }).to_string());
            tokio::spawn(async move { call(&backend, "POST", "/v1/secrets", &body).await })
        })
        .collect();
    for creation in creations {
        let answer = creation.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_change_that_the_database_swallows_is_not_told_as_done() {
    for (trigger, path, body) in [
        (
            "BEFORE UPDATE ON keys WHEN NEW.revoked_at_ms IS NOT NULL BEGIN SELECT RAISE(IGNORE); END",
            "/keyglass/v1/keys/{id}/revoke",
            "{}",
        ),
        (
            "AFTER UPDATE ON keys BEGIN UPDATE keys SET revoked_at_ms = NULL WHERE id = NEW.id; END",
            "/keyglass/v1/keys/{id}/revoke",
            "{}",
        ),
        ("BEFORE UPDATE ON keys BEGIN SELECT RAISE(IGNORE); END", "/keyglass/v1/keys/{id}/rotate", "{}"),
        ("BEFORE INSERT ON keys BEGIN SELECT RAISE(IGNORE); END", "/v1/apikeys", "{}"),
        ("BEFORE UPDATE ON secrets BEGIN SELECT RAISE(IGNORE); END", "/v1/secrets/S", r#"{"value": "v"}"#),
        ("BEFORE DELETE ON secrets BEGIN SELECT RAISE(IGNORE); END", "/v1/secrets/S/delete", "{}"),
        ("BEFORE INSERT ON secrets BEGIN SELECT RAISE(IGNORE); END", "/v1/secrets", r#"{"name": "N", "value": "v"}"#),
    ] {
        let (folder, backend) = new_backend();
        create_secret(&backend, "S").await;
        let (id, key) = mint(&backend, "/v1/apikeys", json!({})).await;
        database(&folder).execute_batch(&format!("CREATE TRIGGER foreign_one {trigger}")).unwrap();
        let answer = call(&backend, "POST", &path.replace("{id}", &id), body).await;
        assert_eq!(answer.json()["code"], "damaged", "{trigger}: {}", answer.text);
        answer.refused(500);
        assert_eq!(call_as(&backend, &key, "GET", "/v1/secrets", "").await.json()["total_count"], 1, "{trigger}");
        let problems = maintenance::verify(&options(folder.path())).unwrap();
        assert_eq!(problems, ["the trigger `foreign_one` is no part of schema version 3"], "{trigger}");
    }
}

#[tokio::test]
async fn keys_of_other_providers_are_the_operators_alone() {
    let (_folder, backend) = new_backend();
    let (runtools, _) = mint(&backend, "/runtools/v1/api-keys", json!({ "name": "t" })).await;
    let (runtype, _) = mint(&backend, "/runtype/v1/api-keys", json!({ "name": "t" })).await;
    let (_, standard) = mint(&backend, "/v1/apikeys", json!({})).await;
    let body = json!({ "scopes": account_scopes("ACCESS_LEVEL_WRITE") });
    let (_, restricted) = mint(&backend, "/v1/restricted_keys", body).await;
    for key in [&standard, &restricted] {
        let list = call_as(&backend, key, "GET", "/keyglass/v1/keys", "").await.json();
        let providers: HashSet<&str> =
            list["keys"].as_array().unwrap().iter().map(|key| key["provider"].as_str().unwrap()).collect();
        assert_eq!(providers, HashSet::from(["runloop"]));
        assert_eq!(list["total_count"], 3);
        let others = call_as(&backend, key, "GET", "/keyglass/v1/keys?provider=runtools", "").await.json();
        assert_eq!((&others["keys"], &others["total_count"]), (&json!([]), &json!(0)));
        for id in [&runtools, &runtype] {
            let path = format!("/keyglass/v1/keys/{id}");
            call_as(&backend, key, "GET", &path, "").await.refused(404);
            for action in ["revoke", "rotate"] {
                call_as(&backend, key, "POST", &format!("{path}/{action}"), "").await.refused(404);
            }
            let page = format!("/keyglass/v1/keys?starting_after={id}");
            call_as(&backend, key, "GET", &page, "").await.refused(400);
        }
    }
    let list = call(&backend, "GET", "/keyglass/v1/keys", "").await.json();
    assert_eq!(list["total_count"], 5);
    for id in [&runtools, &runtype] {
        let path = format!("/keyglass/v1/keys/{id}");
        assert_eq!(call(&backend, "POST", &format!("{path}/rotate"), "").await.status, 200);
        assert_eq!(call(&backend, "POST", &format!("{path}/revoke"), "").await.json()["state"], "revoked");
    }
}

#[tokio::test]
async fn a_restricted_key_manages_only_keys_that_may_do_no_more() {
    let (folder, backend) = new_backend();
    let scopes = json!([
        { "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_WRITE" },
        { "resource_type": "RESOURCE_TYPE_AGENTS", "access_level": "ACCESS_LEVEL_READ" },
    ]);
    let body = json!({ "scopes": scopes, "expires_at_ms": NOW_MS + 1000 });
    let (own, manager) = mint(&backend, "/v1/restricted_keys", body).await;
    let (standard, standard_secret) = mint(&backend, "/v1/apikeys", json!({})).await;
    let agents =
        |level: &str| json!({ "scopes": [{ "resource_type": "RESOURCE_TYPE_AGENTS", "access_level": level }] });
    let (wider, wider_secret) = mint(&backend, "/v1/restricted_keys", agents("ACCESS_LEVEL_WRITE")).await;
    let (narrower, _) = mint(&backend, "/v1/restricted_keys", agents("ACCESS_LEVEL_READ")).await;
    for id in [&standard, &wider] {
        for action in ["revoke", "rotate"] {
            let path = format!("/keyglass/v1/keys/{id}/{action}");
            let message = call_as(&backend, &manager, "POST", &path, "").await.refused(403);
            assert!(message.contains("may do no more"), "{message}");
        }
    }
    for key in [&standard_secret, &wider_secret] {
        assert_ne!(call_as(&backend, key, "GET", "/v1/secrets", "").await.status, 401);
    }
    // What it gets by rotating lives no longer than it does itself.
    let rotate = format!("/keyglass/v1/keys/{narrower}/rotate");
    let later = json!({ "expires_at_ms": NOW_MS + 1001 }).to_string();
    assert!(call_as(&backend, &manager, "POST", &rotate, &later).await.refused(403).contains("outlive"));
    let rotated = call_as(&backend, &manager, "POST", &rotate, "").await.json();
    assert_eq!(rotated["key"]["expires_at_ms"], NOW_MS + 1000, "{rotated}");
    let revoke = format!("/keyglass/v1/keys/{narrower}/revoke");
    assert_eq!(call_as(&backend, &manager, "POST", &revoke, "").await.status, 200);
    let own = format!("/keyglass/v1/keys/{own}/revoke");
    assert_eq!(call_as(&backend, &manager, "POST", &own, "").await.status, 200, "itself");
    drop(folder);
}

#[tokio::test]
async fn restricted_keys_can_be_kept_from_making_wider_ones() {
    for allowed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let set = Options { restricted_keys_make_wider_keys: allowed, ..options(folder.path()) };
        let backend = embedded::open(&set).unwrap();
        let body = json!({ "scopes": account_scopes("ACCESS_LEVEL_WRITE"), "expires_at_ms": NOW_MS + 1000 });
        let (_, manager) = mint(&backend, "/v1/restricted_keys", body).await;
        let (_, standard) = mint(&backend, "/v1/apikeys", json!({})).await;
        let with = |scopes: Value, end: i64| json!({ "scopes": scopes, "expires_at_ms": NOW_MS + end });
        let agents = json!([{ "resource_type": "RESOURCE_TYPE_AGENTS", "access_level": "ACCESS_LEVEL_READ" }]);
        let no_agents = json!([{ "resource_type": "RESOURCE_TYPE_AGENTS", "access_level": "ACCESS_LEVEL_NONE" }]);
        for (path, body, wider) in [
            ("/v1/apikeys", json!({}), true),
            ("/v1/apikeys", json!({ "expires_at_ms": NOW_MS + 1 }), true),
            ("/v1/restricted_keys", with(agents, 1000), true),
            ("/v1/restricted_keys", with(json!([]), 1001), true),
            ("/v1/restricted_keys", json!({}), true),
            ("/v1/restricted_keys", with(json!([]), 1000), false),
            ("/v1/restricted_keys", with(no_agents, 1), false),
            ("/v1/restricted_keys", with(account_scopes("ACCESS_LEVEL_WRITE"), 1000), false),
        ] {
            let answer = call_as(&backend, &manager, "POST", path, &body.to_string()).await;
            if allowed || !wider {
                assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text);
            } else {
                assert!(answer.refused(403).contains("may do no more"), "{path} {body}");
            }
            assert_eq!(call_as(&backend, &standard, "POST", path, &body.to_string()).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_replaced_key_is_not_brought_back() {
    let (_folder, backend) = new_backend();
    for (keys, method, change) in [
        ("/runtype/v1/api-keys", "PUT", r#"{"expiresAt": null}"#),
        ("/runtype/v1/api-keys", "PUT", r#"{"permissions": ["*"]}"#),
        ("/runtype/v1/api-keys", "POST", "{}"),
        ("/runtools/v1/api-keys", "PATCH", r#"{"scopes": ["*"]}"#),
    ] {
        let (id, secret) = mint(&backend, keys, json!({ "name": "k" })).await;
        let rotate = format!("/keyglass/v1/keys/{id}/rotate");
        assert_eq!(call(&backend, "POST", &rotate, r#"{"grace_period_seconds": 0}"#).await.status, 200);
        assert_eq!(call_as(&backend, &secret, "GET", keys, "").await.status, 401);
        let suffix = if method == "POST" { "/regenerate" } else { "" };
        let answer = call(&backend, method, &format!("{keys}/{id}{suffix}"), change).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.text.contains("replaced"), "{}", answer.text);
        assert_eq!(call_as(&backend, &secret, "GET", keys, "").await.status, 401);
        assert_eq!(call(&backend, "DELETE", &format!("{keys}/{id}"), "").await.status, 200, "it may be revoked");
    }
}

#[tokio::test]
async fn a_damaged_secret_is_named_never_shown_and_can_be_deleted() {
    let (folder, backend) = new_backend();
    create_secret(&backend, "GOOD").await;
    for way in ["/v1/secrets/A2/delete", "/v1/secrets/id/{id}/delete"] {
        let made = create_secret(&backend, "A").await;
        let id = made["id"].as_str().unwrap();
        database(&folder).execute("UPDATE secrets SET name = 'A2' WHERE name = 'A'", []).unwrap();
        for (method, path) in [("GET", "/v1/secrets"), ("GET", "/v1/secrets/A2"), ("POST", "/v1/secrets/A2")] {
            let answer = call(&backend, method, path, r#"{"value": "v"}"#).await;
            assert_eq!(answer.json()["code"], "damaged", "{path}");
            let message = answer.refused(500);
            assert!(
                message.contains(id) && message.contains(&format!("keyglass secrets delete --id {id}")),
                "{message}"
            );
        }
        let problems = maintenance::verify(&options(folder.path())).unwrap();
        assert!(problems.len() == 1 && problems[0].contains(id), "{problems:?}");
        let deleted = call(&backend, "POST", &way.replace("{id}", id), "").await.with_members(&SECRET_VIEW);
        assert_eq!(deleted["id"], id);
        assert_eq!(call(&backend, "GET", "/v1/secrets", "").await.json()["total_count"], 1);
        assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
    }
}

#[tokio::test]
async fn a_damaged_key_is_named_never_shown_and_can_be_revoked_by_the_operator() {
    let (folder, backend) = new_backend();
    let (_, standard) = mint(&backend, "/v1/apikeys", json!({})).await;
    let (id, key) = mint(&backend, "/v1/restricted_keys", json!({})).await;
    let edit = "UPDATE keys SET kind = 'standard', scopes = NULL WHERE id = ?1";
    assert_eq!(database(&folder).execute(edit, [&id]).unwrap(), 1);
    assert_eq!(call_as(&backend, &key, "GET", "/v1/secrets", "").await.status, 500);
    let path = format!("/keyglass/v1/keys/{id}");
    for (method, path) in [("GET", "/keyglass/v1/keys"), ("GET", &path), ("POST", &format!("{path}/rotate"))] {
        let answer = call(&backend, method, path, "").await;
        assert_eq!(answer.json()["code"], "damaged", "{path}");
        let message = answer.refused(500);
        assert!(message.contains(&format!("keyglass keys revoke {id}")), "{message}");
    }
    call_as(&backend, &standard, "POST", &format!("{path}/revoke"), "").await.refused(500);
    let revoked = call(&backend, "POST", &format!("{path}/revoke"), "").await.json();
    assert_eq!((&revoked["id"], &revoked["state"], &revoked["scopes"]), (&json!(id), &json!("revoked"), &json!([])));
    assert_eq!(call_as(&backend, &key, "GET", "/v1/secrets", "").await.status, 401);
    assert_eq!(call(&backend, "GET", "/keyglass/v1/keys?state=all", "").await.json()["total_count"], 2);
    assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
    call(&backend, "POST", &format!("{path}/revoke"), "").await.refused(404);
}

#[tokio::test]
async fn a_repeated_creation_runs_again_once_what_it_made_is_gone() {
    let (folder, backend) = new_backend();
    let other = embedded::open(&options(folder.path())).unwrap();
    let ask = async |path: &str, body: &str| {
        let mut request = request("POST", path, &root(&backend), body.to_owned());
        request.headers_mut().insert("x-request-id", "once".parse().unwrap());
        send(&backend, request).await
    };
    let secret = json!({ "name": "ONCE", "value": CANARY }).to_string();
    for delete_at in [&backend, &other] {
        let first = ask("/v1/secrets", &secret).await.with_members(&SECRET_VIEW);
        assert_eq!(ask("/v1/secrets", &secret).await.json(), first);
        assert_eq!(call(delete_at, "POST", "/v1/secrets/ONCE/delete", "").await.status, 200);
        let again = ask("/v1/secrets", &secret).await.with_members(&SECRET_VIEW);
        assert_ne!(again["id"], first["id"]);
        assert_eq!(call(&backend, "GET", "/v1/secrets/ONCE", "").await.json(), again);
        assert_eq!(ask("/v1/secrets", &secret).await.json(), again);
        call(&backend, "POST", "/v1/secrets/ONCE/delete", "").await;
    }
    for path in ["/v1/apikeys", "/v1/restricted_keys"] {
        let first = ask(path, "{}").await.json();
        let revoke = format!("/keyglass/v1/keys/{}/revoke", first["id"].as_str().unwrap());
        assert_eq!(call(&other, "POST", &revoke, "").await.status, 200);
        assert_ne!(ask(path, "{}").await.json()["key_secret"], first["key_secret"]);
    }
    // A key that another one took the place of: under another id, or under its own.
    let first = ask("/v1/apikeys", r#"{"name": "rotated"}"#).await.json();
    let rotate = format!("/keyglass/v1/keys/{}/rotate", first["id"].as_str().unwrap());
    assert_eq!(call(&other, "POST", &rotate, r#"{"grace_period_seconds": 0}"#).await.status, 200);
    let again = ask("/v1/apikeys", r#"{"name": "rotated"}"#).await.json();
    assert_ne!(again["key_secret"], first["key_secret"]);
    let first = ask("/runtype/v1/api-keys", r#"{"name": "k"}"#).await.json();
    let regenerate = format!("/runtype/v1/api-keys/{}/regenerate", first["apiKey"]["id"].as_str().unwrap());
    assert_eq!(call(&other, "POST", &regenerate, "").await.status, 200);
    let again = ask("/runtype/v1/api-keys", r#"{"name": "k"}"#).await.json();
    assert_ne!(again["plainKey"], first["plainKey"]);
    let key = again["plainKey"].as_str().unwrap();
    assert_ne!(call_as(&backend, key, "GET", "/runtype/v1/api-keys/options", "").await.status, 401);
}
