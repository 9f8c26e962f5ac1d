//! What a call needs besides its arguments: a person's word, the client's own question, nothing, or it is not made at all.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{catalog::risk::Risk, nearest::nearest};

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// That a person confirms it, by whatever way the client leaves.
    Ask,
    /// What the client asks by itself, on the word of the tool's hints.
    Client,
    /// Nothing.
    Allow,
    /// It is not made.
    Deny,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::Ask, Self::Client, Self::Allow, Self::Deny];

    /// Its name, as in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Client => "client",
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    /// The more, the less can be done.
    fn strictness(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Client => 1,
            Self::Ask => 2,
            Self::Deny => 3,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rule) = Self::ALL.into_iter().find(|rule| rule.name() == text) {
            return Ok(rule);
        }
        let near = nearest(text, Self::ALL.map(Self::name)).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("`{text}` is none of `ask`, `client`, `allow` and `deny`{}", near.unwrap_or_default()))
    }
}

/// The rules for all calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    classes: BTreeMap<Risk, Rule>,
    tools: BTreeMap<String, Rule>,
}

impl Default for Rules {
    /// A person confirms what takes away, what runs commands and what gives access.
    fn default() -> Self {
        let rule = |risk: Risk| if risk <= Risk::Write { Rule::Allow } else { Rule::Ask };
        Self { classes: Risk::ALL.into_iter().map(|risk| (risk, rule(risk))).collect(), tools: BTreeMap::new() }
    }
}

impl Rules {
    /// Sets the rule of a class of risk, or of a tool by its name.
    pub fn set(&mut self, whose: &str, rule: Rule) {
        match whose.parse::<Risk>() {
            Ok(risk) => self.classes.insert(risk, rule),
            Err(_) => self.tools.insert(whose.to_owned(), rule),
        };
    }

    /// The rule for a tool of this class.
    pub fn of(&self, tool: &str, risk: Risk) -> Rule {
        let of_class = || self.classes.get(&risk).copied().unwrap_or(Rule::Ask);
        if self.tools.is_empty() { of_class() } else { self.tools.get(tool).copied().unwrap_or_else(of_class) }
    }

    /// The same with the names that tools are offered under in the place of those that specs give them. Where several of
    /// them are those of one tool, the strictest rule counts.
    #[must_use]
    pub fn resolved<'a>(&'a self, offered: impl Fn(&'a str) -> &'a str) -> Self {
        let mut tools: BTreeMap<String, Rule> = BTreeMap::new();
        for (name, rule) in &self.tools {
            let known = tools.entry(offered(name).to_owned()).or_insert(*rule);
            if rule.strictness() > known.strictness() {
                *known = *rule;
            }
        }
        Self { classes: self.classes.clone(), tools }
    }

    /// The tools that have a rule of their own.
    pub fn tools(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_for_a_tool_counts_before_its_class() {
        let mut rules = Rules::default();
        assert_eq!(Risk::ALL.map(|risk| rules.of("x", risk))[..3], [Rule::Allow, Rule::Allow, Rule::Ask]);
        rules.set("destructive", Rule::Client);
        rules.set("delete_pet", "deny".parse().unwrap());
        assert_eq!(rules.of("delete_dog", Risk::Destructive), Rule::Client);
        assert_eq!(rules.of("delete_pet", Risk::Destructive), Rule::Deny);
        rules.set("pets.delete", Rule::Deny);
        rules.set("pets_delete", Rule::Allow);
        let resolved = rules.resolved(|name| if name == "pets.delete" { "pets_delete" } else { name });
        assert_eq!(resolved.of("pets_delete", Risk::Destructive), Rule::Deny, "the strictest");
        assert_eq!(resolved.of("delete_pet", Risk::Destructive), Rule::Deny);
        assert_eq!(
            "alow".parse::<Rule>().unwrap_err(),
            "`alow` is none of `ask`, `client`, `allow` and `deny`; did you mean `allow`?"
        );
    }
}
