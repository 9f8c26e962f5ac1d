//! Replacing known secret values wherever text comes back from outside. Must not know where the secrets come from.

use std::{borrow::Cow, sync::Arc};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{members::renamed, prose::invisible::visible};

/// What stands in a text where a secret was.
pub const MASKED: &str = "[masked]";
/// Shorter secrets occur inside words by chance, so they are replaced only where they stand alone.
const MIN_INSIDE_WORDS: usize = 4;

/// In bytes that are no text, shorter ones occur by chance.
const MIN_INSIDE_BYTES: usize = 8;

/// As requests are encoded: all but the unreserved characters of RFC 3986, section 2.3.
const UNRESERVED_KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Secret values to look for, in the forms they commonly come back in. Clones share them.
#[derive(Clone)]
pub struct Mask {
    /// Longest first, so that a secret that contains another one is replaced whole.
    needles: Arc<[Zeroizing<String>]>,
    /// Whether one of them may be written as a number.
    has_number: bool,
}

impl Mask {
    /// A mask over these secrets. Empty ones are ignored.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut needles: Vec<Zeroizing<String>> = Vec::new();
        for secret in secrets {
            needles.extend(forms(secret.expose_secret()));
        }
        needles.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        needles.dedup();
        let is_number = |needle: &Zeroizing<String>| needle.bytes().all(|byte| b"0123456789+-.eE".contains(&byte));
        Self { has_number: needles.iter().any(is_number), needles: needles.into() }
    }

    /// The bytes with every secret in them replaced: as a text where they are one, else wherever it stands, unless it is
    /// very short.
    pub fn bytes(&self, bytes: &Bytes) -> Bytes {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return if self.occurs_in(text) { Bytes::from(self.text(text)) } else { bytes.clone() };
        }
        let long = |needle: &&Zeroizing<String>| needle.len() >= MIN_INSIDE_BYTES;
        let shortest = self.needles.iter().filter(long).map(|needle| needle.len()).min();
        let Some(shortest) = shortest else { return bytes.clone() };
        let mut result = Vec::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            let mut text = Cow::Borrowed(chunk.valid());
            if text.len() >= shortest {
                for needle in self.needles.iter().filter(long).filter(|needle| chunk.valid().contains(needle.as_str()))
                {
                    text = text.replace(needle.as_str(), MASKED).into();
                }
            }
            result.extend_from_slice(text.as_bytes());
            result.extend_from_slice(chunk.invalid());
        }
        Bytes::from(result)
    }

    /// The text with every secret replaced; a very short one only where it is no part of a word.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for needle in &*self.needles {
            if needle.len() >= MIN_INSIDE_WORDS {
                if text.contains(needle.as_str()) {
                    text = text.replace(needle.as_str(), MASKED);
                }
            } else {
                text = replace_alone(&text, needle);
            }
        }
        text
    }

    /// Replaces secrets in every text of a JSON value, names of members included, and numbers that are one.
    pub fn value(&self, value: &mut Value) {
        if self.needles.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if self.occurs_in(text) {
                    *text = self.text(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| self.value(member));
                if members.keys().any(|name| self.occurs_in(name)) {
                    *members = renamed(std::mem::take(members), |name| self.occurs_in(name).then(|| self.text(name)));
                }
            }
            Value::Number(number) if self.has_number => {
                let number = number.to_string();
                if number.len() >= MIN_INSIDE_WORDS && self.needles.iter().any(|needle| **needle == number) {
                    *value = Value::from(MASKED);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn occurs_in(&self, text: &str) -> bool {
        self.needles.iter().any(|needle| text.contains(needle.as_str()))
    }
}

/// A secret in all the forms that it commonly comes back in, each once; none of an empty one. Of letters and digits alone there
/// are few: each is looked for in every text.
pub(crate) fn forms(plain: &str) -> Vec<Zeroizing<String>> {
    if plain.is_empty() {
        return Vec::new();
    }
    let mut forms = written(plain);
    // Answers are looked at without what nobody sees.
    if let Cow::Owned(seen) = visible(plain)
        && !seen.is_empty()
    {
        forms.extend(written(&Zeroizing::new(seen)));
    }
    forms.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    forms.dedup();
    forms
}

fn written(plain: &str) -> Vec<Zeroizing<String>> {
    let json = in_json(plain);
    let encoded = [NON_ALPHANUMERIC, UNRESERVED_KEPT].map(|set| utf8_percent_encode(plain, set).to_string());
    let lower = encoded.each_ref().map(|form| lower_case_escapes(form));
    let twice = encoded.each_ref().map(|form| form.replace('%', "%25"));
    let form = url::form_urlencoded::byte_serialize(plain.as_bytes()).collect::<String>();
    let texts = [plain.to_owned(), in_php(&json), in_dotnet(&json), in_json(&json), in_python(&json), form, json];
    let all = texts.into_iter().chain(in_html(plain)).chain(encoded).chain(lower).chain(twice);
    let mut forms: Vec<Zeroizing<String>> = all.map(Zeroizing::new).collect();
    if plain.len() >= MIN_INSIDE_BYTES {
        forms.extend(in_base64(plain));
        forms.extend([hexadecimal(plain, false), hexadecimal(plain, true)]);
    }
    forms
}

/// In base64, wherever it begins in what is encoded: alone, and without the characters in which what stands beside it takes
/// part. Without padding: that stays behind what is hidden.
fn in_base64(plain: &str) -> Vec<Zeroizing<String>> {
    let mut forms = Vec::new();
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.push(Zeroizing::new(engine.encode(plain)));
        for before in 0..3 {
            let mut bytes = Zeroizing::new(vec![0; before]);
            bytes.extend_from_slice(plain.as_bytes());
            let encoded = Zeroizing::new(engine.encode(bytes.as_slice()));
            // Six bits each.
            let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            forms.extend(encoded.get(first..end).map(|inside| Zeroizing::new(inside.to_owned())));
        }
    }
    forms
}

fn hexadecimal(plain: &str, is_upper: bool) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(plain.len() * 2));
    for digit in plain.bytes().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
        text.push(if is_upper { digit.to_ascii_uppercase() } else { digit });
    }
    text
}

/// As it stands between the quotes of JSON.
fn in_json(text: &str) -> String {
    let json = Zeroizing::new(Value::from(text).to_string());
    json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(text).to_owned()
}

/// JSON as PHP writes it.
fn in_php(json: &str) -> String {
    json.replace('/', "\\/")
}

/// JSON as Python writes it, without characters beyond ASCII.
fn in_python(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

/// JSON as .NET writes it, safe within a page.
fn in_dotnet(json: &str) -> String {
    let mut text = json.replace("\\\"", "\\u0022");
    for character in ['&', '\'', '+', '<', '>', '`'] {
        text = text.replace(character, &format!("\\u{:04X}", u32::from(character)));
    }
    text
}

/// As pages have it: by the names of characters and by their numbers, as one library or another writes quotes.
fn in_html(plain: &str) -> [String; 5] {
    let text = plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let quotes =
        [("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&#34;", "&#39;"), ("&quot;", "&#039;"), ("&quot;", "&apos;")];
    quotes.map(|(double, single)| text.replace('"', double).replace('\'', single))
}

/// `%2F` as `%2f`, which means the same.
fn lower_case_escapes(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut digits = 0;
    for character in text.chars() {
        result.push(if digits > 0 { character.to_ascii_lowercase() } else { character });
        digits = if character == '%' { 2 } else { usize::saturating_sub(digits, 1) };
    }
    result
}

/// Replaces a text where neither a letter nor a digit stands beside it.
fn replace_alone(text: &str, needle: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(needle) {
        let in_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
        let left = before.chars().next_back().or_else(|| result.chars().next_back());
        result.push_str(before);
        result.push_str(if in_word(left) || in_word(after.chars().next()) { needle } else { MASKED });
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_replaced_in_all_their_forms() {
        let secrets: [SecretString; 2] = ["pa\"ss word".into(), "pa\"ss".into()];
        let mask = Mask::new(&secrets);
        assert_eq!(mask.text("a pa\"ss word b"), "a [masked] b");
        assert_eq!(mask.text(r#"{"x":"pa\"ss word"}"#), r#"{"x":"[masked]"}"#);
        assert_eq!(mask.text("?k=pa%22ss%20word&"), "?k=[masked]&");
        assert_eq!(mask.text("?k=pa%22ss%20word&"), "?k=[masked]&");
        assert_eq!(mask.text("nothing"), "nothing");
        let key: SecretString = "sk-a/b+C.d".into();
        let of_key = Mask::new([&key]);
        for form in
            ["sk-a/b+C.d", "sk-a%2Fb%2BC.d", "sk-a%2fb%2bC.d", "sk%2Da%2Fb%2BC%2Ed", r"sk-a\/b+C.d", r"sk-a/b\u002BC.d"]
        {
            assert_eq!(of_key.text(form), "[masked]", "{form}");
        }
        assert_eq!(of_key.text("Basic c2stYS9iK0MuZA=="), "Basic [masked]==", "in base64");
        let phrase: SecretString = "a \"<b>\" & 'c'".into();
        let of_phrase = Mask::new([&phrase]);
        for form in ["a &quot;&lt;b&gt;&quot; &amp; &#39;c&#39;", "a+%22%3Cb%3E%22+%26+%27c%27"] {
            assert_eq!(of_phrase.text(form), "[masked]", "{form}");
        }
        let many: SecretString = "Pä\"ss'🔑-1234".into();
        let of_many = Mask::new([&many]);
        for form in [
            r#"P\u00e4\"ss'\ud83d\udd11-1234"#,
            r#"Pä\\\"ss'🔑-1234"#,
            "Pä&#34;ss&#39;🔑-1234",
            "Pä&quot;ss&#x27;🔑-1234",
            "P%25C3%25A4%2522ss%2527%25F0%259F%2594%2591%252D1234",
        ] {
            assert_eq!(of_many.text(form), "[masked]", "{form}");
        }
        let mut value = json!({"pa\"ss": ["x pa\"ss", 1]});
        mask.value(&mut value);
        assert_eq!(value, json!({"[masked]": ["x [masked]", 1]}));
        let mut value = json!({"pa\"ss": 1, "pa\"ss word": 2});
        mask.value(&mut value);
        assert_eq!(value, json!({"[masked]": 1, "[masked]_2": 2}));
    }

    #[test]
    fn a_secret_is_replaced_wherever_it_begins_in_base64_and_in_hexadecimal() {
        let secret = "Offset>Me?Please1";
        let mask = Mask::new([&SecretString::from(secret)]);
        for before in ["", "u:", "u", "{\"password\":\""] {
            for after in ["", "\"", "\"}", "\", \"a\": 1}"] {
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let masked = mask.text(&engine.encode(format!("{before}{secret}{after}")));
                    let (left, right) =
                        masked.split_once(MASKED).unwrap_or_else(|| panic!("{before} {after}: {masked}"));
                    // No more than a character at each end has bits of it.
                    assert!(left.len() <= (before.len() * 8).div_ceil(6), "{masked}");
                    assert!(right.len() <= (after.len() * 8).div_ceil(6) + 1, "{masked}");
                }
            }
        }
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(mask.text(&format!("x{hex} {}", hex.to_uppercase())), "x[masked] [masked]");
        assert!(forms("Letters4AndDigits2").len() <= 8, "{:?}", forms("Letters4AndDigits2"));
        assert!(forms("short").len() == 1);
    }

    #[test]
    fn a_secret_of_digits_is_replaced_as_a_number_too() {
        let secrets: [SecretString; 2] = ["884477".into(), "77".into()];
        let mut value = json!({"pin": 884477, "count": 77, "near": 8844770, "minus": -884477});
        Mask::new(&secrets).value(&mut value);
        assert_eq!(value, json!({"pin": "[masked]", "count": 77, "near": 8844770, "minus": -884477}));
    }

    #[test]
    fn secrets_are_replaced_in_bytes() {
        let secrets: [SecretString; 2] = ["canary-secret".into(), "abc".into()];
        let mask = Mask::new(&secrets);
        for (bytes, expected) in [
            (&b"text canary-secret abc"[..], &b"text [masked] [masked]"[..]),
            (b"\xff\x00canary-secret\xfe abc", b"\xff\x00[masked]\xfe abc"),
            (b"\xff\xfe", b"\xff\xfe"),
        ] {
            assert_eq!(mask.bytes(&Bytes::from_static(bytes)), expected);
        }
    }

    #[test]
    fn a_very_short_secret_is_replaced_where_it_stands_alone() {
        let secret: SecretString = "ab".into();
        let mask = Mask::new([&secret]);
        assert_eq!(mask.text(r#"a cab, "ab" and ab"#), r#"a cab, "[masked]" and [masked]"#);
        assert_eq!(mask.text("abab"), "abab");
        assert_eq!(Mask::new([&SecretString::from("")]).text("x"), "x");
    }
}
