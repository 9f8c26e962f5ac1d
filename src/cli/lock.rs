//! `keyglass lock`: the tool contract, written down; and holding specs against it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::{EXIT_DIAGNOSTICS, count, log_errors, print};
use crate::{
    clock::Clock,
    config::{Options, Settings},
    diagnostic::has_errors,
    lock::{self, Contract, LockError},
    setup::{Purpose, setup},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to write [default: the one that `lock` in the configuration file or KEYGLASS_LOCKED names, else `keyglass.lock`
    /// beside the configuration file, else here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { output, options } = arguments;
    let mut settings = options.clone().or_environment()?.settings()?;
    settings.lock.or_variable();
    let path = output.unwrap_or_else(|| settings.lock.path.clone());
    let set_up = setup(&settings, Purpose::Show, Clock::System)?;
    log_errors(&set_up.diagnostics, &set_up.sources, &options);
    if set_up.gateway.catalog.is_empty() && has_errors(&set_up.diagnostics) {
        // A contract without tools would let nothing in ever after.
        tracing::error!("no tool could be loaded; the errors above say why, and nothing was written");
        return Ok(ExitCode::from(EXIT_DIAGNOSTICS));
    }
    let contract = Contract::of(&set_up.gateway);
    // What is about to be agreed to, where there was one before.
    if let Ok(before) = lock::read(&path) {
        print(&lock::Differences::between(&before, &contract).to_string())?;
    }
    lock::write(&path, &contract).with_context(|| format!("`{}` cannot be written", path.display()))?;
    let (resources, prompts) = (count(contract.resources.len(), "resource"), count(contract.prompts.len(), "prompt"));
    let tools = count(contract.tools.len(), "tool");
    print(&format!("{}: {tools}, {resources}, {prompts}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the contract, where one is locked. Variables are read for it that are no secrets, as when the file is
/// written: they may be in base URLs.
pub(super) fn verified(settings: &Settings) -> anyhow::Result<Result<(), LockError>> {
    let Some(path) = settings.lock.file() else { return Ok(Ok(())) };
    let quiet = Settings { remarks: Vec::new(), ..settings.clone() };
    let set_up = setup(&quiet, Purpose::Show, Clock::System)?;
    Ok(lock::verify(path, &set_up.gateway))
}
