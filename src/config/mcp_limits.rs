//! The section `mcp_limits` of the configuration file.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{seconds_within, within};
use crate::mcp::limits::{Limits, Most};

/// The largest size that can be set, in bytes: messages are held in memory.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// Limits of the MCP server. All members are optional.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct McpLimits {
    /// How many sessions may be open at a time over HTTP; a further one gets 503 [default: 1000].
    #[schemars(range(min = 1, max = 100_000))]
    pub max_sessions: Option<usize>,
    /// How many of them one caller may have open [default: 400, or `max_sessions` where that is less].
    #[schemars(range(min = 1, max = 100_000))]
    pub max_sessions_per_caller: Option<usize>,
    /// How many quiet streams may be open at a time: `subscriptions/listen`, and the streams that sessions open by GET
    /// [default: 500].
    #[schemars(range(min = 1, max = 100_000))]
    pub max_subscriptions: Option<usize>,
    /// How many of them one caller may have open [default: 200, or `max_subscriptions` where that is less].
    #[schemars(range(min = 1, max = 100_000))]
    pub max_subscriptions_per_caller: Option<usize>,
    /// How many requests may be without an answer over HTTP; a further one gets 503 [default: 512].
    #[schemars(range(min = 1, max = 100_000))]
    pub max_requests: Option<usize>,
    /// How many of them may be of one caller [default: 128, or `max_requests` where that is less].
    #[schemars(range(min = 1, max = 100_000))]
    pub max_requests_per_caller: Option<usize>,
    /// Largest body of an HTTP request, in bytes; a larger one gets 413 [default: 4194304].
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub max_body_bytes: Option<usize>,
    /// Largest result of a call, and largest resource, that a client is given, in bytes; instead of a larger one it is told
    /// how to ask for less [default: 8388608].
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub max_result_bytes: Option<usize>,
    /// Longest message over stdio, in bytes [default: 16777216].
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub max_line_bytes: Option<usize>,
    /// How long the body of an HTTP request may take to arrive, in seconds; then 408 [default: 30].
    #[schemars(range(min = 1, max = 3600))]
    pub body_timeout: Option<u64>,
    /// How long the work on a request may take, all its calls to backends included, in seconds [default: 600, or 30 more
    /// than `timeout`].
    #[schemars(range(min = 1, max = 7200))]
    pub request_timeout: Option<u64>,
    /// How long an HTTP client may take to take an answer in, in seconds, for each MiB of it, or an event of a stream; then
    /// its connection ends [default: 60].
    #[schemars(range(min = 1, max = 3600))]
    pub answer_timeout: Option<u64>,
    /// How long an HTTP connection may be without a request, in seconds; then it ends [default: 60].
    #[schemars(range(min = 1, max = 3600))]
    pub idle_timeout: Option<u64>,
    /// How many HTTP connections may be open at a time. For a further one that which has been without a request for longest
    /// ends; where all have one, it waits [default: 768].
    #[schemars(range(min = 1, max = 65_536))]
    pub max_connections: Option<usize>,
}

impl McpLimits {
    /// The limits, with defaults for what is not set, where one call to a backend may take so long. Error: which member is
    /// out of its range.
    pub(super) fn checked(self, call_time: Duration) -> Result<Limits, String> {
        let Self {
            max_sessions,
            max_sessions_per_caller,
            max_subscriptions,
            max_subscriptions_per_caller,
            max_requests,
            max_requests_per_caller,
            max_body_bytes,
            max_result_bytes,
            max_line_bytes,
            body_timeout,
            request_timeout,
            answer_timeout,
            idle_timeout,
            max_connections,
        } = self;
        let default = Limits::default();
        let most = |names: (&str, &str), in_all, per_caller, default: Most| {
            let in_all = within(names.0, in_all, default.in_all, 1..=100_000)?;
            let per_caller = within(names.1, per_caller, default.per_caller.min(in_all), 1..=100_000)?;
            if per_caller > in_all {
                return Err(format!("`{}` ({per_caller}) is more than `{}` ({in_all})", names.1, names.0));
            }
            Ok(Most { in_all, per_caller })
        };
        let bytes = |name, given, default| within(name, given, default, 1024..=MOST_BYTES);
        let request_time = default.request_time.max(call_time.saturating_add(Duration::from_secs(30)));
        let limits = Limits {
            sessions: most(
                ("max_sessions", "max_sessions_per_caller"),
                max_sessions,
                max_sessions_per_caller,
                default.sessions,
            )?,
            subscriptions: most(
                ("max_subscriptions", "max_subscriptions_per_caller"),
                max_subscriptions,
                max_subscriptions_per_caller,
                default.subscriptions,
            )?,
            requests: most(
                ("max_requests", "max_requests_per_caller"),
                max_requests,
                max_requests_per_caller,
                default.requests,
            )?,
            max_body_bytes: bytes("max_body_bytes", max_body_bytes, default.max_body_bytes)?,
            max_result_bytes: bytes("max_result_bytes", max_result_bytes, default.max_result_bytes)?,
            max_line_bytes: bytes("max_line_bytes", max_line_bytes, default.max_line_bytes)?,
            body_time: seconds_within("body_timeout", body_timeout, default.body_time, 1..=3600)?,
            request_time: seconds_within("request_timeout", request_timeout, request_time, 1..=7200)?,
            answer_time: seconds_within("answer_timeout", answer_timeout, default.answer_time, 1..=3600)?,
            idle_time: seconds_within("idle_timeout", idle_timeout, default.idle_time, 1..=3600)?,
            max_connections: within("max_connections", max_connections, default.max_connections, 1..=65_536)?,
        };
        if limits.request_time < call_time {
            return Err(format!(
                "`request_timeout` ({}) is less than the deadline of one call, `timeout` ({})",
                limits.request_time.as_secs(),
                call_time.as_secs()
            ));
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CALL: Duration = Duration::from_secs(30);

    fn checked(section: serde_json::Value, call_time: Duration) -> Result<Limits, String> {
        serde_json::from_value::<McpLimits>(section).map_err(|error| error.to_string())?.checked(call_time)
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(checked(json!({}), CALL), Ok(Limits::default()));
        let few = checked(json!({ "max_sessions": 7, "request_timeout": 45 }), CALL).expect("limits");
        assert_eq!(few.sessions, Most { in_all: 7, per_caller: 7 });
        assert_eq!(few.request_time, Duration::from_secs(45));
        let long = checked(json!({}), Duration::from_secs(3600)).expect("limits");
        assert_eq!(long.request_time, Duration::from_secs(3630), "as long as one call at least");
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (section, words) in [
            (json!({ "max_sessions": 0 }), "`max_sessions` is 0; expected 1 to 100000"),
            (json!({ "max_sessions_per_caller": 1_001 }), "(1001) is more than `max_sessions` (1000)"),
            (json!({ "max_subscriptions": 100_001 }), "`max_subscriptions`"),
            (json!({ "max_subscriptions_per_caller": 0 }), "`max_subscriptions_per_caller`"),
            (json!({ "max_requests": 0 }), "`max_requests`"),
            (json!({ "max_requests_per_caller": 0 }), "`max_requests_per_caller`"),
            (json!({ "max_body_bytes": 1 }), "`max_body_bytes`"),
            (json!({ "max_result_bytes": 1 }), "`max_result_bytes`"),
            (json!({ "max_line_bytes": 1 }), "`max_line_bytes`"),
            (json!({ "body_timeout": 0 }), "`body_timeout`"),
            (json!({ "request_timeout": 29 }), "`timeout` (30)"),
            (json!({ "answer_timeout": 0 }), "`answer_timeout`"),
            (json!({ "idle_timeout": 3601 }), "`idle_timeout`"),
            (json!({ "max_connections": 0 }), "`max_connections`"),
            (json!({ "max_bytes": 4096 }), "max_bytes"),
        ] {
            let error = checked(section.clone(), CALL).expect_err("out of range");
            assert!(error.contains(words), "{section}: {error}");
        }
    }
}
