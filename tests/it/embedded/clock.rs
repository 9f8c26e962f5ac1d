//! A machine's clock that is set back between requests, and ahead.

use keyglass::{
    backend::embedded::{Limits, Rate},
    clock::ManualClock,
};

use super::*;
use crate::support::within;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A backend whose clock the test sets.
fn with_clock(limits: Limits) -> (TempDir, Embedded, &'static ManualClock) {
    let folder = tempfile::tempdir().unwrap();
    let clock: &ManualClock = Box::leak(Box::new(ManualClock::at(NOW_MS)));
    let options = Options { clock: Clock::Manual(clock), limits, ..options(folder.path()) };
    let backend = embedded::open(&options).unwrap();
    (folder, backend, clock)
}

async fn mint(backend: &Embedded, body: Value) -> (String, String) {
    let made = call(backend, "POST", "/v1/apikeys", &body.to_string()).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let made = made.json();
    (made["id"].as_str().unwrap().to_owned(), made["key_secret"].as_str().unwrap().to_owned())
}

async fn status_with(backend: &Embedded, key: &str) -> u16 {
    call_as(backend, key, "GET", "/v1/accounts/me", "").await.status
}

async fn names(backend: &Embedded) -> Vec<String> {
    let list = call(backend, "GET", "/v1/secrets", "").await.json();
    let secrets = list["secrets"].as_array().unwrap();
    assert!(secrets.is_sorted_by(|one, next| one["id"].as_str() > next["id"].as_str()), "{secrets:?}");
    for secret in secrets {
        assert!(secret["update_time_ms"].as_i64() >= secret["create_time_ms"].as_i64(), "{secret}");
    }
    secrets.iter().map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn ids_sort_by_creation_and_no_update_is_older_than_its_creation() {
    let (folder, backend, clock) = with_clock(Limits::default());
    create_secret(&backend, "A").await;
    clock.set_ahead(-5 * HOUR_MS);
    let second = create_secret(&backend, "B").await;
    clock.pass(SECOND_MS);
    for name in ["A", "B"] {
        let updated = call(&backend, "POST", &format!("/v1/secrets/{name}"), r#"{"value": "new"}"#).await.json();
        assert_eq!(updated["update_time_ms"], NOW_MS + SECOND_MS, "time goes on from where it was");
    }
    assert_eq!(second["create_time_ms"], NOW_MS);
    assert_eq!(names(&backend).await, ["B", "A"]);

    // Started anew it takes the clock's time, which is hours behind what is stored.
    let anew = at(&folder, -5 * HOUR_MS).await;
    assert_eq!(create_secret(&anew, "C").await["create_time_ms"], NOW_MS - 5 * HOUR_MS);
    for name in ["A", "C"] {
        call(&anew, "POST", &format!("/v1/secrets/{name}"), r#"{"value": "new"}"#).await.with_members(&SECRET_VIEW);
    }
    assert_eq!(names(&anew).await, ["C", "B", "A"]);
    assert_eq!(names(&backend).await, ["C", "B", "A"], "the one with the other time sees the same");
}

#[tokio::test]
async fn an_expired_key_stays_expired_and_others_expire_when_they_should() {
    let (_folder, backend, clock) = with_clock(Limits::default());
    let (short_id, short) = mint(&backend, json!({ "expires_at_ms": NOW_MS + SECOND_MS })).await;
    let (_, long) = mint(&backend, json!({ "expires_at_ms": NOW_MS + HOUR_MS })).await;
    clock.pass(2 * SECOND_MS);
    assert_eq!((status_with(&backend, &short).await, status_with(&backend, &long).await), (401, 200));
    clock.set_ahead(-5 * HOUR_MS);
    assert_eq!((status_with(&backend, &short).await, status_with(&backend, &long).await), (401, 200));
    for (state, listed) in [("expired", true), ("active", false)] {
        let list = call(&backend, "GET", &format!("/keyglass/v1/keys?state={state}"), "").await;
        assert_eq!(list.text.contains(&short_id), listed, "{state}: {}", list.text);
    }
    let rotation = call(&backend, "POST", &format!("/keyglass/v1/keys/{short_id}/rotate"), "").await;
    assert!(rotation.refused(400).contains("expired"));
    clock.pass(59 * MINUTE_MS);
    assert_eq!(status_with(&backend, &long).await, 200);
    clock.pass(MINUTE_MS);
    assert_eq!(status_with(&backend, &long).await, 401, "an hour has passed, whatever the clock says");
    // Set right again, and ahead.
    clock.set_ahead(5 * HOUR_MS);
    let (_, other) = mint(&backend, json!({ "expires_at_ms": NOW_MS + 3 * HOUR_MS })).await;
    assert_eq!(status_with(&backend, &other).await, 200);
    clock.set_ahead(4 * HOUR_MS);
    assert_eq!(status_with(&backend, &other).await, 401);
}

#[tokio::test]
async fn a_rotated_key_has_its_grace_and_the_new_one_its_life() {
    let (_folder, backend, clock) = with_clock(Limits::default());
    let (id, old) = mint(&backend, json!({ "expires_at_ms": NOW_MS + 24 * HOUR_MS })).await;
    clock.pass(HOUR_MS);
    clock.set_ahead(-5 * HOUR_MS);
    let body = r#"{"grace_period_seconds": 60}"#;
    let rotated = call(&backend, "POST", &format!("/keyglass/v1/keys/{id}/rotate"), body).await;
    let rotated = rotated.with_members(&["key", "key_secret", "replaced"]);
    let new = rotated["key_secret"].as_str().unwrap();
    assert_eq!(rotated["key"]["expires_at_ms"], NOW_MS + 25 * HOUR_MS);
    assert_eq!((status_with(&backend, &old).await, status_with(&backend, new).await), (200, 200));
    clock.pass(MINUTE_MS);
    assert_eq!((status_with(&backend, &old).await, status_with(&backend, new).await), (401, 200));
    clock.set_ahead(-5 * HOUR_MS);
    assert_eq!((status_with(&backend, &old).await, status_with(&backend, new).await), (401, 200));
    clock.pass(24 * HOUR_MS);
    assert_eq!(status_with(&backend, new).await, 401);
}

#[tokio::test]
async fn nobody_is_locked_out_and_nobody_gets_more() {
    let rate = Rate { per_second: 1, burst: 3 };
    let (_folder, backend, clock) = with_clock(Limits { requests: rate, failures: rate, ..Limits::default() });
    let (_, key) = mint(&backend, json!({})).await;
    let statuses = async || (status_with(&backend, &key).await, status_with(&backend, "ak_guess").await);
    for _ in 0..3 {
        assert_eq!(statuses().await, (200, 401));
    }
    assert_eq!(statuses().await, (429, 429));
    clock.set_ahead(-5 * HOUR_MS);
    assert_eq!(statuses().await, (429, 429));
    clock.pass(SECOND_MS);
    assert_eq!(statuses().await, (200, 401), "a second has passed, whatever the clock says");
    assert_eq!(statuses().await, (429, 429));
    clock.set_ahead(5 * HOUR_MS);
    assert_eq!(statuses().await, (429, 429), "set right again nothing has passed");
}

#[tokio::test]
async fn an_answer_is_repeated_for_minutes_and_no_longer() {
    let (_folder, backend, clock) = with_clock(Limits::default());
    let ask = async || {
        let mut request = request("POST", "/v1/apikeys", &root(&backend), "{}");
        request.headers_mut().insert("x-request-id", "retry".parse().unwrap());
        send(&backend, request).await.json()["id"].clone()
    };
    let first = ask().await;
    clock.set_ahead(-5 * HOUR_MS);
    assert_eq!(ask().await, first);
    clock.pass(9 * MINUTE_MS);
    assert_eq!(ask().await, first);
    clock.pass(2 * MINUTE_MS);
    assert_ne!(ask().await, first);
}

#[tokio::test]
async fn the_last_use_of_a_key_never_gets_older() {
    let (folder, backend, clock) = with_clock(Limits::default());
    let (id, key) = mint(&backend, json!({})).await;
    let last_use = async |backend: &Embedded, id: &str, at_least: i64| {
        within(async {
            loop {
                // Written behind the answer.
                let key = call(backend, "GET", &format!("/keyglass/v1/keys/{id}"), "").await.json();
                match key["last_used_at_ms"].as_i64().filter(|last| *last >= at_least) {
                    Some(last) => return last,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await
    };
    status_with(&backend, &key).await;
    assert_eq!(last_use(&backend, &id, 0).await, NOW_MS);
    clock.set_ahead(-5 * HOUR_MS);
    clock.pass(2 * MINUTE_MS);
    status_with(&backend, &key).await;
    assert_eq!(last_use(&backend, &id, NOW_MS + 1).await, NOW_MS + 2 * MINUTE_MS);
    let anew = at(&folder, -5 * HOUR_MS).await;
    status_with(&anew, &key).await;
    // Uses are written one after the other: once a later one is there, so is this one.
    let (other_id, other) = mint(&anew, json!({})).await;
    status_with(&anew, &other).await;
    assert_eq!(last_use(&anew, &other_id, 0).await, NOW_MS - 5 * HOUR_MS);
    assert_eq!(last_use(&anew, &id, 0).await, NOW_MS + 2 * MINUTE_MS);
}
