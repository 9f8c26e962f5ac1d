//! Settings: from flags, `KEYGLASS_*` variables and a configuration file to values that were checked.
//!
//! The only reader of the environment and of files that hold secrets. Flags win over the environment, the environment
//! over the file. A credential is always a reference (`env:NAME`, `file:PATH`): a literal is refused and not repeated. The
//! master key may also come from a command, which is run here alone.

mod audit;
mod backend_limits;
mod backend_policy;
pub mod callers;
mod credential;
mod egress;
mod environment;
mod file;
mod lock;
mod master_key;
mod mcp_limits;
mod offered;
mod options;
mod policy;
mod references;
mod shape;
mod tls;

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

pub use self::{
    audit::{AuditFlag, AuditSection, AuditSettings},
    backend_limits::BackendLimits,
    backend_policy::BackendPolicy,
    callers::Callers,
    credential::{CredentialReference, secret_variable},
    egress::EgressEntry,
    environment::variable,
    file::{ConfigFile, config_file_schema},
    lock::{LockFlag, LockSettings},
    master_key::MasterKeyLocation,
    mcp_limits::McpLimits,
    offered::OfferedOptions,
    options::Options,
    policy::{PolicyEntry, PolicySettings},
    references::{Reference, ReferenceProblem, References},
    tls::tls,
};
pub(crate) use self::{credential::checked, options::default_data_dir};
use crate::{
    access::Restrictions,
    backend::{
        Limits,
        embedded::{self, MasterKeyReference},
    },
    catalog::risk::Risk,
    credential::CredentialHeader,
    egress::Policy,
    mcp,
    services::choice::{ByNamespace, Choice},
    spec::Source,
};

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where specs come from.
    pub specs: Vec<Source>,
    /// Where schemas come from.
    pub schemas: Vec<Source>,
    /// The backends that were chosen.
    pub backends: ByNamespace<Choice>,
    /// The credentials that were given.
    pub credentials: ByNamespace<CredentialReference>,
    /// The headers that credentials are sent in, where one was named; never one for all namespaces.
    pub credential_headers: ByNamespace<CredentialHeader>,
    /// The folder of the embedded backend; `None` where the platform names none and nothing was set.
    pub data_dir: Option<PathBuf>,
    /// Where the embedded backend's master key lies, if not in that folder.
    pub master_key: Option<MasterKeyReference>,
    /// What the embedded backend takes.
    pub backend_limits: embedded::Limits,
    /// Whether restricted keys of the embedded backend may make keys that may do more than themselves.
    pub restricted_keys_make_wider_keys: bool,
    /// Where requests may go, as far as the operator says so.
    pub egress: Arc<Policy>,
    /// The limits of a call.
    pub limits: Limits,
    /// How long a call may take before it goes on as a task, for clients that can follow one.
    pub soft_deadline: Duration,
    /// The limits of the MCP server.
    pub mcp_limits: mcp::limits::Limits,
    /// How the audit log is kept.
    pub audit: AuditSettings,
    /// Whether `/metrics` is open to whoever reaches the port.
    pub open_metrics: bool,
    /// Whether no sessions are kept over HTTP.
    pub stateless: bool,
    /// The key that replicas share.
    pub state_key: Option<CredentialReference>,
    /// Who may call over HTTP.
    pub callers: Callers,
    /// What a model sees of secrets, and what a person is asked.
    pub policy: PolicySettings,
    /// What is offered at all.
    pub restrictions: Restrictions,
    /// The classes of risk that the operator states, by tool.
    pub risks: BTreeMap<String, Risk>,
    /// Where the tool contract is kept, and whether what is offered has to be the same.
    pub lock: LockSettings,
    /// What is odd about the settings, a sentence each.
    pub remarks: Vec<String>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting has a value that it cannot have.
    #[error("{setting}: {problem}")]
    Invalid {
        /// The setting, as the person knows it.
        setting: &'static str,
        /// What is wrong; never holds a credential.
        problem: String,
    },
    /// The configuration file cannot be read.
    #[error("configuration file {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate of a port and its key cannot be used.
    #[error("TLS with `{}` and `{}`: {problem}", certificate.display(), key.display())]
    Tls {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong; never holds the key.
        problem: String,
    },
    /// A referenced credential is not there or is not one.
    #[error("credential {reference}: {problem}")]
    Credential {
        /// The reference.
        reference: String,
        /// What is wrong; never holds the credential.
        problem: String,
    },
}

/// A number that was set, or its default. Error: it is out of its range.
fn within<T: PartialOrd + std::fmt::Display>(
    name: &str,
    given: Option<T>,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let value = given.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("`{name}` is {value}; expected {} to {}", range.start(), range.end()))
}

/// A time in seconds that was set, or its default. Error: it is out of its range.
fn seconds_within(
    name: &str,
    given: Option<u64>,
    default: Duration,
    range: RangeInclusive<u64>,
) -> Result<Duration, String> {
    within(name, given, default.as_secs(), range).map(Duration::from_secs)
}
