//! Serving a router on a port: both HTTP versions, with TLS or without, bounded against clients that stall, and an end that lets answers out.
//! Knows nothing of what is served.

mod tls;
mod wiping;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{BoxError, Router, body::Body, extract::Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::Sleep,
};
use tower::ServiceExt;

pub use self::tls::{Tls, TlsError};
use self::wiping::{BUFFER_BYTES, Wiping};

/// How long a client may take for the head of a request, the wait for the next one on a kept connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait after the machine refused a connection, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much of a body that nobody wanted is read all the same, in bytes, and for how long where bodies have no time set.
const UNWANTED_BYTES: usize = 32 * 1024 * 1024;
const UNWANTED_TIME: Duration = Duration::from_secs(30);

/// How a port is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many connections may be open at a time; further ones wait until one ends.
    pub max_connections: usize,
    /// How long the body of a request may take to arrive; without one the handler decides.
    pub body_time: Option<Duration>,
    /// Where it speaks TLS: then nothing is served without.
    pub tls: Option<Tls>,
}

impl Default for Options {
    /// 768 connections, below the 1,024 open files that a process commonly may have.
    fn default() -> Self {
        Self { max_connections: 768, body_time: None, tls: None }
    }
}

/// The error of a body that took too long. What is left of it is not read, so the connection ends.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive within {} s", .0.as_secs())]
pub struct SlowBody(pub Duration);

/// A request's body. Where a request is refused before its body was read, the rest is read and thrown away: a body that
/// is still on its way would otherwise end the connection, and the client's next request with it.
struct ReadToItsEnd {
    body: Option<Incoming>,
    deadline: Option<(Pin<Box<Sleep>>, Duration)>,
}

impl ReadToItsEnd {
    fn new(body: Incoming, time: Option<Duration>) -> Self {
        let time = time.filter(|_| !hyper::body::Body::is_end_stream(&body));
        let deadline = time.map(|time| (Box::pin(tokio::time::sleep(time)), time));
        Self { body: Some(body), deadline }
    }
}

impl hyper::body::Body for ReadToItsEnd {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some((deadline, time)) = &mut self.deadline else { return Poll::Pending };
        let time = *time;
        std::task::ready!(deadline.as_mut().poll(context));
        self.body = None;
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
        let time = self.deadline.take().map_or(UNWANTED_TIME, |(_, time)| time);
        runtime.spawn(tokio::time::timeout(time, async move {
            let mut seen = 0_usize;
            while let Some(Ok(frame)) = body.frame().await {
                seen = seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
                if seen > UNWANTED_BYTES {
                    return;
                }
            }
        }));
    }
}

/// Serves until `shutdown` is done: HTTP/1.1, and HTTP/2 for clients that begin with it (over TLS agreed on by ALPN, else
/// h2c with prior knowledge, RFC 9113, section 3.3). Then no connection is taken any more, and this ends once every open request is answered; who
/// does not want to wait for that drops it.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Options { max_connections, body_time, tls } = options;
    let connections = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // With Nagle's algorithm on, the end of a streamed answer waits 40 ms for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not turn Nagle's algorithm off");
        }
        let (router, watcher, tls) = (router.clone(), graceful.watcher(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => speak(stream, router, body_time, watcher).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => speak(stream, router, body_time, watcher).await,
                    Err(error) => tracing::debug!(%error, "a client did not agree on keys"),
                },
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

/// Serves one connection to its end.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    body_time: Option<Duration>,
    watcher: Watcher,
) {
    let service = router.map_request(move |request: http::Request<Incoming>| -> Request {
        request.map(|body| Body::new(ReadToItsEnd::new(body, body_time)))
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER_BYTES);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT).max_concurrent_streams(256);
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(Wiping::new(stream)), TowerToHyperService::new(service))
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http::StatusCode;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        while !text.ends_with("the answer") {
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).await.expect("readable");
            assert_ne!(read, 0, "the connection was closed after: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        text
    }

    #[tokio::test]
    async fn a_refusal_before_the_body_leaves_the_connection_usable() {
        let router =
            Router::new().route("/", get(async || "the answer").post(async || (StatusCode::FORBIDDEN, "the answer")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(serve(listener, router, Options::default(), std::future::pending()));
        let mut stream = TcpStream::connect(address).await.expect("connected");
        for _ in 0..3 {
            stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n").await.expect("written");
            assert!(answer(&mut stream).await.starts_with("HTTP/1.1 403"), "refused before its body came");
            stream.write_all(b"body").await.expect("written");
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("written");
            assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        }
        server.abort();
    }
}
