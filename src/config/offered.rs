//! Settings of what is offered at all: classes of risk that the operator states, and what is switched on and off.

use std::collections::BTreeMap;

use clap::Args;

use super::{
    ConfigError,
    environment::{list_variable, variable},
    options::either,
};
use crate::{access::Restrictions, catalog::risk::Risk};

/// What is offered, as flags.
#[derive(Args, Clone, Debug, Default)]
pub struct OfferedOptions {
    /// Offer only what changes nothing [env: KEYGLASS_READ_ONLY]
    #[arg(long)]
    pub read_only: bool,
    /// Offer only this: the name of a tool, in which `*` stands for anything, `group:NAME` or `risk:CLASS`; may be
    /// repeated [env: KEYGLASS_ALLOW, separated by commas]
    #[arg(long, value_name = "WHAT")]
    pub allow: Vec<String>,
    /// Do not offer this, written as for `--allow`, whatever else allows it; may be repeated [env: KEYGLASS_DENY]
    #[arg(long, value_name = "WHAT")]
    pub deny: Vec<String>,
    /// Class of risk of a tool, in place of the one worked out: `read`, `write`, `destructive`, `exec` or `grant`; may be
    /// repeated [env: KEYGLASS_RISK]
    #[arg(long, value_name = "TOOL=CLASS")]
    pub risk: Vec<String>,
}

/// The same as the configuration file says it.
#[derive(Clone, Debug, Default)]
pub(super) struct OfferedEntries {
    pub(super) read_only: bool,
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
    pub(super) risks: BTreeMap<String, String>,
}

/// Whether a variable switches something on. Whoever sets it means something by it, so a slip is an error.
fn switch(name: &'static str) -> Result<bool, ConfigError> {
    match variable(name).map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("false" | "0" | "no" | "off") => Ok(false),
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some(_) => Err(ConfigError::Invalid { setting: name, problem: "expected `true` or `false`".to_owned() }),
    }
}

impl OfferedOptions {
    /// Completed from `KEYGLASS_*` variables. What switches something off adds to what the others switch off.
    pub(super) fn or_environment(self) -> Result<Self, ConfigError> {
        let Self { read_only, allow, mut deny, risk } = self;
        deny.extend(list_variable("KEYGLASS_DENY"));
        Ok(Self {
            read_only: read_only || switch("KEYGLASS_READ_ONLY")?,
            allow: either(&allow, list_variable("KEYGLASS_ALLOW")),
            deny,
            risk: either(&risk, list_variable("KEYGLASS_RISK")),
        })
    }

    /// As flags of the command line.
    pub(super) fn flags(&self) -> [(&'static str, Vec<String>); 3] {
        let Self { read_only: _, allow, deny, risk } = self;
        [("--allow", allow.clone()), ("--deny", deny.clone()), ("--risk", risk.clone())]
    }

    /// Checked, together with what the file says.
    pub(super) fn checked(&self, file: OfferedEntries) -> Result<(Restrictions, BTreeMap<String, Risk>), ConfigError> {
        let Self { read_only, allow, deny, risk } = self;
        let selectors = |setting, texts: Vec<String>| {
            let selectors = texts.into_iter().map(|text| text.parse()).collect::<Result<Vec<_>, String>>();
            selectors.map_err(|problem| ConfigError::Invalid { setting, problem })
        };
        let restrictions = Restrictions {
            read_only: *read_only || file.read_only,
            allow: selectors("--allow", either(allow, file.allow))?,
            deny: selectors("--deny", deny.iter().cloned().chain(file.deny).collect())?,
        };
        let given = risk.iter().map(|text| match text.split_once('=') {
            Some((tool, class)) if !tool.is_empty() => Ok((tool.to_owned(), class.to_owned())),
            _ => Err(format!("`{text}` is no `TOOL=CLASS`, such as `read_file=read`")),
        });
        let invalid = |problem| ConfigError::Invalid { setting: "--risk", problem };
        let given = given.collect::<Result<Vec<_>, String>>().map_err(invalid)?;
        let classes = file.risks.into_iter().chain(given).map(|(tool, class)| {
            let class = class.parse::<Risk>().map_err(|problem| format!("`{tool}`: {problem}"))?;
            Ok((tool, class))
        });
        Ok((restrictions, classes.collect::<Result<_, String>>().map_err(invalid)?))
    }
}
