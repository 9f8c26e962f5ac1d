//! One connection from its first byte to its end, and why it ends: its client left, was told to, asked for nothing, or
//! did not take what it had asked for.

use std::time::Duration;

use axum::{Router, body::Body};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use tower::ServiceExt as _;

use super::{
    Options,
    activity::{Answer, Look, Watched},
    body::ReadToItsEnd,
    crowd::{LEAVE_TIME, Place},
    wiping::{BUFFER_BYTES, Wiping},
};

/// How often a client that speaks HTTP/2 is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How many requests may be open at a time on a connection that speaks HTTP/2.
const MAX_STREAMS: u32 = 256;

/// How long a connection that is to end is still listened to.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// How long a connection is not looked at, at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, router: Router, options: &Options, place: Place) {
    // With Nagle's algorithm on, the end of a streamed answer waits 40 ms for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not turn Nagle's algorithm off");
    }
    let Some(tls) = &options.tls else { return speak(stream, router, options, place).await };
    tokio::select! {
        accepted = tls.accept(stream) => match accepted {
            Ok(stream) => speak(stream, router, options, place).await,
            Err(error) => tracing::debug!(%error, "a client did not agree on keys"),
        },
        () = place.leave.cancelled() => {}
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    options: &Options,
    place: Place,
) {
    let (activity, body_time) = (place.activity.clone(), options.body_time);
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let open = activity.open();
        let request = request.map(|body| Body::new(ReadToItsEnd::new(body, body_time, open.clone())));
        let answer = router.clone().oneshot(request);
        async move { answer.await.map(|answer| answer.map(|body| Answer::new(body, open))) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    // The library's own time for heads knows neither a client that says nothing nor HTTP/2: `idle_time` is for all.
    builder.http1().header_read_timeout(None).max_buf_size(BUFFER_BYTES);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).max_concurrent_streams(MAX_STREAMS);
    let io = TokioIo::new(Watched::new(Wiping::new(stream), place.activity.clone()));
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut told_at = None;
    let mut check = Check::of(place.activity.look(), told_at, options);
    loop {
        let next = match check {
            Check::At(next) => next,
            Check::Idle if told_at.is_none() => {
                place.leave.cancel();
                Instant::now()
            }
            Check::Idle => return tracing::debug!("a connection without a request did not end, and was cut off"),
            Check::Left => return tracing::debug!("a client did not take its answer in time, and was cut off"),
        };
        tokio::select! {
            // A request that has arrived is answered before the connection leaves.
            biased;
            ended = &mut connection => return if let Err(error) = ended {
                tracing::debug!(error, "a connection ended early");
            },
            () = place.leave.cancelled(), if told_at.is_none() => {
                told_at = Some(Instant::now());
                // A request may be here that the runtime has not noticed yet; closed now, its client would get no answer. The
                // answer to it says that the connection ends.
                if let Ok(ended) = tokio::time::timeout(LAST_LOOK, &mut connection).await {
                    return if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended early");
                    };
                }
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(next) => {}
        }
        check = Check::of(place.activity.look(), told_at, options);
    }
}

/// What is to be done about a connection.
enum Check {
    /// Nothing before then.
    At(Instant),
    /// It has been without a request for as long as it may.
    Idle,
    /// Its client has left an answer lying for as long as it may.
    Left,
}

impl Check {
    fn of(look: Look, told_at: Option<Instant>, options: &Options) -> Self {
        let Look { idle_since, left_since, spared_until: _ } = look;
        let idle_time = if told_at.is_some() { LEAVE_TIME } else { options.idle_time };
        let idle_since = idle_since.map(|since| told_at.map_or(since, |told_at| since.max(told_at)));
        let now = Instant::now();
        let idle_end = idle_since.and_then(|since| since.checked_add(idle_time));
        let left_end = left_since.and_then(|since| since.checked_add(options.answer_time));
        if left_end.is_some_and(|end| end <= now) {
            return Self::Left;
        }
        if idle_end.is_some_and(|end| end <= now) {
            return Self::Idle;
        }
        // What begins only now cannot be over before the shorter of the two times is.
        let soonest = now + idle_time.min(options.answer_time).min(LONGEST_SLEEP);
        Self::At([idle_end, left_end].into_iter().flatten().fold(soonest, Instant::min))
    }
}
