//! References by which arguments may name secrets that lie on this machine: variables and files that the operator allows.

use std::{
    fmt, fs,
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

/// Why a reference gives no value. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceProblem(String);

impl fmt::Display for ReferenceProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
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

    /// The value that `env:NAME` or `file:PATH` stands for; `None` where a text is no reference.
    pub fn value(&self, text: &str) -> Option<Result<SecretString, ReferenceProblem>> {
        let problem = |text: String| Err(ReferenceProblem(text));
        match text.split_once(':') {
            Some(("env", name)) if is_name(name) => Some(if self.allows_variable(name) {
                // Unlike a credential it may have several lines, as private keys do.
                match environment(name).filter(|value| !value.is_empty()) {
                    Some(value) => Ok(SecretString::from(value)),
                    None => problem(format!("the variable `{name}` is not set where keyglass runs")),
                }
            } else {
                problem(format!("the operator has not allowed the variable `{name}`"))
            }),
            Some(("file", path)) if !path.is_empty() => Some(self.read(Path::new(path))),
            _ => None,
        }
    }

    fn allows_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == allowed,
        })
    }

    fn read(&self, path: &Path) -> Result<SecretString, ReferenceProblem> {
        // One answer for what is not there and what is not allowed: nobody is to learn which files there are.
        let refused = || ReferenceProblem(format!("the operator has not allowed the file `{}`", path.display()));
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
        let text = spec::read_text(&found, MAX_CREDENTIAL_BYTES)
            .map_err(|error| ReferenceProblem(format!("the file `{}` cannot be read: {error}", path.display())))?;
        // Editors and shells end a file with a line break that is no part of the secret.
        let value = text.strip_suffix('\n').unwrap_or(&text);
        let value = value.strip_suffix('\r').unwrap_or(value);
        if value.is_empty() {
            return Err(ReferenceProblem(format!("the file `{}` is empty", path.display())));
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
        let value = |text: &str| references.value(text);
        let read = |text: &str| value(text).unwrap().map(|value| value.expose_secret().to_owned());
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
        assert!(read("env:KEYGLASS_T_NONE").unwrap_err().to_string().contains("is not set"));
        for plain in ["hunter2", "env:", "file:", "env:not a name", "https://a.test"] {
            assert!(value(plain).is_none(), "{plain}");
        }
    }
}
