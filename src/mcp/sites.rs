//! Where a request may come from and which host it may name: both are how a page that a person opens elsewhere reaches a
//! server on their own machine (DNS rebinding).
//!
//! Knows no credentials.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, header, request};

use super::{
    guard::GuardError,
    hosts::{HostRule, OriginRule, bracketed, is_loopback, parse_host},
    http::HttpOptions,
    refusal::Refusal,
};

/// Hosts and origins that requests may name.
#[derive(Debug)]
pub(super) struct Sites {
    hosts: Vec<HostRule>,
    /// Listening on all addresses means that the address a client used is not known beforehand. Any literal address is
    /// safe: DNS rebinding needs a name.
    any_address: bool,
    origins: Vec<OriginRule>,
    loopback_origins: bool,
}

impl Sites {
    /// Those of a server that listens on this address. Loopback names and the address itself are always allowed as hosts,
    /// and loopback origins are when the address is a loopback one; the options add to that.
    pub(super) fn new(address: SocketAddr, options: &HttpOptions) -> Result<Self, GuardError> {
        let mut hosts: Vec<HostRule> = ["localhost", "127.0.0.1", "::1"]
            .into_iter()
            .map(|host| HostRule { host: host.to_owned(), port: None })
            .collect();
        hosts.push(HostRule { host: address.ip().to_canonical().to_string(), port: None });
        for text in &options.allowed_hosts {
            hosts.push(HostRule::parse(text).ok_or_else(|| GuardError::Host(text.clone()))?);
        }
        let origins = options
            .allowed_origins
            .iter()
            .map(|text| OriginRule::parse(text).ok_or_else(|| GuardError::Origin(text.clone())))
            .collect::<Result<_, _>>()?;
        let (any_address, loopback_origins) = (address.ip().is_unspecified(), is_loopback(address.ip()));
        Ok(Self { hosts, any_address, origins, loopback_origins })
    }

    /// The hosts, in the words of the MCP library; empty when the library cannot express them and has to let all pass.
    pub(super) fn library_hosts(&self) -> Vec<String> {
        if self.any_address {
            return Vec::new();
        }
        self.hosts.iter().map(|rule| rule.text()).collect()
    }

    /// The origins, in the words of the MCP library.
    pub(super) fn library_origins(&self) -> Vec<String> {
        let loopback = ["http", "https"]
            .into_iter()
            .filter(|_| self.loopback_origins)
            .flat_map(|scheme| ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{scheme}://{host}:*")));
        let own = self.origins.iter().map(|rule| {
            let port = rule.port.map_or_else(|| "*".to_owned(), |port| port.to_string());
            format!("{}://{}:{port}", rule.scheme, bracketed(&rule.host))
        });
        loopback.chain(own).collect()
    }

    /// Whether only this machine reaches the server.
    pub(super) fn is_local(&self) -> bool {
        self.loopback_origins
    }

    /// Whether the operator listed origins.
    pub(super) fn lists_origins(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Whether this is an origin that the operator listed.
    pub(super) fn is_listed(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().ok().and_then(OriginRule::parse_exact);
        origin.is_some_and(|origin| self.origins.iter().any(|rule| rule.covers(&origin)))
    }

    /// Refuses a request that names another host, or comes from another origin.
    pub(super) fn check(&self, request: &request::Parts) -> Result<(), Refusal> {
        self.check_host(request)?;
        self.check_origin(&request.headers)
    }

    /// Refuses a request that names another host.
    pub(super) fn check_host(&self, request: &request::Parts) -> Result<(), Refusal> {
        let mut named = request.headers.get_all(header::HOST).iter();
        let header = match (named.next(), named.next()) {
            (None, _) => None,
            (Some(host), None) => Some(host.to_str().ok().and_then(parse_host).ok_or(Refusal::BAD_HOST)?),
            (Some(_), Some(_)) => return Err(Refusal::BAD_HOST),
        };
        // HTTP/2 names the host in the target, and so does a request in absolute form (RFC 9112, section 3.2.2).
        let target = match request.uri.authority() {
            None => None,
            Some(authority) => Some(parse_host(authority.as_str()).ok_or(Refusal::BAD_HOST)?),
        };
        if header.is_none() && target.is_none() {
            return Err(Refusal::BAD_HOST);
        }
        if header.iter().chain(&target).all(|host| self.is_allowed_host(host)) {
            Ok(())
        } else {
            Err(Refusal::FOREIGN_HOST)
        }
    }

    fn is_allowed_host(&self, asked: &HostRule) -> bool {
        (self.any_address && asked.host.parse::<IpAddr>().is_ok())
            || self
                .hosts
                .iter()
                .any(|rule| rule.host == asked.host && rule.port.is_none_or(|port| asked.port == Some(port)))
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().ok().and_then(OriginRule::parse_exact).ok_or(Refusal::FOREIGN_ORIGIN)?;
            let loopback = self.loopback_origins && origin.is_loopback();
            if !loopback && !self.origins.iter().any(|rule| rule.covers(&origin)) {
                return Err(Refusal::FOREIGN_ORIGIN);
            }
        }
        Ok(())
    }
}
