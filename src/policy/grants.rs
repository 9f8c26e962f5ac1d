//! Keys that a call asks for: what they may do, how long, and whether that is more than the operator lets anybody have.

use serde_json::Value;

use crate::catalog::{JsonObject, names::snake_case};

/// What keys may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Scopes, `*` standing for any text; any where nothing is said.
    pub scopes: Option<Vec<String>>,
    /// The longest life, in days.
    pub max_days: Option<u64>,
    /// Whether keys with all rights, or without an end, may be made at all.
    pub unlimited: bool,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self { scopes: None, max_days: None, unlimited: true }
    }
}

/// What a call asks a key to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The scopes, as texts; none where the call has no argument for any.
    pub scopes: Option<Vec<String>>,
    /// When it ends, as the argument says.
    pub expiry: Expiry,
}

/// When a key ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// The tool has no argument for it.
    #[default]
    Unknown,
    /// It is not said: never.
    Never,
    /// At this time, in Unix milliseconds.
    At(i64),
    /// As this text says, which is not understood here.
    Said(String),
}

/// Names of arguments that say what a key may do.
const SCOPES: [&str; 8] = ["scopes", "scope", "permissions", "permission", "roles", "role", "grants", "access"];
/// Parts of names of arguments that say when it ends.
const EXPIRY: [&str; 5] = ["expires", "expiry", "expiration", "ttl", "lifetime"];
/// Scopes that stand for all rights.
const ALL: [&str; 6] = ["*", "*:*", "all", "admin", "full", "full_access"];
/// Texts that say that a key has no end.
const NEVER: [&str; 7] = ["", "never", "none", "0", "-1", "infinite", "unlimited"];
/// The levels of access in the order of what they allow. A scope at one holds those below it.
const LEVELS: [&[&str]; 3] = [
    &["read", "view", "readonly", "read_only"],
    &["write", "edit", "readwrite", "read_write"],
    &["admin", "all", "full", "owner"],
];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Grant {
    /// What a call of a tool with arguments of these names asks for.
    pub fn asked<'a>(names: impl IntoIterator<Item = &'a str>, arguments: &JsonObject) -> Self {
        let mut grant = Self::default();
        for name in names {
            let plain = snake_case(name);
            let value = arguments.get(name).filter(|value| !value.is_null());
            if SCOPES.contains(&plain.as_str()) {
                let scopes = grant.scopes.get_or_insert_default();
                value.into_iter().for_each(|value| collect(value, scopes));
            } else if EXPIRY.iter().any(|part| plain.contains(part)) && !matches!(grant.expiry, Expiry::At(_)) {
                grant.expiry = match value {
                    None => Expiry::Never,
                    Some(value) => expiry(&plain, value),
                };
            }
        }
        grant
    }

    /// Whether the key would have all rights: it names all, or could be limited and is not.
    pub fn is_unlimited(&self) -> bool {
        match &self.scopes {
            None => true,
            Some(scopes) => {
                scopes.is_empty() || scopes.iter().any(|scope| ALL.contains(&snake(scope).as_str()) || scope == "*")
            }
        }
    }

    /// Whether it would have no end.
    pub fn never_ends(&self) -> bool {
        matches!(self.expiry, Expiry::Never | Expiry::Unknown)
    }

    /// What a person has to be told, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let rights = match &self.scopes {
            None => "the key has all rights of the account".to_owned(),
            Some(scopes) if scopes.is_empty() => {
                "no scopes are asked for: the key has what the service gives by default, perhaps all rights".to_owned()
            }
            Some(scopes) => format!("the key may do: {}", scopes.join(", ")),
        };
        let end = match &self.expiry {
            Expiry::Unknown | Expiry::Never => "the key never expires".to_owned(),
            Expiry::At(at) => format!("the key expires at {}", shown(*at)),
            Expiry::Said(text) => format!("the key expires: {text}"),
        };
        vec![rights, end]
    }

    /// What a person has to write to confirm it, where it is more than a key should be.
    pub fn words(&self) -> Option<String> {
        match (self.is_unlimited(), self.never_ends()) {
            (true, true) => Some("all rights, never expires".to_owned()),
            (true, false) => Some("all rights".to_owned()),
            (false, true) => Some("never expires".to_owned()),
            (false, false) => None,
        }
    }

    /// Why the operator lets nobody have such a key.
    pub fn excess(&self, ceiling: &Ceiling, now_ms: i64) -> Option<String> {
        if !ceiling.unlimited && self.is_unlimited() {
            return Some("keys with all rights are not given; ask for the scopes that are needed".to_owned());
        }
        if !ceiling.unlimited && self.never_ends() {
            return Some("keys that never expire are not given; ask for one with an end".to_owned());
        }
        if let Some(allowed) = &ceiling.scopes {
            let allowed_list = || allowed.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(", ");
            if self.is_unlimited() && !allowed.iter().any(|scope| scope == "*") {
                return Some(format!("no key may have all rights; keys may have at most {}", allowed_list()));
            }
            let wide = self.scopes.iter().flatten().find(|scope| !allowed.iter().any(|most| covers(most, scope)));
            if let Some(wide) = wide {
                return Some(format!("`{wide}` is wider than what keys may have, which is {}", allowed_list()));
            }
        }
        let days = ceiling.max_days?;
        let latest = now_ms.saturating_add(i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MS));
        match &self.expiry {
            // A minute for clocks that differ.
            Expiry::At(at) if *at <= latest.saturating_add(60_000) => None,
            Expiry::Said(text) if lifetime_ms(text).is_some_and(|life| now_ms.saturating_add(life) <= latest) => None,
            _ => Some(format!("keys live at most {days} days; ask for one that ends by {}", shown(latest))),
        }
    }
}

/// Scopes as texts: a text as it is, an object by its values.
fn collect(value: &Value, scopes: &mut Vec<String>) {
    match value {
        Value::String(text) => scopes.extend(text.split([' ', ',']).filter(|one| !one.is_empty()).map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, scopes)),
        Value::Object(members) => {
            let values: Vec<String> = members.values().filter_map(Value::as_str).map(str::to_owned).collect();
            if !values.is_empty() {
                scopes.push(values.join(":"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn expiry(name: &str, value: &Value) -> Expiry {
    match value {
        Value::Number(number) => match number.as_i64() {
            // Services take nothing for "never".
            Some(number) if number <= 0 => Expiry::Never,
            Some(number) if name.ends_with("_ms") => Expiry::At(number),
            Some(number) if number > 1_000_000_000 => Expiry::At(number.saturating_mul(1_000)),
            _ => Expiry::Said(number.to_string()),
        },
        Value::String(text) if NEVER.contains(&text.trim().to_ascii_lowercase().as_str()) => Expiry::Never,
        Value::String(text) => match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(time) => Expiry::At(time.timestamp_millis()),
            Err(_) => Expiry::Said(text.clone()),
        },
        _ => Expiry::Unknown,
    }
}

/// `90d`, `12h` and the like.
fn lifetime_ms(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let number: i64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60 * 1_000,
        'h' => 60 * 60 * 1_000,
        'd' => DAY_MS,
        'w' => 7 * DAY_MS,
        'y' => 366 * DAY_MS,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

fn shown(time_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(time_ms);
    time.map_or_else(|| format!("{time_ms} ms"), |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
}

fn snake(scope: &str) -> String {
    snake_case(scope)
}

/// Whether what one scope allows holds another: the same text but for `*`, or the same but for a lower level of access.
fn covers(most: &str, scope: &str) -> bool {
    if matches(&most.to_ascii_lowercase(), &scope.to_ascii_lowercase()) {
        return true;
    }
    let split = |text: &str| {
        text.rsplit_once([':', '=', '.', '/']).map(|(what, level)| (what.to_ascii_lowercase(), level_of(level)))
    };
    match (split(most), split(scope)) {
        (Some((what, Some(most))), Some((asked, Some(level)))) => matches(&what, &asked) && level <= most,
        _ => false,
    }
}

fn level_of(text: &str) -> Option<usize> {
    let text = snake_case(text);
    LEVELS.iter().position(|names| {
        names.iter().any(|name| text == *name || text.strip_suffix(name).is_some_and(|before| before.ends_with('_')))
    })
}

/// Whether a text is like a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn asked(arguments: Value) -> Grant {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        Grant::asked(["name", "scopes", "expires_at_ms"], &arguments)
    }

    #[test]
    fn what_a_key_is_asked_to_be_is_told() {
        let scoped =
            json!([{"resource_type": "RESOURCE_TYPE_DEVBOX", "access_level": "ACCESS_LEVEL_READ"}, "files:read"]);
        let grant = asked(json!({"scopes": scoped, "expires_at_ms": NOW}));
        assert_eq!(
            grant.notes(),
            [
                "the key may do: RESOURCE_TYPE_DEVBOX:ACCESS_LEVEL_READ, files:read",
                "the key expires at 2026-09-21 14:13 UTC",
            ]
        );
        assert_eq!(grant.words(), None);
        assert_eq!(asked(json!({})).words().unwrap(), "all rights, never expires");
        assert_eq!(asked(json!({"scopes": ["*"], "expires_at_ms": NOW})).words().unwrap(), "all rights");
        assert_eq!(asked(json!({"scopes": ["a:read"]})).words().unwrap(), "never expires");
        for never in [json!(0), json!(-1), json!("never"), json!("0"), json!("None"), Value::Null, json!(false)] {
            let grant = asked(json!({"scopes": ["a:read"], "expires_at_ms": never}));
            assert_eq!(grant.words().unwrap(), "never expires", "{grant:?}");
        }
        let without = Grant::asked(["name", "expires_at_ms"], &JsonObject::new());
        assert!(without.is_unlimited() && without.never_ends());
    }

    #[test]
    fn wider_than_the_ceiling_is_refused() {
        let scopes = Some(vec!["RESOURCE_TYPE_DEVBOX:ACCESS_LEVEL_WRITE".to_owned(), "files:*".to_owned()]);
        let ceiling = Ceiling { scopes, max_days: Some(90), unlimited: true };
        let excess = |scopes: Value, expires: i64| {
            asked(json!({"scopes": scopes, "expires_at_ms": expires})).excess(&ceiling, NOW)
        };
        let of = |what: &str, level: &str| json!([{"resource_type": what, "access_level": level}]);
        let soon = NOW + DAY_MS;
        assert_eq!(excess(of("RESOURCE_TYPE_DEVBOX", "ACCESS_LEVEL_READ"), soon), None, "less than what is allowed");
        assert_eq!(excess(of("RESOURCE_TYPE_DEVBOX", "ACCESS_LEVEL_WRITE"), soon), None);
        assert_eq!(excess(json!(["files:delete"]), soon), None);
        for (scopes, expires) in [
            (of("RESOURCE_TYPE_ACCOUNT", "ACCESS_LEVEL_READ"), soon),
            (of("RESOURCE_TYPE_DEVBOX", "ACCESS_LEVEL_ADMIN"), soon),
            (json!(["*"]), soon),
            (json!([]), soon),
            (json!(["files:read"]), NOW + 91 * DAY_MS),
        ] {
            assert!(excess(scopes.clone(), expires).is_some(), "{scopes} {expires}");
        }
        assert!(asked(json!({"scopes": ["files:read"]})).excess(&ceiling, NOW).is_some(), "never expires");
        let limited = Ceiling { unlimited: false, ..Ceiling::default() };
        assert!(asked(json!({"scopes": ["files:read"]})).excess(&limited, NOW).is_some());
        assert!(asked(json!({"expires_at_ms": soon})).excess(&limited, NOW).is_some());
        assert!(asked(json!({"scopes": ["files:read"], "expires_at_ms": soon})).excess(&limited, NOW).is_none());
        let said = |text: &str| Grant { scopes: Some(vec!["files:x".into()]), expiry: Expiry::Said(text.into()) };
        assert!(said("90d").excess(&ceiling, NOW).is_none() && said("91d").excess(&ceiling, NOW).is_some());
        assert!(said("soon").excess(&ceiling, NOW).is_some(), "what is not understood is no end");
    }

    #[test]
    fn patterns_match_from_end_to_end() {
        for (pattern, text, is) in [
            ("*", "a", true),
            ("a*", "ab", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a", "ab", false),
            ("*:read", "x:read", true),
            ("a*b*c", "axbyc", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }
}
