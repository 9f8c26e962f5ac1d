//! A key that a caller brings for the services behind this server, in the place of the configured credential.

use std::{collections::BTreeSet, fmt, sync::Arc};

use secrecy::SecretString;

use super::{Credential, Key, Secret};

/// A caller's own key. Cheap to clone; shows itself to nobody.
#[derive(Clone)]
pub struct CallerKey(Arc<Brought>);

struct Brought {
    value: SecretString,
    namespaces: Arc<BTreeSet<String>>,
}

impl CallerKey {
    /// A key for the services of these namespaces.
    pub fn new(value: SecretString, namespaces: Arc<BTreeSet<String>>) -> Self {
        Self(Arc::new(Brought { value, namespaces }))
    }

    /// The key, where it is for the service of this namespace.
    pub fn of(&self, namespace: &str) -> Option<&SecretString> {
        self.0.namespaces.contains(namespace).then_some(&self.0.value)
    }

    /// The key, whatever it is for.
    pub fn value(&self) -> &SecretString {
        &self.0.value
    }
}

impl fmt::Debug for CallerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CallerKey").field("namespaces", &self.0.namespaces).finish_non_exhaustive()
    }
}

impl Credential {
    /// The same with another secret, where it is one alone; a bearer token where it was none.
    pub fn with_secret(&self, secret: &SecretString) -> Option<Self> {
        let value = Secret::unnamed(secret.clone());
        match self {
            Self::None | Self::Bearer(_) => Some(Self::Bearer(value)),
            Self::Keys(keys) => match keys.as_slice() {
                [key] => Some(Self::Keys(vec![Key { slot: key.slot.clone(), value }])),
                _ => None,
            },
            Self::Basic(_) | Self::Digest(_) | Self::OAuth2(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::{Slot, User};

    #[test]
    fn a_key_is_for_its_namespaces_and_is_not_shown() {
        let key = CallerKey::new("canary".into(), Arc::new(["a".to_owned()].into()));
        assert!(key.of("a").is_some() && key.of("b").is_none() && key.of("").is_none());
        assert!(!format!("{key:?}").contains("canary"));
    }

    #[test]
    fn a_key_goes_where_one_secret_went() {
        let secret = SecretString::from("own");
        let named = |value: &str| Secret::unnamed(value);
        let key = |value| Key { slot: Slot::Query("k".to_owned()), value: named(value) };
        let user = User { name: named("a"), password: named("b"), secret_name: false };
        for (credential, expected) in [
            (Credential::None, Some(Credential::Bearer(named("own")))),
            (Credential::Bearer(named("a")), Some(Credential::Bearer(named("own")))),
            (Credential::Keys(vec![key("a")]), Some(Credential::Keys(vec![key("own")]))),
            (Credential::Keys(vec![key("a"), key("b")]), None),
            (Credential::Basic(user), None),
        ] {
            let replaced = credential.with_secret(&secret);
            assert_eq!(replaced.is_some(), expected.is_some(), "{credential:?}");
            assert!(replaced.zip(expected).is_none_or(|(replaced, expected)| replaced.is_same(&expected)));
        }
    }
}
