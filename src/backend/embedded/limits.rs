//! What the backend takes: how large, how long, how slow, how often.

use std::time::Duration;

/// The limits of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest value of a secret, in bytes.
    pub max_value_bytes: usize,
    /// The longest name of a secret or a key, in characters.
    pub max_name_length: usize,
    /// Whether a new secret's name must be one that an environment variable can have: without `-`.
    pub strict_secret_names: bool,
    /// How long the body of a request may take to arrive.
    pub body_time: Duration,
    /// How long a request may take until it is answered, its body included.
    pub request_time: Duration,
    /// How long a client may take to take an answer in, for each MiB of it.
    pub answer_time: Duration,
    /// How long a connection may be without a request.
    pub idle_time: Duration,
    /// How many connections may be open at a time. For a further one that which has been without a request for longest
    /// ends; where all have one, it waits.
    pub max_connections: usize,
    /// How often one key may be used.
    pub requests: Rate,
    /// How often requests without a good key are told why, all of them together.
    pub failures: Rate,
}

impl Default for Limits {
    /// 1 MiB, 256 KiB, 255 characters (no source gives a limit but Runtype's, which is this one); 30 s for a body, 60 s for
    /// all of a request, 30 s for an answer, 60 s without a request; 768 connections (below the 1,024 open files that a
    /// process commonly may have); 100 requests per second and 1,000 at once, 10 failures per second and 100 at once.
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            max_value_bytes: 256 * 1024,
            max_name_length: 255,
            strict_secret_names: false,
            body_time: Duration::from_secs(30),
            request_time: Duration::from_secs(60),
            answer_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
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
