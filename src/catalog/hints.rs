//! What a client may assume about a tool's effects: as the spec states it, else worked out from the operation.

use super::{
    input::Argument,
    risk::{self, Assessed, Risk, Verdict, shapes::Shapes},
};
use crate::{
    diagnostic::{Code, Diagnostic},
    error::Repetition,
    spec,
};

/// What a client may assume about a tool's effects (MCP `ToolAnnotations`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// The tool changes nothing.
    pub read_only: bool,
    /// The tool may destroy or overwrite something.
    pub destructive: bool,
    /// Repeating the call has no further effect.
    pub idempotent: bool,
    /// The tool reaches into a world that nobody controls.
    pub open_world: bool,
}

impl Hints {
    /// The hints of two tools that are one: what both allow a client to assume.
    #[must_use]
    pub fn careful(self, other: Self) -> Self {
        Self {
            read_only: self.read_only && other.read_only,
            destructive: self.destructive || other.destructive,
            idempotent: self.idempotent && other.idempotent,
            open_world: self.open_world || other.open_world,
        }
    }

    /// The hints of a tool of this class: what only reads is of the least, and commands may take anything away.
    #[must_use]
    pub(super) fn of_class(self, class: Risk) -> Self {
        let read_only = self.read_only && class == Risk::Read;
        let destructive = match class {
            Risk::Read | Risk::Write => false,
            Risk::Destructive | Risk::Exec => true,
            Risk::Grant => self.destructive,
        };
        Self { read_only, destructive, ..self }
    }

    /// What it does to call the tool twice.
    pub fn repetition(self) -> Repetition {
        if self.read_only || self.idempotent { Repetition::Harmless } else { Repetition::Harmful }
    }
}

/// What a tool calls, in the words of its spec.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path template.
    pub path: &'a str,
    /// The name of the operation.
    pub operation: &'a str,
    /// The name of the tool, where the operation is all that it calls.
    pub tool: Option<&'a str>,
}

/// The hints of a tool whose author says nothing of them, by its arguments and its description.
pub fn unstated(called: Called<'_>, arguments: &[Argument], description: &str) -> Hints {
    let verdict = risk::assess(called, &Shapes::of_arguments(arguments), description);
    lower(&spec::Hints::default(), called, verdict, &mut Vec::new()).0
}

/// Lowers the hints of a tool and the class of risk that they follow from. What the spec states wins, unless it would let a
/// client run unasked what changes something or takes it away: that is corrected, and reported where words say it plainly.
pub(super) fn lower(
    stated: &spec::Hints,
    called: Called<'_>,
    verdict: Verdict,
    problems: &mut Vec<Diagnostic>,
) -> (Hints, Assessed) {
    let Called { method, path, operation, .. } = called;
    let spec::Hints { read_only, destructive, idempotent, open_world } = stated;
    let Verdict { mut assessed, destroys, is_plain, may_read } = verdict;
    // What is done by a method that is to change nothing, and does, need not come to the same twice.
    let is_repeatable = match method {
        "GET" | "HEAD" | "OPTIONS" => assessed.class == Risk::Read,
        method => matches!(method, "PUT" | "DELETE"),
    };
    let contradiction = |flag: &spec::Spanned<bool>, name: &str, taken: bool| {
        let message = format!(
            "`{name}: {}` contradicts the operation `{operation}` (`{method} {path}`); it is taken as `{taken}`",
            flag.value
        );
        Diagnostic::warning(Code::ContradictoryHints, flag.span, message).with_help(
            "a client may run a tool unasked that only reads or destroys nothing, so the careful answer holds",
        )
    };
    match destructive {
        Some(flag) if flag.value => assessed = assessed.worse(Assessed::new(Risk::Destructive, STATED_DESTRUCTIVE)),
        Some(flag) if is_plain => problems.push(contradiction(flag, "destructive", true)),
        _ => {}
    }
    // A search by POST may truly read only; what changes something or takes it away, by its method or its words, never
    // does. Nor does GraphQL, where the same request carries a mutation.
    match read_only {
        Some(flag) if flag.value && assessed.class != Risk::Read => {
            if may_read && assessed.class == Risk::Write {
                assessed = Assessed::new(Risk::Read, STATED_READ_ONLY);
            } else {
                problems.push(contradiction(flag, "readOnly", false));
            }
        }
        // Of a POST it is what is written of all of them, and HEAD has no answer; of a GET it is said for a reason.
        Some(flag) if !flag.value && assessed.class == Risk::Read && method == "GET" => {
            assessed = Assessed::new(Risk::Write, "its spec says that it does not only read");
        }
        _ => {}
    }
    let says_so =
        |flag: &Option<spec::Spanned<bool>>, wanted: bool| flag.as_ref().is_some_and(|flag| flag.value == wanted);
    let hints = Hints {
        read_only: assessed.class == Risk::Read && !says_so(read_only, false),
        destructive: destroys || says_so(destructive, true),
        idempotent: idempotent.as_ref().map_or(is_repeatable, |flag| flag.value),
        // As MCP does where nothing is said: an arbitrary service may reach anywhere.
        open_world: open_world.as_ref().is_none_or(|flag| flag.value),
    };
    (hints.of_class(assessed.class), assessed)
}

/// Completes hints from what a flow says of itself: safe is read-only and destroys nothing (language schema, semantics).
pub fn from_semantics(
    stated: &mut spec::Hints,
    safe: Option<&spec::Spanned<bool>>,
    idempotent: Option<&spec::Spanned<bool>>,
) {
    if let Some(safe) = safe {
        stated.read_only.get_or_insert_with(|| safe.clone());
        if safe.value {
            stated.destructive.get_or_insert_with(|| spec::Spanned::new(false, safe.span));
        }
    }
    if let Some(idempotent) = idempotent {
        stated.idempotent.get_or_insert_with(|| idempotent.clone());
    }
}

/// The hints and the class of a tool that calls nothing.
pub(super) fn of_fixed_values(stated: &spec::Hints) -> (Hints, Assessed) {
    let spec::Hints { read_only, destructive, idempotent, open_world } = stated;
    let read_only = read_only.as_ref().is_none_or(|flag| flag.value);
    let destructive = destructive.as_ref().is_some_and(|flag| flag.value);
    let idempotent = idempotent.as_ref().is_none_or(|flag| flag.value);
    let open_world = open_world.as_ref().is_some_and(|flag| flag.value);
    let assessed = match (read_only, destructive) {
        (_, true) => Assessed::new(Risk::Destructive, STATED_DESTRUCTIVE),
        (true, false) => Assessed::new(Risk::Read, "it calls nothing"),
        (false, false) => Assessed::new(Risk::Write, "its spec says that it does not only read"),
    };
    (Hints { read_only, destructive, idempotent, open_world }, assessed)
}

const STATED_DESTRUCTIVE: &str = "its spec says that it destroys";
const STATED_READ_ONLY: &str = "its spec says that it only reads";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::{SourceMap, Span},
        spec::Spanned,
    };

    fn flag(value: bool) -> Option<Spanned<bool>> {
        let file = SourceMap::default().add("test.yaml", "");
        Some(Spanned::new(value, Span::start_of(file)))
    }

    fn called<'a>(method: &'a str, path: &'a str, operation: &'a str) -> Called<'a> {
        Called { method, path, operation, tool: None }
    }

    fn of(stated: &spec::Hints, called: Called<'_>, problems: &mut Vec<Diagnostic>) -> Hints {
        lower(stated, called, risk::assess(called, &Shapes::default(), ""), problems).0
    }

    #[test]
    fn unstated_hints_come_from_the_operation() {
        for (method, path, name, read_only, destructive, idempotent) in [
            ("GET", "/v1/secrets", "listSecrets", true, false, true),
            ("POST", "/v1/secrets", "createSecret", false, false, false),
            ("POST", "/v1/secrets/{name}/delete", "deleteSecret", false, true, false),
            ("POST", "/v1/x/{id}", "killAsyncExecution", false, true, false),
            ("DELETE", "/v1/x/{id}", "x", false, true, true),
            ("PUT", "/v1/x/{delete}", "undeleteX", false, false, true),
            ("POST", "/v1/all", "DELETE_ALL", false, true, false),
            ("GET", "/v1/db/flush", "flushDb", false, true, false),
            ("POST", "/v1/objects/{id}/download", "dropletCreate", false, false, false),
        ] {
            let hints = of(&spec::Hints::default(), called(method, path, name), &mut Vec::new());
            assert_eq!(hints, Hints { read_only, destructive, idempotent, open_world: true }, "{method} {path} {name}");
        }
    }

    #[test]
    fn a_dangerous_contradiction_is_corrected_and_reported() {
        let mut problems = Vec::new();
        let stated = spec::Hints { read_only: flag(true), destructive: flag(false), ..spec::Hints::default() };
        let hints = of(&stated, called("POST", "/v1/secrets/{name}/delete", "x"), &mut problems);
        assert!(!hints.read_only && hints.destructive);
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::ContradictoryHints; 2]);
        let stated = spec::Hints { destructive: flag(true), ..spec::Hints::default() };
        assert!(
            !of(&stated, called("GET", "/v1/secrets", "x"), &mut problems).read_only,
            "no tool both destroys and only reads"
        );
        let stated = spec::Hints { read_only: flag(true), ..spec::Hints::default() };
        assert!(of(&stated, called("POST", "/v1/search", "search"), &mut problems).read_only, "a search by POST");
        assert!(
            !of(&stated, called("POST", "/api/graphql/", "query"), &mut problems).read_only,
            "it may be a mutation"
        );
        problems.clear();
        for (method, path, operation, is_read) in [
            ("PUT", "/v1/search", "search", false),
            ("PATCH", "/v1/pets", "listPets", false),
            ("POST", "/v1/pets", "createPet", false),
            ("POST", "/v1/pets/{id}/approve", "x", false),
            ("POST", "/v1/pets/{id}/summary", "x", true),
        ] {
            let hints = of(&stated, called(method, path, operation), &mut problems);
            assert_eq!(hints.read_only, is_read, "{method} {path}");
        }
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::ContradictoryHints; 4]);
        let named = Called { tool: Some("send-pet"), ..called("POST", "/v1/pets/{id}", "x") };
        assert!(!of(&stated, named, &mut problems).read_only, "the tool's own name says it");
        let stated = spec::Hints { destructive: flag(true), idempotent: flag(true), ..spec::Hints::default() };
        let hints = of(&stated, called("POST", "/v1/secrets/{name}", "updateSecret"), &mut problems);
        assert!(hints.destructive && hints.idempotent, "what is stated wins where it is the careful answer");
    }
}
