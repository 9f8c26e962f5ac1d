//! A served port with more clients than it has connections for, and with clients that say nothing, send nothing or take
//! nothing.

use std::{convert::Infallible, future::pending, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use h2::client::{Connection, SendRequest};
use http::{Request, StatusCode};
use keyglass::http_server::{self, Options, Tls};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, oneshot},
};

use crate::support::within;

const ANSWER: &str = "the answer";
/// Long enough for what a client does at once, short enough to wait for.
const SOON: Duration = Duration::from_secs(1);
const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Serves a router on a port of its own.
async fn port(options: Options, router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http_server::serve(listener, router, options, pending()));
    address
}

fn short() -> Router {
    Router::new().route("/", get(async || ANSWER))
}

/// Asks over HTTP/1.1 and reads the answer.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(ASK).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(ANSWER.as_bytes()) {
        assert_ne!(within(stream.read_buf(&mut text)).await.unwrap(), 0, "closed after {text:?}");
    }
}

/// That the server closes a connection without a further word.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}

/// A connection that speaks HTTP/2, whose client grants each answer so many bytes.
async fn connect_h2(address: SocketAddr, window: u32) -> (SendRequest<Bytes>, Connection<TcpStream>) {
    let stream = TcpStream::connect(address).await.unwrap();
    h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap()
}

/// Asks over HTTP/2 and reads the answer.
async fn ask_h2(client: &mut SendRequest<Bytes>, connection: &mut Connection<TcpStream>) {
    let (answer, _) = client.send_request(Request::get("http://localhost/").body(()).unwrap(), true).unwrap();
    let read = async {
        let mut body = answer.await.unwrap().into_body();
        while let Some(data) = body.data().await {
            assert_eq!(data.unwrap(), ANSWER);
        }
    };
    within(async {
        tokio::select! {
            ended = connection => panic!("the connection ended: {ended:?}"),
            () = read => {}
        }
    })
    .await;
}

/// Clients that come while the server is busy wait; they are not turned away.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn hundreds_may_wait_to_be_taken_in() {
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let listener = http_server::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for number in 0..400.min(allowed) {
        let connecting = tokio::time::timeout(Duration::from_secs(20), TcpStream::connect(address));
        waiting.push(connecting.await.unwrap_or_else(|_| panic!("client {number} waits in vain")).unwrap());
    }
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_the_connection_that_rested_longest() {
    let options = Options { max_connections: 3, first_request_time: 2 * SOON, ..Options::default() };
    let address = port(options, short()).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let (mut client, mut of_h2) = connect_h2(address, 100).await;
    ask_h2(&mut client, &mut of_h2).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    ask(&mut kept).await;
    // So long a new one is spared.
    tokio::time::sleep(2 * SOON + Duration::from_millis(100)).await;

    let mut newcomers = Vec::new();
    for number in 0..3 {
        let mut newcomer = TcpStream::connect(address).await.unwrap();
        ask(&mut newcomer).await;
        newcomers.push(newcomer);
        match number {
            0 => closed(&mut silent).await,
            1 => within(&mut of_h2).await.expect("HTTP/2 ends with GOAWAY and no error"),
            _ => closed(&mut kept).await,
        }
    }
    for newcomer in &mut newcomers {
        ask(newcomer).await;
    }
}

#[tokio::test]
async fn a_connection_ends_that_is_without_a_request_for_too_long() {
    let address = port(Options { idle_time: SOON, ..Options::default() }, short()).await;
    let (mut client, mut connection) = connect_h2(address, 100).await;
    ask_h2(&mut client, &mut connection).await;
    for begun in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nhost: loc"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        closed(&mut stream).await;
    }
    let mut kept = TcpStream::connect(address).await.unwrap();
    ask(&mut kept).await;
    closed(&mut kept).await;
    within(connection).await.expect("HTTP/2 ends with GOAWAY and no error");
}

#[tokio::test]
async fn a_newcomer_waits_while_every_connection_has_a_request() {
    let router = Router::new().route("/", post(async |body: String| body).get(async || ANSWER));
    let address = port(Options { max_connections: 1, idle_time: SOON, ..Options::default() }, router).await;
    let mut one = TcpStream::connect(address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", ANSWER.len());
    one.write_all(head.as_bytes()).await.unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(ASK).await.unwrap();
    for letter in ANSWER.as_bytes() {
        tokio::time::sleep(SOON / 5).await;
        assert_eq!(one.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "not cut off");
        assert_eq!(other.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "not served");
        one.write_all(&[*letter]).await.unwrap();
    }
    for stream in [&mut one, &mut other] {
        let mut text = Vec::new();
        while !text.ends_with(ANSWER.as_bytes()) {
            assert_ne!(within(stream.read_buf(&mut text)).await.unwrap(), 0, "closed after {text:?}");
        }
    }
}

#[tokio::test]
async fn who_was_refused_and_never_sends_the_body_leaves_for_a_newcomer() {
    let router = Router::new().route("/", post(async || StatusCode::UNAUTHORIZED).get(async || ANSWER));
    let address = port(Options { max_connections: 1, ..Options::default() }, router).await;
    let mut refused = TcpStream::connect(address).await.unwrap();
    refused.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n").await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        assert_ne!(within(refused.read_buf(&mut text)).await.unwrap(), 0, "closed after {text:?}");
    }
    assert!(text.starts_with(b"HTTP/1.1 401"), "{text:?}");
    let mut newcomer = TcpStream::connect(address).await.unwrap();
    ask(&mut newcomer).await;
    closed(&mut refused).await;
}

#[tokio::test]
async fn a_quiet_stream_is_neither_idle_nor_slow() {
    let more = Arc::new(Notify::new());
    let wanted = more.clone();
    let events = async move || {
        let events = stream::unfold(0, move |number| {
            let wanted = wanted.clone();
            async move {
                if number > 0 {
                    wanted.notified().await;
                }
                Some((Ok::<_, Infallible>(format!("event {number};")), number + 1))
            }
        });
        Body::from_stream(events)
    };
    let router = short().route("/events", get(events));
    let options = Options { max_connections: 3, idle_time: SOON, answer_time: SOON, ..Options::default() };
    let address = port(options, router).await;
    let clients = [
        reqwest::Client::builder().no_proxy().http1_only().build().unwrap(),
        reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap(),
    ];
    let mut streams = Vec::new();
    for client in clients {
        let mut stream = within(client.get(format!("http://{address}/events")).send()).await.unwrap();
        assert_eq!(within(stream.chunk()).await.unwrap().unwrap(), "event 0;");
        streams.push(stream);
    }
    // When this one has ended, the streams have been quiet for longer than anything else may be.
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle).await;
    closed(&mut idle).await;
    for _ in 0..2 {
        let mut newcomer = TcpStream::connect(address).await.unwrap();
        ask(&mut newcomer).await;
    }
    for stream in &mut streams {
        more.notify_one();
        assert_eq!(within(stream.chunk()).await.unwrap().unwrap(), "event 1;");
    }
}

/// The length of a large answer, and of the pieces that it comes in.
const LARGE: usize = 32 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// A large answer, and word when it was let go of.
fn large() -> (Router, Arc<Notify>) {
    let gone = Arc::new(Notify::new());
    let bell = gone.clone();
    let answer = async move || {
        let (open, dropped) = oneshot::channel::<Infallible>();
        let bell = bell.clone();
        tokio::spawn(async move {
            drop(dropped.await);
            bell.notify_one();
        });
        let pieces = stream::unfold((open, 0), async |(open, number)| {
            (number < LARGE / PIECE).then(|| (Ok::<_, Infallible>(Bytes::from(vec![b'x'; PIECE])), (open, number + 1)))
        });
        Body::from_stream(pieces)
    };
    (Router::new().route("/", get(answer)), gone)
}

#[tokio::test]
async fn a_client_that_takes_its_answer_a_byte_at_a_time_is_cut_off() {
    let (router, gone) = large();
    let address = port(Options { answer_time: SOON, ..Options::default() }, router).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(address).await.unwrap();
    slow.write_all(ASK).await.unwrap();
    within(async {
        loop {
            tokio::select! {
                () = gone.notified() => break,
                () = tokio::time::sleep(SOON / 10) => assert_eq!(slow.read(&mut [0]).await.unwrap(), 1),
            }
        }
    })
    .await;

    let (mut client, connection) = connect_h2(address, 1000).await;
    let (answer, _) = client.send_request(Request::get("http://localhost/").body(()).unwrap(), true).unwrap();
    let connection = tokio::spawn(connection);
    let mut body = within(answer).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap().len(), 1000);
    for _ in 0..3 {
        body.flow_control().release_capacity(1).unwrap();
        within(body.data()).await.unwrap().unwrap();
    }
    within(gone.notified()).await;
    drop(within(connection).await);
    assert!(matches!(within(body.data()).await, Some(Err(_))), "cut off in the middle of an answer");
}

#[tokio::test]
async fn an_answer_of_which_nothing_or_one_byte_is_granted_ends_with_its_connection() {
    let options = Options { answer_time: SOON, idle_time: SOON, ..Options::default() };
    let address = port(options, short()).await;
    for window in [0, 1] {
        let (mut client, connection) = connect_h2(address, window).await;
        let (answer, _) = client.send_request(Request::get("http://localhost/").body(()).unwrap(), true).unwrap();
        let connection = tokio::spawn(connection);
        let mut body = within(answer).await.unwrap().into_body();
        if window > 0 {
            assert_eq!(within(body.data()).await.unwrap().unwrap(), "t");
        }
        assert!(!matches!(within(body.data()).await, Some(Ok(_))), "{window}");
        drop(within(connection).await);
    }
}

#[tokio::test]
async fn an_answer_in_one_piece_is_not_out_of_sight_once_a_part_of_it_is_taken() {
    let router = Router::new().route("/", get(async || vec![b'x'; 1024 * 1024]));
    let address = port(Options { answer_time: SOON, ..Options::default() }, router).await;
    let (mut client, connection) = connect_h2(address, 1000).await;
    let (answer, _) = client.send_request(Request::get("http://localhost/").body(()).unwrap(), true).unwrap();
    let connection = tokio::spawn(connection);
    let mut body = within(answer).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap().len(), 1000);
    assert!(matches!(within(body.data()).await, Some(Err(_))), "cut off");
    drop(within(connection).await);
}

#[tokio::test]
async fn many_small_answers_that_nobody_reads_end_with_their_connection() {
    const LENGTH: usize = 300 * 1024;
    let router = Router::new().route("/", get(async || vec![b'x'; LENGTH]));
    let address = port(Options { answer_time: SOON, ..Options::default() }, router).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let most = i32::MAX.cast_unsigned();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(most).initial_connection_window_size(most);
    let (mut client, mut connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    // Every stream has room for its whole answer, but what waits before the socket is not read.
    let answers: Vec<_> = (0..200)
        .map(|_| client.send_request(Request::get("http://localhost/").body(()).unwrap(), true).unwrap().0)
        .collect();
    assert!((&mut connection).now_or_never().is_none());
    tokio::time::sleep(4 * SOON).await;
    let connection = tokio::spawn(connection);
    let mut complete = 0;
    for answer in answers {
        let Ok(answer) = within(answer).await else { continue };
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(Ok(data)) = within(body.data()).await {
            length += data.len();
        }
        complete += usize::from(length == LENGTH);
    }
    assert!(complete < 200, "not cut off");
    drop(within(connection).await);
}

#[tokio::test]
async fn a_large_answer_reaches_a_client_that_takes_it() {
    let (router, _) = large();
    let address = port(Options::default(), router).await;
    for client in [
        reqwest::Client::builder().no_proxy().http1_only().build().unwrap(),
        reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap(),
    ] {
        let answer = within(client.get(format!("http://{address}/")).send()).await.unwrap();
        assert_eq!(within(answer.bytes()).await.unwrap().len(), LARGE);
    }
}

#[tokio::test]
async fn a_client_that_goes_on_taking_has_longer_for_a_large_answer() {
    let (router, _) = large();
    // Less than the whole takes below, and far more than a MiB of it.
    let address = port(Options { answer_time: Duration::from_secs(2), ..Options::default() }, router).await;
    let mut steady = TcpStream::connect(address).await.unwrap();
    steady.write_all(ASK).await.unwrap();
    let (mut length, mut rest) = (0, LARGE / 32);
    let mut buffer = vec![0; 64 * 1024];
    while length < LARGE {
        let read = within(steady.read(&mut buffer)).await.unwrap();
        assert_ne!(read, 0, "cut off after {length} bytes");
        length += read;
        if length > rest {
            rest += LARGE / 32;
            tokio::time::sleep(SOON / 3).await;
        }
    }
}

#[tokio::test]
async fn who_does_not_agree_on_keys_leaves_for_a_newcomer() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = SecretString::from(made.signing_key.serialize_pem());
    let tls = Tls::from_pem(&made.cert.pem(), &key).unwrap();
    let address = port(Options { max_connections: 1, tls: Some(tls), ..Options::default() }, short()).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let certificate = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
    let answer = within(client.get(format!("https://{address}/")).send()).await.unwrap();
    assert_eq!(within(answer.text()).await.unwrap(), ANSWER);
    closed(&mut silent).await;
}

#[tokio::test]
async fn at_the_end_open_requests_are_answered_and_nobody_else_is_waited_for() {
    let (release, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (hold, arrived) = (release.clone(), released.clone());
    let answer = async move || {
        arrived.notify_one();
        hold.notified().await;
        ANSWER
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Router::new().route("/", get(answer));
    let server = tokio::spawn(http_server::serve(listener, router, Options::default(), async move {
        drop(stopped.await);
    }));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut partial = TcpStream::connect(address).await.unwrap();
    partial.write_all(b"GET / HT").await.unwrap();
    // A client that never answers the ping after which HTTP/2 ends.
    let mut mute = TcpStream::connect(address).await.unwrap();
    mute.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(ASK).await.unwrap();
    within(released.notified()).await;
    drop(stop);
    for stream in [&mut silent, &mut partial] {
        closed(stream).await;
    }
    within(mute.read_to_end(&mut Vec::new())).await.unwrap();
    release.notify_one();
    let mut text = Vec::new();
    within(busy.read_to_end(&mut text)).await.unwrap();
    assert!(text.ends_with(ANSWER.as_bytes()), "{text:?}");
    within(server).await.unwrap().unwrap();
}
