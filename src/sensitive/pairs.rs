//! Secrets that the name before them tells of within a text: lines of settings, headers, forms, JSON and YAML that are written
//! in a text, such as `DB_PASSWORD=…`, `Authorization: Bearer …`, `"password": "…"`.
//!
//! Texts also speak of secrets (`password: required`) and hold programs that use them (`token = get_token()`), so what stands
//! behind a name has to look like a value: it is quoted as its name is, or has a digit or a sign that words have not.

use std::ops::Range;

use super::{hidden::is_stand_in, names_number, names_secret_value};

/// How long a name is at most.
const LONGEST_NAME: usize = 64;
/// How far a quoted value is followed to its end.
const LONGEST_VALUE: usize = 4096;
/// How much of a value without quotes is looked at before it is known to be one.
const LONGEST_WORD: usize = 256;
/// Shorter values are words.
const SHORTEST: usize = 6;
/// What is said first where credentials are sent (RFC 9110, section 11.1).
pub(crate) const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "apikey", "digest"];
/// Words with digits that say of which kind a value is.
const KINDS: [&str; 14] = [
    "aes128", "aes256", "base32", "base58", "base64", "ed25519", "es256", "hs256", "oauth2", "rs256", "sha256",
    "sha384", "sha512", "uuid4",
];

/// Adds where values stand in a text behind names of secrets.
pub(super) fn add(text: &str, found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(['=', ':'])).map(|at| from + at) {
        from = at + 1;
        let Some(name) = name_before(text, at) else { continue };
        if !names_secret_value(name.text) {
            continue;
        }
        if let Some(value) = value_behind(text, at, &name) {
            from = value.end;
            found.push(value);
        }
    }
}

/// What stands before a `=` or `:`.
struct Name<'a> {
    text: &'a str,
    /// The quotes around it, with the characters that escape them.
    quote: &'a str,
}

fn name_before(text: &str, at: usize) -> Option<Name<'_>> {
    let bytes = text.as_bytes();
    let back = |end: usize, most: usize, is_in: fn(u8) -> bool| {
        let inside = bytes.get(..end).into_iter().flat_map(|before| before.iter().rev()).take(most);
        end - inside.take_while(|byte| is_in(**byte)).count()
    };
    let end = back(at, 3, |byte| matches!(byte, b' ' | b'\t'));
    let quoted = back(end, 4, |byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\'));
    let start = back(quoted, LONGEST_NAME, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let name = text.get(start..quoted).filter(|name| name.len() >= 3)?;
    // A line's end that is written as an escape begins no name.
    let name = match (name.as_bytes(), text.get(..start)?.ends_with('\\')) {
        ([b'n' | b'r' | b't', ..], true) => name.get(1..)?,
        _ => name,
    };
    Some(Name { text: name, quote: text.get(quoted..end)? })
}

fn value_behind(text: &str, at: usize, name: &Name<'_>) -> Option<Range<usize>> {
    let rest = text.get(at + 1..)?;
    if rest.starts_with("//") {
        // The scheme of an address.
        return None;
    }
    let rest = rest.strip_prefix(['>', '=']).unwrap_or(rest).trim_start_matches([' ', '\t']);
    let escapes = rest.len() - rest.trim_start_matches('\\').len();
    if let Some(quote) = rest.get(escapes..)?.chars().next().filter(|first| matches!(first, '"' | '\'' | '`')) {
        let opening = rest.get(..=escapes)?;
        let inside = rest.get(opening.len()..)?;
        let value = inside.get(..end_of_quoted(inside, opening, quote))?;
        let is_member = !name.quote.is_empty();
        let value = credential(value).unwrap_or(value);
        let tells = if is_member { value.chars().count() >= 3 } else { is_quoted_value(value) };
        return (tells && !is_stand_in(value)).then(|| place(text, value))?;
    }
    if !name.quote.is_empty() && !rest.starts_with(|first: char| first.is_ascii_digit()) {
        // A member whose value is no text.
        return None;
    }
    let rest = credential(rest).unwrap_or(rest);
    // No text is gone through again for each of the names in it: what a value is, is told by how it begins.
    let end = rest.char_indices().nth(LONGEST_WORD).map_or(rest.len(), |(end, _)| end);
    let begun = word(rest.get(..end)?);
    (is_value(begun, name.text) && !is_stand_in(begun)).then(|| place(text, word(rest)))?
}

/// What follows the name of a scheme.
fn credential(text: &str) -> Option<&str> {
    SCHEMES.iter().find_map(|known| {
        let (scheme, rest) = text.split_at_checked(known.len())?;
        let value = rest.trim_start_matches(' ');
        (scheme.eq_ignore_ascii_case(known) && value.len() < rest.len()).then_some(value)
    })
}

/// Where a quoted text ends: before the same quote, as far escaped as the first one.
fn end_of_quoted(inside: &str, opening: &str, quote: char) -> usize {
    let mut escapes = 0;
    for (at, character) in inside.char_indices().take(LONGEST_VALUE) {
        match character {
            '\\' => escapes += 1,
            '\n' | '\r' => return at,
            _ if character == quote && escapes < opening.len() => return at - escapes,
            _ => escapes = 0,
        }
    }
    inside.char_indices().nth(LONGEST_VALUE).map_or(inside.len(), |(at, _)| at)
}

/// A value without quotes: up to white space, a quote, or the next field of a form.
fn word(line: &str) -> &str {
    let is_end = |one: char| one.is_whitespace() || matches!(one, '"' | '\'' | '`' | '<' | '>' | '\\');
    let run = line.get(..line.find(is_end).unwrap_or(line.len())).unwrap_or_default();
    let field = run.match_indices('&').map(|(at, _)| at).find(|at| {
        let next = run.get(at + 1..).unwrap_or_default();
        let name = next.len()
            - next.trim_start_matches(|one: char| one.is_ascii_alphanumeric() || "_-.[]".contains(one)).len();
        name > 0 && next.get(name..).is_some_and(|rest| rest.starts_with('=')) || next.starts_with("amp;")
    });
    run.get(..field.unwrap_or(run.len())).unwrap_or_default().trim_end_matches([',', ';', '.', ')', ']', '}'])
}

/// Whether a word behind a name is a value rather than what is said of it.
fn is_value(value: &str, name: &str) -> bool {
    if value.len() < SHORTEST {
        return false;
    }
    let has_sign = value.bytes().any(|byte| byte.is_ascii_digit() || b"!@#$%^*+=~?".contains(&byte));
    // What programs have there.
    let is_call = value.contains(['(', '{', '[', '|']) || value.contains("::") || value.contains("->");
    let is_kind = KINDS.iter().any(|kind| value.eq_ignore_ascii_case(kind));
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    has_sign && !is_call && !is_kind && !value.contains("://") && (!is_number || names_number(name))
}

/// Whether a quoted text that follows a bare name is a value: a word, and not one of few letters.
fn is_quoted_value(value: &str) -> bool {
    let is_lower = value.bytes().all(|byte| byte.is_ascii_lowercase());
    value.len() >= SHORTEST && !value.contains(char::is_whitespace) && !(is_lower && value.len() < 8)
}

/// Where a part of a text stands in it.
fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    Some(start..start + part.len())
}

#[cfg(test)]
mod tests {
    use crate::sensitive::secrets_in;

    fn found(text: &str) -> Vec<&str> {
        secrets_in(text).filter_map(|range| text.get(range)).collect()
    }

    #[test]
    fn values_are_found_behind_names_in_texts() {
        for (text, expected) in [
            ("A=1\nDB_PASSWORD=DotEnv-12345\nB=2", "DotEnv-12345"),
            ("export API_KEY='in-quotes'", "in-quotes"),
            ("user: a\npassword: YamlPass-1234\n", "YamlPass-1234"),
            (r#"{"user": "a", "password":"NestedJson-1234"}"#, "NestedJson-1234"),
            (r#"{"password": "with some spaces"}"#, "with some spaces"),
            (r#""{\"password\":\"Nested-\\\"Twice-1\"}""#, r#"Nested-\\\"Twice-1"#),
            (r#"{"message": "a\npassword: Line-Within-1\nb"}"#, "Line-Within-1"),
            ("> Authorization: Bearer OpaqueBearer1234567890", "OpaqueBearer1234567890"),
            (r#"-H "X-API-Key: Header-12345""#, "Header-12345"),
            ("grant_type=x&client_secret=FormSecret123&a=b", "FormSecret123"),
            ("user=a&password=Form&Pw12345", "Form&Pw12345"),
            ("the otp: 482911 is wrong", "482911"),
            ("--password=Flag-12345 --verbose", "Flag-12345"),
            ("{'password' => 'Ruby-12345'}", "Ruby-12345"),
        ] {
            assert_eq!(found(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_said_of_secrets_is_none() {
        for text in [
            "password: required",
            "password: must have 12 characters",
            "token: see https://a.test/tokens/v2",
            "password=",
            "password: null",
            "\"password\": null, \"token\": 12345678",
            "\"password\": \"\", 'a': 1",
            "DB_PASSWORD=${DB_PASSWORD_1}",
            "DB_PASSWORD=$DB_PASSWORD",
            "password: <your-password-1>",
            "password: ********",
            "token = get_token(1)",
            "password: process.env.PASSWORD",
            "token = os.environ[\"TOKEN_1\"]",
            "password: str = None",
            "fn a(password: SecretString, token: &str)",
            "next_token=abcdef123456",
            "max_tokens: 100000",
            "token: 123456",
            "Authorization: Bearer [masked]",
            "password: [masked]",
            "password: secret://123456789ABCDEFGHJKLMN",
            "password: env:PASSWORD_1",
            "secret: base64",
            "at 10:30:00 the key: value1",
            "Bearer token=\"string\"",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }
}
