//! What one running server holds: the catalog, the backends its services use, and the limits of a call.

use std::{sync::Arc, time::Duration};

use crate::{
    call::{CallContext, CallOutput},
    catalog::{Catalog, CompiledTool, JsonObject},
    error::CallError,
};

/// The limits of one call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The deadline of a call, connection and answer included.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

/// A catalog together with the backends that carry its calls out. Shared by all transports and sessions.
#[derive(Debug)]
pub struct Gateway {
    catalog: Arc<Catalog>,
    instructions: String,
}

impl Gateway {
    /// All tools, in the order of the specs.
    pub fn tools(&self) -> impl Iterator<Item = &CompiledTool> {
        self.catalog.tools()
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&CompiledTool> {
        self.catalog.tool(name)
    }

    /// What a client is told about this server: what the tools are for and which backend is in use.
    pub fn instructions(&self) -> &str {
        &self.instructions
    }

    /// Carries one call out.
    pub async fn call(
        &self,
        _tool: &CompiledTool,
        _arguments: JsonObject,
        _context: &CallContext,
    ) -> Result<CallOutput, CallError> {
        Err(CallError::Internal("not wired".to_owned()))
    }
}
