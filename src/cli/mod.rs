//! The command line: a file for each command. The only user of standard output and of `anyhow`.
//!
//! Exit codes: 0 done; 1 a spec has errors, or a database or an audit log problems, or
//! the tools are not those that were locked; 2 the program could not start or was stopped by a
//! fault; 5 the tool, or the embedded backend, answered with an error; 64 the command line or the configuration is wrong.

mod approve;
mod audit;
mod backend;
mod call;
mod check;
mod console;
mod data;
mod desk;
mod import;
mod keys;
mod lock;
mod operator;
mod person;
mod reveal;
mod secrets;
mod serve;
mod table;
mod time;
mod tools;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Catalog,
    config::{ConfigError, Options},
    core_dump,
    diagnostic::{self, Diagnostic, Severity, SourceMap},
    setup::SetupError,
    telemetry,
};

/// Exit code: a spec has errors, a database problems, or the tools are not those that were locked.
const EXIT_DIAGNOSTICS: u8 = 1;
/// Exit code: the program could not start, or a fault stopped it.
const EXIT_FAULT: u8 = 2;
/// Exit code: the tool, or the embedded backend, answered with an error.
const EXIT_TOOL_ERROR: u8 = 5;
/// Exit code: the command line or the configuration is wrong (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Turns capability specs into typed, safe MCP tools.
#[derive(Debug, Parser)]
#[command(name = "keyglass", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  keyglass serve                            MCP over stdio, embedded backend
  keyglass serve --http 127.0.0.1:7480      MCP over HTTP at /mcp and /sse
  keyglass serve --backend remote           the hosted service, with the key in
                                            the variable RUNLOOP_API_KEY
  keyglass tools                            what a client would see
  keyglass call get_secret name=DB_PASS     one tool, once
  keyglass call create_secret --json -      arguments from standard input
  keyglass call get_secret name=A --dry-run the request it would send
  keyglass check capabilities/              diagnose specs
  keyglass check --explain unknown-field    what a diagnostic means
  keyglass lock                             what the tools are, to review changes
  keyglass check --locked                   whether they are still the same
  keyglass import openapi api.yaml -o capabilities/api.yaml
  keyglass backend --listen 127.0.0.1:8080  the embedded backend alone
  keyglass keys create --full               a key for the embedded backend
  keyglass secrets create DB_PASS           a secret in it; asks for the value
  keyglass backend backup keys.db           a copy of its database, in use or not
  keyglass audit verify                     whether the audit log is whole
  keyglass approve                          the calls that wait for you
  keyglass console --open                   the same and more, in a browser

Options that can be set by a variable show it as [env: NAME]. KEYGLASS_LOG sets
log levels (`debug`, `warn,keyglass=trace`). Logs go to standard error.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the tools over MCP, on stdio or HTTP
    Serve(serve::Arguments),
    /// Serve the embedded backend alone, over HTTP; back its database up, restore, rekey and verify it
    Backend(backend::Arguments),
    /// List the tools as a client would see them
    Tools(tools::Arguments),
    /// Call one tool
    Call(call::Arguments),
    /// Diagnose specs and the schemas they refer to
    Check(check::Arguments),
    /// Write the whole tool contract into a file, for `check --locked` and `serve --locked`
    Lock(lock::Arguments),
    /// Make a spec from an OpenAPI document
    Import(import::Arguments),
    /// List, make, revoke and rotate the API keys of the embedded backend
    Keys(keys::Arguments),
    /// List, make, change and delete the secrets of the embedded backend
    Secrets(secrets::Arguments),
    /// Look whether the audit log is whole, and what happened lately
    Audit(audit::Arguments),
    /// Look at the calls that wait for you, and confirm or refuse them
    Approve(approve::Arguments),
    /// List the secret values that tools answered with, and see one, once
    Reveal(reveal::Arguments),
    /// Open the page on which you confirm calls, enter and reveal secrets, try tools and watch
    Console(console::Arguments),
}

/// Runs the program on the process's own arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = without_values(error);
            let failed = error.print().is_err() || error.use_stderr();
            return if failed { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    telemetry::start();
    core_dump::forbid();
    let outcome = match cli.command {
        Command::Serve(arguments) => {
            // Outlives the runtime, since it sends what is left from a thread of its own.
            let _tracing = telemetry::trace::start();
            run(serve::run(arguments))
        }
        Command::Backend(arguments) => run(backend::run(arguments)),
        Command::Tools(arguments) => tools::run(arguments),
        Command::Call(arguments) => run(call::run(arguments)),
        Command::Check(arguments) => check::run(arguments),
        Command::Lock(arguments) => lock::run(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Keys(arguments) => run(keys::run(arguments)),
        Command::Secrets(arguments) => run(secrets::run(arguments)),
        Command::Audit(arguments) => run(audit::run(arguments)),
        Command::Approve(arguments) => run(approve::run(arguments)),
        Command::Reveal(arguments) => run(reveal::run(arguments)),
        Command::Console(arguments) => run(console::run(arguments)),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::from(match &error {
                error if is_usage(error) => EXIT_USAGE,
                error if error.is::<operator::Refused>() => EXIT_TOOL_ERROR,
                _ => EXIT_FAULT,
            })
        }
    }
}

/// A refused command line, as it is to be shown. Of `keyglass secrets` no argument is repeated that is not one of its own:
/// it may be a value in the wrong place.
fn without_values(error: clap::Error) -> clap::Error {
    use clap::error::ErrorKind;

    let names_nothing_given = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
            | ErrorKind::MissingSubcommand
            | ErrorKind::MissingRequiredArgument
            | ErrorKind::ArgumentConflict
    );
    if names_nothing_given || std::env::args_os().nth(1).is_none_or(|command| command != "secrets") {
        return error;
    }
    let text = "an argument is not one that this command has; it is not shown, since it may be a secret value. \
                `keyglass help secrets` tells what there is, and a value is asked for, or read by `--value -` or \
                `--value-file PATH`\n";
    clap::Error::raw(error.kind(), text)
}

/// Runs a command on a runtime of its own. A thread of it that is stuck in a read keeps nobody from leaving.
fn run(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

/// One line with the causes.
fn report(error: &anyhow::Error) {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors say their cause themselves.
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    // The last word of a program that ends; where nobody can read it, the exit code has to do.
    writeln!(io::stderr(), "keyglass: {line}").ok();
}

/// What was wrong with the command line, said by a command itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<Usage>()
        || matches!(error.downcast_ref::<ConfigError>(), Some(ConfigError::Invalid { .. } | ConfigError::File { .. }))
        || matches!(
            error.downcast_ref::<SetupError>(),
            Some(SetupError::Config(ConfigError::Invalid { .. } | ConfigError::File { .. }))
        )
}

/// Writes to standard output. A reader that has gone away, as `head` does, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Logs the errors alone, and how many warnings there are: for commands whose output is about something else.
fn log_errors(diagnostics: &[Diagnostic], sources: &SourceMap, given: &Options) {
    let (errors, others): (Vec<_>, Vec<_>) =
        diagnostics.iter().cloned().partition(|diagnostic| diagnostic.severity == Severity::Error);
    diagnostic::log(&errors, sources);
    let warnings = others.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning).count();
    if warnings > 0 {
        tracing::warn!("{} about the specs; `{}` shows them", count(warnings, "warning"), given.command("check"));
    }
}

/// A number of things: `1 tool`, `7 tools`.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// What a catalog offers, in numbers: tools always, resources and prompts where there are any.
fn offers(catalog: &Catalog) -> String {
    let others = [(catalog.resources().len(), "resource"), (catalog.prompts().len(), "prompt")];
    let others = others.into_iter().filter(|(number, _)| *number > 0).map(|(number, thing)| count(number, thing));
    std::iter::once(count(catalog.len(), "tool")).chain(others).collect::<Vec<_>>().join(", ")
}

/// A token that is cancelled by SIGINT or SIGTERM. A second signal ends the process at once.
fn shutdown_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping: calls in flight get up to 10 s");
        cancelled.cancel();
        signals.next().await;
        #[allow(clippy::exit, reason = "asked for twice: nothing may hold the process any longer")]
        std::process::exit(i32::from(EXIT_FAULT));
    });
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
