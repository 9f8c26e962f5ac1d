//! The section `backend_limits` of the configuration file.

use std::{ops::RangeInclusive, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::backend::embedded::{Limits, Rate};

/// The largest size that can be set, in bytes: bodies are held in memory.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Limits of the embedded backend. All members are optional.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct BackendLimits {
    /// Largest body of a request, in bytes [default: 1048576].
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub max_body_bytes: Option<usize>,
    /// Largest value of a secret, in bytes [default: 262144].
    #[schemars(range(min = 1, max = 67_108_864))]
    pub max_value_bytes: Option<usize>,
    /// How long the body of a request may take to arrive, in seconds [default: 30].
    #[schemars(range(min = 1, max = 3600))]
    pub body_timeout: Option<u64>,
    /// How many connections may be open at a time; further ones wait [default: 768].
    #[schemars(range(min = 1, max = 65_536))]
    pub max_connections: Option<usize>,
    /// How many requests of one key are served in a second, on and on [default: 100].
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<u32>,
    /// How many requests of one key are served at once after a rest [default: 1000].
    #[schemars(range(min = 1, max = 1_000_000))]
    pub request_burst: Option<u32>,
    /// How many requests without a good key are answered in a second with more than 429, all together [default: 10].
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures_per_second: Option<u32>,
    /// How many of them are at once after a rest [default: 100].
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failure_burst: Option<u32>,
}

impl BackendLimits {
    /// The limits, with defaults for what is not set. Error: which member is out of its range.
    pub(super) fn checked(self) -> Result<Limits, String> {
        let Self {
            max_body_bytes,
            max_value_bytes,
            body_timeout,
            max_connections,
            requests_per_second,
            request_burst,
            failures_per_second,
            failure_burst,
        } = self;
        let default = Limits::default();
        let rate = |names: (&str, &str), (per_second, burst), default: Rate| {
            Ok::<_, String>(Rate {
                per_second: within(names.0, per_second, default.per_second, 1..=1_000_000)?,
                burst: within(names.1, burst, default.burst, 1..=1_000_000)?,
            })
        };
        let limits = Limits {
            max_body_bytes: within("max_body_bytes", max_body_bytes, default.max_body_bytes, 1024..=MOST_BYTES)?,
            max_value_bytes: within("max_value_bytes", max_value_bytes, default.max_value_bytes, 1..=MOST_BYTES)?,
            body_time: Duration::from_secs(within(
                "body_timeout",
                body_timeout,
                default.body_time.as_secs(),
                1..=3600,
            )?),
            max_connections: within("max_connections", max_connections, default.max_connections, 1..=65_536)?,
            requests: rate(
                ("requests_per_second", "request_burst"),
                (requests_per_second, request_burst),
                default.requests,
            )?,
            failures: rate(
                ("failures_per_second", "failure_burst"),
                (failures_per_second, failure_burst),
                default.failures,
            )?,
        };
        if limits.max_value_bytes > limits.max_body_bytes {
            return Err(format!(
                "a value of `max_value_bytes` ({}) does not fit into a body of `max_body_bytes` ({})",
                limits.max_value_bytes, limits.max_body_bytes
            ));
        }
        Ok(limits)
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    name: &str,
    given: Option<T>,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let value = given.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("`{name}` is {value}; expected {} to {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(section: serde_json::Value) -> Result<Limits, String> {
        serde_json::from_value::<BackendLimits>(section).map_err(|error| error.to_string())?.checked()
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(checked(json!({})), Ok(Limits::default()));
        let set = checked(json!({ "body_timeout": 5, "request_burst": 7 })).expect("limits");
        assert_eq!((set.body_time, set.requests), (Duration::from_secs(5), Rate { per_second: 100, burst: 7 }));
        assert_eq!(set.max_body_bytes, Limits::default().max_body_bytes);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (section, words) in [
            (json!({ "max_body_bytes": 1 }), "`max_body_bytes` is 1; expected 1024 to 67108864"),
            (json!({ "max_value_bytes": 0 }), "`max_value_bytes`"),
            (json!({ "body_timeout": 0 }), "`body_timeout`"),
            (json!({ "max_connections": 0 }), "`max_connections`"),
            (json!({ "requests_per_second": 0 }), "`requests_per_second`"),
            (json!({ "request_burst": 0 }), "`request_burst`"),
            (json!({ "failures_per_second": 0 }), "`failures_per_second`"),
            (json!({ "failure_burst": 1_000_001 }), "`failure_burst`"),
            (json!({ "max_value_bytes": 4096, "max_body_bytes": 2048 }), "does not fit"),
            (json!({ "max_bytes": 4096 }), "max_bytes"),
        ] {
            let error = checked(section.clone()).expect_err("out of range");
            assert!(error.contains(words), "{section}: {error}");
        }
    }
}
