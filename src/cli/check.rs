//! `keyglass check`: what is wrong with specs and the schemas they refer to.

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use super::{EXIT_DIAGNOSTICS, Usage, count, print};
use crate::{
    clock::Clock,
    config::Options,
    diagnostic::{Code, Severity, Style, has_errors, render_text, to_json, to_sarif},
    nearest::nearest,
    setup::{Purpose, setup},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Specs to check, files or folders [default: those that `serve` would load]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print the diagnostics as JSON
    #[arg(long, group = "format")]
    json: bool,
    /// Print the diagnostics as a SARIF 2.1.0 log, for code hosts and editors
    #[arg(long, group = "format")]
    sarif: bool,
    /// Print the manual's page on a code, such as `unknown-field`; without a code, list all
    #[arg(long, value_name = "CODE", num_args = 0..=1, conflicts_with_all = ["format", "paths"])]
    explain: Option<Option<String>>,
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { paths, json, sarif, explain: asked, mut options } = arguments;
    if let Some(code) = asked {
        print(&explain(code.as_deref())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !paths.is_empty() {
        options.capabilities = paths;
    }
    let set_up = setup(&options.or_environment()?.settings()?, Purpose::Inspect, Clock::System)?;
    let (diagnostics, sources) = (&set_up.diagnostics, &set_up.sources);
    if json {
        let value = json!({ "tools": set_up.gateway.catalog.len(), "diagnostics": to_json(diagnostics, sources) });
        print(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
    } else if sarif {
        print(&format!("{}\n", serde_json::to_string_pretty(&to_sarif(diagnostics, sources))?))?;
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

/// The page on a code, or a list of all.
fn explain(code: Option<&str>) -> Result<String, Usage> {
    let Some(name) = code else { return Ok(list_of_codes()) };
    match Code::named(name) {
        Some(code) => Ok(code.page().to_text(code)),
        None => {
            let near = nearest(name, Code::ALL.iter().map(|code| code.as_str()));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
            Err(Usage(format!("unknown code `{name}`{near} (codes: {})", all.join(", "))))
        }
    }
}

fn list_of_codes() -> String {
    let width = Code::ALL.iter().map(|code| code.as_str().len()).max().unwrap_or_default();
    Code::ALL.iter().map(|code| format!("{:width$}  {}\n", code.as_str(), code.page().title)).collect()
}
