//! Settings: from flags, `KEYGLASS_*` variables and a configuration file to values that were checked.
//!
//! The only reader of the environment and of files that hold secrets. Flags win over the environment, the environment
//! over the file. A credential is always a reference (`env:NAME`, `file:PATH`): a literal is refused and not repeated. The
//! master key may also come from a command, which is run here alone.

mod audit;
mod backend_limits;
mod backend_policy;
pub mod callers;
mod egress;
mod lock;
mod master_key;
mod mcp_limits;
mod offered;
mod policy;
mod references;
mod shape;
mod tls;

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use etcetera::BaseStrategy;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use self::offered::OfferedEntries;
pub use self::{
    audit::{AuditFlag, AuditSection, AuditSettings},
    backend_limits::BackendLimits,
    backend_policy::BackendPolicy,
    callers::Callers,
    egress::EgressEntry,
    lock::{LockFlag, LockSettings},
    master_key::MasterKeyLocation,
    mcp_limits::McpLimits,
    offered::OfferedOptions,
    policy::{PolicyEntry, PolicySettings},
    references::{ReferenceProblem, References},
    tls::tls,
};
use crate::{
    access::Restrictions,
    backend::{
        Limits,
        embedded::{self, MasterKeyReference},
    },
    catalog::risk::Risk,
    credential::CredentialHeader,
    diagnostic::SourceMap,
    egress::Policy,
    gateway, mcp,
    services::choice::{ByNamespace, Choice, Scoped},
    shipped,
    spec::{self, Source, yaml},
};

/// The largest file that a credential is read from, in bytes.
const MAX_CREDENTIAL_BYTES: usize = 64 * 1024;
/// The largest configuration file, in bytes.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// The settings that every command shares, as given.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Capability specs to load instead of the shipped ones: a YAML file, or a folder of them; may be repeated [env: KEYGLASS_CAPABILITIES, separated by commas]
    #[arg(long, value_name = "PATH")]
    pub capabilities: Vec<PathBuf>,
    /// Shipped tools to offer: `runloop`, `runtools`, `runtype`, `management` or `all`; may be repeated [default: runloop]
    /// [env: KEYGLASS_GROUP, separated by commas]
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Folder of JSON Schema files that specs refer to; may be repeated [env: KEYGLASS_SCHEMAS]
    #[arg(long, value_name = "DIR")]
    pub schemas: Vec<PathBuf>,
    /// Where calls go: `embedded`, `remote` (the spec's own address), a URL, or any of them for one namespace as
    /// NAMESPACE=BACKEND; may be repeated [env: KEYGLASS_BACKEND]
    #[arg(long, value_name = "BACKEND")]
    pub backend: Vec<String>,
    /// Credential for remote backends by reference: `env:NAME` or `file:PATH`, or for one namespace as
    /// NAMESPACE=REFERENCE; may be repeated [env: KEYGLASS_CREDENTIAL]
    #[arg(long, value_name = "REFERENCE")]
    pub credential: Vec<String>,
    /// Header in which the credential of a namespace is sent as it is, and not as the spec says, as NAMESPACE=NAME; may be
    /// repeated [env: KEYGLASS_CREDENTIAL_HEADER]
    #[arg(long, value_name = "NAMESPACE=NAME")]
    pub credential_header: Vec<String>,
    /// Folder of the embedded backend [default: the platform's data folder] [env: KEYGLASS_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Master key of the embedded backend by reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`, which prints it
    /// [default: a file in the data folder] [env: KEYGLASS_MASTER_KEY]
    #[arg(long, value_name = "REFERENCE")]
    pub master_key: Option<String>,
    /// What becomes of secrets: `handles` stand for them in answers and arguments, `masked` hides them in answers, `clear`
    /// shows them [default: handles] [env: KEYGLASS_SECRETS]
    #[arg(long, value_name = "MODE")]
    pub secrets: Option<String>,
    /// What a call needs, as CLASS=RULE or TOOL=RULE: `ask` (that a person confirms it), `client` (what the client itself
    /// asks), `allow` or `deny`; may be repeated [default: `ask` for destructive, exec and grant] [env: KEYGLASS_CONFIRM,
    /// separated by commas]
    #[arg(long, value_name = "WHOSE=RULE")]
    pub confirm: Vec<String>,
    /// Deadline of one call in seconds [default: 30] [env: KEYGLASS_TIMEOUT]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Largest answer that is read from a backend, in bytes [default: 2097152] [env:
    /// KEYGLASS_MAX_ANSWER_BYTES]
    #[arg(long, value_name = "BYTES")]
    pub max_answer_bytes: Option<usize>,
    /// What is offered.
    #[command(flatten)]
    pub offered: OfferedOptions,
    /// Configuration file (YAML); flags and variables win over it [env: KEYGLASS_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The configuration file, as written. All members are optional; relative paths start at the file's folder.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "keyglass configuration", deny_unknown_fields)]
pub struct ConfigFile {
    /// Capability specs to load instead of the shipped ones: YAML files, or folders of them.
    pub capabilities: Vec<PathBuf>,
    /// Shipped tools to offer: `runloop` (where nothing is said), `runtools`, `runtype`, `management` or `all`. Means
    /// nothing together with `capabilities`.
    pub groups: Vec<String>,
    /// Folders of JSON Schema files that specs refer to.
    pub schemas: Vec<PathBuf>,
    /// Where calls go: `embedded`, `remote` (the spec's own address) or a URL.
    pub backend: Option<String>,
    /// Where the calls of single namespaces go.
    pub backends: BTreeMap<String, String>,
    /// Credential for remote backends by reference: `env:NAME` or `file:PATH`.
    pub credential: Option<String>,
    /// Credentials of single namespaces by reference.
    pub credentials: BTreeMap<String, String>,
    /// Headers in which the credentials of single namespaces are sent as they are, and not as the specs say, such as
    /// `X-API-Key`.
    pub credential_headers: BTreeMap<String, String>,
    /// Folder of the embedded backend.
    pub data_dir: Option<PathBuf>,
    /// Master key of the embedded backend by reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`.
    pub master_key: Option<String>,
    /// Limits of the embedded backend.
    pub backend_limits: BackendLimits,
    /// What the embedded backend allows.
    pub backend_policy: BackendPolicy,
    /// Where requests may go.
    pub egress: EgressEntry,
    /// Limits of the MCP server.
    pub mcp_limits: McpLimits,
    /// The audit log.
    pub audit: AuditSection,
    /// Whether whoever reaches the port over HTTP may read `/metrics`, where a token is needed otherwise.
    pub open_metrics: bool,
    /// Whether the MCP server keeps no sessions over HTTP, so that any of several replicas serves any request.
    pub stateless: bool,
    /// Key of at least 32 bytes that replicas share, by reference: `env:NAME` or `file:PATH`. What a client carries from one
    /// request to the next is sealed with it.
    pub state_key: Option<String>,
    /// Bearer tokens of callers over HTTP, besides that of `--token`.
    pub tokens: Vec<callers::TokenEntry>,
    /// Tokens of an authorization server, for callers over HTTP.
    pub oauth: Option<callers::OAuthEntry>,
    /// Keys that callers over HTTP bring for the backends; none where nothing is said.
    pub caller_backend_key: Option<callers::CallerBackendKeyEntry>,
    /// What becomes of secrets: `handles` (where nothing is said), `masked` or `clear`.
    pub secrets: Option<String>,
    /// What a person is asked, and how secrets get into calls.
    pub policy: PolicyEntry,
    /// Whether only what changes nothing is offered.
    pub read_only: bool,
    /// What is offered alone: names of tools, in which `*` stands for anything, `group:NAME` and `risk:CLASS`.
    pub allow: Vec<String>,
    /// What is not offered, whatever else allows it; written as in `allow`.
    pub deny: Vec<String>,
    /// Classes of risk of tools, in place of those worked out: `read`, `write`, `destructive`, `exec` or `grant`.
    pub risks: BTreeMap<String, String>,
    /// Lock file that `keyglass lock` writes: `check`, `serve`, `call` and `console` refuse tools that are not those in it.
    pub lock: Option<PathBuf>,
    /// Deadline of one call in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub timeout: Option<u64>,
    /// Seconds after which a call goes on as a task, for clients that can follow one; 50 where nothing is said.
    #[schemars(range(min = 1, max = 3600))]
    pub soft_deadline: Option<u64>,
    /// Largest answer that is read from a backend, in bytes.
    #[schemars(range(min = 1024))]
    pub max_answer_bytes: Option<usize>,
}

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

/// Where a credential is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialReference {
    /// In an environment variable.
    Environment(String),
    /// In a file, without the white space around it.
    File(PathBuf),
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

impl Options {
    /// A command of this program with these options as flags, for a person who pastes it into a shell.
    pub fn command(&self, name: &str) -> String {
        let Self {
            capabilities,
            group,
            schemas,
            backend,
            credential,
            credential_header,
            data_dir,
            // The commands that are told to be pasted need none, and that of a `cmd:` reference may hold a secret.
            master_key: _,
            secrets,
            confirm,
            timeout,
            max_answer_bytes,
            offered,
            config,
        } = self;
        let path = |path: &PathBuf| path.display().to_string();
        let flags = [
            ("--capabilities", capabilities.iter().map(path).collect()),
            ("--group", group.iter().map(ToString::to_string).collect()),
            ("--schemas", schemas.iter().map(path).collect()),
            ("--backend", backend.clone()),
            ("--credential", credential.clone()),
            ("--credential-header", credential_header.clone()),
            ("--data-dir", data_dir.iter().map(path).collect()),
            ("--secrets", secrets.iter().cloned().collect()),
            ("--confirm", confirm.clone()),
            ("--timeout", timeout.iter().map(ToString::to_string).collect()),
            ("--max-answer-bytes", max_answer_bytes.iter().map(ToString::to_string).collect()),
            ("--config", config.iter().map(path).collect::<Vec<String>>()),
        ];
        let mut command = format!("keyglass {name}");
        if offered.read_only {
            command.push_str(" --read-only");
        }
        for (flag, values) in flags.into_iter().chain(offered.flags()) {
            for value in values {
                command.push_str(&format!(" {flag} {}", shell_word(&value)));
            }
        }
        command
    }

    /// The options as given, completed from `KEYGLASS_*` variables. An empty variable counts as none, since hosts pass
    /// empty ones for settings that nobody made; lists are separated by commas.
    pub fn or_environment(self) -> Result<Self, ConfigError> {
        let texts = |given: Vec<String>, name| if given.is_empty() { list_variable(name) } else { given };
        let paths = |given: Vec<PathBuf>, name| {
            if given.is_empty() { list_variable(name).into_iter().map(PathBuf::from).collect() } else { given }
        };
        Ok(Self {
            capabilities: paths(self.capabilities, "KEYGLASS_CAPABILITIES"),
            group: texts(self.group, "KEYGLASS_GROUP"),
            schemas: paths(self.schemas, "KEYGLASS_SCHEMAS"),
            backend: texts(self.backend, "KEYGLASS_BACKEND"),
            credential: texts(self.credential, "KEYGLASS_CREDENTIAL"),
            credential_header: texts(self.credential_header, "KEYGLASS_CREDENTIAL_HEADER"),
            data_dir: self.data_dir.or_else(|| variable("KEYGLASS_DATA_DIR").map(PathBuf::from)),
            master_key: self.master_key.or_else(|| variable("KEYGLASS_MASTER_KEY")),
            secrets: self.secrets.or_else(|| variable("KEYGLASS_SECRETS")),
            confirm: texts(self.confirm, "KEYGLASS_CONFIRM"),
            timeout: self.timeout.map_or_else(|| parsed_variable("KEYGLASS_TIMEOUT"), |given| Ok(Some(given)))?,
            max_answer_bytes: self
                .max_answer_bytes
                .map_or_else(|| parsed_variable("KEYGLASS_MAX_ANSWER_BYTES"), |given| Ok(Some(given)))?,
            offered: self.offered.or_environment()?,
            config: self.config.or_else(|| variable("KEYGLASS_CONFIG").map(PathBuf::from)),
        })
    }

    /// Merges the options with the configuration file and checks them.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let file = match &self.config {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        let invalid = |setting| move |problem| ConfigError::Invalid { setting, problem };
        let mut schemas = shipped::schemas();
        schemas.extend(either(&self.schemas, file.schemas).into_iter().map(Source::Path));
        let backends = either(&self.backend, scoped(file.backend, file.backends));
        let backends = backends.into_iter().map(|text| text.parse()).collect::<Result<Vec<Scoped<Choice>>, _>>();
        let backends = ByNamespace::new(backends.map_err(invalid("--backend"))?);
        let groups = either(&self.group, file.groups);
        let groups = groups.iter().map(|text| text.parse()).collect::<Result<Vec<shipped::Selection>, _>>();
        let groups = groups.map_err(invalid("--group"))?;
        let capabilities = either(&self.capabilities, file.capabilities);
        let mut remarks = Vec::new();
        let specs = if capabilities.is_empty() {
            // No service has these tools' API, so its own address is no place to send them to.
            let management = backends.get(shipped::MANAGEMENT_NAMESPACE) != Some(&Choice::Remote);
            shipped::specs(&shipped::groups(&groups, management).map_err(invalid("--group"))?)
        } else {
            if !groups.is_empty() {
                remarks.push(
                    "`--group` chooses among the shipped specs, which `--capabilities` replaces; it changes nothing here"
                        .to_owned(),
                );
            }
            capabilities.into_iter().map(Source::Path).collect()
        };
        let credentials = either(&self.credential, scoped(file.credential, file.credentials));
        let credentials =
            credentials.into_iter().map(|text| text.parse()).collect::<Result<Vec<Scoped<CredentialReference>>, _>>();
        let headers = either(&self.credential_header, scoped(None, file.credential_headers));
        let headers = headers.iter().map(|text| credential_header(text)).collect::<Result<Vec<_>, _>>();
        let timeout = self.timeout.or(file.timeout).unwrap_or(30);
        if !(1..=3600).contains(&timeout) {
            let problem = format!("{timeout} is outside 1 to 3600 seconds");
            return Err(ConfigError::Invalid { setting: "--timeout", problem });
        }
        let soft_deadline = file.soft_deadline.map_or(gateway::SOFT_DEADLINE, Duration::from_secs);
        if !(1..=3600).contains(&soft_deadline.as_secs()) {
            let problem = format!("{} is outside 1 to 3600 seconds", soft_deadline.as_secs());
            return Err(ConfigError::Invalid { setting: "soft_deadline", problem });
        }
        let max_answer_bytes = self.max_answer_bytes.or(file.max_answer_bytes);
        let max_answer_bytes = max_answer_bytes.unwrap_or(Limits::default().max_answer_bytes);
        if max_answer_bytes < 1024 {
            let problem = format!("{max_answer_bytes} is too small; at least 1024 bytes");
            return Err(ConfigError::Invalid { setting: "--max-answer-bytes", problem });
        }
        let limits = Limits { timeout: Duration::from_secs(timeout), max_answer_bytes };
        let state_key = file.state_key.map(|text| text.parse::<CredentialReference>()).transpose();
        let master_key = self.master_key.clone().or(file.master_key);
        let master_key = master_key.map(|text| text.parse::<MasterKeyLocation>()).transpose();
        let (read_only, allow, deny, risks) = (file.read_only, file.allow, file.deny, file.risks);
        let (restrictions, risks) = self.offered.checked(OfferedEntries { read_only, allow, deny, risks })?;
        let callers = Callers::checked(file.tokens, file.oauth, file.caller_backend_key)?;
        let egress = file.egress.checked().map_err(invalid("egress.allow"))?;
        let egress = egress.naming(backends.values().filter_map(Choice::url).chain(callers.issuer()));
        Ok(Settings {
            specs,
            schemas,
            backends,
            credentials: ByNamespace::new(credentials.map_err(invalid("--credential"))?),
            credential_headers: ByNamespace::new(headers.map_err(invalid("--credential-header"))?),
            data_dir: self.data_dir.clone().or(file.data_dir).or_else(default_data_dir),
            master_key: master_key.map_err(invalid("--master-key"))?.map(MasterKeyLocation::reference),
            backend_limits: file.backend_limits.checked().map_err(invalid("backend_limits"))?,
            // Clients that work at Runloop are to work here; whoever wants it stricter says so.
            restricted_keys_make_wider_keys: file.backend_policy.restricted_keys_make_wider_keys.unwrap_or(true),
            egress: Arc::new(egress),
            limits,
            soft_deadline,
            mcp_limits: file.mcp_limits.checked(limits.timeout).map_err(invalid("mcp_limits"))?,
            audit: file.audit.checked().map_err(invalid("audit"))?,
            open_metrics: file.open_metrics,
            stateless: file.stateless,
            state_key: state_key.map_err(invalid("state_key"))?,
            callers,
            policy: file.policy.checked(self.secrets.clone().or(file.secrets), &self.confirm)?,
            restrictions,
            risks,
            lock: LockSettings::new(file.lock, self.config.as_deref()),
            remarks,
        })
    }
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

/// A header for the credential of one namespace. One for all is refused: it would reach services that nobody thought of.
fn credential_header(text: &str) -> Result<Scoped<CredentialHeader>, String> {
    let scoped = text.parse::<Scoped<CredentialHeader>>()?;
    if scoped.namespace.is_some() {
        return Ok(scoped);
    }
    Err("say whose credential it is for, as in `runtools-api-keys=X-API-Key`".to_owned())
}

/// A value as a word of a shell: quoted where a shell would take it for something else.
fn shell_word(value: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}

impl ConfigFile {
    /// Reads a configuration file and resolves its relative paths.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fault = |problem: String| ConfigError::File { path: path.to_owned(), problem };
        let text = spec::read_text(path, MAX_CONFIG_BYTES).map_err(|error| fault(error.to_string()))?;
        let mut sources = SourceMap::default();
        let file = sources.add(path.display().to_string(), text);
        let root = yaml::parse(file, &sources).map_err(|problem| fault(problem.one_line(&sources)))?;
        let schema = serde_json::from_str(FILE_SCHEMA).unwrap_or_else(|_| config_file_schema());
        let value = shape::checked(&root, &schema, &sources).map_err(fault)?;
        let mut config: Self = serde_json::from_value(value).map_err(|error| {
            // The library quotes values, and the file may be one of another kind, a key among them.
            let text = error.to_string();
            let text: Vec<&str> = text.split('"').step_by(2).collect();
            fault(format!("{}; the README shows an example", text.join("…")))
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let paths = config
            .capabilities
            .iter_mut()
            .chain(&mut config.schemas)
            .chain(&mut config.data_dir)
            .chain(&mut config.lock);
        let paths = paths.chain(&mut config.policy.references.files);
        paths.for_each(|path| *path = folder.join(&*path));
        config.audit.resolve(folder);
        config.tokens.iter_mut().for_each(|token| token.resolve(folder));
        for reference in [&mut config.master_key, &mut config.state_key] {
            if let Some(path) = reference.as_ref().and_then(|reference| reference.strip_prefix("file:")) {
                *reference = Some(format!("file:{}", folder.join(path).display()));
            }
        }
        Ok(config)
    }
}

impl FromStr for CredentialReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => Err("a credential is given by reference, as `env:NAME` or `file:PATH`; what was given is not shown, \
                      in case it is the credential itself"
                .to_owned()),
        }
    }
}

impl CredentialReference {
    /// Reads the credential.
    pub fn read(&self) -> Result<SecretString, ConfigError> {
        let fault =
            |problem: &str| ConfigError::Credential { reference: self.to_string(), problem: problem.to_owned() };
        let text = match self {
            Self::Environment(name) => {
                zeroize::Zeroizing::new(environment(name).ok_or_else(|| fault("the environment variable is not set"))?)
            }
            Self::File(path) => {
                let text = spec::read_text(path, MAX_CREDENTIAL_BYTES).map_err(|error| fault(&error.to_string()))?;
                zeroize::Zeroizing::new(text)
            }
        };
        checked(&text).map_err(fault)
    }
}

impl std::fmt::Display for CredentialReference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Environment(name) => write!(formatter, "env:{name}"),
            Self::File(path) => write!(formatter, "file:{}", path.display()),
        }
    }
}

/// A variable of the environment as a secret. `Ok(None)` where it is not set; an error for a value that cannot be meant.
pub fn secret_variable(name: &str) -> Result<Option<SecretString>, &'static str> {
    environment(name).map(|text| checked(&zeroize::Zeroizing::new(text))).transpose()
}

/// A `KEYGLASS_*` variable; none where it is empty.
pub fn variable(name: &str) -> Option<String> {
    environment(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// A `KEYGLASS_*` variable that is not text. The value is not repeated in the error.
pub fn parsed_variable<T: FromStr>(name: &'static str) -> Result<Option<T>, ConfigError> {
    let parse = |text: String| {
        text.parse().map_err(|_| ConfigError::Invalid { setting: name, problem: "not readable".to_owned() })
    };
    variable(name).map(parse).transpose()
}

fn list_variable(name: &str) -> Vec<String> {
    let list = variable(name).unwrap_or_default();
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The same as [`config_file_schema`] makes, which takes longer than to read it.
const FILE_SCHEMA: &str = include_str!("../schemas/keyglass-config.json");

/// The JSON Schema of the configuration file.
pub fn config_file_schema() -> serde_json::Value {
    schemars::schema_for!(ConfigFile).to_value()
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Refuses what hosts hand over when they did not fill a credential in.
pub(crate) fn checked(text: &str) -> Result<SecretString, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        Err("it is empty")
    } else if text.starts_with("${") && text.ends_with('}') {
        Err("it is a placeholder `${…}` that the client did not fill in")
    } else if text.starts_with("__encrypted__:") {
        Err("it is still encrypted: the client handed over its stored form")
    } else if text.chars().any(char::is_control) {
        Err("it holds a line break or control character")
    } else {
        Ok(SecretString::from(text))
    }
}

fn default_data_dir() -> Option<PathBuf> {
    etcetera::base_strategy::choose_native_strategy().ok().map(|strategy| strategy.data_dir().join("keyglass"))
}

/// What was given, as a whole, before what stands in the file: a mix of both would be neither.
fn either<T: Clone>(given: &[T], otherwise: Vec<T>) -> Vec<T> {
    if given.is_empty() { otherwise } else { given.to_vec() }
}

fn scoped(rest: Option<String>, named: BTreeMap<String, String>) -> Vec<String> {
    rest.into_iter().chain(named.into_iter().map(|(namespace, value)| format!("{namespace}={value}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_literal_credential_is_refused_and_not_repeated() {
        for literal in ["ak_canary", "envv:canary", "env:", "file:", "ns=ak_canary"] {
            let options = Options { credential: vec![literal.to_owned()], ..Options::default() };
            let error = options.settings().expect_err(literal).to_string();
            assert!(error.contains("env:NAME") && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn values_that_a_host_did_not_fill_in_are_refused() {
        for text in ["", "  ", "${KEY}", "${user_config.key}", "__encrypted__:canary", "a\nb"] {
            let problem = checked(text).expect_err(text);
            assert!(!problem.contains("canary"));
        }
        checked(" ak_1 \n").expect("white space around is no part of it");
    }

    #[test]
    fn the_file_gives_way_to_flags() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyglass.yaml");
        fs::write(&path, "backend: remote\nbackends:\n  a: embedded\ntimeout: 5\ndata_dir: data\n").expect("written");
        let options = Options {
            config: Some(path.clone()),
            backend: vec!["a=https://h.test".to_owned()],
            timeout: Some(7),
            ..Options::default()
        };
        let settings = options.settings().expect("settings");
        assert_eq!(settings.backends.get("a").map(ToString::to_string).as_deref(), Some("https://h.test"));
        assert_eq!(settings.backends.get("b"), None, "given backends replace those of the file as a whole");
        assert_eq!(settings.limits.timeout, Duration::from_secs(7));
        assert_eq!(settings.data_dir, Some(folder.path().join("data")));
        fs::write(&path, "bakend: remote\n").expect("written");
        let error = options.settings().expect_err("unknown member").to_string();
        assert!(error.contains("bakend") && error.contains("backend"), "{error}");
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyglass.yaml");
        let read = |text: &str| {
            fs::write(&path, text).expect("written");
            ConfigFile::read(&path)
        };
        for (text, words) in [
            (
                "timeout: 5\nbackend_limits:\n  body_timeout: 30s\n",
                "line 3: `backend_limits.body_timeout` must be a whole number from 1 to 3600, got the text `30s`",
            ),
            (
                "timeout: '5'\n",
                "line 1: `timeout` must be a whole number from 1 to 3600, got the text `5`; write it without",
            ),
            ("backend_limits: { body_timeout: 1.5 }\n", "`backend_limits.body_timeout` must be a whole number from"),
            ("backend_limits: { requests_per_second: -1 }\n", "from 1 to 1000000, got `-1`"),
            ("backend_limits: { strict_secret_names: yes }\n", "must be `true` or `false`, got the text `yes`"),
            (
                "backend_limits: { body_timeuot: 1 }\n",
                "`body_timeuot` in `backend_limits`; did you mean `body_timeout`?",
            ),
            ("backend_policy: { x: 1 }\n", "known: `restricted_keys_make_wider_keys`"),
            ("\nbackend_limits: [5]\n", "line 2: `backend_limits` must be a map of `NAME: VALUE` lines, got a list"),
            ("- a\n", "line 1: the file must be a map of `NAME: VALUE` lines, got a list"),
            ("ak_canary\n", "the file must be a map of `NAME: VALUE` lines, got text"),
            ("'ak canary': 1\n", "line 1: an unknown field; known: `capabilities`"),
            ("groups: runtools\n", "`groups` must be a list, such as `[…]`, got text"),
            ("groups: [runtools, 4711]\n", "`groups[1]` must be text, got a number"),
            ("credential: 4711\n", "`credential` must be text, got a number"),
            ("credentials:\n  pets: [canary]\n", "line 2: `credentials.pets` must be text, got a list"),
            ("max_answer_bytes: canary-canary-canary\n", "must be a whole number of at least 1024, got text"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
            let hidden = ["canary", "4711", "usize", "u64", "u32", "struct", "Backend"];
            assert!(hidden.iter().all(|hidden| !error.contains(hidden)), "{error}");
        }
        for empty in
            ["", "backend_limits:\n  # body_timeout: 5\n", "backend_limits:\n  strict_secret_names:\ngroups:\n"]
        {
            let limits = read(empty).expect(empty).backend_limits.checked().expect("limits");
            assert_eq!(limits, embedded::Limits::default(), "{empty}");
        }
    }
}
