//! What stands between a model and what a call can do: which secrets it sees, which calls a person is asked about.
//!
//! Decides; what is called and who calls it is told to it. Must not know MCP.

pub mod glass;
pub mod grants;
mod inputs;
pub mod rules;
pub mod store;
pub mod vault;
