//! Where requests may go: to what the operator named, and to what the loaded specs state; to nothing that an argument, an
//! answer or a redirect says.
//!
//! | named by | scheme | addresses |
//! |---|---|---|
//! | the operator, by its origin | any | public, private |
//! | the operator, by its host | `https` | public, private |
//! | a spec | `https` | public |
//! | either, as `localhost` or a loopback address | any | loopback alone |
//!
//! The operator names by `--backend URL`, by the issuer of callers' tokens, and by `egress.allow`. Addresses and ranges in
//! `egress.allow` may be reached whoever names what leads to them; a loopback address only where it is named itself.
//! With `egress.only` what specs state counts for nothing.
//!
//! Must not know specs, tools, nor how names are looked up.

pub mod address;
mod allow;

use std::{fmt, net::IpAddr, sync::Arc};

use url::Url;

pub use self::allow::{Allowed, Site};
use self::{
    address::{Kind, kind},
    allow::{Named, literal},
};
use crate::base_url::is_loopback;

/// What the operator says of where requests may go.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    allowed: Vec<Allowed>,
    only: bool,
}

/// Where the requests of one set-up may go.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    policy: Arc<Policy>,
    /// What specs state and the policy does not refuse.
    stated: Vec<Site>,
}

/// How far the addresses may be that the name of a host leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The public Internet.
    Public,
    /// As well private networks.
    Private,
    /// This machine alone.
    Loopback,
}

/// Why a request may not go where it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody who may has named the host.
    Unnamed,
    /// It is not encrypted, and the operator has not named the origin.
    Unencrypted,
    /// The host is an address that is not public.
    Address,
    /// The name of the host leads to addresses none of which may be reached.
    Resolved,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unnamed => "it is not among the hosts that may be called",
            Self::Unencrypted => "it is not encrypted",
            Self::Address => "it is an address of a private or special network",
            Self::Resolved => "its name leads to no address of the public Internet",
        })
    }
}

impl std::error::Error for Refusal {}

impl Policy {
    /// What is allowed besides what specs state or, with `only`, in its place.
    pub fn new(allowed: impl IntoIterator<Item = Allowed>, only: bool) -> Self {
        Self { allowed: allowed.into_iter().collect(), only }
    }

    /// The same with URLs that other settings name.
    #[must_use]
    pub fn naming<'a>(mut self, urls: impl IntoIterator<Item = &'a Url>) -> Self {
        self.allowed.extend(urls.into_iter().filter_map(Site::of).map(Allowed::Origin));
        self
    }

    /// How far a URL may lead that a spec states. Errors: why it may not be called.
    pub fn stated(&self, url: &Url) -> Result<Reach, Refusal> {
        let named = self.named(url);
        if named.is_none() && self.only { Err(Refusal::Unnamed) } else { self.judged(url, named) }
    }

    /// The addresses among these that may be reached. Error: there is none.
    pub fn reachable(&self, reach: Reach, addresses: impl IntoIterator<Item = IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        let is_good = |address: &IpAddr| match (kind(*address), reach) {
            (Kind::Loopback, reach) => reach == Reach::Loopback,
            (_, Reach::Loopback) => false,
            (Kind::Public, _) | (Kind::Private, Reach::Private) => true,
            (Kind::Private | Kind::Special, _) => self.allowed.iter().any(|allowed| allowed.holds(*address)),
        };
        let good: Vec<IpAddr> = addresses.into_iter().filter(is_good).collect();
        if good.is_empty() { Err(Refusal::Resolved) } else { Ok(good) }
    }

    fn named(&self, url: &Url) -> Option<Named> {
        self.allowed.iter().filter_map(|allowed| allowed.names(url)).max()
    }

    fn judged(&self, url: &Url, named: Option<Named>) -> Result<Reach, Refusal> {
        if is_loopback(url) {
            return Ok(Reach::Loopback);
        }
        if url.scheme() != "https" && named != Some(Named::Origin) {
            return Err(Refusal::Unencrypted);
        }
        match literal(url) {
            Some(address) if named.is_none() && kind(address) != Kind::Public => Err(Refusal::Address),
            _ => Ok(if named.is_some() { Reach::Private } else { Reach::Public }),
        }
    }
}

impl Egress {
    /// With what specs state, as far as the policy allows it.
    pub fn new<'a>(policy: Arc<Policy>, stated: impl IntoIterator<Item = &'a Url>) -> Self {
        let mut sites: Vec<Site> = Vec::new();
        for url in stated {
            if let Some(site) = Site::of(url).filter(|site| !sites.contains(site) && policy.stated(url).is_ok()) {
                sites.push(site);
            }
        }
        Self { policy, stated: sites }
    }

    /// What the operator says.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// How far a URL may lead that a request goes to. Errors: why it may not be called.
    pub fn reach(&self, url: &Url) -> Result<Reach, Refusal> {
        let named = self.policy.named(url);
        if named.is_none() && !self.stated.iter().any(|site| site.is_of(url)) {
            return Err(Refusal::Unnamed);
        }
        self.policy.judged(url, named)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    fn policy(entries: &str, only: bool) -> Policy {
        Policy::new(entries.split_whitespace().map(|entry| entry.parse().expect(entry)), only)
    }

    #[test]
    fn what_a_spec_states_is_public_and_encrypted_or_of_this_machine() {
        for (text, expected) in [
            ("https://api.pets.test", Ok(Reach::Public)),
            ("https://8.8.8.8", Ok(Reach::Public)),
            ("http://api.pets.test", Err(Refusal::Unencrypted)),
            ("http://8.8.8.8", Err(Refusal::Unencrypted)),
            ("http://localhost:8080", Ok(Reach::Loopback)),
            ("https://a.localhost", Ok(Reach::Loopback)),
            ("http://127.0.0.1:1", Ok(Reach::Loopback)),
            ("http://[::1]:1", Ok(Reach::Loopback)),
            // Other spellings of the same.
            ("http://127.1", Ok(Reach::Loopback)),
            ("http://0x7f000001", Ok(Reach::Loopback)),
            ("http://localhost.", Err(Refusal::Unencrypted)),
            ("https://[::ffff:127.0.0.1]", Err(Refusal::Address)),
            ("https://10.0.0.1", Err(Refusal::Address)),
            ("https://167772161", Err(Refusal::Address)),
            ("https://0xa.0.0.1", Err(Refusal::Address)),
            ("https://012.0.0.1", Err(Refusal::Address)),
            ("https://0xA9FEA9FE", Err(Refusal::Address)),
            ("https://169.254.169.254", Err(Refusal::Address)),
            ("https://１６９.254.169.254", Err(Refusal::Address)),
            ("https://0", Err(Refusal::Address)),
            ("https://0.0.0.0", Err(Refusal::Address)),
            ("https://[::]", Err(Refusal::Address)),
            ("https://[fd00::1]", Err(Refusal::Address)),
            ("https://[fe80::1]", Err(Refusal::Address)),
            ("https://[64:ff9b::a9fe:a9fe]", Err(Refusal::Address)),
        ] {
            let stated = url(text);
            assert_eq!(Policy::default().stated(&stated), expected, "{text}");
            let egress = Egress::new(Arc::default(), [&stated]);
            assert_eq!(egress.reach(&stated).is_ok(), expected.is_ok(), "{text}");
            assert_eq!(policy("", true).stated(&stated), Err(Refusal::Unnamed), "{text}");
        }
        // No URL at all.
        for text in ["https://[fe80::1%25eth0]", "https://10.0.0.256", "https://1.2.3.4.5"] {
            Url::parse(text).expect_err(text);
        }
    }

    #[test]
    fn the_operator_may_name_more() {
        let policy = policy("intern.test *.corp.test:8443 http://old.test:8080 10.1.0.0/16", false);
        let policy = policy.naming([&url("http://set.test:9000/v1"), &url("http://192.168.1.1")]);
        for (text, expected) in [
            ("https://intern.test:99", Ok(Reach::Private)),
            ("http://intern.test", Err(Refusal::Unencrypted)),
            ("https://a.corp.test:8443", Ok(Reach::Private)),
            ("https://a.corp.test", Ok(Reach::Public)),
            ("http://old.test:8080", Ok(Reach::Private)),
            ("http://old.test", Err(Refusal::Unencrypted)),
            ("http://set.test:9000/other", Ok(Reach::Private)),
            ("http://192.168.1.1/", Ok(Reach::Private)),
            ("http://192.168.1.1:81/", Err(Refusal::Unencrypted)),
            ("https://10.1.2.3", Ok(Reach::Private)),
            ("https://10.2.2.3", Err(Refusal::Address)),
        ] {
            assert_eq!(policy.stated(&url(text)), expected, "{text}");
        }
        let only = Policy { only: true, ..policy };
        assert_eq!(only.stated(&url("https://a.corp.test")), Err(Refusal::Unnamed));
        assert_eq!(only.stated(&url("http://localhost")), Err(Refusal::Unnamed));
        assert_eq!(only.stated(&url("https://intern.test")), Ok(Reach::Private));
    }

    #[test]
    fn a_request_goes_nowhere_else() {
        let stated = url("https://api.pets.test/v1");
        let egress = Egress::new(Arc::new(policy("intern.test", false)), [&stated]);
        for (text, expected) in [
            ("https://api.pets.test/v2?x=1", Ok(Reach::Public)),
            ("https://api.pets.test:8443/v1", Err(Refusal::Unnamed)),
            ("http://api.pets.test/v1", Err(Refusal::Unnamed)),
            ("https://evil.test/v1", Err(Refusal::Unnamed)),
            ("https://intern.test", Ok(Reach::Private)),
        ] {
            assert_eq!(egress.reach(&url(text)), expected, "{text}");
        }
    }

    #[test]
    fn addresses_are_as_near_as_they_may_be() {
        let policy = policy("10.1.0.0/16 127.0.0.0/8 169.254.7.7", false);
        let all: Vec<IpAddr> = "8.8.8.8 10.1.0.1 10.2.0.1 169.254.7.7 169.254.169.254 127.0.0.1 ::1 fd00::1"
            .split(' ')
            .map(|text| text.parse().expect(text))
            .collect();
        for (reach, expected) in [
            (Reach::Public, "8.8.8.8 10.1.0.1 169.254.7.7"),
            (Reach::Private, "8.8.8.8 10.1.0.1 10.2.0.1 169.254.7.7 fd00::1"),
            (Reach::Loopback, "127.0.0.1 ::1"),
        ] {
            let good = policy.reachable(reach, all.iter().copied()).expect("some");
            let good: Vec<String> = good.iter().map(ToString::to_string).collect();
            assert_eq!(good.join(" "), expected, "{reach:?}");
        }
        assert_eq!(policy.reachable(Reach::Public, []), Err(Refusal::Resolved));
    }

    proptest! {
        /// However a host that is an address is spelled, a spec cannot lead a request into a network that is not public.
        #[test]
        fn no_spelling_of_an_address_escapes(bits: u32, spelling in 0..5_usize) {
            let address = std::net::Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets();
            let host = match spelling {
                0 => address.to_string(),
                1 => bits.to_string(),
                2 => format!("0x{bits:x}"),
                3 => format!("0{a:o}.0{b:o}.0x{c:x}.{d}"),
                _ => format!("[::ffff:{address}]"),
            };
            let verdict = Policy::default().stated(&url(&format!("https://{host}/")));
            match kind(IpAddr::V4(address)) {
                Kind::Public => prop_assert_eq!(verdict, Ok(Reach::Public)),
                Kind::Loopback if spelling < 4 => prop_assert_eq!(verdict, Ok(Reach::Loopback)),
                _ => prop_assert_eq!(verdict, Err(Refusal::Address)),
            }
        }
    }
}
