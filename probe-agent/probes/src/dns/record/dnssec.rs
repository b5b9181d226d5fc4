//! The records of DNSSEC as a zone file has them (RFC 4034, RFC 7344). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use shared_protocol::spec::RecordType as Mnemonic;

use super::hexadecimal;

/// The text of a record's data; `None` for other types, and for data that is malformed.
pub(super) fn presentation(code: u16, data: &[u8]) -> Option<String> {
    match code {
        DS | CDS => {
            let ([tag_high, tag_low, algorithm, digest_type], digest) = data.split_first_chunk::<4>()?;
            let tag = u16::from_be_bytes([*tag_high, *tag_low]);
            Some(format!("{tag} {algorithm} {digest_type} {}", hexadecimal(digest).to_ascii_uppercase()))
        }
        DNSKEY | CDNSKEY => {
            let ([flags_high, flags_low, protocol, algorithm], key) = data.split_first_chunk::<4>()?;
            let flags = u16::from_be_bytes([*flags_high, *flags_low]);
            Some(format!("{flags} {protocol} {algorithm} {}", STANDARD.encode(key)))
        }
        RRSIG => signature(data),
        NSEC => next_secure(data),
        _ => None,
    }
}

fn signature(data: &[u8]) -> Option<String> {
    let (head, rest) = data.split_first_chunk::<18>()?;
    let (numbers, rest) = (Numbers(head), rest);
    let mut decoder = BinDecoder::new(rest);
    let signer = Name::read(&mut decoder).ok()?;
    let signature = rest.get(decoder.index()..)?;
    Some(format!(
        "{} {} {} {} {} {} {} {} {}",
        Mnemonic::name_of(numbers.short(0)?),
        numbers.byte(2)?,
        numbers.byte(3)?,
        numbers.long(4)?,
        // Serial numbers of seconds; RFC 4034 section 3.2 lets them be written as such.
        numbers.long(8)?,
        numbers.long(12)?,
        numbers.short(16)?,
        signer.to_ascii(),
        STANDARD.encode(signature)
    ))
}

/// The next owner and the types there are (RFC 4034 section 4.1).
fn next_secure(data: &[u8]) -> Option<String> {
    let mut decoder = BinDecoder::new(data);
    let next = Name::read(&mut decoder).ok()?;
    let mut words = vec![next.to_ascii()];
    let mut rest = data.get(decoder.index()..)?;
    while let Some(([window, length], after)) = rest.split_first_chunk::<2>() {
        let (bitmap, after) = after.split_at_checked(usize::from(*length))?;
        for (position, byte) in (0_u16..).zip(bitmap) {
            let set = (0..8).filter(|bit| byte & (0x80 >> bit) != 0);
            words.extend(set.map(|bit| Mnemonic::name_of(u16::from(*window) * 256 + position * 8 + bit)));
        }
        rest = after;
    }
    Some(words.join(" "))
}

/// Numbers at their places in network byte order.
struct Numbers<'a>(&'a [u8; 18]);

impl Numbers<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn short(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn long(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(*self.0.get(at..)?.first_chunk()?))
    }
}

const DS: u16 = 43;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const DNSKEY: u16 = 48;
const CDS: u16 = 59;
const CDNSKEY: u16 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let ds = [&60485_u16.to_be_bytes()[..], &[5, 1, 0x2b, 0xb1]].concat();
        assert_eq!(presentation(DS, &ds).unwrap(), "60485 5 1 2BB1");
        assert_eq!(presentation(DNSKEY, &[1, 0, 3, 5, 0xff]).unwrap(), "256 3 5 /w==");
        // RFC 4034 section 4.3: host.example.com. A MX RRSIG NSEC TYPE1234
        let mut nsec = b"\x04host\x07example\x03com\x00\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b".to_vec();
        nsec.extend([0; 26]);
        nsec.push(0x20);
        assert_eq!(presentation(NSEC, &nsec).unwrap(), "host.example.com. A MX RRSIG NSEC TYPE1234");
        let mut rrsig = vec![0, 1, 5, 3, 0, 1, 0x51, 0x80, 0, 0, 0, 2, 0, 0, 0, 1, 0x0a, 0x52];
        rrsig.extend(b"\x04test\x00\xff");
        assert_eq!(presentation(RRSIG, &rrsig).unwrap(), "A 5 3 86400 2 1 2642 test. /w==");
    }

    #[test]
    fn malformed_data_has_no_text() {
        for code in [DS, DNSKEY, RRSIG, NSEC] {
            assert_eq!(presentation(code, &[0xff]), None, "{code}");
        }
        assert_eq!(presentation(NSEC, b"\x00\x00\x09\x01"), None);
        assert_eq!(presentation(1, &[127, 0, 0, 1]), None);
    }
}
