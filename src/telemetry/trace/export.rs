//! Spans by OpenTelemetry's own library, sent over HTTP to the collector that the standard variables name.

use std::{collections::HashMap, sync::OnceLock, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context as Current, KeyValue,
    propagation::{Injector, TextMapPropagator as _},
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};

use crate::config;

/// How long what is under way may take to be sent at the end.
const LAST_WORDS: Duration = Duration::from_secs(3);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends spans, until dropped.
#[derive(Debug)]
pub struct Tracing(Option<SdkTracerProvider>);

pub(super) fn start() -> Tracing {
    let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    let is_off = |name, value: &str| config::variable(name).is_some_and(|text| text.eq_ignore_ascii_case(value));
    if named.iter().all(|name| config::variable(name).is_none())
        || is_off("OTEL_SDK_DISABLED", "true")
        || is_off("OTEL_TRACES_EXPORTER", "none")
    {
        return Tracing(None);
    }
    let exporter = match SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        // The library's text may repeat what stands in the variables, a credential among them.
        Err(_) => {
            tracing::error!("no traces are sent: the `OTEL_EXPORTER_OTLP_*` variables cannot be used");
            return Tracing(None);
        }
    };
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if config::variable("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("keyglass");
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    TRACER.set(provider.tracer("keyglass")).ok(); // once a process
    tracing::info!("traces are sent to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names");
    Tracing(Some(provider))
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && provider.shutdown_with_timeout(LAST_WORDS).is_err()
        {
            tracing::warn!("the last traces could not be sent");
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Context(Option<Current>);

impl Context {
    /// Of what a caller says; nothing where it says nothing that can be read.
    pub(super) fn remote(fields: [(&'static str, Option<&str>); 2]) -> Self {
        if TRACER.get().is_none() {
            return Self(None);
        }
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let fields: HashMap<String, String> = fields.collect();
        Self(Some(TraceContextPropagator::new().extract_with_context(&Current::new(), &fields)))
    }
}

#[derive(Debug)]
pub(super) struct Span(Option<Current>);

impl Span {
    pub(super) fn server(parent: &Context, name: &str, attributes: &[(&'static str, String)]) -> Self {
        Self::new(parent, SpanKind::Server, name, attributes)
    }

    pub(super) fn internal(parent: &Context, name: &str, attributes: &[(&'static str, String)]) -> Self {
        Self::new(parent, SpanKind::Internal, name, attributes)
    }

    pub(super) fn client(parent: &Context, name: &str, attributes: &[(&'static str, String)]) -> Self {
        Self::new(parent, SpanKind::Client, name, attributes)
    }

    fn new(parent: &Context, kind: SpanKind, name: &str, attributes: &[(&'static str, String)]) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let parent = parent.0.clone().unwrap_or_default();
        let attributes = attributes.iter().map(|(name, value)| KeyValue::new(*name, value.clone()));
        let span = tracer.span_builder(name.to_owned()).with_kind(kind).with_attributes(attributes);
        let span = span.start_with_context(tracer, &parent);
        Self(Some(parent.with_span(span)))
    }

    pub(super) fn context(&self) -> Context {
        Context(self.0.clone())
    }

    pub(super) fn inject(&self, headers: &mut HeaderMap) {
        if let Some(current) = &self.0 {
            TraceContextPropagator::new().inject_context(current, &mut Headers(headers));
        }
    }

    pub(super) fn set(&mut self, name: &'static str, value: i64) {
        if let Some(current) = &self.0 {
            current.span().set_attribute(KeyValue::new(name, value));
        }
    }

    pub(super) fn fail(&mut self, kind: &str) {
        if let Some(current) = &self.0 {
            current.span().set_attribute(KeyValue::new("error.type", kind.to_owned()));
            current.span().set_status(Status::error(kind.to_owned()));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(current) = &self.0 {
            current.span().end();
        }
    }
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, name: &str, value: String) {
        // An empty `tracestate` says nothing.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(&value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}
