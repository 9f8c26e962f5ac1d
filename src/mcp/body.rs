//! Bodies of HTTP requests, read whole within a size and a time before anything looks at them.
//!
//! Knows nothing of what is in them.

use std::{borrow::Cow, time::Duration};

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use hyper::body::Body as _;

use super::{limits::Limits, refusal::problem};

/// How many times the largest body is read and thrown away before the refusal of one that is larger.
const DISCARDED: usize = 8;

/// The whole body of a request; the refusal of one that is too large or too slow.
pub(super) async fn whole(limits: &Limits, body: Body) -> Result<Bytes, Response> {
    let (most, time) = (limits.max_body_bytes, limits.body_time);
    let read = tokio::time::timeout(time, read(body, most)).await.unwrap_or(Err(Fault::Slow));
    read.map_err(|fault| {
        let (status, message) = fault.told(most, time);
        tracing::warn!(status = status.as_u16(), reason = %message, "refused an HTTP request");
        problem(status, &message)
    })
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Large,
    Slow,
    Broken,
}

impl Fault {
    fn told(self, most: usize, time: Duration) -> (StatusCode, Cow<'static, str>) {
        match self {
            Self::Large => {
                let message = format!("the request body is larger than {most} bytes; send less");
                (StatusCode::PAYLOAD_TOO_LARGE, message.into())
            }
            Self::Slow => {
                let message = format!("the request body did not arrive within {} s", time.as_secs());
                (StatusCode::REQUEST_TIMEOUT, message.into())
            }
            Self::Broken => (StatusCode::BAD_REQUEST, "the request body could not be read".into()),
        }
    }
}

async fn read(body: Body, most: usize) -> Result<Bytes, Fault> {
    let mut chunks = body.into_data_stream();
    let first = chunks.next().await.transpose().map_err(|_| Fault::Broken)?.unwrap_or_default();
    // Most bodies come in one piece, which is not copied.
    if first.len() <= most && chunks.is_end_stream() {
        return Ok(first);
    }
    let (mut collected, mut length) = (BytesMut::new(), 0_usize);
    let mut chunks = stream::iter([Ok(first)]).chain(chunks);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Fault::Broken)?;
        length = length.saturating_add(chunk.len());
        if length <= most {
            collected.extend_from_slice(&chunk);
        } else {
            // An answer given while the client still writes is lost to many clients: they see a broken connection.
            collected.clear();
            if length > most.saturating_mul(DISCARDED) {
                break;
            }
        }
    }
    if length > most { Err(Fault::Large) } else { Ok(collected.freeze()) }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    const MOST: usize = 100 * 1024;

    async fn sent(body: Body) -> (u16, String) {
        let limits = Limits { max_body_bytes: MOST, body_time: Duration::from_secs(5), ..Limits::default() };
        match whole(&limits, body).await {
            Ok(body) => (200, body.len().to_string()),
            Err(response) => {
                let status = response.status().as_u16();
                let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                (status, String::from_utf8(text.to_vec()).unwrap())
            }
        }
    }

    #[tokio::test]
    async fn bodies_are_limited_whether_their_length_is_announced_or_not() {
        assert_eq!(sent(Body::from(vec![b' '; MOST])).await, (200, MOST.to_string()));
        let (status, text) = sent(Body::from(vec![b' '; MOST + 1])).await;
        assert!(status == 413 && text.contains("larger than 102400 bytes"), "{status} {text}");
        let chunks = (0..5).map(|_| Ok::<_, std::io::Error>(vec![b' '; MOST / 4]));
        assert_eq!(sent(Body::from_stream(futures_util::stream::iter(chunks))).await.0, 413);
        let broken = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("gone"))]);
        assert_eq!(sent(Body::from_stream(broken)).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let (status, text) = sent(Body::from_stream(never)).await;
        assert!(status == 408 && text.contains("within 5 s"), "{status} {text}");
    }
}
