//! Texts of specs in a difference: cut around what changed, in one line, with every character that nobody sees as its number.

use crate::prose::invisible::is_clean;

/// How many characters are shown before the first that differs.
const BEFORE: usize = 30;
/// How many characters are shown in all.
const LENGTH: usize = 160;

/// A text in one line, in which nothing is hidden.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut place = [0; 4];
    for character in text.chars() {
        if character.is_control() || !is_clean(character.encode_utf8(&mut place)) {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// The same, cut at its end.
pub(super) fn short(text: &str) -> String {
    window(text, 0)
}

/// Both texts, from shortly before the first character that differs.
pub(super) fn both(old: &str, new: &str) -> (String, String) {
    let fits = |text: &str| text.chars().nth(LENGTH).is_none();
    if fits(old) && fits(new) {
        return (short(old), short(new));
    }
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    let from = same.saturating_sub(BEFORE);
    (window(old, from), window(new, from))
}

fn window(text: &str, from: usize) -> String {
    let shown: String = text.chars().skip(from).take(LENGTH).collect();
    let start = if from > 0 { "…" } else { "" };
    let end = if text.chars().nth(from.saturating_add(LENGTH)).is_some() { "…" } else { "" };
    format!("“{start}{}{end}”", plain(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_hidden_and_what_differs_is_in_view() {
        let (old, new) =
            both(&format!("{}one", "a ".repeat(200)), &format!("{}two\u{202e}\n\u{1b}[2J", "a ".repeat(200)));
        assert!(old.starts_with("“…") && old.ends_with("one”"), "{old}");
        assert!(new.ends_with("two\\u{202e}\\n\\u{1b}[2J”"), "{new}");
        assert_eq!(short("Grüße"), "“Grüße”");
        assert_eq!(short(&"x".repeat(500)).chars().count(), LENGTH + 3);
    }
}
