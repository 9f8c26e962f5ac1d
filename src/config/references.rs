//! References by which arguments may name secrets that lie on this machine: variables and files that the operator allows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::{credential::MAX_CREDENTIAL_BYTES, environment::environment};
use crate::spec;

/// What may be referred to. Nothing where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Names of variables; one that ends with `*` stands for all that begin so.
    variables: Vec<String>,
    /// Folders whose files may be read, those below included; or single files.
    roots: Vec<PathBuf>,
}

/// A reference: `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// To a variable.
    Variable(String),
    /// To a file.
    File(PathBuf),
}

impl Reference {
    /// What a text refers to; `None` where it is no reference.
    pub fn of(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("env", name)) if is_name(name) => Some(Self::Variable(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Some(Self::File(path.into())),
            _ => None,
        }
    }
}

/// Why a reference gives no value, and what the operator can do about it. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// The operator has not allowed it. One answer for files that are not there and for those that are not allowed: nobody
    /// is to learn which files there are.
    #[error("the operator has not allowed {0}, which they do under `policy.references` in the configuration file")]
    NotAllowed(String),
    /// It is allowed, and nothing is there.
    #[error("{0}")]
    Nothing(String),
}

impl References {
    /// These variables, and files below these folders.
    pub fn new(variables: Vec<String>, roots: Vec<PathBuf>) -> Self {
        Self { variables, roots }
    }

    /// Whether anything may be referred to.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.roots.is_empty()
    }

    /// The value that a reference stands for. Reads files, and so blocks.
    pub fn value(&self, reference: &Reference) -> Result<SecretString, ReferenceProblem> {
        match reference {
            Reference::Variable(name) if !self.allows_variable(name) => {
                Err(ReferenceProblem::NotAllowed(format!("the variable `{name}`")))
            }
            // Unlike a credential it may have several lines, as private keys do.
            Reference::Variable(name) => match environment(name).filter(|value| !value.is_empty()) {
                Some(value) => Ok(SecretString::from(value)),
                None => Err(ReferenceProblem::Nothing(format!(
                    "the variable `{name}` is not set where keyglass runs; the operator sets it there and starts keyglass anew"
                ))),
            },
            Reference::File(path) => self.read(path),
        }
    }

    fn allows_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == allowed,
        })
    }

    fn read(&self, path: &Path) -> Result<SecretString, ReferenceProblem> {
        let refused = || {
            // Who means the right file may count from the wrong folder.
            let hint = if path.is_absolute() { "" } else { " (a relative path starts in an allowed folder)" };
            ReferenceProblem::NotAllowed(format!("the file `{}`{hint}", path.display()))
        };
        let candidates = if path.is_absolute() {
            vec![path.to_owned()]
        } else {
            self.roots.iter().map(|root| root.join(path)).collect()
        };
        // Links are followed before the place is judged.
        let found = candidates.into_iter().filter_map(|path| fs::canonicalize(path).ok()).find(|path| {
            self.roots.iter().filter_map(|root| fs::canonicalize(root).ok()).any(|root| path.starts_with(root))
        });
        let found = found.filter(|found| found.is_file()).ok_or_else(refused)?;
        let text = spec::read_text(&found, MAX_CREDENTIAL_BYTES).map_err(|error| {
            let path = path.display();
            ReferenceProblem::Nothing(format!(
                "the file `{path}` cannot be read ({error}); the operator sees to it that keyglass may read it"
            ))
        })?;
        // Editors and shells end a file with a line break that is no part of the secret.
        let value = text.strip_suffix('\n').unwrap_or(&text);
        let value = value.strip_suffix('\r').unwrap_or(value);
        if value.is_empty() {
            let path = path.display();
            return Err(ReferenceProblem::Nothing(format!(
                "the file `{path}` is empty; the operator writes the value into it"
            )));
        }
        Ok(SecretString::from(value))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn only_what_is_allowed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        for (path, text) in [(&inside, "canary-in\n"), (&outside, "canary-out")] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("key"), text).unwrap();
        }
        let references = References::new(vec!["PATH".into(), "KEYGLASS_T_*".into()], vec![inside.clone()]);
        let value = |text: &str| references.value(&Reference::of(text).unwrap());
        let read = |text: &str| value(text).map(|value| value.expose_secret().to_owned());
        assert_eq!(read("file:key").unwrap(), "canary-in");
        assert_eq!(read(&format!("file:{}", inside.join("key").display())).unwrap(), "canary-in");
        for refused in [
            format!("file:{}", outside.join("key").display()),
            "file:../out/key".to_owned(),
            "file:none".to_owned(),
            "file:.".to_owned(),
            "env:HOME".to_owned(),
        ] {
            assert!(read(&refused).unwrap_err().to_string().contains("has not allowed"), "{refused}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outside.join("key"), inside.join("link")).unwrap();
            assert!(read("file:link").unwrap_err().to_string().contains("has not allowed"), "a link leads out");
        }
        assert!(!read("env:PATH").unwrap().is_empty());
        fs::write(inside.join("empty"), "\n").unwrap();
        for (nothing, expected) in [("env:KEYGLASS_T_NONE", "is not set"), ("file:empty", "is empty")] {
            let problem = read(nothing).unwrap_err();
            assert!(matches!(&problem, ReferenceProblem::Nothing(told) if told.contains(expected)), "{problem}");
            assert!(problem.to_string().contains("the operator"), "it says what to do next: {problem}");
        }
        for plain in ["hunter2", "env:", "file:", "env:not a name", "https://a.test"] {
            assert_eq!(Reference::of(plain), None, "{plain}");
        }
    }
}
