//! What a client may assume about a tool's effects: as the spec states it, else worked out from the operation.

use crate::{
    diagnostic::{Code, Diagnostic},
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

/// Lowers the hints of a tool. What the spec states wins, but for one case: a statement that would make a client run a
/// destructive operation unasked is corrected. Contradictions are reported.
pub fn lower(stated: &spec::Hints, method: &str, path: &str, operation: &str, problems: &mut Vec<Diagnostic>) -> Hints {
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
    if let Some(flag) = read_only
        && flag.value
        && (!safe_method || hints.destructive)
    {
        let message = format!("`readOnly: true` contradicts `{method} {path}`; it is taken as `false`");
        problems.push(Diagnostic::warning(Code::ContradictoryHints, flag.span, message));
        hints.read_only = false;
    }
    if let Some(flag) = destructive
        && !flag.value
        && takes_away
        && !safe_method
    {
        let message = format!("`destructive: false` contradicts `{method} {path}`; it is taken as `true`");
        problems.push(Diagnostic::warning(Code::ContradictoryHints, flag.span, message));
        hints.destructive = true;
    }
    hints
}

/// Whether a word of a path or of a camel-case, snake-case or kebab-case name is destructive. Placeholders do not count.
fn has_destructive_word(text: &str) -> bool {
    let mut inside = 0_usize;
    let mut word = String::new();
    let mut found = false;
    for character in text.chars().chain(['/']) {
        match character {
            '{' => inside += 1,
            '}' => inside = inside.saturating_sub(1),
            _ if inside > 0 => {}
            character => {
                if !character.is_alphabetic() || character.is_uppercase() {
                    found |= DESTRUCTIVE_WORDS.contains(&word.as_str());
                    word.clear();
                }
                if character.is_alphabetic() {
                    word.extend(character.to_lowercase());
                }
            }
        }
    }
    found
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

    #[test]
    fn unstated_hints_come_from_the_operation() {
        for (method, path, name, read_only, destructive, idempotent) in [
            ("GET", "/v1/secrets", "listSecrets", true, false, true),
            ("POST", "/v1/secrets", "createSecret", false, false, false),
            ("POST", "/v1/secrets/{name}/delete", "deleteSecret", false, true, false),
            ("POST", "/v1/x/{id}", "killAsyncExecution", false, true, false),
            ("DELETE", "/v1/x/{id}", "x", false, true, true),
            ("PUT", "/v1/x/{delete}", "undeleteX", false, false, true),
            ("POST", "/v1/objects/{id}/download", "dropletCreate", false, false, false),
        ] {
            let hints = lower(&spec::Hints::default(), method, path, name, &mut Vec::new());
            assert_eq!(hints, Hints { read_only, destructive, idempotent, open_world: true }, "{method} {path} {name}");
        }
    }

    #[test]
    fn a_dangerous_contradiction_is_corrected_and_reported() {
        let mut problems = Vec::new();
        let stated = spec::Hints { read_only: flag(true), destructive: flag(false), ..spec::Hints::default() };
        let hints = lower(&stated, "POST", "/v1/secrets/{name}/delete", "x", &mut problems);
        assert!(!hints.read_only && hints.destructive);
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::ContradictoryHints; 2]);
        let stated = spec::Hints { destructive: flag(true), idempotent: flag(true), ..spec::Hints::default() };
        let hints = lower(&stated, "POST", "/v1/secrets/{name}", "updateSecret", &mut problems);
        assert!(hints.destructive && hints.idempotent, "what is stated wins where it is the careful answer");
    }
}
