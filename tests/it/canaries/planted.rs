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
/// The same with a character that nobody sees, for values that are not taken from answers: those are taken as they are seen.
const UNSEEN_TAIL: &str = "\"/+&<é\u{200b} = ~'";
/// The value that has it.
pub(super) const UNSEEN: &str = "by file";

/// All forms but the plain one, and those that only texts are looked through for.
pub(super) const FORMS: [&str; 18] = [
    "json",
    "jsontwice",
    "php",
    "dotnet",
    "python",
    "url",
    "lower",
    "twice",
    "form",
    "base64",
    "within",
    "hex",
    "upper",
    "html",
    "numbers",
    "mixed",
    "padded",
    "named",
];

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
        self.word(what) + if what == UNSEEN { UNSEEN_TAIL } else { TAIL }
    }

    /// The same, shorter than what is looked for in all that a service says. No digest has such letters.
    pub(super) fn short(&self, what: &str) -> String {
        let new = || {
            let mut left = getrandom::u64().unwrap();
            let mut letter = || {
                let at = usize::try_from(left % 20).unwrap();
                left /= 20;
                char::from(b"ghijklmnopqrstuvwxyz"[at])
            };
            format!(
                "{}7{}",
                String::from_iter([letter(), letter(), letter()]),
                String::from_iter([letter(), letter(), letter()])
            )
        };
        self.all().entry(what.to_owned()).or_insert_with(new).clone()
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
                (what, "short") => return self.short(what),
                (what, "digits") => return self.digits(what, 16).to_string(),
                (what, _) => self.value(what),
            };
            written(&value, form)
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

    /// A text that repeats something in every form.
    pub(super) fn in_every_form(what: &str) -> String {
        let forms: Vec<String> = FORMS.iter().map(|form| format!("{{{{{what}:{form}}}}}")).collect();
        format!("{{{{{what}}}}} {}", forms.join(" "))
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

/// How a word is found: as it is, with what nobody sees in it, in base64 wherever it begins there, in hexadecimal.
fn forms(word: &str) -> Vec<String> {
    let hex = hexadecimal(word);
    let mut forms = vec![word.to_owned(), split(word), hex.to_uppercase(), hex];
    for shift in 0..3 {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{word}", " ".repeat(shift)));
        // What is beside it takes part in the first and the last characters.
        let inside = encoded.get([0, 2, 3][shift]..encoded.len() - 1).unwrap().to_owned();
        forms.push(inside);
    }
    forms
}

/// With a character in it that nobody sees.
fn split(text: &str) -> String {
    let (start, end) = text.split_at(text.len().min(6));
    format!("{start}\u{200b}{end}")
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// A text as one program or another writes it.
fn written(text: &str, form: &str) -> String {
    let json = |text: &str| Value::from(text).to_string().trim_matches('"').to_owned();
    let percent = || utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    match form {
        "" => text.to_owned(),
        "json" => json(text),
        "jsontwice" => json(&json(text)),
        "php" => json(text).replace('/', "\\/"),
        "dotnet" => [('"', "\\u0022"), ('&', "\\u0026"), ('\'', "\\u0027"), ('+', "\\u002B"), ('<', "\\u003C")]
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(*from, to)),
        "python" => json(text).replace('é', "\\u00e9").replace('\u{200b}', "\\u200b"),
        "url" => percent(),
        "lower" => percent()
            .replace("%2B", "%2b")
            .replace("%2F", "%2f")
            .replace("%3C", "%3c")
            .replace("%3D", "%3d")
            .replace("%7E", "%7e")
            .replace("%C3%A9", "%c3%a9")
            .replace("%E2%80%8B", "%e2%80%8b"),
        "twice" => percent().replace('%', "%25"),
        "form" => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        "base64" => STANDARD_NO_PAD.encode(text),
        "within" => STANDARD_NO_PAD.encode(format!("{{\"password\":\"{text}\"}}")),
        "split" => split(text),
        "hex" => hexadecimal(text),
        "upper" => hexadecimal(text).to_uppercase(),
        page => {
            let quotes = match page {
                "html" => ("&quot;", "&#x27;"),
                "numbers" => ("&#34;", "&#39;"),
                "mixed" => ("&quot;", "&#39;"),
                "padded" => ("&quot;", "&#039;"),
                "named" => ("&quot;", "&apos;"),
                other => panic!("no form `{other}`"),
            };
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('"', quotes.0).replace('\'', quotes.1)
        }
    }
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
    let mut texts: Vec<String> = FORMS.into_iter().map(form).collect();
    texts.push(value.clone());
    texts.extend(["a", "ab", "abc"].map(|before| STANDARD_NO_PAD.encode(format!("{before}{value}{before}"))));
    for text in &texts {
        assert!(!planted.found_in([("a text".to_owned(), text.as_bytes())]).is_empty(), "{text}");
    }
    assert!(planted.found_in([("a text".to_owned(), &b"cnry0 and others"[..])]).is_empty());
}
