//! What one connection is at: whether a request is open on it, and since when its client leaves lying what it was given.
//!
//! Ends no connection, and knows nothing of the others.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

/// How many bytes of an answer a client has to take within the time it has, before that time begins anew.
const PORTION: usize = 1024 * 1024;
/// The largest piece of an answer that is handed on at a time: HTTP/2 takes a whole piece where its client granted a
/// single byte, and nobody sees any more what becomes of it.
const PIECE: usize = 16 * 1024;
/// How long a connection is spared between two requests of a client that sends one after the other.
const NEXT_REQUEST: Duration = Duration::from_millis(100);

/// What a connection is at.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// Rung when nothing is open any more.
    rests: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// Requests that are not answered to the end, or whose bodies are still on their way.
    open: usize,
    /// Since when there has been none, where there is none.
    idle_since: Instant,
    /// Until when it is not told to leave for another, where there is none.
    spared_until: Instant,
    /// What the machine takes of everything that is sent.
    output: Clock,
    /// What is taken of each answer.
    answers: BTreeMap<u64, Clock>,
    next_answer: u64,
}

/// How long something has been there to be taken.
#[derive(Debug, Default)]
struct Clock {
    since: Option<Instant>,
    taken: usize,
}

impl Clock {
    fn run(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn took(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken >= PORTION && self.since.is_some() {
            *self = Self { since: Some(Instant::now()), taken: 0 };
        }
    }

    fn stop(&mut self) {
        *self = Self::default();
    }
}

/// A connection at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Since when no request has been open and all answers have been sent, where that is so.
    pub(super) idle_since: Option<Instant>,
    /// Until when it is not told to leave for another, where it is idle: its next request may be on its way.
    pub(super) spared_until: Instant,
    /// Since when the client has left something lying, where it does. A stream that has nothing to say is not meant.
    pub(super) left_since: Option<Instant>,
}

impl Activity {
    /// Of a connection that was just opened, and is spared for so long. `rests` is rung whenever it comes to rest.
    pub(super) fn new(rests: Arc<Notify>, spared: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            open: 0,
            idle_since: now,
            spared_until: now + spared,
            output: Clock::default(),
            answers: BTreeMap::new(),
            next_answer: 0,
        };
        Self { state: Mutex::new(state), rests }
    }

    /// Notes that a request has come in.
    pub(super) fn open(self: &Arc<Self>) -> Arc<Open> {
        let mut state = self.lock();
        state.open = state.open.saturating_add(1);
        Arc::new(Open(Arc::clone(self)))
    }

    /// What it is at now.
    pub(super) fn look(&self) -> Look {
        let state = self.lock();
        let clocks = state.answers.values().chain([&state.output]);
        Look {
            idle_since: Some(state.idle_since).filter(|_| state.is_idle()),
            spared_until: state.spared_until,
            left_since: clocks.filter_map(|clock| clock.since).min(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        let was_idle = state.is_idle();
        change(&mut state);
        if !was_idle && state.is_idle() {
            state.idle_since = Instant::now();
            state.spared_until = state.idle_since + NEXT_REQUEST;
            drop(state);
            self.rests.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement made under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.open == 0 && self.output.since.is_none()
    }
}

/// A request that is open, until dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(|state| state.open = state.open.saturating_sub(1));
    }
}

/// The body of an answer. It is there to be taken until all that its handler gave was handed on.
pub(super) struct Answer {
    body: Body,
    /// What was not handed on yet of a piece that was too large.
    rest: Bytes,
    number: u64,
    open: Arc<Open>,
}

impl Answer {
    /// The answer to a request that is open.
    pub(super) fn new(body: Body, open: Arc<Open>) -> Self {
        let mut state = open.0.lock();
        let number = state.next_answer;
        state.next_answer = number.wrapping_add(1);
        drop(state);
        Self { body, rest: Bytes::new(), number, open }
    }

    fn clock(&self, change: impl FnOnce(&mut Clock)) {
        change(self.open.0.lock().answers.entry(self.number).or_default());
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                self.clock(Clock::stop);
                return Poll::Pending;
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.clock(|clock| {
            clock.run();
            clock.took(length);
        });
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        // The upper bound first: the lower one must not pass it.
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.open.0.lock().answers.remove(&self.number);
    }
}

/// A stream of bytes that notes whether the other side takes what is written.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Whether the clock of the output runs.
    waits: bool,
}

impl<S> Watched<S> {
    /// The stream of this connection.
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, waits: false }
    }

    fn note<T>(&mut self, result: &Poll<io::Result<T>>, took: impl FnOnce(&T, &mut Clock)) {
        match result {
            Poll::Pending if !self.waits => {
                self.waits = true;
                self.activity.change(|state| state.output.run());
            }
            Poll::Ready(Ok(value)) if self.waits => self.activity.change(|state| {
                took(value, &mut state.output);
                self.waits = state.output.since.is_some();
            }),
            _ => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&result, |written, output| output.took(*written));
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(&result, |written, output| output.took(*written));
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Both HTTP versions flush when they have written everything there is.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.note(&result, |(), output| output.stop());
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.note(&result, |(), output| output.stop());
        result
    }
}
