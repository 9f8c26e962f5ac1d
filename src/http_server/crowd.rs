//! All connections of a port: how many there may be, and who leaves for a newcomer.
//!
//! Knows nothing of what is spoken on them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;

/// How long a connection without a request may take to leave once it was told to.
pub(super) const LEAVE_TIME: Duration = Duration::from_secs(1);

/// The connections of a port.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    /// How many places there are.
    size: u32,
    /// How long a newcomer is spared.
    spared: Duration,
    members: Mutex<Members>,
    /// Rung when a connection comes to rest.
    rests: Arc<Notify>,
    /// Tells all of them to leave.
    leave: CancellationToken,
}

#[derive(Debug, Default)]
struct Members {
    by_number: BTreeMap<u64, (Arc<Activity>, CancellationToken)>,
    next: u64,
}

/// Who leaves for a newcomer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaving {
    /// One that was told to.
    One,
    /// Nobody yet: those without a request are spared until then.
    NoneBefore(Instant),
    /// Nobody, while all have a request.
    None,
}

/// A connection's place among the others, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// What the connection is at.
    pub(super) activity: Arc<Activity>,
    /// Tells it to leave: at once without a request, else after the open ones are answered.
    pub(super) leave: CancellationToken,
    number: u64,
    crowd: Arc<Crowd>,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    /// Room for so many connections, each of which is spared for so long before its first request. All of them are told to
    /// leave when `leave` is cancelled.
    pub(super) fn new(size: usize, spared: Duration, leave: CancellationToken) -> Arc<Self> {
        let size = u32::try_from(size.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS)));
        Arc::new(Self { places, size, spared, members: Mutex::default(), rests: Arc::default(), leave })
    }

    /// Waits for a place. While there is none, the connection that has been without a request for longest is told to
    /// leave, one after the other.
    pub(super) async fn place(self: &Arc<Self>) -> Place {
        loop {
            let free = Arc::clone(&self.places).try_acquire_owned();
            if let Ok(permit) = free {
                return self.enter(permit);
            }
            let changed = async {
                match self.tell_one_to_leave() {
                    // It is cut off after that time; nobody else is to leave for the moment that this takes.
                    Leaving::One => tokio::time::sleep(2 * LEAVE_TIME).await,
                    Leaving::NoneBefore(then) => tokio::select! {
                        () = self.rests.notified() => {}
                        () = tokio::time::sleep_until(then) => {}
                    },
                    Leaving::None => self.rests.notified().await,
                }
            };
            tokio::select! {
                Ok(permit) = Arc::clone(&self.places).acquire_owned() => return self.enter(permit),
                () = changed => {}
            }
        }
    }

    /// Tells the connection that has been without a request for longest to leave, of those that are not spared.
    pub(super) fn tell_one_to_leave(&self) -> Leaving {
        let (members, now) = (self.lock(), Instant::now());
        let staying = members.by_number.values().filter(|(_, leave)| !leave.is_cancelled());
        let idle = staying.filter_map(|(activity, leave)| {
            let look = activity.look();
            Some((look.spared_until.max(now), look.idle_since?, leave))
        });
        match idle.min_by_key(|(spared_until, idle_since, _)| (*spared_until, *idle_since)) {
            Some((spared_until, _, leave)) if spared_until <= now => {
                tracing::debug!("a connection without a request ends to make room for another");
                leave.cancel();
                Leaving::One
            }
            Some((spared_until, _, _)) => Leaving::NoneBefore(spared_until),
            None => Leaving::None,
        }
    }

    /// Waits until nobody is there any more. Meanwhile nobody enters.
    pub(super) async fn gone(&self) {
        // It is never closed.
        drop(self.places.acquire_many(self.size).await);
    }

    fn enter(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        let activity = Arc::new(Activity::new(Arc::clone(&self.rests), self.spared));
        let leave = self.leave.child_token();
        let mut members = self.lock();
        let number = members.next;
        members.next = number.wrapping_add(1);
        members.by_number.insert(number, (Arc::clone(&activity), leave.clone()));
        drop(members);
        Place { activity, leave, number, crowd: Arc::clone(self), _permit: permit }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // The map is whole after every statement made under the lock.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().by_number.remove(&self.number);
    }
}
