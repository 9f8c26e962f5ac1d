//! What this process counts about itself, in the text format of Prometheus (version 0.0.4).
//!
//! A leaf: whoever has something to count calls it. Recording is a few atomic additions. Every label is one of a fixed set
//! or the name of a tool that is offered, so that no caller can make a series; no label holds an argument or a secret.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The media type of [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label of what is in none of the lists below.
const OTHER: &str = "other";

/// Methods of requests, of both eras.
const METHODS: [&str; 20] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/list",
    "tasks/update",
    "tasks/cancel",
    OTHER,
];

/// What becomes of a call of a tool: success, or the kind of its failure.
const CALL_OUTCOMES: [&str; 29] = [
    "ok",
    "arguments",
    "unconfigured",
    "authorization",
    "status",
    "redirect",
    "timeout",
    "unreachable",
    "refused-host",
    "broken",
    "oversized",
    "decode",
    "shape",
    "unusable",
    "no-file",
    "unreadable-file",
    "cancelled",
    "internal",
    "declined",
    "capability",
    "unanswered",
    "unfinished",
    "refused",
    "denied",
    "waits-for-person",
    "not-confirmed",
    "unaudited",
    "paused",
    OTHER,
];

/// What becomes of a request to a backend: the class of its status, or why there is none.
const BACKEND_OUTCOMES: [&str; 11] =
    ["1xx", "2xx", "3xx", "4xx", "5xx", "timeout", "unreachable", "refused-host", "broken", "cancelled", OTHER];

/// The upper bounds of the buckets of durations, in seconds.
const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

static REQUESTS: Table<{ METHODS.len() }, { RequestOutcome::ALL.len() }> = Table::new();
static REQUEST_DURATIONS: [Histogram; METHODS.len()] = [const { Histogram::new() }; METHODS.len()];
static REQUESTS_IN_FLIGHT: AtomicU64 = AtomicU64::new(0);
static SESSIONS: [AtomicU64; Transport::ALL.len()] = [const { AtomicU64::new(0) }; Transport::ALL.len()];
static SUBSCRIPTIONS: AtomicU64 = AtomicU64::new(0);
static REFUSED: [AtomicU64; Refused::ALL.len()] = [const { AtomicU64::new(0) }; Refused::ALL.len()];
static BACKEND_REQUESTS: Table<{ BackendKind::ALL.len() }, { BACKEND_OUTCOMES.len() }> = Table::new();
static BACKEND_DURATIONS: [Histogram; BackendKind::ALL.len()] = [const { Histogram::new() }; BackendKind::ALL.len()];
static AUDIT_WRITTEN: AtomicU64 = AtomicU64::new(0);
static AUDIT_LOST: AtomicU64 = AtomicU64::new(0);
static AUDIT_FAILS: AtomicU64 = AtomicU64::new(0);
static TOOLS: RwLock<BTreeMap<String, Arc<Tool>>> = RwLock::new(BTreeMap::new());

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Standard input and output.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// HTTP+SSE.
    Sse,
}

impl Transport {
    const ALL: [(Self, &'static str); 3] = [(Self::Stdio, "stdio"), (Self::Http, "http"), (Self::Sse, "sse")];
}

/// What became of a request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// A result, that of a failed call included.
    Ok,
    /// A JSON-RPC error.
    Error,
    /// No answer: it was cancelled, or the client left.
    Cancelled,
}

impl RequestOutcome {
    const ALL: [(Self, &'static str); 3] = [(Self::Ok, "ok"), (Self::Error, "error"), (Self::Cancelled, "cancelled")];
}

/// What a caller was refused because a limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A session.
    Session,
    /// A subscription, or another quiet stream.
    Subscription,
    /// A request.
    Request,
}

impl Refused {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Session, "sessions"), (Self::Subscription, "subscriptions"), (Self::Request, "requests")];

    /// What it is called, of many.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or(OTHER, |(_, name)| name)
    }
}

/// Which backend a request went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// A service over HTTP.
    Remote,
    /// The one built in.
    Embedded,
}

impl BackendKind {
    const ALL: [(Self, &'static str); 2] = [(Self::Remote, "remote"), (Self::Embedded, "embedded")];

    /// What it is called.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or(OTHER, |(_, name)| name)
    }
}

/// Something that is open, until dropped.
#[derive(Debug)]
pub struct Held(&'static AtomicU64);

impl Held {
    fn new(gauge: &'static AtomicU64) -> Self {
        gauge.fetch_add(1, Relaxed);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Notes a session that was opened, until dropped.
pub fn session(transport: Transport) -> Held {
    let place = Transport::ALL.iter().position(|(known, _)| *known == transport).unwrap_or_default();
    Held::new(SESSIONS.get(place).unwrap_or(&SUBSCRIPTIONS))
}

/// Notes a subscription or another quiet stream that was opened, until dropped.
pub fn subscription() -> Held {
    Held::new(&SUBSCRIPTIONS)
}

/// Notes that a caller was refused something because of a limit.
pub fn refused(what: Refused) {
    let place = Refused::ALL.iter().position(|(known, _)| *known == what).unwrap_or_default();
    if let Some(count) = REFUSED.get(place) {
        count.fetch_add(1, Relaxed);
    }
}

/// Notes lines of the audit log that were written.
pub fn audit_written(lines: u64) {
    AUDIT_WRITTEN.fetch_add(lines, Relaxed);
}

/// Notes lines of the audit log that could not be written and are lost.
pub fn audit_lost(lines: u64) {
    AUDIT_LOST.fetch_add(lines, Relaxed);
}

/// Notes whether the audit log cannot be written at the moment.
pub fn audit_fails(fails: bool) {
    AUDIT_FAILS.store(u64::from(fails), Relaxed);
}

/// A request of a client, until it is answered; cancelled where it is dropped before that.
#[derive(Debug)]
pub struct Request {
    method: usize,
    started: Instant,
    outcome: RequestOutcome,
    _in_flight: Held,
}

/// A method of a request as a label: `other` where it is none that there is.
pub fn known_method(method: &str) -> &'static str {
    METHODS.get(place_in(&METHODS, method)).copied().unwrap_or(OTHER)
}

/// Notes a request of a client.
pub fn request(method: &str) -> Request {
    let method = place_in(&METHODS, method);
    let in_flight = Held::new(&REQUESTS_IN_FLIGHT);
    Request { method, started: Instant::now(), outcome: RequestOutcome::Cancelled, _in_flight: in_flight }
}

impl Request {
    /// Notes what became of it.
    pub fn answered(&mut self, outcome: RequestOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let outcome = RequestOutcome::ALL.iter().position(|(known, _)| *known == self.outcome).unwrap_or_default();
        REQUESTS.add(self.method, outcome);
        if let Some(durations) = REQUEST_DURATIONS.get(self.method) {
            durations.add(self.started.elapsed());
        }
    }
}

/// A request to a backend, until it is answered; cancelled where it is dropped before that.
#[derive(Debug)]
pub struct BackendRequest {
    kind: usize,
    started: Instant,
    outcome: &'static str,
}

/// Notes a request to a backend.
pub fn backend_request(kind: BackendKind) -> BackendRequest {
    let kind = BackendKind::ALL.iter().position(|(known, _)| *known == kind).unwrap_or_default();
    BackendRequest { kind, started: Instant::now(), outcome: "cancelled" }
}

impl BackendRequest {
    /// Notes the status of the answer.
    pub fn answered(&mut self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).checked_sub(1).filter(|class| *class < 5);
        self.outcome = class.and_then(|class| BACKEND_OUTCOMES.get(class)).copied().unwrap_or(OTHER);
    }

    /// Notes that there was no answer, and of what kind the failure was.
    pub fn failed(&mut self, kind: &'static str) {
        self.outcome = kind;
    }
}

impl Drop for BackendRequest {
    fn drop(&mut self) {
        BACKEND_REQUESTS.add(self.kind, place_in(&BACKEND_OUTCOMES, self.outcome));
        if let Some(durations) = BACKEND_DURATIONS.get(self.kind) {
            durations.add(self.started.elapsed());
        }
    }
}

/// Notes which tools there are now. Only of these there are series.
pub fn offered<'a>(names: impl IntoIterator<Item = &'a str>) {
    let mut tools = TOOLS.write().unwrap_or_else(PoisonError::into_inner);
    let mut before = std::mem::take(&mut *tools);
    *tools = names
        .into_iter()
        .map(|name| before.remove_entry(name).unwrap_or_else(|| (name.to_owned(), Arc::default())))
        .collect();
}

/// A call of a tool, until it ends; cancelled where it is dropped before that.
#[derive(Debug)]
pub struct ToolCall {
    /// None of a tool that is not offered, and of what is no longer counted.
    tool: Option<Arc<Tool>>,
    started: Instant,
    outcome: &'static str,
}

/// Notes a call of a tool. One of a tool that is not offered is not counted.
pub fn tool_call(name: &str) -> ToolCall {
    let tool = TOOLS.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    ToolCall { tool, started: Instant::now(), outcome: "cancelled" }
}

impl ToolCall {
    /// Notes what became of it: `ok` or the kind of its failure.
    pub fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// Does not count it: it goes on elsewhere.
    pub fn goes_on(mut self) {
        self.tool = None;
    }
}

impl Drop for ToolCall {
    fn drop(&mut self) {
        let Some(tool) = &self.tool else { return };
        if let Some(count) = tool.outcomes.get(place_in(&CALL_OUTCOMES, self.outcome)) {
            count.fetch_add(1, Relaxed);
        }
        tool.durations.add(self.started.elapsed());
    }
}

/// The place of a word in a list whose last entry stands for all others.
fn place_in(list: &[&str], word: &str) -> usize {
    list.iter().position(|known| *known == word).unwrap_or(list.len() - 1)
}

#[derive(Debug, Default)]
struct Tool {
    outcomes: [AtomicU64; CALL_OUTCOMES.len()],
    durations: Histogram,
}

/// Counters by two labels.
struct Table<const ROWS: usize, const COLUMNS: usize>([[AtomicU64; COLUMNS]; ROWS]);

impl<const ROWS: usize, const COLUMNS: usize> Table<ROWS, COLUMNS> {
    const fn new() -> Self {
        Self([const { [const { AtomicU64::new(0) }; COLUMNS] }; ROWS])
    }

    fn add(&self, row: usize, column: usize) {
        if let Some(count) = self.0.get(row).and_then(|row| row.get(column)) {
            count.fetch_add(1, Relaxed);
        }
    }
}

#[derive(Debug)]
struct Histogram {
    /// How many were at most as long as each bound and longer than the one before; the last: longer than all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    const fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1], sum_us: AtomicU64::new(0) }
    }

    fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Its series, unless nothing was ever added. `labels` is `name="value"`.
    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut count = 0_u64;
        let mut lines = String::new();
        let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count = count.saturating_add(bucket.load(Relaxed));
            line(&mut lines, &format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), count);
        }
        if count > 0 {
            text.push_str(&lines);
            line(text, &format!("{name}_sum"), labels, Duration::from_micros(self.sum_us.load(Relaxed)).as_secs_f64());
            line(text, &format!("{name}_count"), labels, count);
        }
    }
}

/// All series as text. What was never counted has none.
pub fn render() -> String {
    let mut text = String::with_capacity(16 * 1024);
    head(&mut text, "keyglass_build_info", "gauge", "The version of keyglass.");
    line(&mut text, "keyglass_build_info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);

    head(&mut text, "keyglass_requests_total", "counter", "Requests of MCP clients by method and outcome.");
    for (method, row) in METHODS.iter().zip(&REQUESTS.0) {
        for ((_, outcome), count) in RequestOutcome::ALL.iter().zip(row) {
            let labels = format!("method=\"{method}\",outcome=\"{outcome}\"");
            counted(&mut text, "keyglass_requests_total", &labels, count);
        }
    }
    let name = "keyglass_request_duration_seconds";
    head(&mut text, name, "histogram", "How long requests of MCP clients took.");
    for (method, durations) in METHODS.iter().zip(&REQUEST_DURATIONS) {
        durations.write(&mut text, name, &format!("method=\"{method}\""));
    }
    head(&mut text, "keyglass_requests_in_flight", "gauge", "Requests of MCP clients without an answer.");
    line(&mut text, "keyglass_requests_in_flight", "", REQUESTS_IN_FLIGHT.load(Relaxed));

    tools(&mut text);

    head(&mut text, "keyglass_sessions", "gauge", "Open sessions of MCP clients by transport.");
    for ((_, transport), count) in Transport::ALL.iter().zip(&SESSIONS) {
        line(&mut text, "keyglass_sessions", &format!("transport=\"{transport}\""), count.load(Relaxed));
    }
    head(&mut text, "keyglass_subscriptions", "gauge", "Open subscriptions and other quiet streams.");
    line(&mut text, "keyglass_subscriptions", "", SUBSCRIPTIONS.load(Relaxed));
    head(&mut text, "keyglass_refused_total", "counter", "What was refused because a limit was reached.");
    for ((_, limit), count) in Refused::ALL.iter().zip(&REFUSED) {
        line(&mut text, "keyglass_refused_total", &format!("limit=\"{limit}\""), count.load(Relaxed));
    }

    let name = "keyglass_backend_requests_total";
    head(&mut text, name, "counter", "Requests to backends by class of status, or why there is none.");
    for ((_, backend), row) in BackendKind::ALL.iter().zip(&BACKEND_REQUESTS.0) {
        for (outcome, count) in BACKEND_OUTCOMES.iter().zip(row) {
            counted(&mut text, name, &format!("backend=\"{backend}\",outcome=\"{outcome}\""), count);
        }
    }
    let name = "keyglass_backend_request_duration_seconds";
    head(&mut text, name, "histogram", "How long requests to backends took.");
    for ((_, backend), durations) in BackendKind::ALL.iter().zip(&BACKEND_DURATIONS) {
        durations.write(&mut text, name, &format!("backend=\"{backend}\""));
    }

    let name = "keyglass_audit_lines_total";
    head(&mut text, name, "counter", "Lines of the audit log, and those that could not be written.");
    for (outcome, count) in [("written", &AUDIT_WRITTEN), ("lost", &AUDIT_LOST)] {
        line(&mut text, name, &format!("outcome=\"{outcome}\""), count.load(Relaxed));
    }
    let name = "keyglass_audit_failing";
    head(&mut text, name, "gauge", "Whether the audit log cannot be written at the moment.");
    line(&mut text, name, "", AUDIT_FAILS.load(Relaxed));

    if let Some(bytes) = resident_bytes() {
        head(&mut text, "process_resident_memory_bytes", "gauge", "Resident memory of the process.");
        line(&mut text, "process_resident_memory_bytes", "", bytes);
    }
    text
}

fn tools(text: &mut String) {
    let tools = TOOLS.read().unwrap_or_else(PoisonError::into_inner).clone();
    let name = "keyglass_tool_calls_total";
    head(text, name, "counter", "Calls of tools by outcome: ok, or the kind of failure.");
    for (tool, series) in &tools {
        for (outcome, count) in CALL_OUTCOMES.iter().zip(&series.outcomes) {
            counted(text, name, &format!("tool=\"{}\",outcome=\"{outcome}\"", escaped(tool)), count);
        }
    }
    let name = "keyglass_tool_call_duration_seconds";
    head(text, name, "histogram", "How long calls of tools took.");
    for (tool, series) in &tools {
        series.durations.write(text, name, &format!("tool=\"{}\"", escaped(tool)));
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a text cannot fail.
    write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    if labels.is_empty() {
        writeln!(text, "{name} {value}").ok();
    } else {
        writeln!(text, "{name}{{{labels}}} {value}").ok();
    }
}

/// A line for what was counted at all.
fn counted(text: &mut String, name: &str, labels: &str, count: &AtomicU64) {
    match count.load(Relaxed) {
        0 => {}
        count => line(text, name, labels, count),
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// The resident memory of this process, where the system tells it cheaply.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    kilobytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_what_is_at_most_as_long() {
        let histogram = Histogram::new();
        for milliseconds in [1, 2, 700, 40_000] {
            histogram.add(Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        histogram.write(&mut text, "d", "a=\"b\"");
        for line in [
            "d_bucket{a=\"b\",le=\"0.001\"} 1",
            "d_bucket{a=\"b\",le=\"0.0025\"} 2",
            "d_bucket{a=\"b\",le=\"0.5\"} 2",
            "d_bucket{a=\"b\",le=\"1\"} 3",
            "d_bucket{a=\"b\",le=\"30\"} 3",
            "d_bucket{a=\"b\",le=\"+Inf\"} 4",
            "d_sum{a=\"b\"} 40.703",
            "d_count{a=\"b\"} 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        let mut text = String::new();
        Histogram::new().write(&mut text, "d", "a=\"b\"");
        assert_eq!(text, "", "nothing was counted");
    }

    #[test]
    fn only_tools_that_are_offered_have_series() {
        offered(["m_one", "m_two"]);
        for (name, outcome) in [("m_one", "ok"), ("m_two", "a kind of tomorrow"), ("canary-unknown", "ok")] {
            tool_call(name).ended(outcome);
        }
        offered(["m_one"]);
        let text = render();
        assert!(text.contains("keyglass_tool_calls_total{tool=\"m_one\",outcome=\"ok\"} 1\n"), "{text}");
        assert!(!text.contains("canary") && !text.contains("m_two"), "{text}");
        offered(["m_one", "m_two"]);
        assert!(render().contains("tool=\"m_one\",outcome=\"ok\"} 1"), "what stays goes on");
    }

    #[test]
    fn a_request_is_counted_once_it_is_over() {
        let mut answered = request("a method of nobody");
        answered.answered(RequestOutcome::Ok);
        drop(answered);
        drop(request("tasks/list"));
        let text = render();
        assert!(text.contains("keyglass_requests_total{method=\"other\",outcome=\"ok\"}"), "{text}");
        assert!(text.contains("keyglass_requests_total{method=\"tasks/list\",outcome=\"cancelled\"}"), "{text}");
        assert!(!text.contains("nobody"), "{text}");
    }

    #[test]
    fn every_kind_of_backend_outcome_has_its_label() {
        let mut answered = backend_request(BackendKind::Remote);
        answered.answered(http::StatusCode::IM_A_TEAPOT);
        drop(answered);
        let mut failed = backend_request(BackendKind::Embedded);
        failed.failed("timeout");
        drop(failed);
        let text = render();
        assert!(text.contains("{backend=\"remote\",outcome=\"4xx\"}"), "{text}");
        assert!(text.contains("{backend=\"embedded\",outcome=\"timeout\"}"), "{text}");
    }
}
