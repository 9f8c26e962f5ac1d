//! keyglass turns capability specs into typed, safe tools of the Model Context Protocol.
pub mod backend;
pub mod call;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod error;
pub mod gateway;
pub mod mcp;
