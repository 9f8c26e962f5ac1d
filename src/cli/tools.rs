//! `keyglass tools`: what a client would see, as tables or as the JSON of `tools/list` and its neighbours.

use std::{fmt::Write, process::ExitCode};

use clap::Args;
use serde_json::Value;

use super::{EXIT_DIAGNOSTICS, count, log_errors, print, table::table};
use crate::{
    catalog::{Catalog, CompiledTool, resource::ResourceSource, risk::Assessed},
    clock::Clock,
    config::Options,
    diagnostic::has_errors,
    mcp,
    setup::{Purpose, setup},
};

/// Why there are no tools.
const BROKEN: &str = "nothing could be loaded, and the errors above say why";
const SWITCHED_OFF: &str = "the settings switch all of them off";
const UNUSED: &str = "the specs have neither an operation nor a tool, so they offer none";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print what `tools/list` answers, all pages in one, and the lists of
    /// resources, their templates and prompts where there are any
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the table of the README
    #[arg(long)]
    markdown: bool,
    /// Print what tells the class of risk of each tool
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    reasons: bool,
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let options = arguments.options;
    let set_up = setup(&options.clone().or_environment()?.settings()?, Purpose::Inspect, Clock::System)?;
    log_errors(&set_up.diagnostics, &set_up.sources, &options);
    let gateway = &set_up.gateway;
    let nothing_loaded = gateway.catalog.is_empty() && has_errors(&set_up.diagnostics);
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&mcp::listing(gateway))?)
    } else if gateway.catalog.is_empty() || (arguments.markdown && gateway.tools().next().is_none()) {
        let why = match gateway.catalog.everything().next() {
            _ if nothing_loaded => BROKEN,
            Some(_) => SWITCHED_OFF,
            None => UNUSED,
        };
        let check = options.command("check");
        format!("There are no tools: {why}; `{check}` shows what it finds in them.\n")
    } else if arguments.markdown {
        markdown(gateway.tools())
    } else if arguments.reasons {
        risks(&gateway.catalog)
    } else {
        tables(&gateway.catalog)
    };
    print(&text)?;
    // As `serve` does: a spec that gives no tool at all is a failure.
    Ok(if nothing_loaded { ExitCode::from(EXIT_DIAGNOSTICS) } else { ExitCode::SUCCESS })
}

/// The tools with their classes of risk, the worst first, and why.
fn risks(catalog: &Catalog) -> String {
    let mut tools: Vec<&CompiledTool> = catalog.tools().collect();
    tools.sort_by_key(|tool| std::cmp::Reverse(tool.risk.class));
    let rows = tools.into_iter().map(|tool| {
        let Assessed { class, reason } = &tool.risk;
        [tool.name.clone(), class.to_string(), reason.to_string(), tool.plan.summary()]
    });
    table(["TOOL", "RISK", "BECAUSE OF", "OPERATION"], rows)
}

/// The tools, and below them the resources and the prompts where there are any.
fn tables(catalog: &Catalog) -> String {
    let mut tables = Vec::new();
    if catalog.tools().next().is_some() {
        let tools = catalog.tools().map(|tool| {
            [tool.name.clone(), shown(arguments_of(tool).into_iter()), tool.risk.class.to_string(), tool.plan.summary()]
        });
        tables.push(table(["TOOL", "ARGUMENTS (* REQUIRED)", "RISK", "OPERATION"], tools));
    }
    if !catalog.resources().is_empty() {
        let resources = catalog.resources().iter().map(|resource| {
            let (uri, source) = match &resource.source {
                ResourceSource::Answer(tool) => (resource.uri.to_string(), tool.plan.summary()),
                ResourceSource::Folder(folder) => (resource.uri_of("…"), count(folder.files.len(), "file")),
            };
            [uri, resource.name.clone(), resource.media_type.clone().unwrap_or_default(), source]
        });
        tables.push(table(["RESOURCE", "NAME", "MEDIA TYPE", "READ FROM"], resources));
    }
    if catalog.prompts().len() > 0 {
        let prompts = catalog.prompts().map(|prompt| {
            let arguments = prompt.arguments.iter().map(|argument| (argument.name.clone(), argument.required));
            let description = prompt.description.lines().next().unwrap_or_default();
            [prompt.name.clone(), shown(arguments), description.to_owned()]
        });
        tables.push(table(["PROMPT", "ARGUMENTS (* REQUIRED)", "WHAT IT IS FOR"], prompts));
    }
    tables.join("\n")
}

fn shown(arguments: impl Iterator<Item = (String, bool)>) -> String {
    let arguments = arguments.map(|(name, required)| format!("{name}{}", if required { "*" } else { "" }));
    arguments.collect::<Vec<_>>().join(" ")
}

fn markdown<'a>(tools: impl Iterator<Item = &'a CompiledTool>) -> String {
    let mut text = "| Tool | Arguments | Risk | What it does |\n|---|---|---|---|\n".to_owned();
    for tool in tools {
        let arguments: Vec<String> = arguments_of(tool)
            .into_iter()
            .map(|(name, required)| if required { format!("**`{name}`**") } else { format!("`{name}`") })
            .collect();
        let description = tool.description.replace('|', "\\|");
        let arguments = arguments.join(", ");
        writeln!(text, "| `{}` | {arguments} | {} | {description} |", tool.name, tool.risk.class).ok();
    }
    text
}

fn arguments_of(tool: &CompiledTool) -> Vec<(String, bool)> {
    let schema = tool.input.listed();
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|other| other == name));
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, _)| (name.clone(), is_required(name))).collect()
}
