//! What one running server holds: the catalog, the backends its services use, and the limits of a call.

use crate::{
    backend::{Backend, Limits},
    call::{self, CallContext, CallOutput, Environment},
    catalog::{Catalog, CompiledTool, JsonObject, service::Route},
    clock::Clock,
    error::CallError,
};

/// A catalog together with the backends that carry its calls out. Shared by all transports and sessions.
#[derive(Debug)]
pub struct Gateway {
    /// The tools.
    pub catalog: Catalog,
    /// The backends.
    pub backends: Backends,
    /// The limits of each call.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
    /// What a client is told about this server.
    pub instructions: String,
}

/// The backends in use; one that no service needs is absent.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    /// The one built in.
    pub embedded: Option<Backend>,
    /// The HTTP client.
    pub remote: Option<Backend>,
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
        tool: &CompiledTool,
        arguments: JsonObject,
        context: &CallContext,
    ) -> Result<CallOutput, CallError> {
        let backend = match tool.service.route {
            Route::Embedded => self.backends.embedded.as_ref(),
            Route::Remote => self.backends.remote.as_ref(),
        };
        let Some(backend) = backend else {
            tool.service.endpoint()?; // a backend that no service can use is not open
            return Err(CallError::Internal(format!("no backend is open for `{}`", tool.service.namespace)));
        };
        let environment = Environment { backend, limits: self.limits, clock: self.clock };
        call::call(tool, arguments, environment, context).await
    }
}
