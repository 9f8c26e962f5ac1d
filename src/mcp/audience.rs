//! Who is told that a list changed, of tools, resources or prompts: sessions of the older era after their handshake, and
//! clients of the newer one for as long as their `subscriptions/listen` runs.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rmcp::{
    ErrorData, RoleServer,
    service::{Peer, ServiceError, SubscriptionContext, SubscriptionSendError, SubscriptionSink},
};
use tokio::{sync::watch, task};
use tokio_util::sync::CancellationToken;

use super::{http::MAX_SESSIONS, lists::Kinds};

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
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// Sessions; those that ended are forgotten when another one joins.
    sessions: Mutex<Vec<(Peer<RoleServer>, Kinds)>>,
    /// How often each list changed.
    changes: watch::Sender<Counts>,
    /// What had changed when subscriptions were asked for, by the tasks that serve them. The library acknowledges a
    /// subscription before it is listened to, and what changes in between may not be lost.
    asked: Mutex<HashMap<task::Id, Counts>>,
    listening: AtomicUsize,
}

impl Audience {
    /// Takes a session in, which was told that there are these. To be called once a session.
    pub(super) fn join(&self, peer: Peer<RoleServer>, announced: Kinds) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|(peer, _)| !peer.is_transport_closed());
        sessions.push((peer, announced));
    }

    /// Tells everyone what changed. Nobody waits for a client that is slow to read.
    pub(super) fn tell(&self, changed: Kinds) {
        if !changed.any() {
            return;
        }
        self.changes.send_modify(|counts| counts.add(changed));
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|(peer, _)| !peer.is_transport_closed());
        for (peer, announced) in &*sessions {
            let (peer, changed) = (peer.clone(), changed.and(*announced));
            tokio::spawn(async move {
                if let Err(error) = notify(&peer, changed).await {
                    tracing::debug!(%error, "a session could not be told that a list changed");
                }
            });
        }
    }

    /// Notes that the running task is about to acknowledge a subscription.
    pub(super) fn asked(&self) {
        let Some(id) = task::try_id() else { return };
        let now = *self.changes.borrow();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MAX_SESSIONS {
            // Left behind by clients that went away before their acknowledgement.
            asked.clear();
        }
        asked.insert(id, now);
    }

    /// What had changed when the running task last called [`Audience::asked`]; what has by now where it never did.
    fn known(&self) -> Counts {
        let asked = task::try_id().and_then(|id| self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id));
        asked.unwrap_or_else(|| *self.changes.borrow())
    }

    /// Serves a subscription until the client ends it or the server leaves.
    pub(super) async fn listen(
        &self,
        subscription: SubscriptionContext,
        leaving: &CancellationToken,
    ) -> Result<(), ErrorData> {
        let mut known = self.known();
        let mut changes = self.changes.subscribe();
        let place = Place::take(&self.listening);
        if place.before >= MAX_SESSIONS {
            return Err(ErrorData::internal_error("too many subscriptions are open; close one, or retry later", None));
        }
        let accepted = subscription.accepted();
        let accepted = Kinds {
            tools: accepted.tools_list_changed == Some(true),
            resources: accepted.resources_list_changed == Some(true),
            prompts: accepted.prompts_list_changed == Some(true),
        };
        loop {
            let now = *changes.borrow_and_update();
            let changed = now.since(std::mem::replace(&mut known, now)).and(accepted);
            if let Err(error) = notify_subscriber(subscription.sink(), changed).await {
                tracing::debug!(%error, "a subscriber could not be told that a list changed");
                return Ok(());
            }
            tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                () = leaving.cancelled() => return Ok(()),
                // The sender lives in `self`, so the wait cannot end for the want of one.
                _ = changes.changed() => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_changes_between_acknowledgement_and_listening_is_told() {
        let audience = Audience::default();
        let tools = Kinds { tools: true, ..Kinds::default() };
        audience.tell(tools);
        let served = tokio::spawn(async move {
            audience.asked();
            audience.tell(tools);
            let missed = audience.changes.borrow().since(audience.known()).tools;
            // What was noted is used up.
            (missed, audience.changes.borrow().since(audience.known()).tools)
        });
        assert_eq!(served.await.unwrap(), (true, false));
    }
}
