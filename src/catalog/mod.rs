//! The catalog: every tool, compiled, immutable, ready to be listed and called. Data and look-up, no input or output.
//!
//! Each neighbour file holds one concept whole: its type, how a spec is lowered to it, its use at call time.

pub mod body;
mod body_wiring;
mod collected;
pub mod compile;
mod explain;
pub mod fill;
mod flow;
pub mod gate;
pub mod hints;
pub mod input;
pub mod join;
mod listed;
pub mod names;
pub mod output;
pub mod path;
pub mod plan;
pub mod request;
mod resolve;
mod secrets;
pub mod service;
pub mod shape;
mod shaping;
mod typing;
mod wiring;

use std::collections::BTreeMap;

use indexmap::IndexMap;

use self::plan::{Plan, Shaping};
pub use self::{
    compile::compile, hints::Hints, input::InputSchema, output::OutputSchema, request::RequestTemplate,
    service::Service,
};
use crate::access::GateId;

/// A JSON object whose members keep their order.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// All tools, in the order of the specs.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: IndexMap<String, CompiledTool>,
    /// Names of specs that cannot be offered → the names that are.
    aliases: BTreeMap<String, String>,
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

    /// All tools, in the order of the specs.
    pub fn tools(&self) -> impl Iterator<Item = &CompiledTool> {
        self.tools.values()
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Whether there is no tool.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }
}
