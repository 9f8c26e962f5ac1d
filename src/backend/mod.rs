//! Where a request goes: over HTTP to a service, or to the backend built in. Knows nothing of tools.

pub mod embedded;
pub mod lookup;
pub mod remote;

use std::time::Duration;

use axum::{Router, body::Body};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

pub use self::{
    lookup::Lookup,
    remote::{Remote, USER_AGENT},
};
use crate::{catalog::service::Route, egress::Refusal, error::CallError};

/// The limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The deadline of a call, connection and answer included.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), max_answer_bytes: 2 * 1024 * 1024 }
    }
}

/// Where requests go. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Over HTTP to the host that the request names.
    Remote(Remote),
    /// To a router in this process; the host that the request names means nothing to it.
    Embedded(Router),
}

/// The backends in use; one that no service needs is absent.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    /// The one built in.
    pub embedded: Option<Backend>,
    /// The HTTP client.
    pub remote: Option<Backend>,
}

impl Backends {
    /// The one for a route.
    pub fn of(&self, route: Route) -> Option<&Backend> {
        match route {
            Route::Embedded => self.embedded.as_ref(),
            Route::Remote => self.remote.as_ref(),
        }
    }
}

impl Backend {
    /// Whether a request may go to a URL that an answer names. Error: why not.
    pub fn may_reach(&self, url: &url::Url) -> Result<(), Refusal> {
        match self {
            Self::Remote(remote) => remote.may_reach(url),
            Self::Embedded(_) => Err(Refusal::Unnamed),
        }
    }

    /// Sends a request and reads the whole answer, within the limits. The status is not judged here.
    ///
    /// Errors: [`CallError::Timeout`], [`CallError::Unreachable`], [`CallError::Broken`], [`CallError::Oversized`],
    /// [`CallError::RefusedHost`].
    pub async fn send(&self, request: Request<Bytes>, limits: &Limits) -> Result<Response<Bytes>, CallError> {
        let answer = async {
            match self {
                Self::Remote(remote) => remote.send(request, limits.max_answer_bytes).await,
                Self::Embedded(router) => send_embedded(router.clone(), request, limits.max_answer_bytes).await,
            }
        };
        // Large, and moved from hand to hand on its way.
        tokio::time::timeout(limits.timeout, Box::pin(answer)).await.unwrap_or(Err(CallError::Timeout(limits.timeout)))
    }
}

async fn send_embedded(router: Router, request: Request<Bytes>, limit: usize) -> Result<Response<Bytes>, CallError> {
    let Ok(response) = router.oneshot(request.map(Body::from)).await;
    let (parts, mut body) = response.into_parts();
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| CallError::Broken("in the middle of its body"))?;
        if let Ok(chunk) = frame.into_data() {
            append(&mut collected, &chunk, limit)?;
        }
    }
    Ok(Response::from_parts(parts, collected.freeze()))
}

/// Adds a chunk to what was read. Error: [`CallError::Oversized`] before the limit is exceeded.
fn append(collected: &mut BytesMut, chunk: &[u8], limit: usize) -> Result<(), CallError> {
    if collected.len() + chunk.len() > limit {
        return Err(CallError::Oversized(limit));
    }
    collected.extend_from_slice(chunk);
    Ok(())
}
