//! The catalog: every tool, resource and prompt, compiled, immutable, ready to be listed and used. Data and look-up, no
//! input or output.
//!
//! Each neighbour file holds one concept whole: its type, how a spec is lowered to it, its use at call time.

mod arguments;
pub mod body;
mod body_wiring;
mod collected;
pub mod compile;
pub mod complete;
mod content;
mod explain;
pub mod fill;
mod flow;
pub mod folder;
pub mod gate;
pub mod group;
pub mod harmless;
pub mod hints;
pub mod input;
pub mod interaction;
pub mod join;
mod lengths;
mod listed;
mod literals;
mod lookup;
pub mod names;
mod offer;
pub mod output;
pub mod path;
pub mod plan;
pub mod poll;
pub mod prompt;
mod reader;
pub mod request;
mod resolve;
pub mod resource;
pub mod risk;
mod secrets;
pub mod service;
pub mod shape;
mod shaping;
mod slots;
mod switched_off;
mod title;
mod tool;
mod typing;
pub mod uri;
mod verbs;
mod wiring;
mod with;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use indexmap::IndexMap;

pub(crate) use self::explain::dotted;
pub use self::{
    compile::compile, hints::Hints, input::InputSchema, output::OutputSchema, prompt::CompiledPrompt,
    request::RequestTemplate, resource::CompiledResource, service::Service,
};
use self::{
    plan::{Plan, Shaping},
    resource::Resources,
    risk::Assessed,
    switched_off::SwitchedOff,
};
use crate::access::GateId;

/// A JSON object whose members keep their order.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// All tools, resources and prompts, in the order of the specs.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: IndexMap<String, CompiledTool>,
    /// Names of specs that cannot be offered → the names that are.
    aliases: BTreeMap<String, String>,
    resources: Resources,
    prompts: IndexMap<String, CompiledPrompt>,
    left_out: BTreeMap<String, LeftOutTool>,
    switched_off: SwitchedOff,
    freshness: Freshness,
}

/// How long lists are fresh, and for whom, as the servers of all specs together say (language schema, `ttlMs` and
/// `cacheScope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The shortest time that one of them states, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Whether all of them let others share what was kept.
    pub is_public: bool,
}

/// A tool that a spec has and the catalog has not.
#[derive(Clone, Debug)]
pub struct LeftOutTool {
    /// What is wrong with it, and in which line of which file.
    pub reason: String,
    /// The gate it would be behind.
    pub gate: Option<GateId>,
}

/// A tool as resolved from a spec.
#[derive(Debug)]
pub struct CompiledTool {
    /// The unique name, 1 to 64 characters of `A-Za-z0-9_-`.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// What the tool does, for the model.
    pub description: String,
    /// What a client may assume about the tool's effects.
    pub hints: Hints,
    /// What it may do at worst, and what tells so.
    pub risk: Assessed,
    /// The arguments.
    pub input: InputSchema,
    /// The result.
    pub output: OutputSchema,
    /// What it does.
    pub plan: Plan,
    /// What is made of the answer.
    pub shaping: Shaping,
    /// The gate before it, where callers have to show something.
    pub gate: Option<GateId>,
    /// What it was written to be used with: the name of a shipped group, the namespace of the server that offers it or
    /// else of its service, or the name of its file without the ending.
    pub group: Arc<str>,
}

impl CompiledTool {
    /// Whether clients see the same tool.
    pub fn is_listed_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.title == other.title
            && self.description == other.description
            && self.hints == other.hints
            && self.input.is_listed_as(&other.input)
            && self.output.is_listed_as(&other.output)
    }
}

impl Catalog {
    /// The tool of this name: the one it is offered under, or the one its spec gives it.
    pub fn tool(&self, name: &str) -> Option<&CompiledTool> {
        self.tools.get(name).or_else(|| self.tools.get(self.aliases.get(name)?))
    }

    /// The name that a tool is offered under, or was before it was switched off, of that one or of the one its spec gives it;
    /// any other name as it is.
    pub fn offered_name<'a>(&'a self, name: &'a str) -> &'a str {
        if self.tools.contains_key(name) { name } else { self.aliases.get(name).map_or(name, String::as_str) }
    }

    /// How long lists are fresh, and for whom.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Why there is no tool of this name, where a spec has one that was left out for an error.
    pub fn left_out(&self, name: &str) -> Option<&LeftOutTool> {
        self.left_out.get(name).filter(|_| self.tool(name).is_none())
    }

    /// All tools, in the order of the specs.
    pub fn tools(&self) -> impl Iterator<Item = &CompiledTool> {
        self.tools.values()
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// The resources.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The prompt of this name.
    pub fn prompt(&self, name: &str) -> Option<&CompiledPrompt> {
        self.prompts.get(name)
    }

    /// All prompts, in the order of the specs.
    pub fn prompts(&self) -> impl ExactSizeIterator<Item = &CompiledPrompt> {
        self.prompts.values()
    }

    /// Whether any step sends log messages.
    pub fn logs(&self) -> bool {
        let of_resources = self.resources.iter().filter_map(CompiledResource::plan);
        let of_prompts = self.prompts.values().filter_map(|prompt| Some(&prompt.action.as_ref()?.0.plan));
        self.tools().map(|tool| &tool.plan).chain(of_resources).chain(of_prompts).any(Plan::logs)
    }

    /// The gate before each tool, resource and prompt; none where it has none.
    pub fn gates(&self) -> impl Iterator<Item = Option<GateId>> {
        let resources = self.resources.iter().map(|resource| resource.gate);
        self.tools().map(|tool| tool.gate).chain(resources).chain(self.prompts().map(|prompt| prompt.gate))
    }

    /// The groups of all tools, resources and prompts, each once.
    pub fn groups(&self) -> BTreeSet<&str> {
        let resources = self.resources.iter().map(|resource| &*resource.group);
        let prompts = self.prompts().map(|prompt| &*prompt.group);
        self.tools().map(|tool| &*tool.group).chain(resources).chain(prompts).collect()
    }

    /// Whether there is nothing at all to offer.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.resources.is_empty() && self.prompts.is_empty()
    }
}
