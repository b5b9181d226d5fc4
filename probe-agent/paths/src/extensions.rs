//! What an ICMP error carries behind the packet it quotes (RFC 4884): label stacks (RFC 4950) and interfaces (RFC 5837). Anybody may have
//! written these bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_packet::util;
use shared_protocol::report::{ExtensionObject, IcmpExtensions, InterfaceRole, MplsLabel, RouterInterface};

/// Reads an extension structure; `None` where there is none.
pub(crate) fn read(bytes: &[u8]) -> Option<IcmpExtensions> {
    if bytes.is_empty() {
        return None;
    }
    let mut found = IcmpExtensions::default();
    found.malformed = structure(bytes, &mut found).is_none();
    Some(found)
}

/// RFC 4884 section 7: four bits of version, a checksum over everything, then objects.
fn structure(bytes: &[u8], found: &mut IcmpExtensions) -> Option<()> {
    let [version, _, checksum @ ..] = bytes.first_chunk::<HEADER_BYTES>()?;
    let stated = u16::from_be_bytes(*checksum);
    // A checksum of 0 says that none was made.
    if version >> 4 != 2 || (stated != 0 && util::checksum(bytes, 1) != stated) {
        return None;
    }
    let mut rest = bytes.get(HEADER_BYTES..)?;
    for _ in 0..OBJECTS_MAX {
        if rest.is_empty() {
            return Some(());
        }
        let [high, low, class, kind] = rest.first_chunk::<HEADER_BYTES>()?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let content = rest.get(HEADER_BYTES..length)?;
        object((*class, *kind), content, found)?;
        rest = rest.get(length..)?;
    }
    None
}

fn object((class, kind): (u8, u8), content: &[u8], found: &mut IcmpExtensions) -> Option<()> {
    match (class, kind) {
        (1, 1) => {
            let (entries, rest) = content.as_chunks::<LABEL_BYTES>();
            if !rest.is_empty() {
                return None;
            }
            found.mpls.extend(entries.iter().copied().map(label));
        }
        (2, kind) => found.interfaces.push(interface(kind, content)?),
        (class, kind) => found.other.push(ExtensionObject {
            class,
            kind,
            bytes: u16::try_from(content.len()).ok()?,
        }),
    }
    Some(())
}

/// RFC 3032: 20 bits of label, 3 of traffic class, the bottom's bit, 8 of time to live.
fn label([high, middle, low, ttl]: [u8; LABEL_BYTES]) -> MplsLabel {
    MplsLabel {
        label: u32::from_be_bytes([0, high, middle, low]) >> 4,
        traffic_class: (low >> 1) & 0b111,
        bottom: low & 1 == 1,
        ttl,
    }
}

/// RFC 5837 section 4: the type says which parts follow, in this order.
fn interface(kind: u8, content: &[u8]) -> Option<RouterInterface> {
    let role = match kind >> 6 {
        0 => InterfaceRole::Incoming,
        1 => InterfaceRole::IncomingPart,
        2 => InterfaceRole::Outgoing,
        _ => InterfaceRole::NextHop,
    };
    let mut rest = content;
    let index = if kind & 0b1000 == 0 { None } else { Some(word(&mut rest)?) };
    let address = if kind & 0b0100 == 0 { None } else { Some(address(&mut rest)?) };
    let name = if kind & 0b0010 == 0 { None } else { Some(name(&mut rest)?) };
    let mtu = if kind & 0b0001 == 0 { None } else { Some(word(&mut rest)?) };
    Some(RouterInterface {
        role,
        index,
        address,
        name,
        mtu,
    })
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    take::<4>(rest).map(u32::from_be_bytes)
}

/// A number of the address's family (1 or 2), two bytes kept free, the address.
fn address(rest: &mut &[u8]) -> Option<IpAddr> {
    let [high, low, _, _] = take::<4>(rest)?;
    match u16::from_be_bytes([high, low]) {
        1 => take::<4>(rest).map(|bytes| Ipv4Addr::from(bytes).into()),
        2 => take::<16>(rest).map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// Its own length in the first byte, at most 64, then UTF-8 padded by zeros.
fn name(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(*rest.first()?);
    if !(1..=NAME_BYTES).contains(&length) {
        return None;
    }
    let text = rest.get(1..length)?;
    *rest = rest.get(length..)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

fn take<const BYTES: usize>(rest: &mut &[u8]) -> Option<[u8; BYTES]> {
    let (taken, left) = rest.split_first_chunk::<BYTES>()?;
    *rest = left;
    Some(*taken)
}

const HEADER_BYTES: usize = 4;
const LABEL_BYTES: usize = 4;
/// RFC 5837 section 4.3.
const NAME_BYTES: usize = 64;
/// Objects that are read; an ICMP error that fits into a packet of 576 bytes has no room for so many of any use.
const OBJECTS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_fuzz::{Reading, Target};

    use super::*;

    fn structure(objects: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x20, 0, 0, 0];
        bytes.extend(objects);
        let sum = util::checksum(&bytes, 1);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn a_label_stack_is_read_from_its_top() {
        let found = read(&structure(&[0, 12, 1, 1, 0x05, 0xdc, 0x10, 1, 0xff, 0xff, 0xff, 7])).unwrap();
        let label = |label, traffic_class, bottom, ttl| MplsLabel {
            label,
            traffic_class,
            bottom,
            ttl,
        };
        assert_eq!(found.mpls, [label(24_001, 0, false, 1), label(1_048_575, 7, true, 7)]);
        assert!(!found.malformed);
    }

    #[test]
    fn an_interface_has_the_parts_that_its_type_says() {
        let mut object = vec![0, 28, 2, 0b0000_1111, 0, 0, 0, 9, 0, 1, 0, 0, 10, 0, 0, 1];
        object.extend([8, b'g', b'e', b'-', b'0', b'/', b'1', 0, 0, 0, 5, 220]);
        let found = read(&structure(&object)).unwrap();
        let expected = RouterInterface {
            role: InterfaceRole::Incoming,
            index: Some(9),
            address: Some("10.0.0.1".parse().unwrap()),
            name: Some("ge-0/1".to_owned()),
            mtu: Some(1_500),
        };
        assert_eq!((found.interfaces, found.malformed), (vec![expected], false));
    }

    #[test]
    fn what_is_not_known_is_counted_and_no_more() {
        let found = read(&structure(&[0, 8, 3, 1, 1, 2, 3, 4])).unwrap();
        assert_eq!(found.other, [ExtensionObject { class: 3, kind: 1, bytes: 4 }]);
    }

    #[test]
    fn job_19_malformed_extensions_are_marked_and_what_was_read_before_stays() {
        let good = structure(&[0, 8, 1, 1, 0, 0, 0x11, 1]);
        assert_eq!(read(&[]), None);
        let mut wrong = good;
        wrong[3] ^= 1;
        assert_eq!(read(&wrong).map(|found| (found.mpls.len(), found.malformed)), Some((0, true)));
        wrong[0] = 0x10;
        assert!(read(&wrong).unwrap().malformed);
        for objects in [&[0, 3, 1, 1][..], &[0, 9, 1, 1, 0, 0, 0, 0], &[0, 6, 1, 1, 0, 0], &[0, 8, 1, 1, 0, 0, 1, 1, 9]] {
            assert!(read(&structure(objects)).unwrap().malformed, "{objects:?}");
        }
        let found = read(&structure(&[0, 8, 1, 1, 0, 0, 0x11, 1, 0, 2])).unwrap();
        assert_eq!((found.mpls.len(), found.malformed), (1, true));
    }

    proptest! {
        #[test]
        fn job_19_no_bytes_make_it_panic(objects in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&objects);
            let found = read(&structure(&objects)).unwrap();
            prop_assert!(found.mpls.len() * 4 <= objects.len());
        }
    }

    #[test]
    fn job_19_fuzz_icmp_extensions() {
        let target = Target::new("icmp_extensions", include_str!("../corpus/extensions.txt"));
        target.survives(|bytes| {
            let Some(found) = read(bytes) else { return Reading::Refused };
            let objects = found.interfaces.len() + found.other.len();
            assert!(found.mpls.len() * LABEL_BYTES <= bytes.len() && objects <= OBJECTS_MAX);
            // As if the sender had made no checksum: what stands behind it is walked too.
            let mut unsummed = bytes.to_vec();
            if let Some(checksum) = unsummed.get_mut(2..4) {
                checksum.fill(0);
            }
            let unsummed = read(&unsummed).unwrap_or_default();
            assert!(unsummed.mpls.len() * LABEL_BYTES <= bytes.len());
            assert!(
                unsummed
                    .interfaces
                    .iter()
                    .filter_map(|interface| interface.name.as_ref())
                    .all(|name| name.len() <= NAME_BYTES * 3)
            );
            Reading::of(!found.malformed || !unsummed.malformed)
        });
    }
}
