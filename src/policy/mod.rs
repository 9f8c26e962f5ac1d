//! What stands between a model and what a call can do: which secrets it sees, which calls a person is asked about.
//!
//! Decides; what is called and who calls it is told to it. Must not know MCP.

pub mod glass;
pub mod grants;
pub(crate) mod inputs;
pub mod rules;
pub mod store;
pub mod vault;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::{
    glass::{Glass, Mode},
    grants::Ceiling,
    inputs::{Given, Reading},
    rules::{Rule, Rules},
    vault::Vault,
};
use crate::{
    caller::Principal,
    catalog::CompiledTool,
    config::{PolicySettings, References},
    error::CallError,
};

/// What one running server holds its calls to.
pub struct Policy {
    glass: Glass,
    rules: Rules,
    accept_values: bool,
    references: References,
    ceiling: Ceiling,
    desk: OnceLock<Arc<dyn Desk>>,
}

/// Where a person answers who is not asked by the client: a page on this machine.
pub trait Desk: fmt::Debug + Send + Sync {
    /// Opens it where it is not, and tells the person by a way that no model sees. The address, without anything that lets
    /// in: `http://127.0.0.1:PORT/`. None where there is none.
    fn needed(&self) -> BoxFuture<'_, Option<String>>;
}

impl Policy {
    /// By these settings, with a vault to keep values and questions in where there is a data folder.
    pub fn new(settings: &PolicySettings, vault: Option<Arc<Vault>>) -> Self {
        let PolicySettings { secrets, rules, accept_values, handle_life, references, ceiling } = settings.clone();
        Self {
            glass: Glass::new(secrets, handle_life, vault),
            rules,
            accept_values,
            references,
            ceiling,
            desk: OnceLock::new(),
        }
    }

    /// What hides secrets.
    pub fn glass(&self) -> &Glass {
        &self.glass
    }

    /// Where handles and questions are kept, where there is a data folder.
    pub fn vault(&self) -> Option<&Arc<Vault>> {
        self.glass.vault()
    }

    /// What keys may be given.
    pub(crate) fn ceiling(&self) -> &Ceiling {
        &self.ceiling
    }

    /// Names the page where persons answer. The first one counts.
    pub fn set_desk(&self, desk: Arc<dyn Desk>) {
        self.desk.set(desk).ok(); // there is one for the whole process
    }

    /// The page where persons answer.
    pub(crate) fn desk(&self) -> Option<&Arc<dyn Desk>> {
        self.desk.get()
    }

    /// What a call of a tool needs.
    pub fn rule(&self, tool: &CompiledTool) -> Rule {
        self.rules.of(&tool.name, tool.risk.class)
    }

    /// Whether a call of a tool may have to ask a person before it is carried out.
    pub fn may_ask(&self, tool: &CompiledTool) -> bool {
        self.rule(tool) == Rule::Ask || self.may_want_values(tool)
    }

    /// Whether a person may have to give a secret value for a call of a tool.
    pub(crate) fn may_want_values(&self, tool: &CompiledTool) -> bool {
        self.glass.mode() == Mode::Handles && tool.input.marks().is_some()
    }

    /// Arguments with values in the place of what stands for them. `is_person` says that nobody else wrote them.
    pub(crate) async fn given<'a>(
        &self,
        tool: &CompiledTool,
        arguments: &'a Value,
        (principal, is_person): (&Principal, bool),
    ) -> Result<Given<'a>, CallError> {
        let reading = Reading {
            mode: self.glass.mode(),
            takes_values: self.accept_values || is_person,
            references: &self.references,
            vault: self.vault(),
            principal,
        };
        inputs::given(tool, arguments, reading).await
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Policy").field("glass", &self.glass).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Stands for a call as a person sees it: the same tool with the same arguments, doing the same. Arguments are as the caller
/// gave them, so that a handle in them is that handle.
pub(crate) fn binding(tool: &CompiledTool, arguments: &Value) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut arguments = arguments.clone();
    // The order of members says nothing, and a client may change it.
    arguments.sort_all_objects();
    for part in [tool.name.as_str(), &tool.plan.all_it_does(), &arguments.to_string()] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
