//! The catalog: every tool, compiled, immutable, ready to be listed and called. Data and look-up, no input or output.
//!
//! Each neighbour file holds one concept whole: its type, how a spec is lowered to it, its use at call time.

pub mod compile;
mod explain;
pub mod gate;
pub mod hints;
pub mod input;
pub mod names;
pub mod output;
pub mod request;
mod secrets;
pub mod service;
pub mod template;
mod wiring;

use std::{collections::BTreeMap, sync::Arc};

use indexmap::IndexMap;

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
    /// The request it makes.
    pub request: RequestTemplate,
    /// The operation as the spec writes it: `METHOD /path/{placeholder}`.
    pub operation: String,
    /// The service it calls.
    pub service: Arc<Service>,
    /// What callers have to show who may be anybody; absent where its spec asks for nothing.
    pub gate: Option<GateId>,
}

/// How schemas are compiled: draft 2020-12, with patterns that cost little however they are written.
fn validator_options() -> jsonschema::ValidationOptions<'static> {
    const PATTERN_BYTES: usize = 256 * 1024;
    let patterns = jsonschema::PatternOptions::fancy_regex()
        .backtrack_limit(100_000)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES);
    jsonschema::draft202012::options().with_pattern_options(patterns)
}

impl CompiledTool {
    /// Whether both tools send the same request to the same place for the same arguments.
    fn makes_same_request(&self, other: &Self) -> bool {
        let same_endpoint = match (&self.service.endpoint, &other.service.endpoint) {
            (Ok(own), Ok(other)) => own.base == other.base && own.credential.is_same(&other.credential),
            _ => self.service.namespace == other.service.namespace,
        };
        self.request == other.request
            && self.input.listed() == other.input.listed()
            && self.service.route == other.service.route
            && self.gate == other.gate
            && same_endpoint
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
