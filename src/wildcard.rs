//! Names and patterns in which `*` stands for any text.

/// Whether a name is like a pattern from its start to its end. `*` stands for any letters or none, everything else for itself.
pub(crate) fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_like_patterns_from_end_to_end() {
        for (name, pattern, alike) in [
            ("get_secret", "get_secret", true),
            ("get_secrets", "get_secret", false),
            ("get_secret", "*", true),
            ("get_secret", "get_*", true),
            ("a_get_secret", "get_*", false),
            ("get_secret", "*_secret", true),
            ("get_secret", "g*s*t", true),
            ("get_secret", "g*s", false),
            ("get_secret", "*e*e*e*", true),
            ("get_secret", "*e*e*e*e*", false),
            ("ab", "ab*b", false),
            ("aba", "ab*ba", false),
            ("files:read", "*:read", true),
            ("a", "", false),
            ("", "*", true),
        ] {
            assert_eq!(is_like(name, pattern), alike, "{name} {pattern}");
        }
    }
}
