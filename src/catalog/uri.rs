//! The URI of a resource: fixed, or a template whose `{name}` each stand for one segment of a path or a part of one
//! (RFC 6570, level 1). Read at load; matched against what a client asks for.
//!
//! A value never holds a slash as it is written, so no request reaches beyond the place its template gives it.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

/// The longest URI that is looked for, in bytes.
const MAX_URI_BYTES: usize = 8 * 1024;

/// The URI of a resource, with placeholders or without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriTemplate {
    /// The text before the first placeholder, then each placeholder with the text behind it.
    start: String,
    parts: Vec<(String, String)>,
}

impl UriTemplate {
    /// Reads a URI with `{name}` placeholders; `{{name}}` says the same. Error: what is wrong with it, to follow its text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().replace("{{", "{").replace("}}", "}");
        let mut pieces = text.split('{');
        let start = pieces.next().unwrap_or_default().to_owned();
        let mut parts: Vec<(String, String)> = Vec::new();
        for piece in pieces {
            let Some((name, rest)) = piece.split_once('}') else {
                return Err("has a `{` without a `}`".to_owned());
            };
            let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
            if name.is_empty() || !name.chars().all(fits) {
                return Err(format!(
                    "has `{{{name}}}`, which is not a name between braces; a placeholder stands for one segment of the path"
                ));
            }
            if parts.iter().any(|(known, _)| known == name) {
                return Err(format!("has the placeholder `{name}` twice"));
            }
            if parts.last().is_some_and(|(_, between)| between.is_empty()) {
                return Err(format!("has nothing between `{{{name}}}` and the placeholder before it"));
            }
            parts.push((name.to_owned(), rest.to_owned()));
        }
        let template = Self { start, parts };
        let example = template.with(|_| "x");
        if text.chars().any(|character| character.is_whitespace() || character.is_control()) || example.contains('}') {
            return Err("is not a URI: it holds a blank or a brace of its own".to_owned());
        }
        if Url::parse(&example).is_err() || !template.start.contains(':') {
            return Err("is not a URI: a scheme is missing, as in `docs://pets/list`".to_owned());
        }
        if example.len() > MAX_URI_BYTES {
            return Err(format!("is longer than {MAX_URI_BYTES} bytes"));
        }
        Ok(template)
    }

    /// Whether there is no placeholder in it.
    pub fn is_fixed(&self) -> bool {
        self.parts.is_empty()
    }

    /// The names of its placeholders, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|(name, _)| name.as_str())
    }

    /// The same for all templates that match the same URIs.
    pub(super) fn shape(&self) -> String {
        self.with(|_| "{}")
    }

    /// The values of the placeholders, where a URI is one of this template. Each is decoded, and none is empty.
    pub fn matches(&self, uri: &str) -> Option<Vec<(&str, String)>> {
        if uri.len() > MAX_URI_BYTES {
            return None;
        }
        let mut rest = uri.strip_prefix(self.start.as_str())?;
        let mut values = Vec::new();
        for (index, (name, behind)) in self.parts.iter().enumerate() {
            let is_last = index + 1 == self.parts.len();
            // The shortest value that fits, but no empty one; the last has to reach to the end.
            let end = match behind.as_str() {
                "" => rest.len(),
                text if is_last => rest.len().checked_sub(text.len()).filter(|_| rest.ends_with(text))?,
                text => {
                    let first = rest.chars().next()?.len_utf8();
                    rest.get(first..)?.find(text)? + first
                }
            };
            let value = rest.get(..end).filter(|value| !value.is_empty() && !value.contains(['/', '?', '#']))?;
            values.push((name.as_str(), percent_decode_str(value).decode_utf8().ok()?.into_owned()));
            rest = rest.get(end + behind.len()..)?;
        }
        rest.is_empty().then_some(values)
    }

    /// The URI with these texts in the place of its placeholders.
    fn with<'a>(&'a self, text: impl Fn(&'a str) -> &'a str) -> String {
        let parts = self.parts.iter().map(|(name, behind)| format!("{}{behind}", text(name)));
        format!("{}{}", self.start, parts.collect::<String>())
    }
}

impl fmt::Display for UriTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.start)?;
        self.parts.iter().try_for_each(|(name, behind)| write!(formatter, "{{{name}}}{behind}"))
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::utf8_percent_encode;
    use proptest::prelude::*;

    use super::{super::path::ENCODED, *};

    fn values(template: &str, uri: &str) -> Option<Vec<String>> {
        let template = UriTemplate::parse(template).expect("a template");
        template.matches(uri).map(|values| values.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn a_placeholder_is_one_segment_or_a_part_of_one() {
        for (template, uri, expected) in [
            ("data://pets/list", "data://pets/list", Some(vec![])),
            ("data://pets/list", "data://pets/list/", None),
            ("data://users/{id}/profile", "data://users/7/profile", Some(vec!["7"])),
            ("data://users/{{id}}/profile", "data://users/a%20b%2Fc/profile", Some(vec!["a b/c"])),
            ("data://users/{id}/profile", "data://users//profile", None),
            ("data://users/{id}/profile", "data://users/a/b/profile", None),
            ("data://users/{id}/profile", "data://users/7/profile?x=1", None),
            ("data://users/{id}", "data://users/a?x=1", None),
            ("data://users/{id}", "data://users/%ff", None),
            ("data://{kind}-{id}.json", "data://cat-7.json", Some(vec!["cat", "7"])),
            ("data://{kind}-{id}.json", "data://cat-.json", None),
            ("data://{kind}-{id}.json", "data://-cat-7.json", Some(vec!["-cat", "7"])),
            ("data://{a}/{b}", "data://1/2", Some(vec!["1", "2"])),
            ("data://{a}/{b}", "data://1/2/3", None),
        ] {
            let expected = expected.map(|values| values.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(values(template, uri), expected, "{template} and {uri}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, part) in [
            ("pets", "a scheme is missing"),
            ("", "a scheme is missing"),
            ("{scheme}://pets", "a scheme is missing"),
            ("data://pets/{id", "without a `}`"),
            ("data://pets/id}", "a brace of its own"),
            ("data://pets/{}", "`{}`"),
            ("data://pets/{+path}", "`{+path}`"),
            ("data://pets/{?q}", "`{?q}`"),
            ("data://pets/{id}/{id}", "twice"),
            ("data://pets/{a}{b}", "nothing between"),
            ("data://pets/a b", "a blank"),
        ] {
            let problem = UriTemplate::parse(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_fills_in_comes_back(one in "\\PC{1,12}", two in "\\PC{1,12}") {
            let template = UriTemplate::parse("data://{one}/x/{two}/y").expect("a template");
            let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
            let uri = format!("data://{}/x/{}/y", encoded(&one), encoded(&two));
            prop_assert_eq!(template.matches(&uri), Some(vec![("one", one), ("two", two)]));
        }

        #[test]
        fn no_value_is_more_than_a_segment(uri in "data://[a-c/.%2F?#]{0,24}|\\PC{0,40}") {
            let template = UriTemplate::parse("data://a/{one}-{two}/b").expect("a template");
            for (_, value) in template.matches(&uri).unwrap_or_default() {
                prop_assert!(!value.is_empty());
                prop_assert!(uri.starts_with("data://a/") && uri.ends_with("/b") && uri.matches('/').count() == 4);
            }
        }
    }
}
