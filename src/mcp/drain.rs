//! Leaving without losing answers: a transport that ends only when every request it delivered has been answered. Plain calls
//! it has answered in place, if its other side can be written to past it.
//!
//! Knows nothing of tools. The service loop of the MCP library allows 5 s after the end of input and 2 s after a
//! cancellation, and both can cut a call short; here the end of input is held back instead.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rmcp::{
    ErrorData, RoleServer,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, GetExtensions as _, GetMeta, JsonRpcRequest,
        ProtocolVersion, RequestId, ServerJsonRpcMessage,
    },
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    HOW_TO_BEGIN, McpServer,
    in_flight::InFlight,
    methods, plain,
    unanswered::{Unanswered, Unsettled},
};
use crate::{
    metrics::{self, RequestOutcome},
    telemetry::trace::Span,
};

/// How long calls in flight may go on once the server is told to leave.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How many requests of one connection may be without an answer, or have one that the client has not taken yet.
const MAX_IN_FLIGHT: usize = 64;

/// How many requests of one connection may wait for others to be answered.
const MAX_HELD: usize = 64;

/// What to do about requests beyond those that are in flight and held back.
const TOO_MANY: &str =
    "too many requests of this connection wait for an answer; answer what you were asked or cancel some, then retry";

/// How long the answers of calls that were given up after the grace period may take to leave.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// When a [`Draining`] transport stops to read, and what it stops then.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// Stops the reading.
    pub(super) stop_reading: CancellationToken,
    /// Is cancelled when the reading has stopped: subscriptions would never end by themselves.
    pub(super) leaving: CancellationToken,
    /// Is cancelled when the calls in flight outlast the grace period.
    pub(super) abort: CancellationToken,
    /// Counts every request that waits for its answer.
    pub(super) in_flight: InFlight,
}

/// How plain calls are answered in place.
pub(super) struct InPlace {
    /// The server of this one connection.
    pub(super) server: McpServer,
    /// Writes a message to the client.
    pub(super) write: Write,
}

/// Writes a message.
pub(super) type Write = Arc<dyn Fn(Vec<u8>) -> BoxFuture<'static, io::Result<()>> + Send + Sync>;

/// A transport that reports the end of input only when each delivered request has its answer, or the grace period is
/// over.
pub(super) struct Draining<T> {
    inner: T,
    ending: Ending,
    in_place: Option<InPlace>,
    /// Answers in place that are on their way.
    answering: InFlight,
    /// Requests without an answer, those held back among them, and questions to the client.
    unanswered: Unanswered,
    /// Requests that wait for a place, in their order. Some may have been cancelled.
    held: VecDeque<(RequestId, ClientJsonRpcMessage)>,
    /// The places of requests in flight.
    places: Arc<Semaphore>,
    /// The places of answers that take no work: refusals and those to pings. They are free again when the client reads.
    prompt_places: Arc<Semaphore>,
    /// Whether the client has chosen a lifecycle: sent `initialize`, or a request that needs none.
    opened: bool,
    closing: Option<Closing>,
}

#[derive(Clone, Copy)]
enum Closing {
    Waiting { deadline: Instant },
    Aborted { deadline: Instant },
}

impl<T> Draining<T> {
    /// Wraps a transport.
    pub(super) fn new(inner: T, ending: Ending) -> Self {
        Self {
            inner,
            ending,
            in_place: None,
            answering: InFlight::default(),
            unanswered: Unanswered::default(),
            held: VecDeque::new(),
            places: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            prompt_places: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            opened: false,
            closing: None,
        }
    }

    /// The same transport, which has plain calls answered in place.
    pub(super) fn with_answers_in_place(self, in_place: InPlace) -> Self {
        Self { in_place: Some(in_place), ..self }
    }

    /// Keeps the books on a request of the client.
    fn enter(&mut self, request: &mut JsonRpcRequest<ClientRequest>, place: Option<OwnedSemaphorePermit>) {
        let counted = metrics::request(request.request.method());
        let meta = request.request.get_meta();
        let span = Span::request(request.request.method(), |name| meta.get(name)?.as_str());
        request.request.extensions_mut().insert(span.parent());
        let (entered, of_caller) = (self.ending.in_flight.enter(), request.request.extensions_mut().remove());
        self.unanswered.insert(request.id.clone(), Unsettled::new(counted, span, entered, place, of_caller));
    }

    /// Delivers a request: returned, if the library is to answer it.
    fn delivered(&self, message: ClientJsonRpcMessage) -> Option<ClientJsonRpcMessage> {
        let (Some(in_place), ClientJsonRpcMessage::Request(request)) = (&self.in_place, &message) else {
            return Some(message);
        };
        let ClientRequest::CallToolRequest(call) = &request.request else { return Some(message) };
        // The first call goes the library's way: whom a result is for is known from then on.
        let peer = in_place.server.peer.get();
        let Some(peer) = peer.filter(|_| plain::is_plain(call) && in_place.server.answers_at_once(&call.params.name))
        else {
            return Some(message);
        };
        let ClientJsonRpcMessage::Request(request) = message else { return Some(message) };
        let (id, given_up) = (request.id.clone(), CancellationToken::new());
        let number = self.unanswered.begin(&id, given_up.clone().drop_guard())?;
        let (server, write, peer) = (in_place.server.clone(), Arc::clone(&in_place.write), peer.clone());
        let (unanswered, answering) = (self.unanswered.clone(), self.answering.enter());
        tokio::spawn(async move {
            let answer = Box::pin(server.answer(request, peer));
            let answer = tokio::select! {
                biased;
                answer = answer => Some(answer),
                () = given_up.cancelled() => None,
            };
            // A request that was cancelled meanwhile gets no answer.
            if let Some((message, outcome)) = answer
                && let Some(mut request) = unanswered.end(&id, number)
            {
                request.answered(outcome);
                if let Some(line) = written(&message) {
                    drop(write(line).await); // a client that left needs no answer
                }
            }
            drop(answering);
            unanswered.ring();
        });
        None
    }

    /// The same on any other message. False means that it has to be left out.
    fn admit(&mut self, message: &ClientJsonRpcMessage) -> bool {
        match message {
            ClientJsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // A cancelled request gets no answer.
                    self.unanswered.remove(id);
                    self.held.retain(|(held, _)| held != id);
                }
            }
            ClientJsonRpcMessage::Response(response) => {
                self.unanswered.told(&response.id);
            }
            ClientJsonRpcMessage::Error(error) => {
                if let Some(id) = &error.id {
                    self.unanswered.told(id);
                }
            }
            ClientJsonRpcMessage::Request(_) => {}
        }
        // Before a lifecycle is chosen, the library takes anything but a request as a reason to hang up.
        self.opened
    }

    /// Whether to read on. A client that sends faster than it reads has to wait, or its answers would fill the memory; but
    /// while it is asked something its answer must not wait, or nothing would end any more.
    fn reads_on(&self) -> bool {
        self.held.is_empty() || (self.opened && (self.held.len() < MAX_HELD || self.unanswered.asks()))
    }

    /// The request that was held back for longest, now that there is a place for it; returned, if the library is to answer
    /// it.
    fn released(&mut self, place: OwnedSemaphorePermit) -> Option<ClientJsonRpcMessage> {
        let (id, message) = self.held.pop_front()?;
        if self.unanswered.give_place(&id, place) { self.delivered(message) } else { None }
    }
}

impl<T: Transport<RoleServer>> Draining<T> {
    /// What to do with a request: returned is one that the library is to answer now. The place is one for a prompt answer.
    fn requested(
        &mut self,
        mut request: JsonRpcRequest<ClientRequest>,
        prompt: OwnedSemaphorePermit,
    ) -> Option<ClientJsonRpcMessage> {
        let is_ping = matches!(&request.request, ClientRequest::PingRequest(_));
        let error = if self.unanswered.contains(&request.id) {
            // The library would mix the two up and leave one without an answer.
            ErrorData::invalid_request("a request with this id is in flight already", None)
        } else if !self.opened && says_no_era(&request.request) {
            ErrorData::invalid_params(HOW_TO_BEGIN, None)
        } else if !is_ping && self.held.len() >= MAX_HELD {
            ErrorData::internal_error(TOO_MANY, None)
        } else {
            self.opened |= opens(&request.request);
            let place = if is_ping {
                Some(prompt)
            } else if self.held.is_empty() {
                Arc::clone(&self.places).try_acquire_owned().ok()
            } else {
                None
            };
            let is_held = place.is_none();
            self.enter(&mut request, place);
            let id = request.id.clone();
            let message = ClientJsonRpcMessage::Request(request);
            if !is_held {
                return self.delivered(message);
            }
            self.held.push_back((id, message));
            return None;
        };
        let sending = self.inner.send(TxJsonRpcMessage::<RoleServer>::error(error, Some(request.id)));
        tokio::spawn(async move {
            drop(sending.await); // a client that left needs no refusal
            drop(prompt);
        });
        None
    }
}

/// A message as it is sent.
fn written(message: &ServerJsonRpcMessage) -> Option<Vec<u8>> {
    serde_json::to_vec(message).inspect_err(|error| tracing::error!(%error, "an answer could not be written")).ok()
}

/// A place for a request that is held back; never, where none is.
async fn place_for(places: &Arc<Semaphore>, is_wanted: bool) -> Option<OwnedSemaphorePermit> {
    if !is_wanted {
        return std::future::pending().await;
    }
    Arc::clone(places).acquire_owned().await.ok()
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Draining<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        mut message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        methods::tell_instead(&mut message);
        let (id, outcome) = match &message {
            TxJsonRpcMessage::<RoleServer>::Response(response) => (Some(&response.id), RequestOutcome::Ok),
            TxJsonRpcMessage::<RoleServer>::Error(error) => (error.id.as_ref(), RequestOutcome::Error),
            TxJsonRpcMessage::<RoleServer>::Request(request) => {
                self.unanswered.ask(request.id.clone());
                (None, RequestOutcome::Ok)
            }
            TxJsonRpcMessage::<RoleServer>::Notification(_) => (None, RequestOutcome::Ok),
        };
        let mut answered = id.and_then(|id| self.unanswered.remove(id));
        if let Some(request) = &mut answered {
            request.answered(outcome);
        }
        let sending = self.inner.send(message);
        async move {
            let sent = sending.await;
            drop(answered);
            sent
        }
    }

    // The service loop drops this future whenever it has something to send and calls again afterwards: everything that
    // must last is in `self`, and each answer sent brings a fresh look at `pending`.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let Some(closing) = self.closing else {
                let reads_on = self.reads_on();
                let received = async {
                    if !reads_on {
                        return std::future::pending().await;
                    }
                    let place = Arc::clone(&self.prompt_places).acquire_owned().await.ok()?;
                    Some((self.inner.receive().await?, place))
                };
                let message = tokio::select! {
                    biased;
                    () = self.ending.stop_reading.cancelled() => None,
                    Some(place) = place_for(&self.places, !self.held.is_empty()) => {
                        match self.released(place) {
                            Some(message) => return Some(message),
                            None => continue,
                        }
                    }
                    message = received => message,
                };
                match message {
                    Some((ClientJsonRpcMessage::Request(request), place)) => {
                        if let Some(message) = self.requested(request, place) {
                            return Some(message);
                        }
                    }
                    Some((message, _)) => {
                        if self.admit(&message) {
                            return Some(message);
                        }
                        tracing::debug!("left out a message that came before the handshake");
                    }
                    None => {
                        self.ending.leaving.cancel();
                        self.closing = Some(Closing::Waiting { deadline: Instant::now() + GRACE });
                    }
                }
                continue;
            };
            let (Closing::Waiting { deadline } | Closing::Aborted { deadline }) = closing;
            if self.unanswered.is_empty() {
                // Answers in place are still being written, perhaps to a client that reads no more.
                drop(tokio::time::timeout_at(deadline, self.answering.idle()).await);
                return None;
            }
            // Nobody answers any more.
            if let Some(id) = self.unanswered.withdraw() {
                let error = ErrorData::internal_error("the client left without an answer", None);
                return Some(ClientJsonRpcMessage::error(error, Some(id)));
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => {}
                () = self.unanswered.rung() => continue,
                Some(place) = place_for(&self.places, !self.held.is_empty()) => {
                    match self.released(place) {
                        Some(message) => return Some(message),
                        None => continue,
                    }
                }
            }
            match closing {
                Closing::Waiting { .. } => {
                    tracing::warn!(calls = self.unanswered.len(), "giving up calls that outlasted the grace period");
                    self.ending.abort.cancel();
                    self.closing = Some(Closing::Aborted { deadline: Instant::now() + LINGER });
                }
                Closing::Aborted { .. } => return None,
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

/// Whether the library leaves its waiting state at this request (`serve_server_with_ct_inner` of rmcp 3.9.0).
fn opens(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        request => {
            let meta = request.get_meta();
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(|version| ProtocolVersion::KNOWN_VERSIONS.contains(&version))
        }
    }
}

/// Whether a request belongs to no era: it neither opens one nor names the protocol that it is of.
fn says_no_era(request: &ClientRequest) -> bool {
    let needs_none = matches!(request, ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_));
    !needs_none && !opens(request) && request.get_meta().protocol_version().is_none()
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible};

    use rmcp::model::{EmptyResult, NumberOrString, ServerJsonRpcMessage, ServerResult};
    use serde_json::json;

    use super::*;

    /// Delivers what it was given, then ends.
    struct Script(VecDeque<serde_json::Value>);

    impl Transport<RoleServer> for Script {
        type Error = Infallible;

        fn send(
            &mut self,
            _: TxJsonRpcMessage<RoleServer>,
        ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
            std::future::ready(Ok(()))
        }

        async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
            self.0.pop_front().map(|message| serde_json::from_value(message).unwrap())
        }

        async fn close(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    fn initialize(id: i64) -> serde_json::Value {
        json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}})
    }

    fn draining(script: Vec<serde_json::Value>) -> (Draining<Script>, Ending) {
        let ending = Ending {
            stop_reading: CancellationToken::new(),
            leaving: CancellationToken::new(),
            abort: CancellationToken::new(),
            in_flight: InFlight::default(),
        };
        (Draining::new(Script(script.into()), ending.clone()), ending)
    }

    fn answer(id: i64) -> ServerJsonRpcMessage {
        ServerJsonRpcMessage::response(ServerResult::EmptyResult(EmptyResult {}), NumberOrString::Number(id))
    }

    fn in_flight(ending: &Ending) -> usize {
        ending.in_flight.count()
    }

    #[tokio::test(start_paused = true)]
    async fn input_ends_when_the_last_request_is_answered() {
        let (mut transport, ending) = draining(vec![initialize(1), initialize(2)]);
        assert!(transport.receive().await.is_some());
        assert!(transport.receive().await.is_some());
        transport.send(answer(1)).await.unwrap();
        tokio::select! {
            biased;
            _ = transport.receive() => panic!("request 2 is still in flight"),
            () = tokio::task::yield_now() => {}
        }
        transport.send(answer(2)).await.unwrap();
        let before = Instant::now();
        assert!(transport.receive().await.is_none());
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(in_flight(&ending), 0);
        assert!(!ending.abort.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_outlast_the_grace_period_are_given_up() {
        let (mut transport, ending) = draining(vec![initialize(1)]);
        assert!(transport.receive().await.is_some());
        let before = Instant::now();
        assert!(transport.receive().await.is_none());
        assert_eq!(before.elapsed(), GRACE + LINGER);
        assert!(ending.abort.is_cancelled());
    }

    #[tokio::test]
    async fn a_stopped_transport_reads_no_more() {
        let (mut transport, ending) = draining(vec![initialize(1)]);
        ending.stop_reading.cancel();
        assert!(transport.receive().await.is_none());
        assert_eq!(transport.inner.0.len(), 1);
    }

    #[tokio::test]
    async fn a_cancelled_request_is_not_waited_for() {
        let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        let (mut transport, ending) = draining(vec![initialize(1), cancelled]);
        assert!(transport.receive().await.is_some());
        assert_eq!(in_flight(&ending), 1);
        assert!(transport.receive().await.is_some());
        assert_eq!(in_flight(&ending), 0);
        assert!(transport.receive().await.is_none());
    }

    #[tokio::test]
    async fn what_comes_before_the_handshake_is_left_out() {
        let early = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let answer = json!({"jsonrpc": "2.0", "id": 9, "result": {}});
        let (mut transport, _) = draining(vec![early.clone(), answer, initialize(1), early]);
        assert!(matches!(transport.receive().await, Some(ClientJsonRpcMessage::Request(_))));
        assert!(matches!(transport.receive().await, Some(ClientJsonRpcMessage::Notification(_))));
    }
}
