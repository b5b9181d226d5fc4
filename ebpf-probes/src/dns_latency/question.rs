//! The question of a message to DNS (RFC 1035, section 4.1.2).

use std::fmt::Write as _;

/// The name and the type asked for; nothing where what is there is no question, or not whole.
pub(super) fn read(bytes: &[u8]) -> Option<(String, u16)> {
    let (mut name, mut rest) = (String::new(), bytes);
    loop {
        let (length, after) = rest.split_first()?;
        let length = usize::from(*length);
        if length == 0 {
            rest = after;
            break;
        }
        // A question points nowhere: nothing stands before it.
        if length > LABEL_MAX {
            return None;
        }
        let (label, after) = after.split_at_checked(length)?;
        for byte in label {
            push(&mut name, *byte);
        }
        name.push('.');
        rest = after;
    }
    if name.is_empty() {
        name.push('.');
    }
    let (kind, _) = rest.split_first_chunk()?;
    Some((name, u16::from_be_bytes(*kind)))
}

/// As in zone files (RFC 1035, section 5.1): what does not print, and what would be read as something else, as its number.
fn push(name: &mut String, byte: u8) {
    if byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\' | b'"') {
        name.push(char::from(byte));
    } else {
        // Writing to a text does not fail.
        let _written = write!(name, "\\{byte:03}");
    }
}

/// Longest label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_with_its_type() {
        assert_eq!(read(b"\x03www\x04test\0\0\x1c\0\x01").unwrap(), ("www.test.".to_owned(), 28));
        assert_eq!(read(b"\0\0\x02").unwrap(), (".".to_owned(), 2));
        assert_eq!(read(b"\x04a.\x1b\xff\0\xff\xfe").unwrap(), ("a\\046\\027\\255.".to_owned(), 65_534));
    }

    #[test]
    fn what_is_no_question_is_none() {
        for bytes in [&b""[..], b"\x03ww", b"\x03www", b"\x03www\0", b"\x03www\0\0", b"\xc0\x0c\0\x01", b"\x40aaaa"] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }
}
