//! Who may use which tools, resources and prompts: what the servers of specs ask their callers to show, and what a caller
//! may use who showed it.
//!
//! Must not know MCP nor specs. A gate whose credential is not known lets nobody in.

mod offer;
pub mod restrictions;
mod scopes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

pub use self::{
    offer::{Offer, Reach},
    restrictions::{Restrictions, Selector},
    scopes::{Granted, ScopePolicy, Scopes},
};
use crate::{
    catalog::risk::Risk,
    credential::{Credential, Slot},
};

/// An exposed server that asks its callers for a credential. The same for as long as its file and its place in that are,
/// so that what a caller may use never becomes what another may when specs are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateId([u8; 16]);

/// How many of the tools, resources and prompts stand behind a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gated {
    /// None.
    #[default]
    Nothing,
    /// Some, others not.
    Some,
    /// All.
    Everything,
}

/// What stands before the tools of a running server. Clones share it, and it can be replaced as a whole.
#[derive(Clone, Debug, Default)]
pub struct Doors(Arc<RwLock<(Arc<Gates>, Gated)>>);

/// What the gates of all servers ask for. A gate that is not among them lets nobody in.
#[derive(Debug, Default)]
pub struct Gates(BTreeMap<GateId, Gate>);

#[derive(Debug)]
struct Gate {
    server: String,
    credential: Credential,
}

/// What a caller may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything that is offered.
    Everything,
    /// What stands behind no gate, and what stands behind these.
    Through(Arc<BTreeSet<GateId>>),
    /// What lies within bounds.
    Within(Arc<Bounds>),
}

/// Bounds of what a caller may use. What is offered has to lie within all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The gates that are open.
    pub gates: Opened,
    /// Groups, where it is not all of them.
    pub groups: Option<Arc<BTreeSet<String>>>,
    /// The worst class of risk.
    pub ceiling: Option<Risk>,
    /// What scopes grant.
    pub granted: Option<Granted>,
    /// How far the caller's own key reaches at the backend, where that is known.
    pub reach: Option<Reach>,
}

/// Which gates are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// All of them.
    All,
    /// These, and there has to be no gate where there is none.
    Besides(BTreeSet<GateId>),
    /// These; what stands behind none is closed.
    Only(BTreeSet<GateId>),
}

/// What a caller shows.
#[derive(Debug, Default)]
pub struct Shown {
    /// The token of `Authorization: Bearer …`.
    pub bearer: Option<SecretString>,
    /// User and password of `Authorization: Basic …`.
    pub basic: Option<(SecretString, SecretString)>,
    /// Headers and query parameters of the names that gates ask for.
    pub keys: Vec<(Slot, SecretString)>,
}

impl GateId {
    /// The gate of a server: the name of its file, its namespace, its place among the servers of the file.
    pub fn new(file: &str, namespace: &str, place: usize) -> Self {
        let digest = Sha256::digest(format!("{file}\0{namespace}\0{place}"));
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(own, byte)| *own = byte);
        Self(id)
    }
}

impl Doors {
    /// Doors with these gates.
    pub fn new(gates: Arc<Gates>, gated: Gated) -> Self {
        Self(Arc::new(RwLock::new((gates, gated))))
    }

    /// Puts other gates in their place. To be done before the tools behind them are served.
    pub fn replace(&self, gates: Arc<Gates>, gated: Gated) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (gates, gated);
    }

    /// What stands there now.
    pub fn now(&self) -> (Arc<Gates>, Gated) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Access {
    /// Of a caller who showed nothing.
    pub fn nothing() -> Self {
        Self::Through(Arc::default())
    }

    /// The same as bounds, further narrowed by how far the caller's own key reaches, where that is known.
    pub fn with_reach(&self, reach: Option<Reach>) -> Self {
        let bounds = match self {
            Self::Everything => Bounds { gates: Opened::All, ..Bounds::default() },
            Self::Through(gates) => Bounds { gates: Opened::Besides(BTreeSet::clone(gates)), ..Bounds::default() },
            Self::Within(bounds) => Bounds::clone(bounds),
        };
        Self::Within(Arc::new(Bounds { reach, ..bounds }))
    }

    /// Whether an offer may be used.
    pub fn allows<'a>(&self, offer: impl Into<Offer<'a>>) -> bool {
        let offer = offer.into();
        self.reaches(&offer) && self.lacks_scopes(offer).is_none()
    }

    /// All scopes that an offer needs, where it could be used if it were not for the want of some of them.
    pub fn lacks_scopes<'a>(&self, offer: impl Into<Offer<'a>>) -> Option<Scopes> {
        let offer = offer.into();
        match self {
            Self::Everything | Self::Through(_) => None,
            Self::Within(bounds) => bounds.granted.as_ref()?.lacks(&offer).filter(|_| self.reaches(&offer)),
        }
    }

    /// Whether a caller may hear of something of a group behind this gate, or behind none, whatever it does.
    pub fn hears_of(&self, gate: Option<GateId>, group: &str) -> bool {
        self.allows(Offer { gate, group, risk: Risk::Read, tool: None, needs: Reach::Nothing })
    }

    /// Whether a caller may hear why something was left out that would stand behind this gate, of whatever group.
    pub fn hears_why(&self, gate: Option<GateId>) -> bool {
        match self {
            Self::Everything | Self::Through(_) => self.is_open(gate),
            Self::Within(_) => false,
        }
    }

    /// Whether a caller may see the whole of what stands behind all these gates, of whatever groups: what they are bound to
    /// by group or by scope is only a part of it.
    pub fn sees_whole(&self, gates: &BTreeSet<GateId>) -> bool {
        let is_whole = match self {
            Self::Everything | Self::Through(_) => true,
            Self::Within(bounds) => bounds.groups.is_none() && bounds.granted.is_none(),
        };
        let is_behind_none = gates.is_empty() && self.is_open(None);
        is_whole && (is_behind_none || !gates.is_empty() && gates.iter().all(|gate| self.is_open(Some(*gate))))
    }

    fn is_open(&self, gate: Option<GateId>) -> bool {
        match (self, gate) {
            (Self::Everything, _) => true,
            (Self::Through(gates), gate) => gate.is_none_or(|gate| gates.contains(&gate)),
            (Self::Within(bounds), gate) => match (&bounds.gates, gate) {
                (Opened::All, _) | (Opened::Besides(_), None) => true,
                (Opened::Besides(gates) | Opened::Only(gates), Some(gate)) => gates.contains(&gate),
                (Opened::Only(_), None) => false,
            },
        }
    }

    /// Whether an offer lies within everything but scopes.
    fn reaches(&self, offer: &Offer<'_>) -> bool {
        let within = match self {
            Self::Everything | Self::Through(_) => true,
            Self::Within(bounds) => {
                bounds.groups.as_ref().is_none_or(|groups| groups.contains(offer.group))
                    && bounds.ceiling.is_none_or(|ceiling| offer.risk <= ceiling)
                    && bounds.reach.is_none_or(|reach| offer.needs <= reach)
            }
        };
        within && self.is_open(offer.gate)
    }
}

impl Default for Opened {
    /// What asks for nothing is open.
    fn default() -> Self {
        Self::Besides(BTreeSet::new())
    }
}

impl Gates {
    /// Gates with the name of the server behind each and what it asks for: a bearer token, keys, or a user with a
    /// password. Any other stays closed.
    pub fn new(gates: impl IntoIterator<Item = (GateId, String, Credential)>) -> Self {
        let opens = |credential: &Credential| {
            matches!(credential, Credential::Bearer(_) | Credential::Keys(_) | Credential::Basic(_))
        };
        let gates = gates.into_iter().filter(|(_, _, credential)| opens(credential));
        Self(gates.map(|(gate, server, credential)| (gate, Gate { server, credential })).collect())
    }

    /// Whether no gate can be opened.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers and query parameters that keys are asked for in.
    pub fn slots(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Vec::new();
        for gate in self.0.values() {
            if let Credential::Keys(keys) = &gate.credential {
                slots.extend(
                    keys.iter().map(|key| key.slot.clone()).filter(|slot| !slots.contains(slot)).collect::<Vec<_>>(),
                );
            }
        }
        slots
    }

    /// What they are opened by.
    pub fn secrets(&self) -> impl Iterator<Item = SecretString> {
        self.0.values().flat_map(|gate| gate.credential.secrets())
    }

    /// The schemes of `Authorization` that gates ask for.
    pub fn schemes(&self) -> Vec<&'static str> {
        let asks = |wanted: fn(&Credential) -> bool| self.0.values().any(|gate| wanted(&gate.credential));
        let bearer = asks(|credential| matches!(credential, Credential::Bearer(_))).then_some("Bearer");
        let basic = asks(|credential| matches!(credential, Credential::Basic(_))).then_some("Basic");
        bearer.into_iter().chain(basic).collect()
    }

    /// The gates that what was shown opens. Takes as long whatever is shown.
    pub fn opened_by(&self, shown: &Shown) -> BTreeSet<GateId> {
        let opened = self.0.iter().filter(|(_, gate)| bool::from(matches(&gate.credential, shown)));
        opened.map(|(gate, _)| *gate).collect()
    }

    /// Whether one of these gates asks for a bearer token.
    pub fn opens_by_bearer(&self, gates: &BTreeSet<GateId>) -> bool {
        let mut gates = gates.iter().filter_map(|gate| self.0.get(gate));
        gates.any(|gate| matches!(gate.credential, Credential::Bearer(_)))
    }

    /// The servers behind these gates, for a person.
    pub fn servers(&self, gates: &BTreeSet<GateId>) -> String {
        let servers = gates.iter().filter_map(|gate| self.0.get(gate)).map(|gate| gate.server.as_str());
        servers.collect::<BTreeSet<&str>>().into_iter().collect::<Vec<_>>().join("+")
    }
}

fn matches(asked: &Credential, shown: &Shown) -> Choice {
    match asked {
        Credential::Bearer(token) => is_secret(token.expose(), shown.bearer.as_ref()),
        Credential::Basic(user) => {
            let (name, password) =
                shown.basic.as_ref().map_or((None, None), |(name, password)| (Some(name), Some(password)));
            // The password of a user known by a key is empty.
            is_secret(user.name.expose(), name) & is_same(user.password.expose(), password)
        }
        Credential::Keys(keys) => {
            let key = |key: &crate::credential::Key| {
                let mut shown = shown.keys.iter().filter(|(slot, _)| *slot == key.slot).map(|(_, value)| value);
                match (shown.next(), shown.next()) {
                    (first, None) => is_secret(key.value.expose(), first),
                    _ => Choice::from(0), // two of them: which one is meant?
                }
            };
            keys.iter().map(key).fold(Choice::from(u8::from(!keys.is_empty())), |all, one| all & one)
        }
        Credential::None | Credential::Digest(_) | Credential::OAuth2(_) => Choice::from(0),
    }
}

/// Whether what was shown is the secret. Nothing is no secret.
fn is_secret(expected: &str, shown: Option<&SecretString>) -> Choice {
    is_same(expected, shown) & Choice::from(u8::from(!expected.is_empty()))
}

/// Digests have one length, so the comparison tells neither a secret's length nor where it differs.
pub(crate) fn is_same(expected: &str, shown: Option<&SecretString>) -> Choice {
    use secrecy::ExposeSecret as _;
    let given = Choice::from(u8::from(shown.is_some()));
    let shown = shown.map_or("", |shown| shown.expose_secret());
    Sha256::digest(expected).as_slice().ct_eq(Sha256::digest(shown).as_slice()) & given
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::credential::{Key, Secret, User};

    fn gate(server: usize) -> GateId {
        GateId::new("a.yaml", "a-mcp", server)
    }

    fn gates() -> Gates {
        let key = |name: &'static str, value: &str| Key {
            slot: Slot::Header(HeaderName::from_static(name)),
            value: Secret::unnamed(value),
        };
        let query = Key { slot: Slot::Query("k".to_owned()), value: Secret::unnamed("canary-query") };
        let user = |name: &str, password: &str| User {
            name: Secret::unnamed(name),
            password: Secret::unnamed(password),
            secret_name: false,
        };
        Gates::new([
            (gate(0), "a-mcp".to_owned(), Credential::Bearer(Secret::unnamed("canary-a"))),
            (gate(1), "a-mcp".to_owned(), Credential::Keys(vec![key("x-a", "canary-1"), key("x-b", "canary-2")])),
            (gate(2), "a-mcp".to_owned(), Credential::Keys(vec![query])),
            (gate(3), "a-mcp".to_owned(), Credential::Basic(user("alice", "canary-pw"))),
            (gate(4), "a-mcp".to_owned(), Credential::Basic(user("canary-key", ""))),
            (gate(5), "a-mcp".to_owned(), Credential::Bearer(Secret::unnamed(""))),
            (gate(6), "a-mcp".to_owned(), Credential::None),
            (gate(7), "a-mcp".to_owned(), Credential::Bearer(Secret::unnamed("canary-a"))),
        ])
    }

    #[test]
    fn each_gate_opens_to_its_own_credential_alone() {
        let header = |name: &'static str, value: &str| (Slot::Header(HeaderName::from_static(name)), value.into());
        let keys = |keys: Vec<(Slot, SecretString)>| Shown { keys, ..Shown::default() };
        let bearer = |token: &str| Shown { bearer: Some(token.into()), ..Shown::default() };
        let basic =
            |name: &str, password: &str| Shown { basic: Some((name.into(), password.into())), ..Shown::default() };
        for (shown, expected) in [
            (Shown::default(), &[][..]),
            (bearer("canary-a"), &[0, 7]),
            (bearer("canary-"), &[]),
            (bearer(""), &[]),
            (keys(vec![header("x-a", "canary-1")]), &[]),
            (keys(vec![header("x-a", "canary-1"), header("x-b", "canary-2")]), &[1]),
            (keys(vec![header("x-a", "canary-2"), header("x-b", "canary-1")]), &[]),
            (keys(vec![header("x-a", "canary-1"), header("x-b", "canary-2"), header("x-b", "other")]), &[]),
            (keys(vec![(Slot::Query("k".to_owned()), "canary-query".into())]), &[2]),
            (basic("alice", "canary-pw"), &[3]),
            (basic("alice", ""), &[]),
            (basic("", "canary-pw"), &[]),
            (basic("canary-key", ""), &[4]),
            (basic("canary-key", "x"), &[]),
        ] {
            let expected: BTreeSet<GateId> = expected.iter().map(|server| gate(*server)).collect();
            assert_eq!(gates().opened_by(&shown), expected, "{shown:?}");
            assert!(!format!("{shown:?} {:?}", gates()).contains("canary"));
        }
    }

    #[test]
    fn a_gate_is_known_by_its_file_its_name_and_its_place() {
        let ids = [("a", "b", 0), ("a", "b", 1), ("a", "c", 0), ("c", "b", 0), ("a\0b", "", 0), ("a", "", 0)];
        let ids: BTreeSet<GateId> =
            ids.iter().map(|(file, namespace, place)| GateId::new(file, namespace, *place)).collect();
        assert_eq!(ids.len(), 6);
        assert_eq!(GateId::new("a", "b", 0), GateId::new("a", "b", 0));
    }

    #[test]
    fn doors_are_replaced_for_all_who_look() {
        let doors = Doors::default();
        let guard = doors.clone();
        assert_eq!((guard.now().0.is_empty(), guard.now().1), (true, Gated::Nothing));
        doors.replace(Arc::new(gates()), Gated::Some);
        assert_eq!((guard.now().0.is_empty(), guard.now().1), (false, Gated::Some));
    }

    #[test]
    fn access_is_what_was_opened_and_what_has_no_gate() {
        let some = Access::Through(Arc::new([gate(1)].into()));
        let within = |gates| Access::Within(Arc::new(Bounds { gates, ..Bounds::default() }));
        for (access, open, own, other) in [
            (Access::Everything, true, true, true),
            (some, true, true, false),
            (Access::nothing(), true, false, false),
            (within(Opened::All), true, true, true),
            (within(Opened::Besides([gate(1)].into())), true, true, false),
            (within(Opened::Only([gate(1)].into())), false, true, false),
            (within(Opened::default()), true, false, false),
        ] {
            let allows = |gate| access.allows(Offer { gate, ..open_offer() });
            assert_eq!([allows(None), allows(Some(gate(1))), allows(Some(gate(2)))], [open, own, other], "{access:?}");
        }
    }

    fn open_offer() -> Offer<'static> {
        Offer { gate: None, group: "a", risk: Risk::Read, tool: None, needs: Reach::Writing }
    }

    #[test]
    fn what_a_key_cannot_reach_is_not_allowed() {
        for (reach, reads, writes) in [
            (None, true, true),
            (Some(Reach::Writing), true, true),
            (Some(Reach::Reading), true, false),
            (Some(Reach::Nothing), false, false),
        ] {
            let access = Access::Within(Arc::new(Bounds { reach, ..Bounds::default() }));
            let allows = |needs| access.allows(Offer { needs, ..open_offer() });
            assert_eq!((allows(Reach::Reading), allows(Reach::Writing)), (reads, writes), "{reach:?}");
            assert!(allows(Reach::Nothing), "that of others");
        }
    }

    #[test]
    fn what_is_used_lies_within_all_bounds() {
        let policy =
            ScopePolicy { groups: [("b".to_owned(), ["s".to_owned()].into())].into(), ..ScopePolicy::default() };
        let bounds = Bounds {
            gates: Opened::Besides([gate(1)].into()),
            groups: Some(Arc::new(["a".to_owned(), "b".to_owned()].into())),
            ceiling: Some(Risk::Write),
            granted: Some(Granted::new(Arc::new(policy), [])),
            reach: None,
        };
        let access = Access::Within(Arc::new(bounds));
        for (group, risk, behind, allowed, scopes) in [
            ("a", Risk::Read, None, true, 0),
            ("a", Risk::Write, Some(gate(1)), true, 0),
            ("a", Risk::Write, Some(gate(2)), false, 0),
            ("a", Risk::Destructive, None, false, 0),
            ("c", Risk::Read, None, false, 0),
            ("", Risk::Read, None, false, 0),
            ("b", Risk::Read, None, false, 1),
            // Nobody is told to fetch scopes for what stays closed.
            ("b", Risk::Destructive, None, false, 0),
            ("b", Risk::Read, Some(gate(2)), false, 0),
        ] {
            let offer = Offer { gate: behind, group, risk, ..open_offer() };
            assert_eq!(access.allows(offer), allowed, "{offer:?}");
            assert_eq!(access.lacks_scopes(offer).map_or(0, |lacks| lacks.len()), scopes, "{offer:?}");
        }
        assert!(access.hears_of(None, "a") && !access.hears_of(None, "b") && !access.hears_of(Some(gate(2)), "a"));
        assert!(!access.hears_why(None));
        assert!(!access.sees_whole(&BTreeSet::new()) && !access.sees_whole(&[gate(1)].into()));
        let sees = |access: &Access| {
            [[].into(), [gate(1)].into(), [gate(1), gate(2)].into()].map(|gates| access.sees_whole(&gates))
        };
        let only = Bounds { gates: Opened::Only([gate(1)].into()), ..Bounds::default() };
        assert_eq!(sees(&Access::Within(Arc::new(only))), [false, true, false]);
        assert_eq!(sees(&Access::Through(Arc::new([gate(1)].into()))), [true, true, false]);
        assert_eq!(sees(&Access::Everything), [true, true, true]);
    }
}
