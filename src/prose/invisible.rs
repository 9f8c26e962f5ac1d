//! Characters that nobody sees: a model reads them all the same, so that they can tell it what no person is shown, and make
//! what is shown another text than what is read.
//!
//! They are the control characters, those that Unicode says are shown as nothing (`Default_Ignorable_Code_Point`: zero width,
//! direction, tags, fillers, selectors) and the anchors of annotations. `\n` and `\t` stay, every other end of a line
//! (UAX #14: CR, VT, FF, NEL, LS, PS) becomes `\n`, and one selector of presentation (`U+FE0E`, `U+FE0F`) behind a character
//! that is seen stays: emoji need it.
//!
//! A leaf. Most texts are clean, and answers are large: a clean text costs a look at its bytes.

use std::borrow::Cow;

use serde_json::Value;

use crate::members::renamed;

/// Whether nothing can become of a character, by a look at its block alone: most letters are in none of these.
fn is_ordinary(character: char) -> bool {
    !matches!(
        u32::from(character) >> 8,
        0x00 | 0x03 | 0x06 | 0x11 | 0x17 | 0x18 | 0x20 | 0x31 | 0xfe | 0xff | 0x1bc | 0x1d1 | 0xe00..=0xe0f
    )
}

/// Whether a character is shown as nothing wherever it stands.
fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// What becomes of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It ends a line, and `\n` says so.
    EndsLine,
    Goes,
}

/// What becomes of a character behind another one that stays.
fn fate(character: char, before: Option<char>) -> Fate {
    match character {
        ' '..='~' => Fate::Stays,
        ordinary if is_ordinary(ordinary) => Fate::Stays,
        '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Fate::EndsLine,
        '\u{fe0e}' | '\u{fe0f}' => match before {
            Some(before) if !before.is_whitespace() && !matches!(before, '\u{fe0e}' | '\u{fe0f}') => Fate::Stays,
            _ => Fate::Goes,
        },
        other if is_ignorable(other) => Fate::Goes,
        _ => Fate::Stays,
    }
}

/// Whether all of a text is ASCII that is seen: most are, and this is a few instructions for many bytes.
fn is_plain(text: &str) -> bool {
    let is_plain = |byte: &u8| byte.wrapping_sub(b' ') < 0x5f || *byte == b'\n' || *byte == b'\t';
    let mut chunks = text.as_bytes().chunks_exact(32);
    chunks.all(|chunk| chunk.iter().fold(true, |all, byte| all & is_plain(byte)))
        && chunks.remainder().iter().all(is_plain)
}

/// Whether nothing in a text goes or ends a line otherwise than by `\n`.
pub fn is_clean(text: &str) -> bool {
    is_plain(text) || {
        let mut before = None;
        text.chars().all(|character| {
            let stays = fate(character, before) == Fate::Stays;
            before = Some(character);
            stays
        })
    }
}

/// A text as it is seen: without characters that nobody sees, and with `\n` at the end of each line. Clean text is the same,
/// to the letter.
pub fn visible(text: &str) -> Cow<'_, str> {
    if is_clean(text) { Cow::Borrowed(text) } else { Cow::Owned(rewritten(text, true)) }
}

/// A text without characters that nobody sees; its lines end as they did. For what may go out again as it was written.
pub fn without_hidden(text: &str) -> Cow<'_, str> {
    if is_clean(text) { Cow::Borrowed(text) } else { Cow::Owned(rewritten(text, false)) }
}

fn rewritten(text: &str, ends_lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        let kept = match fate(character, before) {
            Fate::Stays => character,
            Fate::EndsLine if !ends_lines => character,
            // Of CRLF the second one stays.
            Fate::EndsLine if character == '\r' && characters.peek() == Some(&'\n') => continue,
            Fate::EndsLine => '\n',
            Fate::Goes => continue,
        };
        out.push(kept);
        before = Some(kept);
    }
    out
}

/// Whether a character shows a person nothing, or turns or moves what they see, wherever it stands: one that goes from texts
/// for models, a selector of presentation, or the end of a line that is none of `\n`. Pages, terminals and forms write it out
/// instead of leaving it out, so that a person sees that it is there.
pub fn is_unseen(character: char) -> bool {
    fate(character, None) != Fate::Stays
}

/// A text for a person who decides on it: every character that [is not seen](is_unseen) is written out, as `\u{200b}`. Its
/// lines end with `\n` alone, so that nobody takes one within it for another one's.
pub fn spelled_out(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len());
    for character in text.replace("\r\n", "\n").chars() {
        if is_unseen(character) {
            spelled.extend(character.escape_unicode());
        } else {
            spelled.push(character);
        }
    }
    Cow::Owned(spelled)
}

/// A text as it is seen, in one line, with one space for many.
pub fn one_line(text: &str) -> String {
    visible(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The characters of a text that nobody sees, each once, as they first come. Ends of lines are none.
pub fn hidden(text: &str) -> Vec<char> {
    let (mut found, mut before) = (Vec::new(), None);
    if is_plain(text) {
        return found;
    }
    for character in text.chars() {
        match fate(character, before) {
            Fate::Goes if !found.contains(&character) => found.push(character),
            Fate::Goes => {}
            Fate::Stays | Fate::EndsLine => before = Some(character),
        }
    }
    found
}

/// Makes every text in a value as it is seen, names of members included. A name that another member has already is numbered,
/// so that nothing is lost and no member takes the name of one that was clean. Whether anything changed.
pub fn clean(value: &mut Value) -> bool {
    clean_by(value, &|_, text| visible(text))
}

/// The same by another way to make a text clean, which is told the name of the member that it stands in. Names of members
/// are made visible.
pub fn clean_by(value: &mut Value, way: &dyn for<'a> Fn(&str, &'a str) -> Cow<'a, str>) -> bool {
    fn within(value: &mut Value, member: &str, way: &dyn for<'a> Fn(&str, &'a str) -> Cow<'a, str>) -> bool {
        match value {
            Value::String(text) => {
                if is_plain(text) {
                    return false;
                }
                match way(member, text) {
                    Cow::Borrowed(_) => false,
                    Cow::Owned(clean) => {
                        *text = clean;
                        true
                    }
                }
            }
            Value::Array(items) => items.iter_mut().fold(false, |changed, item| within(item, member, way) | changed),
            Value::Object(members) => {
                let mut changed = false;
                for (name, member) in members.iter_mut() {
                    changed |= within(member, name, way);
                }
                let has_hidden = members.keys().any(|name| !is_clean(name));
                if has_hidden {
                    *members =
                        renamed(std::mem::take(members), |name| (!is_clean(name)).then(|| visible(name).into_owned()));
                }
                changed | has_hidden
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    within(value, "", way)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_sees_goes() {
        for (text, expected) in [
            ("", ""),
            ("plain\n\ttext ~", "plain\n\ttext ~"),
            ("a\u{0}b\u{7}c\u{1b}[31md\u{7f}e\u{9b}f", "abc[31mdef"),
            ("one\r\ntwo\rthree\u{85}four\u{2028}five\u{b}six\u{c}seven", "one\ntwo\nthree\nfour\nfive\nsix\nseven"),
            ("i\u{200b}g\u{200c}n\u{200d}o\u{200e}r\u{200f}e", "ignore"),
            ("\u{202a}a\u{202b}b\u{202c}c\u{202d}d\u{202e}e\u{2066}f\u{2069}g", "abcdefg"),
            ("a\u{2060}b\u{2064}c\u{feff}d\u{ad}e\u{34f}f\u{61c}g\u{180e}h", "abcdefgh"),
            ("a\u{115f}b\u{1160}c\u{3164}d\u{ffa0}e\u{fff9}f\u{fffa}g\u{fffb}h", "abcdefgh"),
            ("hi\u{e0001}\u{e0068}\u{e0069}\u{e007f}!\u{e0100}\u{e01ef}", "hi!"),
            ("\u{1bca0}x\u{1d173}y", "xy"),
            // Emoji keep how they are shown, and no more than that.
            ("\u{2764}\u{fe0f} 1\u{fe0f}\u{20e3}", "\u{2764}\u{fe0f} 1\u{fe0f}\u{20e3}"),
            ("\u{fe0f}a\u{fe0f}\u{fe0e}\u{fe0f}b\u{fe00} \u{fe0f}", "a\u{fe0f}b "),
            // What is seen stays, whatever language it is of.
            ("Grüße, 世界, שלום, नमस्ते, 👍🏽, \u{a0}\u{2026}", "Grüße, 世界, שלום, नमस्ते, 👍🏽, \u{a0}\u{2026}"),
        ] {
            assert_eq!(visible(text), expected, "{text:?}");
            assert_eq!(is_clean(text), text == expected, "{text:?}");
        }
        assert_eq!(without_hidden("a\r\nb\u{200b}\u{2028}c"), "a\r\nb\u{2028}c");
        assert_eq!(one_line("a\u{1b}[31m\n\u{200b}b\u{202e}  c"), "a[31m b c");
        assert_eq!(hidden("\u{200b}a\u{200b}\r\n\u{e0041}"), ['\u{200b}', '\u{e0041}']);
    }

    #[test]
    fn what_nobody_sees_is_written_out_for_a_person() {
        for (text, expected) in [
            ("plain\n\ttext ~ Grüße 世界", "plain\n\ttext ~ Grüße 世界"),
            ("a\r\nb\rc\u{85}d\u{2028}e\u{2029}f", "a\nb\\u{d}c\\u{85}d\\u{2028}e\\u{2029}f"),
            (
                "hi\u{e0041}\u{34f}\u{115f}\u{17b4}\u{3164}\u{ffa0}",
                "hi\\u{e0041}\\u{34f}\\u{115f}\\u{17b4}\\u{3164}\\u{ffa0}",
            ),
            ("\u{2764}\u{fe0f}\u{1b}", "\u{2764}\\u{fe0f}\\u{1b}"),
        ] {
            assert_eq!(spelled_out(text), expected, "{text:?}");
        }
    }

    #[test]
    fn no_block_that_is_passed_over_holds_what_goes() {
        let all = (0..=0x0010_ffff).filter_map(char::from_u32);
        assert_eq!(all.filter(|one| is_ordinary(*one) && is_ignorable(*one)).count(), 0);
    }

    #[test]
    fn members_keep_apart_from_each_other() {
        let mut value = json!({
            "id\u{200b}": "second", "id": "first", "\u{200b}id": ["th\u{202e}ird", 1, null, {"x\u{7f}": true}], "id_2": "fourth"
        });
        assert!(clean(&mut value));
        let expected =
            json!({"id_3": "second", "id": "first", "id_4": ["third", 1, null, {"x": true}], "id_2": "fourth"});
        assert_eq!(value, expected);
        assert!(!clean(&mut value));
        assert_eq!(value, expected);
    }

    #[test]
    fn many_names_that_look_the_same_are_numbered_in_their_order() {
        let hidden =
            |count: usize| format!("id{}", format!("{count:b}").replace('0', "\u{200b}").replace('1', "\u{200c}"));
        let mut value: Value =
            (1..=50_000).map(|count| (hidden(count), json!(count))).chain([("id_3".to_owned(), json!(0))]).collect();
        assert!(clean(&mut value));
        let members = value.as_object().unwrap();
        assert_eq!(members.len(), 50_001);
        for (name, count) in [("id", 1), ("id_2", 2), ("id_3", 0), ("id_4", 3), ("id_50001", 50_000)] {
            assert_eq!(members[name], count, "{name}");
        }
    }

    proptest! {
        #[test]
        fn clean_text_holds_nothing_hidden(text in "(\\PC|[\u{0}-\u{ff}\u{2000}-\u{2070}\u{fe00}-\u{ff00}\u{e0000}-\u{e01ff}]|[a\r\n])*") {
            let clean = visible(&text).into_owned();
            prop_assert!(is_clean(&clean), "{:?}", clean);
            prop_assert_eq!(visible(&clean), clean.as_str());
            prop_assert!(hidden(&clean).is_empty());
            let left = clean.chars().filter(|character| is_ignorable(*character) && !matches!(character, '\u{fe0e}' | '\u{fe0f}'));
            prop_assert_eq!(left.count(), 0);
            // What is seen stays, in its order.
            let seen = |text: &str| text.chars().filter(|one| !is_ignorable(*one) && *one != '\n').collect::<String>();
            prop_assert_eq!(seen(&clean), seen(&text));
        }

        #[test]
        fn plain_text_is_not_touched(text in "[ -~\n\t]*") {
            prop_assert!(matches!(visible(&text), Cow::Borrowed(same) if same == text));
            prop_assert!(matches!(without_hidden(&text), Cow::Borrowed(same) if same == text));
        }

        /// The quick look and the slow one agree.
        #[test]
        fn a_text_is_clean_where_nothing_of_it_changes(text in "[ -~\n\té\u{200b}\r]{0,80}") {
            prop_assert_eq!(is_clean(&text), visible(&text) == text.as_str());
        }
    }
}
