//! Characters by their names, as HTML writes them: `&lt;` is `<`.

use std::borrow::Cow;

/// The characters that descriptions name rather than write.
const CHARACTERS: [(&str, char); 26] = [
    ("amp", '&'),
    ("apos", '\''),
    ("bull", '•'),
    ("copy", '©'),
    ("deg", '°'),
    ("euro", '€'),
    ("ge", '≥'),
    ("gt", '>'),
    ("hellip", '…'),
    ("laquo", '«'),
    ("larr", '←'),
    ("ldquo", '“'),
    ("le", '≤'),
    ("lsquo", '‘'),
    ("lt", '<'),
    ("mdash", '—'),
    ("middot", '·'),
    ("nbsp", ' '),
    ("ndash", '–'),
    ("quot", '"'),
    ("raquo", '»'),
    ("rarr", '→'),
    ("rdquo", '”'),
    ("reg", '®'),
    ("rsquo", '’'),
    ("times", '×'),
];

/// A text with characters in the place of their names: `&lt;` → `<`.
pub(super) fn characters(text: &str) -> Cow<'_, str> {
    /// As long as the longest of the names that are known.
    const MAX_NAME: usize = 8;
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut read = String::with_capacity(text.len());
    let mut pieces = text.split('&');
    read.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let named = piece.split_once(';').filter(|(name, _)| name.len() <= MAX_NAME);
        match named.and_then(|(name, rest)| Some((character(name)?, rest))) {
            Some((letter, rest)) => {
                read.push(letter);
                read.push_str(rest);
            }
            None => {
                read.push('&');
                read.push_str(piece);
            }
        }
    }
    Cow::Owned(read)
}

fn character(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return CHARACTERS.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
    };
    let number = match number.strip_prefix(['x', 'X']) {
        Some(number) => u32::from_str_radix(number, 16).ok()?,
        None => number.parse().ok()?,
    };
    let letter = char::from_u32(number)?;
    Some(if letter == '\u{a0}' { ' ' } else { letter }).filter(|letter| !letter.is_control() || letter.is_whitespace())
}
