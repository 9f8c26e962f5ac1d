//! Hosts and origins that a request may name: reading them in one spelling, and what the operator's entries cover.
//!
//! Knows no request.

use std::net::IpAddr;

use http::uri::Authority;

/// A host, as a request names it or the operator allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostRule {
    pub(super) host: String,
    /// None for any port.
    pub(super) port: Option<u16>,
}

/// An origin, as a browser names it or the operator allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OriginRule {
    pub(super) scheme: String,
    pub(super) host: String,
    /// None for any port.
    pub(super) port: Option<u16>,
}

impl HostRule {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.parse::<IpAddr>() {
            Ok(address) => Some(Self { host: address.to_string(), port: None }),
            Err(_) => parse_host(text).filter(|host| !host.host.contains('*')),
        }
    }

    pub(super) fn text(&self) -> String {
        let host = bracketed(&self.host);
        self.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }
}

impl OriginRule {
    /// An entry of the operator: an origin, or one with `*` for its port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix(":*") {
            Some(start) => Self::parse_exact(start)
                .filter(|_| start.rsplit_once(':').is_some_and(|(_, rest)| rest.parse::<u16>().is_err()))
                .map(|rule| Self { port: None, ..rule }),
            None => Self::parse_exact(text),
        }
    }

    /// An origin as a browser sends it (RFC 6454, section 6.2). `null` is none that could be told apart.
    pub(super) fn parse_exact(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let HostRule { host, port } = parse_host(authority)?;
        let port = port.or(match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        })?;
        Some(Self { scheme, host, port: Some(port) })
    }

    pub(super) fn covers(&self, origin: &Self) -> bool {
        self.scheme == origin.scheme && self.host == origin.host && (self.port.is_none() || self.port == origin.port)
    }

    pub(super) fn is_loopback(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https")
            && (self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(is_loopback))
    }
}

/// `host` or `host:port`, the host in one spelling: lower case, without brackets and final dot.
pub(super) fn parse_host(text: &str) -> Option<HostRule> {
    let authority = Authority::try_from(text).ok().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let host = host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |address| address.to_canonical().to_string());
    let rest = authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest);
    let port = match rest.rsplit_once(':') {
        None => None,
        Some((_, port)) => Some(port.parse().ok()?),
    };
    (!host.is_empty()).then_some(HostRule { host, port })
}

pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
