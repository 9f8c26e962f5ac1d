//! What the backend takes: how large, how slow, how often.

use std::time::Duration;

/// The limits of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest value of a secret, in bytes.
    pub max_value_bytes: usize,
    /// How long the body of a request may take to arrive.
    pub body_time: Duration,
    /// How many connections may be open at a time; further ones wait.
    pub max_connections: usize,
    /// How often one key may be used.
    pub requests: Rate,
    /// How often requests without a good key are told why, all of them together.
    pub failures: Rate,
}

impl Default for Limits {
    /// 1 MiB, 256 KiB, 30 s, 768 connections (below the 1,024 open files that a process commonly may have), 100 requests
    /// per second and 1,000 at once, 10 failures per second and 100 at once.
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            max_value_bytes: 256 * 1024,
            body_time: Duration::from_secs(30),
            max_connections: 768,
            requests: Rate { per_second: 100, burst: 1_000 },
            failures: Rate { per_second: 10, burst: 100 },
        }
    }
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// On and on.
    pub per_second: u32,
    /// At once, after a rest.
    pub burst: u32,
}
