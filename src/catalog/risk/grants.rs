//! Whether an operation makes or renews credentials, or widens what somebody may reach.

use super::{
    shapes::Shapes,
    words::{Phrase, Words},
};

/// Why an operation grants something.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) reason: String,
    /// Whether what held before no longer does.
    pub(super) overwrites: bool,
}

/// Verbs by which a credential gets a new value.
const RENEWING: [&str; 9] =
    ["rotate", "regenerate", "renew", "reissue", "roll", "reset", "refresh", "recreate", "cycle"];

/// What authenticates somebody.
const CREDENTIALS: [&str; 16] = [
    "key",
    "keys",
    "apikey",
    "apikeys",
    "token",
    "tokens",
    "secret",
    "secrets",
    "password",
    "passwords",
    "passphrase",
    "credential",
    "credentials",
    "certificate",
    "certificates",
    "pat",
];

/// Verbs by which one comes to be.
const MAKING: [&str; 16] = [
    "add",
    "create",
    "enable",
    "exchange",
    "generate",
    "insert",
    "issue",
    "make",
    "mint",
    "new",
    "obtain",
    "open",
    "post",
    "provision",
    "register",
    "request",
];

/// Words before `key` that make it one that authenticates.
const OF_KEYS: [&str; 12] = [
    "access",
    "account",
    "api",
    "app",
    "deploy",
    "gpg",
    "private",
    "restricted",
    "secret",
    "service",
    "signing",
    "ssh",
];

/// Words before `token` that make it one that authenticates.
const OF_TOKENS: [&str; 20] = [
    "access",
    "agent",
    "api",
    "auth",
    "authentication",
    "bearer",
    "deploy",
    "gateway",
    "identity",
    "installation",
    "job",
    "mcp",
    "oauth",
    "personal",
    "project",
    "refresh",
    "registration",
    "runner",
    "session",
    "trigger",
];

/// Words before `secret` that make it one that authenticates.
const OF_SECRETS: [&str; 5] = ["app", "application", "client", "signing", "shared"];

/// Who may do what, as collections.
const ACCESS: [&str; 22] = [
    "acl",
    "acls",
    "allowlist",
    "allowlists",
    "collaborator",
    "collaborators",
    "entitlement",
    "entitlements",
    "firewall",
    "firewalls",
    "grants",
    "invitation",
    "invitations",
    "invite",
    "invites",
    "member",
    "members",
    "membership",
    "memberships",
    "permission",
    "permissions",
    "whitelist",
];

/// Words before a policy that make it one of access.
const OF_POLICIES: [&str; 15] = [
    "access",
    "auth",
    "authentication",
    "authorization",
    "cors",
    "egress",
    "firewall",
    "gateway",
    "iam",
    "ingress",
    "mcp",
    "network",
    "saml",
    "security",
    "sso",
];

/// What holds rules.
const POLICIES: [&str; 12] = [
    "config",
    "configs",
    "configuration",
    "configurations",
    "group",
    "groups",
    "policies",
    "policy",
    "rule",
    "rules",
    "setting",
    "settings",
];

/// Verbs that let somebody in.
const LETTING_IN: [&str; 5] = ["grant", "impersonate", "invite", "share", "unshare"];

/// Whose roles say what they may do.
const PEOPLE: [&str; 12] = [
    "account",
    "accounts",
    "collaborator",
    "collaborators",
    "group",
    "groups",
    "team",
    "teams",
    "user",
    "users",
    "principal",
    "principals",
];

/// Verbs that change what is there already, whose answers show what was known before.
const CHANGING: [&str; 20] = [
    "archive",
    "cancel",
    "change",
    "close",
    "complete",
    "delete",
    "edit",
    "keep",
    "kill",
    "modify",
    "patch",
    "pause",
    "remove",
    "resume",
    "set",
    "shutdown",
    "stop",
    "suspend",
    "unarchive",
    "update",
];

/// Why an operation of a method that changes something grants something; `None` where nothing says so.
pub(super) fn reason(method: &str, words: &Words, shapes: &Shapes) -> Option<Granted> {
    if method == "DELETE" {
        return None;
    }
    let is_changed = words.is_item || matches!(method, "PUT" | "PATCH");
    let granted = |reason: String| Some(Granted { reason, overwrites: is_changed });
    if let Some(verb) = words.verb_in(&RENEWING)
        && let Some(what) = names(words).find_map(|name| name.any(&CREDENTIALS))
    {
        return Some(Granted { reason: format!("gives a `{what}` a new value: `{verb}`"), overwrites: true });
    }
    if takes_away(words) {
        return None;
    }
    if method == "POST" && !is_changed || words.verb_in(&MAKING).is_some() {
        if let Some(what) = made(words) {
            return granted(format!("makes a new credential: `{what}`"));
        }
        if let Some(fresh) = fresh(words, shapes) {
            return granted(format!("answers with a new credential: `{fresh}`"));
        }
    }
    if let Some(what) = words.thing().and_then(access) {
        return granted(format!("says who may reach what: `{what}`"));
    }
    if let Some(verb) = words.verb_in(&LETTING_IN) {
        return granted(format!("lets somebody in: `{verb}`"));
    }
    if let Some(argument) = &shapes.widens {
        return granted(format!("widens what somebody may do: `{argument}`"));
    }
    let people = || words.thing().and_then(|thing| thing.any(&PEOPLE));
    let roles = shapes.roles.as_ref().filter(|_| people().is_some())?;
    granted(format!("widens what somebody may do: `{roles}`"))
}

fn names(words: &Words) -> impl Iterator<Item = &Phrase> {
    words.parts().iter().rev().take(2).chain([words.operation()]).chain(words.tool())
}

/// Whether the end of the path takes something away: `members/remove` lets nobody in.
fn takes_away(words: &Words) -> bool {
    const TAKING: [&str; 9] =
        ["delete", "remove", "revoke", "destroy", "reject", "decline", "leave", "deactivate", "disable"];
    words.verb_in(&TAKING).is_some()
}

/// The credential that is made, by what the path ends with and what the operation is named.
fn made(words: &Words) -> Option<String> {
    let of_path = words.action().and_then(|action| {
        credential(action).or_else(|| matches!(action.text(), "token" | "tokens").then(|| action.text().to_owned()))
    });
    let of_name = || words.verb_in(&MAKING).and_then(|_| credential(words.operation()));
    of_path.or_else(of_name)
}

fn credential(name: &Phrase) -> Option<String> {
    let end = name.last();
    let alone = ["apikey", "apikeys", "credential", "credentials"].contains(&end).then(|| end.to_owned());
    alone
        .or_else(|| name.pair(&OF_KEYS, &["key", "keys"]))
        .or_else(|| name.pair(&OF_TOKENS, &["token", "tokens"]))
        .or_else(|| name.pair(&OF_SECRETS, &["secret", "secrets"]))
        .or_else(|| name.any(&["tunnel", "tunnels"]).map(str::to_owned))
}

fn access(thing: &Phrase) -> Option<String> {
    thing.any(&ACCESS).map(str::to_owned).or_else(|| thing.pair(&OF_POLICIES, &POLICIES))
}

/// A credential in the answer that was not there before.
fn fresh<'a>(words: &Words, shapes: &'a Shapes) -> Option<&'a str> {
    if words.verb_in(&CHANGING).is_some() {
        return None;
    }
    shapes.fresh().find(|path| match path.rsplit_once('.') {
        None => !shapes.has(path),
        // What is made on the way shows where it was asked for.
        Some((parent, _)) => shapes.has(parent),
    })
}
