//! Secrets that were seen in the answers of one call, and finding them in what is made of those.

use std::sync::{Mutex, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::{
    mask::{MASKED, forms},
    policy::{store::HandleId, vault::MIN_INSIDE},
    sensitive::{Marks, names_secret_value, secrets_in},
};

/// Shorter texts say that there is something rather than what.
const SHORTEST: usize = 3;
/// Shorter texts have no form of a secret.
const SHORTEST_FORM: usize = 12;
/// How many characters a service shows of a secret that it has hidden itself.
const MOST_SHOWN: usize = 16;
/// The member that holds what others of its object say more of.
const VALUE: &str = "value";
/// Stands around the index of a secret while handles are made. It is for private use (Unicode, section 23.5): an answer that
/// holds it has a handle where it meant something else, and nothing is shown by that.
const MARK: char = '\u{e000}';

/// What was seen so far in the answers of one call.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Vec<(SecretString, String)>>);

impl Seen {
    /// Notes the secrets of an answer that stays as it is for now; `marks` are those of its schema.
    pub(crate) fn note(&self, answer: &Value, marks: Option<&Marks>) {
        let mut found = Vec::new();
        collect(answer, marks, At::Root, &mut found);
        if !found.is_empty() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut found);
        }
    }

    /// All that was noted, which is forgotten here.
    pub(super) fn take(&self) -> Vec<(SecretString, String)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that was noted.
    pub(super) fn all(&self) -> Vec<(SecretString, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes secrets that were taken out, and where.
    pub(super) fn add(&self, secrets: Vec<(SecretString, String)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(secrets);
    }

    /// Finds what was noted, as far as it is long enough; none where nothing was.
    pub(super) fn search(&self) -> Option<AhoCorasick> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_empty() {
            return None;
        }
        search(&seen).map(|(search, _)| search)
    }
}

/// Secrets that were taken out of a value.
pub(super) struct Found {
    /// Each with its place.
    pub(super) secrets: Vec<(SecretString, String)>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Puts something in the place of each, wherever it stands.
    pub(super) fn put_back(&self, value: &mut Value, stand_in: impl Fn(usize) -> String) {
        let search = search(&self.secrets);
        super::each_text(value, &mut |text| {
            if let Some(index) = marked(text) {
                return Some(stand_in(index));
            }
            let (search, whose) = search.as_ref().filter(|(search, _)| search.is_match(text))?;
            Some(super::replaced(search, text, |pattern| {
                whose.get(pattern).map_or_else(|| MASKED.to_owned(), |index| stand_in(*index))
            }))
        });
    }
}

/// Takes the secrets out of a value, as its marks, the names in it and the forms of its texts say; those that were seen
/// before count as well, wherever they stand.
pub(super) fn taken_out(value: &mut Value, marks: Option<&Marks>, mut before: Vec<(SecretString, String)>) -> Found {
    let mut found = Vec::new();
    collect(value, marks, At::Root, &mut found);
    // What stands in the result has the place of that.
    found.append(&mut before);
    let mut secrets: Vec<(SecretString, String)> = Vec::with_capacity(found.len());
    let mut known = std::collections::HashSet::new();
    for (secret, place) in &found {
        if known.insert(secret.expose_secret()) {
            secrets.push((secret.clone(), place.clone()));
        }
    }
    if !secrets.is_empty() {
        let indices = secrets.iter().enumerate().map(|(index, (secret, _))| (secret.expose_secret(), index)).collect();
        take_out(value, (marks, None), &indices);
    }
    Found { secrets }
}

/// Where a value stands, from the inside to the outside.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    Member(&'a At<'a>, &'a str),
    /// The member `value`, and what it is the value of.
    Value(&'a At<'a>, &'a str),
    Item(&'a At<'a>),
}

impl At<'_> {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Root => None,
            Self::Member(_, name) | Self::Value(_, name) => Some(name),
            Self::Item(list) => list.name(),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(outer, name) => format!("{}/{name}", outer.place()),
            Self::Value(outer, _) => format!("{}/{VALUE}", outer.place()),
            Self::Item(list) => format!("{}/*", list.place()),
        }
    }
}

fn collect(value: &Value, marks: Option<&Marks>, at: At<'_>, found: &mut Vec<(SecretString, String)>) {
    match value {
        Value::String(text) => {
            if is_marked(marks) || at.name().is_some_and(names_secret_value) {
                if tells_something(text) {
                    found.push((SecretString::from(text.as_str()), at.place()));
                }
            } else {
                for secret in pieces(text) {
                    found.push((SecretString::from(secret), at.place()));
                }
            }
        }
        Value::Number(number) if is_marked(marks) => {
            found.push((SecretString::from(number.to_string()), at.place()));
        }
        Value::Array(items) => {
            let inside = inner(marks, Marks::item);
            items.iter().for_each(|item| collect(item, inside, At::Item(&at), found));
        }
        Value::Object(members) => {
            let valued = valued(members, at.name());
            for (name, member) in members {
                for secret in pieces(name).filter(|_| name.len() >= SHORTEST_FORM) {
                    found.push((SecretString::from(secret), at.place()));
                }
                let here = match valued {
                    Some(valued) if name == VALUE => At::Value(&at, valued),
                    _ => At::Member(&at, name),
                };
                collect(member, inner(marks, |marks| marks.member(name)), here, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Puts a mark in the place of each whole text that is a secret by its place.
fn take_out(
    value: &mut Value,
    (marks, name): (Option<&Marks>, Option<&str>),
    indices: &std::collections::HashMap<&str, usize>,
) {
    match value {
        Value::String(text) => {
            let by_place = is_marked(marks) || name.is_some_and(names_secret_value);
            if let Some(index) = indices.get(text.as_str())
                && (by_place || text.len() >= MIN_INSIDE)
            {
                *text = format!("{MARK}{index}{MARK}");
            }
        }
        Value::Number(number) if is_marked(marks) => {
            if let Some(index) = indices.get(number.to_string().as_str()) {
                *value = Value::String(format!("{MARK}{index}{MARK}"));
            }
        }
        Value::Array(items) => {
            let inside = inner(marks, Marks::item);
            items.iter_mut().for_each(|item| take_out(item, (inside, name), indices));
        }
        Value::Object(members) => {
            let valued = valued(members, name).map(str::to_owned);
            for (name, member) in members {
                let judged = valued.as_deref().filter(|_| name == VALUE).unwrap_or(name);
                take_out(member, (inner(marks, |marks| marks.member(name)), Some(judged)), indices);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What the member `value` of an object is the value of, where that is a secret: `{"name": "DB_PASSWORD", "value": …}`, or
/// the object itself, as in `{"token": {"value": …}}`.
fn valued<'a>(members: &'a Map<String, Value>, of: Option<&'a str>) -> Option<&'a str> {
    if !members.contains_key(VALUE) {
        return None;
    }
    let named = ["name", "key"].into_iter().filter_map(|name| members.get(name)?.as_str());
    named.chain(of).find(|name| names_secret_value(name))
}

/// The marks of something inside; those of the whole where all of it is marked.
fn inner<'a>(marks: Option<&'a Marks>, of: impl FnOnce(&'a Marks) -> Option<&'a Marks>) -> Option<&'a Marks> {
    marks.and_then(|marks| if marks.is_secret() { Some(marks) } else { of(marks) })
}

fn is_marked(marks: Option<&Marks>) -> bool {
    marks.is_some_and(Marks::is_secret)
}

/// The secrets within a text that are known by their form. An address that lets in whoever has it is one as a whole.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let is_address = text.contains("://") && !text.contains(char::is_whitespace) && !HandleId::is_meant(text);
    let mut found = secrets_in(text).peekable();
    let whole = (is_address && found.peek().is_some()).then_some(text);
    let parts = found.filter_map(move |range| text.get(range).filter(|_| whole.is_none()));
    whole.into_iter().chain(parts)
}

/// Whether a text that stands where a secret belongs is one: not a handle, nor one that its service has hidden already.
fn tells_something(text: &str) -> bool {
    let hidden = |one: char| matches!(one, '*' | '•' | '●' | '…' | '.' | 'x' | 'X' | '#' | '-' | '_');
    if HandleId::is_meant(text) && text.parse::<HandleId>().is_ok() {
        return false;
    }
    if text.contains(MASKED) {
        // What stands beside it may be a secret of its own, or `Bearer`.
        return text.split(MASKED).any(|beside| beside.len() >= MIN_INSIDE);
    }
    let shown = text.chars().filter(|one| !hidden(*one)).count();
    let is_hidden = ["***", "•••", "●●●", "..."].iter().any(|mark| text.contains(mark)) && shown <= MOST_SHOWN;
    text.chars().count() >= SHORTEST && shown > 0 && !is_hidden
}

/// Finds secrets that are long enough in all their forms, and says by the number of the pattern which one it is.
fn search(secrets: &[(SecretString, String)]) -> Option<(AhoCorasick, Vec<usize>)> {
    let long = secrets.iter().enumerate().filter(|(_, (secret, _))| secret.expose_secret().len() >= MIN_INSIDE);
    let in_forms =
        long.flat_map(|(index, (secret, _))| forms(secret.expose_secret()).into_iter().map(move |form| (index, form)));
    let (whose, patterns): (Vec<usize>, Vec<_>) = in_forms.unzip();
    let patterns = patterns.iter().map(|form| form.as_bytes());
    let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).ok()?;
    Some((search, whose))
}

fn marked(text: &str) -> Option<usize> {
    text.strip_prefix(MARK)?.strip_suffix(MARK)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hidden(mut value: Value, schema: &Value, before: &[&str]) -> Value {
        let before = before.iter().map(|secret| (SecretString::from(*secret), "/before".to_owned())).collect();
        let marks = Marks::of(schema);
        let found = taken_out(&mut value, marks.as_ref(), before);
        found.put_back(&mut value, |index| format!("<{}>", found.secrets[index].1));
        value
    }

    #[test]
    fn secrets_are_found_by_mark_name_form_and_by_having_been_seen() {
        let schema = json!({"properties": {"marked": {"writeOnly": true}, "pin_number": {"format": "password"}}});
        let key = format!("ak_{}", "a1".repeat(20));
        let value = json!({
            "id": "key_1", "marked": {"a": "canary-1", "b": ["canary-2", 1]}, "pin_number": 1234, "api_key": "canary-3",
            "items": [{"password": "pw1", "page": "pw1"}], "log": format!("made {key}, then canary-seen."),
            "again": "canary-3", "url": "https://b.test/o?X-Amz-Signature=0123456789", "next_token": "page-2",
            "masked_key": "ak_…", "token": "********", "secret": "", "empty": null,
            "env": [{"name": "DB_PASSWORD", "value": "canary-4"}, {"name": "STAGE", "value": "test"}],
            "auth_token": {"value": "canary-5", "id": "t1"}, "passwords": ["Bearer [masked]", "[masked]canary-6", "sk-...wxyz"],
            "client_secret": "canary...with points in it", "canary-3": 1,
        });
        assert_eq!(
            hidden(value, &schema, &["canary-seen"]),
            json!({
                "id": "key_1", "marked": {"a": "</marked/a>", "b": ["</marked/b/*>", "</marked/b/*>"]},
                "pin_number": "</pin_number>", "api_key": "</api_key>",
                "items": [{"password": "</items/*/password>", "page": "pw1"}], "log": "made </log>, then </before>.",
                "again": "</api_key>", "url": "</url>", "next_token": "page-2",
                "masked_key": "ak_…", "token": "********", "secret": "", "empty": null,
                "env": [{"name": "DB_PASSWORD", "value": "</env/*/value>"}, {"name": "STAGE", "value": "test"}],
                "auth_token": {"value": "</auth_token/value>", "id": "t1"},
                "passwords": ["Bearer [masked]", "</passwords/*>", "sk-...wxyz"],
                "client_secret": "</client_secret>", "</api_key>": 1,
            })
        );
    }
}
