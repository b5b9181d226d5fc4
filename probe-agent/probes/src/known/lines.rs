//! The lines of a file, each with its number, none of them longer than a bound.

use std::io::{BufRead, Read as _};

use super::Unusable;

/// Lines that are read one after another.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn of(input: R) -> Self {
        Self {
            input,
            number: 0,
            line: Vec::new(),
        }
    }

    /// The next line with its number, from 1, without its end.
    ///
    /// # Errors
    /// [`Unusable`] where it cannot be read, is too long, or begins a compressed file.
    pub(super) fn read(&mut self) -> Result<Option<(u64, &[u8])>, Unusable> {
        self.line.clear();
        let most = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
        let read = self.input.by_ref().take(most + 1).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && self.line.starts_with(&GZIP) {
            return Err(Unusable::Compressed);
        }
        if read > LINE_BYTES {
            return Err(Unusable::Line {
                line: self.number,
                what: "is longer than 4096 bytes",
            });
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = if self.number == 1 { line.strip_prefix(&MARK).unwrap_or(line) } else { line };
        Ok(Some((self.number, line)))
    }
}

/// Longest line, bytes.
const LINE_BYTES: usize = 4_096;
/// How a compressed file begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What some programs put before UTF-8.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_their_numbers_and_without_their_ends() {
        let mut lines = Lines::of(&b"\xef\xbb\xbfone\r\n\nthree"[..]);
        assert_eq!(lines.read().unwrap(), Some((1, &b"one"[..])));
        assert_eq!(lines.read().unwrap(), Some((2, &b""[..])));
        assert_eq!(lines.read().unwrap(), Some((3, &b"three"[..])));
        assert_eq!(lines.read().unwrap(), None);
    }

    #[test]
    fn kno_03_a_line_without_end_is_read_no_further_than_its_bound() {
        let just = [vec![b'a'; 4_095], b"\n".to_vec()].concat();
        assert_eq!(Lines::of(&just[..]).read().unwrap().unwrap().1.len(), 4_095);
        let long = vec![b'a'; 1 << 20];
        assert!(matches!(Lines::of(&long[..]).read(), Err(Unusable::Line { line: 1, .. })));
        assert!(matches!(Lines::of(&b"\x1f\x8b\x08"[..]).read(), Err(Unusable::Compressed)));
    }
}
