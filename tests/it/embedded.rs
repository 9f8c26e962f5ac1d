//! The embedded backend as its clients see it: requests in, answers out, files in a folder.

mod answers;
mod callers;
mod clock;
mod limits;
mod maintenance;
mod management;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(unix)]
mod permissions;
mod processes;
mod runtools;
mod runtype;
mod storage;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::{Arc, Barrier, LazyLock, Mutex},
    time::Duration,
};

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jsonschema::Validator;
use keyglass::{
    backend::embedded::{self, Embedded, OpenError, Options},
    clock::Clock,
};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt as _;

const NOW_MS: i64 = 1_800_000_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const CANARY: &str = "canary-5f2e91-value";

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body of a success, which has exactly these members.
    #[track_caller]
    fn with_members(&self, members: &[&str]) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let json = self.json();
        assert_members(&json, members);
        json
    }

    /// The message of a refusal with this status.
    #[track_caller]
    fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 2, "{json}");
        assert!(json["code"].is_string(), "{json}");
        json["message"].as_str().unwrap().to_owned()
    }
}

/// That an object has exactly these members.
#[track_caller]
fn assert_members(value: &Value, members: &[&str]) {
    let mut found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = members.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Holds an answer against a definition in the folder of schemas.
#[track_caller]
fn assert_fits(answer: &Value, file: &str, name: &str) {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let reference = format!("{file}.json#/$defs/{name}");
    let known = KNOWN.lock().unwrap().get(&reference).cloned();
    let validator = known.unwrap_or_else(|| {
        let text = fs::read_to_string(format!("schemas/{file}.json")).unwrap();
        let mut schema: Value = serde_json::from_str(&text).unwrap();
        schema["$ref"] = json!(format!("#/$defs/{name}"));
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        let validator = Arc::new(options.build(&schema).unwrap());
        KNOWN.lock().unwrap().insert(reference.clone(), validator.clone());
        validator
    });
    let deviations: Vec<String> = validator.iter_errors(answer).map(|error| error.to_string()).collect();
    assert_eq!(deviations, Vec::<String>::new(), "{reference}: {answer}");
}

/// The same backend so much later.
async fn at(folder: &TempDir, elapsed_ms: i64) -> Embedded {
    let then = Options { clock: Clock::Fixed(NOW_MS + elapsed_ms), ..options(folder.path()) };
    embedded::open(&then).unwrap()
}

fn options(folder: &Path) -> Options {
    Options { clock: Clock::Fixed(NOW_MS), ..Options::new(folder) }
}

fn new_backend() -> (TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let backend = embedded::open(&options(folder.path())).unwrap();
    (folder, backend)
}

fn root(backend: &Embedded) -> String {
    backend.root_key().expose_secret().to_owned()
}

async fn send(backend: &Embedded, request: Request<Body>) -> Answer {
    let response = backend.router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

fn request(method: &str, path: &str, key: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {key}"))
        .body(body.into())
        .unwrap()
}

async fn call_as(backend: &Embedded, key: &str, method: &str, path: &str, body: &str) -> Answer {
    send(backend, request(method, path, key, body.to_owned())).await
}

async fn call(backend: &Embedded, method: &str, path: &str, body: &str) -> Answer {
    call_as(backend, &root(backend), method, path, body).await
}

fn serve(backend: &Embedded, listener: TcpListener) {
    let backend = backend.clone();
    tokio::spawn(async move { embedded::serve(&backend, listener, None, std::future::pending()).await });
}

async fn create_secret(backend: &Embedded, name: &str) -> Value {
    let body = json!({ "name": name, "value": CANARY }).to_string();
    call(backend, "POST", "/v1/secrets", &body).await.with_members(&SECRET_VIEW)
}

const SECRET_VIEW: [&str; 4] = ["id", "name", "create_time_ms", "update_time_ms"];

#[tokio::test]
async fn a_secret_lives_from_creation_to_deletion() {
    let (folder, backend) = new_backend();
    let created = create_secret(&backend, "DB_PASS").await;
    assert!(created["id"].as_str().unwrap().starts_with("sec_"));
    assert_eq!(created["id"].as_str().unwrap().len(), 25);
    assert_eq!(created["create_time_ms"], NOW_MS);

    let later = embedded::open(&Options { clock: Clock::Fixed(NOW_MS + 7), ..options(folder.path()) }).unwrap();
    let updated = call(&later, "POST", "/v1/secrets/DB_PASS", r#"{"value": "new"}"#).await.with_members(&SECRET_VIEW);
    let expected = json!({
        "id": created["id"], "name": "DB_PASS", "create_time_ms": NOW_MS, "update_time_ms": NOW_MS + 7,
    });
    assert_eq!(updated, expected);
    let back = call(&backend, "POST", "/v1/secrets/DB_PASS", r#"{"value": "new"}"#).await.json();
    assert_eq!(back, expected, "an older clock does not set the time of the update back");
    assert_eq!(call(&backend, "GET", "/v1/secrets/DB_PASS", "").await.with_members(&SECRET_VIEW), expected);

    for body in ["", "{}", r#"{"unknown": 1}"#] {
        create_secret(&backend, "GONE").await;
        let deleted = call(&backend, "POST", "/v1/secrets/GONE/delete", body).await.with_members(&SECRET_VIEW);
        assert_eq!(deleted["name"], "GONE");
        for (method, path) in
            [("GET", "/v1/secrets/GONE"), ("POST", "/v1/secrets/GONE"), ("POST", "/v1/secrets/GONE/delete")]
        {
            let message = call(&backend, method, path, r#"{"value": "x"}"#).await.refused(404);
            assert!(message.contains("`GONE`"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_secret_is_reached_by_its_id_too_and_ids_are_no_names() {
    let (_folder, backend) = new_backend();
    let made = create_secret(&backend, "A").await;
    let id = made["id"].as_str().unwrap();
    let path = |rest: &str| format!("/v1/secrets/id/{id}{rest}");
    assert_eq!(call(&backend, "GET", &path(""), "").await.with_members(&SECRET_VIEW), made);
    let updated = call(&backend, "POST", &path("/update"), r#"{"value": "v"}"#).await.with_members(&SECRET_VIEW);
    assert_eq!(updated["id"], made["id"]);
    for (method, path, body) in [
        ("GET", "/v1/secrets/id/A".to_owned(), ""),
        ("GET", format!("/v1/secrets/{id}"), ""),
        ("POST", "/v1/secrets/id/A/update".to_owned(), r#"{"value": "v"}"#),
        ("POST", "/v1/secrets/id/A/delete".to_owned(), ""),
    ] {
        call(&backend, method, &path, body).await.refused(404);
    }
    call(&backend, "POST", &path(""), "{}").await.refused(405);
    call(&backend, "POST", &path("/update"), "{}").await.refused(400);
    assert_eq!(call(&backend, "POST", &path("/delete"), "").await.with_members(&SECRET_VIEW)["name"], "A");
    call(&backend, "GET", &path(""), "").await.refused(404);
}

#[tokio::test]
async fn everything_is_still_there_after_a_restart() {
    let (folder, backend) = new_backend();
    let created = create_secret(&backend, "KEPT").await;
    let minted = call(&backend, "POST", "/v1/apikeys", "").await.json();
    let key = root(&backend);
    drop(backend);
    let reopened = embedded::open(&options(folder.path())).unwrap();
    assert_eq!(root(&reopened), key);
    assert_eq!(fs::read_to_string(reopened.root_key_path()).unwrap().trim(), key);
    let found = call_as(&reopened, minted["key_secret"].as_str().unwrap(), "GET", "/v1/secrets/KEPT", "").await;
    assert_eq!(found.json(), created);
}

#[tokio::test]
async fn of_twenty_creations_of_one_name_one_succeeds() {
    let (folder, one) = new_backend();
    let other = embedded::open(&options(folder.path())).unwrap();
    let creations = (0..20).map(|at| {
        let backend = if at % 2 == 0 { one.clone() } else { other.clone() };
        tokio::spawn(async move { call(&backend, "POST", "/v1/secrets", r#"{"name": "N", "value": "v"}"#).await })
    });
    let mut created = 0;
    for creation in creations.collect::<Vec<_>>() {
        let answer = creation.await.unwrap();
        if answer.status == 200 {
            created += 1;
        } else {
            assert!(answer.refused(400).contains("already exists"));
        }
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn lists_are_newest_first_and_count_right_for_every_limit() {
    let (folder, backend) = new_backend();
    let other = embedded::open(&options(folder.path())).unwrap();
    for at in 0..23 {
        create_secret(if at % 2 == 0 { &backend } else { &other }, &format!("S{at:02}")).await;
    }
    let newest: Vec<String> = (0..23).rev().map(|at| format!("S{at:02}")).collect();
    for (query, length) in
        [("", 20), ("?limit=", 20), ("?limit=1", 1), ("?limit=22", 22), ("?limit=23", 23), ("?limit=9999", 23)]
    {
        let list = call(&backend, "GET", &format!("/v1/secrets{query}"), "").await;
        let list = list.with_members(&["secrets", "has_more", "total_count"]);
        let secrets = list["secrets"].as_array().unwrap();
        let names: Vec<&str> = secrets.iter().map(|secret| secret["name"].as_str().unwrap()).collect();
        assert_eq!(names, newest[..length], "{query}");
        assert!(secrets.is_sorted_by(|one, next| one["id"].as_str() > next["id"].as_str()));
        assert_eq!(list["has_more"], length < 23, "{query}");
        assert_eq!(list["total_count"], 23, "{query}");
    }
    for query in ["?limit=0", "?limit=-1", "?limit=x", "?limit=1.5"] {
        let message = call(&backend, "GET", &format!("/v1/secrets{query}"), "").await.refused(400);
        assert!(message.contains("`limit`"), "{message}");
    }
}

#[tokio::test]
async fn names_stay_whole_in_the_path_and_route_words_are_names_too() {
    let (_folder, backend) = new_backend();
    for name in ["id", "delete", "secrets"] {
        create_secret(&backend, name).await;
        let path = format!("/v1/secrets/{name}");
        assert_eq!(call(&backend, "GET", &path, "").await.json()["name"], name);
        assert_eq!(call(&backend, "POST", &path, r#"{"value": "x"}"#).await.json()["name"], name);
        assert_eq!(call(&backend, "POST", &format!("{path}/delete"), "").await.json()["name"], name);
    }
    create_secret(&backend, "A-B_1").await;
    assert_eq!(call(&backend, "GET", "/v1/secrets/%41%2DB_1", "").await.json()["name"], "A-B_1");
    for (path, shown) in [
        ("/v1/secrets/..", "`..`"),
        ("/v1/secrets/%2e%2e%2Fapikeys", "`../apikeys`"),
        ("/v1/secrets/%2541", "`%41`"),
        ("/v1/secrets/A-B_1%00", "`A-B_1\0`"),
        ("/v1/secrets/%zz", "`%zz`"),
    ] {
        let message = call(&backend, "GET", path, "").await.refused(404);
        assert!(message.contains(shown), "{path}: {message}");
    }
    call(&backend, "GET", "/v1/secrets/%ff", "").await.refused(400);
    for path in ["/v1/secrets/", "/v1/secrets//", "/v1/secrets/A/B", "/v1/secrets/../apikeys", "/v1//secrets", "/"] {
        call(&backend, "GET", path, "").await.refused(404);
    }
}

#[tokio::test]
async fn keys_are_minted_with_exactly_the_published_members() {
    let (_folder, backend) = new_backend();
    for body in ["", "{}", r#"{"expires_at_ms": null, "name": null}"#, r#"{"extra": true}"#] {
        let answer = call(&backend, "POST", "/v1/apikeys", body).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        let minted = answer.with_members(&["id", "key_secret", "expires_at_ms"]);
        assert!(minted["key_secret"].as_str().unwrap().starts_with("ak_"));
        assert_eq!(minted["expires_at_ms"], Value::Null);
    }
    let body = json!({ "name": "ci", "expires_at_ms": NOW_MS + 1 }).to_string();
    let minted = call(&backend, "POST", "/v1/apikeys", &body).await;
    let minted = minted.with_members(&["id", "name", "key_secret", "expires_at_ms"]);
    assert_eq!((&minted["name"], &minted["expires_at_ms"]), (&json!("ci"), &json!(NOW_MS + 1)));

    let scopes = json!([
        { "resource_type": "RESOURCE_TYPE_REPO_CONNECTIONS", "access_level": "ACCESS_LEVEL_WRITE" },
        { "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_NONE" },
        { "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ" },
    ]);
    let body = json!({ "name": "agent", "scopes": scopes }).to_string();
    let answer = call(&backend, "POST", "/v1/restricted_keys", &body).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let minted = answer.with_members(&["id", "name", "key_secret", "scopes", "expires_at_ms"]);
    assert!(minted["key_secret"].as_str().unwrap().starts_with("rk_"));
    assert_eq!(minted["scopes"], scopes);
    let bare = call(&backend, "POST", "/v1/restricted_keys", "").await;
    assert_eq!(bare.with_members(&["id", "key_secret", "scopes", "expires_at_ms"])["scopes"], json!([]));
}

#[tokio::test]
async fn a_key_works_until_its_expiry_and_not_at_it() {
    let (folder, backend) = new_backend();
    let body = json!({ "expires_at_ms": NOW_MS + 1000 }).to_string();
    let key = call(&backend, "POST", "/v1/apikeys", &body).await.json()["key_secret"].as_str().unwrap().to_owned();
    for (elapsed, status) in [(0, 200), (999, 200), (1000, 401), (5000, 401)] {
        let then = Options { clock: Clock::Fixed(NOW_MS + elapsed), ..options(folder.path()) };
        let answer = call_as(&embedded::open(&then).unwrap(), &key, "GET", "/v1/accounts/me", "").await;
        assert_eq!(answer.status, status, "{elapsed}");
    }
    for past in [NOW_MS, NOW_MS - 1, 0, -1, i64::MIN] {
        for path in ["/v1/apikeys", "/v1/restricted_keys"] {
            let message =
                call(&backend, "POST", path, &json!({ "expires_at_ms": past }).to_string()).await.refused(400);
            assert!(message.contains("`expires_at_ms`"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_restricted_key_may_do_what_its_scopes_grant() {
    let (_folder, backend) = new_backend();
    create_secret(&backend, "HIDDEN").await;
    let account = |level: &str| json!([{ "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": level }]);
    let others = json!([{ "resource_type": "RESOURCE_TYPE_DEVBOXES", "access_level": "ACCESS_LEVEL_WRITE" }]);
    let cases = [
        (json!([]), 403, 403),
        (others, 403, 403),
        (account("ACCESS_LEVEL_NONE"), 403, 403),
        (account("ACCESS_LEVEL_READ"), 200, 403),
        (account("ACCESS_LEVEL_WRITE"), 200, 200),
    ];
    let reads =
        [("/v1/accounts/me", 200), ("/v1/secrets", 200), ("/v1/secrets/HIDDEN", 200), ("/v1/secrets/NONE", 404)];
    let writes = [
        ("/v1/apikeys", "{}", 200),
        ("/v1/restricted_keys", "{}", 200),
        ("/v1/secrets", "not json", 400),
        ("/v1/secrets/HIDDEN", r#"{"value": "x"}"#, 200),
        ("/v1/secrets/NONE", r#"{"value": "x"}"#, 404),
        ("/v1/secrets/NONE/delete", "", 404),
    ];
    for (scopes, may_read, may_write) in cases {
        let body = json!({ "scopes": scopes }).to_string();
        let minted = call(&backend, "POST", "/v1/restricted_keys", &body).await.json();
        let key = minted["key_secret"].as_str().unwrap();
        for (path, granted) in reads {
            let expected = if may_read == 200 { granted } else { may_read };
            assert_eq!(call_as(&backend, key, "GET", path, "").await.status, expected, "{scopes} {path}");
        }
        for (path, body, granted) in writes {
            let expected = if may_write == 200 { granted } else { may_write };
            let answer = call_as(&backend, key, "POST", path, body).await;
            assert_eq!(answer.status, expected, "{scopes} {path}");
            if expected == 403 {
                assert!(answer.refused(403).contains("RESOURCE_TYPE_ACCOUNT"));
            }
        }
    }
}

#[tokio::test]
async fn without_a_valid_key_nothing_tells_what_exists() {
    let (_folder, backend) = new_backend();
    create_secret(&backend, "THERE").await;
    let root = root(&backend);
    let credentials = [
        None,
        Some("Bearer".to_owned()),
        Some(format!("Basic {root}")),
        Some("Bearer ak_wrong".to_owned()),
        Some(root),
    ];
    for credential in credentials {
        let mut texts = HashSet::new();
        for (method, path, body) in [
            ("GET", "/v1/secrets/THERE", "".to_owned()),
            ("GET", "/v1/secrets/NOWHERE", "".to_owned()),
            ("POST", "/v1/secrets", "{".to_owned()),
            ("POST", "/v1/secrets", "x".repeat(2 << 20)),
            ("PUT", "/v1/secrets", "".to_owned()),
            ("GET", "/v1/nothing", "".to_owned()),
            ("GET", "/v1/secrets?key=ak_wrong", "".to_owned()),
        ] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(credential) = &credential {
                request = request.header("authorization", credential);
            }
            let answer = send(&backend, request.body(Body::from(body)).unwrap()).await;
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            texts.insert(answer.refused(401));
        }
        assert_eq!(texts.len(), 1, "{credential:?}: {texts:?}");
    }
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer() {
    let (folder, backend) = new_backend();
    let secret = json!({ "name": "ONCE", "value": CANARY }).to_string();
    for (path, body, other_body) in [
        ("/v1/apikeys", "{}", r#"{"name": "x"}"#),
        ("/v1/restricted_keys", "", r#"{"scopes": []}"#),
        ("/v1/secrets", &secret, r#"{"name": "TWICE", "value": "v"}"#),
    ] {
        let ask = |id: &'static str, body: &str| {
            let mut request = request("POST", path, &root(&backend), body.to_owned());
            request.headers_mut().insert("x-request-id", id.parse().unwrap());
            let backend = backend.clone();
            tokio::spawn(async move { send(&backend, request).await })
        };
        let same: Vec<_> = (0..10).map(|_| ask("retry-1", body)).collect();
        let mut answers = HashSet::new();
        for answer in same {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 200, "{path} {}", answer.text);
            answers.insert(answer.text);
        }
        assert_eq!(answers.len(), 1, "{path}");
        let other = ask("retry-1", other_body).await.unwrap();
        assert_eq!(other.status, 200, "{path}");
        assert!(!answers.contains(&other.text), "{path}: another body never gets a stranger's answer");
        let again = ask("retry-2", body).await.unwrap();
        assert!(!answers.contains(&again.text), "{path}: another id runs the request");
        let refused = ask("retry-3", r#"{"name": 1}"#).await.unwrap();
        refused.refused(400);
    }
    let database = rusqlite::Connection::open(folder.path().join("keyglass.db")).unwrap();
    let count = |sql| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM keys WHERE kind = 'standard'"), 3);
    assert_eq!(count("SELECT count(*) FROM keys WHERE kind = 'restricted'"), 3);
    assert_eq!(count("SELECT count(*) FROM secrets"), 2);
}

#[tokio::test]
async fn another_key_never_gets_the_answer_of_a_request_id() {
    let (_folder, backend) = new_backend();
    let mint = |key: String| {
        let mut request = request("POST", "/v1/apikeys", &key, "{}");
        request.headers_mut().insert("x-request-id", "shared".parse().unwrap());
        request
    };
    let first = send(&backend, mint(root(&backend))).await.json()["key_secret"].as_str().unwrap().to_owned();
    let second = send(&backend, mint(first.clone())).await.json();
    assert_ne!(second["key_secret"], first);
}

#[tokio::test]
async fn wrong_bodies_are_refused_by_member_and_never_shown() {
    let (_folder, backend) = new_backend();
    create_secret(&backend, "S").await;
    let long_value = json!({ "name": "L", "value": "x".repeat(256 * 1024 + 1) }).to_string();
    let long_name = json!({ "name": "N".repeat(256), "value": "v" }).to_string();
    let cases = [
        ("/v1/secrets", "", "`name`"),
        ("/v1/secrets", "{}", "`name`"),
        ("/v1/secrets", r#"{"name": null, "value": "canary"}"#, "`name`"),
        ("/v1/secrets", r#"{"name": "A"}"#, "`value`"),
        ("/v1/secrets", r#"{"name": "A", "value": null}"#, "`value`"),
        ("/v1/secrets", r#"{"name": "A", "value": ["canary"]}"#, "`value`"),
        ("/v1/secrets", r#"{"name": "A B", "value": "canary"}"#, "`name`"),
        ("/v1/secrets", r#"{"name": "1A", "value": "canary"}"#, "`name`"),
        ("/v1/secrets", r#"{"name": "S", "value": "canary"}"#, "already exists"),
        ("/v1/secrets", r#"{"name": "A", "value": "canary"#, "JSON"),
        ("/v1/secrets", r#"["canary"]"#, "object"),
        ("/v1/secrets", r#"{"name": "A", "value": "canary", "value": "v"}"#, "stands twice"),
        ("/v1/secrets", r#"{"name": "A", "value": "v", "canary": 1, "c\u0061nary": 1}"#, "stands twice"),
        ("/v1/secrets", r#"{"name": "A", "value": "v", "x": [{"y": {"canary": 1, "canary": 1}}]}"#, "stands twice"),
        ("/v1/apikeys", r#"{"name": null, "name": "canary"}"#, "stands twice"),
        (
            "/v1/restricted_keys",
            r#"{"scopes": [{"resource_type": "RESOURCE_TYPE_ACCOUNT",
                "access_level": "ACCESS_LEVEL_NONE", "access_level": "ACCESS_LEVEL_WRITE"}]}"#,
            "stands twice",
        ),
        ("/v1/secrets", &long_value, "`value`"),
        ("/v1/secrets", &long_name, "`name`"),
        ("/v1/secrets/S", "", "`value`"),
        ("/v1/secrets/S", r#"{"value": {"canary": 1}}"#, "`value`"),
        ("/v1/secrets/S/delete", "canary", "JSON"),
        ("/v1/secrets/S/delete", "[]", "object"),
        ("/v1/apikeys", "canary", "JSON"),
        ("/v1/apikeys", r#"{"name": 5}"#, "`name`"),
        ("/v1/apikeys", r#"{"expires_at_ms": "canary"}"#, "`expires_at_ms`"),
        ("/v1/apikeys", r#"{"expires_at_ms": 1.5}"#, "`expires_at_ms`"),
        ("/v1/restricted_keys", r#"{"scopes": "canary"}"#, "Invalid scopes. `scopes`"),
        ("/v1/restricted_keys", r#"{"scopes": {"canary": 1}}"#, "Invalid scopes. `scopes`"),
        ("/v1/restricted_keys", r#"{"scopes": [{"resource_type": "canary"}]}"#, "Invalid scopes."),
    ];
    for (path, body, expected) in cases {
        let message = call(&backend, "POST", path, body).await.refused(400);
        assert!(message.contains(expected), "{path} {body:.80}: {message}");
        assert!(!message.contains("canary"), "{path} {body:.80}: {message}");
    }
    assert_eq!(call(&backend, "GET", "/v1/secrets", "").await.json()["total_count"], 1);
    let longest = json!({ "name": "N".repeat(255), "value": "\n".repeat(256 * 1024) }).to_string();
    assert_eq!(call(&backend, "POST", "/v1/secrets", &longest).await.status, 200);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_at_once() {
    let (_folder, backend) = new_backend();
    for path in ["/v1/devboxes", "/v1/apikeys/key_1", "/v1/secrets/id/sec_1", "/v1/accounts", "/health", "/v2/secrets"]
    {
        call(&backend, "GET", path, "").await.refused(404);
    }
    call(&backend, "POST", "/v1/secrets/id/sec_1/update", r#"{"value": "x"}"#).await.refused(404);
    for (method, path, allowed) in [
        ("GET", "/v1/apikeys", "POST"),
        ("PUT", "/v1/secrets", "GET,HEAD,POST"),
        ("DELETE", "/v1/secrets/A", "GET,HEAD,POST"),
        ("GET", "/v1/secrets/A/delete", "POST"),
        ("OPTIONS", "/v1/accounts/me", "GET,HEAD"),
    ] {
        let answer = call(&backend, method, path, "").await;
        answer.refused(405);
        let mut found: Vec<&str> = answer.headers["allow"].to_str().unwrap().split(',').collect();
        found.sort_unstable();
        assert_eq!(found.join(","), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_not_served_is_named_with_what_is() {
    let (_folder, backend) = new_backend();
    let key = backend.root_key().expose_secret().to_owned();
    let long = "x".repeat(5_000);
    let many = "/a".repeat(2_000);
    let with_key = format!("/v1/devboxes/{key}");
    let after_key = format!("/v1/devboxes/{key}.json");
    let serves = "this backend serves API keys, restricted keys, secrets and accounts/me";
    for (method, path, words) in [
        ("GET", "/v1/devboxes", format!("there is no `GET /v1/devboxes`; {serves}")),
        ("GET", "/v1/v1/secrets", "`GET /v1/v1/secrets`; leave `/v1` out of the base URL".to_owned()),
        ("POST", "/secrets", "`POST /secrets`; put `/v1` before it".to_owned()),
        ("GET", "/runtools/v1/x", "serves `/runtools/v1/api-keys`".to_owned()),
        ("GET", "/runtype/v1/x", "serves `/runtype/v1/api-keys`".to_owned()),
        ("GET", with_key.as_str(), "`GET /v1/devboxes/…`".to_owned()),
        ("GET", after_key.as_str(), "`GET /v1/devboxes/…`".to_owned()),
        ("GET", "/v1/x%0Ay/z", "`GET /v1/…/z`".to_owned()),
        (long.as_str(), "/v1/x", "`… /v1/x`".to_owned()),
        ("GET", many.as_str(), "`GET /a/a/a/a/a/a/a/a/…`".to_owned()),
        ("PUT", "/v1/secrets", "`/v1/secrets` does not take `PUT`; it takes `".to_owned()),
        ("DELETE", "/v1/secrets/CANARY", "` does not take `DELETE`; it takes `".to_owned()),
        ("POST", "/v1/secrets/id/sec_1", "`/v1/secrets/id/{id}` does not take `POST`; it takes `GET`".to_owned()),
    ] {
        let answer = call(&backend, method, path, "").await;
        assert!(matches!(answer.status, 404 | 405), "{path}: {}", answer.text);
        let json = answer.json();
        let message = match &json["error"] {
            Value::String(message) => message.as_str(),
            Value::Object(error) => error["message"].as_str().expect("a message"),
            _ => json["message"].as_str().expect("a message"),
        };
        assert!(message.contains(&words), "{path}: {message}");
        assert!(message.len() < 250 && !message.contains(&key) && !message.contains("CANARY"), "{path}: {message}");
    }
}

#[tokio::test]
async fn the_account_is_the_same_at_every_call() {
    let (_folder, backend) = new_backend();
    let account = call(&backend, "GET", "/v1/accounts/me", "").await;
    let account = account.with_members(&["id", "name", "account_status", "tier", "created_at", "billing"]);
    assert_eq!(account["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(account["billing"], json!({ "account_billing_type": "UNRECOGNIZED" }));
    assert_eq!(call(&backend, "GET", "/v1/accounts/me", "").await.json(), account);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// one thread, so that everything but SQLite's own thread logs to this test's subscriber
#[tokio::test(flavor = "current_thread")]
async fn no_value_and_no_key_is_in_files_answers_logs_or_debug_texts() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // While there is one subscriber alone, the library asks that of the thread that comes by first, which may be another
    // test's, and remembers that nobody wants to know.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let (folder, backend) = new_backend();
    create_secret(&backend, "S").await;
    let mut answers = String::new();
    for (path, body) in [
        ("/v1/secrets/S", json!({ "value": CANARY }).to_string()),
        ("/v1/secrets", json!({ "name": "S", "value": CANARY }).to_string()),
        ("/v1/secrets", json!({ "name": "bad name", "value": CANARY }).to_string()),
        ("/v1/secrets/NONE", json!({ "value": CANARY }).to_string()),
        ("/v1/apikeys", json!({ "expires_at_ms": CANARY }).to_string()),
    ] {
        answers += &call(&backend, "POST", path, &body).await.text;
    }
    answers += &call(&backend, "GET", "/v1/secrets", "").await.text;
    assert!(!answers.contains(CANARY), "{answers}");
    let minted = call(&backend, "POST", "/v1/restricted_keys", "").await.json()["key_secret"].clone();
    let minted = minted.as_str().unwrap();
    let root = root(&backend);
    let master = fs::read_to_string(folder.path().join("master.key")).unwrap();

    let mut files = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(CANARY) && !holds(minted), "{name}");
        assert_eq!(holds(&root), name == "root.key", "{name}");
        assert_eq!(holds(master.trim()), name == "master.key", "{name}");
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600, "{name}");
        files.push(name);
    }
    files.sort();
    assert_eq!(files, ["keyglass.db", "keyglass.db-shm", "keyglass.db-wal", "master.key", "root.key", "turn.lock"]);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("root key written") && log.contains("API key made"), "{log}");
    let texts = format!("{log} {backend:?} {:?}", options(folder.path()));
    for secret in [CANARY, minted, &root, master.trim()] {
        assert!(!texts.contains(secret), "{texts}");
    }
}

#[test]
fn processes_that_start_at_once_on_an_empty_folder_share_one_root_key() {
    for _ in 0..3 {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new").join("data");
        let barrier = Barrier::new(8);
        let opened: Vec<Embedded> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                embedded::open(&Options { clock: Clock::System, patience: Duration::from_secs(60), ..options(&folder) })
            };
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().unwrap().unwrap()).collect()
        });
        let keys: HashSet<String> = opened.iter().map(root).collect();
        assert_eq!(keys.len(), 1);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&folder).unwrap()) & 0o777, 0o700);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            create_secret(&opened[0], "SHARED").await;
            for backend in &opened {
                assert_eq!(call(backend, "GET", "/v1/secrets/SHARED", "").await.status, 200);
            }
        });
        let leftovers: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_str().unwrap().starts_with('.'))
            .collect();
        assert!(leftovers.is_empty(), "{leftovers:?}");
    }
}

#[tokio::test]
async fn a_missing_root_key_file_is_made_anew_and_the_old_key_is_void() {
    let (folder, backend) = new_backend();
    let old = root(&backend);
    create_secret(&backend, "KEPT").await;
    fs::remove_file(backend.root_key_path()).unwrap();
    let reopened = embedded::open(&options(folder.path())).unwrap();
    assert_ne!(root(&reopened), old);
    call_as(&reopened, &old, "GET", "/v1/secrets/KEPT", "").await.refused(401);
    assert_eq!(call(&reopened, "GET", "/v1/secrets/KEPT", "").await.status, 200);
}

#[tokio::test]
async fn a_root_key_file_without_its_database_is_taken_up_again() {
    let (folder, backend) = new_backend();
    let old = root(&backend);
    let elsewhere = tempfile::tempdir().unwrap();
    for file in ["master.key", "root.key"] {
        fs::copy(folder.path().join(file), elsewhere.path().join(file)).unwrap();
    }
    let fresh = embedded::open(&options(elsewhere.path())).unwrap();
    assert_eq!(call_as(&fresh, &old, "GET", "/v1/accounts/me", "").await.status, 200);
}

#[cfg(unix)]
#[test]
fn key_files_that_others_can_read_are_closed() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, _backend) = new_backend();
    let files = ["master.key", "root.key", "keyglass.db"].map(|name| folder.path().join(name));
    for file in &files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    embedded::open(&options(folder.path())).unwrap();
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

/// Opens a folder that was opened once and then changed.
fn reopen(change: impl FnOnce(&Path)) -> (TempDir, OpenError) {
    let (folder, backend) = new_backend();
    change(folder.path());
    drop(backend);
    let error = embedded::open(&options(folder.path())).unwrap_err();
    (folder, error)
}

/// Opens a folder with a master key and this database.
fn open_over(prepare: impl FnOnce(&Path)) -> (TempDir, OpenError) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("master.key"), "ab".repeat(32)).unwrap();
    prepare(&folder.path().join("keyglass.db"));
    let error = embedded::open(&options(folder.path())).unwrap_err();
    (folder, error)
}

#[test]
fn a_start_that_cannot_be_is_refused_with_one_line_that_names_the_file() {
    let sql = |statements: &'static str| {
        move |database: &Path| rusqlite::Connection::open(database).unwrap().execute_batch(statements).unwrap()
    };
    let cases = [
        (reopen(|folder| fs::remove_file(folder.join("master.key")).unwrap()), "MasterKeyMissing", "master.key"),
        (
            reopen(|folder| fs::write(folder.join("master.key"), "ab".repeat(32)).unwrap()),
            "MasterKeyMismatch",
            "master.key",
        ),
        (reopen(|folder| fs::write(folder.join("master.key"), "short").unwrap()), "KeyFileInvalid", "master.key"),
        (reopen(|folder| fs::write(folder.join("master.key"), [0xff; 9]).unwrap()), "KeyFileInvalid", "master.key"),
        (reopen(|folder| fs::write(folder.join("root.key"), "").unwrap()), "KeyFileInvalid", "root.key"),
        (
            reopen(|folder| fs::write(folder.join("root.key"), format!("ak_{}", "x".repeat(43))).unwrap()),
            "RootKeyMismatch",
            "root.key",
        ),
        (open_over(|database| fs::write(database, "not a database ".repeat(50)).unwrap()), "Foreign", "keyglass.db"),
        (open_over(sql("CREATE TABLE t (x)")), "Foreign", "keyglass.db"),
        (open_over(sql("PRAGMA application_id = 7")), "Foreign", "keyglass.db"),
        (open_over(sql("PRAGMA application_id = 0x6b79676c; PRAGMA user_version = 99")), "Newer", "keyglass.db"),
        (open_over(|database| fs::create_dir(database).unwrap()), "File", "keyglass.db"),
    ];
    for ((folder, error), kind, file) in cases {
        let text = error.to_string();
        assert!(format!("{error:?}").starts_with(kind), "{kind}: {error:?}");
        assert!(text.contains(&format!("{file}`")), "{kind}: {text}");
        assert!(!text.contains('\n') && !text.contains("abab") && !text.contains("xxxx"), "{kind}: {text}");
        drop(folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = embedded::open(&options(&path)).unwrap_err();
        assert!(matches!(error, OpenError::Folder { .. }), "{error:?}");
        assert!(error.to_string().contains("file"), "{error}");
    }
}

#[test]
fn a_foreign_database_is_left_as_it_was() {
    let (folder, _) = open_over(|database| {
        rusqlite::Connection::open(database).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    });
    let database = rusqlite::Connection::open(folder.path().join("keyglass.db")).unwrap();
    let mode: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
}

#[test]
fn a_database_that_stays_locked_is_named() {
    let (folder, backend) = new_backend();
    let other = rusqlite::Connection::open(folder.path().join("keyglass.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hasty = Options { patience: Duration::from_millis(50), ..options(folder.path()) };
    let error = embedded::open(&hasty).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(embedded::open(&hasty).is_ok());
    drop(backend);
}

#[tokio::test]
async fn one_port_speaks_http_1_and_http_2_without_tls() {
    let (_folder, backend) = new_backend();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = backend.clone();
    let server =
        tokio::spawn(async move { embedded::serve(&served, listener, None, async { drop(stopped.await) }).await });
    let (one, two) = (reqwest::Client::builder().http1_only(), reqwest::Client::builder().http2_prior_knowledge());
    for (client, version) in [(one, http::Version::HTTP_11), (two, http::Version::HTTP_2)] {
        let client = client.no_proxy().build().unwrap();
        let calls = (0..8).map(|_| {
            tokio::spawn(client.get(format!("http://{address}/v1/accounts/me")).bearer_auth(root(&backend)).send())
        });
        for call in calls.collect::<Vec<_>>() {
            let answer = call.await.unwrap().unwrap();
            assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        }
        let name = format!("V{}", usize::from(version == http::Version::HTTP_2));
        let body = json!({ "name": name, "value": "x".repeat(200_000) }).to_string();
        let made = client.post(format!("http://{address}/v1/secrets")).bearer_auth(root(&backend)).body(body);
        assert_eq!(made.send().await.unwrap().status(), StatusCode::OK);
    }
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_connection_is_still_good_after_a_body_that_was_too_large() {
    let (_folder, backend) = new_backend();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    serve(&backend, listener);
    let head = |line: &str, length: usize| {
        format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\n\r\n",
            root(&backend)
        )
    };
    for (line, length, status) in [
        ("POST /v1/secrets", 3 << 20, "413"),
        ("POST /v1/secrets", (1 << 20) + 1, "413"),
        ("POST /v1/secrets", 1 << 20, "400"),
        ("GET /v1/accounts/me", 0, "200"),
    ] {
        stream.write_all(head(line, length).as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; length]).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{line} {length}: connection closed");
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {length}: {answer}");
    }
}

fn hostile_path() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("v1"),
        Just("secrets"),
        Just("apikeys"),
        Just("restricted_keys"),
        Just("accounts"),
        Just("me"),
        Just("delete"),
        Just("id"),
        Just("S"),
        Just(".."),
        Just("."),
        Just(""),
        Just("%2F"),
        Just("%2e%2e"),
        Just("%00"),
        Just("%ff%fe"),
        Just("%"),
        Just("%C3%A4"),
        Just("{name}"),
        Just("*"),
    ]
    .prop_map(str::to_owned);
    let segment = prop_oneof![4 => word, 1 => "[!-~]{0,12}"];
    let known = prop_oneof![Just("/v1/secrets/S"), Just("/v1/secrets/"), Just("/v1"), Just("")];
    (known, prop::collection::vec(segment, 0..5), prop::option::of("(limit=)?[!-~]{0,12}")).prop_map(
        |(start, segments, query)| {
            let path = segments.iter().fold(start.to_owned(), |path, segment| format!("{path}/{segment}"));
            query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"))
        },
    )
}

fn hostile_body() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[A-Z]{1,3}".prop_map(Value::from),
        Just(json!([{ "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_WRITE" }])),
        Just(json!([[[{}]]])),
    ];
    let member = prop_oneof![Just("name"), Just("value"), Just("scopes"), Just("expires_at_ms"), Just("other")];
    let object = prop::collection::vec((member, scalar), 0..5)
        .prop_map(|members| {
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>()
        })
        .prop_map(|members| Value::Object(members).to_string().into_bytes());
    prop_oneof![4 => object, 1 => prop::collection::vec(any::<u8>(), 0..200), 1 => Just(Vec::new())]
}

#[test]
fn hostile_requests_get_json_and_never_a_server_error() {
    let (_folder, backend) = new_backend();
    let key = root(&backend);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let method = prop_oneof![
        3 => Just("GET"), 3 => Just("POST"), 1 => Just("PUT"), 1 => Just("DELETE"), 1 => Just("PATCH"),
        1 => Just("OPTIONS"), 1 => Just("TRACE"), 1 => Just("STRANGE"),
    ];
    let request_id = prop::option::of(prop::collection::vec(0x21_u8..=0xff, 0..40));
    proptest!(ProptestConfig::with_cases(400), |(
        method in method, path in hostile_path(), body in hostile_body(), request_id in request_id
    )| {
        let mut builder = Request::builder().method(method).uri(&path).header("authorization", format!("Bearer {key}"));
        if let Some(id) = request_id.and_then(|id| http::HeaderValue::from_bytes(&id).ok()) {
            builder = builder.header("x-request-id", id);
        }
        let Ok(request) = builder.body(Body::from(body)) else { return Err(TestCaseError::reject("no URI")) };
        let answer = runtime.block_on(send(&backend, request));
        prop_assert!(answer.status < 500 && answer.status != 409 && answer.status != 408, "{} {path}", answer.status);
        prop_assert!(answer.json().is_object(), "{path}: {}", answer.text);
        prop_assert_eq!(answer.status >= 400, answer.json()["message"].is_string(), "{}", answer.text);
    });
}
