//! The special address ranges, pure: shared by the agent's policy and the server's guards (IANA special-purpose registries, RFC 6890).
//!
//! An IPv6 address that carries an IPv4 address inside (mapped, NAT64, 6to4, Teredo) is never a target: the carried address can be
//! named directly, and only then do the owner's rules for it hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address this is, where that matters to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// Ordinary unicast of the public Internet.
    Public,
    /// Private use: RFC 1918, RFC 6598 shared space, RFC 4193 unique local.
    Private,
    /// Loopback.
    Loopback,
    /// Never a target, whatever the owner allows; the text names the rule.
    Forbidden(&'static str),
}

/// Tells what kind of address this is.
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    find(&SPECIAL_V4, u128::from(address.to_bits()), 32)
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    find(&SPECIAL_V6, address.to_bits(), 128)
}

type Range = (u128, u32, AddressClass);

fn find(ranges: &[Range], bits: u128, width: u32) -> AddressClass {
    ranges
        .iter()
        .find(|(network, prefix, _)| (bits ^ network).checked_shr(width - prefix).unwrap_or(0) == 0)
        .map_or(AddressClass::Public, |(_, _, class)| *class)
}

#[expect(clippy::as_conversions, reason = "u32 to u128 only widens; From is not const")]
const fn v4(octets: [u8; 4], prefix: u32, class: AddressClass) -> Range {
    (u32::from_be_bytes(octets) as u128, prefix, class)
}

const fn v6(segments: [u16; 8], prefix: u32, class: AddressClass) -> Range {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = segments;
    (Ipv6Addr::new(s0, s1, s2, s3, s4, s5, s6, s7).to_bits(), prefix, class)
}

// The first range that holds the address decides, so narrower ranges stand first.
const SPECIAL_V4: [Range; 15] = [
    v4([169, 254, 0, 0], 16, AddressClass::Forbidden("link_local_or_metadata")),
    v4([100, 100, 100, 200], 32, AddressClass::Forbidden("metadata")),
    v4([192, 0, 0, 192], 32, AddressClass::Forbidden("metadata")),
    v4([255, 255, 255, 255], 32, AddressClass::Forbidden("broadcast")),
    v4([0, 0, 0, 0], 8, AddressClass::Forbidden("this_network")),
    v4([127, 0, 0, 0], 8, AddressClass::Loopback),
    v4([10, 0, 0, 0], 8, AddressClass::Private),
    v4([172, 16, 0, 0], 12, AddressClass::Private),
    v4([192, 168, 0, 0], 16, AddressClass::Private),
    v4([100, 64, 0, 0], 10, AddressClass::Private),
    v4([198, 18, 0, 0], 15, AddressClass::Private),
    v4([192, 0, 2, 0], 24, AddressClass::Private),
    v4([198, 51, 100, 0], 24, AddressClass::Private),
    v4([224, 0, 0, 0], 4, AddressClass::Forbidden("multicast")),
    v4([240, 0, 0, 0], 4, AddressClass::Forbidden("reserved")),
];

const SPECIAL_V6: [Range; 13] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, AddressClass::Forbidden("unspecified")),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, AddressClass::Loopback),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, AddressClass::Forbidden("v4_mapped")),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, AddressClass::Forbidden("nat64")),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, AddressClass::Forbidden("nat64")),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, AddressClass::Forbidden("6to4")),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, AddressClass::Forbidden("teredo")),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, AddressClass::Forbidden("metadata")),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, AddressClass::Forbidden("metadata")),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, AddressClass::Forbidden("link_local_or_metadata")),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, AddressClass::Forbidden("multicast")),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, AddressClass::Private),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, AddressClass::Private),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_class(expected: AddressClass, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(classify(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn job_01_every_spelling_of_the_metadata_address_is_forbidden() {
        assert_class(
            AddressClass::Forbidden("link_local_or_metadata"),
            &["169.254.169.254", "169.254.170.2", "fe80::1"],
        );
        assert_class(
            AddressClass::Forbidden("v4_mapped"),
            &["::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:1.1.1.1"],
        );
        assert_class(AddressClass::Forbidden("nat64"), &["64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe"]);
        assert_class(AddressClass::Forbidden("6to4"), &["2002:a9fe:a9fe::"]);
        assert_class(AddressClass::Forbidden("teredo"), &["2001:0:1:2:3:4:5601:5601"]);
    }

    #[test]
    fn job_02_cloud_metadata_addresses_are_forbidden() {
        assert_class(
            AddressClass::Forbidden("metadata"),
            &["fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192"],
        );
    }

    #[test]
    fn job_08_ranges_that_are_never_a_target() {
        assert_class(AddressClass::Forbidden("this_network"), &["0.0.0.0", "0.255.255.255"]);
        assert_class(AddressClass::Forbidden("multicast"), &["224.0.0.1", "239.255.255.255", "ff02::1"]);
        assert_class(AddressClass::Forbidden("reserved"), &["240.0.0.1", "254.0.0.1"]);
        assert_class(AddressClass::Forbidden("broadcast"), &["255.255.255.255"]);
        assert_class(AddressClass::Forbidden("unspecified"), &["::"]);
        assert_class(AddressClass::Loopback, &["127.0.0.1", "127.255.255.255", "::1"]);
    }

    #[test]
    fn job_09_private_ranges_end_where_their_rfc_says() {
        assert_class(
            AddressClass::Private,
            &["10.0.0.0", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "fc00::1", "fdff::1"],
        );
        assert_class(
            AddressClass::Public,
            &[
                "9.255.255.255",
                "11.0.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.167.0.1",
                "100.128.0.0",
                "2606:4700::1",
                "1.1.1.1",
            ],
        );
    }
}
