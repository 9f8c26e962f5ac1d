//! What of one connection has no answer yet: the client's requests, and what the client itself was asked.
//!
//! Knows nothing of transports.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::model::RequestId;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::sync::DropGuard;

use super::{in_flight::Entered, limits::Place};
use crate::{
    metrics::{self, RequestOutcome},
    telemetry::trace::Span,
};

/// The books of a connection. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Unanswered(Arc<Shared>);

#[derive(Default)]
struct Shared {
    books: Mutex<Books>,
    /// Rung when a request is answered in place.
    answered: Notify,
}

#[derive(Default)]
struct Books {
    requests: HashMap<RequestId, Unsettled>,
    /// What the client was asked.
    asked: HashSet<RequestId>,
    next: u64,
}

/// A request without an answer. Dropped without one, it is given up if it was to be answered in place.
pub(super) struct Unsettled {
    pub(super) counted: metrics::Request,
    pub(super) span: Span,
    pub(super) _entered: Entered,
    /// None while it is held back.
    pub(super) place: Option<OwnedSemaphorePermit>,
    /// What the request took of its caller's places, if it did: taken until the client took the answer.
    pub(super) _of_caller: Option<Arc<Place>>,
    /// Gives the work up, of a request that is answered in place.
    pub(super) work: Option<DropGuard>,
    /// Tells two requests of the same id apart, of which the first was cancelled.
    number: u64,
}

impl Unsettled {
    /// A request that was counted.
    pub(super) fn new(
        counted: metrics::Request,
        span: Span,
        entered: Entered,
        place: Option<OwnedSemaphorePermit>,
        of_caller: Option<Arc<Place>>,
    ) -> Self {
        Self { counted, span, _entered: entered, place, _of_caller: of_caller, work: None, number: 0 }
    }

    /// Notes what became of it.
    pub(super) fn answered(&mut self, outcome: RequestOutcome) {
        self.counted.answered(outcome);
        if outcome == RequestOutcome::Error {
            self.span.failed("error");
        }
    }
}

impl Unanswered {
    fn books(&self) -> MutexGuard<'_, Books> {
        // The books are right after every statement made under the lock.
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request of this id waits for its answer.
    pub(super) fn contains(&self, id: &RequestId) -> bool {
        self.books().requests.contains_key(id)
    }

    /// How many requests have no answer.
    pub(super) fn len(&self) -> usize {
        self.books().requests.len()
    }

    /// Whether every request has its answer.
    pub(super) fn is_empty(&self) -> bool {
        self.books().requests.is_empty()
    }

    /// Notes a request.
    pub(super) fn insert(&self, id: RequestId, mut request: Unsettled) {
        let mut books = self.books();
        request.number = books.next;
        books.next = books.next.wrapping_add(1);
        books.requests.insert(id, request);
    }

    /// The request of this id, which waits no more.
    pub(super) fn remove(&self, id: &RequestId) -> Option<Unsettled> {
        self.books().remove(id)
    }

    /// Gives a request that was held back its place. False if it waits no more.
    pub(super) fn give_place(&self, id: &RequestId, place: OwnedSemaphorePermit) -> bool {
        let mut books = self.books();
        let request = books.requests.get_mut(id);
        let is_there = request.is_some();
        if let Some(request) = request {
            request.place = Some(place);
        }
        is_there
    }

    /// Notes that a request is answered in place, and how its work is given up. Its number.
    pub(super) fn begin(&self, id: &RequestId, work: DropGuard) -> Option<u64> {
        let mut books = self.books();
        let request = books.requests.get_mut(id)?;
        request.work = Some(work);
        Some(request.number)
    }

    /// The request of this id and number, which waits no more; none if it was cancelled.
    pub(super) fn end(&self, id: &RequestId, number: u64) -> Option<Unsettled> {
        let mut books = self.books();
        let is_it = books.requests.get(id).is_some_and(|request| request.number == number);
        if is_it { books.remove(id) } else { None }
    }

    /// Rings when an answer was given in place.
    pub(super) fn ring(&self) {
        self.0.answered.notify_one();
    }

    /// Waits for that.
    pub(super) async fn rung(&self) {
        self.0.answered.notified().await;
    }

    /// Notes that the client is asked.
    pub(super) fn ask(&self, id: RequestId) {
        self.books().asked.insert(id);
    }

    /// Notes that the client has answered.
    pub(super) fn told(&self, id: &RequestId) {
        self.books().asked.remove(id);
    }

    /// Whether the client is asked something.
    pub(super) fn asks(&self) -> bool {
        !self.books().asked.is_empty()
    }

    /// One of the questions, which is not waited for any more.
    pub(super) fn withdraw(&self) -> Option<RequestId> {
        let mut books = self.books();
        let id = books.asked.iter().next().cloned()?;
        books.asked.remove(&id);
        Some(id)
    }
}

impl Books {
    /// With the last request all questions are over: only requests ask any, and those of cancelled ones may never be
    /// answered.
    fn remove(&mut self, id: &RequestId) -> Option<Unsettled> {
        let removed = self.requests.remove(id);
        if self.requests.is_empty() {
            self.asked.clear();
        }
        removed
    }
}
