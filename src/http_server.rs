//! Serving a router on a port: both HTTP versions, with TLS or without, bounded against clients that stall, and an end that
//! lets answers out.
//!
//! - `crowd`: how many connections there may be, and which of them leaves for a newcomer
//! - `connection`, `activity`: one of them to its end; whether it has a request, and whether its client takes the answer
//! - `body`: bodies of requests
//! - `wiping`: buffers in which nothing stays
//! - `tls`: certificates
//!
//! Knows nothing of what is served.

mod activity;
mod body;
mod connection;
mod crowd;
mod tls;
mod wiping;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use self::crowd::Crowd;
pub use self::{
    body::SlowBody,
    tls::{Tls, TlsError},
};

/// How long to wait after the machine refused a connection, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many clients may wait to be taken in; the system may allow fewer. Linux answers one that waits too long beside a full
/// queue with a reset.
const BACKLOG: u32 = 4096;

/// Listens on a port, for as many clients at once as the system allows. The runtime's own way is for 128.
///
/// # Errors
///
/// Those of the system, as for an address that is in use.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port is free again as soon as its program has ended. On Windows this would allow to take it from one that runs.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How a port is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many connections may be open at a time. For a further one that which has been without a request for longest
    /// ends; where all have one, it waits.
    pub max_connections: usize,
    /// How long a connection may be without a request, the time for the head of one included.
    pub idle_time: Duration,
    /// How long a new connection is spared before its first request, where others want its place: its client may have to
    /// agree on keys over a long way, and with a machine that has much to do. Where all others are busy, newcomers would
    /// else chase each other away.
    pub first_request_time: Duration,
    /// How long the body of a request may take to arrive; without one the handler decides.
    pub body_time: Option<Duration>,
    /// How long a client may take to take in what it was given: an answer up to 1 MiB, each further MiB of a larger one,
    /// what has come up in a stream. Then its connection ends. A stream may be quiet for as long as it likes.
    pub answer_time: Duration,
    /// Where it speaks TLS: then nothing is served without.
    pub tls: Option<Tls>,
}

impl Default for Options {
    /// 768 connections, below the 1,024 open files that a process commonly may have; 60 s without a request, 5 s before
    /// the first where others want in, 60 s for an answer.
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        let first_request_time = Duration::from_secs(5);
        let answer_time = minute;
        Self { max_connections: 768, idle_time: minute, first_request_time, body_time: None, answer_time, tls: None }
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
    let leave = CancellationToken::new();
    let crowd = Crowd::new(options.max_connections, options.first_request_time, leave.clone());
    let leave = leave.drop_guard();
    let options = Arc::new(options);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // A client that left before it was taken in.
            Err(error) if has_left(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "could not take a connection");
                crowd.tell_one_to_leave();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = tokio::select! {
            () = &mut shutdown => break,
            place = crowd.place() => place,
        };
        let (router, options) = (router.clone(), Arc::clone(&options));
        tokio::spawn(async move { connection::serve(stream, router, &options, place).await });
    }
    drop(listener);
    drop(leave);
    crowd.gone().await;
    Ok(())
}

fn has_left(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
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
