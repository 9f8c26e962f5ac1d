//! Objects whose own name, or what stands beside a value in them, tells that there is a secret in them, and which of their
//! members say no more than something about it.

use serde_json::{Map, Number, Value};

use crate::{
    catalog::names::snake_case,
    sensitive::{self, names_secret_value},
};

/// The member that holds what others of its object say more of.
const VALUE: &str = "value";
/// What a private key in JSON holds that its public one does not (RFC 7518, section 6).
const OF_PRIVATE_KEYS: [&str; 7] = ["d", "dp", "dq", "k", "p", "q", "qi"];
/// Last words of names of secrets whose objects are settings, or what is done with a secret.
const SETTINGS: [&str; 9] =
    ["authorization", "bearer", "connection_string", "dsn", "jwt", "key_value", "otp", "pin", "pass"];
/// Members that describe a secret.
const PLAIN: [&str; 100] = [
    "account",
    "alg",
    "algorithm",
    "all_of",
    "annotations",
    "any_of",
    "arn",
    "audience",
    "backend",
    "checksum",
    "comment",
    "const",
    "crv",
    "default",
    "deprecated",
    "description",
    "display_name",
    "domain",
    "email",
    "enabled",
    "engine",
    "enum",
    "environment",
    "error",
    "errors",
    "etag",
    "example",
    "examples",
    "fingerprint",
    "format",
    "group",
    "help",
    "hint",
    "host",
    "hostname",
    "href",
    "id",
    "in",
    "issuer",
    "items",
    "key_ops",
    "kid",
    "kind",
    "kty",
    "label",
    "labels",
    "last4",
    "link",
    "links",
    "location",
    "login",
    "message",
    "metadata",
    "method",
    "mode",
    "name",
    "namespace",
    "note",
    "object",
    "one_of",
    "owner",
    "path",
    "pattern",
    "permissions",
    "placeholder",
    "policy",
    "port",
    "prefix",
    "profile",
    "project",
    "properties",
    "provider",
    "purpose",
    "reason",
    "ref",
    "region",
    "required",
    "requirements",
    "role",
    "roles",
    "rules",
    "same_site",
    "schema",
    "scheme",
    "scope",
    "scopes",
    "source",
    "state",
    "status",
    "strength",
    "tags",
    "tenant",
    "title",
    "type",
    "url",
    "use",
    "user",
    "username",
    "version",
    "warning",
];
/// Beginnings and ends of such names.
const PLAIN_BEGINNINGS: [&str; 12] =
    ["creat", "expir", "has_", "is_", "issued", "last_", "max_", "min_", "revok", "rotat", "updat", "used_"];
const PLAIN_ENDS: [&str; 17] = [
    "_at", "_by", "_count", "_date", "_id", "_ids", "_length", "_ms", "_name", "_path", "_ref", "_status", "_time",
    "_type", "_uri", "_url", "_version",
];
/// Members of a resource that hold what the others describe.
const VALUES: [&str; 14] = [
    "access",
    "content",
    "data",
    "material",
    "payload",
    "plain",
    "plain_text",
    "plaintext",
    "raw",
    "refresh",
    "string",
    "v",
    "val",
    VALUE,
];
/// Shorter numbers are counts, and the pins of devices.
const SHORTEST_NUMBER: usize = 3;
/// Shorter texts are words.
const SHORTEST_OPAQUE: usize = 12;

/// What the members of an object have from it.
#[derive(Debug, Default)]
pub(super) struct Holder {
    /// Texts in it are secret, unless their names say otherwise.
    gives: bool,
    /// It describes something that has an id, of which little is secret.
    is_resource: bool,
    /// It says by a name and a key where a secret is.
    refers: bool,
    /// By which name its member `value` is judged.
    valued: Option<String>,
    /// It is a key in JSON (RFC 7517, section 4).
    is_key: bool,
}

impl Holder {
    /// An object under a name, which may stand somewhere within what has the name of a secret.
    pub(super) fn of(members: &Map<String, Value>, name: Option<&str>, is_within: bool) -> Self {
        let gives = is_within || name.is_some_and(names_holder);
        Self {
            gives,
            is_resource: gives && members.keys().any(|name| is_of_resource(name)),
            refers: gives && members.contains_key("name") && members.contains_key("key"),
            valued: valued(members, name),
            is_key: members.contains_key("kty"),
        }
    }

    /// By which name a member is judged.
    pub(super) fn judged<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.valued {
            Some(valued) if name.eq_ignore_ascii_case(VALUE) => valued,
            _ if self.is_key && OF_PRIVATE_KEYS.contains(&name) => "private_key",
            _ => name,
        }
    }

    /// Whether texts of a member are secret because this object is.
    pub(super) fn gives(&self, name: &str) -> bool {
        if !self.gives || self.refers && name == "key" {
            return false;
        }
        let name = snake_case(name);
        let is_plain = PLAIN.binary_search(&name.as_str()).is_ok()
            || PLAIN_BEGINNINGS.iter().any(|first| name.starts_with(first))
            || PLAIN_ENDS.iter().any(|last| name.ends_with(last));
        !is_plain && (!self.is_resource || VALUES.contains(&name.as_str()))
    }
}

/// Whether a number under this name is a secret.
pub(super) fn names_number(name: &str, number: &Number) -> bool {
    names_secret_value(name) && sensitive::names_number(name) && number.to_string().len() >= SHORTEST_NUMBER
}

/// Whether this is the name of a list of tokens: those of services, or the words of a text.
pub(super) fn is_list_of_tokens(name: &str) -> bool {
    const TOKENS: usize = "tokens".len();
    let last = name.len().checked_sub(TOKENS).and_then(|at| name.get(at..));
    last.is_some_and(|last| last.eq_ignore_ascii_case("tokens"))
}

/// Whether a text is none of words.
pub(super) fn is_opaque(text: &str) -> bool {
    text.len() >= SHORTEST_OPAQUE
        && !text.contains(char::is_whitespace)
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether an object of this name holds a secret, and not how one is used.
fn names_holder(name: &str) -> bool {
    if !names_secret_value(name) {
        return false;
    }
    let name = snake_case(name);
    !SETTINGS.iter().any(|last| name.strip_suffix(last).is_some_and(|first| first.is_empty() || first.ends_with('_')))
}

fn is_of_resource(name: &str) -> bool {
    matches!(name, "id" | "uid" | "uuid" | "arn" | "_id") || snake_case(name).starts_with("creat")
}

/// What the member `value` of an object is the value of, where that is a secret: `{"name": "DB_PASSWORD", "value": …}`, or
/// the object itself, as in `{"token": {"value": …}}`.
fn valued(members: &Map<String, Value>, of: Option<&str>) -> Option<String> {
    let text = |wanted: &str| {
        let found = members.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.and_then(|(_, value)| value.as_str())
    };
    if !members.keys().any(|name| name.eq_ignore_ascii_case(VALUE)) {
        return None;
    }
    // As parameters of AWS are described.
    let is_secure = text("type").is_some_and(|kind| kind == "SecureString").then_some("secret");
    let named = ["name", "key"].into_iter().filter_map(text);
    named.chain(of).chain(is_secure).find(|name| names_secret_value(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(PLAIN.is_sorted());
    }
}
