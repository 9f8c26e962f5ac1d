//! Texts of others without the clauses that name what is not there. Knows nothing of tools.

use std::borrow::Cow;

/// A text without its clauses in which a word is gone: what is left of it are whole sentences, or parts of them between
/// semicolons.
pub fn without<'a>(text: &'a str, is_gone: impl Fn(&str) -> bool) -> Cow<'a, str> {
    let in_name = |letter: char| letter.is_alphanumeric() || "_-".contains(letter);
    let names_it =
        |clause: &&str| clause.split(|letter| !in_name(letter)).any(|word| !word.is_empty() && is_gone(word));
    let clauses = clauses(text);
    if !clauses.iter().any(names_it) {
        return Cow::Borrowed(text);
    }
    let left: String = clauses.into_iter().filter(|clause| !names_it(clause)).collect();
    let left = left.trim();
    Cow::Owned(left.strip_suffix(';').map_or_else(|| left.to_owned(), |left| format!("{left}.")))
}

/// The clauses of a text, with what ends them.
fn clauses(text: &str) -> Vec<&str> {
    let (mut clauses, mut start) = (Vec::new(), 0);
    for (at, mark) in text.match_indices(['.', '!', '?', ';']) {
        let end = at + mark.len();
        if text.get(end..).is_some_and(|rest| rest.starts_with(char::is_whitespace)) {
            clauses.extend(text.get(start..end));
            start = end;
        }
    }
    clauses.extend(text.get(start..));
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_not_spoken_of() {
        let text = "add_boat and drop_boat change boats; list_boats v1.2 shows them. None is returned.";
        assert_eq!(without(text, |_| false), text);
        assert_eq!(without(text, |word| word == "add_boat"), "list_boats v1.2 shows them. None is returned.");
        assert_eq!(
            without(text, |word| word == "list_boats"),
            "add_boat and drop_boat change boats; None is returned."
        );
        assert_eq!(without(text, |word| word == "boat"), text, "a part of a name is none");
        assert_eq!(without("Use a_b; or not c_d.", |word| word == "c_d"), "Use a_b.");
        assert_eq!(without("Use a_b.", |word| word == "a_b"), "");
    }
}
