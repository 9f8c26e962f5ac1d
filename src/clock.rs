//! Where the time comes from: the system's clock, or a fixed instant so that tests need no filters.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the current time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The clock of the machine.
    System,
    /// Always the same instant, in milliseconds since the Unix epoch.
    Fixed(i64),
}

impl Clock {
    /// Milliseconds since the Unix epoch; 0 where the machine's clock stands before it.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn now_ms(self) -> i64 {
        match self {
            Self::Fixed(milliseconds) => milliseconds,
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|elapsed| i64::try_from(elapsed.as_millis()).ok())
                .unwrap_or(0),
        }
    }
}
