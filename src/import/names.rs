//! Names as the official language has them, each once.

use std::collections::{BTreeSet, HashMap};

use crate::catalog::names;

/// The longest name of a tool or an operation, so that clients are offered it as it is.
const MAX_NAME: usize = 60;

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    names: BTreeSet<String>,
    /// The number to try next for a name that was taken: documents of a stranger may repeat one a hundred thousand times.
    next: HashMap<String, usize>,
}

impl Taken {
    /// The name, with a number behind it where it is taken already.
    pub(super) fn unique(&mut self, name: String, separator: char) -> String {
        if self.names.insert(name.clone()) {
            return name;
        }
        let number = self.next.entry(format!("{name}{separator}")).or_insert(2);
        loop {
            let candidate = format!("{name}{separator}{number}");
            *number += 1;
            if self.names.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

/// A name of letters, digits and hyphens: `listPets` → `list-pets`.
pub(super) fn kebab(name: &str, otherwise: &str) -> String {
    let kebab = names::snake_case(name).replace('_', "-");
    let kebab: String = kebab.chars().take(MAX_NAME).collect();
    match kebab.trim_end_matches('-') {
        "" => otherwise.to_owned(),
        kebab => kebab.to_owned(),
    }
}

/// The name of an operation that has none: `GET /pets/{petId}` → `get-pets-by-pet-id`.
pub(super) fn of_request(method: &str, path: &str) -> String {
    let mut words = vec![method.to_ascii_lowercase()];
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if segment.starts_with('{') {
            words.push("by".to_owned());
        }
        words.push(kebab(segment, "x"));
    }
    kebab(&words.join("-"), "operation")
}

/// A name of a variable of the environment: `pet-store` and `token` → `PET_STORE_TOKEN`.
pub(super) fn variable(namespace: &str, what: &str) -> String {
    let name = names::snake_case(&format!("{namespace}_{what}")).to_ascii_uppercase();
    if name.starts_with(|first: char| first.is_ascii_uppercase()) { name } else { format!("API_{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_language_and_stay_apart() {
        assert_eq!(kebab("listAPIKeys", "x"), "list-api-keys");
        assert_eq!(kebab("ä", "operation"), "operation");
        assert_eq!(of_request("DELETE", "/widgets/{widgetId}"), "delete-widgets-by-widget-id");
        assert_eq!(of_request("GET", "/"), "get");
        assert_eq!(variable("3d-shop", "token"), "API_3D_SHOP_TOKEN");
        let mut taken = Taken::default();
        let names = ["a", "a", "a-2"].map(|name| taken.unique(name.to_owned(), '-'));
        assert_eq!(names, ["a", "a-2", "a-2-2"]);
        let mut taken = Taken::default();
        let names = ["a-2", "a", "a", "a"].map(|name| taken.unique(name.to_owned(), '-'));
        assert_eq!(names, ["a-2", "a", "a-3", "a-4"]);
    }
}
