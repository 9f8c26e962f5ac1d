//! The thread that writes: it takes what is queued in one go, so that a call costs no more than putting an entry there. The
//! queue is bounded by places, which are taken before a call begins: nothing is ever dropped for want of room.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    chain::Keys,
    entry::{Entry, Event},
    log::Log,
};
use crate::metrics;

/// How long entries may wait for others that are written with them: what a killed process loses at most. Each time the thread
/// wakes it takes a processor from calls that are under way, which costs them more than the writing itself.
const GATHERING: Duration = Duration::from_millis(25);
/// How many entries are written at once at most.
const MOST_AT_ONCE: usize = 2048;
/// After how long it is tried again to write what could not be written.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the end of the process waits for what is queued.
const FAREWELL: Duration = Duration::from_secs(10);

/// An entry on its way.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) entry: Box<Entry>,
    /// Room in the queue, free again once it is written.
    pub(super) _place: Option<OwnedSemaphorePermit>,
    /// Who waits until it is on the disk.
    pub(super) waits: Option<oneshot::Sender<Result<(), String>>>,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Queued>,
    /// Whether somebody waits for an entry in it, or for the end.
    is_urgent: bool,
    /// Whether the thread sleeps until something comes.
    sleeps: bool,
    is_closing: bool,
    /// Whether the thread has taken the last of it.
    takes_none: bool,
    has_ended: bool,
}

/// What the thread and whoever gives it something share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Whether the last attempt to write failed.
    fails: AtomicBool,
    /// Why.
    reason: Mutex<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing can be written now, where that is so.
    pub(super) fn failure(&self) -> Option<String> {
        let fails = self.fails.load(Ordering::Relaxed);
        fails.then(|| self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Puts an entry into the queue. Whether it was taken: one that comes behind the end counts as lost.
    pub(super) fn push(&self, queued: Queued) -> bool {
        let is_urgent = queued.waits.is_some();
        let mut queue = self.lock();
        if queue.takes_none {
            drop(queue);
            metrics::audit_lost(1);
            return false;
        }
        queue.entries.push_back(queued);
        let wakes = queue.sleeps || (is_urgent && !queue.is_urgent);
        queue.is_urgent |= is_urgent;
        queue.sleeps = false;
        drop(queue);
        if wakes {
            self.changed.notify_all();
        }
        true
    }

    /// Has everything written that is in the queue, and waits for it. Nothing is taken afterwards.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        (queue.is_closing, queue.is_urgent, queue.sleeps) = (true, true, false);
        self.changed.notify_all();
        let ended = self.changed.wait_timeout_while(queue, FAREWELL, |queue| !queue.has_ended);
        let (mut queue, waited) = ended.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            queue.takes_none = true;
            tracing::error!(entries = queue.entries.len(), "the audit log could not be written to its end");
        }
    }
}

/// What one thread writes with.
pub(super) struct Writer {
    log: Log,
    keys: Keys,
    /// Whether entries that cannot be written are kept until they can be.
    keeps: bool,
    shared: Arc<Shared>,
    /// What could not be written and is kept.
    kept: VecDeque<Queued>,
    /// How many were lost, and since when, in milliseconds since the Unix epoch.
    lost: Option<(u64, i64)>,
    /// Whether lines were written that may not last.
    is_unsure: bool,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(log: Log, keys: Keys, keeps: bool) -> io::Result<Arc<Shared>> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            fails: AtomicBool::new(false),
            reason: Mutex::default(),
        });
        let writer =
            Self { log, keys, keeps, shared: Arc::clone(&shared), kept: VecDeque::new(), lost: None, is_unsure: false };
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
        Ok(shared)
    }

    fn run(mut self) {
        loop {
            let (batch, is_last) = self.taken();
            self.write(batch);
            if is_last {
                break;
            }
        }
        self.give_up();
        self.shared.lock().has_ended = true;
        self.shared.changed.notify_all();
    }

    /// What could not be written until now never will be.
    fn give_up(&mut self) {
        let lost = u64::try_from(std::mem::take(&mut self.kept).len()).unwrap_or(u64::MAX);
        if lost > 0 {
            metrics::audit_lost(lost);
            tracing::error!(lines = lost, "lines of the audit log are lost: they could not be written until the end");
        }
    }

    /// What there is to write, once there is something, or once it is time to try again; and whether it is the last.
    fn taken(&self) -> (VecDeque<Queued>, bool) {
        let owes = self.lost.is_some() || !self.kept.is_empty() || self.is_unsure;
        let again = Instant::now() + PAUSE;
        let mut queue = self.shared.lock();
        while queue.entries.is_empty() && !queue.is_closing {
            queue.sleeps = true;
            let changed = &self.shared.changed;
            queue = if owes {
                let rest = again.saturating_duration_since(Instant::now());
                changed.wait_timeout(queue, rest).unwrap_or_else(PoisonError::into_inner).0
            } else {
                changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
            };
            if owes && Instant::now() >= again {
                break;
            }
        }
        queue.sleeps = false;
        if !queue.is_urgent && !queue.entries.is_empty() {
            let gathered = self.shared.changed.wait_timeout_while(queue, GATHERING, |queue| !queue.is_urgent);
            queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        let most = queue.entries.len().min(MOST_AT_ONCE);
        let batch = queue.entries.drain(..most).collect();
        queue.is_urgent = queue.is_closing || queue.entries.iter().any(|queued| queued.waits.is_some());
        // From here on, so that what comes while the last is written counts as lost.
        queue.takes_none |= queue.is_closing && queue.entries.is_empty();
        (batch, queue.takes_none)
    }

    fn write(&mut self, mut batch: VecDeque<Queued>) {
        if !self.kept.is_empty() {
            let newer = std::mem::replace(&mut batch, std::mem::take(&mut self.kept));
            batch.extend(newer);
        }
        if batch.is_empty() && self.lost.is_none() && !self.is_unsure {
            return;
        }
        let lost_before = self.lost.map_or(0, |(count, _)| count);
        let lost = self.lost.map(|(count, since_ms)| {
            let entry = Entry::new(Event::Lost, self.log.clock.now_ms()).with("lines", count);
            entry.with("since", super::entry::time(since_ms))
        });
        let lasting = self.is_unsure || batch.iter().any(|queued| queued.waits.is_some());
        let entries = lost.iter().chain(batch.iter().map(|queued| &*queued.entry));
        let told = usize::from(lost.is_some());
        let (progress, outcome) = self.log.append(&self.keys, entries, lasting);
        if progress.written >= told {
            if told > 0 {
                self.lost = None;
            }
            let rest = batch.split_off(progress.written.saturating_sub(told).min(batch.len()));
            let written = std::mem::replace(&mut batch, rest);
            metrics::audit_written(u64::try_from(written.len()).unwrap_or(u64::MAX));
            let reason = outcome.as_ref().err().map(ToString::to_string);
            for (place, queued) in written.into_iter().enumerate() {
                let Some(waits) = queued.waits else { continue };
                let lasts = place.saturating_add(told) < progress.lasting;
                let refused = reason.clone().filter(|_| !lasts);
                waits.send(refused.map_or(Ok(()), Err)).ok(); // whoever waited may have left
            }
        }
        match outcome {
            Ok(()) => self.succeeded(lost_before),
            Err(error) => {
                // Lines that are there and may not last are not written again.
                self.is_unsure = progress.written > progress.lasting;
                self.failed(batch, &error);
            }
        }
    }

    fn succeeded(&mut self, lost: u64) {
        self.is_unsure = false;
        if self.shared.fails.swap(false, Ordering::Relaxed) {
            metrics::audit_fails(false);
            tracing::info!(lost, "the audit log is written again");
        }
    }

    fn failed(&mut self, batch: VecDeque<Queued>, error: &io::Error) {
        let reason = error.to_string();
        self.shared.reason.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&reason);
        if !self.shared.fails.swap(true, Ordering::Relaxed) {
            metrics::audit_fails(true);
            let folder = self.log.folder.path().display();
            tracing::error!(%folder, reason, "the audit log cannot be written; told once, until it can be again");
        }
        for queued in batch {
            match queued.waits {
                None if self.keeps => self.kept.push_back(queued),
                waits => {
                    metrics::audit_lost(1);
                    let (count, _) = self.lost.get_or_insert((0, queued.entry.time_ms));
                    *count = count.saturating_add(1);
                    if let Some(waits) = waits {
                        waits.send(Err(reason.clone())).ok(); // whoever waited may have left
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::{
        audit::{Limits, folder::Folder},
        clock::Clock,
    };

    #[test]
    fn all_that_is_taken_is_written_though_the_end_has_come() {
        let mut taken_in_all = 0;
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let prepared = Folder::prepare(folder.path()).unwrap();
            let mut log = Log::new(prepared, Limits::default(), Clock::Fixed(1));
            let keys = log.open().unwrap();
            let writer = Writer::start(log, keys, false).unwrap();
            let (pushes, begun) = (Arc::clone(&writer), Arc::new(Barrier::new(2)));
            let begins = Arc::clone(&begun);
            let pushing = thread::spawn(move || {
                let entry = || Queued { entry: Box::new(Entry::new(Event::Call, 1)), _place: None, waits: None };
                begins.wait();
                (0..3_000).take_while(|_| pushes.push(entry())).count()
            });
            begun.wait();
            writer.close();
            let taken = pushing.join().unwrap();
            let text = std::fs::read_to_string(folder.path().join("00000001.jsonl")).unwrap_or_default();
            assert_eq!(text.matches("\"event\":\"call\"").count(), taken);
            taken_in_all += taken;
        }
        assert!(taken_in_all > 0);
    }
}
