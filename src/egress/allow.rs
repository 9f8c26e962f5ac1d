//! What the operator names as reachable: an entry of `egress.allow`, or the address of a setting.

use std::{net::IpAddr, str::FromStr};

use url::{Host, Url};

use super::address::Network;
use crate::base_url::{base_url, shown};

/// An origin: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    scheme: String,
    host: Host,
    port: u16,
}

impl Site {
    /// That of a URL; none of one without a host.
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self { scheme: url.scheme().to_owned(), host: url.host()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Whether a URL is of this origin.
    pub fn is_of(&self, url: &Url) -> bool {
        self.scheme == url.scheme()
            && url.host().is_some_and(|host| is_same(&self.host, &host))
            && url.port_or_known_default() == Some(self.port)
    }
}

fn is_same(own: &Host, host: &Host<&str>) -> bool {
    match (own, host) {
        (Host::Domain(own), Host::Domain(host)) => own == host,
        (Host::Ipv4(own), Host::Ipv4(host)) => own == host,
        (Host::Ipv6(own), Host::Ipv6(host)) => own == host,
        _ => false,
    }
}

/// The address of a URL whose host is one.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// `http://HOST:PORT`: this origin, whether it is encrypted or not.
    Origin(Site),
    /// `HOST` or `HOST:PORT`.
    Host(Host, Option<u16>),
    /// `*.DOMAIN` or `*.DOMAIN:PORT`: the names below a domain, without itself. Begins with a dot.
    Below(String, Option<u16>),
    /// An address, or a range of them as `ADDRESS/BITS`.
    Network(Network),
}

/// How exactly a URL is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// By its host or address.
    Host,
    /// By its origin.
    Origin,
}

impl Allowed {
    /// How exactly this names a URL, if it does.
    pub(super) fn names(&self, url: &Url) -> Option<Named> {
        let port_fits = |port: &Option<u16>| port.is_none() || *port == url.port_or_known_default();
        match self {
            Self::Origin(site) => site.is_of(url).then_some(Named::Origin),
            Self::Host(own, port) => {
                (url.host().is_some_and(|host| is_same(own, &host)) && port_fits(port)).then_some(Named::Host)
            }
            Self::Below(domain, port) => {
                let is_below = url.domain().and_then(|host| host.strip_suffix(domain.as_str()));
                (is_below.is_some_and(|rest| !rest.is_empty()) && port_fits(port)).then_some(Named::Host)
            }
            Self::Network(network) => literal(url).is_some_and(|address| network.holds(address)).then_some(Named::Host),
        }
    }

    /// Whether this names an address that a name leads to.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        matches!(self, Self::Network(network) if network.holds(address))
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a host (`api.example.com`, `*.example.com`), one with its port \
                                (`api.example.com:8443`), an origin (`http://api.example.com:8080`), an address or a range \
                                of them (`10.1.2.0/24`)";
        let fault = |problem: &str| format!("`{}` {problem}; {EXPECTED}", shown(text));
        if text.contains("://") {
            let url = base_url(text).map_err(fault)?;
            if url.path() != "/" {
                return Err(fault("has a path, which counts for nothing here"));
            }
            return Site::of(&url).map(Self::Origin).ok_or_else(|| fault("names no host"));
        }
        if let Ok(network) = Network::read(text) {
            return Ok(Self::Network(network));
        }
        if text.contains('/') {
            return Err(fault(Network::read(text).err().unwrap_or_default()));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or_else(|| fault("has no port behind its `:`"))?))
            }
            _ => (text, None),
        };
        let (is_below, name) = match host.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, host),
        };
        // As it is read in URLs: odd spellings of addresses are addresses there as well.
        let url = Url::parse(&format!("https://{name}/")).ok().filter(|url| {
            url.path() == "/" && url.username().is_empty() && url.password().is_none() && url.port().is_none()
        });
        let host = url.as_ref().and_then(Url::host).ok_or_else(|| fault("is no host"))?.to_owned();
        match host {
            Host::Domain(name) if name.contains('*') => Err(fault("has `*` in a place where it means nothing")),
            Host::Domain(name) if is_below => Ok(Self::Below(format!(".{name}"), port)),
            host if is_below => Err(fault(&format!("puts `*.` before the address {host}"))),
            host => Ok(Self::Host(host, port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_urls() {
        for (entry, named, others) in [
            (
                "api.pets.test",
                "https://api.pets.test/x https://API.pets.test:8443",
                "https://pets.test https://x.api.pets.test",
            ),
            ("api.pets.test:8443", "https://api.pets.test:8443", "https://api.pets.test"),
            (
                "*.pets.test",
                "https://a.pets.test https://a.b.pets.test",
                "https://pets.test https://apets.test https://10.0.0.1",
            ),
            ("http://pets.test:80", "http://pets.test/x", "https://pets.test http://pets.test:81"),
            ("10.0.0.0/8", "https://10.1.2.3 https://167837955", "https://11.1.2.3 https://ten.test"),
            ("10.1.2.3", "https://10.1.2.3:99", "https://10.1.2.4"),
            ("10.1.2.3:99", "https://10.1.2.3:99", "https://10.1.2.3"),
            ("[fd00::1]:99", "https://[fd00::1]:99", "https://[fd00::1]"),
            ("fd00::/8", "https://[fd00::1]:99", "https://[fe00::1]"),
            ("bücher.test", "https://xn--bcher-kva.test", "https://bucher.test"),
        ] {
            let allowed: Allowed = entry.parse().expect(entry);
            for (urls, expected) in [(named, true), (others, false)] {
                for url in urls.split(' ') {
                    let is_named = allowed.names(&Url::parse(url).expect(url)).is_some();
                    assert_eq!(is_named, expected, "{entry} {url}");
                }
            }
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for bad in [
            "",
            "*",
            "*.",
            "a.*.test",
            "https://pets.test/v1",
            "ftp://pets.test",
            "10.0.0.1/8",
            "10.0.0.0/99",
            "pets.test:0",
            "pets.test:x",
            "pets test",
            "user:pass@pets.test",
            "https://user:canary@pets.test",
            "pets.test/path",
            "*.10.0.0.1",
        ] {
            let problem = bad.parse::<Allowed>().expect_err(bad);
            assert!(problem.contains("expected a host") && !problem.contains("canary"), "{problem}");
        }
    }
}
