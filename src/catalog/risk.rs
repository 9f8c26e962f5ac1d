//! What a tool may do at worst, in classes that an operator can draw a line between.

use std::{fmt, str::FromStr};

use super::hints::Hints;
use crate::nearest::nearest;

/// What a tool may do at worst. Ordered: who may use tools of a class may use those of the classes below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// It changes nothing.
    Read,
    /// It adds or changes something.
    Write,
    /// It may take something away or overwrite it.
    Destructive,
}

impl Risk {
    /// All classes, the least one first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Destructive];

    /// Its name, as in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

impl From<Hints> for Risk {
    /// What a client may not assume is taken to happen.
    fn from(hints: Hints) -> Self {
        match hints {
            Hints { destructive: true, .. } => Self::Destructive,
            Hints { read_only: true, .. } => Self::Read,
            _ => Self::Write,
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Risk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(risk) = Self::ALL.into_iter().find(|risk| risk.name() == text) {
            return Ok(risk);
        }
        let known = Self::ALL.map(|risk| format!("`{risk}`")).join(", ");
        let near = nearest(text, Self::ALL.map(Self::name)).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("`{text}` is no class of risk; expected one of {known}{}", near.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_the_hints_allow_is_the_risk() {
        let risk =
            |read_only, destructive| Risk::from(Hints { read_only, destructive, idempotent: true, open_world: false });
        assert_eq!(risk(true, false), Risk::Read);
        assert_eq!(risk(false, false), Risk::Write);
        assert_eq!(risk(false, true), Risk::Destructive);
        assert_eq!(risk(true, true), Risk::Destructive, "hints that contradict each other");
        assert!(Risk::Read < Risk::Write && Risk::Write < Risk::Destructive);
    }

    #[test]
    fn classes_are_read_by_their_names() {
        for risk in Risk::ALL {
            assert_eq!(risk.to_string().parse(), Ok(risk));
        }
        let problem = "reed".parse::<Risk>().unwrap_err();
        assert!(problem.contains("did you mean `read`?"), "{problem}");
    }
}
