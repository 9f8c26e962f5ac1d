//! What the arguments and the answer of a tool are called, as far as that tells what it may do.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::catalog::{arguments::Arguments, fill::Fill, input::Argument, request::RequestTemplate, slots};

/// How deep schemas are looked into.
const MAX_DEPTH: usize = 8;

/// What arguments hand over to be run. A name tells by the words it ends with.
const COMMANDS: [&str; 14] = [
    "command",
    "commands",
    "cmd",
    "script",
    "scripts",
    "entrypoint",
    "dockerfile",
    "agent_setup",
    "cloud_init",
    "user_data",
    "stdin",
    "source_code",
    "shell_code",
    "bash",
];

/// Arguments that start agents.
const AGENTS: [&str; 2] = ["agent_config", "agent_configs"];

/// Arguments that may be a GraphQL document.
const QUERIES: [&str; 3] = ["query", "mutation", "document"];

/// Arguments that say what somebody may do.
const WIDENING: [&str; 20] = [
    "access_level",
    "allow_all",
    "allowed_domains",
    "allowed_hostnames",
    "allowed_hosts",
    "allowed_ips",
    "allowed_origins",
    "allowed_tools",
    "auth_mechanism",
    "group_access",
    "ip_allowlist",
    "ip_whitelist",
    "permission",
    "permission_level",
    "permissions",
    "privileges",
    "project_access",
    "redirect_uri",
    "redirect_uris",
    "scopes",
];

/// Arguments that say so of people alone.
const ROLES: [&str; 4] = ["role", "roles", "role_id", "role_ids"];

/// Arguments that hold what is stored and not shown again.
const SECRET_VALUES: [&str; 6] = ["value", "secret", "password", "plaintext", "secret_value", "credential"];

/// Members of answers that authenticate whoever has them. A name tells by the words it ends with.
const CREDENTIALS: [&str; 13] = [
    "secret",
    "token",
    "password",
    "passphrase",
    "api_key",
    "apikey",
    "access_key",
    "auth_key",
    "plain_key",
    "private_key",
    "secret_key",
    "signing_key",
    "tunnel_key",
];

/// Words before `token` that make it a place in a list, or proof of nothing.
const PLACES: [&str; 12] = [
    "page",
    "next",
    "previous",
    "prev",
    "continuation",
    "cursor",
    "sync",
    "resume",
    "delta",
    "pagination",
    "csrf",
    "confirmation",
];

/// Members that only wrap what was made.
const WRAPPERS: [&str; 6] = ["data", "result", "response", "payload", "item", "object"];

/// What the names in the schemas of a tool say. Names of members are joined by dots.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Shapes {
    /// The names of the arguments, and of what authenticates somebody within them.
    arguments: BTreeSet<String>,
    /// The first argument that is run.
    pub(super) command: Option<String>,
    /// The first argument that is a statement for a database.
    pub(super) sql: Option<String>,
    /// The first argument that may be a GraphQL document.
    pub(super) query: Option<String>,
    /// The first argument that starts agents.
    pub(super) agents: Option<String>,
    /// The first argument that says what somebody may do.
    pub(super) widens: Option<String>,
    /// The first argument that says what role somebody has.
    pub(super) roles: Option<String>,
    /// The first argument that is stored and not shown again.
    pub(super) secret_value: Option<String>,
    fresh: Vec<String>,
}

impl Shapes {
    /// What the arguments are called.
    pub(in crate::catalog) fn of_arguments<'a>(arguments: impl IntoIterator<Item = &'a Argument>) -> Self {
        let mut shapes = Self::default();
        for Argument { name, schema, required: _ } in arguments {
            shapes.member("", name, schema, 0);
            members(schema, name, 1, &mut |parent, name, schema, depth| shapes.member(parent, name, schema, depth));
        }
        shapes
    }

    /// What a request sends is called of what its caller gives, or an answer before it.
    pub(in crate::catalog) fn of_request(request: &RequestTemplate, arguments: &Arguments) -> Self {
        let sent = slots::named(request).into_iter().filter_map(|(name, fill)| {
            let mut is_open = false;
            fill.visit(&mut |fill| is_open |= matches!(fill, Fill::Argument(_) | Fill::Answer(_)));
            let schema = match fill {
                Fill::Object(_) => json!({}),
                Fill::Argument(fed) => arguments.schema(fed).cloned().unwrap_or_default(),
                _ => json!({"type": "string"}),
            };
            is_open.then(|| Argument { name: name.to_owned(), schema, required: false })
        });
        let sent: Vec<Argument> = sent.collect();
        Self::of_arguments(&sent)
    }

    /// What the members of a schema are called that describes all arguments.
    pub(in crate::catalog) fn of_schema(schema: &Value) -> Self {
        let mut shapes = Self::default();
        members(schema, "", 0, &mut |parent, name, schema, depth| shapes.member(parent, name, schema, depth));
        shapes
    }

    /// With the credentials of an answer.
    #[must_use]
    pub(in crate::catalog) fn answering(mut self, credentials: &[Box<str>]) -> Self {
        self.fresh = credentials.iter().map(|name| name.to_string()).collect();
        self
    }

    /// Whether there is an argument of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.arguments.contains(name)
    }

    pub(super) fn fresh(&self) -> impl Iterator<Item = &str> {
        self.fresh.iter().map(String::as_str)
    }

    fn member(&mut self, parent: &str, name: &str, schema: &Value, depth: usize) {
        let is_near = depth == 0 || depth == 1 && (WRAPPERS.contains(&parent) || parent == "body");
        if is_near {
            self.arguments.insert(name.to_owned());
            if self.widens.is_none() && WIDENING.iter().any(|known| is(name, known)) {
                self.widens = Some(name.to_owned());
            }
            if self.query.is_none() && QUERIES.iter().any(|known| is(name, known)) && takes_text(schema) {
                self.query = Some(name.to_owned());
            }
            if self.roles.is_none() && ROLES.iter().any(|known| is(name, known)) {
                self.roles = Some(name.to_owned());
            }
            if self.secret_value.is_none() && SECRET_VALUES.iter().any(|known| is(name, known)) {
                self.secret_value = Some(name.to_owned());
            }
        }
        if depth > 0 && is_credential(name) {
            self.arguments.insert(joined(parent, name));
        }
        if self.agents.is_none() && AGENTS.iter().any(|known| is(name, known)) {
            self.agents = Some(joined(parent, name));
        }
        if self.sql.is_none() && ends_with(name, "sql") && takes_text(schema) {
            self.sql = Some(joined(parent, name));
        }
        if self.command.is_none() && COMMANDS.iter().any(|known| ends_with(name, known)) && takes_text(schema) {
            self.command = Some(joined(parent, name));
        }
    }
}

/// The members of an answer that authenticate whoever has them, each as its names joined by dots.
pub(in crate::catalog) fn credentials(answer: &Value) -> Box<[Box<str>]> {
    let mut found: Vec<Box<str>> = Vec::new();
    members(answer, "", 0, &mut |parent, name, schema, _| {
        if is_credential(name) && takes_text(schema) {
            let parent = if WRAPPERS.contains(&parent) { "" } else { parent };
            found.push(joined(parent, name).into());
        }
    });
    // What a browser shows to finish a payment is called so too, and belongs to no client.
    let has_client =
        found.iter().any(|name| name.ends_with("client_secret")) && answer.to_string().contains("client_id");
    found.retain(|name| has_client || !name.ends_with("client_secret"));
    found.into()
}

fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|known| ends_with(name, known)) && !PLACES.iter().any(|place| before_last(name, place))
}

fn joined(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// Hands over every member of a schema: the names around it, its own, its schema and how deep it lies.
fn members<'a>(schema: &'a Value, parent: &str, depth: usize, each: &mut impl FnMut(&str, &'a str, &'a Value, usize)) {
    if depth > MAX_DEPTH {
        return;
    }
    let Value::Object(keywords) = schema else { return };
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, schema) in properties {
                    each(parent, name, schema, depth);
                    if schema.is_object() {
                        members(schema, name, depth + 1, each);
                    }
                }
            }
            ("items" | "additionalProperties", inner) => members(inner, parent, depth, each),
            ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => {
                branches.iter().for_each(|branch| members(branch, parent, depth, each));
            }
            _ => {}
        }
    }
}

/// Whether a value may be text of any kind, or a list of such: no number, no switch, none of a few words.
fn takes_text(schema: &Value) -> bool {
    if schema.get("enum").is_some() || schema.get("const").is_some() {
        return false;
    }
    let is_text = |kind: &Value| matches!(kind.as_str(), Some("string" | "array" | "any"));
    let by_kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_text),
        Some(kind) => is_text(kind),
        None => true,
    };
    by_kind && schema.get("items").is_none_or(takes_text)
}

/// Whether a name is this one, however it is written: `allowedTools` is `allowed_tools`.
fn is(name: &str, known: &str) -> bool {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).eq(letters_of(known))
}

/// Whether a name ends with these words: `launchCommands` and `launch-commands` with `commands`, `transcript` not with
/// `script`. Nothing is copied: schemas have many names.
fn ends_with(name: &str, known: &str) -> bool {
    let mut own = name.bytes().rev();
    let mut first = b'_';
    for wanted in letters_of(known).rev() {
        let Some(byte) = own.find(u8::is_ascii_alphanumeric) else { return false };
        if byte.to_ascii_lowercase() != wanted {
            return false;
        }
        first = byte;
    }
    // A word begins behind a mark, or with a capital letter that does not go on with others.
    own.next().is_none_or(|before| {
        !before.is_ascii_alphanumeric() || first.is_ascii_uppercase() && !before.is_ascii_uppercase()
    })
}

fn letters_of(known: &str) -> impl DoubleEndedIterator<Item = u8> {
    known.bytes().filter(|byte| *byte != b'_')
}

/// Whether the word before the last of a name is this one.
fn before_last(name: &str, word: &str) -> bool {
    let name = crate::catalog::names::snake_case(name);
    name.rsplit('_').nth(1) == Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_with_whole_words() {
        for (name, known, ends) in [
            ("command", "command", true),
            ("launch_commands", "commands", true),
            ("launchCommands", "commands", true),
            ("install-command", "command", true),
            ("transcript", "script", false),
            ("ssh_private_key", "private_key", true),
            ("sshPrivateKey", "private_key", true),
            ("API_KEY", "api_key", true),
            ("command_id", "command", false),
            ("nonsecret", "secret", false),
            ("KEYTOKEN", "token", false),
            ("key", "api_key", false),
        ] {
            assert_eq!(ends_with(name, known), ends, "{name} {known}");
        }
        assert!(is("allowedTools", "allowed_tools") && !is("tools_allowed", "allowed_tools"));
    }
}
