//! Which scopes of an OAuth token what is offered asks for, and which a token has.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Offer;
use crate::catalog::risk::Risk;

/// Names of scopes (RFC 6749, section 3.3).
pub type Scopes = BTreeSet<String>;

/// Which scopes are needed for what. An offer needs all that its entries ask for together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopePolicy {
    /// For anything at all.
    pub required: Scopes,
    /// For classes of risk; one that is not named asks for what the next one below it asks for.
    pub risks: BTreeMap<Risk, Scopes>,
    /// For each group.
    pub groups: BTreeMap<String, Scopes>,
    /// For single tools.
    pub tools: BTreeMap<String, Scopes>,
    /// What a scope stands for besides itself.
    pub implied: BTreeMap<String, Scopes>,
}

/// What a token grants under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    policy: Arc<ScopePolicy>,
    scopes: Scopes,
}

impl ScopePolicy {
    /// All scopes that an offer needs.
    pub fn needed(&self, offer: &Offer<'_>) -> Scopes {
        let of_tool = offer.tool.and_then(|tool| self.tools.get(tool));
        let of_risk = self.risks.range(..=offer.risk).next_back().map(|(_, scopes)| scopes);
        let asked = [Some(&self.required), of_risk, self.groups.get(offer.group), of_tool];
        asked.into_iter().flatten().flatten().cloned().collect()
    }

    /// What a client asks for at first: what is needed for anything, and to read. More are fetched when they are needed.
    pub fn basic(&self) -> Scopes {
        self.required.iter().chain(self.risks.get(&Risk::Read).into_iter().flatten()).cloned().collect()
    }
}

impl Granted {
    /// What these scopes grant, with everything they stand for.
    pub fn new(policy: Arc<ScopePolicy>, named: impl IntoIterator<Item = String>) -> Self {
        let mut scopes = Scopes::new();
        let mut open: Vec<String> = named.into_iter().collect();
        while let Some(scope) = open.pop() {
            open.extend(
                policy.implied.get(&scope).into_iter().flatten().filter(|more| !scopes.contains(*more)).cloned(),
            );
            scopes.insert(scope);
        }
        Self { policy, scopes }
    }

    /// All scopes that an offer needs, where some of them are not granted.
    pub fn lacks(&self, offer: &Offer<'_>) -> Option<Scopes> {
        Some(self.policy.needed(offer)).filter(|needed| !needed.is_subset(&self.scopes))
    }

    /// Whether what is asked for anything at all is granted.
    pub fn has_required(&self) -> bool {
        self.policy.required.is_subset(&self.scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Reach;

    fn scopes(names: &[&str]) -> Scopes {
        names.iter().map(ToString::to_string).collect()
    }

    fn policy() -> ScopePolicy {
        ScopePolicy {
            required: scopes(&["use"]),
            risks: [(Risk::Write, scopes(&["write"])), (Risk::Destructive, scopes(&["write", "delete"]))].into(),
            groups: [("pets".to_owned(), scopes(&["pets"]))].into(),
            tools: [("feed".to_owned(), scopes(&["feed"]))].into(),
            implied: [("all".to_owned(), scopes(&["write", "more"])), ("more".to_owned(), scopes(&["delete", "all"]))]
                .into(),
        }
    }

    fn offer<'a>(group: &'a str, risk: Risk, tool: Option<&'a str>) -> Offer<'a> {
        Offer { gate: None, group, risk, tool, needs: Reach::Nothing }
    }

    #[test]
    fn an_offer_needs_all_that_its_entries_ask_for() {
        for (offer, needed) in [
            (offer("a", Risk::Read, None), &["use"][..]),
            (offer("a", Risk::Destructive, Some("x")), &["use", "write", "delete"]),
            (offer("pets", Risk::Write, Some("feed")), &["use", "write", "pets", "feed"]),
            (offer("feed", Risk::Read, None), &["use"]),
            (offer("a", Risk::Grant, None), &["use", "write", "delete"]),
        ] {
            assert_eq!(policy().needed(&offer), scopes(needed), "{offer:?}");
        }
        assert_eq!(policy().basic(), scopes(&["use"]));
        let reading = ScopePolicy { risks: [(Risk::Read, scopes(&["read"]))].into(), ..policy() };
        assert_eq!(reading.basic(), scopes(&["use", "read"]));
    }

    #[test]
    fn a_scope_grants_what_it_stands_for() {
        let policy = Arc::new(policy());
        let granted = |names: &[&str]| Granted::new(policy.clone(), names.iter().map(ToString::to_string));
        let worst = offer("a", Risk::Destructive, None);
        assert_eq!(granted(&["use", "all"]).lacks(&worst), None, "by way of another, and in a circle");
        assert_eq!(granted(&["use", "write"]).lacks(&worst), Some(scopes(&["use", "write", "delete"])), "all at once");
        assert!(granted(&["use"]).has_required() && !granted(&["all"]).has_required());
        assert_eq!(granted(&[]).lacks(&offer("a", Risk::Read, None)), Some(scopes(&["use"])));
    }
}
