//! Whether an operation takes something away or overwrites it for good.

use super::{shapes::Shapes, words::Words};

/// Words that tell wherever they stand that something is taken away.
pub(super) const ANYWHERE: [&str; 13] = [
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

/// Verbs that tell the same, and are nouns or a part of others elsewhere.
const VERBS: [&str; 21] = [
    "abort",
    "clear",
    "deregister",
    "discard",
    "evict",
    "expire",
    "expunge",
    "flush",
    "invalidate",
    "overwrite",
    "prune",
    "redact",
    "regenerate",
    "reset",
    "rollback",
    "rotate",
    "stop",
    "suspend",
    "uninstall",
    "unregister",
    "void",
];

/// What authors say of operations that cannot be taken back.
const SAID: [&str; 10] = [
    "irreversib",
    "cannot be undone",
    "can't be undone",
    "cannot be reversed",
    "cannot be recovered",
    "permanently delete",
    "permanently remove",
    "will be permanently",
    "will shutdown",
    "will shut down",
];

/// What holds values that no answer shows again.
const UNREADABLE: [&str; 6] = ["secret", "secrets", "credential", "credentials", "password", "passwords"];

/// Why an operation of a method that changes something plainly takes something away; `None` where its method and its words
/// say nothing of the kind.
pub(super) fn plainly(method: &str, words: &Words) -> Option<String> {
    if method == "DELETE" {
        return Some("the method `DELETE`".to_owned());
    }
    if let Some(word) = words.parts().iter().find_map(|part| part.any(&ANYWHERE)) {
        return Some(format!("`{word}` in the path"));
    }
    let mut names = [Some(words.operation()), words.tool()].into_iter().flatten();
    names.find_map(|name| name.any(&ANYWHERE)).map(|word| format!("`{word}` in the name"))
}

/// Why it takes something away or overwrites it for good by other signs.
pub(super) fn otherwise(words: &Words, shapes: &Shapes, description: &str) -> Option<String> {
    if let Some(verb) = words.verb_in(&VERBS) {
        return Some(match words.action_in(&VERBS) {
            Some(_) => format!("`{verb}` in the path"),
            None => format!("`{verb}` in the name"),
        });
    }
    if let (true, Some(thing), Some(value)) =
        (words.is_item, words.thing().and_then(|thing| thing.any(&UNREADABLE)), shapes.secret_value.as_deref())
    {
        return Some(format!("overwrites the `{value}` of one of `{thing}`, which nothing shows again"));
    }
    let description = description.to_lowercase();
    SAID.iter().find(|said| description.contains(**said)).map(|said| match *said {
        "irreversib" => "its description says that it is irreversible".to_owned(),
        said => format!("its description says `{said}`"),
    })
}
