//! The section `audit` of the configuration file, the flag `--audit` and its variable.

use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, Settings, variable, within};
use crate::audit::{Clear, Limits, Options};

/// The folder of the log in the data folder.
const FOLDER: &str = "audit";
/// What stands in the place of a folder for no log.
const OFF: &str = "off";

/// The audit log. All members are optional.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct AuditSection {
    /// Whether calls are written down [default: true].
    pub enabled: Option<bool>,
    /// Folder of the log [default: `audit` in the data folder].
    pub path: Option<PathBuf>,
    /// Whether calls fail when they cannot be written down [default: false].
    pub required: Option<bool>,
    /// From how many bytes on a segment of the log is followed by another [default: 33554432].
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub max_bytes: Option<u64>,
    /// How many segments are kept; the oldest one goes when there would be more [default: 16].
    #[schemars(range(min = 1, max = 1000))]
    pub keep: Option<usize>,
    /// Arguments that are written down in clear, as `TOOL.ARGUMENT` or `*.ARGUMENT`; members follow with dots, where `*`
    /// stands for any of them. Of others there is a digest alone, unless the schema proves them harmless: booleans, numbers
    /// and what an `enum` lists. Secret arguments are never written down [default: names, ids and scopes of the shipped
    /// tools, where these are what is offered].
    pub clear: Option<Vec<String>>,
}

/// How the audit log is kept, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Whether there is one.
    enabled: bool,
    path: Option<PathBuf>,
    required: bool,
    limits: Limits,
    clear: Option<Clear>,
}

/// The flag of commands that carry calls out, or look at what was.
#[derive(Args, Clone, Debug, Default)]
pub struct AuditFlag {
    /// Folder of the audit log, or `off` for none [default: `audit` in the data folder] [env: KEYGLASS_AUDIT]
    #[arg(long, value_name = "DIR")]
    audit: Option<PathBuf>,
}

impl AuditSection {
    /// Paths in the file start at its folder.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(path) = &mut self.path {
            *path = folder.join(&*path);
        }
    }

    /// The settings, with defaults for what is not set. Error: which member is out of its range.
    pub(super) fn checked(self) -> Result<AuditSettings, String> {
        let Self { enabled, path, required, max_bytes, keep, clear } = self;
        let default = Limits::default();
        let max_bytes = within("max_bytes", max_bytes, default.max_bytes, 4096..=1_073_741_824)?;
        let keep = within("keep", keep, default.keep, 1..=1000)?;
        let clear = clear.map(Clear::new).transpose().map_err(|problem| format!("`clear`: {problem}"))?;
        let (enabled, required) = (enabled.unwrap_or(true), required.unwrap_or(false));
        if required && !enabled {
            return Err("`required` is true and `enabled` is false; leave one of them out".to_owned());
        }
        Ok(AuditSettings { enabled, path, required, limits: Limits { max_bytes, keep }, clear })
    }
}

impl AuditFlag {
    /// The settings with this flag, or the variable where it is not given.
    pub fn over(self, settings: &mut Settings) -> Result<(), ConfigError> {
        let Some(given) = self.audit.or_else(|| variable("KEYGLASS_AUDIT").map(PathBuf::from)) else { return Ok(()) };
        let own = &mut settings.audit;
        own.enabled = given != Path::new(OFF);
        if own.enabled {
            own.path = Some(given);
        } else if own.required {
            let problem = "the configuration file says that there has to be an audit log (`required`)".to_owned();
            return Err(ConfigError::Invalid { setting: "--audit", problem });
        }
        Ok(())
    }
}

impl AuditSettings {
    /// Whether there has to be a log.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// The log that is to be kept; none where it is turned off. `shipped` is what is told in clear where nothing is set.
    /// Error: there is no place for it.
    pub fn options(&self, data_dir: Option<&Path>, shipped: Clear) -> Result<Option<Options>, ConfigError> {
        if !self.enabled {
            return Ok(None);
        }
        let Self { enabled: _, path: _, required, limits, clear } = self.clone();
        Ok(Some(Options { folder: self.folder(data_dir)?, required, limits, clear: clear.unwrap_or(shipped) }))
    }

    /// Whether there is a log.
    pub fn is_kept(&self) -> bool {
        self.enabled
    }

    /// Where the log is, or would be.
    pub fn folder(&self, data_dir: Option<&Path>) -> Result<PathBuf, ConfigError> {
        let folder = self.path.clone().or_else(|| data_dir.map(|data_dir| data_dir.join(FOLDER)));
        folder.ok_or_else(|| ConfigError::Invalid {
            setting: "--audit",
            problem: "no data folder is known on this platform; name a folder for the audit log".to_owned(),
        })
    }

    /// How long its segments may get, and how many there are.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(section: serde_json::Value) -> Result<AuditSettings, String> {
        serde_json::from_value::<AuditSection>(section).map_err(|error| error.to_string())?.checked()
    }

    #[test]
    fn there_is_a_log_unless_somebody_says_otherwise() {
        let options = |section| checked(section).unwrap().options(Some(Path::new("/data")), Clear::default()).unwrap();
        let default = options(json!({})).unwrap();
        assert_eq!(
            (default.folder, default.required, default.limits),
            ("/data/audit".into(), false, Limits::default())
        );
        assert_eq!(options(json!({"enabled": false})), None);
        let own = options(json!({"path": "/log", "required": true, "keep": 3})).unwrap();
        assert_eq!((own.folder, own.required, own.limits.keep), ("/log".into(), true, 3));
        assert!(checked(json!({})).unwrap().options(None, Clear::default()).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (section, words) in [
            (json!({"max_bytes": 1}), "`max_bytes` is 1; expected 4096"),
            (json!({"keep": 0}), "`keep` is 0"),
            (json!({"clear": ["name"]}), "`clear`: `name` names no argument"),
            (json!({"clear": ["*.*"]}), "`*.*` names no argument"),
            (json!({"clear": ["a."]}), "`a.`"),
            (json!({"required": true, "enabled": false}), "`required` is true"),
        ] {
            let error = checked(section.clone()).unwrap_err();
            assert!(error.contains(words), "{section}: {error}");
        }
    }

    #[test]
    fn patterns_name_arguments() {
        let clear = Clear::new(["create_secret.name", "*.id", "make.scopes.*.kind"]).unwrap();
        for (tool, path, expected) in [
            ("create_secret", &["name"][..], true),
            ("create_secret", &["value"], false),
            ("get_secret", &["name"], false),
            ("anything", &["id"], true),
            ("anything", &["id", "x"], false),
            ("make", &["scopes", "0", "kind"], true),
            ("make", &["scopes", "0", "other"], false),
            ("make", &["scopes"], false),
        ] {
            assert_eq!(clear.names(tool, path), expected, "{tool} {path:?}");
        }
    }
}
