//! Whether a regular expression can be checked here. Must not know where it stands.
//!
//! The library that checks values has the last word, but it first makes a validator of the schema of all schemas, which takes
//! longer than all the rest of a small catalog and stays in memory. So the plain ones, which mean the same to every engine
//! and cost little in any, are told apart first.

/// The longest pattern that counts as plain, in bytes.
const LENGTH: usize = 256;
/// The most repetitions that do.
const REPETITIONS: u8 = 64;
/// How deep groups may lie.
const DEPTH: usize = 4;

/// Whether a pattern can be checked here: published ones are written for many engines.
pub(super) fn is_pattern(pattern: &str) -> bool {
    is_plain(pattern) || super::validator_options().build(&serde_json::json!({ "pattern": pattern })).is_ok()
}

/// Whether a pattern has nothing but literals, classes of letters and digits, groups, choices and small repetitions, with
/// anchors at its ends alone.
fn is_plain(pattern: &str) -> bool {
    let inner = pattern.strip_prefix('^').unwrap_or(pattern);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    pattern.len() <= LENGTH && choice(inner, 0) == Some("")
}

/// What follows a choice of sequences.
fn choice(text: &str, depth: usize) -> Option<&str> {
    let mut rest = sequence(text, depth)?;
    while let Some(next) = rest.strip_prefix('|') {
        rest = sequence(next, depth)?;
    }
    Some(rest)
}

/// What follows a sequence of one part or more.
fn sequence(text: &str, depth: usize) -> Option<&str> {
    let mut rest = part(text, depth)?;
    while !rest.is_empty() && !rest.starts_with(['|', ')']) {
        rest = part(rest, depth)?;
    }
    Some(rest)
}

fn part(text: &str, depth: usize) -> Option<&str> {
    if let Some(inner) = text.strip_prefix('(') {
        if depth >= DEPTH {
            return None;
        }
        let rest = choice(inner, depth + 1)?.strip_prefix(')')?;
        // Of groups that are repeated so many times, within one another, much could come.
        return Some(rest.strip_prefix(['*', '+', '?']).unwrap_or(rest)).filter(|rest| !rest.starts_with(REPEATING));
    }
    let rest = match text.strip_prefix('[') {
        Some(inner) => class(inner)?,
        None => match text.strip_prefix('\\') {
            Some(escaped) => {
                escaped.strip_prefix(['*', '+', '?', '.', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\'])?
            }
            None => {
                text.strip_prefix(|letter: char| letter.is_ascii_alphanumeric() || "_-:/, @#%&=".contains(letter))?
            }
        },
    };
    let rest = match rest.strip_prefix('{') {
        Some(bounds) => {
            let (bounds, rest) = bounds.split_once('}')?;
            let number = |text: &str| {
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse::<u8>().ok().filter(|number| is_number && *number <= REPETITIONS)
            };
            let (least, most) = match bounds.split_once(',') {
                Some((least, "")) => (number(least)?, REPETITIONS),
                Some((least, most)) => (number(least)?, number(most)?),
                None => (number(bounds)?, number(bounds)?),
            };
            (least <= most && most > 0).then_some(rest)?
        }
        None => rest.strip_prefix(['*', '+', '?']).unwrap_or(rest),
    };
    (!rest.starts_with(REPEATING)).then_some(rest)
}

/// What a repetition begins with: a second one means other things to other engines.
const REPEATING: [char; 4] = ['*', '+', '?', '{'];

/// What follows the inside of a class, and its bracket.
fn class(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('^').unwrap_or(text);
    loop {
        let first = rest.chars().next().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')?;
        rest = rest.strip_prefix(first)?;
        if let Some(end) = rest.strip_prefix("-]") {
            return Some(end);
        }
        if let Some(range) = rest.strip_prefix('-') {
            let last = range.chars().next().filter(|last| last.is_ascii_alphanumeric() && first <= *last)?;
            rest = range.strip_prefix(last)?;
        }
        if let Some(end) = rest.strip_prefix(']') {
            return Some(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_patterns_are_told_from_others() {
        for plain in [
            "^[A-Za-z_][A-Za-z0-9_-]*$",
            "^(never|0*[1-9][0-9]*[dmy])$",
            r"^(\*|[A-Z][A-Z_]*:(\*|[A-Z][A-Z_]*))$",
            "^rt_(live|test)_[0-9A-Za-z]{32}$",
            "a",
            "[^a-z]{2,}x?",
            "a{0,64}",
        ] {
            assert!(is_plain(plain), "{plain}");
            assert!(is_pattern(plain), "{plain}");
        }
        for other in [
            "",
            "^$",
            "a$b",
            "a^",
            "(?=a)",
            r"\d",
            r"\-",
            "[]",
            "[^]",
            "[z-a]",
            "[a",
            "a**",
            "a{2",
            "a{3,2}",
            "a{65}",
            "a{+1}",
            "(a",
            "a)",
            "|a",
            "(a|)",
            "()",
            "[a-b-c]",
            "(a{64}){64}",
            "(((((a)))))",
            "é",
            "[a&&b]",
            "a{0}",
        ] {
            assert!(!is_plain(other), "{other}");
        }
        assert!(is_pattern(r"\d") && is_pattern("(?=a)") && !is_pattern("(") && !is_pattern("[z-a]"));
    }

    #[test]
    fn the_shipped_schemas_have_plain_patterns() {
        let is_plain_there = |text: &str| {
            let patterns = text.split(r#""pattern":"#).skip(1);
            let mut patterns = patterns.map(|rest| {
                serde_json::Deserializer::from_str(rest).into_iter::<String>().next().expect("a text").expect("JSON")
            });
            patterns.all(|pattern| is_plain(&pattern))
        };
        for source in crate::shipped::schemas() {
            let crate::spec::Source::Shipped { name, text } = source else { continue };
            assert!(is_plain_there(text), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_is_good(pieces in proptest::collection::vec(prop_oneof![
            Just("^"), Just("$"), Just("("), Just(")"), Just("["), Just("]"), Just("[a-z]"), Just("[^A-Z0-9_-]"), Just("|"),
            Just("a"), Just("9"), Just("_"), Just("-"), Just("*"), Just("+"), Just("?"), Just("{2}"), Just("{1,64}"),
            Just("{3,}"), Just("{"), Just("}"), Just(","), Just(r"\*"), Just(r"\\"), Just(r"\"), Just(":"), Just("/"), Just("#"),
        ], 0..12)) {
            let pattern = pieces.concat();
            if is_plain(&pattern) {
                let schema = json!({ "pattern": pattern, "patternProperties": { pattern.clone(): true } });
                let built = super::super::validator_options().should_validate_formats(true).build(&schema);
                prop_assert!(built.is_ok(), "{pattern}: {:?}", built.err());
            }
        }
    }
}
