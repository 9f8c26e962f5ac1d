//! The section `policy` of the configuration file, and the settings beside it: what a model sees of secrets, and what a
//! person is asked before it is done.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, References, within};
use crate::{
    catalog::{Catalog, risk::Risk},
    nearest::nearest,
    policy::{
        glass::{HANDLE_LIFE, Mode},
        grants::Ceiling,
        rules::{Rule, Rules},
    },
};

/// What a person is asked, and how secrets get into calls. All members are optional.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct PolicyEntry {
    /// What a call needs, by class of risk (`read`, `write`, `destructive`, `exec`, `grant`) or by tool: `ask` (that a person
    /// confirms it), `client` (what the client itself asks), `allow` (nothing) or `deny` [default: `ask` for `destructive`,
    /// `exec` and `grant`, else `allow`].
    pub confirm: BTreeMap<String, String>,
    /// Whether secret arguments may be written as values where answers have handles [default: false].
    pub accept_values: bool,
    /// How long a handle lives, in hours [default: 24].
    #[schemars(range(min = 1, max = 8760))]
    pub handle_hours: Option<u64>,
    /// What `env:NAME` and `file:PATH` in secret arguments may name [default: nothing].
    pub references: ReferencesEntry,
    /// What keys may be given, made or widened [default: anything, when a person confirms it].
    pub grants: GrantsEntry,
}

/// What references in secret arguments may name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct ReferencesEntry {
    /// Names of variables; one that ends with `*` stands for all that begin so.
    pub env: Vec<String>,
    /// Files, or folders of them.
    pub files: Vec<PathBuf>,
}

/// What keys may be given.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct GrantsEntry {
    /// Scopes that keys may have; `*` stands for any text. An object of a scope is written by its values with `:` between
    /// them, as in `RESOURCE_TYPE_DEVBOXES:ACCESS_LEVEL_READ` [default: any].
    pub scopes: Option<Vec<String>>,
    /// The longest life of a key, in days [default: any].
    #[schemars(range(min = 1, max = 36500))]
    pub max_days: Option<u64>,
    /// Whether keys with all rights may be made, and keys that never expire [default: true].
    pub unlimited: Option<bool>,
}

/// The policy, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySettings {
    /// What becomes of secrets.
    pub secrets: Mode,
    /// What calls need.
    pub rules: Rules,
    /// Whether secret arguments may be values.
    pub accept_values: bool,
    /// How long a handle lives.
    pub handle_life: Duration,
    /// What references may name.
    pub references: References,
    /// What keys may be given.
    pub ceiling: Ceiling,
}

impl PolicyEntry {
    /// The policy with what flags say besides. Flags win, each for its own class or tool.
    pub(super) fn checked(self, secrets: Option<String>, confirm: &[String]) -> Result<PolicySettings, ConfigError> {
        let invalid = |setting| move |problem| ConfigError::Invalid { setting, problem };
        let secrets = secrets.map(|text| text.parse::<Mode>()).transpose().map_err(invalid("--secrets"))?;
        let mut rules = Rules::default();
        for (whose, rule) in &self.confirm {
            rules.set(whose, rule.parse::<Rule>().map_err(invalid("policy.confirm"))?);
        }
        for text in confirm {
            let pair = text.split_once('=').filter(|(whose, _)| !whose.trim().is_empty());
            let (whose, rule) = pair.ok_or_else(|| ConfigError::Invalid {
                setting: "--confirm",
                problem: format!("`{text}` is not written as CLASS=RULE or TOOL=RULE, such as `destructive=ask`"),
            })?;
            rules.set(whose.trim(), rule.trim().parse::<Rule>().map_err(invalid("--confirm"))?);
        }
        let hours = within("handle_hours", self.handle_hours, HANDLE_LIFE.as_secs() / 3_600, 1..=8_760);
        let hours = hours.map_err(invalid("policy"))?;
        let ReferencesEntry { env, files } = self.references;
        let GrantsEntry { scopes, max_days, unlimited } = self.grants;
        if let Some(days) = max_days {
            within("max_days", Some(days), days, 1..=36_500).map_err(invalid("policy.grants"))?;
        }
        Ok(PolicySettings {
            secrets: secrets.unwrap_or_default(),
            rules,
            accept_values: self.accept_values,
            handle_life: Duration::from_secs(hours.saturating_mul(3_600)),
            references: References::new(env, files),
            ceiling: Ceiling { scopes, max_days, unlimited: unlimited.unwrap_or(true) },
        })
    }
}

impl PolicySettings {
    /// The same with the names that the tools of a catalog are offered under in the place of those that specs give them.
    #[must_use]
    pub fn resolved(&self, catalog: &Catalog) -> Self {
        Self { rules: self.rules.resolved(|name| catalog.offered_name(name)), ..self.clone() }
    }

    /// A remark on each rule for a tool that is not there.
    pub fn unknown_tools(&self, catalog: &Catalog) -> Vec<String> {
        let unknown = self.rules.tools().filter(|name| catalog.tool(name).is_none());
        let remark = |name: &str| {
            // Classes first: what is as near to a tool was rather meant for more than that.
            let classes = Risk::ALL.iter().map(|risk| risk.name());
            let near = nearest(name, classes.chain(catalog.names()));
            let kind = |near: &str| if near.parse::<Risk>().is_ok() { "class" } else { "tool" };
            let near = near.map(|near| format!("; did you mean the {} `{near}`?", kind(near))).unwrap_or_default();
            format!(
                "a rule for what needs confirmation names `{name}`, which is neither a class of risk nor a tool, so it \
                 changes nothing{near}"
            )
        };
        unknown.map(remark).collect()
    }
}
