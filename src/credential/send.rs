//! Sending a request with its credential, within the deadline of the call.

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::Instant;

use super::Credential;
use crate::{
    backend::{Backend, Limits},
    egress::Refusal,
    error::CallError,
    metrics::{self, BackendKind},
    telemetry::trace::Span,
};

/// Sends a request with a credential, and holds the conversation that some kinds need, all within the limits. The status
/// is not judged here.
///
/// Errors: those of [`Backend::send`]; [`CallError::Unconfigured`] for a secret that cannot be sent;
/// [`CallError::Authorization`] where no token was issued.
pub async fn send(
    mut request: Request<Bytes>,
    credential: &Credential,
    backend: &Backend,
    limits: &Limits,
) -> Result<Response<Bytes>, CallError> {
    let way = Way { backend, limits, deadline: Instant::now() + limits.timeout };
    match credential {
        // Few hold a conversation; all calls would carry the room for it.
        Credential::Digest(digest) => Box::pin(digest.send(request, way)).await,
        Credential::OAuth2(oauth) => Box::pin(oauth.send(request, way)).await,
        _ => {
            credential.apply(&mut request)?;
            way.send(request).await
        }
    }
}

/// The way to a backend, for as long as the call lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    backend: &'a Backend,
    limits: &'a Limits,
    deadline: Instant,
}

impl Way<'_> {
    /// Sends one request of the conversation.
    pub(super) async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, CallError> {
        let kind = match self.backend {
            Backend::Remote(_) => BackendKind::Remote,
            Backend::Embedded(_) => BackendKind::Embedded,
        };
        let (mut counted, mut span) = (metrics::backend_request(kind), Span::backend(request.method(), kind));
        span.inject(request.headers_mut());
        let answer = self.within(self.backend.send(request, self.limits)).await.flatten();
        match &answer {
            Ok(answer) => {
                counted.answered(answer.status());
                span.answered(answer.status());
            }
            Err(error) => {
                counted.failed(error.kind());
                span.failed(error.kind());
            }
        }
        answer
    }

    /// Whether a request may go to a URL that an answer names. Error: why not.
    pub(super) fn may_reach(&self, url: &url::Url) -> Result<(), Refusal> {
        self.backend.may_reach(url)
    }

    /// Does something for as long as the call lasts.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, CallError> {
        tokio::time::timeout_at(self.deadline, work).await.map_err(|_| CallError::Timeout(self.limits.timeout))
    }
}
