//! `keyglass check`: what is wrong with specs and the schemas they refer to.

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::{EXIT_DIAGNOSTICS, count, print};
use crate::{
    clock::Clock,
    config::Options,
    diagnostic::{Severity, Style, has_errors, render_text, to_json},
    setup::{Purpose, setup},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Specs to check, files or folders [default: those that `serve` would load]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print the diagnostics as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { paths, json, mut options } = arguments;
    if !paths.is_empty() {
        options.capabilities = paths;
    }
    let set_up = setup(&options.or_environment()?.settings()?, Purpose::Inspect, Clock::System)?;
    let (diagnostics, sources) = (&set_up.diagnostics, &set_up.sources);
    if json {
        let value = json!({ "tools": set_up.gateway.catalog.len(), "diagnostics": to_json(diagnostics, sources) });
        print(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
    } else {
        let style = if stdout().is_terminal() { Style::Coloured } else { Style::Plain };
        let of = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        let summary = format!(
            "{}, {}, {}, {}\n",
            count(set_up.gateway.catalog.len(), "tool"),
            count(of(Severity::Error), "error"),
            count(of(Severity::Warning), "warning"),
            count(of(Severity::Note), "note")
        );
        print(&format!("{}{summary}", render_text(diagnostics, sources, style)))?;
    }
    Ok(if has_errors(diagnostics) { ExitCode::from(EXIT_DIAGNOSTICS) } else { ExitCode::SUCCESS })
}
