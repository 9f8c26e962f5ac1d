//! Who makes a call, and what they may use. Whatever is kept for a caller between two requests belongs to both.
//!
//! Must not know MCP, specs nor how a caller is recognized.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::access::{Access, Bounds, GateId, Opened};

/// The longest name of a caller, in characters.
const MAX_NAME: usize = 64;

/// Who makes a call. Cheap to clone; goes with every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who they are.
    pub principal: Principal,
    /// What they may use.
    pub access: Access,
}

/// Who somebody is: the same for everyone who cannot be told apart. Its `Debug` and its name hold no secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Principal(Arc<Known>);

#[derive(PartialEq, Eq, Hash)]
struct Known {
    identity: Identity,
    name: String,
}

#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Local,
    Anonymous,
    Operator,
    Gates(BTreeSet<GateId>),
    Token(String),
    Subject { issuer: String, subject: String },
}

impl Caller {
    /// Whoever started the program and speaks to it over a transport of their own.
    pub fn local() -> Self {
        Self { principal: Principal::new(Identity::Local, "local"), access: Access::Everything }
    }

    /// Somebody who showed nothing.
    pub fn anonymous() -> Self {
        Self { principal: Principal::new(Identity::Anonymous, "anonymous"), access: Access::nothing() }
    }

    /// Whoever shows the operator's own token.
    pub fn operator() -> Self {
        Self { principal: Principal::new(Identity::Operator, "operator"), access: Access::Everything }
    }

    /// Whoever shows what these gates ask for. The name is that of their servers.
    pub fn through(gates: BTreeSet<GateId>, name: &str) -> Self {
        let principal = Principal::new(Identity::Gates(gates.clone()), &format!("gate:{name}"));
        Self { principal, access: Access::Through(Arc::new(gates)) }
    }

    /// The same who may use what stands behind these gates alone.
    pub fn only_through(gates: BTreeSet<GateId>, name: &str) -> Self {
        let bounds = Bounds { gates: Opened::Only(gates.clone()), ..Bounds::default() };
        Self { access: Access::Within(Arc::new(bounds)), ..Self::through(gates, name) }
    }

    /// Whoever shows the operator's token of this name.
    pub fn named(name: &str, bounds: Bounds) -> Self {
        let principal = Principal::new(Identity::Token(name.to_owned()), &format!("token:{name}"));
        Self { principal, access: Access::Within(Arc::new(bounds)) }
    }

    /// Whoever shows a token that an issuer gave out for this subject.
    pub fn subject(issuer: &str, subject: &str, bounds: Bounds) -> Self {
        let identity = Identity::Subject { issuer: issuer.to_owned(), subject: subject.to_owned() };
        let principal = Principal::new(identity, &format!("subject:{subject}"));
        Self { principal, access: Access::Within(Arc::new(bounds)) }
    }
}

impl Principal {
    fn new(identity: Identity, name: &str) -> Self {
        let name = name.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect();
        Self(Arc::new(Known { identity, name }))
    }

    /// A name for logs and metrics: the same for the same caller, at most 64 characters, never a secret. Others may have
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
                assert_eq!(caller.principal == other.principal, place == other_place, "{caller:?} {other:?}");
            }
        }
        assert_eq!(
            all().map(|caller| caller.principal.name().to_owned()),
            ["local", "anonymous", "operator", "gate:a", "gate:a", "token:a", "subject:a", "subject:a"]
        );
    }

    #[test]
    fn a_name_stays_short_and_on_one_line() {
        let caller = Caller::through(BTreeSet::new(), &format!("a\nb{}", "c".repeat(100)));
        assert_eq!(caller.principal.name(), format!("gate:ab{}", "c".repeat(57)));
    }
}
