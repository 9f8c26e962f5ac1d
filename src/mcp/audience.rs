//! Who is told that the list of tools changed: sessions of the older era after their handshake, and clients of the newer
//! one for as long as their `subscriptions/listen` runs.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rmcp::{
    ErrorData, RoleServer,
    service::{Peer, SubscriptionContext},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::http::MAX_SESSIONS;

/// The clients of one server, whatever their transport.
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// Sessions; those that ended are forgotten when another one joins.
    sessions: Mutex<Vec<Peer<RoleServer>>>,
    /// How often the list changed.
    changes: watch::Sender<u64>,
    listening: AtomicUsize,
}

impl Audience {
    /// Takes a session in. To be called once a session.
    pub(super) fn join(&self, peer: Peer<RoleServer>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|peer| !peer.is_transport_closed());
        sessions.push(peer);
    }

    /// Tells everyone. Nobody waits for a client that is slow to read.
    pub(super) fn tell(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|peer| !peer.is_transport_closed());
        for peer in &*sessions {
            let peer = peer.clone();
            tokio::spawn(async move {
                if let Err(error) = peer.notify_tool_list_changed().await {
                    tracing::debug!(%error, "a session could not be told that the tools changed");
                }
            });
        }
    }

    /// Serves a subscription until the client ends it or the server leaves.
    pub(super) async fn listen(
        &self,
        subscription: SubscriptionContext,
        leaving: &CancellationToken,
    ) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        let place = Place::take(&self.listening);
        if place.before >= MAX_SESSIONS {
            return Err(ErrorData::internal_error("too many subscriptions are open; close one, or retry later", None));
        }
        loop {
            tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                () = leaving.cancelled() => return Ok(()),
                // The sender lives in `self`, so the wait cannot end for the want of one.
                _ = changes.changed() => {}
            }
            if subscription.accepted().tools_list_changed == Some(true)
                && let Err(error) = subscription.sink().notify_tool_list_changed().await
            {
                tracing::debug!(%error, "a subscriber could not be told that the tools changed");
                return Ok(());
            }
        }
    }
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
