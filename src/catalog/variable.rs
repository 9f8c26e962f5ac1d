//! Variables of the configuration as requests see them: resolved, or the reason why they cannot be used.

use std::collections::BTreeMap;

use secrecy::SecretString;

/// A variable. Its `Debug` shows no value.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The name under which its source knows it, as in `RUNLOOP_API_KEY`.
    pub name: String,
    /// The value, or what the operator has to set.
    pub value: Result<SecretString, String>,
    /// Whether it is a credential, to be masked wherever it comes back.
    pub sensitive: bool,
}

/// Both are the same where they come from the same place: their values are not compared.
impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The variables of all documents.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// For each document, by its place in the workspace: the name in templates → the variable.
    by_document: Vec<BTreeMap<String, Variable>>,
}

impl Variables {
    /// The variable that a document knows by this name, as in `NAMESPACE.VARIABLE` or `VARIABLE`.
    pub fn find(&self, document: usize, name: &str) -> Option<&Variable> {
        self.by_document.get(document)?.get(name)
    }
}
