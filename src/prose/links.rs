//! Markdown without runs of spaces and without relative links. What stands in code stays.

use std::borrow::Cow;

/// A text with one space for many and the words alone of links that lead nowhere from here.
pub(super) fn tidy(text: &str) -> Cow<'_, str> {
    if !text.contains("  ") && !text.contains("](") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut in_fence = false;
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        let is_fence = start.starts_with("```") || start.starts_with("~~~");
        let indent = line.len() - start.len();
        // Indented lines may be code or parts of a list, and a table is read by its columns.
        if in_fence || is_fence || indent >= 4 || start.starts_with('|') {
            out.push_str(line);
        } else {
            out.push_str(line.get(..indent).unwrap_or_default());
            tidy_line(start, &mut out);
        }
        in_fence ^= is_fence;
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

fn tidy_line(line: &str, out: &mut String) {
    // Every other part stands between back quotes; a lone one at the end opens nothing.
    let parts: Vec<&str> = line.split('`').collect();
    let count = parts.len();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push('`');
        }
        if index % 2 == 1 && index + 1 < count {
            out.push_str(part);
        } else {
            without_relative_links(part, out);
        }
    }
}

fn without_relative_links(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((target, following)) = after.split_once(')') else { break };
        let leads = ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
        match before.rsplit_once('[') {
            Some((before, words)) if !leads => {
                spaced(before.strip_suffix('!').unwrap_or(before), out);
                spaced(words, out);
            }
            _ => {
                spaced(before, out);
                out.push_str("](");
                out.push_str(target);
                out.push(')');
            }
        }
        rest = following;
    }
    spaced(rest, out);
}

fn spaced(text: &str, out: &mut String) {
    for letter in text.chars() {
        if letter != ' ' || !out.ends_with(' ') {
            out.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_spaces_and_relative_links_go() {
        for (text, expected) in [
            ("Post   domains  now", "Post domains now"),
            ("a `b   c` d  e", "a `b   c` d e"),
            ("see [the guide](/docs/guide) and [x](#y).", "see the guide and x."),
            (
                "![logo](logo.png) [a](https://a.example/b) [m](mailto:a@b)",
                "logo [a](https://a.example/b) [m](mailto:a@b)",
            ),
            ("  - one\n\n      code   here\n", "  - one\n\n      code   here\n"),
            ("```\na   b [c](d)\n```\na  b", "```\na   b [c](d)\n```\na b"),
            ("`[a](b)` and a [b] (c)", "`[a](b)` and a [b] (c)"),
            ("an open `quote   [a](b)", "an open `quote a"),
        ] {
            assert_eq!(tidy(text), expected, "{text}");
            assert_eq!(tidy(expected), expected, "again");
        }
    }
}
