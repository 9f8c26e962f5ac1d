//! The section `backend_policy` of the configuration file.

use schemars::JsonSchema;
use serde::Deserialize;

/// What the embedded backend allows. All members are optional.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct BackendPolicy {
    /// Whether a restricted key with `RESOURCE_TYPE_ACCOUNT` at write may make keys that may do more or live longer than
    /// itself, full ones included, as it may at Runloop [default: true].
    pub restricted_keys_make_wider_keys: Option<bool>,
}
