//! A service in a test's hands, and two of a shipyard: a registry of ships that answers in JSON, and an old dockyard that
//! answers in XML. Both check what their callers show, as their OpenAPI documents ask for.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::HeaderMap;
use keyglass::{
    call::{CallContext, CallOutput},
    clock::Clock,
    config::Options,
    diagnostic::{Diagnostic, Severity, Style, render_text},
    error::CallError,
    gateway::Gateway,
    setup::{Purpose, Setup, setup},
};
use serde_json::{Value, json};

/// A request that a service got.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `METHOD /path?query`, as it stood in the request.
    pub(crate) line: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: String,
}

impl Seen {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// A header as text; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }
}

/// What a service answers.
pub(crate) struct Answer {
    status: u16,
    media_type: &'static str,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn json(body: &Value) -> Self {
        Self::of("application/json", body.to_string())
    }

    pub(crate) fn xml(body: impl Into<Vec<u8>>) -> Self {
        Self::of("application/xml", body)
    }

    pub(crate) fn of(media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, media_type, body: body.into(), headers: Vec::new() }
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A running service; it ends with the runtime of its test.
pub(crate) struct Service {
    /// Its base URL.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Service {
    /// Starts a service that answers as the function says.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let (log, answer) = (Arc::clone(&log), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1024 * 1024).await.expect("a body");
                let seen = Seen {
                    line: format!("{} {}", parts.method, parts.uri),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).expect("text"),
                };
                let Answer { status, media_type, body, headers } = answer(&seen);
                log.lock().expect("no panic").push(seen);
                let response = Response::builder().status(status).header("content-type", media_type);
                let response =
                    headers.into_iter().fold(response, |response, (name, value)| response.header(name, value));
                response.body(Body::from(body)).expect("a response")
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen }
    }

    /// The requests since the last time this was asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }

    /// The same, their first lines alone.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|seen| seen.line).collect()
    }
}

/// Loads a spec whose namespaces are served at these URLs.
pub(crate) fn load(spec: &Path, backends: &[(&str, &str)], purpose: Purpose) -> Setup {
    let backend = backends.iter().map(|(namespace, url)| format!("{namespace}={url}")).collect();
    let options =
        Options { capabilities: vec![spec.to_owned()], backend, timeout: Some(20), ..crate::support::unasked() };
    setup(&options.settings().expect("settings"), purpose, Clock::Fixed(0)).expect("set up")
}

/// The same, of a spec without any error.
pub(crate) fn load_sound(spec: &Path, backends: &[(&str, &str)]) -> Setup {
    let set_up = load(spec, backends, Purpose::Call);
    let text = render_text(&set_up.diagnostics, &set_up.sources, Style::Plain);
    assert!(set_up.diagnostics.iter().all(|found| found.severity < Severity::Error), "{text}");
    set_up
}

/// Code and line of every error.
pub(crate) fn errors(set_up: &Setup) -> Vec<(&'static str, usize)> {
    let is_error = |found: &&Diagnostic| found.severity == Severity::Error;
    let place =
        |found: &Diagnostic| (found.code.as_str(), set_up.sources.position(found.primary.file, found.primary.start).0);
    set_up.diagnostics.iter().filter(is_error).map(place).collect()
}

/// The names of all tools.
pub(crate) fn tools(gateway: &Gateway) -> Vec<&str> {
    gateway.tools().map(|tool| tool.name.as_str()).collect()
}

pub(crate) async fn output(gateway: &Gateway, tool: &str, arguments: Value) -> Result<CallOutput, CallError> {
    let tool = gateway.tool(tool).unwrap_or_else(|| panic!("no tool `{tool}` among {:?}", tools(gateway)));
    let Value::Object(arguments) = arguments else { panic!("an object") };
    gateway.call(tool, arguments, &CallContext::new("00000000deadbeef")).await
}

/// The result of a call that succeeds.
pub(crate) async fn call(gateway: &Gateway, tool: &str, arguments: Value) -> Value {
    match output(gateway, tool, arguments).await {
        Ok(output) => output.structured().unwrap(),
        Err(error) => panic!("`{tool}`: {error}"),
    }
}

/// What callers have to show to the services of the shipyard.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    /// To the registry, as a bearer token.
    pub(crate) token: String,
    /// To the registry, in `Registry-Version`.
    pub(crate) version: String,
    /// To the dockyard, in `X-Dock-Key`.
    pub(crate) key: String,
}

/// The shipyard: the registry below `/registry/v1`, the dockyard below `/dockyard`. Without secrets, the registry asks for
/// nothing and tells less.
pub(crate) fn shipyard(secrets: Option<Secrets>) -> impl Fn(&Seen) -> Answer + Clone {
    move |seen| {
        if let Some(rest) = seen.line.split_once(" /registry/v1") {
            return registry(seen, rest, secrets.as_ref());
        }
        let Some(("GET", path)) = seen.line.split_once(" /dockyard") else { return not_found() };
        let key = secrets.as_ref().map(|secrets| secrets.key.as_str());
        if Some(seen.header("x-dock-key")) != key {
            return Answer::xml("<error><code>unauthorized</code><message>no key</message></error>").with_status(401);
        }
        match path {
            "/vessels" => Answer::xml(vessels(&["active", "laid_up"])),
            path => match path.strip_prefix("/vessels?status=") {
                Some(status) => Answer::xml(vessels(&[status])),
                None => not_found(),
            },
        }
    }
}

fn registry(seen: &Seen, (method, rest): (&str, &str), secrets: Option<&Secrets>) -> Answer {
    let shown = (seen.header("authorization"), seen.header("registry-version"));
    let expected = secrets.map(|secrets| (format!("Bearer {}", secrets.token), secrets.version.clone()));
    let expected = expected.unwrap_or_default();
    if shown != (expected.0.as_str(), expected.1.as_str()) {
        return Answer::json(&json!({"error": "unauthorized", "message": "token and version"})).with_status(401);
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let items = |list: Value| Answer::json(&list);
    match (method, path) {
        ("GET", "/ships") => {
            let wanted = query.strip_prefix("status=").unwrap_or_default();
            let mut list = ships();
            list.retain(|ship| wanted.is_empty() || ship["operational_status"] == *wanted);
            items(list.into_iter().map(|ship| if expected.0.is_empty() { summary(ship) } else { ship }).collect())
        }
        ("GET", "/crew") => items(crew()),
        ("GET", "/cargo") => items(cargo()),
        ("POST", "/voyages") => {
            let mut voyage = seen.json();
            voyage["voyageId"] = json!("VOY-9");
            voyage["status"] = json!("planned");
            Answer::json(&voyage).with_status(201)
        }
        ("GET", path) => {
            let found = match path.split('/').collect::<Vec<_>>().as_slice() {
                ["", "ships", number] => ships().into_iter().find(|ship| ship["imo_number"] == **number),
                ["", "voyages", "VOY-5"] => Some(voyage()),
                _ => None,
            };
            match found {
                Some(ship) if expected.0.is_empty() => Answer::json(&summary(ship)),
                Some(found) => Answer::json(&found),
                None => not_found(),
            }
        }
        _ => not_found(),
    }
}

fn not_found() -> Answer {
    Answer::json(&json!({"error": "not_found", "message": "nothing of this name"})).with_status(404)
}

pub(crate) fn ships() -> Vec<Value> {
    vec![
        json!({"imo_number": "IMO-1000019", "vessel_name": "Kittiwake", "vessel_type": "container", "flag_code": "IE",
            "operational_status": "active", "year_built": 2009, "gross_tonnage": 31250,
            "dimensions": {"length_overall": 187.5, "beam": 28, "draft": 9.25}, "assignedCrew": ["CREW-12", "CREW-11"]}),
        json!({"imo_number": "IMO-1000021", "vessel_name": "Grey Heron", "vessel_type": "tanker", "flag_code": "PT",
            "operational_status": "maintenance", "year_built": 1997, "gross_tonnage": 8000,
            "dimensions": {"length_overall": 120, "beam": 19, "draft": 6}, "assignedCrew": ["CREW-13", "CREW-99"]}),
        json!({"imo_number": "IMO-1000033", "vessel_name": "Sandpiper", "vessel_type": "passenger", "flag_code": "IS",
            "operational_status": "decommissioned"}),
    ]
}

fn summary(ship: Value) -> Value {
    const MEMBERS: [&str; 5] = ["imo_number", "vessel_name", "vessel_type", "flag_code", "operational_status"];
    MEMBERS.iter().map(|name| ((*name).to_owned(), ship[name].clone())).collect()
}

pub(crate) fn crew() -> Value {
    json!([
        {"crewId": "CREW-11", "fullName": "Inês Rocha", "role": "navigator", "certifications": ["A/1"]},
        {"crewId": "CREW-12", "fullName": "Pádraig Byrne", "role": "captain"},
        {"crewId": "CREW-13", "fullName": "Óskar Jónsson", "role": "engineer", "certifications": []},
    ])
}

pub(crate) fn cargo() -> Value {
    json!([
        {"cargoId": "CARGO-7", "type": "bulk", "description": "Road salt", "weight": 40, "hazardous": false},
        {"cargoId": "CARGO-8", "type": "liquid", "description": "Thinner <10 l>", "weight": 3.5, "hazardous": true},
    ])
}

pub(crate) fn voyage() -> Value {
    json!({"voyageId": "VOY-5", "shipImo": "IMO-1000021", "departurePort": "Cork", "arrivalPort": "Porto",
        "departureDate": "2027-01-02T03:04:05Z", "arrivalDate": "2027-01-09T10:11:12Z", "crewIds": ["CREW-11"],
        "cargoIds": ["CARGO-8", "CARGO-7"], "status": "in_progress"})
}

/// The vessels of these states; one is active, one laid up, and none of any other.
pub(crate) fn vessels(states: &[&str]) -> String {
    const ALL: [(&str, &str, &str, &str, &str); 2] =
        [("DOCK-1", "Gannet &amp; Sons", "cargo", "GB", "active"), ("DOCK-2", "Čáp", "bulk_carrier", "HR", "laid_up")];
    let found = ALL.iter().filter(|vessel| states.contains(&vessel.4));
    let vessels = found.map(|(code, name, category, flag, status)| {
        format!(
            "<vessel><vesselCode>{code}</vesselCode><vesselName>{name}</vesselName><category>{category}</category>\
             <flagState>{flag}</flagState><operationalStatus>{status}</operationalStatus></vessel>"
        )
    });
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vessels>{}</vessels>\n", vessels.collect::<String>())
}
