//! keyglass turns capability specs into typed, safe tools of the Model Context Protocol.
pub mod backend;
pub mod call;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnostic;
pub mod error;
pub mod gateway;
pub mod mask;
pub mod mcp;
pub mod schema;
pub mod services;
pub mod setup;
pub mod shipped;
pub mod spec;
pub mod telemetry;
