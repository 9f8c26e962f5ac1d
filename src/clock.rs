//! Where the time comes from: the system's clock, or one that tests set, so that they need no filters.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// By how much a clock has to be set back for that to be told, in milliseconds: less is no more than a correction.
const WORTH_TELLING_MS: i64 = 60 * 1000;

/// A source of the current time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The clock of the machine.
    System,
    /// Always the same instant, in milliseconds since the Unix epoch.
    Fixed(i64),
    /// A clock that is set by hand.
    Manual(&'static ManualClock),
}

impl Clock {
    /// Milliseconds since the Unix epoch; 0 where the machine's clock stands before it.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn now_ms(self) -> i64 {
        match self {
            Self::Fixed(milliseconds) => milliseconds,
            Self::Manual(clock) => clock.now_ms.load(Ordering::Relaxed),
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|elapsed| i64::try_from(elapsed.as_millis()).ok())
                .unwrap_or(0),
        }
    }

    /// Milliseconds since some moment in the past, whatever the clock is set to meanwhile.
    pub fn passed_ms(self) -> i64 {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::Fixed(_) => 0,
            Self::Manual(clock) => clock.passed_ms.load(Ordering::Relaxed),
            Self::System => i64::try_from(BEGUN.elapsed().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock that goes on, and is set, by hand.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
    passed_ms: AtomicI64,
}

impl ManualClock {
    /// One that stands at this time, in milliseconds since the Unix epoch.
    pub const fn at(now_ms: i64) -> Self {
        Self { now_ms: AtomicI64::new(now_ms), passed_ms: AtomicI64::new(0) }
    }

    /// Lets so many milliseconds pass.
    pub fn pass(&self, milliseconds: i64) {
        self.now_ms.fetch_add(milliseconds, Ordering::Relaxed);
        self.passed_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Sets it so many milliseconds ahead, or back, without any of them passing.
    pub fn set_ahead(&self, milliseconds: i64) {
        self.now_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

/// A clock that never goes back: where the one it follows is set back, it goes on from where it was, at the same pace. It
/// takes up what is ahead of it at once.
#[derive(Debug)]
pub struct SteadyClock {
    clock: Clock,
    /// How far the clock has been ahead of what has passed, at most.
    ahead_ms: AtomicI64,
    /// Whether it was said that the clock was set back.
    told: AtomicBool,
}

impl SteadyClock {
    /// One that follows this clock, from where it stands now.
    pub fn following(clock: Clock) -> Self {
        Self { clock, ahead_ms: AtomicI64::new(i64::MIN), told: AtomicBool::new(false) }
    }

    /// Milliseconds since the Unix epoch. Never less than it gave before.
    pub fn now_ms(&self) -> i64 {
        // In this order: a wait between the two makes too little of the clock's lead, which does no harm.
        let now_ms = self.clock.now_ms();
        let passed_ms = self.clock.passed_ms();
        let ahead_ms = now_ms.saturating_sub(passed_ms);
        let most_ms = self.ahead_ms.fetch_max(ahead_ms, Ordering::Relaxed).max(ahead_ms);
        let back_ms = most_ms.saturating_sub(ahead_ms);
        if back_ms < WORTH_TELLING_MS {
            self.told.store(false, Ordering::Relaxed);
        } else if !self.told.swap(true, Ordering::Relaxed) {
            let seconds = back_ms / 1000;
            tracing::warn!(
                seconds,
                "the machine's clock was set back; the embedded backend goes on from where it was, so that no key that \
                 has expired works again; start it anew to have it take the new time"
            );
        }
        passed_ms.saturating_add(most_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_clock_goes_on_while_the_one_it_follows_is_behind() {
        static CLOCK: ManualClock = ManualClock::at(1_000_000);
        let steady = SteadyClock::following(Clock::Manual(&CLOCK));
        let after = |change: &dyn Fn()| {
            change();
            steady.now_ms()
        };
        assert_eq!(after(&|| {}), 1_000_000);
        assert_eq!(after(&|| CLOCK.pass(10)), 1_000_010);
        assert_eq!(after(&|| CLOCK.set_ahead(500_000)), 1_500_010, "ahead at once");
        assert_eq!(after(&|| CLOCK.set_ahead(-900_000)), 1_500_010, "never back");
        assert_eq!(after(&|| CLOCK.pass(10)), 1_500_020, "at the same pace");
        assert_eq!(after(&|| CLOCK.set_ahead(899_999)), 1_500_020);
        assert_eq!(after(&|| CLOCK.set_ahead(2)), 1_500_021, "the clock is ahead again");
    }

    #[test]
    fn the_clock_of_the_machine_is_followed() {
        let steady = SteadyClock::following(Clock::System);
        let (before, now, after) = (Clock::System.now_ms(), steady.now_ms(), Clock::System.now_ms());
        assert!(before <= now && now <= after, "{before} {now} {after}");
        assert_eq!(SteadyClock::following(Clock::Fixed(7)).now_ms(), 7);
    }
}
