//! Names that every client takes: what a tool is called where its own name cannot be offered, and names told apart.

use sha2::{Digest, Sha256};

/// The longest name that is offered: model APIs refuse longer ones, and one bad name can hide a whole server.
pub const MAX_NAME: usize = 64;

/// The name a tool is offered under: its own where it fits `[A-Za-z0-9_-]{1,64}`, else the nearest that does. Two
/// different names never become the same long one: a cut name ends in eight digits of its digest.
pub fn offered(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let mut offered = String::new();
    for character in name.chars() {
        if fits(character) {
            offered.push(character);
        } else if !offered.ends_with('_') {
            offered.push('_');
        }
    }
    let trimmed = offered.trim_matches(['_', '-']);
    let offered = if offered == name { name } else { trimmed };
    match offered {
        "" => "tool".to_owned(),
        short if short.len() <= MAX_NAME => short.to_owned(),
        long => cut(long, name),
    }
}

/// The name of an argument: the parameter's own where it fits `[A-Za-z0-9_.-]{1,64}`, which model APIs ask of property
/// names, else the nearest that does: `$select` → `select`, `filter[state]` → `filter_state`.
pub fn argument(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits) {
        return name.to_owned();
    }
    // Two filters that differ in a comparison alone are two arguments.
    match offered(&name.replace('<', "_lt").replace('>', "_gt")) {
        nothing if nothing == "tool" && name != "tool" => "argument".to_owned(),
        name => name,
    }
}

/// A name with a prefix that tells it from another tool of the same name.
pub fn told_apart(prefix: &str, name: &str) -> String {
    offered(&format!("{prefix}_{name}"))
}

/// A title with what tells it from another of the same words, for a person who sees both.
pub(super) fn title_apart(title: &str, by: &str) -> String {
    format!("{title} ({by})")
}

/// `createAPIKey` → `create_api_key`.
pub fn snake_case(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut result = String::new();
    for (index, character) in characters.iter().enumerate() {
        if !character.is_ascii_alphanumeric() {
            if !result.is_empty() && !result.ends_with('_') {
                result.push('_');
            }
            continue;
        }
        let before = index.checked_sub(1).and_then(|before| characters.get(before));
        let after_lower = before.is_some_and(|before| before.is_ascii_lowercase() || before.is_ascii_digit());
        let ends_acronym = before.is_some_and(char::is_ascii_uppercase)
            && characters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if character.is_ascii_uppercase() && (after_lower || ends_acronym) && !result.ends_with('_') {
            result.push('_');
        }
        result.push(character.to_ascii_lowercase());
    }
    result.trim_end_matches('_').to_owned()
}

/// A name as a person reads it: `create_api_key` → `Create API key`.
pub fn readable(name: &str) -> String {
    let mut text = String::new();
    for word in snake_case(name).split('_') {
        // What is left of a genitive or a negation.
        let is_ending = word == "s" && !text.is_empty() || word == "t" && text.ends_with('n');
        if !text.is_empty() {
            text.push(if is_ending { '\'' } else { ' ' });
        }
        match ACRONYMS.iter().find(|known| known.eq_ignore_ascii_case(word)) {
            Some(known) => text.push_str(known),
            None if text.is_empty() => {
                let mut letters = word.chars();
                text.extend(letters.next().into_iter().flat_map(char::to_uppercase).chain(letters));
            }
            None => text.push_str(word),
        }
    }
    text
}

/// A request as it is shown, `GET /pets/{id}`, however a spec writes its placeholders.
pub(super) fn shown_request(request: &str) -> String {
    request.replace("{{", "{").replace("}}", "}")
}

/// Words that are not written in small letters.
const ACRONYMS: [&str; 15] =
    ["API", "APIs", "HTTP", "ID", "IDs", "JSON", "MCP", "OAuth", "PTY", "SQL", "SSE", "SSH", "URI", "URL", "URLs"];

fn cut(long: &str, original: &str) -> String {
    let digest: String = Sha256::digest(original).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let start: String = long.chars().take(MAX_NAME - digest.len() - 1).collect();
    format!("{}_{digest}", start.trim_end_matches(['_', '-']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_change_only_where_they_must() {
        for (name, expected) in [
            ("create_secret", "create_secret"),
            ("runloop-secrets-createSecret", "runloop-secrets-createSecret"),
            ("_private_", "_private_"),
            ("get.pet", "get_pet"),
            ("Ünïcode name!", "n_code_name"),
            ("日本", "tool"),
            ("", "tool"),
        ] {
            assert_eq!(offered(name), expected, "{name}");
        }
        let long = "a".repeat(100);
        assert_eq!(offered(&long).len(), MAX_NAME);
        assert_ne!(offered(&long), offered(&"a".repeat(101)));
    }

    #[test]
    fn names_are_split_into_words() {
        for (name, expected) in [
            ("createAPIKey", "create_api_key"),
            ("listSecrets", "list_secrets"),
            ("get-pet", "get_pet"),
            ("GET /v1/x", "get_v1_x"),
            ("devboxReadFileContents", "devbox_read_file_contents"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
        for (name, expected) in [
            ("list_secrets", "List secrets"),
            ("createAPIKey", "Create API key"),
            ("get-project-s-urls", "Get project's URLs"),
            ("oauth_token_id", "OAuth token ID"),
            ("can-t-stop", "Can't stop"),
        ] {
            assert_eq!(readable(name), expected);
        }
    }

    #[test]
    fn arguments_change_only_where_they_must() {
        for (name, expected) in [
            ("page.limit", "page.limit"),
            ("$select", "select"),
            ("filter[state]", "filter_state"),
            ("fields[]", "fields"),
            ("Sent<", "Sent_lt"),
            ("a\0b\x1b]0;x", "a_b_0_x"),
            ("🔑", "argument"),
            ("", "argument"),
        ] {
            assert_eq!(argument(name), expected, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_fits_every_client(name in "\\PC{0,120}") {
            let offered = offered(&name);
            prop_assert!((1..=MAX_NAME).contains(&offered.len()));
            prop_assert!(offered.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'));
        }
    }
}
