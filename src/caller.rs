//! Who makes a call, and what they may use. Whatever is kept for a caller between two requests belongs to both.
//!
//! Must not know MCP, specs nor how a caller is recognized.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::{
    access::{Access, Bounds, GateId, Opened, Reach},
    credential::CallerKey,
};

/// The longest name of a caller, in characters.
const MAX_NAME: usize = 64;

/// Who makes a call. Cheap to clone; goes with every request. Two are the same who are known by the same and may use the
/// same.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who they are.
    pub principal: Principal,
    /// What they may use.
    pub access: Access,
    /// The key that they bring for the backend.
    pub backend_key: Option<CallerKey>,
}

/// Who somebody is: the same for everyone who cannot be told apart. Its `Debug` and its name hold no secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal(Arc<Known>);

#[derive(PartialEq, Eq, Hash)]
struct Known {
    identity: Identity,
    /// Tells keys apart that callers bring.
    key: Option<KeyDigest>,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    Local,
    Anonymous,
    Operator,
    Gates(BTreeSet<GateId>),
    Token(String),
    Subject { issuer: String, subject: String },
}

/// A digest of a key that nobody can work out who does not know the secret of [`KeyDigests`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct KeyDigest([u8; 32]);

/// Makes digests of keys, others in each process.
#[derive(Clone)]
pub struct KeyDigests(Hmac<Sha256>);

impl KeyDigests {
    /// With a secret of its own. Error: the operating system has no randomness.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = zeroize::Zeroizing::new([0; 64]);
        getrandom::fill(secret.as_mut_slice())?;
        Ok(Self(Hmac::new(&(*secret).into())))
    }

    fn of(&self, key: &CallerKey) -> KeyDigest {
        KeyDigest(self.0.clone().chain_update(key.value().expose_secret()).finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyDigests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyDigests")
    }
}

impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.principal == other.principal && self.access == other.access
    }
}

impl Eq for Caller {}

impl Caller {
    /// Whoever started the program and speaks to it over a transport of their own.
    pub fn local() -> Self {
        static LOCAL: LazyLock<Principal> = LazyLock::new(|| Principal::new(Identity::Local, "local"));
        Self::new(LOCAL.clone(), Access::Everything)
    }

    /// Somebody who showed nothing.
    pub fn anonymous() -> Self {
        static ANONYMOUS: LazyLock<Principal> = LazyLock::new(|| Principal::new(Identity::Anonymous, "anonymous"));
        Self::new(ANONYMOUS.clone(), Access::nothing())
    }

    /// Whoever shows the operator's own token.
    pub fn operator() -> Self {
        Self::new(Principal::new(Identity::Operator, "operator"), Access::Everything)
    }

    /// Whoever shows what these gates ask for. The name is that of their servers.
    pub fn through(gates: BTreeSet<GateId>, name: &str) -> Self {
        let principal = Principal::new(Identity::Gates(gates.clone()), &format!("gate:{name}"));
        Self::new(principal, Access::Through(Arc::new(gates)))
    }

    /// The same who may use what stands behind these gates alone.
    pub fn only_through(gates: BTreeSet<GateId>, name: &str) -> Self {
        let bounds = Bounds { gates: Opened::Only(gates.clone()), ..Bounds::default() };
        Self { access: Access::Within(Arc::new(bounds)), ..Self::through(gates, name) }
    }

    /// Whoever shows the operator's token of this name.
    pub fn named(name: &str, bounds: Bounds) -> Self {
        let principal = Principal::new(Identity::Token(name.to_owned()), &format!("token:{name}"));
        Self::new(principal, Access::Within(Arc::new(bounds)))
    }

    /// Whoever shows a token that an issuer gave out for this subject.
    pub fn subject(issuer: &str, subject: &str, bounds: Bounds) -> Self {
        let identity = Identity::Subject { issuer: issuer.to_owned(), subject: subject.to_owned() };
        let principal = Principal::new(identity, &format!("subject:{subject}"));
        Self::new(principal, Access::Within(Arc::new(bounds)))
    }

    fn new(principal: Principal, access: Access) -> Self {
        Self { principal, access, backend_key: None }
    }

    /// The same caller with a key for the backend: somebody else than without it, or with another. `reach` is how far the
    /// key reaches, where that is known.
    pub fn with_key(self, key: CallerKey, digests: &KeyDigests, reach: Option<Reach>) -> Self {
        let known = Known {
            identity: self.principal.0.identity.clone(),
            key: Some(digests.of(&key)),
            name: format!("{}+key", self.principal.name()),
        };
        // What is listed for one key is nobody else's, even where it is not known to be different.
        Self { principal: Principal(Arc::new(known)), access: self.access.with_reach(reach), backend_key: Some(key) }
    }

    /// The same without the key, for what is kept between requests.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self { backend_key: None, ..self }
    }
}

impl Principal {
    fn new(identity: Identity, name: &str) -> Self {
        let name = name.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect();
        Self(Arc::new(Known { identity, key: None, name }))
    }

    /// What binds sealed things to this principal: the same for the same one and for no other. Of one with a key, in this
    /// process alone.
    pub fn binding(&self) -> [u8; 32] {
        let Known { identity, key, name: _ } = &*self.0;
        // Texts are quoted in it, so that no two identities look the same.
        let digest = Sha256::new().chain_update(format!("{identity:?}"));
        digest.chain_update(key.map_or([0; 32], |KeyDigest(bytes)| bytes)).finalize().into()
    }

    /// The same for what outlasts this process. Of one with a key it is that of the same one without, since keys are told
    /// apart in this process alone. None of somebody who showed nothing else.
    pub fn lasting_binding(&self) -> Option<[u8; 32]> {
        let Known { identity, key, name: _ } = &*self.0;
        if key.is_some() && *identity == Identity::Anonymous {
            return None;
        }
        Some(Sha256::digest(format!("{identity:?}")).into())
    }

    /// A name for logs and metrics: the same for the same caller, at most 68 characters, never a secret. Others may have
    /// the same.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Principal").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_by_who_they_are() {
        let gate = |namespace: &str| BTreeSet::from([GateId::new("a.yaml", namespace, 0)]);
        let all = || {
            [
                Caller::local(),
                Caller::anonymous(),
                Caller::operator(),
                Caller::through(gate("a"), "a"),
                Caller::through(gate("b"), "a"),
                Caller::named("a", Bounds::default()),
                Caller::subject("https://a.test", "a", Bounds::default()),
                Caller::subject("https://b.test", "a", Bounds::default()),
            ]
        };
        for (place, caller) in all().iter().enumerate() {
            for (other_place, other) in all().iter().enumerate() {
                let is_same = place == other_place;
                assert_eq!(caller.principal == other.principal, is_same, "{caller:?} {other:?}");
                assert_eq!(caller.principal.binding() == other.principal.binding(), is_same, "{caller:?} {other:?}");
            }
        }
        assert_eq!(
            all().map(|caller| caller.principal.name().to_owned()),
            ["local", "anonymous", "operator", "gate:a", "gate:a", "token:a", "subject:a", "subject:a"]
        );
    }

    #[test]
    fn a_key_makes_another_of_a_caller_and_is_not_shown() {
        let digests = KeyDigests::new().unwrap();
        let key = |value: &str| CallerKey::new(value.into(), Arc::default());
        let with = |value| Caller::anonymous().with_key(key(value), &digests, None);
        assert_eq!(with("canary-a"), with("canary-a"));
        assert_ne!(with("canary-a"), with("canary-b"));
        assert_ne!(with("canary-a").principal.binding(), with("canary-b").principal.binding());
        assert_ne!(with("canary-a"), Caller::anonymous());
        assert_ne!(with("canary-a").access, Access::nothing(), "so that its lists are not shared");
        let other = Caller::anonymous().with_key(key("canary-a"), &KeyDigests::new().unwrap(), None);
        assert_ne!(with("canary-a"), other, "of another process");
        assert_eq!(with("canary-a").without_key(), with("canary-a"));
        assert_eq!(with("canary-a").principal.name(), "anonymous+key");
        assert!(!format!("{:?} {digests:?}", with("canary-a")).contains("canary"));
    }

    #[test]
    fn a_name_stays_short_and_on_one_line() {
        let caller = Caller::through(BTreeSet::new(), &format!("a\nb{}", "c".repeat(100)));
        assert_eq!(caller.principal.name(), format!("gate:ab{}", "c".repeat(57)));
    }
}
