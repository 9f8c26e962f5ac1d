//! Behaviour through the public API and the program itself, in one binary.

// `cfg(test)` always holds here; it tells clippy that functions without `#[test]` are test code too.
#[cfg(test)]
mod allocations;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod authorization;
#[cfg(test)]
mod call;
#[cfg(test)]
mod canaries;
#[cfg(test)]
mod check;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod client_profiles;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod completions;
#[cfg(test)]
mod confirmation;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod console;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod direct;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod dry_run;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod glass;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod hygiene;
#[cfg(test)]
mod language;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod monitor;
#[cfg(test)]
mod offered;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod risks;
#[cfg(test)]
mod scale_out;
#[cfg(test)]
mod shipyard;
#[cfg(test)]
mod specs;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
#[cfg(feature = "opentelemetry")]
mod traces;
#[cfg(test)]
mod tutorial;
#[cfg(test)]
mod upstream;
