//! Lines of a network, the length of its prefix and the numbers of the systems that announce it.

use std::io::BufRead;
use std::net::IpAddr;

use super::Unusable;
use super::lines::Lines;
use super::origins::{Gathered, is_system};

/// Reads all lines; empty ones, and those that begin with `#`, say nothing.
pub(super) fn read(input: impl BufRead, into: &mut Gathered) -> Result<(), Unusable> {
    let mut lines = Lines::of(input);
    while let Some((number, line)) = lines.read()? {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let bad = |what| Unusable::Line { line: number, what };
        let (network, length, systems) = parts(line).map_err(bad)?;
        for system in systems.split(['_', ',']) {
            let system = plain_number(system).filter(|system| is_system(*system));
            into.add(network, length, system.ok_or(bad(SYSTEMS))?)?;
        }
    }
    Ok(())
}

fn parts(line: &[u8]) -> Result<(IpAddr, u8, &str), &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| FORM)?;
    let mut words = text.split_ascii_whitespace();
    let (Some(network), Some(length), Some(systems), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(FORM);
    };
    let network: IpAddr = network.parse().map_err(|_| NETWORK)?;
    let (most, bits) = match network {
        IpAddr::V4(network) => (32, u128::from(network.to_bits()) << 96),
        IpAddr::V6(network) => (128, network.to_bits()),
    };
    // What is sent nowhere else is everybody's: a default route says nothing of who has an address.
    let length = plain_number(length).filter(|length| (1..=most).contains(length)).ok_or(LENGTH)?;
    if bits.checked_shl(length).unwrap_or(0) != 0 {
        return Err(BITS);
    }
    Ok((network, u8::try_from(length).map_err(|_| LENGTH)?, systems))
}

fn plain_number(text: &str) -> Option<u32> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

const FORM: &str = "is not a network, the length of its prefix and the numbers of the systems that announce it, with tabs between";
const NETWORK: &str = "does not begin with the address of a network";
const LENGTH: &str = "has no length from 1 to 32, or to 128 for IPv6";
const BITS: &str = "has a network with bits behind the length of its prefix";
const SYSTEMS: &str = "has no numbers of autonomous systems from 1 to 4294967294, with _ or , between";

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;
    use crate::known::Origins;

    fn read_all(text: &[u8]) -> Result<usize, Unusable> {
        Origins::default().read_lines(text)
    }

    #[test]
    fn lines_of_both_families_are_read_whatever_their_order() {
        let text = b"# by hand\r\n9.0.0.0\t8\t64501\r\n\n8.0.0.0 8 64500,64502_64503\n2a00::\t12\t4294967294\n9.0.0.0\t8\t64501\n9.0.0.0\t8\t7";
        assert_eq!(read_all(text).unwrap(), 3, "what stands twice counts once, whoever announces it");
    }

    #[test]
    fn kno_05_a_line_that_says_something_else_is_named_by_its_number() {
        for (line, what) in [
            (&b"8.0.0.0\t33\t64500"[..], LENGTH),
            (b"8.0.0.0\t0\t64500", LENGTH),
            (b"8.0.0.0\t+8\t64500", LENGTH),
            (b"8.0.0.0\t256\t64500", LENGTH),
            (b"2a00::\t129\t64500", LENGTH),
            (b"8.0.0.1\t8\t64500", BITS),
            (b"2a00::1\t127\t64500", BITS),
            (b"8.0.0\t8\t64500", NETWORK),
            (b"host.test\t8\t64500", NETWORK),
            (b"8.0.0.0\t8\tAS64500", SYSTEMS),
            (b"8.0.0.0\t8\t0", SYSTEMS),
            (b"8.0.0.0\t8\t4294967295", SYSTEMS),
            (b"8.0.0.0\t8\t4294967296", SYSTEMS),
            (b"8.0.0.0\t8\t64500_", SYSTEMS),
            (b"8.0.0.0\t8\t1.5", SYSTEMS),
            (b"8.0.0.0\t8", FORM),
            (b"8.0.0.0/8\t64500", FORM),
            (b"8.0.0.0\t8\t64500\tmore", FORM),
            (b"\xff\xfe\x00\x01", FORM),
            (b"8.0.0.0\t8\t64500\xff", FORM),
        ] {
            let text = [b"9.0.0.0\t8\t64501\n\n", line, b"\n"].concat();
            let refused = read_all(&text).unwrap_err();
            assert_eq!(refused.to_string(), format!("line 3 {what}"), "{line:?}");
            assert_eq!(refused.code(), "file_bad_line");
        }
        for empty in ["", "\n\n", "# nothing\n"] {
            assert!(matches!(read_all(empty.as_bytes()), Err(Unusable::Empty)), "{empty:?}");
        }
    }

    #[test]
    fn kno_05_fuzz_origin_lines() {
        let target = Target::new("origin_lines", include_str!("../../corpus/origin_lines.txt"));
        target.with_words(&[b"\n", b"\t", b"_", b",", b"8.0.0.0", b"2a00::", b"/"]).survives(|bytes| {
            let mut origins = Origins::default();
            let read = origins.read_lines(bytes);
            assert!(read.is_ok() || origins == Origins::default(), "what is refused leaves nothing");
            for address in ["8.0.0.1", "9.255.255.255", "2a00::1", "ffff::"] {
                let origin = origins.of(address.parse().unwrap());
                assert!(origin.is_none_or(|origin| !origin.systems.is_empty() && origin.systems.is_sorted()));
            }
            Reading::of(read.is_ok())
        });
    }
}
