//! What the words of a name or a path say that a request does. Must not know what a spec states of it.

use super::names;

/// What the words of a name say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Reads,
    Writes,
    /// The word is `post`, which may as well be the method.
    Posts,
}

/// Verbs of requests that change nothing.
const READING: [&str; 14] = [
    "aggregate",
    "count",
    "describe",
    "download",
    "explain",
    "fetch",
    "find",
    "get",
    "list",
    "lookup",
    "query",
    "read",
    "retrieve",
    "search",
];

/// Verbs of requests that change something, whatever else a name holds.
const WRITING: [&str; 44] = [
    "activate",
    "add",
    "advance",
    "apply",
    "approve",
    "archive",
    "assign",
    "attach",
    "cancel",
    "confirm",
    "create",
    "delete",
    "deploy",
    "destroy",
    "detach",
    "disable",
    "dismiss",
    "edit",
    "enable",
    "finalize",
    "grant",
    "insert",
    "install",
    "invite",
    "modify",
    "move",
    "pause",
    "publish",
    "reject",
    "remove",
    "rename",
    "replace",
    "restart",
    "resume",
    "revoke",
    "send",
    "shutdown",
    "stop",
    "submit",
    "suspend",
    "terminate",
    "unarchive",
    "update",
    "upsert",
];

/// Verbs of such requests that are nouns as well, or do what the next word says: `test_clock`, `run_query`.
const WEAK: [&str; 14] = [
    "execute",
    "fail",
    "mark",
    "post",
    "put",
    "run",
    "save",
    "set",
    "simulate",
    "start",
    "test",
    "transition",
    "trigger",
    "upload",
];

/// Whether the names of a tool and its operation, or the last part of its path, say that a request by POST changes
/// something. A name that says nothing is no reason to doubt a spec.
pub(super) fn say_that_it_writes(tool: Option<&str>, operation: &str, path: &str) -> bool {
    let place = of_path(path);
    let said = [tool.and_then(of_name), of_name(operation), place];
    if said.contains(&Some(Said::Writes)) {
        return true;
    }
    // `postSearch` to `/search` is a search by POST.
    said.contains(&Some(Said::Posts)) && place != Some(Said::Reads)
}

fn of_name(name: &str) -> Option<Said> {
    let words = names::snake_case(name);
    // What is left of a paragraph of HTML that a name was made of.
    let words = words.strip_prefix("p_").unwrap_or(&words);
    let words: Vec<&str> = words.split('_').collect();
    let first = words.first().copied()?;
    match (of_verb(first), base(first).and_then(of_verb)) {
        (Some(said @ (Said::Reads | Said::Writes)), _) if !WEAK.contains(&first) => return Some(said),
        (_, Some(said @ (Said::Reads | Said::Writes))) if base(first).is_none_or(|verb| !WEAK.contains(&verb)) => {
            return Some(said);
        }
        _ => {}
    }
    if words.iter().any(|word| WRITING.contains(word)) {
        return Some(Said::Writes);
    }
    let is_weak = WEAK.contains(&first);
    if words.iter().any(|word| READING.contains(word) && !(is_weak && *word == "list")) {
        return Some(Said::Reads);
    }
    let weak = words.iter().find_map(|word| WEAK.iter().find(|weak| *weak == word)).and_then(|weak| of_verb(weak));
    let weak = weak.or_else(|| base(first).and_then(of_verb));
    weak.or_else(|| (words.len() == 1).then(|| run_together(first)).flatten())
}

/// What the last part of a path says, by its first word: a plural there is a collection.
fn of_path(path: &str) -> Option<Said> {
    let last = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/').rsplit('/').next()?;
    if last.contains('{') {
        return None;
    }
    let words = names::snake_case(last);
    let mut said = words.split('_').map(of_verb);
    match said.next()? {
        None => said.flatten().find(|said| *said == Said::Reads),
        first => first,
    }
}

fn of_verb(word: &str) -> Option<Said> {
    match word {
        "post" => Some(Said::Posts),
        word if READING.contains(&word) => Some(Said::Reads),
        word if WRITING.contains(&word) || WEAK.contains(&word) => Some(Said::Writes),
        _ => None,
    }
}

/// `creates` → `create`.
fn base(word: &str) -> Option<&str> {
    let verb = word.strip_suffix('s')?;
    match of_verb(verb) {
        None => verb.strip_suffix('e').filter(|verb| of_verb(verb).is_some()),
        Some(_) => Some(verb),
    }
}

/// What a name without any mark between its words begins with: `createplaylistforuser`. Short verbs begin too many words.
fn run_together(name: &str) -> Option<Said> {
    if READING.iter().any(|verb| name.starts_with(verb)) {
        return Some(Said::Reads);
    }
    let verb = WRITING.iter().chain(&["post"]).find(|verb| verb.len() > 3 && name.starts_with(**verb))?;
    of_verb(verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_say_what_a_request_does() {
        for (tool, operation, path, writes) in [
            ("create-playlist", "createplaylistforuser", "/users/{id}/playlists", true),
            ("acme-create-value-list-item", "postvaluelistitems", "/value_list_items", true),
            ("p-approves-code-review", "postreviewapprove", "/reviews/{id}/approve", true),
            ("p-when-you-get-a-dispute", "postdisputesdispute", "/disputes/{id}", true),
            ("p-starts-advancing-test-clock", "advance", "/clocks/{id}/advance", true),
            ("acme-test-webhook", "testhook", "/hooks/{id}/test", true),
            ("dismiss-checkout", "DismissCheckout", "/checkouts/{id}/dismiss", true),
            ("checkouts", "checkouts", "/checkouts/{id}/cancel", true),
            ("run_report", "runReport", "/reports/{id}", true),
            ("post", "post", "/items", true),
            ("search-orders", "SearchOrders", "/orders/search", false),
            ("search-events", "SearchEvents", "/events", false),
            ("deprecated-batch-retrieve-changes", "DeprecatedBatchRetrieveChanges", "/batch-retrieve-changes", false),
            ("gets-offers", "getOffers", "/offers", false),
            ("search-runs", "searchRuns", "/runs", false),
            ("search_posts", "searchPosts", "/posts", false),
            ("run_query", "runQuery", "/query", false),
            ("find", "postSearch", "/search", false),
            ("context", "contextassistant", "/chat/{name}/context", false),
            ("settings", "settings", "/settings", false),
            ("return-list-offers", "upsellOffers", "/offers/upselling", false),
            ("acme-search-issues", "searchforissuespost", "/search", false),
            ("list_update_history", "listUpdateHistory", "/history", false),
        ] {
            assert_eq!(say_that_it_writes(Some(tool), operation, path), writes, "{tool} {operation} {path}");
        }
    }

    #[test]
    fn a_verb_is_in_one_list() {
        assert!(!READING.iter().any(|verb| WRITING.contains(verb) || WEAK.contains(verb)));
        assert!(!WEAK.iter().any(|verb| WRITING.contains(verb)));
    }
}
