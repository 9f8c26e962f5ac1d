//! Scopes that are texts, `RESOURCE:ACTION`, as RunTools and Runtype write them: reading them, and what a set of them
//! covers. `*` is everything, `RESOURCE:*` every action on one kind of thing; nothing else includes another, since no
//! source says that it does.

use serde_json::Value;

use super::{error::ApiError, limits::Limits};

/// How many a key may list: far more than there are different ones.
const MOST: usize = 100;

/// Reads back what a key's row holds. A row without any grants nothing.
pub(super) fn stored(scopes: Option<&str>) -> Result<Vec<String>, ApiError> {
    serde_json::from_str(scopes.unwrap_or("[]")).map_err(ApiError::internal)
}

/// As a key's row holds them.
pub(super) fn to_row(scopes: &[String]) -> Result<String, ApiError> {
    serde_json::to_string(scopes).map_err(ApiError::internal)
}

/// Whether a key with these scopes has that one.
pub(super) fn covers(granted: &[String], wanted: &str) -> bool {
    let resource = wanted.split_once(':').map(|(resource, _)| resource);
    granted
        .iter()
        .any(|scope| scope == "*" || scope == wanted || resource.is_some() && scope.strip_suffix(":*") == resource)
}

/// The texts of a member that is a list of known ones, each once. The text of an error has the place and what is known,
/// and not what was sent: it may be a key.
pub(super) fn sent(member: &str, entries: &[Value], known: &[&str]) -> Result<Vec<String>, ApiError> {
    if entries.len() > MOST {
        return Err(ApiError::invalid(format!("`{member}` must have at most {MOST} entries")));
    }
    let mut scopes: Vec<String> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let scope = entry.as_str().filter(|scope| known.contains(scope)).ok_or_else(|| {
            let known: Vec<String> = known.iter().map(|scope| format!("`{scope}`")).collect();
            ApiError::invalid(format!("`{member}[{at}]` must be one of {}", known.join(", ")))
        })?;
        if !scopes.iter().any(|other| other == scope) {
            scopes.push(scope.to_owned());
        }
    }
    Ok(scopes)
}

/// The longest name, in characters: Runtype's documents say so, RunTools' say nothing.
const LONGEST_NAME: usize = 255;

/// A name of a key: as long as it may be here and there.
pub(super) fn checked_name(limits: &Limits, name: String) -> Result<String, ApiError> {
    let longest = limits.max_name_length.min(LONGEST_NAME);
    if name.chars().count() <= longest && !name.trim().is_empty() {
        return Ok(name);
    }
    Err(ApiError::invalid(format!("`name` must have 1 to {longest} characters, not all of them white space")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_covers_what_it_stands_for_and_nothing_else_covers_another() {
        let cases: [(&[&str], &str, bool); 11] = [
            (&[], "org:read", false),
            (&["*"], "org:read", true),
            (&["*"], "*", true),
            (&["org:*"], "org:read", true),
            (&["org:*"], "org:*", true),
            (&["org:*"], "organ:read", false),
            (&["org:*"], "*", false),
            (&["org:write"], "org:read", false),
            (&["org:read"], "org:*", false),
            (&["files:read", "org:read"], "org:read", true),
            (&["org"], "org:read", false),
        ];
        for (granted, wanted, expected) in cases {
            let granted: Vec<String> = granted.iter().map(|scope| (*scope).to_owned()).collect();
            assert_eq!(covers(&granted, wanted), expected, "{granted:?} {wanted}");
        }
    }

    #[test]
    fn unknown_scopes_are_refused_by_place_without_being_shown() {
        let known = ["*", "org:read"];
        assert_eq!(
            sent("scopes", &[json!("org:read"), json!("*"), json!("org:read")], &known).unwrap(),
            ["org:read", "*"]
        );
        for wrong in [json!("rt_live_canary"), json!(1), json!(null), json!(["*"]), json!(""), json!("ORG:READ")] {
            let error = format!("{:?}", sent("scopes", &[json!("*"), wrong], &known).unwrap_err());
            assert!(error.contains("`scopes[1]` must be one of `*`, `org:read`"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(sent("scopes", &vec![json!("*"); MOST + 1], &known).is_err());
    }
}
