//! The files in which the IEEE says to whom it has given which blocks of addresses, in their two forms.

use std::io::{BufRead, Read as _};

use super::Unusable;
use super::lines::Lines;
use super::vendors::{Assignments, Block};

/// Reads a file in the form that its first bytes tell.
pub(super) fn read(mut input: impl BufRead, into: &mut Assignments) -> Result<(), Unusable> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).to_vec();
    let whole = start.chain(input);
    if start.starts_with(b"Registry,") {
        separated(whole, into)
    } else {
        text(whole, into)
    }
}

/// A block stands in two lines, `28-6F-B9 (hex) Vendor` and `286FB9 (base 16) Vendor`; of medium and small ones the second tells which part of the
/// large one it is, `500000-5FFFFF (base 16) Vendor`. Everything else is the vendor's address.
fn text(input: impl BufRead, into: &mut Assignments) -> Result<(), Unusable> {
    let mut lines = Lines::of(input);
    let mut large: Option<(Block, String)> = None;
    while let Some((number, line)) = lines.read()? {
        let bad = |what| Unusable::Line { line: number, what };
        // Old files have names in other encodings than UTF-8.
        let line = String::from_utf8_lossy(line);
        if let Some((digits, name)) = line.split_once("(hex)") {
            if let Some((block, name)) = large.take() {
                into.add(block, &name)?;
            }
            let digits = digits.trim();
            let plain: String = digits.split('-').filter(|pair| pair.len() == 2).collect();
            let block = Block::of_digits(&plain).filter(|_| plain.len() == 6 && digits.len() == 8);
            large = Some((block.ok_or(bad(HEX))?, name.to_owned()));
        } else if let Some((digits, name)) = line.split_once("(base 16)") {
            let (block, _) = large.take().ok_or(bad(ALONE))?;
            let block = match digits.trim().split_once('-') {
                Some((first, last)) => offset(first).zip(offset(last)).and_then(|(first, last)| block.part(first, last)),
                None => Block::of_digits(digits.trim()).filter(|same| *same == block),
            };
            into.add(block.ok_or(bad(BASE_16))?, name)?;
        }
    }
    if let Some((block, name)) = large {
        into.add(block, &name)?;
    }
    Ok(())
}

fn offset(digits: &str) -> Option<u64> {
    let plain = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| plain)
}

fn separated(input: impl BufRead, into: &mut Assignments) -> Result<(), Unusable> {
    let mut reader = csv::ReaderBuilder::new().has_headers(true).flexible(true).from_reader(input);
    let mut record = csv::ByteRecord::new();
    loop {
        let before = reader.position().line();
        let more = reader.read_byte_record(&mut record);
        let line = record.position().map_or(before, csv::Position::line);
        let bad = |what| Unusable::Line { line, what };
        if !more.map_err(|error| unreadable(error, before))? {
            return Ok(());
        }
        let (Some(digits), Some(name)) = (record.get(1), record.get(2)) else {
            return Err(bad(COLUMNS));
        };
        let block = std::str::from_utf8(digits).ok().and_then(Block::of_digits);
        into.add(block.ok_or(bad(ASSIGNMENT))?, &String::from_utf8_lossy(name))?;
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's errors, marked as growing; what is not of the system is of the line"
)]
fn unreadable(error: csv::Error, line: u64) -> Unusable {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Unusable::Unreadable(error),
        _ => Unusable::Line { line, what: COLUMNS },
    }
}

/// As much as tells the form.
const HEAD_BYTES: u64 = 12;
const HEX: &str = "has no block of three bytes in hexadecimal before (hex), as 28-6F-B9";
const ALONE: &str = "has (base 16) without a line with (hex) before it";
const BASE_16: &str = "has neither the block of the line before it nor a part of it before (base 16), as 286FB9 or 500000-5FFFFF";
const COLUMNS: &str = "has no columns Registry, Assignment and Organization Name";
const ASSIGNMENT: &str = "has no assignment of six, seven or nine hexadecimal digits";

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;
    use crate::known::Vendors;

    fn read_all(text: &[u8]) -> Result<usize, Unusable> {
        Vendors::default().read(text)
    }

    #[test]
    fn the_text_of_the_registry_is_read_with_its_heading_and_addresses() {
        let text = "OUI/MA-L                                                    Organization                                 \r\n\
            company_id                                                  Organization                                 \r\n\
            \r\n28-6F-B9   (hex)\t\tExample Systems Co., Ltd.\r\n286FB9     (base 16)\t\tExample Systems Co., Ltd.\r\n\
            \t\t\t\tNo.1 Example Road\r\n\t\t\t\tCN\r\n\r\n00-00-5E   (hex)\t\tAnother \u{e9}\r\n";
        assert_eq!(read_all(text.as_bytes()).unwrap(), 2);
        assert_eq!(
            read_all(b"00-00-5E   (hex)\t\tAnother \xe9\n").unwrap(),
            1,
            "a byte that is no UTF-8 costs no more than itself"
        );
    }

    #[test]
    fn kno_07_a_line_that_says_something_else_is_named_by_its_number() {
        let (good, heading) = ("00-00-5E   (hex)\t\tA\n", "Registry,Assignment,Organization Name,Organization Address\n");
        for (text, line, what) in [
            (format!("{good}00-00-5   (hex)\t\tB\n"), 2, HEX),
            (format!("{good}00-00-5E-00   (hex)\t\tB\n"), 2, HEX),
            (format!("{good}0000-5E   (hex)\t\tB\n"), 2, HEX),
            (format!("{good}+0-00-5E   (hex)\t\tB\n"), 2, HEX),
            (format!("{good}00005F     (base 16)\t\tB\n"), 2, BASE_16),
            (format!("{good}000000-0FFFFE     (base 16)\t\tB\n"), 2, BASE_16),
            (format!("{good}080000-17FFFF     (base 16)\t\tB\n"), 2, BASE_16),
            (format!("{good}0FFFFF-000000     (base 16)\t\tB\n"), 2, BASE_16),
            ("00005E     (base 16)\t\tB\n".to_owned(), 1, ALONE),
            (format!("{good}{}\n", "x".repeat(5_000)), 2, "is longer than 4096 bytes"),
            (format!("{heading}MA-L,00005E,A,\nMA-L,00005,B,\n"), 3, ASSIGNMENT),
            (format!("{heading}MA-L,00005E,A,\nMA-S,0x005E000,B,\n"), 3, ASSIGNMENT),
            (format!("{heading}MA-L,00005E,A,\nMA-L\n"), 3, COLUMNS),
        ] {
            let refused = read_all(text.as_bytes()).unwrap_err();
            assert_eq!(refused.to_string(), format!("line {line} {what}"), "{text:?}");
        }
        for empty in [&b""[..], b"\n\n", b"nothing of the kind\n", b"\x00\x01\x02\x03", heading.as_bytes()] {
            assert!(matches!(read_all(empty), Err(Unusable::Empty)), "{empty:?}");
        }
        assert!(matches!(read_all(b"\x1f\x8b\x08\x00"), Err(Unusable::Compressed)));
    }

    #[test]
    fn kno_07_fuzz_vendor_lines() {
        let target = Target::new("vendor_lines", include_str!("../../corpus/vendor_lines.txt"));
        target
            .with_words(&[b"\n", b"(hex)", b"(base 16)", b"-", b",", b"\"", b"000000-0FFFFF"])
            .survives(|bytes| {
                let mut vendors = Vendors::default();
                let read = vendors.read(bytes);
                assert!(read.is_ok() || vendors == Vendors::default(), "what is refused leaves nothing");
                for mac in ["00:00:5e:00:00:01", "10:e9:92:50:1f:ff", "ff:ff:ff:ff:ff:ff"] {
                    let name = vendors.of(mac.parse().unwrap());
                    assert!(name.is_none_or(|name| !name.is_empty() && name.chars().count() <= 128 && !name.chars().any(char::is_control)));
                }
                Reading::of(read.is_ok())
            });
    }
}
