//! What is offered, as far as it decides who may use it.

use super::GateId;
use crate::catalog::risk::Risk;

/// A tool, a resource or a prompt, as far as it decides who may use it.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The gate before it.
    pub gate: Option<GateId>,
    /// What it was written to be used with.
    pub group: &'a str,
    /// What it may do at worst.
    pub risk: Risk,
    /// The name of a tool; resources and prompts are not named one by one.
    pub tool: Option<&'a str>,
}
