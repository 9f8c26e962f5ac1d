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
pub(super) const CREDENTIALS: [&str; 16] = [
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
const OF_KEYS: [&str; 13] = [
    "access",
    "account",
    "api",
    "app",
    "deploy",
    "ephemeral",
    "gpg",
    "private",
    "restricted",
    "secret",
    "service",
    "signing",
    "ssh",
];

/// Words before `token` that make it one that authenticates.
const OF_TOKENS: [&str; 21] = [
    "access",
    "agent",
    "api",
    "auth",
    "authentication",
    "bearer",
    "connection",
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
const LETTING_IN: [&str; 5] = ["grant", "impersonate", "invite", "share", "unprotect"];

/// Verbs by which somebody becomes one of a group.
const ADDING: [&str; 4] = ["add", "approve", "assign", "invite"];

/// Verbs that ask whether something holds.
const ASKING: [&str; 7] = ["check", "evaluate", "get", "list", "search", "test", "validate"];

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
    if words.action_in(&ASKING).is_some() {
        return None;
    }
    if let Some(what) = access(words) {
        return granted(format!("says who may reach what: `{what}`"));
    }
    if let Some(what) = words.thing().and_then(credential).filter(|_| is_changed) {
        return granted(format!("changes a credential: `{what}`"));
    }
    if let Some(verb) = words.verb_in(&LETTING_IN) {
        return granted(format!("lets somebody in: `{verb}`"));
    }
    if let Some(argument) = &shapes.widens {
        let does =
            if argument.starts_with("redirect") { "lets an application in" } else { "widens what somebody may do" };
        return granted(format!("{does}: `{argument}`"));
    }
    let roles = shapes.roles.as_ref().filter(|_| words.thing().is_some_and(|thing| thing.any(&PEOPLE).is_some()))?;
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
        let is_flow = || words.parts().iter().any(|part| part.first() == "oauth" || part.first() == "oauth2");
        let asks = || action.any(&["info", "introspect", "jwks", "keys", "metadata", "status", "userinfo"]).is_some();
        credential(action)
            .or_else(|| matches!(action.text(), "token" | "tokens").then(|| action.text().to_owned()))
            .or_else(|| action.pair(&["authorization"], &["code"]))
            .or_else(|| action.pair(&["login"], &["link", "links"]))
            .or_else(|| (is_flow() && !asks()).then(|| action.text().to_owned()))
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

/// What says who may reach what, by what the path ends with. A verb there is said of what stands before it.
fn access(words: &Words) -> Option<String> {
    let thing = words.thing()?;
    let of = |thing: &Phrase| {
        let last = ACCESS.contains(&thing.last()).then(|| thing.last().to_owned());
        last.or_else(|| thing.pair(&OF_POLICIES, &POLICIES))
    };
    let added = || thing.pair(&ADDING, &["user", "users", "admin", "admins", "owner", "owners"]);
    let before = || {
        let before = words.parts().iter().rev().nth(1)?;
        let asked =
            ADDING.contains(&thing.last()).then(|| before.pair(&["access"], &["request", "requests"])).flatten();
        let is_verb = ["create", "update", "upsert", "edit", "replace", "set"].contains(&thing.last());
        asked.or_else(|| of(before).filter(|_| is_verb || ADDING.contains(&thing.last())))
    };
    of(thing).or_else(added).or_else(before)
}

/// A credential in the answer that was not there before.
fn fresh<'a>(words: &Words, shapes: &'a Shapes) -> Option<&'a str> {
    if words.verb_in(&CHANGING).is_some() {
        return None;
    }
    shapes.fresh().find(|path| match path.rsplit_once('.') {
        None => !shapes.has(path),
        // What is made on the way shows where it was asked for, and what was handed over where it was.
        Some((parent, _)) => shapes.has(parent) && !shapes.has(path),
    })
}
