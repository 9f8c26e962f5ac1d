//! How often keys may be used: a token bucket for each key, and one for all requests without a good key.
//!
//! Knows nothing of requests. Each process counts for itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::limits::{Limits, Rate};

/// What one request takes out of a bucket: a rate per second fills so many in a millisecond.
const REQUEST: u64 = 1_000;
/// How many keys are counted before those are forgotten whose buckets are full again.
const MANY_KEYS: usize = 4_096;

/// The buckets.
#[derive(Debug)]
pub(super) struct Rates {
    requests: Rate,
    by_key: Mutex<HashMap<String, Bucket>>,
    failures: (Rate, Mutex<Option<Bucket>>),
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    filled_at_ms: i64,
}

impl Rates {
    /// Full buckets.
    pub(super) fn new(limits: &Limits) -> Self {
        Self { requests: limits.requests, by_key: Mutex::default(), failures: (limits.failures, Mutex::default()) }
    }

    /// Counts a request of a good key. Error: it comes too soon, by so many seconds.
    pub(super) fn of_key(&self, key_id: &str, now_ms: i64) -> Result<(), u64> {
        let mut buckets = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key_id) {
            return bucket.take(self.requests, now_ms);
        }
        if buckets.len() >= MANY_KEYS {
            buckets.retain(|_, bucket| !bucket.is_full(self.requests, now_ms));
        }
        let mut bucket = Bucket::full(self.requests, now_ms);
        let taken = bucket.take(self.requests, now_ms);
        buckets.insert(key_id.to_owned(), bucket);
        taken
    }

    /// Counts a request without a good key. Error: it comes too soon, by so many seconds.
    pub(super) fn of_failures(&self, now_ms: i64) -> Result<(), u64> {
        let (rate, bucket) = &self.failures;
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.get_or_insert_with(|| Bucket::full(*rate, now_ms)).take(*rate, now_ms)
    }
}

impl Bucket {
    fn full(rate: Rate, now_ms: i64) -> Self {
        Self { level: u64::from(rate.burst).saturating_mul(REQUEST), filled_at_ms: now_ms }
    }

    fn fill(&mut self, rate: Rate, now_ms: i64) {
        // Of a clock that was set back nothing is to be had, and nothing is to be waited for.
        let elapsed_ms = u64::try_from(now_ms.saturating_sub(self.filled_at_ms)).unwrap_or(0);
        let more = elapsed_ms.saturating_mul(u64::from(rate.per_second));
        self.level = self.level.saturating_add(more).min(Self::full(rate, now_ms).level);
        self.filled_at_ms = now_ms;
    }

    fn is_full(mut self, rate: Rate, now_ms: i64) -> bool {
        self.fill(rate, now_ms);
        self.level >= Self::full(rate, now_ms).level
    }

    fn take(&mut self, rate: Rate, now_ms: i64) -> Result<(), u64> {
        self.fill(rate, now_ms);
        match self.level.checked_sub(REQUEST) {
            Some(left) => {
                self.level = left;
                Ok(())
            }
            None => {
                let missing_ms = REQUEST.saturating_sub(self.level).div_ceil(u64::from(rate.per_second).max(1));
                Err(missing_ms.div_ceil(1_000).max(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        let requests = Rate { per_second: 2, burst: 3 };
        let failures = Rate { per_second: 1, burst: 1 };
        Rates::new(&Limits { requests, failures, ..Limits::default() })
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let rates = rates();
        for _ in 0..3 {
            assert_eq!(rates.of_key("a", 1_000), Ok(()));
        }
        assert_eq!(rates.of_key("a", 1_000), Err(1));
        assert_eq!(rates.of_key("b", 1_000), Ok(()), "another key has a bucket of its own");
        assert_eq!(rates.of_key("a", 1_499), Err(1));
        assert_eq!(rates.of_key("a", 1_500), Ok(()), "what was refused took nothing");
        assert_eq!(rates.of_key("a", 1_500), Err(1));
        for _ in 0..3 {
            assert_eq!(rates.of_key("a", 1_000_000), Ok(()));
        }
        assert_eq!(rates.of_key("a", 1_000_000), Err(1), "never more than a burst");
        assert_eq!(rates.of_key("a", 0), Err(1));
        assert_eq!(rates.of_key("a", 500), Ok(()), "a clock that was set back locks nobody out");
    }

    #[test]
    fn failures_have_one_bucket() {
        let rates = rates();
        assert_eq!(rates.of_failures(0), Ok(()));
        assert_eq!(rates.of_failures(1), Err(1));
        assert_eq!(rates.of_key("a", 1), Ok(()));
        assert_eq!(rates.of_failures(1_000), Ok(()));
    }

    #[test]
    fn keys_that_rest_are_forgotten() {
        let rates = rates();
        for number in 0..MANY_KEYS {
            assert_eq!(rates.of_key(&number.to_string(), 0), Ok(()));
        }
        assert_eq!(rates.of_key("last", 60_000), Ok(()));
        assert_eq!(rates.by_key.lock().unwrap().len(), 1);
    }
}
