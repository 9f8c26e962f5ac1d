//! The section `backend_limits` of the configuration file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{seconds_within, within};
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
    /// Longest name of a secret or a key, in characters [default: 255]. Those of RunTools and Runtype have at most 255.
    #[schemars(range(min = 1, max = 1024))]
    pub max_name_length: Option<usize>,
    /// Whether a new secret must have a name that an environment variable can have: letters, digits and `_`, no digit
    /// first. Otherwise `-` is taken as well.
    pub strict_secret_names: bool,
    /// How long the body of a request may take to arrive, in seconds; then 400 [default: 30].
    #[schemars(range(min = 1, max = 3600))]
    pub body_timeout: Option<u64>,
    /// How long a request may take until it is answered, its body included, in seconds; then 503. More than `body_timeout`
    /// [default: 60, or 30 more than `body_timeout`].
    #[schemars(range(min = 2, max = 7200))]
    pub request_timeout: Option<u64>,
    /// How long a client may take to take an answer in, in seconds, for each MiB of it; then its connection ends
    /// [default: 30].
    #[schemars(range(min = 1, max = 3600))]
    pub answer_timeout: Option<u64>,
    /// How long a connection may be without a request, in seconds; then it ends [default: 60].
    #[schemars(range(min = 1, max = 3600))]
    pub idle_timeout: Option<u64>,
    /// How many connections may be open at a time. For a further one that which has been without a request for longest
    /// ends; where all have one, it waits [default: 768].
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
            max_name_length,
            strict_secret_names,
            body_timeout,
            request_timeout,
            answer_timeout,
            idle_timeout,
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
        let body_time = seconds_within("body_timeout", body_timeout, default.body_time, 1..=3600)?;
        let after_body = body_time.saturating_add(default.request_time.saturating_sub(default.body_time));
        let limits = Limits {
            max_body_bytes: within("max_body_bytes", max_body_bytes, default.max_body_bytes, 1024..=MOST_BYTES)?,
            max_value_bytes: within("max_value_bytes", max_value_bytes, default.max_value_bytes, 1..=MOST_BYTES)?,
            max_name_length: within("max_name_length", max_name_length, default.max_name_length, 1..=1024)?,
            strict_secret_names,
            body_time,
            request_time: seconds_within(
                "request_timeout",
                request_timeout,
                default.request_time.max(after_body),
                2..=7200,
            )?,
            answer_time: seconds_within("answer_timeout", answer_timeout, default.answer_time, 1..=3600)?,
            idle_time: seconds_within("idle_timeout", idle_timeout, default.idle_time, 1..=3600)?,
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
        if limits.request_time <= limits.body_time {
            return Err(format!(
                "`request_timeout` ({}) leaves no time after `body_timeout` ({}); expected more",
                limits.request_time.as_secs(),
                limits.body_time.as_secs()
            ));
        }
        if limits.max_value_bytes > limits.max_body_bytes {
            return Err(format!(
                "a value of `max_value_bytes` ({}) does not fit into a body of `max_body_bytes` ({})",
                limits.max_value_bytes, limits.max_body_bytes
            ));
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert_eq!(set.request_time, Duration::from_secs(60));
        let slow = checked(json!({ "body_timeout": 600 })).expect("limits");
        assert_eq!(slow.request_time, Duration::from_secs(630), "what follows the body keeps its time");
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (section, words) in [
            (json!({ "max_body_bytes": 1 }), "`max_body_bytes` is 1; expected 1024 to 67108864"),
            (json!({ "max_value_bytes": 0 }), "`max_value_bytes`"),
            (json!({ "body_timeout": 0 }), "`body_timeout`"),
            (json!({ "request_timeout": 1 }), "`request_timeout`"),
            (json!({ "answer_timeout": 0 }), "`answer_timeout`"),
            (json!({ "idle_timeout": 3601 }), "`idle_timeout`"),
            (json!({ "max_name_length": 0 }), "`max_name_length`"),
            (json!({ "max_connections": 0 }), "`max_connections`"),
            (json!({ "requests_per_second": 0 }), "`requests_per_second`"),
            (json!({ "request_burst": 0 }), "`request_burst`"),
            (json!({ "failures_per_second": 0 }), "`failures_per_second`"),
            (json!({ "failure_burst": 1_000_001 }), "`failure_burst`"),
            (json!({ "max_value_bytes": 4096, "max_body_bytes": 2048 }), "does not fit"),
            (json!({ "request_timeout": 30 }), "leaves no time after `body_timeout` (30)"),
            (json!({ "body_timeout": 60, "request_timeout": 59 }), "leaves no time after `body_timeout` (60)"),
            (json!({ "max_bytes": 4096 }), "max_bytes"),
        ] {
            let error = checked(section.clone()).expect_err("out of range");
            assert!(error.contains(words), "{section}: {error}");
        }
    }
}
