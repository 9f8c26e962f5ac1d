//! What was planted, and finding it again in whatever form it comes.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard},
};

use aho_corasick::AhoCorasick;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::{Captures, Regex};
use serde_json::Value;

/// What every planted value begins with.
const MARK: &str = "cnry";
/// What stands behind the part that is looked for: JSON, addresses, pages and forms each write it otherwise.
const TAIL: &str = "\"/+&<é = ~'";

/// Values of their own for all places, by what they are.
#[derive(Default)]
pub(super) struct Planted(Mutex<BTreeMap<String, String>>);

/// What a request brought, as far as an answer repeats it.
#[derive(Clone, Debug, Default)]
pub(super) struct Brought {
    pub(super) body: String,
    pub(super) credential: String,
    /// The secret values in it.
    pub(super) secrets: Vec<String>,
}

impl Planted {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap()
    }

    /// The part that is looked for: letters and digits, which no encoding of texts changes.
    pub(super) fn word(&self, what: &str) -> String {
        let new = || format!("{MARK}{:016x}", getrandom::u64().unwrap());
        self.all().entry(what.to_owned()).or_insert_with(new).clone()
    }

    /// The same with characters behind it that are written in many ways.
    pub(super) fn value(&self, what: &str) -> String {
        self.word(what) + TAIL
    }

    /// A number of this many digits.
    pub(super) fn digits(&self, what: &str, count: usize) -> u64 {
        let new = || {
            let text = format!("{:020}", getrandom::u64().unwrap());
            format!("7{}", text.get(text.len() - count + 1..).unwrap())
        };
        self.all().entry(what.to_owned()).or_insert_with(new).parse().unwrap()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    /// The planted values in a text that is a request's.
    pub(super) fn brought(&self, head: &str, body: &str) -> Brought {
        let credential = head.lines().find_map(|line| line.strip_prefix("authorization: "));
        let credential = credential.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
        let mut secrets = Vec::new();
        if let Ok(body) = serde_json::from_str::<Value>(body) {
            texts(&body, &mut |text| {
                if text.starts_with(MARK) && !secrets.iter().any(|known| known == text) {
                    secrets.push(text.to_owned());
                }
            });
        }
        Brought { body: body.to_owned(), credential, secrets }
    }

    /// A text with values in the place of `{{what}}`, `{{what:form}}`.
    pub(super) fn filled(&self, text: &str, brought: &Brought) -> String {
        static PLACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{\{([^{}:]+)(?::([a-z0-9]+))?\}\}").unwrap());
        let fill = |found: &Captures<'_>| {
            let form = found.get(2).map_or("", |form| form.as_str());
            let value = match (&found[1], form) {
                ("body", _) => brought.body.clone(),
                ("credential", _) => brought.credential.clone(),
                ("sent", _) => brought.secrets.concat(),
                (what, "word") => return self.word(what),
                (what, "digits") => return self.digits(what, 16).to_string(),
                (what, _) => self.value(what),
            };
            match form {
                "json" => Value::from(value).to_string().trim_matches('"').to_owned(),
                "url" => utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string(),
                "form" => url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
                "base64" => STANDARD_NO_PAD.encode(value),
                "within" => STANDARD_NO_PAD.encode(format!("{{\"password\":\"{value}\"}}")),
                "hex" => hexadecimal(&value),
                "html" => in_html(&value),
                "" => value,
                other => panic!("no form `{other}`"),
            }
        };
        PLACE.replace_all(text, fill).into_owned()
    }

    /// The same for all texts of a value, names of members among them. `"{{what:digits}}"` becomes a number.
    pub(super) fn filled_value(&self, value: &Value, brought: &Brought) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix("{{").and_then(|text| text.strip_suffix(":digits}}")) {
                Some(what) => Value::from(self.digits(what, 12)),
                None => Value::from(self.filled(text, brought)),
            },
            Value::Array(items) => items.iter().map(|item| self.filled_value(item, brought)).collect(),
            Value::Object(members) => {
                let filled =
                    |(name, value): (&String, &Value)| (self.filled(name, brought), self.filled_value(value, brought));
                Value::Object(members.iter().map(filled).collect())
            }
            other => other.clone(),
        }
    }

    /// What is found in these places: what it is, and what stands around it where it is first.
    pub(super) fn found_in<'a>(&self, places: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<String> {
        let all = self.all();
        let forms: Vec<(&String, String)> =
            all.iter().flat_map(|(what, word)| forms(word).into_iter().map(move |form| (what, form))).collect();
        let builder = AhoCorasick::builder().ascii_case_insensitive(false).build(forms.iter().map(|(_, form)| form));
        let search = builder.unwrap();
        let mut found = BTreeMap::new();
        for (place, bytes) in places {
            for hit in search.find_iter(bytes) {
                let around = bytes[hit.start().saturating_sub(200)..bytes.len().min(hit.end() + 20)].escape_ascii();
                let what = forms[hit.pattern().as_usize()].0;
                found.entry((what, place.clone())).or_insert_with(|| format!("`{what}` in {place}: {around}"));
            }
        }
        found.into_values().collect()
    }
}

/// How a word is found: as it is, in base64 wherever it begins there, in hexadecimal.
fn forms(word: &str) -> Vec<String> {
    let hex = hexadecimal(word);
    let mut forms = vec![word.to_owned(), hex.to_uppercase(), hex];
    for shift in 0..3 {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{word}", " ".repeat(shift)));
        // What is beside it takes part in the first and the last characters.
        let inside = encoded.get([0, 2, 3][shift]..encoded.len() - 1).unwrap().to_owned();
        forms.push(inside);
    }
    forms
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// As a page of another library than most has it.
fn in_html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#x27;")
}

fn texts(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, take)),
        Value::Object(members) => members.values().for_each(|member| texts(member, take)),
        _ => {}
    }
}

/// All files of a folder and those below it.
pub(super) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn what_is_planted_is_found_in_every_form() {
    let planted = Planted::default();
    let value = planted.value("it");
    let form = |form: &str| planted.filled(&format!("{{{{it:{form}}}}}"), &Brought::default());
    let mut texts = vec![value.clone(), form("json"), form("url"), form("form"), form("base64")];
    texts.extend([form("within"), form("hex"), form("html")]);
    texts.extend(["a", "ab", "abc"].map(|before| STANDARD_NO_PAD.encode(format!("{before}{value}{before}"))));
    for text in &texts {
        assert!(!planted.found_in([("a text".to_owned(), text.as_bytes())]).is_empty(), "{text}");
    }
    assert!(planted.found_in([("a text".to_owned(), &b"cnry0 and others"[..])]).is_empty());
}
