//! The variables of the environment. Nothing else reads them.

use std::str::FromStr;

use super::ConfigError;

/// A `KEYGLASS_*` variable; none where it is empty.
pub fn variable(name: &str) -> Option<String> {
    environment(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// A `KEYGLASS_*` variable that is a number.
pub(super) fn number_variable<T: FromStr>(name: &'static str) -> Result<Option<T>, ConfigError> {
    let read = |text: String| whole_number(&text).map_err(|problem| ConfigError::Invalid { setting: name, problem });
    variable(name).map(read).transpose()
}

/// Reads a number that counts something. Error: what was expected; the text is not repeated, which may be a secret in the
/// wrong place.
pub(super) fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| "expected a whole number, such as `60`".to_owned())
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
