//! Neighbour solicitations and advertisements (RFC 4861 sections 4.3 and 4.4), as bytes from their IPv6 header on. What comes is anybody's:
//! it is held to what section 7.1 has every host check.

use std::net::Ipv6Addr;

use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::util;
use shared_protocol::mac_address::MacAddress;

use super::Message;

/// Asks who has an address. Whoever asks in the name of `::` changes nobody's table (RFC 4862 section 5.4.2).
pub(super) fn question(own: MacAddress, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let (group, _) = group(target);
    let own = own.octets();
    let mut message = [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &target.octets()].concat();
    if !source.is_unspecified() {
        message.extend([&[SOURCE_ADDRESS, 1][..], &own].concat());
    }
    let sum = checksum(&message, source, group).to_be_bytes();
    for (place, byte) in message.iter_mut().skip(CHECKSUM_AT).zip(sum) {
        *place = byte;
    }
    let length = u16::try_from(message.len()).unwrap_or_default().to_be_bytes();
    let head = [&[0x60, 0, 0, 0][..], &length, &[ICMPV6, HOPS]].concat();
    [&head[..], &source.octets(), &group.octets(), &message].concat()
}

/// The group that the owner of an address listens to (RFC 4291 section 2.7.1), and its address on an Ethernet (RFC 2464 section 7).
pub(super) fn group(target: Ipv6Addr) -> (Ipv6Addr, MacAddress) {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from_bits(SOLICITED_NODE | u128::from(u32::from_be_bytes([0, a, b, c])));
    (group, MacAddress::new([0x33, 0x33, 0xff, a, b, c]))
}

/// Reads a message; `None` for what is none, or what a host has to pass over.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let (head, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    if head[0] >> 4 != 6 || head[6] != ICMPV6 || head[7] != HOPS {
        return None;
    }
    let message = rest.get(..usize::from(u16::from_be_bytes([head[4], head[5]])))?;
    let (source, destination) = (address(head, 8)?, address(head, 24)?);
    let (fixed, rest) = message.split_first_chunk::<FIXED_BYTES>()?;
    if fixed[1] != 0 || u16::from_be_bytes([fixed[2], fixed[3]]) != checksum(message, source, destination) {
        return None;
    }
    let target = address(fixed, 8)?;
    if target.is_multicast() {
        return None;
    }
    let options = options(rest)?;
    let owner = match options.into_iter().find(|option| option.first() == Some(&TARGET_ADDRESS)) {
        Some(option) => Some(owner(option)?),
        None => None,
    };
    match fixed[0] {
        SOLICITATION => Some(Message::Question { target: target.into() }),
        ADVERTISEMENT => {
            let (router, solicited) = (fixed[4] & ROUTER != 0, fixed[4] & SOLICITED != 0);
            // Nobody in particular has asked for what is said to all.
            if solicited == destination.is_multicast() {
                return None;
            }
            Some(Message::Answer {
                address: target.into(),
                owner,
                to: (None, destination.into()),
                router,
            })
        }
        _ => None,
    }
}

/// Takes options apart; `None` where they are none.
fn options(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut options = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(*bytes.get(1)?) * UNIT;
        // An option without a length discards the whole message (RFC 4861 section 4.6).
        let (option, rest) = bytes.split_at_checked(length).filter(|_| length > 0)?;
        options.push(option);
        bytes = rest;
    }
    Some(options)
}

/// The owner's address on the link that an option says.
fn owner(option: &[u8]) -> Option<MacAddress> {
    let (_, address) = option.split_first_chunk::<2>()?;
    Some(MacAddress::new(address.try_into().ok()?)).filter(|address| address.is_of_one())
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?))
}

fn checksum(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> u16 {
    util::ipv6_checksum(message, CHECKSUM_AT / 2, &[], &source, &destination, IpNextHeaderProtocols::Icmpv6)
}

const HEADER_BYTES: usize = 40;
/// Of a solicitation or advertisement before its options.
const FIXED_BYTES: usize = 24;
const CHECKSUM_AT: usize = 2;
const ICMPV6: u8 = 58;
/// What no router has forwarded still has every hop that there is.
const HOPS: u8 = 255;
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
/// Options, and the unit of their lengths (RFC 4861 section 4.6).
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;
const UNIT: usize = 8;
/// `ff02::1:ff00:0`.
const SOLICITED_NODE: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    const OWN: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 2]);

    fn here() -> Ipv6Addr {
        "2001:db8::1".parse().unwrap()
    }

    fn there() -> Ipv6Addr {
        "2001:db8::12:3456".parse().unwrap()
    }

    /// An advertisement with a right checksum.
    fn said(flags: u8, options: &[u8], destination: Ipv6Addr) -> Vec<u8> {
        let mut message = [&[ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0][..], &there().octets(), options].concat();
        let sum = checksum(&message, there(), destination).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        let head = [0x60, 0, 0, 0, 0, u8::try_from(message.len()).unwrap(), ICMPV6, HOPS];
        [&head[..], &there().octets(), &destination.octets(), &message].concat()
    }

    fn says_owner() -> Vec<u8> {
        [&[TARGET_ADDRESS, 1][..], &OTHER.octets()].concat()
    }

    fn owner_of(message: Option<&Message>) -> Option<MacAddress> {
        match message {
            Some(Message::Answer { owner, .. }) => *owner,
            Some(Message::Question { .. }) | None => panic!("no answer"),
        }
    }

    #[test]
    fn a_question_goes_to_the_group_of_its_address_and_reads_back() {
        let bytes = question(OWN, here(), there());
        assert_eq!(bytes.len(), 72);
        assert_eq!(bytes[24..40], "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(bytes[64..72], [1, 1, 2, 0, 0, 0, 0, 1]);
        assert_eq!(group(there()).1.to_string(), "33:33:ff:12:34:56");
        assert_eq!(read(&bytes), Some(Message::Question { target: there().into() }));
        let nobodys = question(OWN, Ipv6Addr::UNSPECIFIED, there());
        assert_eq!(nobodys.len(), 64, "without an address on the link (RFC 4861 section 4.3)");
        assert_eq!(read(&nobodys), Some(Message::Question { target: there().into() }));
    }

    #[test]
    fn an_answer_says_who_has_the_address_and_whether_it_is_a_router() {
        let expected = Message::Answer {
            address: there().into(),
            owner: Some(OTHER),
            to: (None, here().into()),
            router: true,
        };
        assert_eq!(read(&said(0xe0, &says_owner(), here())), Some(expected.clone()));
        let mut filled = said(0xe0, &says_owner(), here());
        filled.extend([0xee; 9]);
        assert_eq!(read(&filled), Some(expected), "whatever stands behind");
        assert_eq!(owner_of(read(&said(0x40, &[], here())).as_ref()), None, "to be taken from its frame");
        let more = [&[14, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &says_owner()].concat();
        assert_eq!(owner_of(read(&said(0x40, &more, here())).as_ref()), Some(OTHER));
        let all = "ff02::1".parse().unwrap();
        assert!(read(&said(0x20, &says_owner(), all)).is_some());
    }

    #[test]
    fn nbr_07_what_a_host_has_to_pass_over_is_none() {
        let whole = said(0x60, &says_owner(), here());
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        // Class and label of a flow, which no checksum covers, are the bytes between.
        for place in std::iter::once(0).chain(4..whole.len()) {
            let mut other = whole.clone();
            other[place] ^= 0x10;
            assert_eq!(read(&other), None, "byte {place}");
        }
        let all = "ff02::1".parse().unwrap();
        for (bytes, why) in [
            (said(0x60, &says_owner(), all), "solicited, and to all"),
            (said(0x20, &says_owner(), here()), "not solicited, and to one"),
            (said(0x60, &[2, 0, 2, 0, 0, 0, 0, 2], here()), "an option without a length"),
            (said(0x60, &[2, 2, 2, 0, 0, 0, 0, 2], here()), "an option that is cut"),
            (said(0x60, &[2, 1, 1, 0, 0x5e, 0, 0, 2], here()), "an owner that is a group"),
            (said(0x60, &[2, 1, 0, 0, 0, 0, 0, 0], here()), "an owner that is nobody"),
            (said(0x60, &[2], here()), "half an option"),
        ] {
            assert_eq!(read(&bytes), None, "{why}");
        }
    }

    #[test]
    fn nbr_07_fuzz_ndp() {
        let target = Target::new("ndp", include_str!("../../../corpus/ndp.txt")).with([
            said(0xe0, &says_owner(), here()),
            said(0x40, &[], here()),
            question(OWN, here(), there()),
            question(OWN, Ipv6Addr::UNSPECIFIED, there()),
        ]);
        target.survives(|bytes| {
            let found = read(bytes);
            if let Some(Message::Answer { address, owner, to, .. }) = &found {
                assert!(address.is_ipv6() && to.1.is_ipv6() && owner.is_none_or(MacAddress::is_of_one));
            }
            Reading::of(found.is_some())
        });
    }
}
