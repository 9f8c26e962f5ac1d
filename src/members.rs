//! Members of objects under other names.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// The same members, in the same order, each under what `change` gives for its name, where it gives anything. Names that
/// become the same are numbered: no member is lost.
pub(crate) fn renamed(
    members: Map<String, Value>,
    mut change: impl FnMut(&str) -> Option<String>,
) -> Map<String, Value> {
    let changed: Vec<Option<String>> = members.keys().map(|name| change(name)).collect();
    let kept = members.keys().zip(&changed).filter(|(_, changed)| changed.is_none());
    let mut taken: HashSet<String> = kept.map(|(name, _)| name.clone()).collect();
    // Where the search for a free number goes on: whoever sends the same name many times must not make it long.
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut named = Map::new();
    for ((name, member), changed) in members.into_iter().zip(changed) {
        let Some(plain) = changed else {
            named.insert(name, member);
            continue;
        };
        let first = next.get(&plain).copied().unwrap_or(1);
        let numbered =
            (first..).map(|number| (number, if number == 1 { plain.clone() } else { format!("{plain}_{number}") }));
        if let Some((number, free)) = numbered.into_iter().find(|(_, name)| !taken.contains(name)) {
            next.insert(plain, number.saturating_add(1));
            taken.insert(free.clone());
            named.insert(free, member);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_member_is_lost_under_another_name() {
        let value = json!({"a1": 1, "b": 2, "a2": 3, "a": 4, "a_2": 5, "a3": 6});
        let Value::Object(members) = value else { unreachable!() };
        let named =
            renamed(members, |name| name.strip_prefix('a').filter(|rest| rest.len() == 1).map(|_| "a".to_owned()));
        assert_eq!(Value::Object(named).to_string(), r#"{"a_3":1,"b":2,"a_4":3,"a":4,"a_2":5,"a_5":6}"#);
    }
}
