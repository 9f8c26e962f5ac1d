//! The body of a request: how long it may take to arrive, and what becomes of it where nobody wants it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::BoxError;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::activity::Open;

/// How much of a body that nobody wanted is read all the same, in bytes, and for how long where bodies have no time set.
const UNWANTED_BYTES: usize = 32 * 1024 * 1024;
const UNWANTED_TIME: Duration = Duration::from_secs(30);

/// The error of a body that took too long. What is left of it is not read, so the connection ends.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive within {} s", .0.as_secs_f32())]
pub struct SlowBody(pub Duration);

/// A request's body. Where a request is refused before its body was read, the rest is read and thrown away: a body that
/// is still on its way would otherwise end the connection, and the client's next request with it.
pub(super) struct ReadToItsEnd {
    body: Option<Incoming>,
    time: Option<Duration>,
    /// Begins when there is something to wait for: how long others took before that is not the client's matter.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The request is open as long as somebody reads it.
    _open: Arc<Open>,
}

impl ReadToItsEnd {
    /// The body of a request that is open, with the time that it has.
    pub(super) fn new(body: Incoming, time: Option<Duration>, open: Arc<Open>) -> Self {
        Self { body: Some(body), time, deadline: None, _open: open }
    }
}

impl hyper::body::Body for ReadToItsEnd {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { body, time, deadline, _open: _ } = &mut *self;
        let Some(incoming) = body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(time) = *time else { return Poll::Pending };
        let deadline = deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        std::task::ready!(deadline.as_mut().poll(context));
        *body = None;
        Poll::Ready(Some(Err(SlowBody(time).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, hyper::body::Body::size_hint)
    }
}

impl Drop for ReadToItsEnd {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !hyper::body::Body::is_end_stream(body)) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let time = self.time.unwrap_or(UNWANTED_TIME);
        // Answered, the request is open no more: who never sends the body must not keep a place that others wait for.
        runtime.spawn(tokio::time::timeout(time, async move {
            let mut seen = 0_usize;
            while let Some(Ok(frame)) = body.frame().await {
                seen = seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
                if seen > UNWANTED_BYTES {
                    break;
                }
            }
        }));
    }
}
