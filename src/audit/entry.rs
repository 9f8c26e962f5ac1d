//! What one line of the log says, and how it is written: one JSON object, bounded in length.
//!
//! Knows neither files nor the chain beyond the code of the line before.

use std::{io::Write as _, sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::{
    arguments::{Arguments, Name},
    chain::{Code, hex},
};
use crate::{caller::Principal, prose::invisible::is_unseen};

/// The longest line, in bytes. One that would be longer is written without arguments and details.
pub(super) const MAX_LINE_BYTES: usize = 32 * 1024;
/// The longest name of a client, a tool or the like, in characters.
const MAX_NAME: usize = 128;
/// The longest text of other kinds, in characters.
const MAX_TEXT: usize = 256;
/// How many requests of one call are told one by one.
const MAX_REQUESTS: usize = 8;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call ended, or was refused.
    Call,
    /// A call that cannot be undone is about to send its first request. Its `call` follows, unless the process was killed.
    Intent,
    /// Somebody decided whether a call may be carried out.
    Decision,
    /// A person saw a secret.
    Reveal,
    /// A server started.
    Start,
    /// A server ended as it should.
    Stop,
    /// Lines could not be written.
    Lost,
    /// The line before was not written to its end, since its process was killed.
    Torn,
    /// The log goes on although what tells how far it went was not there, or was wrong.
    Recovered,
    /// A segment begins.
    Segment,
    /// A segment is removed, since there are as many as are kept.
    Removed,
}

impl Event {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Intent => "intent",
            Self::Decision => "decision",
            Self::Reveal => "reveal",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Lost => "lost",
            Self::Torn => "torn",
            Self::Recovered => "recovered",
            Self::Segment => "segment",
            Self::Removed => "removed",
        }
    }
}

/// What was decided about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be carried out, and nobody was asked.
    Allowed,
    /// A person is asked.
    Asked,
    /// A person agreed.
    Confirmed,
    /// A person did not agree.
    Declined,
    /// It is not one that can be carried out: an unknown tool, arguments that are wrong.
    Refused,
    /// Its caller may not do this.
    Denied,
}

impl Decision {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Asked => "asked",
            Self::Confirmed => "confirmed",
            Self::Declined => "declined",
            Self::Refused => "refused",
            Self::Denied => "denied",
        }
    }
}

/// How a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// MCP over standard input and output.
    Stdio,
    /// MCP over Streamable HTTP.
    Http,
    /// MCP over HTTP+SSE.
    Sse,
    /// A command.
    Command,
    /// The person's own page.
    Console,
}

impl Transport {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Sse => "sse",
            Self::Command => "command",
            Self::Console => "console",
        }
    }
}

/// Who asked for something, by what way.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who.
    pub principal: Principal,
    /// The name and the version that the client gives itself: it may say anything.
    pub client: Option<(String, String)>,
    /// By what transport.
    pub transport: Transport,
    /// What was asked for: `tools/call`, `prompts/get` and the like.
    pub method: &'static str,
}

impl Origin {
    /// Of a client that calls itself this.
    pub fn new(
        principal: Principal,
        client: Option<(&str, &str)>,
        (transport, method): (Transport, &'static str),
    ) -> Self {
        let client = client.map(|(name, version)| (cleaned(name, MAX_NAME), cleaned(version, MAX_NAME)));
        Self { principal, client, transport, method }
    }
}

/// A request that a call sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its `x-request-id`.
    pub id: String,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// What the backend calls it in its answer.
    pub backend_id: Option<String>,
}

/// What a line says.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Who asked for it.
    pub origin: Option<Arc<Origin>>,
    /// The tool, the prompt or the resource, by the name that its spec gives it; a digest of what it was called where there
    /// is none.
    pub tool: Option<Name>,
    /// What that may do at worst, by the name of the class.
    pub risk: Option<&'static str>,
    /// What it was called with.
    pub arguments: Option<Arc<Arguments>>,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Who decided, and how.
    pub decided_by: Option<String>,
    /// `ok`, or the kind of failure.
    pub outcome: Option<&'static str>,
    /// The requests that it sent.
    pub requests: Vec<Request>,
    /// The name of the call.
    pub request_id: Option<String>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// What else there is to be said. No secret, and nothing that a model or a backend said in its own words.
    pub details: Vec<(&'static str, Value)>,
}

impl Entry {
    /// An entry that says nothing but what happened and when, in milliseconds since the Unix epoch.
    pub fn new(event: Event, time_ms: i64) -> Self {
        Self {
            event,
            time_ms,
            origin: None,
            tool: None,
            risk: None,
            arguments: None,
            decision: None,
            decided_by: None,
            outcome: None,
            requests: Vec::new(),
            request_id: None,
            duration: None,
            details: Vec::new(),
        }
    }

    /// The same with a detail more. Its text is cleaned and cut.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// Writes the line as far as the code of the line before: an object without its last brace.
    pub(super) fn write(&self, line: &mut Vec<u8>, seq: u64, before: Code) {
        let from = line.len();
        self.write_all(line, (seq, before), true);
        if line.len().saturating_sub(from) > MAX_LINE_BYTES {
            line.truncate(from);
            self.write_all(line, (seq, before), false);
        }
    }

    fn write_all(&self, line: &mut Vec<u8>, (seq, before): (u64, Code), is_whole: bool) {
        let Self {
            event,
            time_ms,
            origin,
            tool,
            risk,
            arguments,
            decision,
            decided_by,
            outcome,
            requests,
            request_id,
            duration,
            details,
        } = self;
        let mut members = Members(line);
        members.0.extend_from_slice(b"{\"seq\":");
        write!(members.0, "{seq}").ok(); // writing to memory cannot fail
        members.raw("time", |line| {
            write!(line, "\"{}\"", time(*time_ms)).ok();
        });
        members.text("event", event.name());
        if let Some(origin) = origin {
            let Origin { principal, client, transport, method } = &**origin;
            members.text("principal", principal.name());
            if let Some(binding) = principal.lasting_binding() {
                members.text("principal_digest", &hex(binding.get(..8).unwrap_or_default()));
            }
            if let Some((name, version)) = client {
                members.text("client", name);
                members.text("client_version", version);
            }
            members.text("transport", transport.name());
            members.text("method", method);
        }
        match tool {
            Some(Name::Known(name)) => members.text("tool", &cleaned(name, MAX_NAME)),
            Some(Name::Unknown(digest)) => members.text("tool_digest", &digest.to_string()),
            None => {}
        }
        members.optional("risk", *risk);
        if let Some(arguments) = arguments.as_ref().filter(|_| is_whole) {
            arguments.write(&mut members);
        }
        members.optional("decision", decision.map(Decision::name));
        members.optional("decided_by", decided_by.as_ref().map(|by| cleaned(by, MAX_NAME)).as_deref());
        members.optional("outcome", *outcome);
        if let Some(last) = requests.last() {
            if let Some(status) = last.status {
                members.number("status", u64::from(status));
            }
            members.optional("backend_request_id", last.backend_id.as_deref());
            members.text("sent_request_id", &last.id);
        }
        if let [earlier @ .., _] = requests.as_slice()
            && !earlier.is_empty()
        {
            members.number("requests", u64::try_from(requests.len()).unwrap_or(u64::MAX));
            let first = earlier.iter().take(MAX_REQUESTS);
            members.raw("earlier_requests", |line| {
                line.push(b'[');
                for (place, request) in first.enumerate() {
                    line.extend_from_slice(if place > 0 { b",{\"id\":" } else { b"{\"id\":" });
                    quoted(line, &request.id);
                    if let Some(status) = request.status {
                        write!(line, ",\"status\":{status}").ok();
                    }
                    if let Some(id) = &request.backend_id {
                        line.extend_from_slice(b",\"backend_id\":");
                        quoted(line, id);
                    }
                    line.push(b'}');
                }
                line.push(b']');
            });
        }
        members.optional("request_id", request_id.as_deref());
        if let Some(duration) = duration {
            let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            members.raw("duration_ms", |line| {
                write!(line, "{}.{:03}", microseconds / 1000, microseconds % 1000).ok();
            });
        }
        for (name, value) in details.iter().filter(|_| is_whole) {
            match value {
                Value::String(text) => members.text(name, &cleaned(text, MAX_TEXT)),
                other => members.value(name, other),
            }
        }
        if !is_whole {
            members.value("shortened", &Value::Bool(true));
        }
        members.raw("prev", |line| {
            line.push(b'"');
            line.extend_from_slice(&before.text());
            line.push(b'"');
        });
    }
}

/// An object in the writing, behind its first member.
pub(super) struct Members<'a>(&'a mut Vec<u8>);

impl Members<'_> {
    pub(super) fn raw(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.0.push(b',');
        quoted(self.0, name);
        self.0.push(b':');
        value(self.0);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, |line| quoted(line, text));
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.raw(name, |line| {
            write!(line, "{number}").ok();
        });
    }

    fn value(&mut self, name: &str, value: &Value) {
        self.raw(name, |line| json(line, value));
    }
}

/// A text as JSON.
pub(super) fn quoted(line: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(line, text).ok(); // writing to memory cannot fail
}

/// A value as JSON.
pub(super) fn json(line: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(line, value).ok();
}

/// A time as it stands in the log (RFC 3339).
pub(super) fn time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A text that somebody else wrote: without characters that are orders to a terminal or hide others, and cut.
pub fn cleaned(text: &str, most: usize) -> String {
    // Most texts have nothing to hide, and are short.
    if text.len() <= most && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let hides = |character: char| character.is_control() || is_unseen(character);
    let mut characters = text.chars().filter(|character| !hides(*character));
    let mut cleaned: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        cleaned.push('…');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;

    fn written(entry: &Entry) -> Value {
        let mut line = Vec::new();
        entry.write(&mut line, 7, Code::NONE);
        assert!(line.len() <= MAX_LINE_BYTES, "{}", line.len());
        line.push(b'}');
        serde_json::from_slice(&line).unwrap()
    }

    fn entry() -> Entry {
        let client = Some(("a\u{202e}b\u{e0041}\u{3164}\n", "1"));
        let origin = Origin::new(Caller::local().principal, client, (Transport::Stdio, "tools/call"));
        Entry {
            origin: Some(Arc::new(origin)),
            tool: Some(Name::Known("get_secret".to_owned())),
            risk: Some("read"),
            decision: Some(Decision::Allowed),
            outcome: Some("ok"),
            requests: vec![Request { id: "ab".to_owned(), status: Some(200), backend_id: Some("req_1".to_owned()) }],
            request_id: Some("ab".to_owned()),
            duration: Some(Duration::from_micros(1_234_567)),
            ..Entry::new(Event::Call, 1_700_000_000_001)
        }
    }

    #[test]
    fn a_line_says_who_did_what_when_and_how_it_ended() {
        let principal = hex(&Caller::local().principal.lasting_binding().unwrap()[..8]);
        assert_eq!(
            written(&entry()),
            serde_json::json!({"seq": 7, "time": "2023-11-14T22:13:20.001Z", "event": "call", "principal": "local",
                "principal_digest": principal, "client": "ab", "client_version": "1", "transport": "stdio",
                "method": "tools/call", "tool": "get_secret", "risk": "read", "decision": "allowed", "outcome": "ok",
                "status": 200, "backend_request_id": "req_1", "sent_request_id": "ab", "request_id": "ab",
                "duration_ms": 1234.567, "prev": "00000000000000000000000000000000"})
        );
    }

    #[test]
    fn earlier_requests_are_told_too() {
        let request = |id: &str| Request { id: id.to_owned(), status: Some(201), backend_id: None };
        let entry = Entry { requests: (0..20).map(|id| request(&id.to_string())).collect(), ..entry() };
        let written = written(&entry);
        assert_eq!((&written["requests"], &written["sent_request_id"]), (&Value::from(20), &Value::from("19")));
        assert_eq!(written["earlier_requests"].as_array().map(Vec::len), Some(MAX_REQUESTS));
    }

    #[test]
    fn a_line_is_bounded() {
        let long = "\u{1f600}".repeat(100_000);
        let mut entry = Entry { decided_by: Some(long.clone()), ..entry() };
        for _ in 0..100 {
            entry = entry.with("more", long.as_str());
        }
        let written = written(&entry);
        assert_eq!(written["shortened"], true);
        assert_eq!(written["outcome"], "ok");
    }
}
