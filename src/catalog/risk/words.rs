//! The words that an operation is named with: the parts of its path, its name, the name of its tool.

use crate::catalog::{hints::Called, names::snake_case};

/// Words joined by `_`, in small letters.
#[derive(Debug)]
pub(super) struct Phrase(String);

/// What an operation is called with, in words.
#[derive(Debug)]
pub(super) struct Words {
    /// The parts of the path that are no placeholder, without versions.
    parts: Vec<Phrase>,
    /// Whether the path ends with a placeholder: it is that of one thing among others.
    pub(super) is_item: bool,
    operation: Phrase,
    tool: Option<Phrase>,
}

impl Phrase {
    pub(super) fn words(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('_').filter(|word| !word.is_empty())
    }

    pub(super) fn first(&self) -> &str {
        self.words().next().unwrap_or_default()
    }

    pub(super) fn last(&self) -> &str {
        self.words().next_back().unwrap_or_default()
    }

    /// The first of its words that is one of these.
    pub(super) fn any(&self, wanted: &[&'static str]) -> Option<&'static str> {
        self.words().find_map(|word| wanted.iter().find(|wanted| **wanted == word).copied())
    }

    /// Two words of it that follow each other, of which each is one of its list.
    pub(super) fn pair(&self, first: &[&str], second: &[&str]) -> Option<String> {
        let pairs = self.words().zip(self.words().skip(1));
        let mut found = pairs.filter(|(one, other)| first.contains(one) && second.contains(other));
        found.next().map(|(one, other)| format!("{one}_{other}"))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl Words {
    pub(super) fn new(called: Called<'_>) -> Self {
        let Called { method: _, path, operation, tool } = called;
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let (mut parts, mut is_item) = (Vec::new(), false);
        let path = without_placeholders(path);
        // `/pets/{id}:feed` ends with a verb; a placeholder is nothing but what callers fill in.
        for written in path.split('/').filter(|part| !part.is_empty()).flat_map(|part| part.split(':')) {
            let part = snake_case(written);
            is_item = part.is_empty();
            if !is_item && !is_version(&part) {
                parts.push(Phrase(part));
            }
        }
        let tool = tool.map(|tool| Phrase(snake_case(tool)));
        Self { parts, is_item, operation: Phrase(snake_case(operation)), tool }
    }

    /// What the path ends with, where that is no placeholder.
    pub(super) fn action(&self) -> Option<&Phrase> {
        self.parts.last().filter(|_| !self.is_item)
    }

    /// The last part of the path, whatever placeholder follows it.
    pub(super) fn thing(&self) -> Option<&Phrase> {
        self.parts.last()
    }

    pub(super) fn parts(&self) -> &[Phrase] {
        &self.parts
    }

    pub(super) fn operation(&self) -> &Phrase {
        &self.operation
    }

    pub(super) fn tool(&self) -> Option<&Phrase> {
        self.tool.as_ref()
    }

    /// The verb that the path ends with or that the operation is named by, where it is one of these.
    pub(super) fn verb_in(&self, verbs: &[&'static str]) -> Option<&'static str> {
        self.action_in(verbs).or_else(|| verb(self.operation.first(), verbs))
    }

    /// The verb that the path ends with, where it is one of these. A plural there is a collection.
    pub(super) fn action_in(&self, verbs: &[&'static str]) -> Option<&'static str> {
        let first = self.action()?.first();
        verbs.iter().find(|verb| **verb == first).copied()
    }

    /// The first word of all names that is one of these.
    pub(super) fn any(&self, wanted: &[&'static str]) -> Option<&'static str> {
        self.parts.iter().chain([&self.operation]).chain(&self.tool).find_map(|name| name.any(wanted))
    }

    /// Whether a request goes to a GraphQL endpoint, where the same request carries a mutation (GraphQL over HTTP).
    pub(super) fn is_graphql(&self) -> bool {
        self.action().is_some_and(|action| action.text() == "graphql")
    }

    /// Whether it may go to one, by any of its names.
    pub(super) fn names_graphql(&self) -> bool {
        self.any(&["graphql"]).is_some()
    }
}

/// The verb of these that a word is; `rotates` is `rotate`.
fn verb(word: &str, verbs: &[&'static str]) -> Option<&'static str> {
    let is = |verb: &&&'static str| word == **verb || word.strip_suffix('s').is_some_and(|base| base == **verb);
    verbs.iter().find(is).copied()
}

/// A path without what callers fill in: `/pets/{id}:feed` → `/pets/-:feed`.
fn without_placeholders(path: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0_usize);
    for character in path.chars() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                text.push('-');
            }
            character if depth == 0 => text.push(character),
            _ => {}
        }
    }
    text
}

/// `v1`, `v1beta1`, `2_0`, `api`, `rest`: parts that say nothing of what is called.
fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or(part);
    matches!(part, "api" | "rest") || digits.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (path, parts, is_item, action) in [
            ("/v1/secrets/{name}/delete", &["secrets", "delete"][..], false, Some("delete")),
            ("/v1/secrets/{{name}}", &["secrets"], true, None),
            ("/2.0/api/instances/{id}:startNow?x=1", &["instances", "start_now"], false, Some("start_now")),
            ("/instances:batchGet", &["instances", "batch_get"], false, Some("batch_get")),
            ("/a/{b/c}/d", &["a", "d"], false, Some("d")),
            ("/chat.delete", &["chat_delete"], false, Some("chat_delete")),
            ("/", &[], false, None),
        ] {
            let words = Words::new(Called { method: "POST", path, operation: "x", tool: None });
            assert_eq!(words.parts().iter().map(Phrase::text).collect::<Vec<_>>(), parts, "{path}");
            assert_eq!((words.is_item, words.action().map(Phrase::text)), (is_item, action), "{path}");
        }
        let words = Words::new(Called { method: "POST", path: "/a", operation: "rotatesKey", tool: None });
        assert_eq!((words.verb_in(&["rotate"]), words.action_in(&["rotate"])), (Some("rotate"), None));
        assert_eq!(words.operation().pair(&["rotates"], &["key"]).as_deref(), Some("rotates_key"));
    }
}
