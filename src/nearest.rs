//! The name that was probably meant, among those that are known.

/// Longer names are no slips of known ones, and comparing them would cost time.
const MAX_NAME_BYTES: usize = 128;

/// Of more names than these the others are not looked at, or not compared: each problem of a file asks for one.
const MAX_SEEN: usize = 5_000;
const MAX_COMPARED: usize = 500;

/// The known name that is nearest to a given one, if it is near enough to be a slip.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.is_empty() || given.len() > MAX_NAME_BYTES {
        return None;
    }
    let given = given.to_lowercase();
    let length = given.chars().count();
    // A slip is about as long as what was meant, and nobody slips among thousands.
    let is_as_long = |name: &&str| {
        name.len() <= 2 * MAX_NAME_BYTES
            && name.chars().count().abs_diff(length) <= (given.len().max(name.len()) / 3).max(1)
    };
    known
        .into_iter()
        .take(MAX_SEEN)
        .filter(is_as_long)
        .take(MAX_COMPARED)
        .map(|name| (strsim::osa_distance(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (given.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_for_a_slip() {
        let known = ["create_secret", "delete_secret", "list_secrets"];
        assert_eq!(nearest("list_secret", known), Some("list_secrets"));
        assert_eq!(nearest("Create-Secret", known), Some("create_secret"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("nam", ["name", "value"]), Some("name"));
        assert_eq!(nearest("listSecrets", known), Some("list_secrets"));
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
    }
}
