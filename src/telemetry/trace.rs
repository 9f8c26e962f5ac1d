//! Traces: a span for each request of a client, one for the call in it, one for each request of that to a backend, as
//! OpenTelemetry has them.
//!
//! They are there with the feature `opentelemetry` and where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector; otherwise
//! everything here does nothing. A span holds names that specs or this program give, methods, statuses and kinds of
//! failures: no argument, no answer, no address and no secret.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::metrics::{BackendKind, known_method};

#[cfg(feature = "opentelemetry")]
mod export;
#[cfg(feature = "opentelemetry")]
use export as tracer;
#[cfg(not(feature = "opentelemetry"))]
mod nothing;
#[cfg(not(feature = "opentelemetry"))]
use nothing as tracer;

pub use tracer::Tracing;

/// The two names under which a caller says which trace it is in (W3C Trace Context), in headers and in `_meta`.
const FIELDS: [&str; 2] = ["traceparent", "tracestate"];
/// The longest value of either that is read, in bytes.
const MAX_FIELD_BYTES: usize = 1024;

/// Starts sending spans, where that is built in and a collector is named. What is under way is sent when the value is
/// dropped, for a few seconds at most.
pub fn start() -> Tracing {
    tracer::start()
}

/// What a span is a part of. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Parent(tracer::Context);

tokio::task_local! {
    static CURRENT: Parent;
}

impl Parent {
    /// Does something whose requests to backends are parts of this.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }
}

/// The trace that a message says it is a part of.
#[derive(Debug, Deserialize)]
pub struct Said {
    traceparent: String,
    tracestate: Option<String>,
}

/// What a message says in the `_meta` of its parameters (MCP 2026-07-28), where that is looked at.
pub fn of_message(message: &[u8]) -> Option<Said> {
    #[derive(Deserialize)]
    struct Message {
        params: Parameters,
    }
    #[derive(Deserialize)]
    struct Parameters {
        #[serde(rename = "_meta")]
        meta: Said,
    }
    let is_looked_at = cfg!(feature = "opentelemetry");
    is_looked_at.then(|| serde_json::from_slice::<Message>(message).ok().map(|message| message.params.meta)).flatten()
}

impl Said {
    /// The value of one of the two fields.
    pub fn field(&self, name: &str) -> Option<&str> {
        if name == "traceparent" { Some(&self.traceparent) } else { self.tracestate.as_deref() }
    }
}

/// Something that takes time, until dropped.
#[derive(Debug)]
pub struct Span(tracer::Span);

impl Span {
    /// A request of a client, in the trace that the client names by `field`, if it does.
    pub fn request<'a>(method: &str, field: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        let method = known_method(method);
        let field = |name| field(name).filter(|value| value.len() <= MAX_FIELD_BYTES);
        let parent = tracer::Context::remote(FIELDS.map(|name| (name, field(name))));
        Self(tracer::Span::server(&parent, method, &[("mcp.method.name", method.to_owned())]))
    }

    /// A call of a tool or the reading of a resource, by the name that its spec gives it.
    pub fn call(parent: &Parent, name: &str) -> Self {
        Self(tracer::Span::internal(&parent.0, name, &[("keyglass.operation.name", name.to_owned())]))
    }

    /// A request to a backend, within the call that is under way.
    pub fn backend(method: &http::Method, kind: BackendKind) -> Self {
        let parent = CURRENT.try_with(Clone::clone).unwrap_or_default();
        let attributes = [("http.request.method", method.to_string()), ("keyglass.backend", kind.name().to_owned())];
        Self(tracer::Span::client(&parent.0, method.as_str(), &attributes))
    }

    /// What is a part of this.
    pub fn parent(&self) -> Parent {
        Parent(self.0.context())
    }

    /// Names this in a request.
    pub fn inject(&self, headers: &mut HeaderMap) {
        self.0.inject(headers);
    }

    /// Notes the status of an answer.
    pub fn answered(&mut self, status: StatusCode) {
        let code = status.as_u16();
        self.0.set("http.response.status_code", i64::from(code));
        if code >= 400 {
            self.0.fail(status.as_str());
        }
    }

    /// Notes that it failed, and the kind of the failure.
    pub fn failed(&mut self, kind: &'static str) {
        self.0.fail(kind);
    }
}
