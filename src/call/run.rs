//! One call under way: the requests that it sends to services, and what their answers come to.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    Environment, MAX_BINARY_BYTES, REQUEST_ID,
    answer::{refused, shorten},
    cleaned,
    client::Client,
};
use crate::{
    backend::Limits,
    caller::Principal,
    catalog::{fill::Scope, plan::CompiledOperation, service::Endpoint},
    credential::{self, CallerKey, Credential},
    decode::{self, Decoded, Format},
    error::CallError,
    mask::Mask,
    policy::glass::Seen,
    prose::invisible::{self, one_line},
    work::work_on,
};

/// One call under way.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) environment: Environment<'a>,
    /// Secret arguments.
    pub(super) secrets: &'a [SecretString],
    pub(super) request_id: &'a str,
    pub(super) client: &'a dyn Client,
    pub(super) caller_key: Option<&'a CallerKey>,
    pub(super) principal: &'a Principal,
    /// Secrets in the answers so far.
    pub(super) seen: &'a Seen,
    pub(super) started: Instant,
    /// How much was received in answers so far, in bytes.
    pub(super) received: &'a AtomicUsize,
    /// How long it waited for other things than backends, in milliseconds.
    pub(super) waited_ms: &'a AtomicU64,
}

impl Run<'_> {
    /// Carries one operation out, and waits for its end where it answers before. Known secrets are masked in its answer.
    pub(super) async fn operation(
        &self,
        operation: &CompiledOperation,
        scope: &Scope<'_>,
        request_id: &str,
    ) -> Result<Decoded, CallError> {
        let sent = self.sent(operation, scope, request_id).await?;
        match &operation.poll {
            None => self.judged(operation, &sent),
            // Few do; all calls would carry the room for it.
            Some(poll) => Box::pin(self.polled((operation, poll), scope, sent, request_id)).await,
        }
    }

    /// Sends the request of an operation.
    pub(super) async fn sent(
        &self,
        operation: &CompiledOperation,
        scope: &Scope<'_>,
        request_id: &str,
    ) -> Result<Sent, CallError> {
        let (endpoint, _) = self.endpoint(operation)?;
        let request = operation.request.bind(scope, &endpoint.base)?;
        self.sent_request(operation, request, request_id).await
    }

    /// Sends a request to the service of an operation.
    pub(super) async fn sent_request(
        &self,
        operation: &CompiledOperation,
        mut request: Request<Bytes>,
        request_id: &str,
    ) -> Result<Sent, CallError> {
        let (endpoint, own) = self.endpoint(operation)?;
        let credential = own.as_ref().unwrap_or(&endpoint.credential);
        if let Ok(id) = http::HeaderValue::from_str(request_id) {
            request.headers_mut().insert(REQUEST_ID, id);
        }
        let backend =
            self.environment.backends.of(operation.service.route).ok_or_else(|| {
                CallError::Internal(format!("no backend is open for `{}`", operation.service.namespace))
            })?;
        // Needed by nobody else.
        let uri = if operation.poll.is_some() { request.uri().to_string() } else { String::new() };
        let limits = self.limits(operation)?;
        self.environment.recording.sending(request_id).await?;
        let response = credential::send(request, credential, backend, &limits).await;
        let response = response.map_err(|error| match error {
            // Of the call as a whole, however much of it was left for this request.
            CallError::Timeout(_) => CallError::Timeout(self.environment.limits.timeout),
            CallError::Unreachable { reason, whose: _ } => {
                CallError::Unreachable { reason, whose: format!(" of `{}`", operation.service.namespace) }
            }
            // A variable of its name may be a secret.
            CallError::RefusedHost { host, reason } => {
                CallError::RefusedHost { host: Mask::new(&endpoint.secrets).text(&host), reason }
            }
            other => other,
        })?;
        // After sending, since a token may have been issued on the way.
        let of_variables = operation.request.fills().into_iter().flat_map(|fill| fill.secrets());
        let of_caller = own.iter().flat_map(Credential::secrets).collect::<Vec<_>>();
        // Whatever it is for: who is sent it elsewhere may have told this service.
        let brought = self.caller_key.map(CallerKey::value);
        let others: Vec<_> = self.secrets.iter().chain(of_variables).chain(&of_caller).chain(brought).collect();
        let mask = match endpoint.mask() {
            Some(fixed) if others.is_empty() => fixed.clone(),
            _ => Mask::new(endpoint.secrets().iter().chain(others)),
        };
        let status = response.status().as_u16();
        tracing::Span::current().record("status", status);
        let theirs = id_in(response.headers()).map(|theirs| self.hidden(&mask.text(theirs)));
        self.environment.recording.answered(status, theirs.as_deref());
        Ok(Sent { response, mask, uri })
    }

    /// Where the requests of an operation go, and what its caller brings instead of the configured credential.
    fn endpoint<'b>(&self, operation: &'b CompiledOperation) -> Result<(&'b Endpoint, Option<Credential>), CallError> {
        let own = self.caller_key.and_then(|key| key.of(&operation.service.namespace));
        match own {
            Some(key) => operation.service.endpoint_for(key).map(|(endpoint, own)| (endpoint, Some(own))),
            None => operation.service.endpoint().map(|endpoint| (endpoint, None)),
        }
    }

    /// The answer of an operation, masked, where it is a success.
    pub(super) fn judged(&self, operation: &CompiledOperation, sent: &Sent) -> Result<Decoded, CallError> {
        let Sent { response, mask, uri: _ } = sent;
        let status = response.status();
        if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Err(CallError::Redirect { status });
        }
        if !status.is_success() {
            // What it says in one place may repeat what stands in another.
            if let Ok(body) = serde_json::from_slice::<Value>(response.body()) {
                self.seen.note(&cleaned(body), None);
            }
            return Err(refused(response, mask, self.environment.clock, &|text| self.hidden(text)));
        }
        self.received.fetch_add(response.body().len(), Ordering::Relaxed);
        self.work(|| {
            let mut answer = decoded(response, operation, &|text| self.hidden(&mask.text(text)))?;
            match &mut answer {
                Decoded::Json(answer) => {
                    // First as it is seen: a secret may come back with something hidden in it.
                    invisible::clean(answer);
                    mask.value(answer);
                }
                Decoded::Binary { bytes, .. } => *bytes = mask.bytes(bytes),
            }
            Ok(answer)
        })
    }

    /// A text from outside without secrets that are not the call's own.
    pub(super) fn hidden(&self, text: &str) -> String {
        self.environment.policy.glass().text(text, self.principal, self.seen).into_owned()
    }

    /// Does something with what was received.
    pub(super) fn work<T>(&self, work: impl FnOnce() -> T) -> T {
        work_on(self.received.load(Ordering::Relaxed), work)
    }

    /// The limits of what is left of the call.
    fn limits(&self, operation: &CompiledOperation) -> Result<Limits, CallError> {
        let limits = self.environment.limits;
        let waited = Duration::from_millis(self.waited_ms.load(Ordering::Relaxed));
        let worked = self.started.elapsed().saturating_sub(waited);
        let timeout = limits.timeout.checked_sub(worked).filter(|left| !left.is_zero());
        let timeout = timeout.ok_or(CallError::Timeout(limits.timeout))?;
        let max_answer_bytes = match operation.format {
            Format::Binary => operation.max_binary_size.unwrap_or(MAX_BINARY_BYTES),
            _ => limits.max_answer_bytes,
        };
        Ok(Limits { timeout, max_answer_bytes })
    }
}

/// What a service calls a request in its answer, unless it repeats our name for it.
fn id_in(headers: &http::HeaderMap) -> Option<&str> {
    static NAMES: [HeaderName; 4] = [
        HeaderName::from_static("request-id"),
        HeaderName::from_static("x-amzn-requestid"),
        HeaderName::from_static("x-correlation-id"),
        HeaderName::from_static(REQUEST_ID),
    ];
    NAMES.iter().find_map(|name| headers.get(name)?.to_str().ok())
}

/// What a service answered.
pub(super) struct Sent {
    pub(super) response: Response<Bytes>,
    /// Over what must not be seen of it.
    pub(super) mask: Mask,
    /// What was asked, where that may be needed again.
    pub(super) uri: String,
}

fn decoded(
    response: &Response<Bytes>,
    operation: &CompiledOperation,
    hide: &dyn Fn(&str) -> String,
) -> Result<Decoded, CallError> {
    let kind = response.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    // Of what stands there nothing but the kind of bytes is handed on, and what is said where they cannot be read.
    match decode::decode(&operation.format, kind, response.body()) {
        Ok(Decoded::Binary { bytes, media_type: _ }) => {
            // Before it is in lower case, where no secret would be known again.
            let media_type = decode::media_type(kind.map(hide).as_deref());
            // What the service says of its bytes counts, unless it says nothing.
            let stated = operation.media_type.clone().filter(|_| media_type == "application/octet-stream");
            Ok(Decoded::Binary { media_type: stated.unwrap_or(media_type), bytes })
        }
        Ok(json) => Ok(json),
        Err(problem) => {
            let kind = kind.map(hide);
            let kind = kind.as_deref().and_then(|kind| kind.split(';').next()).unwrap_or("no content type");
            let kind = shorten(&one_line(kind), 60);
            let reason = format!("{kind}; {}", one_line(&hide(&problem.reason)));
            Err(CallError::Decode { status: response.status(), expected: problem.expected, reason })
        }
    }
}
