//! A saved corpus: one input a line, as `hex` digits or as `text`, and comments that say where it came from.

use std::fmt::Write as _;

/// Reads a corpus; the number of the first line that is none of one.
pub(crate) fn read(text: &str) -> Result<Vec<Vec<u8>>, usize> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| input(line).ok_or(number)).collect()
}

fn input(line: &str) -> Option<Vec<u8>> {
    match line.split_once(' ')? {
        ("hex", digits) => bytes(digits),
        ("text", text) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let values: Vec<u32> = digits
        .chars()
        .filter(|character| *character != ' ')
        .map(|character| character.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect()
}

/// Bytes as a corpus holds them.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _cannot_fail = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_texts_are_read_and_comments_left_out() {
        assert_eq!(
            read("# from a router\nhex 00 ff1\u{30}\n\ntext {\"a\": 1}\n").unwrap(),
            [vec![0, 255, 16], b"{\"a\": 1}".to_vec()]
        );
        assert_eq!(hexadecimal(&[0, 255, 16]), "00ff10");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for line in ["hex 0", "hex 0g", "bytes 00", "hex"] {
            assert_eq!(read(&format!("hex 00\n{line}")), Err(2), "{line}");
        }
    }
}
