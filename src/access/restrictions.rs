//! What the operator offers at all, whoever calls: single tools, groups and classes of risk, switched on and off.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::Offer;
use crate::{catalog::risk::Risk, nearest::nearest, wildcard::is_like};

/// What an operator names to switch it on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The tools of this name, in which `*` stands for anything.
    Tool(String),
    /// What belongs to this group.
    Group(String),
    /// What is of this class.
    Risk(Risk),
}

/// What the operator offers. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Whether it is only what changes nothing.
    pub read_only: bool,
    /// Where there are any, nothing else is offered.
    pub allow: Vec<Selector>,
    /// What is not offered, whatever else allows it.
    pub deny: Vec<Selector>,
}

impl Selector {
    /// Whether it names this, which specs also give these names.
    pub fn names(&self, offer: &Offer<'_>, own: &[&str]) -> bool {
        match self {
            Self::Tool(pattern) => offer.tool.iter().chain(own).any(|name| is_like(name, pattern)),
            Self::Group(group) => offer.group == group,
            Self::Risk(risk) => offer.risk == *risk,
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text.is_empty() => Err("a tool's name is empty".to_owned()),
            None => Ok(Self::Tool(text.to_owned())),
            Some(("group", group)) if !group.is_empty() => Ok(Self::Group(group.to_owned())),
            Some(("risk", risk)) => risk.parse().map(Self::Risk),
            Some(_) => {
                Err(format!("`{text}` names nothing; expected the name of a tool, `group:NAME` or `risk:CLASS`"))
            }
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => formatter.write_str(name),
            Self::Group(group) => write!(formatter, "group:{group}"),
            Self::Risk(risk) => write!(formatter, "risk:{risk}"),
        }
    }
}

impl Restrictions {
    /// Whether nothing is switched off.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// By which setting an offer is switched off, as a person writes it; `None` where it is not. With the names that specs
    /// give it besides the one it is offered under.
    pub fn refusal(&self, offer: &Offer<'_>, own: &[&str]) -> Option<String> {
        if let Some(selector) = self.deny.iter().find(|selector| selector.names(offer, own)) {
            return Some(format!("`--deny {selector}`"));
        }
        if self.read_only && offer.risk != Risk::Read {
            return Some("`--read-only`".to_owned());
        }
        let is_left_out = !self.allow.is_empty() && !self.allow.iter().any(|selector| selector.names(offer, own));
        is_left_out.then(|| "`--allow`, which names others".to_owned())
    }

    /// A sentence on each name that fits nothing there is.
    pub fn unknown(&self, groups: &BTreeSet<&str>, tools: &BTreeSet<&str>) -> Vec<String> {
        let remark = |setting: &str, selector: &Selector| {
            let (kind, name, known) = match selector {
                Selector::Tool(pattern) if tools.iter().any(|tool| is_like(tool, pattern)) => return None,
                Selector::Tool(pattern) => ("tool", pattern, tools),
                Selector::Group(group) if groups.contains(group.as_str()) => return None,
                Selector::Group(group) => ("group", group, groups),
                Selector::Risk(_) => return None,
            };
            Some(unknown(setting, kind, name, known))
        };
        let allow = self.allow.iter().filter_map(|selector| remark("--allow", selector));
        allow.chain(self.deny.iter().filter_map(|selector| remark("--deny", selector))).collect()
    }
}

/// A sentence on a name in a setting that nothing has.
pub fn unknown(setting: &str, kind: &str, name: &str, known: &BTreeSet<&str>) -> String {
    let near = nearest(name, known.iter().copied());
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("`{setting}` names the {kind} `{name}`, which no loaded spec has{near}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Reach;

    #[test]
    fn what_is_denied_is_off_whatever_allows_it() {
        let select = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a selector")).collect();
        let offer = |tool, risk| Offer { gate: None, group: "pets", risk, tool, needs: Reach::Nothing };
        let read = offer(Some("get_pet"), Risk::Read);
        let run = offer(Some("run_pet"), Risk::Exec);
        let resource = offer(None, Risk::Write);
        for (read_only, allow, deny, on) in [
            (false, &[][..], &[][..], [true, true, true]),
            (true, &[], &[], [true, false, false]),
            (true, &["risk:exec"], &[], [false, false, false]),
            (false, &["*_pet"], &[], [true, true, false]),
            (false, &["group:pets"], &["risk:exec"], [true, false, true]),
            (false, &["run_pet"], &["run_*"], [false, false, false]),
            (false, &[], &["group:pets"], [false, false, false]),
            (false, &["risk:read", "risk:write"], &[], [true, false, true]),
            (false, &["group:birds"], &[], [false, false, false]),
        ] {
            let restrictions = Restrictions { read_only, allow: select(allow), deny: select(deny) };
            let found = [&read, &run, &resource].map(|offer| restrictions.refusal(offer, &[]).is_none());
            assert_eq!(found, on, "{restrictions:?}");
        }
        let denied = Restrictions { deny: select(&["risk:exec"]), ..Restrictions::default() };
        assert_eq!(denied.refusal(&run, &[]).as_deref(), Some("`--deny risk:exec`"));
    }

    #[test]
    fn what_names_nothing_is_told() {
        for (text, problem) in [
            ("risk:exek", "did you mean `exec`?"),
            ("class:exec", "`group:NAME` or `risk:CLASS`"),
            ("group:", "`group:NAME` or `risk:CLASS`"),
            ("", "empty"),
        ] {
            let told = text.parse::<Selector>().unwrap_err();
            assert!(told.contains(problem), "{text}: {told}");
        }
        let deny = ["get_pat", "*_pet", "group:pats", "risk:grant"].map(|text| text.parse().expect("a selector"));
        let restrictions = Restrictions { deny: deny.into(), ..Restrictions::default() };
        assert_eq!(
            restrictions.unknown(&["pets"].into(), &["get_pet"].into()),
            [
                "`--deny` names the tool `get_pat`, which no loaded spec has; did you mean `get_pet`?",
                "`--deny` names the group `pats`, which no loaded spec has; did you mean `pets`?",
            ]
        );
    }
}
