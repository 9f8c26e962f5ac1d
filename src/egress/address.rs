//! What kind of address an IP address is: of the public Internet, of this machine, of a private network, or of none of them.
//!
//! By the registries of special-purpose addresses of IANA (RFC 6890). An IPv6 address that stands for an IPv4 one is of the
//! kind of that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's, on the public Internet.
    Public,
    /// Of this machine.
    Loopback,
    /// Of a private network: RFC 1918, RFC 6598 (shared between carriers), RFC 4193 (unique local).
    Private,
    /// For a special purpose, where no service is: link-local (the metadata of clouds among them), multicast, reserved, for
    /// documentation, unspecified.
    Special,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many of the first bits count.
    prefix: u8,
}

impl Network {
    const fn v4(octets: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = octets;
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(first: [u16; 4], prefix: u8) -> Self {
        let [a, b, c, d] = first;
        Self { address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), prefix }
    }

    /// One address alone.
    pub fn of(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// `ADDRESS/BITS`. Error: what is wrong with it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let Some((address, bits)) = text.split_once('/') else {
            return text.parse().map(Self::of).map_err(|_| "is no address");
        };
        let address: IpAddr = address.parse().map_err(|_| "has no address before its `/`")?;
        let whole = Self::of(address).prefix;
        let prefix = bits.parse().ok().filter(|bits| *bits <= whole);
        let network = Self { address, prefix: prefix.ok_or("has no number of bits behind its `/`")? };
        if (0..whole).any(|bit| bit >= network.prefix && bit_of(address, bit)) {
            return Err("has bits behind those that count");
        }
        Ok(network)
    }

    /// Whether an address is in the range. One that stands for an IPv4 address is in the ranges of both.
    pub fn holds(&self, address: IpAddr) -> bool {
        let holds = |address: IpAddr| {
            address.is_ipv4() == self.address.is_ipv4()
                && (0..self.prefix).all(|bit| bit_of(address, bit) == bit_of(self.address, bit))
        };
        let embedded = match address {
            IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        holds(address) || embedded.is_some_and(holds)
    }
}

fn bit_of(address: IpAddr, bit: u8) -> bool {
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    bits & (1 << (127 - u32::from(bit.min(127)))) != 0
}

const LOOPBACK: [Network; 1] = [Network::v4([127, 0, 0, 0], 8)];

const PRIVATE: [Network; 5] = [
    Network::v4([10, 0, 0, 0], 8),
    Network::v4([172, 16, 0, 0], 12),
    Network::v4([192, 168, 0, 0], 16),
    Network::v4([100, 64, 0, 0], 10),
    Network::v6([0xfc00, 0, 0, 0], 7),
];

const SPECIAL_V4: [Network; 10] = [
    Network::v4([0, 0, 0, 0], 8),
    Network::v4([169, 254, 0, 0], 16),
    Network::v4([192, 0, 0, 0], 24),
    Network::v4([192, 0, 2, 0], 24),
    Network::v4([192, 88, 99, 0], 24),
    Network::v4([198, 18, 0, 0], 15),
    Network::v4([198, 51, 100, 0], 24),
    Network::v4([203, 0, 113, 0], 24),
    Network::v4([224, 0, 0, 0], 4),
    Network::v4([240, 0, 0, 0], 4),
];

/// All that is given out at all.
const GLOBAL_V6: Network = Network::v6([0x2000, 0, 0, 0], 3);

/// What of that is for a special purpose: protocols (Teredo among them), documentation.
const SPECIAL_V6: [Network; 3] =
    [Network::v6([0x2001, 0, 0, 0], 23), Network::v6([0x2001, 0xdb8, 0, 0], 32), Network::v6([0x3fff, 0, 0, 0], 20)];

/// The kind of an address.
pub fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Kind::Loopback,
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => kind_v4(inner),
            None => kind_v6(IpAddr::V6(address)),
        },
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let address = IpAddr::V4(address);
    let is_in = |networks: &[Network]| networks.iter().any(|network| network.holds(address));
    if is_in(&LOOPBACK) {
        Kind::Loopback
    } else if is_in(&PRIVATE) {
        Kind::Private
    } else if is_in(&SPECIAL_V4) {
        Kind::Special
    } else {
        Kind::Public
    }
}

fn kind_v6(address: IpAddr) -> Kind {
    let is_in = |networks: &[Network]| networks.iter().any(|network| network.holds(address));
    if is_in(&PRIVATE) {
        Kind::Private
    } else if !GLOBAL_V6.holds(address) || is_in(&SPECIAL_V6) {
        Kind::Special
    } else {
        Kind::Public
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291, section 2.5.5.2), translated (RFC 2765; RFC 6052, by
/// its well-known prefix) or routed by 6to4 (RFC 3056). The compatible form (`::1.2.3.4`) is used by nobody and special.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, _, _, _, _, _] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_of_a_kind() {
        for (addresses, expected) in [
            (
                "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 128.0.0.0 169.253.255.255 172.15.255.255 \
                 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 \
                 2606:4700:4700::1111 2a00:1450::1 2001:200::1 2003::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1",
                Kind::Public,
            ),
            (
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::",
                Kind::Loopback,
            ),
            (
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.1 100.64.0.0 100.127.255.255 fc00::1 \
                 fd12:3456::1 fdff:ffff::1 ::ffff:10.0.0.1 64:ff9b::10.1.2.3 2002:a00:1::1 ::ffff:0:192.168.1.1",
                Kind::Private,
            ),
            (
                "0.0.0.0 0.1.2.3 169.254.169.254 169.254.0.1 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 \
                 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::2 ::127.0.0.1 \
                 ::8.8.8.8 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 100::1 2001::1 2001:0:808:808:: 2001:2::1 2001:10::1 2001:20::1 \
                 2001:db8::1 3fff::1 5f00::1 64:ff9b:1::1 64:ff9b:1::8.8.8.8 4000::1 fd00:ec2::254 ::ffff:169.254.169.254 \
                 64:ff9b::169.254.169.254 2002:a9fe:a9fe:: fe80::a9fe:a9fe",
                Kind::Special,
            ),
        ] {
            for text in addresses.split_whitespace() {
                // The metadata of a cloud in a unique local network.
                let expected = if text.starts_with("fd00:") { Kind::Private } else { expected };
                assert_eq!(kind(text.parse().expect(text)), expected, "{text}");
            }
        }
    }

    #[test]
    fn ranges_are_read() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3", "fd00::/8", "::/0", "::1", "10.1.2.3/32"] {
            Network::read(good).expect(good);
        }
        for bad in
            ["10.0.0.1/8", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "/8", "10.0/8", "fd00::1/8", "10.0.0.0/-1", "a"]
        {
            Network::read(bad).expect_err(bad);
        }
        let ten = Network::read("10.0.0.0/8").expect("a range");
        for (address, expected) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("::10.0.0.1", false),
            ("a00::", false),
        ] {
            assert_eq!(ten.holds(address.parse().expect(address)), expected, "{address}");
        }
    }

    proptest! {
        /// However an IPv4 address is dressed, its kind stays.
        #[test]
        fn an_embedded_address_is_of_its_own_kind(bits: u32, tail: u64) {
            let inner = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = inner.octets().map(u16::from);
            let (high, low) = ((a << 8) | b, (c << 8) | d);
            let expected = kind(IpAddr::V4(inner));
            let rest = |place: u32| u16::try_from((tail >> (place * 16)) & 0xffff).unwrap_or_default();
            for dressed in [
                inner.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, rest(0), rest(1), rest(2), rest(3), 0),
            ] {
                prop_assert_eq!(kind(IpAddr::V6(dressed)), expected, "{}", dressed);
            }
            prop_assert!(kind(IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low))) != Kind::Public);
        }

        /// What the standard library takes for special is not public here.
        #[test]
        fn nothing_is_public_that_the_standard_library_knows_better(bits: u32, wide: u128) {
            let four = Ipv4Addr::from_bits(bits);
            if four.is_private() || four.is_loopback() || four.is_link_local() || four.is_broadcast()
                || four.is_documentation() || four.is_multicast() || four.is_unspecified()
            {
                prop_assert!(kind(IpAddr::V4(four)) != Kind::Public);
            }
            let six = Ipv6Addr::from_bits(wide);
            if six.is_unicast_link_local() || six.is_unique_local() || six.is_multicast() || six.is_loopback() {
                prop_assert!(kind(IpAddr::V6(six)) != Kind::Public);
            }
        }
    }
}
