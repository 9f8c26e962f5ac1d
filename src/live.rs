//! The calls of this process: those under way, the last ones, and how long they took within the last hour.
//!
//! All room is taken once: noting a call allocates nothing and takes two short locks. Knows neither arguments nor answers.
//!
//! Whoever carries calls out begins one beside [`crate::metrics::tool_call`], and tells its end as there:
//!
//! ```
//! # use std::sync::Arc;
//! # use keyglass::{clock::Clock, live::{Begun, Live}};
//! # let live = Arc::new(Live::new(Clock::Fixed(0)));
//! let mut call = live.begin(Begun { tool: "get_secret", principal: "local", client: "a client", risk: "read" });
//! // … the call …
//! call.ended("ok");
//! drop(call);
//! assert_eq!(live.seen().ended[0].outcome, "ok");
//! ```

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::clock::Clock;

/// How many calls that have ended are kept.
pub const KEPT: usize = 200;
/// How many calls under way are shown at most; more of them are counted when they end.
pub const SHOWN_UNDER_WAY: usize = 256;
/// How many minutes are told of.
pub const MINUTES: usize = 60;
/// What becomes of a call that is dropped before its end is told.
const CANCELLED: &str = "cancelled";
/// What is no failure of anything.
const NO_ERRORS: [&str; 5] = ["ok", "paused", "task", "declined", CANCELLED];

/// The upper bounds of the classes of durations, in microseconds: 1, 2, 5 and so on, from 0.1 ms to 100 s.
const BOUNDS_US: [u64; 19] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
];

/// The calls of this process.
#[derive(Debug)]
pub struct Live {
    clock: Clock,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// Counts calls.
    next: u64,
    under_way: Vec<Option<Noted>>,
    /// Places in `under_way`.
    free: Vec<usize>,
    /// The oldest first.
    ended: VecDeque<Noted>,
    minutes: [Counts; MINUTES],
}

/// A text of at most `N` bytes, in place.
#[derive(Clone, Copy, Debug)]
struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    number: u64,
    tool: Text<64>,
    principal: Text<72>,
    client: Text<48>,
    risk: &'static str,
    outcome: Option<&'static str>,
    began_ms: i64,
    took: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Minutes since the Unix epoch.
    minute: i64,
    errors: u32,
    /// How many calls were at most as long as each bound and longer than the one before; the last: longer than all.
    classes: [u32; BOUNDS_US.len() + 1],
}

/// A call that begins.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Who asked for it.
    pub principal: &'a str,
    /// The program that asked for it, as it calls itself.
    pub client: &'a str,
    /// The tool's class of risk.
    pub risk: &'static str,
}

/// A call until it ends; cancelled where it is dropped before that is told.
#[derive(Debug)]
pub struct LiveCall {
    live: Arc<Live>,
    place: Option<usize>,
    began: Instant,
    outcome: &'static str,
}

/// What is known of calls at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Calls under way, the newest first.
    pub under_way: Vec<Call>,
    /// Calls that have ended, the one that ended last first.
    pub ended: Vec<Call>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// Its number in this process.
    pub number: u64,
    /// The tool, cut to 64 bytes.
    pub tool: String,
    /// Who asked for it, cut to 72 bytes.
    pub principal: String,
    /// The program that asked for it, cut to 48 bytes.
    pub client: String,
    /// The tool's class of risk.
    pub risk: &'static str,
    /// What became of it: `ok`, or the kind of its failure. Empty while it is under way.
    pub outcome: &'static str,
    /// When it began, in Unix milliseconds.
    pub began_ms: i64,
    /// How long it took, in milliseconds; so far, while it is under way.
    pub took_ms: f64,
}

/// The calls that ended within one minute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Minute {
    /// When the minute began, in Unix milliseconds.
    pub began_ms: i64,
    /// How many.
    pub calls: u32,
    /// How many of them failed.
    pub errors: u32,
    /// How long half of them took at most, in milliseconds. None without calls, as for the next two.
    pub p50_ms: Option<f64>,
    /// The same of 95 of 100.
    pub p95_ms: Option<f64>,
    /// The same of 99 of 100.
    pub p99_ms: Option<f64>,
}

impl Live {
    /// Without calls.
    pub fn new(clock: Clock) -> Self {
        let none = Counts { minute: i64::MIN, errors: 0, classes: [0; BOUNDS_US.len() + 1] };
        Self {
            clock,
            held: Mutex::new(Held {
                next: 1,
                under_way: vec![None; SHOWN_UNDER_WAY],
                free: (0..SHOWN_UNDER_WAY).rev().collect(),
                ended: VecDeque::with_capacity(KEPT),
                minutes: [none; MINUTES],
            }),
        }
    }

    /// Notes that a call begins.
    pub fn begin(self: &Arc<Self>, call: Begun<'_>) -> LiveCall {
        let noted = Noted {
            number: 0,
            tool: Text::new(call.tool),
            principal: Text::new(call.principal),
            client: Text::new(call.client),
            risk: call.risk,
            outcome: None,
            began_ms: self.clock.now_ms(),
            took: Duration::ZERO,
        };
        let place = {
            let mut held = self.lock();
            let number = held.next;
            held.next = held.next.wrapping_add(1);
            let place = held.free.pop();
            if let Some(slot) = place.and_then(|place| held.under_way.get_mut(place)) {
                *slot = Some(Noted { number, ..noted });
            }
            place
        };
        LiveCall { live: Arc::clone(self), place, began: Instant::now(), outcome: CANCELLED }
    }

    /// What is known now.
    pub fn seen(&self) -> Seen {
        let now_ms = self.clock.now_ms();
        let held = self.lock();
        let mut under_way: Vec<Noted> = held.under_way.iter().flatten().copied().collect();
        let ended: Vec<Noted> = held.ended.iter().rev().copied().collect();
        drop(held);
        under_way.sort_by_key(|call| std::cmp::Reverse(call.number));
        let so_far = |call: Noted| {
            let took = u64::try_from(now_ms.saturating_sub(call.began_ms)).unwrap_or_default();
            Noted { took: Duration::from_millis(took), ..call }
        };
        Seen {
            under_way: under_way.into_iter().map(|call| so_far(call).shown()).collect(),
            ended: ended.into_iter().map(Noted::shown).collect(),
        }
    }

    /// The minutes of the last hour, the present one last. Those without calls are among them.
    pub fn minutes(&self) -> Vec<Minute> {
        let last = minute_of(self.clock.now_ms());
        let minutes = self.lock().minutes;
        let first = last.saturating_sub(MINUTES as i64 - 1);
        (first..=last)
            .map(|minute| {
                let counts = minutes.iter().find(|counts| counts.minute == minute);
                let classes = counts.map_or([0; BOUNDS_US.len() + 1], |counts| counts.classes);
                Minute {
                    began_ms: minute.saturating_mul(60_000),
                    calls: classes.iter().sum(),
                    errors: counts.map_or(0, |counts| counts.errors),
                    p50_ms: percentile(&classes, 0.50),
                    p95_ms: percentile(&classes, 0.95),
                    p99_ms: percentile(&classes, 0.99),
                }
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveCall {
    /// Notes what became of it: `ok` or the kind of its failure, as for [`crate::metrics::ToolCall::ended`]; `task` where it
    /// goes on as one.
    pub fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for LiveCall {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let minute = minute_of(self.live.clock.now_ms());
        let mut held = self.live.lock();
        if let Some(place) = self.place
            && let Some(noted) = held.under_way.get_mut(place).and_then(Option::take)
        {
            held.free.push(place);
            if held.ended.len() >= KEPT {
                held.ended.pop_front();
            }
            held.ended.push_back(Noted { outcome: Some(self.outcome), took, ..noted });
        }
        let place = usize::try_from(minute.rem_euclid(MINUTES as i64)).unwrap_or_default();
        let Some(counts) = held.minutes.get_mut(place) else { return };
        if counts.minute != minute {
            *counts = Counts { minute, errors: 0, classes: [0; BOUNDS_US.len() + 1] };
        }
        if !NO_ERRORS.contains(&self.outcome) {
            counts.errors = counts.errors.saturating_add(1);
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS_US.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS_US.len());
        if let Some(count) = counts.classes.get_mut(class) {
            *count = count.saturating_add(1);
        }
    }
}

impl Noted {
    fn shown(self) -> Call {
        Call {
            number: self.number,
            tool: self.tool.as_str().to_owned(),
            principal: self.principal.as_str().to_owned(),
            client: self.client.as_str().to_owned(),
            risk: self.risk,
            outcome: self.outcome.unwrap_or_default(),
            began_ms: self.began_ms,
            took_ms: (self.took.as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}

impl<const N: usize> Text<N> {
    fn new(text: &str) -> Self {
        let length = (0..=N.min(text.len())).rev().find(|length| text.is_char_boundary(*length)).unwrap_or_default();
        let mut bytes = [0; N];
        if let (Some(place), Some(cut)) = (bytes.get_mut(..length), text.as_bytes().get(..length)) {
            place.copy_from_slice(cut);
        }
        Self { bytes, length }
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

fn minute_of(ms: i64) -> i64 {
    ms.div_euclid(60_000)
}

/// How long such a part of the calls took at most, in milliseconds, as if those of a class were spread evenly over it.
fn percentile(classes: &[u32; BOUNDS_US.len() + 1], part: f64) -> Option<f64> {
    let all: u32 = classes.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = f64::from(all) * part;
    let (mut before, mut lower) = (0.0, 0);
    for (class, count) in classes.iter().enumerate() {
        // Of what is longer than all bounds no more is known.
        let Some(upper) = BOUNDS_US.get(class).copied() else { break };
        let count = f64::from(*count);
        if count > 0.0 && before + count >= wanted {
            let within = (wanted - before) / count;
            let us = lower as f64 + (upper - lower) as f64 * within;
            return Some((us / 10.0).round() / 100.0);
        }
        before += count;
        lower = upper;
    }
    Some(lower as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn begun(tool: &str) -> Begun<'_> {
        Begun { tool, principal: "local", client: "test", risk: "read" }
    }

    #[test]
    fn calls_are_seen_while_they_are_under_way_and_after() {
        let live = Arc::new(Live::new(Clock::Fixed(90_000)));
        let (mut one, two) = (live.begin(begun("one")), live.begin(begun("two")));
        let names =
            |calls: &[Call]| calls.iter().map(|call| format!("{} {}", call.tool, call.outcome)).collect::<Vec<_>>();
        assert_eq!(names(&live.seen().under_way), ["two ", "one "]);
        one.ended("timeout");
        drop(one);
        drop(two);
        let seen = live.seen();
        assert!(seen.under_way.is_empty());
        assert_eq!(names(&seen.ended), ["two cancelled", "one timeout"]);
        let minutes = live.minutes();
        assert_eq!((minutes.len(), minutes[59].calls, minutes[59].errors), (60, 2, 1));
        assert_eq!((minutes[59].began_ms, minutes[58].calls, minutes[58].p50_ms), (60_000, 0, None));
    }

    #[test]
    fn nothing_that_is_kept_grows() {
        let live = Arc::new(Live::new(Clock::Fixed(0)));
        let calls: Vec<LiveCall> = (0..1_000).map(|number| live.begin(begun(&format!("tool {number}")))).collect();
        assert_eq!(live.seen().under_way.len(), SHOWN_UNDER_WAY);
        drop(calls);
        let seen = live.seen();
        assert_eq!((seen.under_way.len(), seen.ended.len()), (0, KEPT));
        assert_eq!(live.minutes()[59].calls, 1_000, "all are counted");
        drop(live.begin(begun(&"ä".repeat(100))));
        assert_eq!(live.seen().ended[0].tool, "ä".repeat(32), "cut between letters");
        assert!(live.lock().ended.capacity() < 2 * KEPT);
    }

    #[test]
    fn an_hour_is_told_of() {
        static TIME: ManualClock = ManualClock::at(0);
        let live = Arc::new(Live::new(Clock::Manual(&TIME)));
        drop(live.begin(begun("a")));
        TIME.pass(59 * 60_000);
        drop(live.begin(begun("b")));
        let calls = |live: &Live| live.minutes().iter().map(|minute| minute.calls).collect::<Vec<_>>();
        assert_eq!((calls(&live)[0], calls(&live)[59]), (1, 1));
        TIME.pass(60_000);
        assert_eq!((calls(&live)[0], calls(&live)[58], calls(&live)[59]), (0, 1, 0));
        drop(live.begin(begun("c")));
        assert_eq!(calls(&live).iter().sum::<u32>(), 2, "its place was that of a minute an hour ago");
    }

    #[test]
    fn percentiles_lie_within_their_classes() {
        let mut classes = [0; BOUNDS_US.len() + 1];
        assert_eq!(percentile(&classes, 0.5), None);
        classes[3] = 90; // more than 0.5 ms, at most 1 ms
        classes[9] = 10; // more than 50 ms, at most 100 ms
        let of = |part| percentile(&classes, part).unwrap();
        assert!((0.5..=1.0).contains(&of(0.5)) && (50.0..=100.0).contains(&of(0.95)));
        assert!(of(0.95) < of(0.99));
        classes[19] = 1_000;
        assert_eq!(percentile(&classes, 0.99), Some(100_000.0), "beyond what is measured");
    }
}
