//! `keyglass call`: one tool, once, without a client.

use std::{
    io::{IsTerminal as _, Read},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    EXIT_DIAGNOSTICS, EXIT_TOOL_ERROR, Usage, approve::BY_COMMAND, lock::verified, log_errors, person::Person, print,
    table::plain,
};
use crate::{
    audit::{Origin, Transport},
    call::{self, CallContext, CallOutput, Returned},
    caller::Caller,
    catalog::{CompiledTool, JsonObject},
    clock::Clock,
    config::{AuditFlag, Options, Settings},
    dry_run,
    error::CallError,
    nearest::nearest,
    policy::{self, store::Shown},
    sensitive::Marks,
    setup::{Open, Purpose, open_audit, setup, setup_again},
    shipped::{self, Group},
};

/// The largest text of arguments that is read from standard input, in bytes.
const MAX_INPUT_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The tool
    tool: String,
    /// Arguments as NAME=VALUE; a value is taken as the argument's type says
    #[arg(value_name = "NAME=VALUE")]
    arguments: Vec<String>,
    /// Arguments as a JSON object; `-` reads it from standard input, so that secrets stay off the command line
    #[arg(long, value_name = "JSON", conflicts_with = "arguments")]
    json: Option<String>,
    /// Print the request and send nothing: no backend is opened, no credential is read
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "http")]
    dry_run: Option<dry_run::Format>,
    /// Confirm the call without being asked: for scripts. Whoever can run commands as you can do so too
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    audit: AuditFlag,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { tool: name, arguments, json, dry_run, yes, audit, options } = arguments;
    let mut settings = options.clone().or_environment()?.settings()?;
    audit.over(&mut settings)?;
    settings.lock.or_variable();
    // A slip must not open anything, let alone make a data folder.
    let purpose = if dry_run.is_some() { Purpose::Show } else { Purpose::Inspect };
    let looked_at = setup(&settings, purpose, Clock::System)?;
    log_errors(&looked_at.diagnostics, &looked_at.sources, &options);
    let Some(tool) = looked_at.gateway.tool(&name) else {
        if let Some(left_out) = looked_at.gateway.catalog.left_out(&name) {
            let check = options.command("check");
            let message = format!("the tool `{name}` was left out: {} (`{check}` shows all errors)", left_out.reason);
            return Err(Usage(message).into());
        }
        if let Some((tool, by)) = looked_at.gateway.catalog.switched_off(&name) {
            return Err(Usage(format!("the tool `{}` is switched off by the settings ({by})", tool.name)).into());
        }
        if let Some(group) = group_of(&name, &settings) {
            let message = format!("unknown tool `{name}`; it is in the group `{group}`: add `--group {group}`");
            return Err(Usage(message).into());
        }
        let near = nearest(&name, looked_at.gateway.tools().map(|tool| tool.name.as_str()));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let list = options.command("tools");
        return Err(Usage(format!("unknown tool `{name}`{near} (`{list}` lists them)")).into());
    };
    let arguments = match json.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().take(MAX_INPUT_BYTES).read_to_string(&mut text).context("cannot read standard input")?;
            if text.trim().is_empty() {
                return Err(Usage("standard input is empty; it must hold a JSON object".to_owned()).into());
            }
            object(&text)?
        }
        Some(text) => object(text)?,
        None => pairs(tool, &arguments)?,
    };
    if let Some(format) = dry_run {
        return match dry_run::dry_run(tool, arguments) {
            Ok(request) => print(&request.to_text(format)).map(|()| ExitCode::SUCCESS),
            Err(error) => {
                super::report(&anyhow::Error::msg(error.to_string()));
                Ok(ExitCode::from(EXIT_TOOL_ERROR))
            }
        };
    }
    if let Err(refused) = verified(&settings)? {
        tracing::error!("{refused}");
        return Ok(ExitCode::from(EXIT_DIAGNOSTICS));
    }
    let audit = open_audit(&settings, Clock::System)?;
    let _closing = audit.closing();
    let gateway = setup_again(&settings, Clock::System, &Open { audit, ..Open::default() })?.gateway;
    let tool = gateway.tool(&name).context("the tool is gone")?;
    let arguments = asked_for(tool, arguments)?;
    refuse_empty(tool, &arguments)?;
    let person = Arc::new(Person::new());
    let binding = policy::binding(tool, &Value::Object(arguments.clone()));
    let origin = Origin::new(Caller::local().principal, None, (Transport::Command, "call"));
    let context = CallContext {
        client: person.clone(),
        is_person: true,
        confirmed_by: yes.then_some(BY_COMMAND),
        origin: Some(Arc::new(origin)),
        ..CallContext::new(call::request_id()?)
    };
    match gateway.call(tool, arguments, &context).await {
        Ok(output) => {
            let shown = match &output {
                CallOutput::Returned(Returned::Result { content, structured: None, .. }) => {
                    serde_json::to_string_pretty(content)?
                }
                output => serde_json::to_string_pretty(&output.structured().unwrap_or_default())?,
            };
            print(&format!("{shown}\n"))?;
            let failed = matches!(output, CallOutput::Returned(Returned::Result { is_error: true, .. }));
            Ok(if failed { ExitCode::from(EXIT_TOOL_ERROR) } else { ExitCode::SUCCESS })
        }
        Err(CallError::Lacks(capability)) => {
            let message = format!(
                "this tool needs the capability `{capability}` of an MCP client, and `keyglass call` is none that anybody \
                 could be asked by; call the tool from an MCP client"
            );
            super::report(&anyhow::Error::msg(message));
            Ok(ExitCode::from(EXIT_TOOL_ERROR))
        }
        Err(CallError::NotConfirmed(_)) if person.has_refused() => {
            super::report(&anyhow::Error::msg("you refused it; nothing was sent"));
            Ok(ExitCode::from(EXIT_TOOL_ERROR))
        }
        Err(error @ CallError::Waits { .. }) => {
            let vault = gateway.policy.vault();
            let owner = context.principal.binding();
            let waiting = match vault {
                Some(vault) => vault.work(move |store| store.look(&owner, &binding)).await.ok().flatten(),
                None => None,
            };
            let message = match vault.zip(waiting) {
                Some((vault, question)) => {
                    let approve = format!("{} {}", vault.command("approve"), question.shown.code);
                    left_waiting(&question.shown, &approve, person.is_there(), yes)
                }
                None => error.to_string(),
            };
            super::report(&anyhow::Error::msg(message));
            Ok(ExitCode::from(EXIT_TOOL_ERROR))
        }
        Err(error) => {
            super::report(&anyhow::Error::msg(format!("{error} (request id: {})", context.request_id)));
            Ok(ExitCode::from(EXIT_TOOL_ERROR))
        }
    }
}

/// The arguments with the secret ones that have to be there and are not, which are asked for at a terminal.
fn asked_for(tool: &CompiledTool, mut arguments: JsonObject) -> anyhow::Result<JsonObject> {
    if !std::io::stdin().is_terminal() {
        return Ok(arguments);
    }
    for name in tool.input.required() {
        let is_secret = tool.input.marks().and_then(|marks| marks.member(name)).is_some_and(Marks::is_secret);
        if is_secret && !arguments.contains_key(name) {
            let value = Zeroizing::new(rpassword::prompt_password(format!("{name} (not shown): "))?);
            arguments.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    Ok(arguments)
}

/// What a person is told of a call that waits.
fn left_waiting(shown: &Shown, approve: &str, is_there: bool, is_confirmed: bool) -> String {
    let labels: Vec<String> = shown.entries.iter().map(|entry| format!("`{}`", plain(&entry.label))).collect();
    let is_to_be_confirmed = shown.confirms && !is_confirmed;
    let missing = match (labels.as_slice(), is_there) {
        ([], true) => "nothing was decided, so nothing was sent; call again to be asked again".to_owned(),
        ([], false) => "nothing was sent: a person has to confirm this call, and there is no terminal to ask at; give \
                        `--yes` where that is meant"
            .to_owned(),
        (labels, _) => {
            let yes = if is_to_be_confirmed { ", and `--yes` to confirm the call" } else { "" };
            format!(
                "nothing was sent: the secret value of {} is missing; give it, which `--json -` takes from standard \
                 input{yes}",
                labels.join(" and ")
            )
        }
    };
    format!("{missing}; or decide by `{approve}` in a terminal, then call again with exactly the same arguments")
}

/// What is entered for a secret has to be one.
fn refuse_empty(tool: &CompiledTool, arguments: &JsonObject) -> anyhow::Result<()> {
    let Some(marks) = tool.input.marks() else { return Ok(()) };
    let is_secret = |name: &str| marks.member(name).is_some_and(Marks::is_secret);
    match arguments.iter().find(|(name, value)| value.as_str() == Some("") && is_secret(name)) {
        Some((name, _)) => Err(Usage(format!("`{name}`: the value is empty; nothing was changed, give one")).into()),
        None => Ok(()),
    }
}

/// The group of shipped tools that has a tool of this name, where shipped tools are what is offered.
fn group_of(name: &str, settings: &Settings) -> Option<&'static str> {
    if settings.specs.iter().any(|source| source.shipped_name().is_none()) {
        return None;
    }
    let has_it = |group: &Group| {
        let settings = Settings { specs: shipped::specs(&[*group]), remarks: Vec::new(), ..settings.clone() };
        setup(&settings, Purpose::Show, Clock::System).is_ok_and(|found| found.gateway.tool(name).is_some())
    };
    Group::ALL.into_iter().find(has_it).map(Group::name)
}

/// The text is not repeated in the error: it may hold a secret.
fn object(text: &str) -> anyhow::Result<JsonObject> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Usage(format!("--json must be a JSON object such as {{\"name\": \"A\"}}; it broke at {place}")).into()
    })
}

fn pairs(tool: &CompiledTool, pairs: &[String]) -> anyhow::Result<JsonObject> {
    let mut arguments = JsonObject::new();
    for pair in pairs {
        let Some((name, text)) = pair.split_once('=') else {
            // A text that is no name may be a secret.
            let is_name =
                |text: &str| text.len() <= 64 && text.chars().all(|one| one.is_alphanumeric() || "_-.".contains(one));
            let what = if is_name(pair) { format!("`{pair}` has no value: arguments") } else { "arguments".to_owned() };
            return Err(Usage(format!("{what} are given as NAME=VALUE, or all at once by --json")).into());
        };
        if arguments.insert(name.to_owned(), tool.input.read(name, text)).is_some() {
            return Err(Usage(format!("argument `{name}` is given twice")).into());
        }
    }
    Ok(arguments)
}
