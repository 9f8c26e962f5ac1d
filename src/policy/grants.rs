//! Keys that a call asks for: what they may do, how long, and whether that is more than the operator lets anybody have.

use serde_json::Value;

use crate::{
    catalog::{JsonObject, names::snake_case},
    wildcard::is_like,
};

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
    /// When it ends, as each argument for it says that was sent; never where none was.
    pub ends: Vec<Expiry>,
}

/// When a key ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// At this time, in Unix milliseconds.
    At(i64),
    /// So long after it is made, in milliseconds.
    After(i64),
    /// As this text says, which is not understood here, or has more than one meaning.
    Said(String),
}

/// Names of arguments that say what a key may do.
const SCOPES: [&str; 8] = ["scopes", "scope", "permissions", "permission", "roles", "role", "grants", "access"];
/// Words of names of members that say what their values are, and not what those give access to.
const ROLES: [&str; 12] = [
    "resource",
    "object",
    "type",
    "kind",
    "name",
    "id",
    "value",
    "level",
    "action",
    "actions",
    "operation",
    "operations",
];
/// Parts of names of arguments that say when it ends. No word of another meaning holds one of them.
const EXPIRY: [&str; 4] = ["expires", "expiry", "expiration", "lifetime"];
/// How a word of such a name begins otherwise. Within a word it means nothing: `throttle`.
const TTL: &str = "ttl";
/// Words of names of arguments that say at what time.
const TIMES: [&str; 9] = ["at", "on", "by", "until", "time", "date", "timestamp", "epoch", "unix"];
/// Scopes that stand for all rights, besides those without a letter or a digit.
const ALL: [&str; 4] = ["all", "admin", "full", "full_access"];
/// Texts that say that a key has no end.
const NEVER: [&str; 5] = ["", "never", "none", "infinite", "unlimited"];
/// The levels of access in the order of what they allow. A scope at one holds those below it.
const LEVELS: [&[&str]; 3] = [
    &["read", "view", "readonly", "read_only"],
    &["write", "edit", "readwrite", "read_write"],
    &["admin", "all", "full", "owner"],
];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How far clocks may differ.
const SLACK_MS: i64 = 60 * 1000;
/// More scopes than a person reads. One object that stands for more of them counts as all.
const MOST_SCOPES: usize = 1_000;

impl Grant {
    /// What a call of a tool with arguments of these names asks for at this time.
    pub fn asked<'a>(names: impl IntoIterator<Item = &'a str>, arguments: &JsonObject, now_ms: i64) -> Self {
        let mut grant = Self::default();
        for name in names {
            let plain = snake_case(name);
            let value = arguments.get(name).filter(|value| !value.is_null());
            if SCOPES.contains(&plain.as_str()) {
                let scopes = grant.scopes.get_or_insert_default();
                value.into_iter().for_each(|value| collect(value, scopes));
            } else if is_expiry(&plain) {
                // The service may go by any of them, so each has to do.
                grant.ends.extend(value.map(|value| expiry(&plain, value, now_ms)));
            }
        }
        grant
    }

    /// Whether the key would have all rights: it names all, or could be limited and is not.
    pub fn is_unlimited(&self) -> bool {
        match &self.scopes {
            None => true,
            Some(scopes) => scopes.is_empty() || scopes.iter().any(|scope| is_all(scope)),
        }
    }

    /// Whether it would have no end.
    pub fn never_ends(&self) -> bool {
        self.ends.is_empty() || self.ends.contains(&Expiry::Never)
    }

    /// What is said of its end and not understood.
    fn unclear_end(&self) -> Option<&str> {
        self.ends.iter().find_map(|end| match end {
            Expiry::Said(text) => Some(text.as_str()),
            Expiry::Never | Expiry::At(_) | Expiry::After(_) => None,
        })
    }

    /// What a person has to be told, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let rights = match &self.scopes {
            None => "the key has all rights of the account".to_owned(),
            Some(scopes) if scopes.is_empty() => {
                "no scopes are asked for: the service decides what the key may do, from nothing to everything"
                    .to_owned()
            }
            Some(scopes) => format!("the key may do: {}", scopes.join(", ")),
        };
        let end = |end: &Expiry| match end {
            Expiry::Never => "the key never expires".to_owned(),
            Expiry::At(at) => format!("the key expires at {}", shown(*at)),
            Expiry::After(life) => format!("the key expires {} after it is made", shown_life(*life)),
            Expiry::Said(text) => format!("when the key expires is not clear: {text}"),
        };
        let ends = if self.ends.is_empty() { &[Expiry::Never] } else { self.ends.as_slice() };
        std::iter::once(rights).chain(ends.iter().map(end)).collect()
    }

    /// What a person has to write to confirm it, where it is more than a key should be, or may be.
    pub fn words(&self) -> Option<String> {
        let rights = self.is_unlimited().then_some("all rights");
        let end = match (self.never_ends(), self.unclear_end()) {
            (true, _) => Some("never expires"),
            (false, Some(_)) => Some("unclear end"),
            (false, None) => None,
        };
        let words: Vec<&str> = rights.into_iter().chain(end).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Why the operator lets nobody have such a key.
    pub fn excess(&self, ceiling: &Ceiling, now_ms: i64) -> Option<String> {
        if !ceiling.unlimited && self.is_unlimited() {
            return Some("keys with all rights are not given; ask for the scopes that are needed".to_owned());
        }
        if !ceiling.unlimited && self.never_ends() {
            return Some("keys that never expire are not given; ask for one with an end".to_owned());
        }
        if !ceiling.unlimited
            && let Some(text) = self.unclear_end()
        {
            return Some(format!("when a key ends has to be clear, and `{text}` is not; {CLEAR}"));
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
        let is_late = |end: &Expiry| {
            let at = match end {
                Expiry::At(at) => Some(*at),
                Expiry::After(life) => Some(now_ms.saturating_add(*life)),
                Expiry::Never | Expiry::Said(_) => None,
            };
            at.is_none_or(|at| at > latest.saturating_add(SLACK_MS))
        };
        if !self.ends.is_empty() && !self.ends.iter().any(is_late) {
            return None;
        }
        let latest = shown(latest);
        Some(match self.unclear_end() {
            Some(text) => {
                format!("keys live at most {days} days, to {latest}, and when `{text}` is, is not clear; {CLEAR}")
            }
            None => format!("keys live at most {days} days; ask for one that ends by {latest}"),
        })
    }
}

/// How an end is said clearly.
const CLEAR: &str = "say it as a time in the future, or as a number with its unit, such as `30d`";

/// Scopes as texts: a text as it is, an object by all of its values.
fn collect(value: &Value, scopes: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let is_between = |letter: char| letter.is_whitespace() || matches!(letter, ',' | ';' | '|');
            scopes.extend(text.split(is_between).filter(|one| !one.is_empty()).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, scopes)),
        Value::Object(members) => scopes.extend(of_object(members)),
        // It means something to the service, perhaps much.
        Value::Null | Value::Bool(_) | Value::Number(_) => scopes.push(value.to_string()),
    }
}

/// The scopes that an object stands for: its values with `:` between them, one for each of several values of a member; and
/// those of objects within it under their names. Where members are called after what they give access to, each is a scope.
fn of_object(members: &JsonObject) -> Vec<String> {
    let is_level = |(name, value): (&String, &Value)| {
        !snake_case(name).split('_').any(|word| ROLES.contains(&word) || SCOPES.contains(&word))
            && value.as_str().is_some_and(|text| level_of(text).is_some())
    };
    if !members.is_empty() && members.iter().all(is_level) {
        let scope = |(name, level): (&String, &Value)| format!("{name}:{}", level.as_str().unwrap_or_default());
        return members.iter().map(scope).collect();
    }
    let (mut joined, mut within) = (Vec::new(), Vec::new());
    for (name, value) in members {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Object(inner) => within.extend(of_object(inner).iter().map(|scope| format!("{name}:{scope}"))),
            Value::String(_) | Value::Number(_) | Value::Array(_) => {
                let mut parts = Vec::new();
                collect(value, &mut parts);
                joined = with(&joined, parts);
            }
        }
    }
    // Rights that are switched on by their names.
    let is_on = |(_, value): &(&String, &Value)| **value == Value::Bool(true);
    let on: Vec<String> = members.iter().filter(is_on).map(|(name, _)| name.clone()).collect();
    if !on.is_empty() || joined.is_empty() && within.is_empty() {
        joined = with(&joined, on);
    }
    joined.extend(within);
    joined
}

/// Each scope with each of these parts behind it.
fn with(scopes: &[String], parts: Vec<String>) -> Vec<String> {
    let all = || "*".to_owned();
    // Nothing where something could stand may be as much as everything.
    let parts = if parts.is_empty() { vec![all()] } else { parts };
    match scopes {
        [] => parts,
        many if many.len().saturating_mul(parts.len()) > MOST_SCOPES => vec![all()],
        scopes => scopes.iter().flat_map(|scope| parts.iter().map(move |part| format!("{scope}:{part}"))).collect(),
    }
}

/// Whether a scope stands for all rights.
fn is_all(scope: &str) -> bool {
    !scope.contains(char::is_alphanumeric) || ALL.contains(&snake_case(scope).as_str())
}

/// Whether an argument of this name says when a key ends.
fn is_expiry(name: &str) -> bool {
    EXPIRY.iter().any(|part| name.contains(part)) || name.split('_').any(|word| word.starts_with(TTL))
}

/// Whether an argument of this name says how long, and not at what time; and the unit of its numbers, in milliseconds, where
/// the name has one.
fn span(name: &str) -> (bool, Option<i64>) {
    let words: Vec<&str> = name.split('_').collect();
    let unit = words.last().and_then(|word| unit_ms(word));
    let says_span = |word: &&str| word.starts_with(TTL) || word.contains("lifetime") || matches!(*word, "in" | "after");
    // `expiration_seconds` are so many.
    let is_span = words.iter().any(says_span) || unit.is_some() && !words.iter().any(|word| TIMES.contains(word));
    (is_span, unit)
}

fn expiry(name: &str, value: &Value, now_ms: i64) -> Expiry {
    let end = match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => numbered(name, whole),
            None => Expiry::Said(number.to_string()),
        },
        Value::String(text) => {
            let text = text.trim();
            match (text.parse(), time_ms(text)) {
                _ if NEVER.iter().any(|never| text.eq_ignore_ascii_case(never)) => Expiry::Never,
                (Ok(whole), _) => numbered(name, whole),
                (_, Some(at)) => Expiry::At(at),
                (Err(_), None) => match lifetime_ms(text) {
                    Some(life) if life > 0 => Expiry::After(life),
                    Some(_) => Expiry::Never,
                    None => Expiry::Said(text.to_owned()),
                },
            }
        }
        _ => Expiry::Never,
    };
    match end {
        // No key is made to have ended: it is meant otherwise, perhaps as a number of milliseconds that it lives.
        Expiry::At(at) if at < now_ms.saturating_sub(SLACK_MS) => {
            Expiry::Said(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }
        end => end,
    }
}

/// What a whole number says in an argument of this name.
fn numbered(name: &str, number: i64) -> Expiry {
    let said = || Expiry::Said(number.to_string());
    match span(name) {
        // Services take nothing for "never".
        _ if number <= 0 => Expiry::Never,
        (true, unit) => unit.and_then(|unit| number.checked_mul(unit)).map_or_else(said, Expiry::After),
        (false, Some(1)) => Expiry::At(number),
        (false, _) if number > 1_000_000_000 => Expiry::At(number.saturating_mul(1_000)),
        (false, _) => said(),
    }
}

/// A time, or a day, whose end counts.
fn time_ms(text: &str) -> Option<i64> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let day: chrono::NaiveDate = text.parse().ok()?;
    Some(day.succ_opt()?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

/// `90d`, `12 hours` and the like.
fn lifetime_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.find(char::is_alphabetic)?)?;
    // `M` is a month to some.
    let unit = if unit == "M" { return None } else { unit.to_ascii_lowercase() };
    number.trim().parse::<i64>().ok()?.checked_mul(unit_ms(&unit)?)
}

/// A unit of time by its name, at its longest.
fn unit_ms(name: &str) -> Option<i64> {
    Some(match name {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * 1_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 60 * 60 * 1_000,
        "d" | "day" | "days" => DAY_MS,
        "w" | "week" | "weeks" => 7 * DAY_MS,
        "month" | "months" => 31 * DAY_MS,
        "y" | "year" | "years" => 366 * DAY_MS,
        _ => return None,
    })
}

fn shown(time_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(time_ms);
    time.map_or_else(|| format!("{time_ms} ms"), |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
}

/// A span in the largest unit of which it is a whole number; in days where that would be a large number of seconds.
fn shown_life(life_ms: i64) -> String {
    let units = [(DAY_MS, "day"), (60 * 60 * 1_000, "hour"), (60 * 1_000, "minute"), (1_000, "second")];
    let whole = units.into_iter().find(|(unit, _)| life_ms % unit == 0);
    let (about, (unit, name)) = match whole {
        Some((unit, name)) if unit > 1_000 => ("", (unit, name)),
        _ if life_ms > 2 * DAY_MS => ("about ", (DAY_MS, "day")),
        whole => ("", whole.unwrap_or((1, "millisecond"))),
    };
    let count = life_ms / unit;
    format!("{about}{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Whether what one scope allows holds another: the same text but for `*`, or the same but for a lower level of access.
fn covers(most: &str, scope: &str) -> bool {
    if is_like(&scope.to_ascii_lowercase(), &most.to_ascii_lowercase()) {
        return true;
    }
    let split = |text: &str| {
        text.rsplit_once([':', '=', '.', '/']).map(|(what, level)| (what.to_ascii_lowercase(), level_of(level)))
    };
    match (split(most), split(scope)) {
        (Some((what, Some(most))), Some((asked, Some(level)))) => is_like(&asked, &what) && level <= most,
        _ => false,
    }
}

fn level_of(text: &str) -> Option<usize> {
    let text = snake_case(text);
    LEVELS.iter().position(|names| {
        names.iter().any(|name| text == *name || text.strip_suffix(name).is_some_and(|before| before.ends_with('_')))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn asked(arguments: Value) -> Grant {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        Grant::asked(["name", "scopes", "expires_at_ms"], &arguments, NOW)
    }

    fn ending(arguments: Value) -> Grant {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let names: Vec<&str> = arguments.keys().map(String::as_str).collect();
        Grant { scopes: Some(vec!["files:read".to_owned()]), ..Grant::asked(names, &arguments, NOW) }
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
        let without = Grant::asked(["name", "expires_at_ms"], &JsonObject::new(), NOW);
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
        let said = |text: &str| ending(json!({"expires_in": text}));
        assert!(said("90d").excess(&ceiling, NOW).is_none() && said("91d").excess(&ceiling, NOW).is_some());
        assert!(said("soon").excess(&ceiling, NOW).is_some(), "what is not understood is no end");
        assert!(said("soon").excess(&limited, NOW).is_some(), "and may be none");
    }

    #[test]
    fn how_long_is_told_from_when() {
        let ceiling = Ceiling { max_days: Some(90), ..Ceiling::default() };
        let day = DAY_MS;
        for (arguments, words, fits, note) in [
            (json!({"ttl_ms": 315_360_000_000_i64}), None, false, "3650 days after"),
            (json!({"ttl_ms": 30 * day}), None, true, "30 days after"),
            (json!({"ttlMs": 30 * day}), None, true, "30 days after"),
            (json!({"expires_in": 1_700_000_000}), Some("unclear end"), false, "not clear: 1700000000"),
            (json!({"expires_in_seconds": 86_400}), None, true, "1 day after"),
            (json!({"expires_in_days": "91"}), None, false, "91 days after"),
            (json!({"expirationSeconds": 3_600}), None, true, "1 hour after"),
            (json!({"expiry_ms": NOW + day}), None, false, "about 20718 days after"),
            (json!({"key_lifetime_days": 30}), None, true, "30 days after"),
            (json!({"ttl": "12 hours"}), None, true, "12 hours after"),
            (json!({"ttl": "30M"}), Some("unclear end"), false, "not clear: 30M"),
            (json!({"ttl": "-1d"}), Some("never expires"), false, "never"),
            (json!({"ttl": i64::MAX}), Some("unclear end"), false, "not clear"),
            (json!({"ttl_days": i64::MAX}), Some("unclear end"), false, "not clear"),
            (json!({"expires_at": (NOW + day) / 1_000}), None, true, "2026-09-22"),
            (json!({"expires_at": "2026-10-01"}), None, true, "2026-10-02 00:00"),
            (json!({"expires_at": "2026-10-01T00:00:00Z"}), None, true, "2026-10-01 00:00"),
            (json!({"expires_at": "2020-10-01T00:00:00Z"}), Some("unclear end"), false, "not clear: 2020"),
            (json!({"expires_at_ms": 315_360_000_000_i64}), Some("unclear end"), false, "not clear"),
            (json!({"expires_at_ms": (NOW + day).to_string()}), None, true, "2026-09-22"),
            (json!({"expires_after": {"seconds": 1}}), Some("never expires"), false, "never"),
            (json!({"throttle": 100}), Some("never expires"), false, "never"),
            (json!({"shuttle_id": "30d"}), Some("never expires"), false, "never"),
            // Each argument that was sent counts, and none that was not, in whatever order.
            (json!({"expires_in": "30d", "ttl": null}), None, true, "30 days after"),
            (json!({"ttl": null, "expires_in": "30d"}), None, true, "30 days after"),
            (json!({"ttl": "9y", "expires_at_ms": NOW + day}), None, false, "2026-09-22"),
            (json!({"expires_at_ms": NOW + day, "ttl": "9y"}), None, false, "3294 days after"),
            (json!({"expires_at_ms": 0, "ttl": "1d"}), Some("never expires"), false, "1 day after"),
        ] {
            let grant = ending(arguments.clone());
            assert_eq!(grant.words().as_deref(), words, "{arguments}");
            assert_eq!(grant.excess(&ceiling, NOW).is_none(), fits, "{arguments}: {:?}", grant.excess(&ceiling, NOW));
            assert!(grant.notes().iter().any(|told| told.contains(note)), "{arguments}: {:?}", grant.notes());
        }
    }

    #[test]
    fn no_part_of_a_scope_is_passed_over() {
        let scopes = |scopes: Value| asked(json!({"scopes": scopes, "expires_at_ms": NOW}));
        for all in [
            json!(["*:*"]),
            json!(["*.*"]),
            json!("**"),
            json!([{"resource_type": "*", "access_level": "*"}]),
            json!(["files:read", {}]),
            json!([{"resource_type": "*", "actions": []}]),
            json!({"admin": true}),
            json!([{"role": "admin"}]),
            json!(["files:read Admin"]),
        ] {
            assert_eq!(scopes(all.clone()).words().as_deref(), Some("all rights"), "{all}");
        }
        for (given, told) in [
            (json!([{"resource": "files", "actions": ["read", "admin"]}]), "files:read, files:admin"),
            (json!([{"resource": "files", "level": 3}]), "files:3"),
            (json!([{"resource": "files", "read": true, "write": true, "admin": false}]), "files:read, files:write"),
            (json!({"files": {"read": true}, "keys": {"admin": true}}), "files:read, keys:admin"),
            (json!({"contents": "write"}), "contents:write"),
            (json!({"role": "write"}), "write"),
            (json!([{"resource": "files", "level": "admin read"}]), "files:admin, files:read"),
            (json!({"files": "read", "keys": "admin"}), "files:read, keys:admin"),
            (json!("files:read;files:admin"), "files:read, files:admin"),
            (json!(["files:read", 5]), "files:read, 5"),
        ] {
            assert_eq!(scopes(given.clone()).notes()[0], format!("the key may do: {told}"), "{given}");
        }
        let ceiling = Ceiling { scopes: Some(vec!["files:write".to_owned()]), ..Ceiling::default() };
        for (given, fits) in [
            (json!([{"resource": "files", "actions": ["admin"]}]), false),
            (json!([{"resource": "files", "actions": ["read", "write"]}]), true),
            (json!({"files": "read", "keys": "read"}), false),
            (json!([{"resource": "files", "admin": true}]), false),
            (json!(["files:read", true]), false),
        ] {
            assert_eq!(scopes(given.clone()).excess(&ceiling, NOW).is_none(), fits, "{given}");
        }
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert!(scopes(json!([{"a": many, "b": many}])).is_unlimited());
    }
}
