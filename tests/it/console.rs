//! The console over HTTP: who gets in and who does not, decisions, values that are revealed once; and the same by command.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use keyglass::{
    audit::{self, Audit, AuditError},
    clock::{Clock, ManualClock},
    config::Options,
    console::{
        Console, ConsoleError, LINK_LIFE, MOST_SESSIONS, Parts, SESSION_IDLE, Started,
        trail::{Act, Lines, Trail},
    },
    live::{Begun, Live},
    policy::store::{Answer, Entry, Kept, Origin, QuestionId, Shown, Store, Subject},
    prose::invisible::is_unseen,
    setup::{Purpose, setup},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{finished, keyglass, run};

const OWNER: [u8; 32] = [1; 32];
const BINDING: [u8; 32] = [7; 32];
const HOUR: Duration = Duration::from_secs(3600);
const REVEALED: &str = "canary-handle-71c4";
const ENTERED: &str = "canary-entered-5a0e";

/// A console with a store and the shipped tools, in a folder of its own.
struct Desk {
    store: Arc<Store>,
    live: Arc<Live>,
    console: Console,
    started: Started,
    announced: Arc<Mutex<Vec<String>>>,
    http: reqwest::Client,
    shutdown: CancellationToken,
    /// Of the calls, not of the page.
    audit: Audit,
    folder: TempDir,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.audit.close();
    }
}

/// Somebody at the page.
struct Person<'a> {
    desk: &'a Desk,
    key: String,
}

impl Desk {
    async fn open() -> Self {
        Self::with(None).await
    }

    async fn with(trail: Option<Arc<dyn Trail>>) -> Self {
        Self::at(Clock::System, trail).await
    }

    /// Whose links and sessions go by this clock.
    async fn at(clock: Clock, trail: Option<Arc<dyn Trail>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { data_dir: Some(folder.path().to_owned()), ..Options::default() };
        let (live, shutdown) = (Arc::new(Live::new(Clock::System)), CancellationToken::new());
        let mut gateway = setup(&options.settings().unwrap(), Purpose::Call, Clock::System).unwrap().gateway;
        gateway.live = Some(live.clone());
        let audit = audit::Options {
            folder: folder.path().join("audit"),
            required: false,
            limits: audit::Limits::default(),
            clear: audit::Clear::default(),
        };
        let audit = Audit::open(audit, Clock::System).unwrap();
        gateway.audit = audit.clone();
        let gateway = Arc::new(gateway);
        let store = Arc::new(Store::open(folder.path(), None, Clock::System).unwrap());
        let announced = Arc::new(Mutex::new(Vec::new()));
        let told = announced.clone();
        let parts = Parts {
            store: store.clone(),
            served: Box::new(move || gateway.clone()),
            live: live.clone(),
            trail,
            listen: "127.0.0.1:0".parse().unwrap(),
            announce: Box::new(move |link| told.lock().unwrap().push(link.url().expose_secret().to_owned())),
            clock,
        };
        let console = Console::new(parts, shutdown.clone());
        let started = console.start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { store, live, console, started, announced, http, shutdown, audit, folder }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.started.address)
    }

    fn token(&self) -> String {
        token_of(&self.started.link().unwrap().url())
    }

    /// As the page asks.
    fn asked(&self, name: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/api/{name}", self.origin()));
        request.header("origin", self.origin()).header("content-type", "application/json").body(body.to_string())
    }

    async fn key(&self) -> String {
        let (status, answer) = sent(self.asked("session", &json!({ "token": self.token() }))).await;
        assert_eq!(status, 200, "{answer}");
        answer["key"].as_str().unwrap().to_owned()
    }

    async fn person(&self) -> Person<'_> {
        Person { desk: self, key: self.key().await }
    }

    fn question(&self, shown: Shown) -> QuestionId {
        self.store.ask(&OWNER, &BINDING, shown, HOUR).unwrap().id
    }

    fn handle(&self, value: &str) -> String {
        let origin = Origin { tool: "create_api_key".into(), place: "/key_secret".into(), about: "ci".into() };
        self.store.keep(&OWNER, &[Kept { value: &value.into(), origin }], HOUR).unwrap()[0].to_string()
    }
}

impl Person<'_> {
    async fn ask(&self, name: &str, body: Value) -> (u16, Value) {
        sent(self.desk.asked(name, &body).bearer_auth(&self.key)).await
    }

    async fn told(&self, name: &str, body: Value) -> Value {
        let (status, answer) = self.ask(name, body).await;
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }
}

async fn sent(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

fn token_of(url: &SecretString) -> String {
    url.expose_secret().split_once('#').unwrap().1.to_owned()
}

fn shown() -> Shown {
    Shown {
        tool: "delete_secret".into(),
        title: "Delete a secret".into(),
        risk: "destructive".into(),
        reason: "its name says `delete`".into(),
        principal: "local".into(),
        client: "a client".into(),
        request: "POST http://127.0.0.1:8080/v1/secrets/A/delete\n".into(),
        subject: Some(Subject { tool: "get_secret".into(), value: json!({ "name": "A" }) }),
        notes: vec!["it cannot be undone".into()],
        confirms: true,
        ..Shown::default()
    }
}

#[tokio::test]
async fn a_link_opens_the_page_once() {
    let desk = Desk::open().await;
    let token = desk.token();
    let open = |token: &str| sent(desk.asked("session", &json!({ "token": token })));
    let (status, answer) = open(&token).await;
    assert_eq!(status, 200);
    assert_ne!(answer["key"], Value::from(token.as_str()));
    let (status, answer) = open(&token).await;
    assert_eq!(status, 401, "used already");
    assert!(answer["error"].as_str().unwrap().contains("keyglass console"), "{answer}");
    for wrong in ["", "0", &"0".repeat(64)] {
        assert_eq!(open(wrong).await.0, 401, "{wrong}");
    }
    for body in [json!({}), json!({ "token": 7 }), json!({ "token": "a", "b": 1 }), json!("x".repeat(2_000))] {
        assert!(matches!(sent(desk.asked("session", &body)).await.0, 400 | 413), "{body}");
    }
    let mut last = 0;
    for _ in 0..40 {
        last = open("wrong").await.0;
    }
    assert_eq!(last, 429, "attempts are limited");
    assert_eq!(open(&desk.token()).await.0, 200, "which keeps nobody out who has a link");
}

#[tokio::test]
async fn links_and_sessions_end_by_themselves() {
    static TIME: ManualClock = ManualClock::at(1_000);
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap();
    let desk = Desk::at(Clock::Manual(&TIME), None).await;
    let token = desk.token();
    TIME.pass(ms(LINK_LIFE));
    assert_eq!(sent(desk.asked("session", &json!({ "token": token }))).await.0, 401, "a link that is too old");
    let person = desk.person().await;
    TIME.pass(ms(SESSION_IDLE) - 1);
    person.told("waiting", json!({ "active": true })).await;
    TIME.pass(ms(SESSION_IDLE) - 1);
    person.told("waiting", json!({ "active": false })).await;
    TIME.pass(1);
    let (status, answer) = person.ask("waiting", json!({ "active": true })).await;
    assert_eq!(status, 401, "a page that only looks for news: {answer}");
}

#[tokio::test]
async fn nothing_is_told_without_a_session() {
    let desk = Desk::open().await;
    desk.question(shown());
    let names = [
        "waiting", "handles", "reveal", "forget", "decide", "tools", "tool", "preview", "call", "live", "charts",
        "trail", "leave", "nothing",
    ];
    let token = desk.token();
    for name in names {
        for key in [None, Some(""), Some("wrong"), Some(token.as_str())] {
            let request = desk.asked(name, &json!({}));
            let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
            let (status, answer) = sent(request).await;
            assert_eq!(status, 401, "{name} {key:?}: {answer}");
            assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
        }
    }
    let key = desk.key().await;
    let by_cookie = desk.asked("waiting", &json!({ "active": true })).header("cookie", format!("key={key}"));
    assert_eq!(sent(by_cookie).await.0, 401, "no cookie opens anything");
    let twice = desk.asked("waiting", &json!({ "active": true })).bearer_auth(&key).bearer_auth(&key);
    assert_eq!(sent(twice).await.0, 401);
}

#[tokio::test]
async fn other_pages_and_other_hosts_are_refused() {
    let desk = Desk::open().await;
    let id = desk.question(shown());
    let key = desk.key().await;
    let port = desk.started.address.port();
    let decision = json!({ "id": id.to_string(), "confirm": true });
    let with = |headers: &[(&str, String)]| {
        let mut request = desk.http.post(format!("{}/api/decide", desk.origin())).bearer_auth(&key);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        sent(request.body(decision.to_string()))
    };
    let json = || ("content-type", "application/json".to_owned());
    let origin = |origin: &str| ("origin", origin.to_owned());
    let own = desk.origin();
    assert_eq!(with(&[json()]).await.0, 403, "no origin");
    for foreign in
        ["http://evil.test", "null", &format!("http://localhost:{port}"), &format!("https://127.0.0.1:{port}")]
    {
        assert_eq!(with(&[json(), origin(foreign)]).await.0, 403, "{foreign}");
    }
    for host in ["evil.test".to_owned(), format!("evil.test:{port}"), "127.0.0.1:1".to_owned()] {
        assert_eq!(with(&[json(), origin(&own), ("host", host.clone())]).await.0, 403, "{host}");
        let page = desk.http.get(&own).header("host", &host).send().await.unwrap();
        assert_eq!(page.status(), 403, "{host}");
    }
    for site in ["cross-site", "same-site"] {
        assert_eq!(with(&[json(), origin(&own), ("sec-fetch-site", site.to_owned())]).await.0, 403, "{site}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(with(&[origin(&own), ("content-type", kind.to_owned())]).await.0, 415, "{kind}");
    }
    let get =
        desk.http.get(format!("{own}/api/waiting")).header("origin", &own).header("content-type", "application/json");
    assert_eq!(get.bearer_auth(&key).send().await.unwrap().status(), 405);
    assert_eq!(desk.store.waiting().unwrap().len(), 1, "nothing of all that decided anything");
    assert_eq!(with(&[json(), origin(&own)]).await.0, 200, "which the page itself does");
}

#[tokio::test]
async fn every_answer_is_closed_to_frames_caches_and_foreign_scripts() {
    let desk = Desk::open().await;
    for path in ["/", "/console.js", "/console.css", "/icon.svg", "/api/waiting", "/nothing"] {
        let answer = desk.http.get(format!("{}{path}", desk.origin())).send().await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).unwrap_or_else(|| panic!("{path} {name}")).to_str().unwrap();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|own| own == part), "{path}: {policy}");
        }
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
        assert!(
            answer.headers().get("set-cookie").is_none()
                && answer.headers().get("access-control-allow-origin").is_none()
        );
    }
    let page = desk.http.get(desk.origin()).send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains(" onclick"), "nothing inline");
    assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/console.js\"").count());
    let framed = desk.http.get(desk.origin()).header("sec-fetch-dest", "iframe").send().await.unwrap();
    assert_eq!(framed.status(), 403);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let desk = Desk::open().await;
    let person = desk.person().await;
    let large = json!({ "name": "get_secret", "arguments": { "name": "a".repeat(1024 * 1024) } });
    assert_eq!(person.ask("preview", large).await.0, 413);
    assert_eq!(sent(desk.asked("session", &json!({ "token": "a".repeat(1024) }))).await.0, 413);
    for body in ["", "[]", "{\"name\": \"canary-", "null"] {
        let request = desk.asked("tool", &json!({})).body(body).bearer_auth(&person.key);
        let (status, answer) = sent(request).await;
        assert!(status == 400 && !answer.to_string().contains("canary"), "{body}: {answer}");
    }
}

#[tokio::test]
async fn there_are_only_so_many_sessions() {
    let desk = Desk::open().await;
    let mut people = Vec::new();
    for _ in 0..=MOST_SESSIONS {
        people.push(desk.person().await);
    }
    assert_eq!(people[0].ask("handles", json!({})).await.0, 401, "the oldest was ended");
    for person in &people[1..] {
        assert_eq!(person.ask("handles", json!({})).await.0, 200);
    }
    people[1].told("leave", json!({})).await;
    assert_eq!(people[1].ask("handles", json!({})).await.0, 401);
}

#[tokio::test]
async fn a_call_is_confirmed_or_refused_as_it_was_shown() {
    let desk = Desk::open().await;
    let person = desk.person().await;
    let waits = json!({ "active": true });
    let id = desk.question(shown());
    let waiting = person.told("waiting", waits.clone()).await;
    let [question] = waiting["waiting"].as_array().unwrap().as_slice() else { panic!("{waiting}") };
    assert_eq!(question["id"], json!(id.to_string()));
    for (member, expected) in json!(shown()).as_object().unwrap() {
        if member != "code" {
            assert_eq!(&question["shown"][member], expected, "{member}");
        }
    }
    assert!(question["expires_at_ms"].as_i64() > waiting["now_ms"].as_i64());
    let decision = json!({ "id": id.to_string(), "confirm": true });
    assert_eq!(person.told("decide", decision.clone()).await["state"], "confirmed");
    assert_eq!(person.ask("decide", decision).await.0, 410, "decided once");
    assert_eq!(person.told("waiting", waits.clone()).await["waiting"], json!([]));
    let answer = desk.store.take(&OWNER, &BINDING).unwrap();
    assert!(matches!(answer, Some(Answer::Confirmed { by, .. }) if by == "console"));

    let id = desk.question(shown());
    assert_eq!(person.told("decide", json!({ "id": id.to_string(), "confirm": false })).await["state"], "refused");
    assert!(matches!(desk.store.take(&OWNER, &BINDING).unwrap(), Some(Answer::Refused { by }) if by == "console"));
    for unknown in ["", "no id", "1111111111111111111111"] {
        assert_eq!(person.ask("decide", json!({ "id": unknown, "confirm": true })).await.0, 410, "{unknown}");
    }
}

/// The characters of a class of a regular expression, written as single ones, ranges and escapes.
fn class_of(pattern: &str) -> BTreeSet<u32> {
    let mut characters = pattern.chars().peekable();
    let mut one = || {
        let first = characters.next()?;
        if first != '\\' {
            return Some(u32::from(first));
        }
        assert_eq!(characters.next(), Some('u'), "another escape");
        let is_long = characters.next_if_eq(&'{').is_some();
        let digits: String = if is_long {
            characters.by_ref().take_while(|digit| *digit != '}').collect()
        } else {
            characters.by_ref().take(4).collect()
        };
        Some(u32::from_str_radix(&digits, 16).unwrap())
    };
    let parts: Vec<u32> = std::iter::from_fn(&mut one).collect();
    let dash = u32::from('-');
    let mut class = BTreeSet::new();
    let mut rest = parts.as_slice();
    while let [first, others @ ..] = rest {
        rest = match others {
            [middle, last, after @ ..] if *middle == dash => {
                class.extend(*first..=*last);
                after
            }
            _ => {
                class.insert(*first);
                others
            }
        };
    }
    class
}

#[test]
fn the_page_writes_out_what_the_program_takes_for_unseen() {
    let script = include_str!("../../src/console/assets/console.js");
    let (_, pattern) = script.split_once("const UNSEEN = /[").unwrap();
    // By code points, or a character beyond the basic plane would be two.
    let (pattern, _) = pattern.split_once("]/gu;").unwrap();
    let class = class_of(pattern);
    for character in (0..=0x0010_ffff).filter_map(char::from_u32) {
        assert_eq!(class.contains(&u32::from(character)), is_unseen(character), "{}", character.escape_unicode());
    }
}

#[tokio::test]
async fn words_and_values_are_asked_for_and_no_answer_repeats_them() {
    let desk = Desk::open().await;
    let person = desk.person().await;
    let entries = vec![Entry { pointer: "/value".into(), label: "the value of A".into() }];
    let id = desk.question(Shown { words: Some("delete it".into()), entries, ..shown() });
    let decide = |words: Value, entered: Value| {
        person.ask("decide", json!({ "id": id.to_string(), "confirm": true, "words": words, "entered": entered }))
    };
    let (status, answer) = decide(json!(null), json!({ "/value": ENTERED })).await;
    assert!(status == 422 && answer["error"].as_str().unwrap().contains("`delete it`"), "{answer}");
    let (status, answer) = decide(json!("delete it"), json!({})).await;
    assert!(status == 422 && answer["error"].as_str().unwrap().contains("the value of A"), "{answer}");
    let (status, answer) = decide(json!("delete it"), json!({ "/value": ENTERED })).await;
    assert!(status == 200 && !answer.to_string().contains("canary"), "{answer}");
    let Some(Answer::Confirmed { entered, .. }) = desk.store.take(&OWNER, &BINDING).unwrap() else {
        panic!("confirmed")
    };
    assert_eq!(entered["/value"].expose_secret(), ENTERED);
}

#[tokio::test]
async fn a_value_is_revealed_once_and_stands_in_no_other_answer() {
    let desk = Desk::open().await;
    let person = desk.person().await;
    let handle = desk.handle(REVEALED);
    desk.question(Shown { entries: vec![Entry { pointer: "/value".into(), label: "value".into() }], ..shown() });
    let mut answers = Vec::new();
    for (name, body) in [
        ("handles", json!({})),
        ("waiting", json!({ "active": false })),
        ("live", json!({ "active": true })),
        ("charts", json!({ "active": true })),
        ("trail", json!({})),
        ("tools", json!({})),
        ("reveal", json!({ "name": "no handle" })),
        ("reveal", json!({ "name": "secret://1111111111111111111111" })),
    ] {
        answers.push(person.ask(name, body).await.1.to_string());
    }
    let (status, answer) = person.ask("reveal", json!({ "name": handle })).await;
    assert_eq!((status, answer), (200, json!({ "value": REVEALED })));
    let (status, answer) = person.ask("reveal", json!({ "name": handle })).await;
    assert_eq!(status, 409, "{answer}");
    answers.push(answer.to_string());
    let handles = person.told("handles", json!({})).await;
    assert!(handles["handles"][0]["revealed_at_ms"].is_i64(), "{handles}");
    answers.push(handles.to_string());
    assert!(answers.iter().all(|answer| !answer.contains("canary")), "{answers:?}");
    person.told("forget", json!({ "name": handle })).await;
    assert_eq!(person.ask("forget", json!({ "name": handle })).await.0, 410);
    assert_eq!(person.told("handles", json!({})).await["handles"], json!([]));
}

#[tokio::test]
async fn tools_are_shown_and_called_by_the_person() {
    let desk = Desk::open().await;
    let person = desk.person().await;
    let tools = person.told("tools", json!({})).await;
    let named = |name: &str| tools["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name).cloned();
    let tool = named("delete_secret").expect("a tool");
    assert_eq!((&tool["group"], &tool["risk"]), (&json!("runloop"), &json!("destructive")), "{tool}");
    let tool = person.told("tool", json!({ "name": "create_secret" })).await;
    assert_eq!(tool["input"]["required"], json!(["name"]), "a person is asked for the value: {tool}");
    assert_eq!(tool["secrets"], json!(["value"]), "so that its field hides what is entered");
    assert_eq!(person.ask("tool", json!({ "name": "none" })).await.0, 404);

    let call = json!({ "name": "create_secret", "arguments": { "name": "FROM_CONSOLE", "value": ENTERED } });
    let preview = person.told("preview", call.clone()).await;
    let request = preview["request"].as_str().unwrap();
    assert!(
        request.contains("\nPOST http://") && request.contains("FROM_CONSOLE") && !request.contains("canary"),
        "{request}"
    );
    let preview = person.told("preview", json!({ "name": "get_secret", "arguments": {} })).await;
    assert_eq!(preview["kind"], "arguments", "{preview}");
    let live = person.told("live", json!({ "active": true })).await;
    assert_eq!(live["live"]["ended"], json!([]), "nothing was called");

    let done = person.told("call", call.clone()).await;
    assert_eq!(done["result"]["name"], "FROM_CONSOLE", "{done}");
    assert!(!done.to_string().contains("canary"));
    let again = person.told("call", call).await;
    assert_eq!(again["kind"], "status", "{again}");
    let live = person.told("live", json!({ "active": true })).await["live"]["ended"].clone();
    let seen: Vec<_> =
        live.as_array().unwrap().iter().map(|call| (&call["tool"], &call["outcome"], &call["client"])).collect();
    let (tool, client) = (json!("create_secret"), json!("console"));
    assert_eq!(seen, [(&tool, &json!("status"), &client), (&tool, &json!("ok"), &client)]);
    let charts = person.told("charts", json!({ "active": true })).await["minutes"].clone();
    let minutes = charts.as_array().unwrap();
    let sum = |member: &str| minutes.iter().map(|minute| minute[member].as_i64().unwrap()).sum::<i64>();
    assert_eq!((minutes.len(), sum("calls"), sum("errors")), (60, 2, 1));
}

#[tokio::test]
async fn a_call_that_is_made_on_the_page_is_confirmed_there() {
    let desk = Desk::open().await;
    let call = json!({ "name": "delete_secret", "arguments": { "name": "NONE" } });
    let answer = desk.person().await.told("call", call).await;
    assert_eq!(answer["kind"], "status", "there is none: {answer}");
    desk.audit.close();
    let log = std::fs::read_to_string(desk.folder.path().join("audit/00000001.jsonl")).unwrap();
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let call = lines.rfind(|line| line["event"] == "call").unwrap();
    assert_eq!((&call["decision"], &call["decided_by"]), (&json!("confirmed"), &json!("console")), "{call}");
}

#[tokio::test]
async fn calls_of_others_are_seen_while_they_last() {
    let desk = Desk::open().await;
    let person = desk.person().await;
    let call = desk.live.begin(Begun { tool: "list_secrets", principal: "token:ci", client: "x", risk: "read" });
    let live = person.told("live", json!({ "active": false })).await["live"].clone();
    assert_eq!((&live["under_way"][0]["principal"], &live["ended"]), (&json!("token:ci"), &json!([])));
    drop(call);
    let live = person.told("live", json!({ "active": false })).await["live"].clone();
    assert_eq!((&live["under_way"], &live["ended"][0]["outcome"]), (&json!([]), &json!("cancelled")));
}

/// An audit log with these lines, and what was told to it.
struct Fixed(Result<Lines, String>, Mutex<Vec<String>>);

impl Trail for Fixed {
    fn last(&self, most: usize) -> Result<Lines, String> {
        assert!(most > 0);
        self.0.clone()
    }

    fn tell(&self, act: Act<'_>) -> BoxFuture<'static, Result<(), AuditError>> {
        self.1.lock().unwrap().push(match act {
            Act::Decided(question) => format!("{} {}", question.shown.tool, question.state.name()),
            Act::Revealed(handle) => format!("revealed {handle}"),
            Act::Forgot(handle) => format!("forgot {handle}"),
            Act::NotDone(act) => format!("not done: {act:?}"),
        });
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn what_a_person_does_is_told_to_the_audit_log() {
    let log = Arc::new(Fixed(Ok(Lines::default()), Mutex::default()));
    let desk = Desk::with(Some(log.clone())).await;
    let person = desk.person().await;
    let (id, handle) = (desk.question(shown()), desk.handle(REVEALED));
    person.told("decide", json!({ "id": id.to_string(), "confirm": true })).await;
    person.ask("decide", json!({ "id": id.to_string(), "confirm": false })).await;
    for name in ["reveal", "forget"] {
        person.told(name, json!({ "name": handle })).await;
        person.ask(name, json!({ "name": handle })).await;
    }
    let expected = ["delete_secret confirmed".to_owned(), format!("revealed {handle}"), format!("forgot {handle}")];
    assert_eq!(*log.1.lock().unwrap(), expected, "each once, and nothing that did not happen");
}

/// A log that has to be written, on a full disk.
struct Full;

impl Trail for Full {
    fn last(&self, _: usize) -> Result<Lines, String> {
        Ok(Lines::default())
    }

    fn tell(&self, _: Act<'_>) -> BoxFuture<'static, Result<(), AuditError>> {
        Box::pin(async { Err(AuditError::Unwritable("no space left on device".to_owned())) })
    }
}

#[tokio::test]
async fn nothing_is_decided_or_revealed_that_cannot_be_written_down() {
    let desk = Desk::with(Some(Arc::new(Full))).await;
    let person = desk.person().await;
    let (id, handle) = (desk.question(shown()), desk.handle(REVEALED));
    for (name, body) in [
        ("decide", json!({ "id": id.to_string(), "confirm": true })),
        ("decide", json!({ "id": id.to_string(), "confirm": false })),
        ("reveal", json!({ "name": handle })),
    ] {
        let (status, answer) = person.ask(name, body).await;
        assert_eq!(status, 503, "{answer}");
        let told = answer["error"].as_str().unwrap();
        assert!(told.contains("the audit log cannot be written (no space left on device)"), "{told}");
        assert!(!told.contains(REVEALED) && answer["value"].is_null(), "{answer}");
    }
    assert_eq!(desk.store.waiting().unwrap().len(), 1, "it waits on");
    assert_eq!(desk.store.handles().unwrap()[0].revealed_at_ms, None);
}

#[tokio::test]
async fn the_audit_log_is_shown_where_there_is_one() {
    let none = Desk::open().await;
    assert_eq!(none.person().await.told("trail", json!({})).await, json!({ "there_is_one": false }));
    let lines =
        Lines { lines: vec![json!({ "tool": "a" })], intact: Some(false), problem: Some("line 1 changed".into()) };
    let desk = Desk::with(Some(Arc::new(Fixed(Ok(lines), Mutex::default())))).await;
    let shown = desk.person().await.told("trail", json!({})).await;
    assert_eq!(shown["trail"], json!({ "lines": [{ "tool": "a" }], "intact": false, "problem": "line 1 changed" }));
    let desk = Desk::with(Some(Arc::new(Fixed(Err("it cannot be read".into()), Mutex::default())))).await;
    let shown = desk.person().await.told("trail", json!({})).await;
    assert_eq!(shown, json!({ "there_is_one": true, "problem": "it cannot be read" }));
}

/// What another console over the same store is made of.
fn parts(desk: &Desk) -> Parts {
    let options = Options { backend: vec!["http://127.0.0.1:9".to_owned()], ..Options::default() };
    let gateway = Arc::new(setup(&options.settings().unwrap(), Purpose::Inspect, Clock::System).unwrap().gateway);
    Parts {
        store: desk.store.clone(),
        served: Box::new(move || gateway.clone()),
        live: desk.live.clone(),
        trail: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        announce: Box::new(|_| {}),
        clock: Clock::System,
    }
}

#[tokio::test]
async fn the_person_is_brought_to_the_page_once() {
    let desk = Desk::open().await;
    let (one, two) = (desk.console.needed().await.unwrap(), desk.console.needed().await.unwrap());
    assert_eq!(one.page(), format!("{}/", desk.origin()), "it listens already");
    assert!(!one.page().contains('#') && !format!("{one:?} {:?}", desk.started).contains(&token_of(&one.url())));
    assert_eq!(one.url().expose_secret(), two.url().expose_secret());
    assert_eq!(*desk.announced.lock().unwrap(), [one.url().expose_secret()], "shown once");
    let (status, _) = sent(desk.asked("session", &json!({ "token": token_of(&one.url()) }))).await;
    assert_eq!(status, 200);
    let open = desk.console.needed().await.unwrap();
    assert!(!open.url().expose_secret().contains('#'), "whoever has the page open needs no link");
    assert_eq!(desk.announced.lock().unwrap().len(), 1);
    let (status, answer) = sent(desk.asked("link", &json!({}))).await;
    assert_eq!((status, answer), (200, json!({})), "a new link goes to the person, not to whoever asks for it");
    assert_eq!(desk.announced.lock().unwrap().len(), 2);
    let other = Desk::open().await;
    let unstarted = Console::new(parts(&other), other.shutdown.clone());
    let page = unstarted.needed().await.unwrap().page();
    assert_ne!(page, format!("{}/", other.origin()), "it listens once it is needed");
    assert_eq!(other.http.get(page).send().await.unwrap().status(), 200);
    for exposed in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let error = desk.console.start(exposed.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, ConsoleError::Exposed(_)), "{exposed}");
    }
}

/// A store in a folder, as another process has it.
fn store(folder: &Path) -> Store {
    Store::open(folder, None, Clock::System).unwrap()
}

#[test]
fn calls_are_decided_on_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = run(folder.path(), &["approve"]);
    assert!(code == 2 && out.is_empty() && err.contains("there is no database in `"), "{out}{err}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "looking makes nothing");
    let store = store(folder.path());
    let (code, out, _) = run(folder.path(), &["approve"]);
    assert_eq!((code, out.as_str()), (0, "Nothing waits.\n"));
    let spoof =
        Shown { client: "a\u{1b}[2Jb".into(), request: "DELETE /a\u{202e}\u{e0041}\nx: y\r\n".into(), ..shown() };
    let ask = |shown: &Shown| store.ask(&OWNER, &BINDING, shown.clone(), HOUR).unwrap().shown.code;
    let waits = ask(&spoof);
    let (code, out, err) = run(folder.path(), &["approve"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&waits) && out.contains("delete_secret") && out.contains("destructive"), "{out}");
    let (code, out, err) = run(folder.path(), &["approve", &waits]);
    assert!(code == 64 && err.contains("no terminal"), "{err}");
    for part in [
        "its name says `delete`",
        "it cannot be undone",
        "\"name\": \"A\"",
        "DELETE /a\\u{202e}\\u{e0041}\nx: y",
        "a\\u{1b}[2Jb",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!out.contains(['\u{1b}', '\u{202e}', '\u{e0041}']));
    let (code, _, err) = run(folder.path(), &["approve", "--yes"]);
    assert!(code == 64 && err.contains("CODE"), "{err}");
    let (code, _, err) = run(folder.path(), &["approve", "zzzzzz", "--yes"]);
    assert!(code == 64 && err.contains("no call waits"), "{err}");
    let (code, out, err) = run(folder.path(), &["approve", &waits.to_lowercase(), "--yes"]);
    assert!(code == 0 && out.contains("Confirmed. The call does not wait any more"), "{err}");
    assert!(matches!(store.take(&OWNER, &BINDING).unwrap(), Some(Answer::Confirmed { by, .. }) if by == "command"));

    let waits = ask(&Shown { words: Some("all of it".into()), ..shown() });
    let (code, _, err) = run(folder.path(), &["approve", &waits, "--yes"]);
    assert!(code == 64 && err.contains("asks for words"), "{err}");
    let (code, out, err) = run(folder.path(), &["approve", &waits, "--refuse"]);
    assert!(code == 0 && out.contains("Refused"), "{err}");
    assert!(matches!(store.take(&OWNER, &BINDING).unwrap(), Some(Answer::Refused { .. })));
    for (number, name) in ["older", "newer"].into_iter().enumerate() {
        store
            .ask(&OWNER, &[u8::try_from(number).unwrap() + 100; 32], Shown { tool: name.into(), ..shown() }, HOUR)
            .unwrap();
    }
    let (_, out, _) = run(folder.path(), &["approve"]);
    assert!(out.find("newer") < out.find("older"), "the newest first: {out}");
    let (_, out, _) = run(folder.path(), &["approve", "--help"]);
    assert!(out.contains("can confirm by it"), "{out}");
}

#[test]
fn a_value_is_revealed_by_command_where_no_model_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = run(folder.path(), &["reveal"]);
    assert!(code == 2 && out.is_empty() && err.contains("there is no database in `"), "{out}{err}");
    let store = store(folder.path());
    let (code, out, _) = run(folder.path(), &["reveal"]);
    assert_eq!((code, out.as_str()), (0, "There are no handles.\n"));
    let keep = |value: &str| {
        let origin = Origin { tool: "create_api_key".into(), place: "/key_secret".into(), about: "ci\u{1b}".into() };
        store.keep(&OWNER, &[Kept { value: &value.into(), origin }], HOUR).unwrap()[0].to_string()
    };
    let (one, two) = (keep(REVEALED), keep("canary-two"));
    let (code, out, err) = run(folder.path(), &["reveal"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&one) && out.contains("ci\\u{1b}") && !out.contains("canary"), "{out}");
    let (code, out, err) = run(folder.path(), &["reveal", &one]);
    assert!(code == 64 && out.is_empty() && err.contains("--output"), "{err}");
    let file = folder.path().join("value");
    let path = file.display().to_string();
    let (code, out, err) = run(folder.path(), &["reveal", &one, "--output", &path]);
    assert!(code == 0 && !out.contains("canary"), "{err}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), REVEALED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (code, _, err) = run(folder.path(), &["reveal", &two, "--output", &path]);
    assert!(code == 64 && err.contains("is there already"), "{err}");
    let other = folder.path().join("other").display().to_string();
    let (code, _, err) = run(folder.path(), &["reveal", &one, "--output", &other]);
    assert!(code == 64 && err.contains("revealed already"), "{err}");
    assert!(!Path::new(&other).exists(), "nothing is left where there was no value");
    let (code, out, err) = run(folder.path(), &["reveal", &two, "--to-pipe"]);
    assert_eq!((code, out.as_str()), (0, "canary-two"), "{err}");
    let (code, _, err) = run(folder.path(), &["reveal", "canary-in-the-wrong-place"]);
    assert!(code == 64 && !err.contains("canary"), "{err}");
}

#[test]
fn a_console_beside_a_server_is_for_this_machine_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["serve", "--console", "0.0.0.0:0"][..], "for this machine alone"),
        (&["console", "--listen", "0.0.0.0:0"], "for this machine alone"),
        (&["serve", "--console", "on"], "`auto`, `off`"),
    ] {
        let output = keyglass(folder.path(), arguments).stdin(Stdio::null()).output().expect("runs");
        let (code, _, err) = finished(output);
        assert!(code == 64 && err.contains(words), "{arguments:?}: {err}");
    }
    let mut command = keyglass(folder.path(), &["serve", "--console", "127.0.0.1:0"]);
    let output = command.env("KEYGLASS_LOG", "off").stdin(Stdio::null()).output().expect("runs");
    let (code, out, err) = finished(output);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let link = err.lines().find_map(|line| line.split_once("http://127.0.0.1:")).expect("a link whatever is logged").1;
    assert_eq!(link.split_once("/#").expect("a token").1.len(), 64, "{err}");
}

#[cfg(unix)]
#[test]
fn the_browser_is_shown_the_link_by_a_file_of_this_user() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (opener, opened) = (programs.path().join("xdg-open"), programs.path().join("opened"));
    std::fs::write(
        &opener,
        format!("#!/bin/sh\nprintf '%s' \"$*\" > '{0}.part' && mv '{0}.part' '{0}'\n", opened.display()),
    )
    .unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = keyglass(folder.path(), &["console", "--open"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.path().display()));
    let mut console = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut link = String::new();
    BufReader::new(console.stdout.take().unwrap()).read_line(&mut link).unwrap();
    let link = link.trim();
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    let shown = (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        std::fs::read_to_string(&opened).ok()
    });
    let way = shown.expect("a browser");
    assert!(!way.contains(link.split_once('#').unwrap().1), "other users see the arguments of a program: {way}");
    assert!(std::fs::read_to_string(&way).unwrap().contains(link), "{way}");
    assert_eq!(std::fs::metadata(&way).unwrap().permissions().mode() & 0o777, 0o600);
    let asked = std::process::Command::new("kill").args(["-TERM", &console.id().to_string()]).status().unwrap();
    assert!(asked.success() && console.wait().unwrap().success());
    assert!(!Path::new(&way).exists(), "it leads nowhere any more");
}

/// Not a test: the hand of the referee that looks at the console in a browser. Asks questions, keeps values and takes answers
/// in the data folder `ASKER_DATA`, as its lines of standard input say, and answers each with a line after `asker: `.
#[test]
#[ignore = "is run by `tests/referees/console.py`"]
#[allow(clippy::disallowed_methods, reason = "the folder that the referee uses")]
fn asker() {
    let store = store(Path::new(&std::env::var("ASKER_DATA").expect("a folder")));
    for line in std::io::stdin().lines() {
        let asked: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let binding = || [u8::try_from(asked["call"].as_u64().expect("a number")).expect("a small one"); 32];
        let text = |member: &str| asked[member].as_str().unwrap_or_default().to_owned();
        let answer = match asked["do"].as_str().expect("what to do") {
            "ask" => {
                let shown: Shown = serde_json::from_value(asked["shown"].clone()).expect("a question");
                let question = store.ask(&OWNER, &binding(), shown, HOUR).expect("asked");
                json!({ "code": question.shown.code })
            }
            "keep" => {
                let origin = Origin { tool: text("tool"), place: text("place"), about: text("about") };
                let kept = store.keep(&OWNER, &[Kept { value: &text("value").into(), origin }], HOUR);
                json!({ "handle": kept.expect("kept")[0].to_string() })
            }
            "take" => match store.take(&OWNER, &binding()).expect("an answer") {
                None => json!({ "state": "none" }),
                Some(Answer::Waiting(_)) => json!({ "state": "waiting" }),
                Some(Answer::Refused { by }) => json!({ "state": "refused", "by": by }),
                Some(Answer::Confirmed { by, entered }) => {
                    let entered =
                        entered.iter().map(|(pointer, value)| (pointer.clone(), json!(value.expose_secret())));
                    json!({ "state": "confirmed", "by": by, "entered": entered.collect::<serde_json::Map<_, _>>() })
                }
            },
            other => panic!("`{other}`"),
        };
        writeln!(std::io::stdout(), "\nasker: {answer}").expect("written");
    }
}
