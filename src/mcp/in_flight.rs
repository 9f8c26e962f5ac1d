//! A count of work that should be finished before the server leaves.
//!
//! Knows nothing of what the work is.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts work that should be finished before the server leaves. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<watch::Sender<usize>>);

/// One piece of work in flight, until dropped.
#[derive(Debug)]
pub(super) struct Entered(InFlight);

impl InFlight {
    /// Counts one more piece of work.
    pub(super) fn enter(&self) -> Entered {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        Entered(self.clone())
    }

    /// Waits until nothing is in flight.
    pub(super) async fn idle(&self) {
        let mut count = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot end for the want of one.
        drop(count.wait_for(|count| *count == 0).await);
    }

    /// Waits until something is in flight.
    pub(super) async fn busy(&self) {
        let mut count = self.0.subscribe();
        drop(count.wait_for(|count| *count > 0).await);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        *self.0.borrow()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
