//! The catalog: every tool, compiled, immutable, ready to be listed and called. Data and look-up, no input or output.

use indexmap::IndexMap;

/// A JSON object whose members keep their order.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// All tools, in the order of the specs.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: IndexMap<String, CompiledTool>,
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
    /// The JSON Schema of the arguments, an object schema.
    pub input_schema: JsonObject,
    /// The JSON Schema of the result, an object schema.
    pub output_schema: Option<JsonObject>,
}

/// What a client may assume about a tool's effects (MCP `ToolAnnotations`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// The tool changes nothing.
    pub read_only: bool,
    /// The tool may destroy something.
    pub destructive: bool,
    /// Repeating the call has no further effect.
    pub idempotent: bool,
    /// The tool reaches beyond this machine.
    pub open_world: bool,
}

impl Catalog {
    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&CompiledTool> {
        self.tools.get(name)
    }

    /// All tools, in the order of the specs.
    pub fn tools(&self) -> impl Iterator<Item = &CompiledTool> {
        self.tools.values()
    }
}
