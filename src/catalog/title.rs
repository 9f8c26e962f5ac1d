//! Titles of tools, for people who choose among them.

use super::names;

/// The longest description that is a title as well, in characters.
const MAX_TITLE: usize = 60;

/// The title of a tool that states none: its description where that is one short sentence, else the name of the operation
/// that it calls, whose own it often is cut from.
pub(super) fn of(name: &str, operation: Option<&str>, description: Option<&str>) -> String {
    let description = description.filter(|text| text.trim().contains(' ')); // one word is no more than a name says
    let sentence = description.and_then(of_sentence);
    if let Some(title) = sentence.filter(|_| description.is_some_and(is_one_sentence)) {
        return title;
    }
    let has_words = |name: &&str| names::snake_case(name).contains('_');
    if let Some(operation) = operation.filter(has_words) {
        return names::readable(operation);
    }
    // Letters run together are no words, and a name made of a description is the worse copy of it.
    if let Some(title) = operation.and(description).and_then(of_sentence) {
        return title;
    }
    let words = names::readable(name);
    match words.strip_prefix("P ") {
        Some(rest) => names::readable(rest), // left of a paragraph of HTML
        None => words,
    }
}

/// The first sentence of a description as a title, where it is short.
pub(super) fn of_sentence(description: &str) -> Option<String> {
    let line = description.lines().next()?.trim();
    let (is_deprecated, line) = match line.strip_prefix("Deprecated. ") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let sentence = line.split_once(". ").map_or(line, |(sentence, _)| sentence);
    let sentence = sentence.trim_end_matches('.').replace(['`', '*'], "");
    let is_short = (1..=MAX_TITLE).contains(&sentence.chars().count());
    let is_whole = !sentence.ends_with([':', '…', ',']) && !sentence.contains("](");
    // The tool in its place often has the same description.
    let title = if is_deprecated { names::title_apart(&sentence, "deprecated") } else { sentence };
    (is_short && is_whole).then_some(title)
}

fn is_one_sentence(description: &str) -> bool {
    let text = description.trim();
    let text = text.strip_prefix("Deprecated. ").unwrap_or(text);
    !text.contains('\n') && !text.contains(". ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_sentences_or_names() {
        let long = "Moves a pet that was lost by one owner to the house of another one, if it wants to.";
        for (name, operation, description, expected) in [
            ("get-pet", Some("getPet"), Some("Get a `Pet`."), "Get a Pet"),
            ("get-pet", Some("getPet"), Some("Deprecated. Get a pet."), "Get a pet (deprecated)"),
            ("get-pet", Some("getPet"), Some("Get a pet. It is found."), "Get pet"),
            ("p-moves-pet", Some("movepet"), Some("Moves a pet. It is asked."), "Moves a pet"),
            ("p-moves-pet-s-home", Some("movepet"), Some(long), "Moves pet's home"),
            ("acme-pets-movePetDepreca", Some("movePetDeprecated"), Some(long), "Move pet deprecated"),
            ("list-and-log", None, None, "List and log"),
        ] {
            assert_eq!(of(name, operation, description), expected);
        }
    }
}
