//! Canaries: a value of its own in every place of a secret, in all that tools are given and that services answer, and none
//! of it in anything that the program writes. Every rule by which secrets are hidden has one that this rule alone hides.

mod backend;
mod planted;
mod shipped;
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use keyglass::{
    clock::Clock,
    policy::store::{Decision, Store},
};
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    backend::{Scene, Stub},
    planted::{Planted, UNSEEN, files},
    ways::{Command, Side, Way, path_text},
};

/// How secrets are hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Handles,
    Masked,
}

/// One program with its service.
struct Cage {
    planted: Arc<Planted>,
    stub: Stub,
    side: Side,
    mode: Mode,
    way: Way,
    /// Handles by what they stand for; in masked answers there are none, and the values themselves are given.
    given: BTreeMap<&'static str, String>,
    folder: TempDir,
}

impl Cage {
    async fn new(way: Way, mode: Mode) -> Self {
        let planted = Arc::<Planted>::default();
        let stub = Stub::start(Arc::clone(&planted)).await;
        let folder = tempfile::tempdir().unwrap();
        let of = |path: &str| folder.path().join(path);
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/canaries");
        for name in ["capabilities", "schemas", "references", "data"] {
            fs::create_dir(of(name)).unwrap();
        }
        fs::copy(fixtures.join("kept.yaml"), of("capabilities/kept.yaml")).unwrap();
        fs::copy(fixtures.join("kept.json"), of("schemas/kept.json")).unwrap();
        let foreign = (path_text(&fixtures.join("foreign.yaml")), path_text(&of("capabilities/foreign.yaml")));
        let (code, out, error) =
            crate::support::run(folder.path(), &["import", "openapi", &foreign.0, "-o", &foreign.1]);
        assert_eq!(code, 0, "{out}{error}");
        fs::write(of("references/file"), planted.value(UNSEEN) + "\n").unwrap();
        let config = "policy: { references: { files: [references], env: [CANARY_REFERENCE] } }\n";
        fs::write(of("keyglass.yaml"), config).unwrap();
        let mut arguments = vec!["--config".to_owned(), path_text(&of("keyglass.yaml"))];
        for name in shipped::SPECS {
            let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("capabilities").join(name);
            arguments.extend(["--capabilities".to_owned(), path_text(&spec)]);
        }
        for spec in ["capabilities/foreign.yaml", "capabilities/kept.yaml"] {
            arguments.extend(["--capabilities".to_owned(), path_text(&of(spec))]);
        }
        let mode_name = if mode == Mode::Handles { "handles" } else { "masked" };
        let credential = planted.word("credential") + "+/=";
        let variables = vec![
            ("STUB_KEY", credential),
            ("CANARY_TOKEN", planted.word("a variable")),
            ("CANARY_PART_TOKEN", planted.word("a variable in a header")),
            ("CANARY_REFERENCE", planted.value("by variable")),
            ("KEYGLASS_SECRETS", mode_name.to_owned()),
            ("KEYGLASS_CONFIRM", "grant=allow,destructive=allow,exec=allow".to_owned()),
            ("KEYGLASS_TIMEOUT", if way == Way::Command { "2" } else { "4" }.to_owned()),
        ];
        let command = Command { backend: stub.url.clone(), arguments, variables, data: of("data") };
        let side = Side::start(way, &command).await;
        Self { planted, stub, side, mode, way, given: BTreeMap::new(), folder }
    }

    /// Calls a tool whose service answers so. The answer.
    async fn call(&mut self, tool: &str, arguments: &Value, scene: Scene) -> String {
        self.stub.plays(scene);
        self.side.call(tool, arguments.clone()).await
    }

    /// The same, answered with success.
    async fn success(&mut self, tool: &str, arguments: &Value, answer: Value) -> String {
        self.call(tool, arguments, Scene::Success(answer)).await
    }

    /// Has a service make a secret, and keeps what stands for it.
    async fn mint(&mut self, what: &'static str) {
        let made = json!({"id": "key_1", "name": what, "key_secret": format!("{{{{{what}}}}}")});
        let answer = self.success("create_api_key", &json!({ "name": what }), made).await;
        let given = match self.mode {
            Mode::Handles => handles(&answer).into_iter().next().unwrap_or_else(|| panic!("no handle: {answer}")),
            Mode::Masked => {
                assert!(answer.contains("[masked]"), "{answer}");
                self.planted.value(what)
            }
        };
        self.given.insert(what, given);
    }

    /// Arguments with what stands for secrets in the place of `{{what}}`.
    fn filled(&self, arguments: &Value) -> Value {
        let mut text = arguments.to_string();
        for (what, given) in &self.given {
            let given = Value::from(given.as_str()).to_string();
            text = text.replace(&format!("{{{{{what}}}}}"), given.trim_start_matches('"').strip_suffix('"').unwrap());
        }
        serde_json::from_str(&text).unwrap()
    }
}

/// The handles in a text.
fn handles(text: &str) -> BTreeSet<String> {
    Regex::new("secret://[0-9A-Za-z]{20,}").unwrap().find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

/// Every shipped tool, with success and with all that can go wrong.
async fn shipped_tools(cage: &mut Cage) {
    let is_command = cage.side.is_command();
    for (number, (tool, arguments, answer)) in shipped::tools().into_iter().enumerate() {
        let arguments = cage.filled(&arguments);
        let has_secret = arguments.to_string().contains("secret://") || arguments.to_string().contains("cnry");
        let answered = cage.success(tool, &arguments, with_more(answer)).await;
        assert!(!answered.contains("isError\":true"), "{tool}: {answered}");
        let received = cage.stub.take();
        assert!(!received.is_empty(), "`{tool}` was sent: {answered}");
        if has_secret {
            assert!(!received[0].secrets.is_empty(), "the service is given the value: {received:?}");
        }
        for (index, (what, scene)) in Scene::failures().into_iter().enumerate() {
            // Each by some way and with every tool, all with those that take secrets; a process for each takes its time.
            let is_next = (index + number) % 4 == cage.way as usize % 4;
            if is_command && tool != "create_secret" || !has_secret && !is_next {
                continue;
            }
            cage.call(tool, &arguments, scene).await;
            assert!(!cage.stub.take().is_empty(), "`{tool}` was sent for {what}");
        }
    }
    cage.stub.plays(Scene::Silence);
    let tools = shipped::tools();
    let calls = tools.iter().map(|(tool, arguments, _)| (*tool, cage.filled(arguments)));
    let calls: Vec<_> = calls.filter(|(_, arguments)| !is_command || arguments["value"].is_string()).collect();
    let answers = cage.side.calls(calls).await.concat();
    assert!(answers.contains("did not answer within"), "{answers}");
    cage.stub.take();
}

/// An answer with more in it than its schema knows.
fn with_more(mut answer: Value) -> Value {
    answer["unexpected"] = json!({
        "log": format!("{{{{body}}}} {} {}", Planted::in_every_form("credential"), Planted::in_every_form("sent")),
        "unseen": "{{credential:split}} {{sent:split}}",
        "headers": {"Authorization": "Bearer {{an unexpected header}}"},
        "db": {"password": "{{an unexpected password}}", "port": 5432},
        "{{sent}}": 1,
        "{{credential}}": 2,
    });
    answer
}

/// A secret that only a mark of a schema tells of: by kind of mark, by place.
async fn marks(cage: &mut Cage) {
    let answer = json!({
        "id": "1", "by_format": "{{mark format}}", "by_access": "{{mark access}}", "number": "{{mark number:digits}}",
        "object": {"a": "{{mark whole object}}"}, "map": {"x": "{{mark map}}"}, "list": [{"x": "{{mark list}}"}],
        "choice": {"right": "{{mark choice}}"}, "all": {"part": "{{mark all}}"},
    });
    let answered = cage.success("read-marks", &json!({}), answer).await;
    assert!(answered.contains("\"id\\\":\\\"1") || answered.contains("\"id\""), "{answered}");
    cage.success("read-choice", &json!({}), json!({"second": "{{mark root choice}}"})).await;
    cage.success("read-list", &json!({}), json!([{"part": "{{mark in list}}"}])).await;
    // Nothing but the schema says so in the shipped ones.
    let made = json!({"data": {"id": "1", "key": "{{mark shipped}}"}});
    cage.success("runtools_create_api_key", &json!({"name": "a", "scopes": ["*"]}), made).await;
}

/// A secret that only the name of its member tells of.
async fn names(cage: &mut Cage) {
    let answer = json!({
        "api_key": "{{name snake}}", "clientSecret": "{{name camel}}", "X-API-Key": "{{name header}}",
        "recovery_codes": ["{{name list}}"], "a": [{"b": {"privateKey": "{{name nested}}"}}],
        "env": {"STRIPE_SECRET_KEY": "{{name env}}"},
        "token": {"value": "{{name above value}}", "id": "tok_1"},
        "variables": [{"name": "DB_PASSWORD", "value": "{{name beside value}}"}, {"key": "API_TOKEN", "value": "{{key beside value}}"}],
        "password": "{{name hidden in part}}...{{name hidden in part}}",
        "auth_token": "secret://{{name like a handle}}",
        "secret": "[masked]{{name masked in part}}",
        "passcode": "{{name of a number:digits}}", "above": {"password": {"plain": "{{name above object}}"}},
        "parameter": {"Name": "/db/password", "Value": "{{name in capitals}}"},
        "file": "STAGE=test\nDB_PASSWORD={{name in a line:word}}\n", "list": ["API_KEY={{name in an item:word}}"],
        "config": "{\"user\": \"a\", \"password\": \"{{name in a text of JSON:word}}\"}",
        "headers": "> Authorization: Bearer {{name in a header:word}}", "pin": "{{name of a short one:short}}",
        "tokens": ["{{name of a list:word}}"], "again": "{{name of a number:digits}}",
        "quoted": "{\"password\": \"a \\\"{{name behind a quote:word}}\"}",
        "line": "password: {{name of a short one in a line:short}}\n",
    });
    cage.success("read-open", &json!({}), answer).await;
}

/// Texts that have the form of a secret, wherever they stand.
async fn forms(cage: &mut Cage) {
    let long = "0123456789abcdefghijKLMNOPQRSTUVWXYZ0123456789abcdef";
    let word = |what: &str| format!("{{{{form {what}:word}}}}");
    let mut lines = Vec::new();
    for prefix in [
        "ak_",
        "rk_",
        "rt_live_",
        "rt_test_",
        "ghp_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "sk-",
        "sk-proj-",
        "sk_live_",
        "rk_test_",
        "whsec_",
        "ya29.",
        "pypi-",
        "dckr_pat_",
        "hf_",
        "hvs.",
    ] {
        lines.push(format!("use {prefix}{}{long}, please", word(prefix)));
    }
    lines.push(format!("npm_{}0123456789abcdef", word("npm")));
    lines.push(format!("dop_v1_{{{{form dop:digits}}}}{}", "0123456789abcdef".repeat(3)));
    lines.push(format!("\u{1b}[32mghp_{}{long}\u{1b}[0m", word("in colour")));
    lines.push(format!("postgres://app:p@ss/{}@db.test/x", word("password with signs")));
    lines.push(format!("https://{}@git.test/x", word("name in an address")));
    lines.push(format!("keysk-proj-{}{long}", word("behind letters")));
    lines.push(format!("post to https://hooks.slack.com/services/T0/B0/{} then", word("path of an address")));
    lines.push(format!("AIza{}0123456789abcde", word("AIza")));
    lines.push(format!("SG.0123456789abcdefgh.{}", word("SG")));
    lines.push(format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}", word("jwt")));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", word("pem"));
    lines.push(pem);
    lines.push(format!("postgres://app:{}@db.test/x", word("address")));
    for name in
        ["X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature", "Signature", "sig", "access_token", "token"]
    {
        lines.push(format!("see https://b.test/o?a=1&{name}={} now", word(name)));
    }
    let answer = json!({
        "log": lines, "url": "https://b.test/{{form presigned, path:word}}?X-Amz-Signature={{form presigned:word}}",
        "lines": ["-----BEGIN PRIVATE KEY-----", "{{form line by line:word}}", "-----END PRIVATE KEY-----"],
        "ghp_{{form as a name:word}}0123456789abcdefghij": {"a": 1},
    });
    cage.success("read-open", &json!({}), answer).await;
    let text = lines.join("\n").replace("{{form ", "{{text form ");
    cage.call("text", &json!({}), Scene::Answer(200, "text/plain", text.clone().into(), Vec::new())).await;
    let xml = format!(
        "<a><b token=\"{{{{xml attribute:word}}}}\">sk-{{{{xml form:word}}}}{long}</b><password>{{{{xml name:word}}}}</password></a>"
    );
    cage.call("xml", &json!({}), Scene::Answer(200, "application/xml", xml.into(), Vec::new())).await;
    let bytes = text.replace("{{text form ", "{{bytes form ");
    cage.call("bytes", &json!({}), Scene::Answer(200, "image/svg+xml", bytes.clone().into(), Vec::new())).await;
    let bytes = [&b"\xff\x00"[..], bytes.replace("{{bytes form ", "{{binary form ").as_bytes()].concat();
    cage.call("bytes", &json!({}), Scene::Answer(200, "image/png", bytes, Vec::new())).await;
}

/// Values that stand for handles of before, in answers that have nothing else to tell them by.
async fn known(cage: &mut Cage) {
    if cage.mode != Mode::Handles {
        return;
    }
    let all = &Planted::in_every_form("first");
    let answer = json!({"text": all, "list": [all], "{{second}}": 1, "whole": "{{second}}"});
    let answered = cage.success("read-open", &json!({}), answer).await;
    assert!(answered.contains(&cage.given["first"]), "its handle stands there: {answered}");
    let headers = vec![("request-id", "req {{first:url}}"), ("x-request-id", "{{first:url}}")];
    let plain = |status: u16, body: &str, kind| Scene::Answer(status, kind, body.into(), headers.clone());
    for scene in [
        plain(200, "{\"a\": 1}", "application/json"),
        plain(400, &json!({ "message": all }).to_string(), "application/json"),
        plain(500, all, "text/plain"),
        plain(200, all, "text/{{first:url}}"),
    ] {
        cage.call("read-open", &json!({}), scene).await;
    }
    for (tool, scene) in [
        ("text", plain(200, all, "text/plain")),
        ("xml", plain(200, "<a>{{first:url}}<b>{{first:base64}}</b></a>", "application/xml")),
        ("bytes", plain(200, all, "text/plain")),
        ("bytes", Scene::Answer(200, "image/png", [&b"\xff\x00"[..], all.as_bytes()].concat(), Vec::new())),
        ("bytes", plain(200, all, "image/{{first:url}}")),
    ] {
        cage.call(tool, &json!({}), scene).await;
    }
}

/// What a spec makes of secrets on the way to a result.
async fn ways_through_specs(cage: &mut Cage) {
    let short = |what: &str| format!("{{{{{what}, short:short}}}}");
    let secret = |what: &str| json!({"api_key": format!("{{{{{what}}}}}"), "id": "1", "pin": short(what)});
    cage.success("pick", &json!({}), secret("picked")).await;
    let mut walked = secret("walked");
    walked["log"] = json!("{{a variable in a header:word}}");
    cage.success("walk", &json!({"count": 1}), walked).await;
    cage.success("misfit", &json!({"note": "a"}), secret("misfit")).await;
    cage.success("say", &json!({}), secret("said")).await;
    let marked = |what: &str| json!({"plain": format!("{{{{{what}}}}}"), "id": "1"});
    cage.success("pick_marked", &json!({}), marked("marked, picked")).await;
    cage.success("walk_marked", &json!({"count": 1}), marked("marked, walked")).await;
    // Failures behind a step that had one.
    for tool in ["walk", "say"] {
        for (_, scene) in Scene::failures().into_iter().take(if cage.side.is_command() { 1 } else { 100 }) {
            cage.call(tool, &json!({}), scene).await;
        }
    }
    if !cage.side.is_command() {
        cage.stub.plays(Scene::Success(secret("read")));
        cage.side.read("data://kept").await;
        let text = "sk-{{read as bytes:word}}0123456789abcdef".to_owned();
        cage.stub.plays(Scene::Answer(200, "image/png", text.into(), Vec::new()));
        cage.side.read("data://bytes").await;
        for (_, scene) in Scene::failures() {
            cage.stub.plays(scene);
            cage.side.read("data://kept").await;
        }
    }
    cage.stub.take();
}

/// Secrets in the arguments of a tool of others, in every place, by every way in which they get in.
async fn arguments(cage: &mut Cage) {
    let everything = |secret: &str| {
        json!({
            "X-Api-Key": secret, "access_token": secret, "session_token": secret, "name": "n", "plain_a": secret,
            "plain_b": secret, "clientSecret": secret, "recovery_codes": [secret],
            "outer": {"list": [{"token": secret, "label": "l"}]}, "by_id": {"x": secret},
            "env": {"DATABASE": secret, "STAGE": "test"}, "choice": {"hidden_b": secret},
        })
    };
    let echo = json!({"stored": "{{body}}", "log": Planted::in_every_form("sent")});
    // One place at a time: what only this place's mark hides.
    for place in everything("")
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !["name", "X-Api-Key", "session_token"].contains(&name.as_str()))
    {
        if cage.side.is_command() && !["plain_a", "env"].contains(&place.as_str()) {
            continue;
        }
        let what: &'static str = Box::leak(format!("argument {place}").into_boxed_str());
        let of_place = |given: &str| {
            let mut arguments = everything(given);
            arguments.as_object_mut().unwrap().retain(|name, _| name == place);
            arguments
        };
        let sent = match cage.mode {
            Mode::Handles => {
                if !cage.given.contains_key(what) {
                    cage.mint(what).await;
                }
                cage.filled(&of_place(&format!("{{{{{what}}}}}")))
            }
            // Names in a map of variables are all that tells of one.
            Mode::Masked if place == "env" => json!({"env": {"DB_PASSWORD": cage.planted.value(what)}}),
            Mode::Masked => of_place(&cage.planted.value(what)),
        };
        cage.stub.take();
        let answered = cage.success("store-everything", &sent, echo.clone()).await;
        let received = cage.stub.take();
        let word = cage.planted.word(what);
        let is_given = received.first().is_some_and(|one| place == "access_token" || one.body.contains(&word));
        assert!(is_given, "`{place}` is given on: {received:?} {answered}");
        if !cage.side.is_command() {
            for (_, scene) in Scene::failures() {
                cage.call("store-everything", &sent, scene).await;
            }
        }
    }
    for (what, reference) in [(UNSEEN, "file:file"), ("by variable", "env:CANARY_REFERENCE")] {
        let sent = json!({"plain_a": reference, "outer": {"list": [{"token": reference}]}});
        cage.stub.take();
        let answered = cage.success("store-everything", &sent, echo.clone()).await;
        let received = cage.stub.take();
        let word = cage.planted.word(what);
        assert!(received.first().is_some_and(|one| one.body.contains(&word)), "{what}: {received:?} {answered}");
        cage.call("create_secret", &json!({"name": "A", "value": reference}), Scene::failures().remove(0).1).await;
        let sent = json!({"env": {"DATABASE": reference, "STAGE": "test"}});
        let answered = cage.success("store-everything", &sent, echo.clone()).await;
        let received = cage.stub.take();
        assert!(received.iter().any(|one| one.body.contains(&word)), "{what}, in a map: {received:?} {answered}");
    }
    // What nobody takes is not repeated either.
    if cage.mode == Mode::Handles && !cage.side.is_command() {
        let raw = everything(&cage.planted.value("refused"));
        let answered = cage.call("store-everything", &raw, Scene::Closed).await;
        assert!(answered.contains("is not taken as a value"), "{answered}");
    }
    for (tool, arguments) in [
        ("create_secret", json!({"name": "bad name", "value": cage.planted.value("of a bad name")})),
        ("create_secret", json!({"name": "B", "value": [cage.planted.value("of a wrong type")]})),
        ("create_secret", json!({"name": "B", "valve": cage.planted.value("in a wrong member")})),
        ("no_such_tool", json!({"name": cage.planted.value("for no tool")})),
    ] {
        cage.call(tool, &arguments, Scene::Closed).await;
    }
}

/// A person gives the value, straight in the store.
async fn by_a_person(cage: &mut Cage) {
    if cage.mode != Mode::Handles || cage.side.is_command() {
        return;
    }
    cage.stub.take();
    let data = cage.side.data();
    let value = cage.planted.value("by a person");
    let echo =
        json!({"id": "1", "name": "P", "create_time_ms": 1, "update_time_ms": 1, "log": "{{body}} {{sent:url}}"});
    for (name, scene) in [("P", Scene::Success(echo)), ("Q", Scene::failures().remove(0).1)] {
        let (data, value) = (data.clone(), value.clone());
        let person = tokio::task::spawn_blocking(move || {
            for _ in 0..600 {
                std::thread::sleep(Duration::from_millis(50));
                if !Store::exists(&data) {
                    continue;
                }
                let store = Store::open(&data, None, Clock::System).unwrap();
                let Some(question) = store.waiting().unwrap().into_iter().next() else { continue };
                let entered = BTreeMap::from([("/value".to_owned(), value.as_str().into())]);
                store
                    .decide(&question.id, Decision::Confirm { by: "person".to_owned(), words: None, entered })
                    .unwrap();
                return;
            }
            panic!("nothing waits");
        });
        let arguments = json!({ "name": name });
        let first = cage.call("create_secret", &arguments, scene.clone()).await;
        person.await.unwrap();
        if first.contains("waits for a person") {
            cage.call("create_secret", &arguments, scene).await;
        }
        let received = cage.stub.take();
        assert!(received[0].secrets.contains(&cage.planted.value("by a person")), "{received:?} {first}");
    }
}

/// All of it, by one way; then everything that was written is looked through.
async fn nothing_gets_out(way: Way, mode: Mode) {
    let mut cage = Cage::new(way, mode).await;
    cage.mint("first").await;
    cage.mint("second").await;
    shipped_tools(&mut cage).await;
    marks(&mut cage).await;
    names(&mut cage).await;
    forms(&mut cage).await;
    known(&mut cage).await;
    ways_through_specs(&mut cage).await;
    arguments(&mut cage).await;
    by_a_person(&mut cage).await;
    let data = cage.side.data();
    let Cage { planted, side, folder, .. } = cage;
    let kept = files(&data);
    for file in ["glass.db", "audit"] {
        let is_there = kept.iter().any(|(path, _)| path.contains(file));
        assert!(is_there || (file, mode) == ("glass.db", Mode::Masked), "`{file}` is there: {:?}", data);
    }
    let (side, log) = side.ended().await;
    assert!(way == Way::Command || log.contains("the call succeeded"), "all is logged: {log}");
    let mut places = vec![("what it said".to_owned(), side.said.as_bytes()), ("its log".to_owned(), log.as_bytes())];
    let after = if data.is_dir() { files(&data) } else { Vec::new() };
    places.extend(kept.iter().chain(&after).map(|(path, bytes)| (path.clone(), bytes.as_slice())));
    let found = planted.found_in(places);
    assert!(planted.count() > 60, "{}", planted.count());
    drop(folder);
    assert!(found.is_empty(), "{way:?}, {mode:?}: {} found:\n{}", found.len(), found.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_over_stdio() {
    nothing_gets_out(Way::Stdio, Mode::Handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_over_http() {
    nothing_gets_out(Way::Modern, Mode::Handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_of_a_session() {
    nothing_gets_out(Way::Session, Mode::Handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_over_sse() {
    nothing_gets_out(Way::Sse, Mode::Handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_of_the_command() {
    nothing_gets_out(Way::Command, Mode::Handles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_over_stdio_where_it_is_masked() {
    nothing_gets_out(Way::Stdio, Mode::Masked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_over_http_where_it_is_masked() {
    nothing_gets_out(Way::Modern, Mode::Masked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_of_a_session_where_it_is_masked() {
    nothing_gets_out(Way::Session, Mode::Masked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_over_sse_where_it_is_masked() {
    nothing_gets_out(Way::Sse, Mode::Masked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_gets_out_of_the_command_where_it_is_masked() {
    nothing_gets_out(Way::Command, Mode::Masked).await;
}
