//! Credentials by reference: where they are, reading them, and telling what a host did not fill in.

use std::{path::PathBuf, str::FromStr};

use secrecy::SecretString;

use super::{ConfigError, environment::environment};
use crate::spec;

/// The largest file that a credential is read from, in bytes.
pub(super) const MAX_CREDENTIAL_BYTES: usize = 64 * 1024;

/// Where a credential is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialReference {
    /// In an environment variable.
    Environment(String),
    /// In a file, without the white space around it.
    File(PathBuf),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_a_host_did_not_fill_in_are_refused() {
        for text in ["", "  ", "${KEY}", "${user_config.key}", "__encrypted__:canary", "a\nb"] {
            let problem = checked(text).expect_err(text);
            assert!(!problem.contains("canary"));
        }
        checked(" ak_1 \n").expect("white space around is no part of it");
    }
}
