//! Base URLs of services: what one may look like, and whether it stays on this machine.

use url::Url;

/// Checks and normalises a base URL. The error says what is wrong, to be put behind the URL's name.
pub fn base_url(text: &str) -> Result<Url, &'static str> {
    let mut url =
        Url::parse(text.trim()).map_err(|_| "is not a URL; expected one like `https://api.example.com/v1`")?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() || !url.has_host() {
        return Err("must start with `https://` or `http://` and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user or password; give the credential by reference");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither a query nor a fragment");
    }
    if url.path().contains(['{', '}']) || text.contains(['{', '}']) {
        return Err("still holds a placeholder; set the real address");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether a URL names this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A base URL for a message: user information, a password among it, is left out.
pub fn shown(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let path = path.split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None if text.contains('@') => "…".to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_checked() {
        for (text, expected) in [
            ("https://api.runloop.ai", Some("https://api.runloop.ai/")),
            (" http://127.0.0.1:80/v1/ ", Some("http://127.0.0.1/v1")),
            ("", None),
            ("api.runloop.ai", None),
            ("ftp://host/", None),
            ("https://user:pass@host/", None),
            ("https://host/?a=b", None),
            ("https://{region}.host/", None),
            ("https://host/{version}", None),
            ("https:///path", Some("https://path/")),
        ] {
            assert_eq!(base_url(text).ok().map(|url| url.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        assert_eq!(shown("https://user:canary@host.test/v1?key=canary"), "https://host.test/v1");
        assert_eq!(shown("https://a@b:canary@host.test"), "https://host.test");
        assert_eq!(shown("user:canary@host.test"), "…");
        assert_eq!(shown("{region}.host.test"), "{region}.host.test");
    }
}
