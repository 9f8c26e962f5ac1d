//! Secrets that were seen in the answers of one call, and finding them in what is made of those.

mod holder;

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Number, Value};

use self::holder::Holder;

use crate::{
    mask::{MASKED, forms},
    policy::{store::HandleId, vault::MIN_INSIDE},
    sensitive::{Marks, is_hidden, names_secret_value, secrets_in},
};

/// Shorter texts say that there is something rather than what.
const SHORTEST: usize = 3;
/// Shorter texts have no form of a secret.
const SHORTEST_FORM: usize = 12;
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
        collect(answer, Told { marks, is_within: false }, At::Root, &mut found);
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
            let without_marks = unmarked(text, &stand_in);
            let found = search.as_ref().filter(|(search, _)| search.is_match(text));
            let Some((search, whose)) = found else { return without_marks };
            let replaced = super::replaced(search, text, |pattern| {
                whose.get(pattern).map_or_else(|| MASKED.to_owned(), |index| stand_in(*index))
            });
            Some(unmarked(&replaced, &stand_in).unwrap_or(replaced))
        });
    }
}

/// Takes the secrets out of a value, as its marks, the names in it and the forms of its texts say; those that were seen
/// before count as well, wherever they stand.
pub(super) fn taken_out(value: &mut Value, marks: Option<&Marks>, mut before: Vec<(SecretString, String)>) -> Found {
    let mut found = Vec::new();
    let told = Told { marks, is_within: false };
    collect(value, told, At::Root, &mut found);
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
        take_out(value, (told, None), &indices);
    }
    Found { secrets }
}

/// Where a value stands, from the inside to the outside.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    /// A member, and by which name it is judged.
    Member(&'a At<'a>, &'a str, &'a str),
    Item(&'a At<'a>),
}

impl At<'_> {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Root => None,
            Self::Member(_, _, judged) => Some(judged),
            Self::Item(list) => list.name(),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(outer, name, _) => format!("{}/{name}", outer.place()),
            Self::Item(list) => format!("{}/*", list.place()),
        }
    }
}

/// What is known of a value by where it stands.
#[derive(Clone, Copy, Default)]
struct Told<'a> {
    marks: Option<&'a Marks>,
    /// It stands somewhere within what has the name of a secret.
    is_within: bool,
}

impl<'a> Told<'a> {
    fn of_text(&self, name: Option<&str>, text: &str) -> bool {
        self.is_within || is_marked(self.marks) || name.is_some_and(|name| names_text(name, text))
    }

    fn of_number(&self, name: Option<&str>, number: &Number) -> bool {
        is_marked(self.marks) || name.is_some_and(|name| holder::names_number(name, number))
    }

    fn of_item(&self) -> Self {
        Self { marks: inner(self.marks, Marks::item), ..*self }
    }

    fn of_member(&self, holder: &Holder, name: &str) -> Told<'a> {
        Told { marks: inner(self.marks, |marks| marks.member(name)), is_within: holder.gives(name) }
    }
}

fn collect(value: &Value, told: Told<'_>, at: At<'_>, found: &mut Vec<(SecretString, String)>) {
    match value {
        Value::String(text) => {
            if told.of_text(at.name(), text) {
                if tells_something(text) {
                    found.push((SecretString::from(text.as_str()), at.place()));
                }
            } else {
                for secret in pieces(text) {
                    found.push((SecretString::from(secret), at.place()));
                }
            }
        }
        Value::Number(number) => {
            if told.of_number(at.name(), number) {
                found.push((SecretString::from(number.to_string()), at.place()));
            }
        }
        Value::Array(items) => {
            let keys = keys_by_lines(items);
            found.extend(keys.iter().map(|(_, key)| (SecretString::from(key.as_str()), At::Item(&at).place())));
            for (index, item) in items.iter().enumerate() {
                if !keys.iter().any(|(lines, _)| lines.contains(&index)) {
                    collect(item, told.of_item(), At::Item(&at), found);
                }
            }
        }
        Value::Object(members) => {
            let holder = Holder::of(members, at.name(), told.is_within);
            for (name, member) in members {
                for secret in pieces(name).filter(|_| name.len() >= SHORTEST_FORM) {
                    found.push((SecretString::from(secret), at.place()));
                }
                let here = At::Member(&at, name, holder.judged(name));
                collect(member, told.of_member(&holder, name), here, found);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Puts a mark in the place of each whole text that is a secret by its place, and of what is too short to be looked for.
fn take_out(
    value: &mut Value,
    (told, name): (Told<'_>, Option<&str>),
    indices: &std::collections::HashMap<&str, usize>,
) {
    match value {
        Value::String(text) => {
            let by_place = told.of_text(name, text);
            if let Some(index) = indices.get(text.as_str())
                && (by_place || text.len() >= MIN_INSIDE)
            {
                *text = format!("{MARK}{index}{MARK}");
            } else if !by_place && let Some(marked) = with_short_marked(text, indices) {
                *text = marked;
            }
        }
        Value::Number(number) => {
            if told.of_number(name, number)
                && let Some(index) = indices.get(number.to_string().as_str())
            {
                *value = Value::String(format!("{MARK}{index}{MARK}"));
            }
        }
        Value::Array(items) => {
            for (lines, key) in keys_by_lines(items) {
                let Some(index) = indices.get(key.as_str()) else { continue };
                let mut lines = items.get_mut(lines).into_iter().flatten();
                // One stands for all of it.
                lines.next().into_iter().for_each(|line| *line = Value::String(format!("{MARK}{index}{MARK}")));
                lines.for_each(|line| *line = Value::from(MASKED));
            }
            items.iter_mut().for_each(|item| take_out(item, (told.of_item(), name), indices));
        }
        Value::Object(members) => {
            let holder = Holder::of(members, name, told.is_within);
            for (name, member) in members {
                take_out(member, (told.of_member(&holder, name), Some(holder.judged(name))), indices);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// A text with a mark in the place of each secret in it that is too short to be looked for elsewhere. None where none is.
fn with_short_marked(text: &str, indices: &std::collections::HashMap<&str, usize>) -> Option<String> {
    let mut marked = String::new();
    let mut end = 0;
    for range in secrets_in(text).filter(|range| range.len() < MIN_INSIDE) {
        let Some(index) = text.get(range.clone()).and_then(|secret| indices.get(secret)) else { continue };
        marked.push_str(text.get(end..range.start).unwrap_or_default());
        marked.push_str(&format!("{MARK}{index}{MARK}"));
        end = range.end;
    }
    marked.push_str(text.get(end..).unwrap_or_default());
    (end > 0).then_some(marked)
}

/// Private keys whose lines are texts of a list of their own: which, and all of each.
fn keys_by_lines(items: &[Value]) -> Vec<(Range<usize>, String)> {
    const BEGIN: &str = "-----BEGIN ";
    let mut keys: Vec<(Range<usize>, String)> = Vec::new();
    let mut is_open = false;
    for (index, item) in items.iter().enumerate() {
        let Value::String(line) = item else {
            is_open = false;
            continue;
        };
        if is_open && let Some((lines, key)) = keys.last_mut() {
            key.push('\n');
            key.push_str(line);
            lines.end = index + 1;
            is_open = !line.contains("-----END ");
        } else if line.len() > BEGIN.len() // most are too short to be searched
            && let Some((_, begun)) = line.split_once(BEGIN)
            && begun.contains("PRIVATE KEY")
            && !begun.contains("-----END ")
        {
            keys.push((index..index + 1, line.clone()));
            is_open = true;
        }
    }
    // A whole key in one text is a text like any other.
    keys.retain(|(lines, _)| lines.len() > 1);
    keys
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
    let mut found = secrets_in(text).peekable();
    // In most texts nothing is found, and nothing else asked.
    let is_address = found.peek().is_some()
        && text.contains("://")
        && !text.contains(char::is_whitespace)
        && !HandleId::is_meant(text);
    let whole = is_address.then_some(text);
    let parts = found.filter_map(move |range| text.get(range).filter(|_| whole.is_none()));
    whole.into_iter().chain(parts)
}

/// Whether a text that stands where a secret belongs is one: not a handle, nor one that its service has hidden already.
fn tells_something(text: &str) -> bool {
    let hiding = |one: char| matches!(one, '*' | '•' | '●' | '…' | '.' | 'x' | 'X' | '#' | '-' | '_');
    if HandleId::is_meant(text) && text.parse::<HandleId>().is_ok() {
        return false;
    }
    if text.contains(MASKED) {
        // What stands beside it may be a secret of its own, or `Bearer`.
        return text.split(MASKED).any(|beside| beside.len() >= MIN_INSIDE);
    }
    text.chars().count() >= SHORTEST && !text.chars().all(hiding) && !is_hidden(text)
}

/// Whether a text under this name is a secret.
fn names_text(name: &str, text: &str) -> bool {
    names_secret_value(name) || holder::is_list_of_tokens(name) && holder::is_opaque(text)
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

/// A text with what is to stand there in the place of each mark. None where there is no mark.
fn unmarked(text: &str, stand_in: impl Fn(usize) -> String) -> Option<String> {
    if !text.contains(MARK) {
        return None;
    }
    let parts = text.split(MARK).enumerate();
    // Between two marks is a number.
    Some(parts.fold(String::with_capacity(text.len()), |mut all, (index, part)| {
        match part.parse() {
            Ok(secret) if index % 2 == 1 => all.push_str(&stand_in(secret)),
            _ => all.push_str(part),
        }
        all
    }))
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

    #[test]
    fn numbers_and_what_stands_within_an_object_have_its_name() {
        let value = json!({
            "password": 918_273_645_546_u64, "otp": 482_913, "recovery_codes": [83_920_111], "phone": 918_273_645_546_u64,
            "max_token": 123_456, "token": 4711, "usage": {"tokens": 1234}, "pin": 13, "count": 482_913,
            "a": {"name": "pin", "value": 998_877}, "b": {"password": {"plain": "hunter-1", "algorithm": "none at all"}},
            "c": {"token": {"access": "hunter-2", "expires_at": "tomorrow"}}, "d": {"passwords": [{"v": "hunter-3"}]},
            "e": {"secret": {"data": {"db": "hunter-4"}, "labels": {"team": "red team"}}},
            "private_key": {"kty": "RSA", "d": "hunter-5", "kid": "key number 1"},
            "jwk": {"kty": "EC", "x": "public-point", "d": "hunter-6"},
        });
        assert_eq!(
            hidden(value, &json!({}), &[]),
            json!({
                "password": "</password>", "otp": "</otp>", "recovery_codes": ["</recovery_codes/*>"],
                "phone": 918_273_645_546_u64,
                "max_token": 123_456, "token": 4711, "usage": {"tokens": 1234}, "pin": 13, "count": 482_913,
                "a": {"name": "pin", "value": "</a/value>"},
                "b": {"password": {"plain": "</b/password/plain>", "algorithm": "none at all"}},
                "c": {"token": {"access": "</c/token/access>", "expires_at": "tomorrow"}},
                "d": {"passwords": [{"v": "</d/passwords/*/v>"}]},
                "e": {"secret": {"data": {"db": "</e/secret/data/db>"}, "labels": {"team": "red team"}}},
                "private_key": {"kty": "RSA", "d": "</private_key/d>", "kid": "key number 1"},
                "jwk": {"kty": "EC", "x": "public-point", "d": "</jwk/d>"},
            })
        );
    }

    #[test]
    fn what_describes_a_secret_stays_readable() {
        let value = json!({
            "secret": {"id": "sec_1", "name": "DB", "create_time_ms": 1, "owner": "someone", "scopes": ["read things"]},
            "token": {"id": "tok_1", "account": "the account", "prefix": "tok", "note": "for tests", "value": "hunter-1"},
            "api_keys": [{"id": "key_1", "name": "CI", "used_by": "somebody", "revoked": false}],
            "secrets": [{"name": "DB_PASSWORD", "create_time_ms": 1}], "names": {"secrets": ["DB_PASSWORD", "API_TOKEN"]},
            "schema": {"properties": {"password": {"type": "string", "description": "of the user", "$ref": "#/a"}}},
            "volume": {"secret": {"secretName": "tls-for-web", "defaultMode": 420}}, "pin": {"title": "a pinned text"},
            "authorization": {"mode": "by roles", "webhook": "none of it"}, "tokens": ["Hello", " world"],
        });
        let mut expected = value.clone();
        expected["token"]["value"] = json!("</token/value>");
        assert_eq!(hidden(value, &json!({}), &[]), expected);
    }

    #[test]
    fn names_are_known_however_they_are_written() {
        let value = json!({
            "Parameter": {"Name": "/prod/db/password", "Type": "SecureString", "Value": "hunter-1"},
            "Tags": [{"Key": "DB_PASSWORD", "Value": "hunter-2"}, {"Key": "STAGE", "Value": "test"}],
            "other": {"Name": "/prod/db/url", "Type": "SecureString", "Value": "hunter-3"},
            "env": ["STAGE=test", "DB_PASSWORD=hunt-4"], "log": "user: a\npassword: hunt-5\n",
            "tokens": ["OpaqueToken-1111"], "password": "ab***realPw9",
        });
        assert_eq!(
            hidden(value, &json!({}), &[]),
            json!({
                "Parameter": {"Name": "/prod/db/password", "Type": "SecureString", "Value": "</Parameter/Value>"},
                "Tags": [{"Key": "DB_PASSWORD", "Value": "</Tags/*/Value>"}, {"Key": "STAGE", "Value": "test"}],
                "other": {"Name": "/prod/db/url", "Type": "SecureString", "Value": "</other/Value>"},
                "env": ["STAGE=test", "DB_PASSWORD=</env/*>"], "log": "user: a\npassword: </log>\n",
                "tokens": ["</tokens/*>"], "password": "</password>",
            })
        );
    }

    #[test]
    fn a_key_whose_lines_are_texts_of_a_list_is_one_secret() {
        let lines = ["a", "-----BEGIN RSA PRIVATE KEY-----", "MIIEpA", "short", "-----END RSA PRIVATE KEY-----", "b"];
        let expected = ["a", "</lines/*>", "[masked]", "[masked]", "[masked]", "b"];
        assert_eq!(hidden(json!({ "lines": lines }), &json!({}), &[]), json!({ "lines": expected }));
    }
}
