//! What a datagram to a port carries, so that common services answer it: a question that every one of them may be asked by anybody. What
//! would have to guess at a secret is not here: no community of SNMP versions 1 and 2c (RFC 3584), no shared secret of RADIUS (RFC 2865).
//! Nor is TFTP (RFC 1350), which would have to be asked for a file.

/// The payload for a port; empty where no service that answers to one is usual there.
pub(super) fn of(port: u16) -> Vec<u8> {
    match port {
        DNS => DNS_QUERY.to_vec(),
        NTP => ntp_request(),
        SNMP => SNMP_DISCOVERY.to_vec(),
        QUIC => quic_initial(),
        STUN => STUN_BINDING.to_vec(),
        _ => Vec::new(),
    }
}

/// How many bytes a datagram of a scan to a port carries.
pub fn datagram_bytes(port: u16) -> usize {
    of(port).len()
}

const DNS: u16 = 53;
const NTP: u16 = 123;
const SNMP: u16 = 161;
const QUIC: u16 = 443;
const STUN: u16 = 3_478;

/// A standard query for the start of authority of the root, without recursion (RFC 1035 section 4.1): every server has an answer to it, which
/// is a refusal at the least, and the longest is short.
const DNS_QUERY: [u8; 17] = [
    0x70, 0x6f, // identifier
    0x00, 0x00, // a standard query
    0, 1, 0, 0, 0, 0, 0, 0, // one question
    0, // the root
    0, 6, // SOA
    0, 1, // IN
];

/// A client's request of version 4 with nothing else in it (RFC 5905 section 7.3).
fn ntp_request() -> Vec<u8> {
    let mut request = vec![0; 48];
    if let Some(first) = request.first_mut() {
        // No leap warning, version 4, mode 3.
        *first = 0x23;
    }
    request
}

/// The discovery of an engine by version 3 (RFC 3414 section 4): a reportable request without user, authentication or variables, which every
/// engine answers with its identifier. No access to anything is asked for.
const SNMP_DISCOVERY: [u8; 64] = [
    0x30, 62, //
    0x02, 1, 3, // version 3
    0x30, 17, // header data (RFC 3412 section 6)
    0x02, 4, 0x70, 0x6f, 0x72, 0x74, // identifier of the message
    0x02, 3, 0x00, 0xff, 0xe3, // longest answer, 65,507 bytes
    0x04, 1, 0x04, // reportable
    0x02, 1, 3, // security model of users
    0x04, 16, 0x30, 14, // security parameters
    0x04, 0, 0x02, 1, 0, 0x02, 1, 0, 0x04, 0, 0x04, 0, 0x04, 0, // all of them empty
    0x30, 20, // the scoped request
    0x04, 0, 0x04, 0, // of no engine and no context
    0xa0, 14, // get-request
    0x02, 4, 0x70, 0x6f, 0x72, 0x74, // identifier of the request
    0x02, 1, 0, 0x02, 1, 0, // no error
    0x30, 0, // no variables
];

/// A long header of a version that is kept for asking which ones a server speaks (RFC 9000 section 15), as long as a first packet has to be
/// (RFC 9000 section 14.1): a server answers with its versions (RFC 8999 section 6), which is shorter.
fn quic_initial() -> Vec<u8> {
    let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a];
    packet.push(8);
    packet.extend(*b"probeops");
    packet.push(0);
    packet.resize(1_200, 0);
    packet
}

/// A binding request without attributes (RFC 8489 section 6.3.1).
const STUN_BINDING: [u8; 20] = [
    0x00, 0x01, 0, 0, // binding request, no attributes
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    b'p', b'r', b'o', b'b', b'e', b'o', b'p', b's', b'p', b'o', b'r', b't',
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload by a reader of its own: each length says what follows it, to the end.
    fn nested(bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let [tag, length, following @ ..] = rest {
            let length = usize::from(*length);
            if following.len() < length {
                return false;
            }
            let (inner, after) = following.split_at(length);
            let constructed = tag & 0x20 != 0 || (*tag == 0x04 && inner.first() == Some(&0x30));
            if constructed && !nested(inner) {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }

    #[test]
    fn payloads_are_what_their_protocols_ask_for() {
        let query = hickory_resolver::proto::op::Message::from_vec(&of(53)).unwrap();
        assert_eq!(query.queries[0].to_string(), ". IN SOA");
        assert_eq!((of(123).len(), of(123)[0] & 7), (48, 3));
        assert!(nested(&of(161)), "{:?}", of(161));
        assert_eq!((of(443).len(), of(443)[0] & 0xc0), (1_200, 0xc0));
        // RFC 9000 section 15: versions of the form ?a?a?a?a are never spoken.
        assert!(of(443)[1..5].iter().all(|byte| byte & 0x0f == 0x0a));
        assert_eq!((of(3_478).len() % 4, datagram_bytes(3_478), datagram_bytes(9)), (0, 20, 0));
    }
}
