//! The configuration file: its members as written, how it is read, and the JSON Schema of it.
//!
//! What its members mean, and what flags say instead, is not known here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    AuditSection, BackendLimits, BackendPolicy, ConfigError, EgressEntry, McpLimits, PolicyEntry, callers, shape,
};
use crate::{
    diagnostic::SourceMap,
    spec::{self, yaml},
};

/// The largest configuration file, in bytes.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// The same as [`config_file_schema`] makes, which takes longer than to read it.
const FILE_SCHEMA: &str = include_str!("../../schemas/keyglass-config.json");

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

/// The JSON Schema of the configuration file.
pub fn config_file_schema() -> serde_json::Value {
    schemars::schema_for!(ConfigFile).to_value()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::backend::embedded;

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
