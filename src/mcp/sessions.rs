//! The sessions of the older era over Streamable HTTP: what clients send goes to the session's service, what that sends goes
//! to the stream it belongs to.
//!
//! The library has such sessions too, each with a task and four channels of its own, whose buffers are there for as long
//! as the session is. A session that is silent is the usual one, so here it holds nothing but empty tables. What is
//! answered is the library's, event ids included (rmcp 3.9.0), but a stream that is taken up again goes on behind the last
//! event that its client has, which the library repeats. What belongs where is in `table`. Knows nothing of callers and what
//! they may use.

mod table;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::stream::{self, Stream};
use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, ClientNotification, ServerJsonRpcMessage},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::{
        Transport,
        streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager},
    },
};
use tokio::sync::{Notify, RwLock, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::table::{Opening, Table, place_of};
use crate::random::random_hex;

/// How long a session may be without its first message.
const OPENING: Duration = Duration::from_secs(60);

/// All open sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    /// By their ids. A session is in here until its service has ended.
    pub(super) sessions: RwLock<HashMap<SessionId, Arc<Session>>>,
    /// How long a session lasts without a message.
    idle: Duration,
}

/// What cannot be done to a session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("there is no session of this id")]
    Unknown,
    #[error("the session has ended")]
    Ended,
    #[error("no event of this session has this id")]
    UnknownEvent,
    #[error("no randomness available on this machine: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// One session, seen from the requests of its client.
pub(super) struct Session {
    table: Mutex<Table>,
    /// Something was put into `table.arrived`.
    arrival: Notify,
    /// Held while a message is sent, so that a client that reads slowly makes its session wait.
    turn: tokio::sync::Mutex<()>,
    /// Cancelled only with the table at hand.
    ended: CancellationToken,
}

/// Messages are not shown.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The session, seen from its service.
#[derive(Debug)]
pub(super) struct SessionTransport {
    session: Arc<Session>,
    idle: Duration,
}

impl Session {
    fn table(&self) -> MutexGuard<'_, Table> {
        // The tables belong together only while no statement under the lock can fail, and none can.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something for the client and hands its message to the service.
    fn arrive<T>(
        &self,
        message: ClientJsonRpcMessage,
        prepare: impl FnOnce(&mut Table, &ClientJsonRpcMessage) -> T,
    ) -> Result<T, SessionError> {
        let prepared = {
            let mut table = self.table();
            if self.ended.is_cancelled() {
                return Err(SessionError::Ended);
            }
            table.touch();
            let prepared = prepare(&mut table, &message);
            table.arrived.push_back(message);
            prepared
        };
        self.arrival.notify_one();
        Ok(prepared)
    }

    /// Ends the session, and all its streams.
    fn end(&self) {
        self.end_with(&mut self.table());
    }

    fn end_with(&self, table: &mut Table) {
        self.ended.cancel();
        *table = Table::new();
    }

    async fn send(&self, message: ServerJsonRpcMessage) -> Result<(), SessionError> {
        let _turn = self.turn.lock().await;
        if self.ended.is_cancelled() {
            return Err(SessionError::Ended);
        }
        let found = {
            let mut table = self.table();
            match std::mem::replace(&mut table.opening, Opening::Done) {
                Opening::Asked(client) => {
                    table.touch();
                    drop(table);
                    if client.send(message).is_err() {
                        // Nobody knows of the session.
                        self.end();
                        return Err(SessionError::Ended);
                    }
                    return Ok(());
                }
                Opening::Awaited | Opening::Done => table.route(message),
            }
        };
        let Some((listener, event)) = found else { return Ok(()) };
        tokio::select! {
            // One that left may ask for it again, unless it is the last.
            _ = listener.send(event) => Ok(()),
            () = self.ended.cancelled() => Err(SessionError::Ended),
        }
    }
}

impl Transport<RoleServer> for SessionTransport {
    type Error = SessionError;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let session = Arc::clone(&self.session);
        async move { session.send(message).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let (patience, last_active) = {
                let mut table = self.session.table();
                if let Some(message) = table.arrived.pop_front() {
                    if table.arrived.is_empty() {
                        // Messages are large, and the next one may be far away.
                        table.arrived = VecDeque::new();
                    }
                    return Some(message);
                }
                let patience = if matches!(table.opening, Opening::Awaited) { OPENING } else { self.idle };
                (patience, table.last_active)
            };
            tokio::select! {
                () = self.session.arrival.notified() => {}
                () = self.session.ended.cancelled() => return None,
                () = tokio::time::sleep_until(last_active + patience) => {
                    // What is no message for the service counts as well.
                    let mut table = self.session.table();
                    if table.last_active == last_active {
                        self.session.end_with(&mut table);
                        return None;
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.session.end();
        Ok(())
    }
}

impl Drop for SessionTransport {
    fn drop(&mut self) {
        self.session.end();
    }
}

impl Sessions {
    /// With none open. A session ends that had no message for as long as `idle`.
    pub(super) fn new(idle: Duration) -> Self {
        Self { sessions: RwLock::default(), idle }
    }

    async fn find(&self, id: &SessionId) -> Result<Arc<Session>, SessionError> {
        self.sessions.read().await.get(id).cloned().ok_or(SessionError::Unknown)
    }
}

fn streamed(
    mut events: mpsc::Receiver<ServerSseMessage>,
) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static {
    stream::poll_fn(move |context| events.poll_recv(context))
}

impl SessionManager for Sessions {
    type Error = SessionError;
    type Transport = SessionTransport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let id = SessionId::from(random_hex::<16>()?);
        let session = Arc::new(Session {
            table: Mutex::new(Table::new()),
            arrival: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            ended: CancellationToken::new(),
        });
        self.sessions.write().await.insert(id.clone(), session.clone());
        Ok((id, SessionTransport { session, idle: self.idle }))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        let session = self.find(id).await?;
        let (client, answer) = oneshot::channel();
        session.arrive(message, |table, _| table.opening = Opening::Asked(client))?;
        answer.await.map_err(|_| SessionError::Ended)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        // One that has ended stays until its service has as well.
        Ok(self.sessions.read().await.get(id).is_some_and(|session| !session.ended.is_cancelled()))
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        let session = self.sessions.write().await.remove(id);
        if let Some(session) = session {
            session.end();
        }
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.find(id).await?;
        // While a client does not read, its requests wait here, where they are counted: their answers would pile up.
        tokio::select! {
            _turn = session.turn.lock() => {}
            () = session.ended.cancelled() => {}
        }
        Ok(streamed(session.arrive(message, Table::open_stream)?))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.find(id).await?.arrive(message, |table, message| {
            if let ClientJsonRpcMessage::Notification(notification) = message
                && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                && let Some(request) = &cancelled.params.request_id
            {
                table.cancel(request);
            }
        })
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.find(id).await?;
        let mut table = session.table();
        table.touch();
        table.resume(None, None).map(streamed)
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.find(id).await?;
        let (after, stream) = place_of(&last_event_id).ok_or(SessionError::UnknownEvent)?;
        let mut table = session.table();
        table.touch();
        table.resume(Some(after), stream).map(streamed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use rmcp::{
        model::{GetExtensions as _, RequestId},
        service::OriginatingRequestId,
    };
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::{
        table::{EVENTS, KEPT, MAX_KEPT, RETRY},
        *,
    };

    const IDLE: Duration = Duration::from_secs(1800);

    fn of_client(message: Value) -> ClientJsonRpcMessage {
        serde_json::from_value(message).unwrap()
    }

    fn of_server(message: Value) -> ServerJsonRpcMessage {
        serde_json::from_value(message).unwrap()
    }

    fn ping(id: u32) -> ClientJsonRpcMessage {
        of_client(json!({"jsonrpc": "2.0", "id": id, "method": "ping", "params": {"_meta": {"progressToken": id}}}))
    }

    fn answer(id: u32) -> ServerJsonRpcMessage {
        of_server(json!({"jsonrpc": "2.0", "id": id, "result": {}}))
    }

    fn progress(token: u32, progress: u32) -> ServerJsonRpcMessage {
        let params = json!({"progressToken": token, "progress": progress});
        of_server(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
    }

    fn news() -> ServerJsonRpcMessage {
        of_server(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))
    }

    /// A session past its first message, seen from both ends.
    async fn opened() -> (Arc<Sessions>, SessionId, SessionTransport) {
        let sessions = Arc::new(Sessions::new(IDLE));
        let (id, mut service) = sessions.create_session().await.unwrap();
        let (asked, ()) = tokio::join!(sessions.initialize_session(&id, ping(0)), async {
            assert!(service.receive().await.is_some());
            service.send(answer(0)).await.unwrap();
        });
        assert!(matches!(asked.unwrap(), ServerJsonRpcMessage::Response(_)));
        (sessions, id, service)
    }

    async fn request(sessions: &Sessions, id: &SessionId, number: u32) -> impl Stream<Item = ServerSseMessage> {
        sessions.create_stream(id, ping(number)).await.unwrap()
    }

    /// The ids of all events up to the end of a stream, or up to the moment.
    async fn ids(events: impl Stream<Item = ServerSseMessage>) -> Vec<String> {
        let mut events = std::pin::pin!(events);
        let mut ids = Vec::new();
        while let Some(Some(event)) = events.next().now_or_never() {
            ids.extend(event.event_id);
        }
        ids
    }

    #[tokio::test]
    async fn what_a_request_leads_to_is_on_its_stream_which_then_ends() {
        let (sessions, id, mut service) = opened().await;
        let (first, second) = (request(&sessions, &id, 1).await, request(&sessions, &id, 2).await);
        assert!(service.receive().await.is_some() && service.receive().await.is_some());
        for message in [progress(2, 1), progress(1, 1), answer(2), answer(1), progress(1, 2)] {
            service.send(message).await.unwrap();
        }
        let first: Vec<_> = first.collect().await;
        let ids: Vec<_> = first.iter().filter_map(|event| event.event_id.as_deref()).collect();
        assert_eq!(ids, ["0/0", "1/0", "2/0"]);
        assert_eq!(first.first().and_then(|event| event.retry), Some(RETRY));
        assert_eq!(second.count().await, 3);
        // What comes too late belongs to nobody.
        assert_eq!(self::ids(sessions.create_standalone_stream(&id).await.unwrap()).await, ["1"]);
        let table = service.session.table();
        assert!(table.streams.is_empty() && table.owners.is_empty());
    }

    #[tokio::test]
    async fn a_standing_stream_has_what_was_missed_and_a_second_one_nothing() {
        let (sessions, id, mut service) = opened().await;
        for _ in 0..EVENTS + 4 {
            service.send(news()).await.unwrap();
        }
        let mut first = Box::pin(sessions.create_standalone_stream(&id).await.unwrap());
        let mut second = Box::pin(sessions.create_standalone_stream(&id).await.unwrap());
        let missed = ids(&mut first).await;
        assert_eq!((missed.len(), missed.first().map(String::as_str)), (EVENTS, Some("5")));
        service.send(news()).await.unwrap();
        assert_eq!((ids(&mut first).await.len(), ids(&mut second).await.len()), (1, 0));
        drop(first);
        service.send(news()).await.unwrap();
        // The second one has taken the place of the first.
        assert_eq!(ids(&mut second).await, ["22"]);
        drop(second);
        assert_eq!(ids(sessions.resume(&id, "20".to_owned()).await.unwrap()).await, ["21", "22"]);
    }

    #[tokio::test]
    async fn a_quiet_standing_stream_is_taken_up_again() {
        let (sessions, id, mut service) = opened().await;
        drop(sessions.create_standalone_stream(&id).await.unwrap());
        // The library gives every such stream an event of this number to begin with.
        let mut again = Box::pin(sessions.resume(&id, "0".to_owned()).await.unwrap());
        assert_eq!(ids(&mut again).await.len(), 0);
        service.send(news()).await.unwrap();
        assert_eq!(ids(&mut again).await, ["1"]);
        drop(again);
        assert_eq!(ids(sessions.resume(&id, "0".to_owned()).await.unwrap()).await, ["1"]);
    }

    #[tokio::test]
    async fn what_a_request_owned_may_belong_to_a_later_one() {
        let (sessions, id, mut service) = opened().await;
        let with_token = |number: u32| {
            of_client(
                json!({"jsonrpc": "2.0", "id": number, "method": "ping", "params": {"_meta": {"progressToken": 7}}}),
            )
        };
        let first = sessions.create_stream(&id, with_token(1)).await.unwrap();
        let second = sessions.create_stream(&id, with_token(2)).await.unwrap();
        for message in [answer(1), progress(7, 1), answer(2)] {
            service.send(message).await.unwrap();
        }
        assert_eq!((first.count().await, second.count().await), (2, 3));
    }

    #[tokio::test]
    async fn the_answer_to_a_cancelled_request_goes_nowhere() {
        let (sessions, id, mut service) = opened().await;
        let _events = request(&sessions, &id, 1).await;
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        sessions.accept_message(&id, of_client(cancel)).await.unwrap();
        service.send(answer(1)).await.unwrap();
        assert!(ids(sessions.create_standalone_stream(&id).await.unwrap()).await.is_empty());
    }

    #[tokio::test]
    async fn a_question_is_taken_back_where_it_was_asked() {
        let (sessions, id, mut service) = opened().await;
        let events = request(&sessions, &id, 1).await;
        let other = request(&sessions, &id, 5).await;
        let mut question = of_server(json!({"jsonrpc": "2.0", "id": 5, "method": "ping"}));
        if let ServerJsonRpcMessage::Request(request) = &mut question {
            request.request.extensions_mut().insert(OriginatingRequestId(RequestId::Number(1)));
        }
        let back = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}});
        for message in [question, of_server(back), answer(1), answer(5)] {
            service.send(message).await.unwrap();
        }
        assert_eq!((events.count().await, other.count().await), (4, 2));
    }

    #[tokio::test]
    async fn few_streams_of_cancelled_requests_are_kept() {
        let (sessions, id, service) = opened().await;
        for number in 1..200 {
            drop(request(&sessions, &id, number).await);
            let cancel =
                json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}});
            sessions.accept_message(&id, of_client(cancel)).await.unwrap();
        }
        let table = service.session.table();
        assert!(table.streams.len() <= MAX_KEPT + 1 && table.owners.is_empty(), "{}", table.streams.len());
    }

    #[tokio::test]
    async fn a_stream_is_taken_up_again_where_it_was() {
        let (sessions, id, mut service) = opened().await;
        drop(request(&sessions, &id, 1).await);
        for step in 1..4 {
            service.send(progress(1, step)).await.unwrap();
        }
        let again = sessions.resume(&id, "2/0".to_owned()).await.unwrap();
        service.send(answer(1)).await.unwrap();
        assert_eq!(ids(again).await, ["3/0", "4/0"]);
        for wrong in ["2/0", "5/0", "0/7", "x", "", "9/x"] {
            let resumed = sessions.resume(&id, wrong.to_owned()).await;
            assert!(matches!(resumed.err(), Some(SessionError::UnknownEvent)), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_stream_of_a_cancelled_request_ends_and_is_kept_for_a_while() {
        let (sessions, id, mut service) = opened().await;
        let events = request(&sessions, &id, 1).await;
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        sessions.accept_message(&id, of_client(cancel.clone())).await.unwrap();
        assert_eq!(events.count().await, 1);
        assert_eq!(sessions.resume(&id, "0/0".to_owned()).await.unwrap().count().await, 0);
        assert!(service.receive().await.is_some() && service.receive().await.is_some());
        tokio::time::advance(KEPT).await;
        assert!(sessions.resume(&id, "0/0".to_owned()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_when_nothing_happened_for_long_enough() {
        let (sessions, id, mut service) = opened().await;
        let standing = sessions.create_standalone_stream(&id).await.unwrap();
        let receiving = tokio::spawn(async move { (service.receive().await.is_none(), service) });
        tokio::time::sleep(IDLE / 2).await;
        // Something happens of which the service is told nothing.
        drop(sessions.create_standalone_stream(&id).await.unwrap());
        tokio::time::sleep(IDLE * 3 / 4).await;
        assert!(!receiving.is_finished());
        tokio::time::sleep(IDLE / 2).await;
        assert!(receiving.is_finished());
        assert!(receiving.await.unwrap().0);
        assert!(!sessions.has_session(&id).await.unwrap());
        assert_eq!(standing.count().await, 0, "its streams end with it");
        assert!(matches!(sessions.accept_message(&id, ping(1)).await, Err(SessionError::Ended)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_nobody_opens_ends_soon() {
        let sessions = Sessions::new(IDLE);
        let (_, mut service) = sessions.create_session().await.unwrap();
        let begun = Instant::now();
        assert!(service.receive().await.is_none());
        assert_eq!(begun.elapsed(), OPENING);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_makes_its_session_wait_until_that_ends() {
        let (sessions, id, mut service) = opened().await;
        let events = request(&sessions, &id, 1).await;
        // Its first event is there already.
        for step in 1..EVENTS as u32 {
            service.send(progress(1, step)).await.unwrap();
        }
        let mut waiting = Box::pin(service.send(progress(1, 99)));
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut behind = Box::pin(service.send(news()));
        assert!(behind.as_mut().now_or_never().is_none());
        // A further request waits as well, and a cancellation does not.
        assert!(sessions.create_stream(&id, ping(2)).now_or_never().is_none());
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}});
        sessions.accept_message(&id, of_client(cancel)).await.unwrap();
        sessions.close_session(&id).await.unwrap();
        assert!(matches!(waiting.await, Err(SessionError::Ended)));
        assert!(matches!(behind.await, Err(SessionError::Ended)));
        assert!(service.receive().await.is_none());
        assert_eq!(events.count().await, EVENTS);
        assert!(matches!(sessions.accept_message(&id, ping(1)).await, Err(SessionError::Unknown)));
    }
}
