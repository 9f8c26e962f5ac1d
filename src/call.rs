//! One call, from arguments to result.

use crate::catalog::JsonObject;

/// What goes with a call besides its arguments.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Names this call in logs, in errors and towards the backend (`x-request-id`).
    pub request_id: String,
}

/// The result of a call that succeeded.
#[derive(Clone, Debug)]
pub struct CallOutput {
    /// The answer as a JSON object that the tool's output schema accepts; empty for an answer without a body.
    pub structured: JsonObject,
}
