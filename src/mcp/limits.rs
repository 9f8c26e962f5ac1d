//! How much callers may ask for at a time: sessions, subscriptions and requests, in all and each, and sizes and times.
//!
//! Must not know what a place is taken for, nor the MCP library.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::caller::Principal;

/// The limits of the MCP server. What counts callers is about HTTP; sizes and the time of a call hold everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open sessions, of both kinds together. An idle one of Streamable HTTP holds about 36 KB.
    pub sessions: Most,
    /// Quiet streams: subscriptions, and the standing streams of sessions.
    pub subscriptions: Most,
    /// Requests without an answer.
    pub requests: Most,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest result of a call and the largest resource that a client is given, in bytes of JSON.
    pub max_result_bytes: usize,
    /// The longest message over stdio, in bytes.
    pub max_line_bytes: usize,
    /// How long the body of a request may take to arrive.
    pub body_time: Duration,
    /// How long the work on a request may take, all its calls to backends included.
    pub request_time: Duration,
    /// How long a client may take to take in what it was given, for each MiB of it. A stream may be quiet for longer.
    pub answer_time: Duration,
    /// How long a connection may be without a request.
    pub idle_time: Duration,
    /// How many connections may be open at a time. For a further one that which has been without a request for longest
    /// ends; where all have one, it waits.
    pub max_connections: usize,
}

/// The most there may be of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Of all callers together.
    pub in_all: usize,
    /// Of one caller.
    pub per_caller: usize,
}

impl Default for Limits {
    /// What one caller may hold in quiet streams and requests leaves connections for others.
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            sessions: Most { in_all: 1_000, per_caller: 400 },
            subscriptions: Most { in_all: 500, per_caller: 200 },
            requests: Most { in_all: 512, per_caller: 128 },
            max_body_bytes: 4 * 1024 * 1024,
            max_result_bytes: 8 * 1024 * 1024,
            max_line_bytes: 16 * 1024 * 1024,
            body_time: Duration::from_secs(30),
            request_time: Duration::from_secs(600),
            answer_time: minute,
            idle_time: minute,
            max_connections: 768,
        }
    }
}

/// The limits of a running server and what is taken of them. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    pub(super) limits: Limits,
    pub(super) sessions: Quota,
    pub(super) subscriptions: Quota,
    pub(super) requests: Quota,
}

impl Capacity {
    /// With nothing taken.
    pub(super) fn new(limits: Limits) -> Self {
        let Limits { sessions, subscriptions, requests, .. } = limits;
        Self {
            limits,
            sessions: Quota::new(sessions),
            subscriptions: Quota::new(subscriptions),
            requests: Quota::new(requests),
        }
    }
}

/// Places of a kind. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Quota(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    most: Most,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_caller: HashMap<Principal, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The caller has as many as one may have.
    Own,
    /// There are as many as there may be.
    All,
}

/// A place, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    quota: Quota,
    caller: Principal,
}

impl Quota {
    fn new(most: Most) -> Self {
        Self(Arc::new(Kept { most, taken: Mutex::default() }))
    }

    /// Takes a place for a caller.
    pub(super) fn take(&self, caller: &Principal) -> Result<Place, Full> {
        let mut taken = self.lock();
        let own = taken.by_caller.get(caller).copied().unwrap_or_default();
        if own >= self.0.most.per_caller {
            return Err(Full::Own);
        }
        if taken.in_all >= self.0.most.in_all {
            return Err(Full::All);
        }
        taken.in_all = taken.in_all.saturating_add(1);
        taken.by_caller.insert(caller.clone(), own.saturating_add(1));
        Ok(Place { quota: self.clone(), caller: caller.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // The counts belong together only while no statement under the lock can fail, and none can.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.quota.lock();
        taken.in_all = taken.in_all.saturating_sub(1);
        let own = taken.by_caller.get_mut(&self.caller).map(|own| {
            *own = own.saturating_sub(1);
            *own
        });
        if own == Some(0) {
            taken.by_caller.remove(&self.caller);
        }
    }
}

impl Full {
    /// What to tell a caller who wants one more of these, as in `sessions`.
    pub(super) fn message(self, what: &str) -> String {
        match self {
            Self::Own => format!("too many {what} of yours are open; end one of them, or retry in a moment"),
            Self::All => format!("too many {what} are open on this server; end one of yours, or retry in a moment"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;

    fn quota(in_all: usize, per_caller: usize) -> Quota {
        Quota::new(Most { in_all, per_caller })
    }

    #[test]
    fn a_caller_cannot_hold_others_out() {
        let quota = quota(3, 2);
        let (one, other) = (Caller::operator().principal, Caller::anonymous().principal);
        let first = quota.take(&one).expect("a place");
        let _second = quota.take(&one).expect("a place");
        assert_eq!(quota.take(&one).expect_err("full"), Full::Own);
        let _third = quota.take(&other).expect("room for another");
        assert_eq!(quota.take(&other).expect_err("full"), Full::All);
        drop(first);
        let _again = quota.take(&other).expect("free again");
        assert_eq!(quota.take(&one).expect_err("full"), Full::All);
    }

    #[test]
    fn who_holds_nothing_is_not_remembered() {
        let quota = quota(3, 2);
        drop(quota.take(&Caller::operator().principal).expect("a place"));
        let taken = quota.lock();
        assert!(taken.in_all == 0 && taken.by_caller.is_empty(), "{taken:?}");
    }

    #[test]
    fn the_streams_and_requests_of_one_caller_leave_connections_for_others() {
        let Limits { sessions, subscriptions, requests, max_connections, .. } = Limits::default();
        assert!(sessions.per_caller + subscriptions.per_caller + requests.per_caller < max_connections);
    }
}
