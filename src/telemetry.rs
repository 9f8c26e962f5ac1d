//! Logs: to standard error alone, since standard output is the protocol. `KEYGLASS_LOG` sets levels. Traces are in [`trace`].

pub mod trace;

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config;

/// What is logged where `KEYGLASS_LOG` says nothing. The MCP library warns of every slip of a client, which the client
/// itself is told already, and of every message that one who left does not read.
const DEFAULT_FILTER: &str = "warn,keyglass=info,rmcp=error,rmcp::service=off";

/// Starts logging. A filter that cannot be read is reported, and the default holds.
pub fn start() {
    let given = config::variable("KEYGLASS_LOG");
    let filter = given.as_deref().map(EnvFilter::try_new);
    let problem = filter.as_ref().and_then(|filter| filter.as_ref().err().map(ToString::to_string));
    let filter = filter.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_filter(filter_fn(is_safe));
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if let (Ok(()), Some(problem)) = (started, problem) {
        tracing::warn!(problem, "KEYGLASS_LOG cannot be read; logging at the default levels");
    }
}

/// Whether a line may be written, whatever `KEYGLASS_LOG` says. Libraries log whole messages below `warn`, with the
/// secrets in their arguments.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    *metadata.level() <= Level::WARN || target == "keyglass" || target.starts_with("keyglass::")
}
