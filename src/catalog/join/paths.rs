//! Comparing what specs and documents write differently: paths by the position of their placeholders, base URLs by site
//! and prefix, names by their letters.

/// The site and the path of a base URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// The site (`example.com` of `https://api.example.com:8443/v1`), where the URL names one for certain.
    site: Option<String>,
    /// The path without its last slash.
    pub(super) prefix: String,
}

impl Base {
    /// Takes a base URL apart; it may be relative, empty or have placeholders.
    pub(super) fn parse(url: &str) -> Self {
        let (host, path) = match url.split_once("://") {
            Some((_, rest)) => match rest.find('/') {
                Some(slash) => rest.split_at(slash),
                None => (rest, ""),
            },
            None => ("", url),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let prefix = if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Self { site: site(host), prefix }
    }

    /// Whether this is certainly another service than that of a document with these bases.
    pub(super) fn contradicts(&self, others: &[Self]) -> bool {
        let Some(own) = &self.site else { return false };
        !others.is_empty() && others.iter().all(|other| other.site.as_ref().is_some_and(|other| other != own))
    }
}

/// The last two labels of a host name. Addresses, bare names and placeholders may stand for any service.
fn site(host: &str) -> Option<String> {
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    let last = labels.last()?;
    let is_named =
        labels.len() >= 2 && last.chars().all(|character| character.is_ascii_alphabetic() || character == '-');
    let is_some_machine =
        host.contains(['{', '[']) || matches!(*last, "localhost" | "local" | "internal" | "test" | "invalid");
    if !is_named || is_some_machine {
        return None;
    }
    labels.get(labels.len() - 2..).map(|labels| labels.join("."))
}

/// A path with its placeholders all alike: `//v1/secrets/{name}/` → `/v1/secrets/{}`.
pub(super) fn shape(path: &str) -> String {
    let mut shape = String::new();
    for part in parts(path) {
        match part {
            Part::Placeholder(_) => shape.push_str("{}"),
            Part::Text(text) => {
                for character in text.chars() {
                    if character != '/' || !shape.ends_with('/') {
                        shape.push(character);
                    }
                }
            }
        }
    }
    let trimmed = shape.trim_end_matches('/');
    if trimmed.starts_with('/') { trimmed.to_owned() } else { format!("/{trimmed}") }
}

/// The names of a path's placeholders, in order.
pub(super) fn placeholders(path: &str) -> Vec<String> {
    let names = parts(path).into_iter().filter_map(|part| match part {
        Part::Placeholder(name) => Some(name.trim_matches([' ', '{', '}', '+', '*', '?', ';', '/']).to_owned()),
        Part::Text(_) => None,
    });
    names.collect()
}

enum Part<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// Splits a path at `{x}` and `{{x}}`; braces that do not match are text.
fn parts(path: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some((text, from)) = rest.find('{').map(|start| rest.split_at(start)) {
        let double = from.starts_with("{{");
        let close = if double { "}}" } else { "}" };
        let Some(end) = from.find(close) else { break };
        let (placeholder, behind) = from.split_at(end + close.len());
        parts.push(Part::Text(text));
        parts.push(Part::Placeholder(placeholder));
        rest = behind;
    }
    parts.push(Part::Text(rest));
    parts
}

/// A name by its letters and digits alone: `create-secret`, `createSecret` and `create_secret` are one.
pub(super) fn identifier(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_alike_by_position() {
        for (path, expected) in [
            ("/v1/secrets/{name}", "/v1/secrets/{}"),
            ("/v1/secrets/{{ id }}/", "/v1/secrets/{}"),
            ("v1//x", "/v1/x"),
            ("/a/{b}:{c}", "/a/{}:{}"),
            ("/a/{broken", "/a/{broken"),
            ("", "/"),
        ] {
            assert_eq!(shape(path), expected, "{path}");
        }
        assert_eq!(placeholders("/a/{b+}/{{c}}"), ["b", "c"]);
    }

    #[test]
    fn bases_contradict_only_where_both_name_a_site() {
        let base = |url: &str| Base::parse(url);
        assert_eq!(base("https://api.example.com:443/v1/").prefix, "/v1");
        assert_eq!(base("v2").prefix, "/v2");
        for (own, other, contradicts) in [
            ("https://api.example.com", "https://staging.example.com/v1", false),
            ("https://api.example.com", "https://api.example.org", true),
            ("http://127.0.0.1:8080", "https://api.example.org", false),
            ("http://localhost", "https://api.example.org", false),
            ("https://{host}/v1", "https://api.example.org", false),
            ("", "https://api.example.org", false),
            ("https://api.example.com", "/v1", false),
        ] {
            assert_eq!(base(own).contradicts(&[base(other)]), contradicts, "{own} {other}");
        }
        assert!(!base("https://api.example.com").contradicts(&[]));
    }
}
