//! One call as it is written down: begun before anything is sent, ended with what became of it. Given up on the way, it is
//! written down as cancelled.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    Audit, AuditError, Inner,
    entry::{Decision, Entry, Event, Request, cleaned},
    writer::Queued,
};

/// How many requests of one call are kept: those that are told one by one, and the last.
const MAX_REQUESTS: usize = 1_000;
/// The longest name that a backend gives a request, in characters.
const MAX_BACKEND_ID: usize = 128;

/// A call that is under way.
#[derive(Debug)]
pub struct Recording(Option<Recorded>);

#[derive(Debug)]
struct Recorded {
    inner: std::sync::Arc<Inner>,
    /// None once it is written down.
    entry: Option<Box<Entry>>,
    /// Room for all that will be written of it.
    places: Mutex<Option<OwnedSemaphorePermit>>,
    begun: Instant,
    requests: Mutex<Vec<Request>>,
    decided: Mutex<Option<(Decision, Option<String>)>>,
    /// Whether what is about to be done has to be on the disk first.
    announces: bool,
    announced: AtomicBool,
}

impl Audit {
    /// Begins to write a call down, of which the entry tells all that is known before. With `announces` its first request
    /// waits until that is on the disk. Waits for room in the queue. Error: nothing can be written, and it has to be.
    pub async fn begin(&self, entry: impl FnOnce() -> Entry, announces: bool) -> Result<Recording, AuditError> {
        let Some(inner) = &self.0 else { return Ok(Recording(None)) };
        inner.check()?;
        // All at once: calls that each hold a part of what they need would wait for each other.
        let places = inner.places(1 + u32::from(announces)).await;
        Ok(Recording(Some(Recorded {
            inner: std::sync::Arc::clone(inner),
            entry: Some(Box::new(entry())),
            places: Mutex::new(places),
            begun: Instant::now(),
            requests: Mutex::default(),
            decided: Mutex::default(),
            announces,
            announced: AtomicBool::new(false),
        })))
    }
}

impl Recording {
    /// Of a call that is not written down.
    pub fn off() -> Self {
        Self(None)
    }

    /// To be awaited before a request of this `x-request-id` is sent. Error: it has to be on the disk that it will be, and is
    /// not.
    pub async fn sending(&self, id: &str) -> Result<(), AuditError> {
        let Some(recorded) = &self.0 else { return Ok(()) };
        self.announced(recorded).await?;
        let mut requests = recorded.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= MAX_REQUESTS {
            requests.pop();
        }
        requests.push(Request { id: id.to_owned(), status: None, backend_id: None });
        Ok(())
    }

    async fn announced(&self, recorded: &Recorded) -> Result<(), AuditError> {
        if !recorded.announces || recorded.announced.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let Some(entry) = &recorded.entry else { return Ok(()) };
        let mut entry = Entry { event: Event::Intent, time_ms: recorded.inner.clock.now_ms(), ..Entry::clone(entry) };
        recorded.note_decision(&mut entry);
        let place =
            recorded.places.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(|all| all.split(1));
        recorded.inner.write_lasting(entry, place).await
    }

    /// Notes the status of the answer to the last request, and what the backend calls that, which must hold no secret.
    pub fn answered(&self, status: u16, backend_id: Option<&str>) {
        let Some(recorded) = &self.0 else { return };
        let mut requests = recorded.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = requests.last_mut() {
            request.status = Some(status);
            request.backend_id = backend_id.map(|id| cleaned(id, MAX_BACKEND_ID));
        }
    }

    /// Notes who decided what about the call. What was noted last counts.
    pub fn decided(&self, decision: Decision, by: Option<String>) {
        if let Some(recorded) = &self.0 {
            *recorded.decided.lock().unwrap_or_else(PoisonError::into_inner) = Some((decision, by));
        }
    }

    /// Whether a request was sent.
    pub fn has_sent(&self) -> bool {
        let Some(recorded) = &self.0 else { return false };
        !recorded.requests.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Writes down what became of it: `ok`, or the kind of failure.
    pub fn ended(mut self, outcome: &'static str) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: &'static str) {
        let Some(recorded) = &mut self.0 else { return };
        let Some(mut entry) = recorded.entry.take() else { return };
        entry.outcome = Some(outcome);
        recorded.note_decision(&mut entry);
        entry.time_ms = recorded.inner.clock.now_ms();
        entry.duration = Some(recorded.begun.elapsed());
        entry.requests = std::mem::take(recorded.requests.get_mut().unwrap_or_else(PoisonError::into_inner));
        let place = recorded.places.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        recorded.inner.writer.push(Queued { entry, _place: place, waits: None });
    }
}

impl Recorded {
    fn note_decision(&self, entry: &mut Entry) {
        if let Some((decision, by)) = self.decided.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            (entry.decision, entry.decided_by) = (Some(decision), by);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end("cancelled");
    }
}

impl Inner {
    /// Room for so many entries. None where the log is being closed.
    pub(super) async fn places(&self, number: u32) -> Option<OwnedSemaphorePermit> {
        std::sync::Arc::clone(&self.places).acquire_many_owned(number).await.ok()
    }

    /// Writes an entry down and waits until it is on the disk. Error: it is not, and has to be.
    pub(super) async fn write_lasting(
        &self,
        entry: Entry,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(), AuditError> {
        let (waits, written) = oneshot::channel();
        self.writer.push(Queued { entry: Box::new(entry), _place: place, waits: Some(waits) });
        let outcome = written.await.unwrap_or_else(|_| Err("keyglass is ending".to_owned()));
        match outcome {
            Err(reason) if self.required => Err(AuditError::Unwritable(reason)),
            _ => Ok(()),
        }
    }

    /// Error: nothing can be written, and it has to be.
    pub(super) fn check(&self) -> Result<(), AuditError> {
        match self.writer.failure().filter(|_| self.required) {
            Some(reason) => Err(AuditError::Unwritable(reason)),
            None => Ok(()),
        }
    }
}
