//! Every answer of every operation, held against the schema in `schemas` that describes it: all operations, all codes
//! that each of them can give, and the headers that go with a code.
//!
//! A route without a case fails, and so does one that never gives a code of its case or gives another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::stream;
use keyglass::{
    backend::embedded::{Limits, Rate},
    http_server::SlowBody,
};
use regex::Regex;

use super::*;

/// An operation and what its answers are like.
struct Case {
    method: &'static str,
    template: &'static str,
    /// The status of a success.
    status: u16,
    /// The file and the definition in it that describe a success.
    schema: (&'static str, &'static str),
    /// Whether a success shows a key.
    shows_key: bool,
    /// What a key needs for it, besides being one.
    right: Right,
    /// What succeeds: bodies, or queries where the method has no body. `NEW` stands for a name that nobody has, `ID` for
    /// the id of a row.
    good: &'static [&'static str],
    /// What is refused with 400.
    wrong: &'static [&'static str],
    /// The codes of all its refusals.
    refusals: &'static [u16],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Nothing,
    Reading,
    Writing,
}

const READS_LIST: &[u16] = &[400, 401, 403, 405, 429, 500];
const READS_ONE: &[u16] = &[400, 401, 403, 404, 405, 429, 500];
const READS_FIXED: &[u16] = &[401, 403, 405, 429, 500];
const CREATES: &[u16] = &[400, 401, 403, 405, 413, 429, 500, 503];
const CHANGES: &[u16] = &[400, 401, 403, 404, 405, 413, 429, 500, 503];
const ENDS: &[u16] = &[400, 401, 403, 404, 405, 429, 500, 503];

const CASES: &[Case] = &[
    Case::new("POST", "/v1/apikeys", ("runloop-api-keys", "ApiKeyCreatedView"), Right::Writing, CREATES)
        .showing_a_key()
        .good(&[
            "",
            "{}",
            r#"{"name": null, "expires_at_ms": null}"#,
            r#"{"name": "c\u0000i Ä", "expires_at_ms": 1900000000000, "other": 1}"#,
        ])
        .wrong(&[
            r#"{"name": 5}"#,
            r#"{"expires_at_ms": "1"}"#,
            r#"{"expires_at_ms": 1.5}"#,
            r#"{"expires_at_ms": 1}"#,
        ]),
    Case::new(
        "POST",
        "/v1/restricted_keys",
        ("runloop-restricted-keys", "RestrictedKeyCreatedView"),
        Right::Writing,
        CREATES,
    )
    .showing_a_key()
    .good(&[
        "",
        r#"{"scopes": null}"#,
        r#"{"scopes": []}"#,
        r#"{"name": "a", "expires_at_ms": 1900000000000, "scopes": [
                {"resource_type": "RESOURCE_TYPE_REPO_CONNECTIONS", "access_level": "ACCESS_LEVEL_NONE"},
                {"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ", "other": 1}]}"#,
    ])
    .wrong(&[
        r#"{"name": 5}"#,
        r#"{"expires_at_ms": 1}"#,
        r#"{"scopes": "x"}"#,
        r#"{"scopes": [1]}"#,
        r#"{"scopes": [{}]}"#,
        r#"{"scopes": [{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_ALL"}]}"#,
    ]),
    Case::new("POST", "/v1/secrets", ("runloop-secrets", "Secret"), Right::Writing, CREATES)
        .good(&[r#"{"name": "NEW", "value": "v"}"#, r#"{"name": "NEW", "value": "", "other": 1}"#])
        .wrong(&[
            "",
            "{}",
            r#"{"name": "A"}"#,
            r#"{"name": "A", "value": null}"#,
            r#"{"name": "A", "value": 1}"#,
            r#"{"name": 1, "value": "v"}"#,
            r#"{"name": "A B", "value": "v"}"#,
        ]),
    Case::new("GET", "/v1/secrets", ("runloop-secrets", "SecretListView"), Right::Reading, READS_LIST)
        .good(&["", "?limit=", "?limit=1", "?limit=9999", "?other=1"])
        .wrong(&["?limit=0", "?limit=-1", "?limit=x"]),
    Case::new("GET", "/v1/secrets/{name}", ("runloop-secrets", "Secret"), Right::Reading, READS_ONE),
    Case::new("POST", "/v1/secrets/{name}", ("runloop-secrets", "Secret"), Right::Writing, CHANGES)
        .good(&[r#"{"value": "v"}"#])
        .wrong(&["", "{}", r#"{"value": null}"#, r#"{"value": 1}"#]),
    Case::new("POST", "/v1/secrets/{name}/delete", ("runloop-secrets", "Secret"), Right::Writing, CHANGES).good(&[
        "",
        "{}",
        r#"{"other": 1}"#,
    ]),
    Case::new("GET", "/v1/secrets/id/{id}", ("runloop-secrets", "Secret"), Right::Reading, READS_ONE),
    Case::new("POST", "/v1/secrets/id/{id}/update", ("runloop-secrets", "Secret"), Right::Writing, CHANGES)
        .good(&[r#"{"value": "v"}"#])
        .wrong(&["", "{}", r#"{"value": null}"#, r#"{"value": 1}"#]),
    Case::new("POST", "/v1/secrets/id/{id}/delete", ("runloop-secrets", "Secret"), Right::Writing, CHANGES)
        .good(&["", "{}"]),
    Case::new("GET", "/v1/accounts/me", ("runloop-accounts", "AccountView"), Right::Reading, READS_FIXED),
    Case::new("GET", "/runtools/v1/api-keys", ("runtools-api-keys", "ApiKeyListView"), Right::Reading, READS_LIST)
        .good(&["", "?limit=1", "?limit=9999", "?cursor=ID"])
        .wrong(&["?limit=0", "?limit=x", "?cursor=none"]),
    Case::new("POST", "/runtools/v1/api-keys", ("runtools-api-keys", "ApiKeyCreatedView"), Right::Writing, CREATES)
        .with_status(201)
        .showing_a_key()
        .good(&[
            r#"{"name": "k"}"#,
            r#"{"name": "k", "scopes": null, "expiresIn": null, "isTest": null, "projectId": null}"#,
            r#"{"name": "k", "scopes": ["org:read", "files:*"], "expiresIn": "90d", "isTest": true,
                "projectId": "0A1B2C3D-0000-4000-8000-00000000000F", "other": 1}"#,
        ])
        .wrong(&[
            "",
            "{}",
            r#"{"name": ""}"#,
            r#"{"name": 1}"#,
            r#"{"name": "k", "scopes": "*"}"#,
            r#"{"name": "k", "scopes": ["none"]}"#,
            r#"{"name": "k", "isTest": "true"}"#,
            r#"{"name": "k", "projectId": "x"}"#,
            r#"{"name": "k", "expiresIn": "1h"}"#,
            r#"{"name": "k", "expiresIn": "9000y"}"#,
        ]),
    Case::new(
        "GET",
        "/runtools/v1/api-keys/{id}",
        ("runtools-api-keys", "ApiKeyAnswerView"),
        Right::Reading,
        READS_ONE,
    ),
    Case::new(
        "PATCH",
        "/runtools/v1/api-keys/{id}",
        ("runtools-api-keys", "ApiKeyAnswerView"),
        Right::Writing,
        CHANGES,
    )
    .good(&[
        r#"{"name": "n"}"#,
        r#"{"scopes": ["org:read"], "projectId": "0a1b2c3d-0000-4000-8000-00000000000f"}"#,
        r#"{"projectId": null}"#,
    ])
    .wrong(&["", "{}", r#"{"name": ""}"#, r#"{"scopes": []}"#, r#"{"scopes": ["none"]}"#, r#"{"projectId": 1}"#]),
    Case::new("DELETE", "/runtools/v1/api-keys/{id}", ("runtools-api-keys", "ApiKeyAnswerView"), Right::Writing, ENDS),
    Case::new(
        "GET",
        "/runtype/v1/api-keys/options",
        ("runtype-api-keys", "ApiKeyOptionsView"),
        Right::Nothing,
        &[401, 405, 429, 500],
    ),
    Case::new("GET", "/runtype/v1/api-keys", ("runtype-api-keys", "ApiKeyListView"), Right::Reading, READS_FIXED)
        .good(&["", "?other=1"]),
    Case::new("POST", "/runtype/v1/api-keys", ("runtype-api-keys", "ApiKeyShownView"), Right::Writing, CREATES)
        .with_status(201)
        .showing_a_key()
        .good(&[
            r#"{"name": "k"}"#,
            r#"{"name": "k", "permissions": null, "expiresAt": null, "allowedIps": null, "environment": null}"#,
            r#"{"name": "k", "permissions": [], "environment": "production"}"#,
            r#"{"name": "k", "permissions": ["FLOWS:*", "*"], "expiresAt": "2027-02-01T01:00:00+01:00",
                "allowedIps": [], "environment": "test", "other": 1}"#,
        ])
        .wrong(&[
            "",
            "{}",
            r#"{"name": ""}"#,
            r#"{"name": 1}"#,
            r#"{"name": "k", "permissions": "*"}"#,
            r#"{"name": "k", "permissions": ["none"]}"#,
            r#"{"name": "k", "expiresAt": "soon"}"#,
            r#"{"name": "k", "expiresAt": "2020-01-01T00:00:00Z"}"#,
            r#"{"name": "k", "allowedIps": ["192.0.2.1"]}"#,
            r#"{"name": "k", "environment": "staging"}"#,
        ]),
    Case::new("GET", "/runtype/v1/api-keys/{id}", ("runtype-api-keys", "ApiKeyAnswerView"), Right::Reading, READS_ONE),
    Case::new("PUT", "/runtype/v1/api-keys/{id}", ("runtype-api-keys", "ApiKeyAnswerView"), Right::Writing, CHANGES)
        .good(&[
            "",
            "{}",
            r#"{"name": "n", "permissions": ["*"], "expiresAt": "2027-02-01T00:00:00Z", "allowedIps": []}"#,
            r#"{"permissions": [], "expiresAt": null}"#,
        ])
        .wrong(&[
            r#"{"name": ""}"#,
            r#"{"permissions": "*"}"#,
            r#"{"permissions": ["none"]}"#,
            r#"{"expiresAt": "2020-01-01T00:00:00Z"}"#,
            r#"{"allowedIps": ["192.0.2.1"]}"#,
        ]),
    Case::new("DELETE", "/runtype/v1/api-keys/{id}", ("runtype-api-keys", "ApiKeyAnswerView"), Right::Reading, ENDS),
    Case::new(
        "POST",
        "/runtype/v1/api-keys/{id}/regenerate",
        ("runtype-api-keys", "ApiKeyShownView"),
        Right::Writing,
        CHANGES,
    )
    .showing_a_key()
    .good(&["", "{}"]),
    Case::new("GET", "/keyglass/v1/keys", ("keyglass-keys", "KeyList"), Right::Reading, READS_LIST)
        .good(&[
            "",
            "?limit=1",
            "?limit=9999&state=all",
            "?state=active",
            "?state=expired",
            "?state=revoked",
            "?provider=runloop&starting_after=ID",
            "?provider=runtools",
            "?provider=runtype&state=all",
        ])
        .wrong(&["?limit=0", "?state=dead", "?provider=nobody", "?starting_after=none"]),
    Case::new("GET", "/keyglass/v1/keys/{id}", ("keyglass-keys", "Key"), Right::Reading, READS_ONE),
    Case::new("POST", "/keyglass/v1/keys/{id}/revoke", ("keyglass-keys", "Key"), Right::Writing, CHANGES)
        .good(&["", "{}"]),
    Case::new("POST", "/keyglass/v1/keys/{id}/rotate", ("keyglass-keys", "RotatedKey"), Right::Writing, CHANGES)
        .showing_a_key()
        .good(&["", "{}", r#"{"grace_period_seconds": 0, "expires_at_ms": 1900000000000}"#])
        .wrong(&[
            r#"{"grace_period_seconds": -1}"#,
            r#"{"grace_period_seconds": "1"}"#,
            r#"{"grace_period_seconds": 2592001}"#,
            r#"{"expires_at_ms": 1}"#,
        ]),
    Case::new("GET", "/keyglass/v1/secrets", ("keyglass-keys", "SecretList"), Right::Reading, READS_LIST)
        .good(&["", "?limit=1", "?expires_before_ms=9000000000000&limit=9999", "?expires_before_ms=-1"])
        .wrong(&["?limit=0", "?expires_before_ms=soon"]),
    Case::new("POST", "/keyglass/v1/secrets/{name}/expiry", ("keyglass-keys", "Secret"), Right::Writing, CHANGES)
        .good(&[r#"{"expires_at_ms": 1900000000000}"#, r#"{"expires_at_ms": null}"#])
        .wrong(&["", "{}", r#"{"expires_at_ms": 1}"#, r#"{"expires_at_ms": "soon"}"#]),
];

impl Case {
    const fn new(
        method: &'static str,
        template: &'static str,
        schema: (&'static str, &'static str),
        right: Right,
        refusals: &'static [u16],
    ) -> Self {
        Self { method, template, status: 200, schema, shows_key: false, right, good: &[""], wrong: &[], refusals }
    }

    const fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    const fn showing_a_key(self) -> Self {
        Self { shows_key: true, ..self }
    }

    const fn good(self, good: &'static [&'static str]) -> Self {
        Self { good, ..self }
    }

    const fn wrong(self, wrong: &'static [&'static str]) -> Self {
        Self { wrong, ..self }
    }

    fn surface(&self) -> Surface {
        Surface::of(self.template)
    }

    fn has_body(&self) -> bool {
        !matches!(self.method, "GET" | "DELETE")
    }

    fn has_parameter(&self) -> bool {
        self.template.contains('{')
    }

    fn writes(&self) -> bool {
        self.method != "GET"
    }

    /// Whether the operator gets rid of a damaged row by it.
    fn removes(&self) -> bool {
        self.template.ends_with("/delete") || self.template.ends_with("/revoke")
    }

    /// Whether it reads rows besides that of its caller's key.
    fn reads_rows(&self) -> bool {
        self.has_parameter() || matches!(self.schema.1, "SecretListView" | "ApiKeyListView" | "KeyList" | "SecretList")
    }

    /// The path, with this in the place of its parameter.
    fn path(&self, parameter: &str) -> String {
        match self.template.split_once('{') {
            None => self.template.to_owned(),
            Some((before, rest)) => format!("{before}{parameter}{}", rest.split_once('}').unwrap().1),
        }
    }

    /// The request with this input, which is a body or a query.
    fn request(&self, parameter: &str, key: &str, input: &str) -> Request<Body> {
        let path = self.path(parameter);
        if self.has_body() {
            request(self.method, &path, key, input.to_owned())
        } else {
            request(self.method, &format!("{path}{input}"), key, Body::empty())
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surface {
    Runloop,
    RunTools,
    Runtype,
    Keyglass,
}

impl Surface {
    const ALL: [Self; 4] = [Self::Runloop, Self::RunTools, Self::Runtype, Self::Keyglass];

    fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("runtools") => Self::RunTools,
            Some("runtype") => Self::Runtype,
            Some("keyglass") => Self::Keyglass,
            _ => Self::Runloop,
        }
    }

    /// A code of the backend in the words of this API.
    fn code(self, code: &'static str) -> &'static str {
        match (self, code) {
            (Self::RunTools, "invalid_request" | "body_timeout" | "too_large" | "method_not_allowed") => "bad_request",
            (Self::RunTools, "internal" | "damaged" | "busy" | "overdue") => "internal_error",
            (Self::RunTools, code) => code,
            (_, "invalid_token" | "token_expired") => "unauthorized",
            (_, code) => code,
        }
    }
}

/// What holds of all answers: JSON, and each header where it belongs and nowhere else.
#[track_caller]
fn assert_sound(answer: &Answer, shows_key: bool) {
    static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new("(ak|rk|rt_live|rt_test)_[0-9A-Za-z]{32}").unwrap());
    let Answer { status, headers, text } = answer;
    assert_eq!(headers["content-type"], "application/json", "{text}");
    assert_eq!(KEY.is_match(text), shows_key, "{text}");
    if shows_key {
        assert_eq!(headers["cache-control"], "no-store");
    }
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("www-authenticate"), (*status == 401).then_some("Bearer"), "{text}");
    assert_eq!(header("allow").is_some(), *status == 405, "{text}");
    assert_eq!(header("retry-after").is_some(), matches!(status, 429 | 503), "{text}");
    assert!(header("retry-after").is_none_or(|seconds| seconds.parse::<u32>().unwrap() > 0), "{headers:?}");
}

#[track_caller]
fn assert_refusal(surface: Surface, answer: &Answer, status: u16, code: &'static str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_sound(answer, false);
    let json = answer.json();
    assert_fits(&json, "embedded-errors", &format!("{surface:?}"));
    let found = if surface == Surface::RunTools { &json["error"]["code"] } else { &json["code"] };
    assert_eq!(found, surface.code(code), "{json}");
}

/// The codes that were given.
#[derive(Default)]
struct Seen(BTreeMap<(&'static str, &'static str), BTreeSet<u16>>);

impl Seen {
    #[track_caller]
    fn success(&mut self, case: &Case, answer: &Answer) {
        assert_eq!(answer.status, case.status, "{} {}: {}", case.method, case.template, answer.text);
        assert_sound(answer, case.shows_key);
        assert_fits(&answer.json(), case.schema.0, case.schema.1);
        self.note(case, answer);
    }

    /// A refusal that the client has to answer for: never one that clients repeat by themselves, but for 429, which says
    /// when.
    #[track_caller]
    fn mistake(&mut self, case: &Case, answer: &Answer, status: u16, code: &'static str) {
        assert!(!matches!(status, 408 | 409 | 500..), "clients repeat {status}");
        self.refusal(case, answer, status, code);
    }

    /// A refusal that the machine has to answer for.
    #[track_caller]
    fn refusal(&mut self, case: &Case, answer: &Answer, status: u16, code: &'static str) {
        assert_eq!(answer.status, status, "{} {}: {}", case.method, case.template, answer.text);
        assert_refusal(case.surface(), answer, status, code);
        self.note(case, answer);
    }

    fn note(&mut self, case: &Case, answer: &Answer) {
        self.0.entry((case.template, case.method)).or_default().insert(answer.status);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasts {
    ADay,
    ForEver,
}

/// A backend with rows in it.
struct World {
    folder: TempDir,
    backend: Embedded,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = Self::open(&folder, change);
        Self { folder, backend }
    }

    fn open(folder: &TempDir, change: impl FnOnce(&mut Options)) -> Embedded {
        let mut options = options(folder.path());
        let often = Rate { per_second: 1, burst: 1_000_000 };
        options.limits = Limits { requests: often, failures: often, ..Limits::default() };
        change(&mut options);
        embedded::open(&options).unwrap()
    }

    /// The same data with other options.
    fn reopened(&self, change: impl FnOnce(&mut Options)) -> Embedded {
        Self::open(&self.folder, change)
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("keyglass.db")).unwrap()
    }

    async fn made(&self, path: &str, body: &Value) -> Value {
        let answer = call(&self.backend, "POST", path, &body.to_string()).await;
        assert!(answer.status < 300, "{}", answer.text);
        answer.json()
    }

    /// A key of this API with these rights, for a day or for ever: its id and itself.
    async fn key(&self, surface: Surface, rights: &Value, lasts: Lasts) -> (String, String) {
        let (path, rights_member, [expiry_member, expiry], id, key) = match surface {
            Surface::Runloop | Surface::Keyglass => {
                let expiry = [json!("expires_at_ms"), json!(NOW_MS + DAY_MS)];
                ("/v1/restricted_keys", "scopes", expiry, "/id", "/key_secret")
            }
            Surface::RunTools => {
                ("/runtools/v1/api-keys", "scopes", [json!("expiresIn"), json!("1d")], "/data/id", "/data/key")
            }
            Surface::Runtype => {
                let expiry = [json!("expiresAt"), json!("2027-01-16T08:00:00Z")];
                ("/runtype/v1/api-keys", "permissions", expiry, "/apiKey/id", "/plainKey")
            }
        };
        let mut body = json!({ "name": "k", rights_member: rights });
        if lasts == Lasts::ADay {
            body[expiry_member.as_str().unwrap()] = expiry;
        }
        let made = self.made(path, &body).await;
        let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        (text(id), text(key))
    }

    /// A new row for an operation to be about: what stands for it in the path, or in a query.
    async fn row(&self, case: &Case) -> String {
        if case.template.contains("/secrets") {
            let name = new_name();
            let made = create_secret(&self.backend, &name).await;
            let expiry = json!({ "expires_at_ms": NOW_MS + DAY_MS });
            self.made(&format!("/keyglass/v1/secrets/{name}/expiry"), &expiry).await;
            return if case.template.contains("{id}") { made["id"].as_str().unwrap().to_owned() } else { name };
        }
        let rights = Rights::of(case.surface());
        self.key(case.surface(), &rights.nothing, Lasts::ADay).await.0
    }
}

fn new_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("S{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What keys of an API are given: the most, enough to read, and not enough for anything.
struct Rights {
    most: Value,
    reading: Value,
    nothing: Value,
}

impl Rights {
    fn of(surface: Surface) -> Self {
        let account = |level: &str| json!([{ "resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": level }]);
        let (most, reading, nothing) = match surface {
            Surface::Runloop | Surface::Keyglass => {
                (account("ACCESS_LEVEL_WRITE"), account("ACCESS_LEVEL_READ"), json!([]))
            }
            Surface::RunTools => (json!(["*"]), json!(["org:read"]), json!(["files:*"])),
            Surface::Runtype => (json!(["*"]), json!(["*"]), json!([])),
        };
        Self { most, reading, nothing }
    }
}

/// Keys of one API.
struct Keys {
    most: String,
    reading: String,
    nothing: String,
    for_a_day: String,
    revoked: String,
    /// A key of another API.
    foreign: String,
}

impl Keys {
    async fn of(world: &World, surface: Surface) -> Self {
        let rights = Rights::of(surface);
        let key = async |rights: &Value| world.key(surface, rights, Lasts::ForEver).await.1;
        let (id, revoked) = world.key(surface, &rights.most, Lasts::ForEver).await;
        world.made(&format!("/keyglass/v1/keys/{id}/revoke"), &json!({})).await;
        let other = if surface == Surface::RunTools { Surface::Runtype } else { Surface::RunTools };
        Self {
            most: key(&rights.most).await,
            reading: key(&rights.reading).await,
            nothing: key(&rights.nothing).await,
            for_a_day: world.key(surface, &rights.most, Lasts::ADay).await.1,
            revoked,
            foreign: world.key(other, &Rights::of(other).most, Lasts::ForEver).await.1,
        }
    }
}

/// When the keys that last for a day have expired.
fn later(options: &mut Options) {
    options.clock = Clock::Fixed(NOW_MS + 2 * DAY_MS);
}

#[tokio::test]
async fn every_operation_answers_as_its_schemas_say_with_every_code_it_has() {
    let name = |case: &Case| (case.template, case.method);
    let routes: BTreeSet<_> = embedded::operations().map(|(method, template)| (template, method.as_str())).collect();
    assert_eq!(CASES.iter().map(name).collect::<BTreeSet<_>>(), routes, "each route has its case");
    assert_eq!(CASES.len(), routes.len());

    let mut seen = Seen::default();
    let world = World::new();
    for surface in Surface::ALL {
        let keys = Keys::of(&world, surface).await;
        for case in CASES.iter().filter(|case| case.surface() == surface) {
            assert!(embedded::serves(&case.method.parse().unwrap(), case.template));
            successes(&mut seen, &world, case, &keys).await;
            mistakes_of_credentials(&mut seen, &world, case, &keys).await;
            mistakes_of_input(&mut seen, &world, case).await;
            mistakes_of_measure(&mut seen, &world, case, &keys).await;
        }
    }
    damage(&mut seen).await;
    refused_writes(&mut seen).await;
    locks(&mut seen).await;
    let expected = CASES.iter().map(|case| {
        let codes: BTreeSet<u16> = case.refusals.iter().copied().chain([case.status]).collect();
        (name(case), codes)
    });
    assert_eq!(seen.0, expected.collect());
}

async fn successes(seen: &mut Seen, world: &World, case: &Case, keys: &Keys) {
    let root = root(&world.backend);
    let callers = match case.right {
        Right::Writing if case.surface() == Surface::Runtype => vec![root.as_str()], // only persons may
        Right::Writing => vec![root.as_str(), &keys.most],
        Right::Reading => vec![root.as_str(), &keys.most, &keys.reading],
        Right::Nothing => vec![root.as_str(), &keys.most, &keys.nothing],
    };
    let later = world.reopened(later);
    for caller in callers {
        for input in case.good {
            let row = world.row(case).await;
            let input = input.replace("NEW", &new_name()).replace("ID", &row);
            let request = || {
                let mut request = case.request(&row, caller, &input);
                request.headers_mut().insert("x-request-id", row.parse().unwrap());
                request
            };
            let answer = send(&world.backend, request()).await;
            seen.success(case, &answer);
            if case.shows_key {
                let again = send(&world.backend, request()).await;
                seen.success(case, &again);
                assert_eq!(again.text, answer.text);
            }
            if case.method == "GET" {
                if caller == root {
                    seen.success(case, &send(&later, request()).await);
                }
                let mut head = request();
                *head.method_mut() = Method::HEAD;
                let answer = send(&world.backend, head).await;
                assert_eq!((answer.status, answer.text.as_str()), (case.status, ""));
                assert_sound(&answer, false);
            }
        }
    }
}

async fn mistakes_of_credentials(seen: &mut Seen, world: &World, case: &Case, keys: &Keys) {
    let row = world.row(case).await;
    let root = root(&world.backend);
    let with = |headers: &[(&'static str, String)]| {
        let mut request = case.request(&row, "", case.good[0]);
        request.headers_mut().clear();
        headers.iter().for_each(|(name, value)| {
            request.headers_mut().append(*name, value.parse().unwrap());
        });
        request
    };
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let mut malformed = vec![
        with(&[]),
        with(&[("authorization", "Bearer".to_owned())]),
        with(&[("authorization", format!("Basic {root}"))]),
        with(&[bearer(&root), bearer(&root)]),
    ];
    if case.surface() == Surface::RunTools {
        malformed.push(with(&[("x-api-key", String::new())]));
        malformed.push(with(&[("x-api-key", keys.most.clone()), bearer(&keys.most)]));
    }
    for request in malformed {
        seen.mistake(case, &send(&world.backend, request).await, 401, "unauthorized");
    }
    for key in ["ak_nobody", "rt_live_nobody", &keys.revoked, &keys.foreign] {
        let answer = send(&world.backend, case.request(&row, key, case.good[0])).await;
        seen.mistake(case, &answer, 401, "invalid_token");
    }
    let later = world.reopened(later);
    let answer = send(&later, case.request(&row, &keys.for_a_day, case.good[0])).await;
    seen.mistake(case, &answer, 401, "token_expired");

    let too_weak = match case.right {
        Right::Nothing => vec![],
        Right::Reading => vec![&keys.nothing],
        Right::Writing => vec![&keys.nothing, &keys.reading],
    };
    for key in too_weak {
        // Whoever may not do it is not told what is wrong with the request, nor whether the row is there.
        for (parameter, input) in [(row.as_str(), case.good[0]), (&row, "{"), ("none", case.good[0])] {
            let input = if case.has_body() { input } else { "" };
            seen.mistake(case, &send(&world.backend, case.request(parameter, key, input)).await, 403, "forbidden");
        }
    }
}

async fn mistakes_of_input(seen: &mut Seen, world: &World, case: &Case) {
    let (root, row) = (root(&world.backend), world.row(case).await);
    for input in case.wrong {
        let answer = send(&world.backend, case.request(&row, &root, input)).await;
        seen.mistake(case, &answer, 400, "invalid_request");
    }
    if case.has_body() {
        for input in ["{", "[]", "null", "\"x\"", "{}{}", "\u{feff}{}", "{\"a\": \"\\ud800\"}"] {
            let answer = send(&world.backend, case.request(&row, &root, input)).await;
            seen.mistake(case, &answer, 400, "invalid_request");
        }
        let broken = |error: axum::BoxError| {
            let chunks = stream::iter([Ok(bytes::Bytes::from_static(b"{")), Err(error)]);
            request(case.method, &case.path(&row), &root, Body::from_stream(chunks))
        };
        let answer = send(&world.backend, broken("the client went away".into())).await;
        seen.mistake(case, &answer, 400, "invalid_request");
        let answer = send(&world.backend, broken(SlowBody(Duration::from_secs(30)).into())).await;
        seen.mistake(case, &answer, 400, "body_timeout");
        assert_eq!(answer.headers["connection"], "close");
    }
    if case.has_parameter() {
        let answer = send(&world.backend, case.request("%ff", &root, case.good[0])).await;
        seen.mistake(case, &answer, 400, "invalid_request");
        // The key among them is not repeated in the answer.
        let mut others = vec!["none".to_owned(), "..".to_owned(), "%2e%2e%2fapikeys".to_owned(), root.clone()];
        if matches!(case.surface(), Surface::RunTools | Surface::Runtype) {
            // Keys of the other APIs, which the management alone knows as well.
            for surface in Surface::ALL.into_iter().filter(|surface| *surface != case.surface()) {
                others.push(world.key(surface, &Rights::of(surface).nothing, Lasts::ADay).await.0);
            }
        }
        for other in others {
            let answer = send(&world.backend, case.request(&other, &root, case.good[0])).await;
            seen.mistake(case, &answer, 404, "not_found");
        }
    }
    let served = |method: &str| {
        CASES.iter().any(|other| other.template == case.template && other.method == method)
            || method == "HEAD" && CASES.iter().any(|other| other.template == case.template && other.method == "GET")
    };
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "STRANGE"] {
        if served(method) {
            continue;
        }
        let answer = send(&world.backend, request(method, &case.path(&row), &root, "{")).await;
        if method == "HEAD" {
            // Never with a body (RFC 9110, section 9.3.2).
            assert_eq!((answer.status, answer.text.as_str()), (405, ""));
            assert_sound(&answer, false);
        } else {
            seen.mistake(case, &answer, 405, "method_not_allowed");
        }
        let allowed: Vec<&str> = answer.headers["allow"].to_str().unwrap().split(',').map(str::trim).collect();
        assert!(
            allowed.contains(&case.method) && !allowed.contains(&method),
            "{method} {}: {allowed:?}",
            case.template
        );
    }
}

/// Too much, and too often.
async fn mistakes_of_measure(seen: &mut Seen, world: &World, case: &Case, keys: &Keys) {
    let (root, row) = (root(&world.backend), world.row(case).await);
    let narrow = world.reopened(|options| options.limits.max_body_bytes = 1_000);
    if case.has_body() {
        for input in ["x".repeat(1_001), format!("{}{}", case.good[0], " ".repeat(1_001))] {
            seen.mistake(case, &send(&narrow, case.request(&row, &root, &input)).await, 413, "too_large");
        }
    } else {
        // A body that nobody asked for is nobody's mistake.
        let mut request = case.request(&row, &root, case.good[0]);
        *request.body_mut() = Body::from("x".repeat(1_001));
        seen.success(case, &send(&narrow, request).await);
    }
    let never = Rate { per_second: 1, burst: 0 };
    let stopped = world.reopened(|options| {
        options.limits = Limits { requests: never, failures: never, ..Limits::default() };
    });
    for key in [&root, &keys.most, &keys.nothing, &keys.revoked, "nobody"] {
        let answer = send(&stopped, case.request(&row, key, case.good[0])).await;
        seen.mistake(case, &answer, 429, "rate_limited");
    }
}

/// Rows that somebody else has changed: those of the callers' keys, and those that the calls are about.
async fn damage(seen: &mut Seen) {
    let world = World::new();
    let root = root(&world.backend);
    let mut rows = Vec::new();
    for case in CASES {
        let key = world.key(case.surface(), &Rights::of(case.surface()).most, Lasts::ForEver).await.1;
        rows.push((case, world.row(case).await, key));
    }
    let edits = "UPDATE keys SET name = 'edited' WHERE kind <> 'root'; UPDATE secrets SET expires_at_ms = 7";
    world.database().execute_batch(edits).unwrap();
    for (case, row, key) in rows {
        let answer = send(&world.backend, case.request(&row, &key, case.good[0])).await;
        seen.refusal(case, &answer, 500, "damaged");
        if case.reads_rows() {
            let answer = send(&world.backend, case.request(&row, &root, case.good[0])).await;
            if case.removes() { seen.success(case, &answer) } else { seen.refusal(case, &answer, 500, "damaged") }
        }
    }
    let edits = "PRAGMA foreign_keys = OFF; DELETE FROM accounts";
    world.database().execute_batch(edits).unwrap();
    let account = CASES.iter().find(|case| case.template == "/v1/accounts/me").unwrap();
    seen.refusal(account, &send(&world.backend, account.request("", &root, "")).await, 500, "internal");
}

/// A database that takes no change.
async fn refused_writes(seen: &mut Seen) {
    let world = World::new();
    let root = root(&world.backend);
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| case.writes()) {
        rows.push((case, world.row(case).await));
    }
    for table in ["keys", "secrets"] {
        for change in ["INSERT", "UPDATE", "DELETE"] {
            let trigger = format!(
                "CREATE TRIGGER no_{change}_{table} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
            );
            world.database().execute_batch(&trigger).unwrap();
        }
    }
    for (case, row) in rows {
        let answer = send(&world.backend, case.request(&row, &root, case.good[0])).await;
        seen.refusal(case, &answer, 500, "internal");
    }
}

/// Another program that holds the database: reading goes on.
async fn locks(seen: &mut Seen) {
    let world = World::with(|options| options.patience = Duration::from_millis(20));
    let root = root(&world.backend);
    let mut rows = Vec::new();
    for case in CASES {
        rows.push((case, world.row(case).await));
    }
    let other = world.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for (case, row) in rows {
        let answer = send(&world.backend, case.request(&row, &root, &case.good[0].replace("ID", &row))).await;
        if case.writes() {
            seen.refusal(case, &answer, 503, "busy");
        } else {
            seen.success(case, &answer);
        }
    }
    other.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test]
async fn what_no_route_has_is_refused_in_the_form_of_its_api() {
    let world = World::new();
    let root = root(&world.backend);
    for path in [
        "/",
        "/v1",
        "/v1/devboxes",
        "/v1/apikeys/key_1",
        "/v1/secrets/",
        "/v1/secrets/A/B",
        "/health",
        "/runtools",
        "/runtools/v1/secrets",
        "/runtools/v1/api-keys/",
        "/runtools/v1/api-keys/x/rotate",
        "/runtype",
        "/runtype/v1/secrets",
        "/runtype/v1/api-keys/x/reveal",
        "/keyglass",
        "/keyglass/v1/keys/x/delete",
    ] {
        let surface = Surface::of(path);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = call_as(&world.backend, &root, method, path, "{").await;
            assert_refusal(surface, &answer, 404, "not_found");
            let answer = call_as(&world.backend, "nobody", method, path, "{").await;
            assert_refusal(surface, &answer, 401, "invalid_token");
        }
    }
}

/// What is refused for what is stored, not for what was sent.
#[tokio::test]
async fn refusals_that_depend_on_the_rows_have_the_same_form() {
    let world = World::new();
    let backend = &world.backend;
    let refused = async |key: &str, path: &str, body: Value, status: u16, code: &'static str| {
        let answer = call_as(backend, key, "POST", path, &body.to_string()).await;
        assert_refusal(Surface::of(path), &answer, status, code);
    };
    let root = root(backend);
    create_secret(backend, "TAKEN").await;
    refused(&root, "/v1/secrets", json!({ "name": "TAKEN", "value": "v" }), 400, "already_exists").await;

    let keys = call(backend, "GET", "/keyglass/v1/keys", "").await.json();
    let of_root = keys["keys"][0]["id"].as_str().unwrap();
    let (rotated, _) = world.key(Surface::Runloop, &json!([]), Lasts::ADay).await;
    let (revoked, _) = world.key(Surface::Runloop, &json!([]), Lasts::ADay).await;
    let (of_runtools, _) = world.key(Surface::RunTools, &json!(["files:*"]), Lasts::ADay).await;
    let path = |id: &str, action: &str| format!("/keyglass/v1/keys/{id}/{action}");
    world.made(&path(&rotated, "rotate"), &json!({})).await;
    world.made(&path(&revoked, "revoke"), &json!({})).await;
    for (id, action) in [(of_root, "revoke"), (of_root, "rotate"), (&rotated, "rotate"), (&revoked, "rotate")] {
        refused(&root, &path(id, action), json!({}), 400, "invalid_request").await;
    }
    let (_, restricted) = world.key(Surface::Runloop, &Rights::of(Surface::Runloop).most, Lasts::ADay).await;
    refused(&restricted, &path(&of_runtools, "rotate"), json!({}), 404, "not_found").await;
    let full = world.made("/v1/apikeys", &json!({})).await;
    refused(&restricted, &path(full["id"].as_str().unwrap(), "rotate"), json!({}), 403, "forbidden").await;

    let (_, manager) = world.key(Surface::RunTools, &json!(["org:write"]), Lasts::ADay).await;
    for body in [json!({ "name": "k" }), json!({ "name": "k", "scopes": ["org:write"], "expiresIn": "1y" })] {
        refused(&manager, "/runtools/v1/api-keys", body, 403, "forbidden").await;
    }
    let (id, _) = world.key(Surface::Runtype, &json!([]), Lasts::ADay).await;
    let later = world.reopened(later);
    let answer = call(&later, "POST", &format!("/runtype/v1/api-keys/{id}/regenerate"), "").await;
    assert_refusal(Surface::Runtype, &answer, 400, "invalid_request");
}

/// A secret may be called as a part of a route is.
#[tokio::test]
async fn a_secret_called_id_is_answered_for_like_any_other() {
    let world = World::new();
    create_secret(&world.backend, "id").await;
    for (method, path, body) in [
        ("GET", "/v1/secrets/id", ""),
        ("POST", "/v1/secrets/id", r#"{"value": "v"}"#),
        ("POST", "/v1/secrets/id/delete", ""),
    ] {
        let answer = call(&world.backend, method, path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_sound(&answer, false);
        assert_fits(&answer.json(), "runloop-secrets", "Secret");
    }
}
