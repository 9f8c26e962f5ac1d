//! The flags that every command shares, completed from variables and merged with the configuration file.
//!
//! Which flags there are, and how they become settings; what single sections of the file mean is known beside it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use etcetera::BaseStrategy;

use super::{
    Callers, ConfigError, ConfigFile, CredentialReference, LockSettings, MasterKeyLocation, OfferedOptions, Settings,
    environment::{list_variable, number_variable, variable, whole_number},
    offered::OfferedEntries,
};
use crate::{
    backend::Limits,
    credential::CredentialHeader,
    gateway,
    services::choice::{ByNamespace, Choice, Scoped},
    shipped,
    spec::Source,
};

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
    #[arg(long, value_name = "SECONDS", value_parser = whole_number::<u64>)]
    pub timeout: Option<u64>,
    /// Largest answer that is read from a backend, in bytes [default: 2097152] [env:
    /// KEYGLASS_MAX_ANSWER_BYTES]
    #[arg(long, value_name = "BYTES", value_parser = whole_number::<usize>)]
    pub max_answer_bytes: Option<usize>,
    /// What is offered.
    #[command(flatten)]
    pub offered: OfferedOptions,
    /// Configuration file (YAML); flags and variables win over it [env: KEYGLASS_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
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
            timeout: self.timeout.map_or_else(|| number_variable("KEYGLASS_TIMEOUT"), |given| Ok(Some(given)))?,
            max_answer_bytes: self
                .max_answer_bytes
                .map_or_else(|| number_variable("KEYGLASS_MAX_ANSWER_BYTES"), |given| Ok(Some(given)))?,
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

/// The data folder of whoever names none.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    etcetera::base_strategy::choose_native_strategy().ok().map(|strategy| strategy.data_dir().join("keyglass"))
}

/// What was given, as a whole, before what stands in the file: a mix of both would be neither.
pub(super) fn either<T: Clone>(given: &[T], otherwise: Vec<T>) -> Vec<T> {
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
}
