//! Which addresses a connection may reach: public ones, and those that the configuration grants.
//!
//! The classes follow the registries of special-purpose addresses (RFC 6890, kept by IANA) and are checked when a socket is about to be
//! opened, never on a name. An address that carries another one (IPv4-mapped, NAT64, 6to4) counts as the one it carries.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

use super::EgressError;

/// Why an address is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// This machine.
    Loopback,
    /// A private network: RFC 1918, RFC 4193, and the translation prefix for local use of RFC 8215.
    Private,
    /// One link, RFC 3927 and RFC 4291.
    LinkLocal,
    /// Shared between a carrier and its customers, RFC 6598; overlay networks use it too.
    Shared,
    /// Where a cloud tells its machines their credentials.
    Metadata,
    /// A group and no host.
    Multicast,
    /// No host at all; Linux takes it for this machine.
    Unspecified,
    /// For examples in documents, RFC 5737, RFC 3849 and RFC 9637.
    Documentation,
    /// Set aside for protocols, benchmarks, the past or the future.
    Reserved,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Loopback => "a loopback address",
            Class::Private => "a private address",
            Class::LinkLocal => "a link-local address",
            Class::Shared => "an address shared by a carrier",
            Class::Metadata => "a cloud's metadata address",
            Class::Multicast => "a multicast address",
            Class::Unspecified => "an unspecified address",
            Class::Documentation => "an address for documentation",
            Class::Reserved => "a reserved address",
        })
    }
}

/// Addresses where clouds hand out credentials. Some of them are public or inside networks that people grant as a whole, so that
/// only the very address grants one.
const METADATA: [IpAddr; 9] = [
    // AWS, Azure, Google, Oracle, DigitalOcean and more; AWS's tasks and pods.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    // Alibaba; Oracle, formerly; Azure's wire server.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // AWS, its pods, Google.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

impl Class {
    /// Whether a network around an address of this class grants it.
    pub(super) fn is_grantable(self) -> bool {
        !matches!(self, Class::Metadata | Class::Multicast | Class::Unspecified)
    }

    /// The class of an address; none where it is public.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Class> {
        let address = address.to_canonical();
        if METADATA.contains(&address) {
            return Some(Class::Metadata);
        }
        match address {
            IpAddr::V4(address) => Class::of_v4(address),
            IpAddr::V6(address) => Class::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Class> {
        Some(match address.octets() {
            [0, ..] => Class::Unspecified,
            [127, ..] => Class::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
            [100, 64..=127, ..] => Class::Shared,
            [169, 254, ..] => Class::LinkLocal,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Documentation,
            [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Class::Reserved,
            [224..=239, ..] => Class::Multicast,
            [240..=255, ..] => Class::Reserved,
            _ => return None,
        })
    }

    fn of_v6(address: Ipv6Addr) -> Option<Class> {
        Some(match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
            [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
            // NAT64 (RFC 6052) and 6to4 (RFC 3056): a gateway passes the packet on to the IPv4 address inside.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => return Class::of(carried(high, low)),
            [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
            [0xfe80..=0xfebf, ..] => Class::LinkLocal,
            [0xff00..=0xffff, ..] => Class::Multicast,
            [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Documentation,
            // Protocol assignments, among them Teredo, which carries addresses as well.
            [0x2001, 0..=0x1ff, ..] => Class::Reserved,
            [0x2000..=0x3fff, ..] => return None,
            // Global unicast is all that has been given out.
            _ => Class::Reserved,
        })
    }
}

fn carried(high: u16, low: u16) -> IpAddr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// An address, or all that share its first bits: `10.1.2.3`, `10.0.0.0/8`, `fd00::/8` (CIDR, RFC 4632 and RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// The networks that have every address. As a grant they are one for all that can be granted by a network.
    #[must_use]
    pub fn all() -> [Network; 2] {
        [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)].map(|address| Network { address, bits: 0 })
    }

    /// Whether the address is inside. An IPv4-mapped address counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits).is_none_or(|rest| rest == 0)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.bits).is_none_or(|rest| rest == 0)
            }
            _ => false,
        }
    }

    fn is_one_address(&self) -> bool {
        self.bits == width(self.address)
    }

    fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - self.bits).unwrap_or(0)).into()
            }
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - self.bits).unwrap_or(0)).into()
            }
        }
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = EgressError;

    fn from_str(text: &str) -> Result<Self, EgressError> {
        let invalid = |reason| EgressError::Network { text: text.chars().take(64).collect(), reason };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid("it does not begin with an IP address"))?;
        if address.to_canonical() != address {
            return Err(invalid("write the IPv4 address itself"));
        }
        let bits = match bits {
            None => width(address),
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| invalid("the length is no number"))?
            }
            Some(_) => return Err(invalid("the length is no number")),
        };
        if bits > width(address) {
            return Err(invalid("the length is larger than the address"));
        }
        let network = Network { address, bits };
        if network.first() != address {
            return Err(invalid("the address has bits beyond the length"));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one_address() { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

/// What one connection may reach beyond what is public.
#[derive(Debug)]
pub(super) struct Guard {
    granted: Vec<Network>,
    loopback: Loopback,
    /// Grants hold for the port that the configuration names: a redirect must not reach what else listens there.
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Loopback {
    /// The configuration itself names it: whoever writes `http://localhost:9000` means this machine.
    Named,
    Refused,
}

impl Guard {
    pub(super) fn new(base: &Url, granted: Vec<Network>) -> Guard {
        let is_loopback = match base.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            None => false,
        };
        let loopback = if is_loopback { Loopback::Named } else { Loopback::Refused };
        Guard { granted, loopback, port: base.port_or_known_default().unwrap_or(0) }
    }

    /// Lets an address pass, or says of what class it is.
    pub(super) fn admit(&self, address: IpAddr, port: u16) -> Result<(), Class> {
        let Some(class) = Class::of(address) else { return Ok(()) };
        let mut granting = self.granted.iter().filter(|network| network.contains(address));
        let is_granted = match class {
            // Nothing that answers has such an address.
            Class::Multicast | Class::Unspecified => false,
            Class::Metadata => granting.any(Network::is_one_address),
            Class::Loopback => self.loopback == Loopback::Named || granting.next().is_some(),
            _ => granting.next().is_some(),
        };
        if is_granted && port == self.port { Ok(()) } else { Err(class) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
    }

    #[test]
    fn every_special_range_has_its_class_up_to_its_edges() {
        let check = |class: Option<Class>, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(Class::of(ip(address)), class, "{address}");
            }
        };
        check(Some(Class::Unspecified), &["0.0.0.0", "0.255.255.255", "::", "::ffff:0.0.0.0"]);
        check(
            Some(Class::Loopback),
            &["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"],
        );
        check(
            Some(Class::Private),
            &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
        );
        check(
            Some(Class::Private),
            &["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::192.168.1.1", "2002:a00:1::1", "2002:c0a8:101::1"],
        );
        check(Some(Class::Private), &["fc00::", "fdff:ffff::1", "fec0::1", "64:ff9b:1::8.8.8.8"]);
        check(Some(Class::Shared), &["100.64.0.0", "100.127.255.255", "::ffff:100.64.0.1"]);
        check(Some(Class::LinkLocal), &["169.254.0.1", "169.254.169.253", "fe80::1", "febf::1", "2002:a9fe:1::"]);
        check(Some(Class::Metadata), &["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"]);
        check(
            Some(Class::Metadata),
            &["::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::", "fd00:ec2::254", "fd20:ce::254"],
        );
        check(Some(Class::Multicast), &["224.0.0.1", "239.255.255.255", "ff00::", "ff02::1", "ffff::1"]);
        check(Some(Class::Documentation), &["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "3fff:fff::1"]);
        check(
            Some(Class::Reserved),
            &["192.0.0.1", "192.88.99.1", "198.18.0.0", "198.19.255.255", "240.0.0.1", "255.255.255.255"],
        );
        check(
            Some(Class::Reserved),
            &["::2", "::10.0.0.1", "100::1", "2001::1", "2001:1ff::1", "4000::1", "5f00::1", "::ffff:0:10.0.0.1"],
        );
        check(None, &["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"]);
        check(
            None,
            &["172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255"],
        );
        check(None, &["2606:4700::1111", "2001:200::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::", "3fff:1000::1"]);
    }

    #[test]
    fn a_grant_opens_what_it_names_at_the_configured_port_only() {
        let check = |base: &str, grants: &[&str], address: &str, port: u16, is_admitted: bool| {
            let base: Url = base.parse().expect("a url");
            let granted = grants.iter().map(|grant| grant.parse().expect("a network")).collect();
            let admitted = Guard::new(&base, granted).admit(ip(address), port).is_ok();
            assert_eq!(admitted, is_admitted, "{address}:{port} for {base} with {grants:?}");
        };
        check("https://api.example/", &[], "93.184.216.34", 443, true);
        check("https://api.example/", &[], "93.184.216.34", 8443, true);
        check("https://api.example/", &[], "10.1.2.3", 443, false);
        check("https://api.example/", &["10.1.0.0/16"], "10.1.2.3", 443, true);
        check("https://api.example/", &["10.1.0.0/16"], "::ffff:10.1.2.3", 443, true);
        check("https://api.example/", &["10.1.0.0/16"], "64:ff9b::10.1.2.3", 443, false);
        check("https://api.example/", &["10.1.0.0/16"], "10.2.2.3", 443, false);
        check("https://api.example/", &["10.1.0.0/16"], "10.1.2.3", 6379, false);
        check("https://api.example/", &["0.0.0.0/0"], "192.168.1.1", 443, true);
        check("https://api.example/", &["::/0"], "fd00::1", 443, true);
        check("https://api.example/", &["::/0"], "192.168.1.1", 443, false);
        check("http://localhost:9000/", &[], "127.0.0.1", 9000, true);
        check("http://localhost:9000/", &[], "::1", 9000, true);
        check("http://localhost:9000/", &[], "127.0.0.1", 9001, false);
        check("http://localhost:9000/", &[], "10.0.0.1", 9000, false);
        check("http://127.0.0.1:9000/", &[], "127.0.0.1", 9000, true);
        check("http://[::1]:9000/", &[], "::1", 9000, true);
        check("http://localhost.evil.example:9000/", &[], "127.0.0.1", 9000, false);
        check("http://api.localhost:9000/", &[], "127.0.0.1", 9000, false);
        // Writing a private address is no grant: it is the same slip as a name that resolves to one.
        check("http://10.0.0.1/", &[], "10.0.0.1", 80, false);
        check("http://169.254.169.254/", &["169.254.0.0/16"], "169.254.169.254", 80, false);
        check("http://169.254.169.254/", &["0.0.0.0/0"], "169.254.169.254", 80, false);
        check("http://169.254.169.254/", &["169.254.169.254"], "169.254.169.254", 80, true);
        check("https://api.example/", &["100.64.0.0/10"], "100.100.100.200", 443, false);
        check("https://api.example/", &["0.0.0.0/0"], "0.0.0.0", 443, false);
        check("https://api.example/", &["0.0.0.0/0"], "224.0.0.1", 443, false);
    }

    #[test]
    fn a_network_is_read_strictly_and_written_as_it_was() {
        for text in ["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "fd00::/8", "::1", "::/0"] {
            assert_eq!(text.parse::<Network>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "/8",
            "ten",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "fd00::/129",
            "fd00::1/8",
            "::ffff:10.0.0.1",
            "10.0.0.0/99999999999",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
