//! `keyglass check`: what is wrong with specs and the schemas they refer to.

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::{EXIT_DIAGNOSTICS, Usage, count, lock::verified, offers, print};
use crate::{
    catalog::join::JoinReport,
    clock::Clock,
    config::{LockFlag, Options},
    diagnostic::{Code, Severity, Style, has_errors, render_text, to_json, to_sarif},
    lock::LockError,
    nearest::nearest,
    setup::{Inspected, Purpose, setup},
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
    /// Show where the types of each operation come from: OpenAPI documents
    /// and JSON Schemas beside the specs and in `--schemas`
    #[arg(long)]
    joins: bool,
    #[command(flatten)]
    lock: LockFlag,
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { paths, json, sarif, explain: asked, joins, lock, mut options } = arguments;
    if let Some(code) = asked {
        print(&explain(code.as_deref())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !paths.is_empty() {
        options.capabilities = paths;
    }
    let mut settings = options.or_environment()?.settings()?;
    lock.over(&mut settings);
    let mut set_up = setup(&settings, Purpose::Inspect, Clock::System)?;
    let inspected = set_up.inspected.as_mut().filter(|_| joins);
    // What was wrong with the documents stands among the diagnostics already, unless no operation asked for them before.
    let joins = inspected.map(|Inspected { workspace, joiner }| {
        let report = JoinReport::new(workspace, joiner, &mut set_up.sources);
        set_up.diagnostics.extend(joiner.take_problems());
        report
    });
    let refused = verified(&settings)?.err();
    let (diagnostics, sources, catalog) = (&set_up.diagnostics, &set_up.sources, &set_up.gateway.catalog);
    if json {
        let mut value = json!({
            "tools": catalog.len(),
            "resources": catalog.resources().len(),
            "prompts": catalog.prompts().len(),
            "diagnostics": to_json(diagnostics, sources),
        });
        if let (Some(joins), Value::Object(members)) = (&joins, &mut value) {
            members.insert("joins".to_owned(), joins.to_json(sources));
        }
        if let (Some(refused), Value::Object(members)) = (&refused, &mut value) {
            let changes = match refused {
                LockError::Changed { differences, .. } => differences.to_json(),
                LockError::Missing { .. } | LockError::Unusable { .. } => json!(refused.to_string()),
            };
            members.insert("locked".to_owned(), changes);
        }
        print(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
    } else if sarif {
        print(&format!("{}\n", serde_json::to_string_pretty(&to_sarif(diagnostics, sources))?))?;
        if let Some(refused) = &refused {
            tracing::error!("{refused}");
        }
    } else {
        let style = if stdout().is_terminal() { Style::Coloured } else { Style::Plain };
        let of = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        let summary = format!(
            "{}, {}, {}, {}\n",
            offers(catalog),
            count(of(Severity::Error), "error"),
            count(of(Severity::Warning), "warning"),
            count(of(Severity::Note), "note")
        );
        if let Some(joins) = joins {
            print(&joins.to_text(sources))?;
        }
        let refused = refused.as_ref().map(|refused| format!("{refused}\n\n")).unwrap_or_default();
        print(&format!("{}{refused}{summary}", render_text(diagnostics, sources, style)))?;
    }
    Ok(if has_errors(diagnostics) || refused.is_some() { ExitCode::from(EXIT_DIAGNOSTICS) } else { ExitCode::SUCCESS })
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
