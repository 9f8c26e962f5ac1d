//! Which stream of a session each message of its service belongs to, and what is kept of each stream. Sends nothing itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use rmcp::{
    model::{
        ClientJsonRpcMessage, GetExtensions as _, GetMeta as _, ProgressToken, RequestId, ServerJsonRpcMessage,
        ServerNotification,
    },
    service::OriginatingRequestId,
    transport::streamable_http_server::session::ServerSseMessage,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{super::front::Held, SessionError};

/// How many events of a stream its client may be behind, and how many are kept to be sent again.
pub(super) const EVENTS: usize = 16;
/// How many further standing streams a session may have. They hear nothing while the first one is there.
const SPARE_STREAMS: usize = 32;
/// How long a client is to wait before it takes a stream up again.
pub(super) const RETRY: Duration = Duration::from_secs(3);
/// How long the events of a request that was cancelled are kept.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// Of how many such requests they are, at most.
pub(super) const MAX_KEPT: usize = 32;
/// All that is on its way between a client and its service, in both directions.
pub(super) struct Table {
    /// Messages of the client that the service has not taken yet.
    pub(super) arrived: VecDeque<ClientJsonRpcMessage>,
    pub(super) opening: Opening,
    /// Streams of requests, by a number of their own.
    pub(super) streams: HashMap<u64, RequestStream>,
    /// Which stream something belongs to.
    pub(super) owners: HashMap<Owned, u64>,
    next_stream: u64,
    /// Streams of requests that were cancelled and since when, in that order: what was sent on them may be asked for again.
    over: VecDeque<(u64, Instant)>,
    /// What belongs to no request.
    standing: Events,
    /// Further standing streams of the client.
    spare: Vec<mpsc::Sender<ServerSseMessage>>,
    pub(super) last_active: Instant,
}

/// How far the first message of a session has come.
pub(super) enum Opening {
    /// The client has sent nothing yet.
    Awaited,
    /// Gets the answer to the client's first message.
    Asked(oneshot::Sender<ServerJsonRpcMessage>),
    Done,
}

/// What messages of the service are about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owned {
    /// A request of the client.
    Request(RequestId),
    Progress(ProgressToken),
    /// A request of the service, which comes with one of the client.
    Question(RequestId),
}

/// The stream of one request.
pub(super) struct RequestStream {
    events: Events,
    owned: Vec<Owned>,
    is_over: bool,
    /// What the request takes, its id for one: until its answer has found its stream, or a later request of this id would
    /// get it.
    held: Option<Arc<Held>>,
}

/// The events of a stream.
struct Events {
    /// None where nobody listens.
    listener: Option<mpsc::Sender<ServerSseMessage>>,
    /// The last of them.
    kept: VecDeque<ServerSseMessage>,
    /// The number of the next one.
    next: usize,
    /// The stream's number, where it is that of a request.
    stream: Option<u64>,
}

/// An event's place: its number, and that of its stream where it has one.
fn event_id(number: usize, stream: Option<u64>) -> String {
    match stream {
        Some(stream) => format!("{number}/{stream}"),
        None => number.to_string(),
    }
}

/// The number of an event and that of its stream, by its id.
pub(super) fn place_of(event_id: &str) -> Option<(usize, Option<u64>)> {
    match event_id.split_once('/') {
        Some((number, stream)) => Some((number.parse().ok()?, Some(stream.parse().ok()?))),
        None => Some((event_id.parse().ok()?, None)),
    }
}

impl Events {
    /// The first event of each stream is one that primes it. That of a standing stream, which is number 0, is the library's.
    fn new(stream: Option<u64>, listener: Option<mpsc::Sender<ServerSseMessage>>) -> Self {
        Self { listener, kept: VecDeque::new(), next: usize::from(stream.is_none()), stream }
    }

    /// Keeps an event, and says who has to be sent it.
    fn add(
        &mut self,
        event: impl FnOnce(String) -> ServerSseMessage,
    ) -> Option<(mpsc::Sender<ServerSseMessage>, ServerSseMessage)> {
        let event = event(event_id(self.next, self.stream));
        self.next = self.next.wrapping_add(1);
        if self.kept.len() >= EVENTS {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        self.listener.clone().map(|listener| (listener, event))
    }

    /// Lets another client listen, who is sent the kept events behind this number, or all of them.
    fn take_up(&mut self, after: Option<usize>) -> Result<mpsc::Receiver<ServerSseMessage>, SessionError> {
        if after.is_some_and(|after| after >= self.next) {
            return Err(SessionError::UnknownEvent);
        }
        let first = self.next.saturating_sub(self.kept.len());
        let skipped = after.map_or(0, |after| after.saturating_add(1).saturating_sub(first));
        let (listener, events) = mpsc::channel(EVENTS);
        for event in self.kept.iter().skip(skipped) {
            // As many as are kept have room.
            listener.try_send(event.clone()).ok();
        }
        self.listener = Some(listener);
        Ok(events)
    }
}

impl Table {
    /// With nothing on its way.
    pub(super) fn new() -> Self {
        Self {
            arrived: VecDeque::new(),
            opening: Opening::Awaited,
            streams: HashMap::new(),
            owners: HashMap::new(),
            next_stream: 0,
            over: VecDeque::new(),
            standing: Events::new(None, None),
            spare: Vec::new(),
            last_active: Instant::now(),
        }
    }

    /// Notes that something happens. What was kept for long enough is forgotten.
    pub(super) fn touch(&mut self) {
        self.last_active = Instant::now();
        while let Some((number, since)) = self.over.front()
            && (since.elapsed() >= KEPT || self.over.len() > MAX_KEPT)
        {
            self.streams.remove(number);
            self.over.pop_front();
        }
    }

    /// Notes that these do not belong to this stream any more. Some may belong to a later one.
    fn disown(&mut self, number: u64, owned: &[Owned]) {
        for owned in owned {
            if self.owners.get(owned) == Some(&number) {
                self.owners.remove(owned);
            }
        }
    }

    /// A stream for what a request of the client leads to.
    pub(super) fn open_stream(&mut self, message: &ClientJsonRpcMessage) -> mpsc::Receiver<ServerSseMessage> {
        let number = self.next_stream;
        self.next_stream = number.wrapping_add(1);
        let (listener, events) = mpsc::channel(EVENTS);
        let mut stream = RequestStream {
            events: Events::new(Some(number), Some(listener)),
            owned: Vec::new(),
            is_over: false,
            held: None,
        };
        if let Some((listener, event)) = stream.events.add(|id| ServerSseMessage::priming(id, RETRY)) {
            listener.try_send(event).ok(); // it is the first
        }
        if let ClientJsonRpcMessage::Request(request) = message {
            stream.owned.push(Owned::Request(request.id.clone()));
            stream.owned.extend(request.request.get_meta().get_progress_token().map(Owned::Progress));
            let parts = request.request.extensions().get::<http::request::Parts>();
            stream.held = parts.and_then(|parts| parts.extensions.get::<Arc<Held>>()).cloned();
        }
        self.owners.extend(stream.owned.iter().map(|owned| (owned.clone(), number)));
        self.streams.insert(number, stream);
        events
    }

    /// Ends the stream of a request that the client has cancelled; its events can still be asked for.
    pub(super) fn cancel(&mut self, request: &RequestId) {
        let Some(number) = self.owners.remove(&Owned::Request(request.clone())) else { return };
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.is_over = true;
        stream.held = None;
        stream.events.listener = None;
        let owned = std::mem::take(&mut stream.owned);
        self.disown(number, &owned);
        self.over.push_back((number, Instant::now()));
    }

    /// The stream that a message of the service belongs to, if it is that of a request, and whether it is the last one on it.
    fn stream_of(&self, message: &ServerJsonRpcMessage) -> (Option<u64>, bool) {
        let of_request = |id: &RequestId| self.owners.get(&Owned::Request(id.clone())).copied();
        match message {
            ServerJsonRpcMessage::Request(request) => {
                let from = request.request.extensions().get::<OriginatingRequestId>();
                (from.and_then(|from| of_request(&from.0)), false)
            }
            ServerJsonRpcMessage::Notification(notification) => match &notification.notification {
                ServerNotification::ProgressNotification(progress) => {
                    let token = Owned::Progress(progress.params.progress_token.clone());
                    (self.owners.get(&token).copied(), false)
                }
                ServerNotification::CancelledNotification(cancelled) => {
                    let question = cancelled.params.request_id.clone().map(Owned::Question);
                    (question.and_then(|question| self.owners.get(&question).copied()), false)
                }
                _ => (None, false),
            },
            ServerJsonRpcMessage::Response(response) => (of_request(&response.id), true),
            ServerJsonRpcMessage::Error(error) => (error.id.as_ref().and_then(of_request), true),
        }
    }

    /// Puts a message of the service where it belongs, and says who has to be sent it.
    pub(super) fn route(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> Option<(mpsc::Sender<ServerSseMessage>, ServerSseMessage)> {
        self.touch();
        let event = |message| move |id: String| ServerSseMessage::new(id, message);
        let (number, is_last) = self.stream_of(&message);
        let Some(number) = number else {
            if is_last {
                // The request was cancelled. No other stream may have an answer (MCP 2025-11-25, streamable HTTP).
                return None;
            }
            self.stand_in();
            return self.standing.add(event(message));
        };
        if is_last {
            let mut stream = self.streams.remove(&number)?;
            self.disown(number, &stream.owned);
            return stream.events.add(event(message));
        }
        let stream = self.streams.get_mut(&number)?;
        if let ServerJsonRpcMessage::Request(request) = &message {
            let question = Owned::Question(request.id.clone());
            stream.owned.push(question.clone());
            self.owners.insert(question, number);
        }
        stream.events.add(event(message))
    }

    /// Lets a further standing stream hear what the first one does not any more.
    fn stand_in(&mut self) {
        while self.standing.listener.as_ref().is_some_and(mpsc::Sender::is_closed)
            && let Some(spare) = self.spare.pop()
        {
            self.standing.listener = Some(spare);
        }
    }

    /// A standing stream that is sent the kept events behind this number, or all of them. Where the client has one already, the new one
    /// hears nothing: two of them would else take the listening from each other for ever.
    fn stand(&mut self, after: Option<usize>) -> Result<mpsc::Receiver<ServerSseMessage>, SessionError> {
        if self.standing.listener.as_ref().is_none_or(mpsc::Sender::is_closed) {
            return self.standing.take_up(after);
        }
        if self.spare.len() >= SPARE_STREAMS {
            self.spare.remove(0);
        }
        let (listener, events) = mpsc::channel(EVENTS);
        self.spare.push(listener);
        Ok(events)
    }

    /// The stream of this number, or the standing one, with the kept events behind this one, or all of them.
    pub(super) fn resume(
        &mut self,
        after: Option<usize>,
        stream: Option<u64>,
    ) -> Result<mpsc::Receiver<ServerSseMessage>, SessionError> {
        self.spare.retain(|listener| !listener.is_closed());
        let Some(number) = stream else { return self.stand(after) };
        let stream = self.streams.get_mut(&number).ok_or(SessionError::UnknownEvent)?;
        let events = stream.events.take_up(after)?;
        if stream.is_over {
            // Nothing more will come.
            stream.events.listener = None;
        }
        Ok(events)
    }
}
