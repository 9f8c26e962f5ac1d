//! Who is told that a list changed, of tools, resources or prompts, or what a resource holds: sessions of the older era
//! after their handshake, and clients of the newer one for as long as their `subscriptions/listen` runs.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rmcp::{
    ErrorData, RoleServer,
    model::ResourceUpdatedNotificationParam,
    service::{Peer, ServiceError, SubscriptionContext, SubscriptionSendError, SubscriptionSink},
};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{http::MAX_SESSIONS, lists::Kinds};

/// How many resources one session or one `subscriptions/listen` may be told of.
pub(super) const MAX_SUBSCRIPTIONS: usize = 256;
/// How many updates a subscriber may be behind; one that is further behind is told of all that it asked for.
const KEPT_UPDATES: usize = 256;

/// The resources that a session of the older era asked to be told of. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions(Arc<Mutex<BTreeSet<String>>>);

impl Subscriptions {
    /// Adds a URI. Error: there are too many.
    pub(super) fn add(&self, uri: String) -> Result<(), ErrorData> {
        let mut uris = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uris.len() >= MAX_SUBSCRIPTIONS && !uris.contains(&uri) {
            let message =
                format!("a session can subscribe to {MAX_SUBSCRIPTIONS} resources; unsubscribe from others first");
            return Err(ErrorData::invalid_request(message, None));
        }
        uris.insert(uri);
        Ok(())
    }

    /// Takes a URI away, where it is there.
    pub(super) fn remove(&self, uri: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
    }

    fn contains(&self, uri: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(uri)
    }
}

#[derive(Debug)]
struct Session {
    peer: Peer<RoleServer>,
    /// What it was told that there is.
    announced: Kinds,
    subscribed: Subscriptions,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    tools: u64,
    resources: u64,
    prompts: u64,
}

impl Counts {
    fn add(&mut self, kinds: Kinds) {
        for (count, changed) in
            [(&mut self.tools, kinds.tools), (&mut self.resources, kinds.resources), (&mut self.prompts, kinds.prompts)]
        {
            *count = count.wrapping_add(u64::from(changed));
        }
    }

    fn since(self, before: Self) -> Kinds {
        Kinds {
            tools: self.tools != before.tools,
            resources: self.resources != before.resources,
            prompts: self.prompts != before.prompts,
        }
    }
}

/// The clients of one server, whatever their transport.
#[derive(Debug)]
pub(super) struct Audience {
    /// Sessions; those that ended are forgotten when another one joins.
    sessions: Mutex<Vec<Session>>,
    /// How often each list changed.
    changes: watch::Sender<Counts>,
    /// URIs of resources that hold something else.
    updates: broadcast::Sender<Arc<str>>,
    listening: AtomicUsize,
}

impl Default for Audience {
    fn default() -> Self {
        Self {
            sessions: Mutex::default(),
            changes: watch::Sender::default(),
            updates: broadcast::Sender::new(KEPT_UPDATES),
            listening: AtomicUsize::default(),
        }
    }
}

impl Audience {
    /// Takes a session in, which was told that there are these and asks for these resources. To be called once a session.
    pub(super) fn join(&self, peer: Peer<RoleServer>, announced: Kinds, subscribed: Subscriptions) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| !session.peer.is_transport_closed());
        sessions.push(Session { peer, announced, subscribed });
    }

    /// Tells everyone what changed. Nobody waits for a client that is slow to read.
    pub(super) fn tell(&self, changed: Kinds) {
        if !changed.any() {
            return;
        }
        self.changes.send_modify(|counts| counts.add(changed));
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| !session.peer.is_transport_closed());
        for session in &*sessions {
            let (peer, changed) = (session.peer.clone(), changed.and(session.announced));
            tokio::spawn(async move {
                if let Err(error) = notify(&peer, changed).await {
                    tracing::debug!(%error, "a session could not be told that a list changed");
                }
            });
        }
    }

    /// Tells whoever asked for this resource that it holds something else. Needs a runtime; nobody waits for a client that
    /// is slow to read.
    pub(super) fn updated(&self, uri: &str) {
        self.updates.send(Arc::from(uri)).ok(); // nobody may be listening
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for session in sessions.iter().filter(|session| session.subscribed.contains(uri)) {
            let (peer, update) = (session.peer.clone(), ResourceUpdatedNotificationParam::new(uri));
            tokio::spawn(async move {
                if let Err(error) = peer.notify_resource_updated(update).await {
                    tracing::debug!(%error, "a session could not be told that a resource changed");
                }
            });
        }
    }

    /// Serves a subscription until the client ends it or the server leaves. `may_know` says whether the client may hear of
    /// a resource, at the moment it is told.
    pub(super) async fn listen(
        &self,
        subscription: SubscriptionContext,
        leaving: &CancellationToken,
        may_know: impl Fn(&str) -> bool + Send,
    ) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        let mut updates = self.updates.subscribe();
        let place = Place::take(&self.listening);
        if place.before >= MAX_SESSIONS {
            return Err(ErrorData::internal_error("too many subscriptions are open; close one, or retry later", None));
        }
        let accepted = subscription.accepted();
        let asked: BTreeSet<Arc<str>> =
            accepted.resource_subscriptions.iter().flatten().map(|uri| Arc::from(uri.as_str())).collect();
        let accepted = Kinds {
            tools: accepted.tools_list_changed == Some(true),
            resources: accepted.resources_list_changed == Some(true),
            prompts: accepted.prompts_list_changed == Some(true),
        };
        let mut known = *changes.borrow_and_update();
        loop {
            // The senders live in `self`, so no wait can end for the want of one.
            let updated = tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                () = leaving.cancelled() => return Ok(()),
                _ = changes.changed() => BTreeSet::new(),
                updated = updates.recv() => match updated {
                    Ok(uri) => BTreeSet::from([uri]).intersection(&asked).cloned().collect(),
                    Err(_) => asked.clone(), // too far behind
                },
            };
            for uri in updated.iter().filter(|uri| may_know(uri)) {
                if let Err(error) = subscription.sink().notify_resource_updated(&**uri).await {
                    tracing::debug!(%error, "a subscriber could not be told that a resource changed");
                    return Ok(());
                }
            }
            let now = *changes.borrow_and_update();
            let changed = now.since(std::mem::replace(&mut known, now)).and(accepted);
            if let Err(error) = notify_subscriber(subscription.sink(), changed).await {
                tracing::debug!(%error, "a subscriber could not be told that a list changed");
                return Ok(());
            }
        }
    }
}

async fn notify(peer: &Peer<RoleServer>, changed: Kinds) -> Result<(), ServiceError> {
    if changed.tools {
        peer.notify_tool_list_changed().await?;
    }
    if changed.resources {
        peer.notify_resource_list_changed().await?;
    }
    if changed.prompts {
        peer.notify_prompt_list_changed().await?;
    }
    Ok(())
}

async fn notify_subscriber(sink: &SubscriptionSink, changed: Kinds) -> Result<(), SubscriptionSendError> {
    if changed.tools {
        sink.notify_tool_list_changed().await?;
    }
    if changed.resources {
        sink.notify_resource_list_changed().await?;
    }
    if changed.prompts {
        sink.notify_prompt_list_changed().await?;
    }
    Ok(())
}

/// One subscription, until dropped.
struct Place<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Place<'a> {
    fn take(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}
