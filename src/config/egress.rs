//! The section `egress` of the configuration file.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::egress::{Allowed, Policy};

/// Where requests may go. All members are optional.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct EgressEntry {
    /// What may be called besides the public hosts that specs state: hosts (`api.example.com`, `*.example.com`, with a port
    /// where only that one is meant), addresses and ranges of them (`10.1.2.0/24`), and origins (`http://10.1.2.3:8080`),
    /// which need not be encrypted.
    pub allow: Vec<String>,
    /// Whether nothing else may be called: what specs state counts for nothing. What `--backend` names may be called all the
    /// same.
    pub only: bool,
}

impl EgressEntry {
    /// Checks every entry. Error: one that names nothing.
    pub(super) fn checked(&self) -> Result<Policy, String> {
        let allowed = self.allow.iter().map(|text| text.parse()).collect::<Result<Vec<Allowed>, _>>()?;
        Ok(Policy::new(allowed, self.only))
    }
}
