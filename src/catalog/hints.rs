//! What a client may assume about a tool's effects: as the spec states it, else worked out from the operation.

use super::{names, verbs};
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

    /// What it does to call the tool twice.
    pub fn repetition(self) -> Repetition {
        if self.read_only || self.idempotent { Repetition::Harmless } else { Repetition::Harmful }
    }
}

/// Words that tell an operation takes something away, whatever its HTTP method.
const DESTRUCTIVE_WORDS: [&str; 13] = [
    "delete",
    "destroy",
    "remove",
    "revoke",
    "purge",
    "kill",
    "terminate",
    "shutdown",
    "cancel",
    "wipe",
    "drop",
    "erase",
    "truncate",
];

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

/// Lowers the hints of a tool. What the spec states wins, unless it would let a client run unasked what changes something
/// or takes it away: that is corrected and reported.
pub fn lower(stated: &spec::Hints, called: Called<'_>, problems: &mut Vec<Diagnostic>) -> Hints {
    let Called { method, path, operation, tool } = called;
    let spec::Hints { read_only, destructive, idempotent, open_world } = stated;
    let safe_method = matches!(method, "GET" | "HEAD" | "OPTIONS");
    let takes_away = method == "DELETE" || has_destructive_word(path) || has_destructive_word(operation);
    let mut hints = Hints {
        read_only: read_only.as_ref().map_or(safe_method, |flag| flag.value),
        destructive: destructive.as_ref().map_or(takes_away && !safe_method, |flag| flag.value),
        idempotent: idempotent
            .as_ref()
            .map_or(matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE"), |flag| flag.value),
        // As MCP does where nothing is said: an arbitrary service may reach anywhere.
        open_world: open_world.as_ref().is_none_or(|flag| flag.value),
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
    if let Some(flag) = destructive
        && !flag.value
        && takes_away
        && !safe_method
    {
        problems.push(contradiction(flag, "destructive", true));
        hints.destructive = true;
    }
    // A search by POST may truly read only; what changes something or takes it away, by its method or its words, never
    // does. Nor does GraphQL, where the same request carries a mutation.
    let never_reads = hints.destructive
        || matches!(method, "PUT" | "PATCH" | "DELETE")
        || is_graphql(method, path)
        || (method == "POST" && verbs::say_that_it_writes(tool, operation, path));
    if let Some(flag) = read_only
        && flag.value
        && never_reads
    {
        problems.push(contradiction(flag, "readOnly", false));
    }
    hints.read_only &= !never_reads;
    hints
}

/// Whether a request goes to a GraphQL endpoint by the method that takes mutations (GraphQL over HTTP).
fn is_graphql(method: &str, path: &str) -> bool {
    let last = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/').rsplit('/').next();
    method == "POST" && last.is_some_and(|last| last.eq_ignore_ascii_case("graphql"))
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

/// The hints of a tool that calls nothing.
pub fn of_fixed_values(stated: &spec::Hints) -> Hints {
    let spec::Hints { read_only, destructive, idempotent, open_world } = stated;
    Hints {
        read_only: read_only.as_ref().is_none_or(|flag| flag.value),
        destructive: destructive.as_ref().is_some_and(|flag| flag.value),
        idempotent: idempotent.as_ref().is_none_or(|flag| flag.value),
        open_world: open_world.as_ref().is_some_and(|flag| flag.value),
    }
}

/// Whether a word of a path or of a camel-case, snake-case or kebab-case name is destructive. Placeholders do not count.
fn has_destructive_word(text: &str) -> bool {
    let mut without_placeholders = String::new();
    let mut inside = 0_usize;
    for character in text.chars() {
        match character {
            '{' => inside += 1,
            '}' => inside = inside.saturating_sub(1),
            _ if inside > 0 => {}
            character => without_placeholders.push(character),
        }
    }
    names::snake_case(&without_placeholders).split('_').any(|word| DESTRUCTIVE_WORDS.contains(&word))
}

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
            ("POST", "/v1/objects/{id}/download", "dropletCreate", false, false, false),
        ] {
            let hints = lower(&spec::Hints::default(), called(method, path, name), &mut Vec::new());
            assert_eq!(hints, Hints { read_only, destructive, idempotent, open_world: true }, "{method} {path} {name}");
        }
    }

    #[test]
    fn a_dangerous_contradiction_is_corrected_and_reported() {
        let mut problems = Vec::new();
        let stated = spec::Hints { read_only: flag(true), destructive: flag(false), ..spec::Hints::default() };
        let hints = lower(&stated, called("POST", "/v1/secrets/{name}/delete", "x"), &mut problems);
        assert!(!hints.read_only && hints.destructive);
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::ContradictoryHints; 2]);
        let stated = spec::Hints { destructive: flag(true), ..spec::Hints::default() };
        assert!(
            !lower(&stated, called("GET", "/v1/secrets", "x"), &mut problems).read_only,
            "no tool both destroys and only reads"
        );
        let stated = spec::Hints { read_only: flag(true), ..spec::Hints::default() };
        assert!(lower(&stated, called("POST", "/v1/search", "search"), &mut problems).read_only, "a search by POST");
        assert!(
            !lower(&stated, called("POST", "/api/graphql/", "query"), &mut problems).read_only,
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
            let hints = lower(&stated, called(method, path, operation), &mut problems);
            assert_eq!(hints.read_only, is_read, "{method} {path}");
        }
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::ContradictoryHints; 4]);
        let named = Called { tool: Some("send-pet"), ..called("POST", "/v1/pets/{id}", "x") };
        assert!(!lower(&stated, named, &mut problems).read_only, "the tool's own name says it");
        let stated = spec::Hints { destructive: flag(true), idempotent: flag(true), ..spec::Hints::default() };
        let hints = lower(&stated, called("POST", "/v1/secrets/{name}", "updateSecret"), &mut problems);
        assert!(hints.destructive && hints.idempotent, "what is stated wins where it is the careful answer");
    }
}
