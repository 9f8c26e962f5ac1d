//! What is locked of a gateway: all that a model is told of tools, resources and prompts, what they may do at worst, and where
//! their calls go. The same for the same specs and settings, whatever the order of files, to the letter.
//!
//! No secret is in it: neither credentials nor values of variables, and of a base URL that secrets went into nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sends::sends;
use crate::{
    catalog::{
        CompiledPrompt, CompiledResource, CompiledTool,
        plan::CompiledOperation,
        plan::Plan,
        prompt::{Piece, Role},
        resource::ResourceSource,
        service::Route,
    },
    gateway::{Gateway, PREAMBLE},
    sensitive::Marks,
};

/// The version of the format.
pub const VERSION: u64 = 1;
/// In the place of an origin: the backend built in.
const EMBEDDED: &str = "embedded";
/// In the place of an origin that the settings do not name, or that a secret is part of.
const UNKNOWN: &str = "not known";

/// A whole contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The version of the format.
    pub keyglass_lock: u64,
    /// What every client is told of the server, sorted.
    pub instructions: Vec<String>,
    /// The tools by name.
    pub tools: BTreeMap<String, Tool>,
    /// The resources by URI.
    pub resources: BTreeMap<String, Resource>,
    /// The prompts by name.
    pub prompts: BTreeMap<String, Prompt>,
}

/// A tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The name a person reads.
    pub title: String,
    /// What a model is told.
    pub description: String,
    /// What it was written to be used with.
    pub group: String,
    /// What it may do at worst.
    pub risk: Class,
    /// What a client may assume.
    pub hints: Hints,
    /// Whether callers have to show something.
    pub gated: bool,
    /// The requests it makes.
    pub calls: Vec<Call>,
    /// What goes into them, what else it does, and what is made of the answers, a line each.
    pub sends: Vec<String>,
    /// The schema of the arguments, as listed.
    pub input: Value,
    /// Where secrets are among the arguments.
    pub secret_arguments: Vec<String>,
    /// The schema of the result, as listed; null where there is none.
    pub output: Value,
    /// Where secrets are in the result.
    pub secret_results: Vec<String>,
}

/// A class of risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name.
    pub class: String,
    /// What tells so.
    pub reason: String,
}

/// What a client may assume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: bool,
    /// It may destroy something.
    pub destructive: bool,
    /// Repeating it does no more.
    pub idempotent: bool,
    /// It reaches what nobody controls.
    pub open_world: bool,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// Scheme, host and port; `embedded` for the backend built in.
    pub origin: String,
    /// The path, with that of the base URL.
    pub path: String,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// What it holds.
    pub description: String,
    /// Its media type, where it is known.
    pub media_type: Option<String>,
    /// What it was written to be used with.
    pub group: String,
    /// Whether callers have to show something.
    pub gated: bool,
    /// Whether it is the files of a folder.
    pub folder: bool,
    /// The requests it is read by.
    pub calls: Vec<Call>,
    /// What goes into them.
    pub sends: Vec<String>,
    /// Where secrets are in it.
    pub secret_results: Vec<String>,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The name a person reads.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// What it was written to be used with.
    pub group: String,
    /// Whether callers have to show something.
    pub gated: bool,
    /// What may be filled in, as its name and what it means.
    pub arguments: Vec<String>,
    /// What it says, with `{argument}` for what is filled in.
    pub messages: Vec<String>,
    /// The requests it makes.
    pub calls: Vec<Call>,
    /// What goes into them.
    pub sends: Vec<String>,
}

impl Contract {
    /// The contract of what a gateway offers.
    pub fn of(gateway: &Gateway) -> Self {
        let catalog = &gateway.catalog;
        let told = gateway.descriptions.iter().map(|server| server.text.clone());
        let mut instructions: Vec<String> = std::iter::once(PREAMBLE.to_owned()).chain(told).collect();
        instructions.sort();
        instructions.dedup();
        Self {
            keyglass_lock: VERSION,
            instructions,
            tools: catalog.tools().map(|tool| (tool.name.clone(), Tool::of(tool))).collect(),
            resources: catalog.resources().iter().map(|one| (one.uri.to_string(), Resource::of(one))).collect(),
            prompts: catalog.prompts().map(|prompt| (prompt.name.clone(), Prompt::of(prompt))).collect(),
        }
    }

    /// As it stands in the file.
    pub fn to_text(&self) -> String {
        // Maps with names and plain values alone: nothing of them cannot be JSON.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl Tool {
    fn of(tool: &CompiledTool) -> Self {
        let CompiledTool { name: _, title, description, hints, risk, input, output, plan, shaping, gate, group } = tool;
        let places = |marks: Option<&Marks>| marks.map(Marks::places).unwrap_or_default();
        Self {
            title: title.clone(),
            description: description.clone(),
            group: group.to_string(),
            risk: Class { class: risk.class.to_string(), reason: risk.reason.to_string() },
            hints: Hints {
                read_only: hints.read_only,
                destructive: hints.destructive,
                idempotent: hints.idempotent,
                open_world: hints.open_world,
            },
            gated: gate.is_some(),
            calls: calls(plan),
            sends: sends(plan, shaping),
            input: sorted(Value::Object(input.listed())),
            secret_arguments: places(input.marks()),
            output: if output.is_promised() { sorted(Value::Object(output.listed())) } else { Value::Null },
            secret_results: places(output.marks()),
        }
    }
}

impl Resource {
    fn of(resource: &CompiledResource) -> Self {
        let tool = match &resource.source {
            ResourceSource::Answer(tool) => Some(Tool::of(tool)),
            ResourceSource::Folder(_) => None,
        };
        let folder = tool.is_none();
        let (calls, sends, secret_results) =
            tool.map_or_else(Default::default, |tool| (tool.calls, tool.sends, tool.secret_results));
        Self {
            name: resource.name.clone(),
            title: resource.title.clone(),
            description: resource.description.clone(),
            media_type: resource.media_type.clone(),
            group: resource.group.to_string(),
            gated: resource.gate.is_some(),
            folder,
            calls,
            sends,
            secret_results,
        }
    }
}

impl Prompt {
    fn of(prompt: &CompiledPrompt) -> Self {
        let arguments = prompt.arguments.iter().map(|argument| {
            let must = if argument.required { " (required)" } else { "" };
            let meaning = argument.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            format!("{}{must}{meaning}", argument.name)
        });
        let messages = prompt.messages.iter().map(|message| {
            let role = match message.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            let pieces = message.text.iter().map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Argument(name) => format!("{{{name}}}"),
            });
            format!("{role}: {}", pieces.collect::<String>())
        });
        let tool = prompt.action.as_ref().map(|action| &*action.0);
        Self {
            title: prompt.title.clone(),
            description: prompt.description.clone(),
            group: prompt.group.to_string(),
            gated: prompt.gate.is_some(),
            arguments: arguments.collect(),
            messages: messages.collect(),
            calls: tool.map(|tool| calls(&tool.plan)).unwrap_or_default(),
            sends: tool.map(|tool| sends(&tool.plan, &tool.shaping)).unwrap_or_default(),
        }
    }
}

/// All requests of a plan, those that wait for an end among them.
fn calls(plan: &Plan) -> Vec<Call> {
    plan.every_operation().map(call).collect()
}

fn call(operation: &CompiledOperation) -> Call {
    let service = &operation.service;
    let site = service.site.as_ref();
    let origin = match (service.route, site) {
        (Route::Embedded, _) => EMBEDDED.to_owned(),
        (Route::Remote, Some(site)) => site.origin().ascii_serialization(),
        (Route::Remote, None) => UNKNOWN.to_owned(),
    };
    let base = site.map_or("", |site| site.path().trim_end_matches('/'));
    Call { method: operation.request.method.to_string(), origin, path: format!("{base}{}", operation.request.path) }
}

/// The same value with members in the order of their names; what must be given is sorted too.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            let sorted = members.into_iter().map(|(name, value)| {
                let mut value = sorted(value);
                if let ("required", Value::Array(names)) = (name.as_str(), &mut value) {
                    names.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
                }
                (name, value)
            });
            Value::Object(sorted.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
