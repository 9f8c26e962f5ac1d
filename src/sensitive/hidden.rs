//! Texts where a secret would stand that are none: what a service has hidden itself, what stands for a value.

use crate::mask::MASKED;

/// How many characters of a secret are shown at each end of one that is hidden.
const MOST_SHOWN: usize = 4;
/// Words in the place of a value.
const WORDS: [&str; 14] = [
    "changeme",
    "disabled",
    "enabled",
    "example",
    "false",
    "hidden",
    "masked",
    "none",
    "null",
    "redacted",
    "required",
    "string",
    "true",
    "undefined",
];

/// Whether a service shows that there is a secret, and hides it: most of the text is a mark, or no more than its two ends
/// stand beside one.
pub(crate) fn is_hidden(text: &str) -> bool {
    let is_mark = |one: char| matches!(one, '*' | '•' | '●' | '…');
    let dots = text.find("...").map(|at| at..at + 3);
    let marked = text.contains(['•', '●', '…']) || text.contains("***");
    let marks = match (text.find(is_mark).filter(|_| marked), text.rfind(is_mark)) {
        (Some(first), Some(last)) => {
            first..last + text.get(last..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
        }
        _ => match dots {
            Some(dots) => dots,
            None => return false,
        },
    };
    let count = |part: Option<&str>| part.unwrap_or_default().chars().count();
    let (before, after) = (text.get(..marks.start), text.get(marks.end..));
    let hiding = text.chars().filter(|one| is_mark(*one)).count();
    let whole = text.chars().count();
    let begins = before.map(without_prefix);
    hiding * 2 >= whole || count(begins) <= MOST_SHOWN && count(after) <= MOST_SHOWN && !inside_shown(text, &marks)
}

/// Whether more than a mark stands between the first and the last sign of it.
fn inside_shown(text: &str, marks: &std::ops::Range<usize>) -> bool {
    let inside = text.get(marks.clone()).unwrap_or_default();
    inside.chars().filter(|one| !matches!(one, '*' | '•' | '●' | '…' | '.' | '-' | '_' | ' ')).count() > MOST_SHOWN
}

/// What follows the letters that a service puts before its keys: `sk-proj-`, `rt_live_`.
fn without_prefix(text: &str) -> &str {
    let last = text.rfind(['_', '-']).map_or(0, |at| at + 1);
    let (prefix, rest) = text.split_at_checked(last).unwrap_or(("", text));
    let is_prefix =
        prefix.len() <= 12 && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
    if is_prefix { rest } else { text }
}

/// Whether a text within another one is written in the place of a value: a variable, a gap to be filled, a word, a handle.
pub(super) fn is_stand_in(text: &str) -> bool {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !text.starts_with(|first: char| first.is_ascii_digit())
    };
    let handle = text.strip_prefix("secret://");
    ["<", "${", "$(", "{{", "%(", "env:", "file:"].iter().any(|first| text.starts_with(first))
        || text.strip_prefix('$').is_some_and(is_name)
        || text.contains(MASKED)
        || handle.is_some_and(|id| id == "ask" || id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        || text.chars().all(|one| matches!(one, '*' | '•' | '●' | '…' | '.' | 'x' | 'X' | '#' | '-' | '_'))
        || is_hidden(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_no_more_than_its_ends_is_hidden() {
        for hidden in
            ["********", "sk-...wxyz", "ak_…", "ghp_****abcd", "rt_live_••••1234", "ab****************cdefgh", "ab…cd"]
        {
            assert!(is_hidden(hidden), "{hidden}");
        }
        for told in ["ab***realPw9", "my...secret1", "canary...with points in it", "hunter22", "a*b", "***hunter2***"] {
            assert!(!is_hidden(told), "{told}");
        }
    }
}
