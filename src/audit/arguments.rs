//! What the log tells of the arguments of a call: of each its name and a digest of its value, in clear only what is known to
//! be harmless. Nothing else of a value ever gets here.

use std::{collections::BTreeSet, io::Write as _};

use serde_json::Value;

use super::{
    chain::{Code, Keys},
    entry::{Members, json, quoted},
};

/// How many arguments of one call are told of.
const MAX_ARGUMENTS: usize = 48;
/// How many values of one argument are told in clear.
const MAX_CLEAR: usize = 24;
/// The longest text that is told in clear, in bytes.
const MAX_CLEAR_BYTES: usize = 200;

/// A name that a spec gives, or a digest of what somebody else wrote in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A name that a spec gives.
    Known(String),
    /// A digest of another.
    Unknown(Code),
}

/// What is told of an argument.
#[derive(Clone, Debug)]
pub struct Argument {
    /// Its name.
    pub name: Name,
    /// A digest of its value, that nobody can work out who does not have the key of the log. None of a value that is told as a
    /// whole: beside it, the digest would tell others where the same value stands.
    pub digest: Option<Code>,
    /// What is harmless of the value, by the path within it; the empty path is the value as a whole.
    pub clear: Vec<(String, Value)>,
}

/// What is told of the arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    list: Vec<Argument>,
    /// How many there are besides.
    more: usize,
}

impl Argument {
    /// What is told of an argument of this name and value, of which this is harmless.
    pub(super) fn new(keys: &Keys, name: Name, value: &Value, mut clear: Vec<(String, Value)>) -> Self {
        clear.retain(|(_, value)| !matches!(value, Value::String(text) if text.len() > MAX_CLEAR_BYTES));
        clear.truncate(MAX_CLEAR);
        let is_whole = matches!(clear.as_slice(), [(path, _)] if path.is_empty());
        Self { name, digest: (!is_whole).then(|| digest(keys, value)), clear }
    }
}

impl Arguments {
    /// Takes one in, unless there are too many.
    pub(super) fn push(&mut self, argument: impl FnOnce() -> Argument) {
        if self.list.len() < MAX_ARGUMENTS {
            self.list.push(argument());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn write(&self, members: &mut Members<'_>) {
        if self.list.is_empty() {
            return;
        }
        members.raw("arguments", |line| {
            line.push(b'{');
            for (place, Argument { name, digest, clear }) in self.list.iter().enumerate() {
                if place > 0 {
                    line.push(b',');
                }
                match name {
                    Name::Known(name) => quoted(line, name),
                    // No name that a spec can give begins like this.
                    Name::Unknown(digest) => quoted(line, &format!("#{digest}")),
                }
                line.extend_from_slice(b":{");
                if let Some(digest) = digest {
                    write!(line, "\"digest\":\"{digest}\"").ok(); // writing to memory cannot fail
                }
                let mut inner = Vec::new();
                for (path, value) in clear {
                    match path.as_str() {
                        "" => {
                            line.extend_from_slice(b"\"value\":");
                            json(line, value);
                        }
                        path => {
                            inner.push(if inner.is_empty() { b'{' } else { b',' });
                            quoted(&mut inner, path);
                            inner.push(b':');
                            json(&mut inner, value);
                        }
                    }
                }
                if !inner.is_empty() {
                    line.extend_from_slice(b",\"members\":");
                    line.extend_from_slice(&inner);
                    line.push(b'}');
                }
                line.push(b'}');
            }
            line.push(b'}');
        });
        if self.more > 0 {
            members.number("more_arguments", u64::try_from(self.more).unwrap_or(u64::MAX));
        }
    }
}

/// A digest of a value, the same for the same one however its members are ordered.
pub(super) fn digest(keys: &Keys, value: &Value) -> Code {
    let mut digesting = keys.digest();
    canonical(value, &mut digesting);
    digesting.done()
}

/// JSON whose members are in order (RFC 8785, except for how numbers are written).
fn canonical(value: &Value, to: &mut impl std::io::Write) {
    let written = match value {
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                to.write_all(if place > 0 { b"," } else { b"[" }).ok(); // a digest takes everything
                canonical(item, to);
            }
            to.write_all(if items.is_empty() { b"[]" } else { b"]" })
        }
        Value::Object(members) => {
            let names: BTreeSet<&String> = members.keys().collect();
            for (place, name) in names.into_iter().enumerate() {
                to.write_all(if place > 0 { b"," } else { b"{" }).ok();
                serde_json::to_writer(&mut *to, name).ok();
                to.write_all(b":").ok();
                canonical(members.get(name).unwrap_or(&Value::Null), to);
            }
            to.write_all(if members.is_empty() { b"{}" } else { b"}" })
        }
        plain => serde_json::to_writer(to, plain).map_err(Into::into),
    };
    written.ok();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_is_that_of_the_value_and_of_the_key() {
        let (one, other) = (Keys::new(&[1; 32]), Keys::new(&[2; 32]));
        let value = json!({"a": [1, {"b": "c", "d": null}], "e": {}, "f": []});
        let turned: Value = serde_json::from_str(r#"{"f":[],"e":{},"a":[1,{"d":null,"b":"c"}]}"#).unwrap();
        assert_eq!(digest(&one, &value), digest(&one, &turned));
        assert_ne!(digest(&one, &value), digest(&other, &value));
        let mut text = Vec::new();
        canonical(&turned, &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), r#"{"a":[1,{"b":"c","d":null}],"e":{},"f":[]}"#);
        let all = [json!("1"), json!(1), json!([1]), json!([]), json!({}), json!(null), json!("null")];
        let digests: std::collections::HashSet<_> = all.iter().map(|value| digest(&one, value)).collect();
        assert_eq!(digests.len(), all.len());
    }
}
