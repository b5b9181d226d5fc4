//! Questions and answers of ARP (RFC 826, RFC 5227), as bytes from behind the Ethernet header on. What comes is anybody's: nothing of it is
//! believed but its form.

use std::net::Ipv4Addr;

use shared_protocol::mac_address::MacAddress;

use super::Message;

/// Asks who has an address. Whoever asks in the name of 0.0.0.0 changes nobody's table (RFC 5227 section 2.1.1).
pub(super) fn question(own: MacAddress, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    // The hardware address that is asked for is not known.
    let parts: [&[u8]; 6] = [&HEAD, &REQUEST, &own.octets(), &source.octets(), &[0; 6], &target.octets()];
    parts.concat()
}

/// Reads a message; `None` for what is none, or says what cannot be. Behind a short message stands what fills its frame.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let (head, rest) = bytes.split_first_chunk()?;
    let (operation, rest) = rest.split_first_chunk()?;
    let (sender, rest) = rest.split_first_chunk::<6>()?;
    let (sender_address, rest) = rest.split_first_chunk::<4>()?;
    let (target, rest) = rest.split_first_chunk::<6>()?;
    let (target_address, _) = rest.split_first_chunk::<4>()?;
    if *head != HEAD {
        return None;
    }
    let target_address = Ipv4Addr::from(*target_address).into();
    match *operation {
        REQUEST => Some(Message::Question { target: target_address }),
        REPLY => {
            let owner = MacAddress::new(*sender);
            owner.is_of_one().then(|| Message::Answer {
                address: Ipv4Addr::from(*sender_address).into(),
                owner: Some(owner),
                to: (Some(MacAddress::new(*target)), target_address),
                router: false,
            })
        }
        _ => None,
    }
}

/// Ethernet, IPv4, and the lengths of their addresses.
const HEAD: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    const OWN: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddress = MacAddress::new([2, 0, 0, 0, 0, 2]);
    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    /// Length of a message.
    const BYTES: usize = 28;

    fn said(owner: [u8; 6]) -> Vec<u8> {
        let parts: [&[u8]; 6] = [&HEAD, &REPLY, &owner, &THERE.octets(), &OWN.octets(), &HERE.octets()];
        parts.concat()
    }

    #[test]
    fn a_question_is_written_as_rfc_826_has_it() {
        let bytes = question(OWN, HERE, THERE);
        assert_eq!(bytes[..8], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(bytes[8..18], [2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        assert_eq!(bytes[18..], [0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
        assert_eq!(read(&bytes), Some(Message::Question { target: THERE.into() }));
    }

    #[test]
    fn an_answer_is_read_whatever_fills_its_frame() {
        let expected = Message::Answer {
            address: THERE.into(),
            owner: Some(OTHER),
            to: (Some(OWN), HERE.into()),
            router: false,
        };
        let mut bytes = said(OTHER.octets());
        assert_eq!(read(&bytes), Some(expected.clone()));
        bytes.resize(46, 0xee);
        assert_eq!(read(&bytes), Some(expected));
    }

    #[test]
    fn nbr_07_what_is_cut_of_another_kind_or_said_for_a_group_is_none() {
        let whole = said(OTHER.octets());
        for length in 0..BYTES {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        for place in 0..8 {
            let mut other = whole.clone();
            other[place] ^= 0x10;
            assert_eq!(read(&other), None, "byte {place}");
        }
        for nobody in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(read(&said(nobody)), None, "{nobody:?}");
        }
    }

    #[test]
    fn nbr_07_fuzz_arp() {
        let target = Target::new("arp", include_str!("../../../corpus/arp.txt"));
        target.survives(|bytes| {
            let found = read(bytes);
            if let Some(Message::Answer { address, owner, to, router }) = &found {
                assert!(bytes.len() >= BYTES && owner.is_some_and(MacAddress::is_of_one));
                assert!(address.is_ipv4() && to.1.is_ipv4() && !router);
            }
            Reading::of(found.is_some())
        });
    }
}
