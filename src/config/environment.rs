//! The variables of the environment. Nothing else reads them.

use std::str::FromStr;

use super::ConfigError;

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

/// The items of a `KEYGLASS_*` variable, which commas separate.
pub(super) fn list_variable(name: &str) -> Vec<String> {
    let list = variable(name).unwrap_or_default();
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// A variable as it is.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
