//! How an input is changed: bits, pieces, lengths that lie, numbers that are too large, words that mean something to the reader.
#![expect(clippy::indexing_slicing, reason = "every place is drawn below the length that it is used with")]

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::json;

/// Changes the inputs of a corpus; the same seed makes the same changes.
pub(crate) struct Mutator<'a> {
    draws: StdRng,
    corpus: &'a [Vec<u8>],
    words: &'a [&'a [u8]],
    form: Form,
    longest: usize,
}

/// What a reader's inputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Bytes,
    /// Texts of JSON, of which most changes leave such.
    Json,
}

impl<'a> Mutator<'a> {
    /// One for a run.
    pub(crate) fn new(seed: u64, corpus: &'a [Vec<u8>], words: &'a [&'a [u8]], form: Form) -> Self {
        let longest = corpus.iter().map(Vec::len).max().unwrap_or_default();
        Self {
            draws: StdRng::seed_from_u64(seed),
            corpus,
            words,
            form,
            longest: longest * 2 + SPARE_BYTES,
        }
    }

    /// An input that nobody has saved.
    pub(crate) fn input(&mut self) -> Vec<u8> {
        let mut bytes = self.saved().to_vec();
        if self.form == Form::Json && self.below(8) > 0 {
            let other = self.saved();
            // What becomes too long is refused as such, and not cut into what is no text any more.
            return json::change(&bytes, other, |bound| self.below(bound)).unwrap_or(bytes);
        }
        // Mostly one or two changes, so that most of the input still means what it meant.
        let changes = 1 + self.below(2) * self.below(6);
        for _ in 0..changes {
            self.change(&mut bytes);
        }
        bytes.truncate(self.longest);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let place = self.below(bytes.len());
        match self.below(11) {
            0 | 1 => {
                let bit = self.below(8);
                change_at(bytes, place, |byte| byte ^ (1 << bit));
            }
            2 => {
                let value = self.byte();
                change_at(bytes, place, |_| value);
            }
            3 => bytes.truncate(place),
            4 => self.lie(bytes, place),
            5 => self.splice(bytes, place),
            6 => {
                let end = place + self.below(LONGEST_PIECE.min(bytes.len() - place));
                bytes.drain(place..end);
            }
            7 => {
                let end = place + self.below(LONGEST_PIECE.min(bytes.len() - place));
                let piece = bytes[place..end].to_vec();
                let at = self.below(bytes.len());
                bytes.splice(at..at, piece);
            }
            8 => {
                let value = self.byte();
                bytes.insert(place, value);
            }
            9 => self.enlarge(bytes, place),
            _ => self.say(bytes, place),
        }
    }

    /// Puts a number of one, two or four bytes where a length may stand: none, one more than there is, the most there can be.
    fn lie(&mut self, bytes: &mut [u8], place: usize) {
        let width = [1, 2, 4][self.below(3)];
        let rest = u32::try_from(bytes.len() - place).unwrap_or(u32::MAX);
        let told = [
            0,
            1,
            rest,
            rest.wrapping_sub(1),
            rest.wrapping_add(1),
            u32::MAX,
            u32::MAX / 2 + 1,
            0x7fff,
            0x8000,
        ];
        let told = told[self.below(told.len())].to_be_bytes();
        for (to, from) in bytes[place..].iter_mut().zip(&told[4 - width..]) {
            *to = *from;
        }
    }

    /// The rest becomes that of another saved input.
    fn splice(&mut self, bytes: &mut Vec<u8>, place: usize) {
        let other = self.saved();
        let from = self.below(other.len());
        bytes.truncate(place);
        bytes.extend_from_slice(&other[from..]);
    }

    /// A number written in digits becomes one at some bound.
    fn enlarge(&mut self, bytes: &mut Vec<u8>, place: usize) {
        let digits = |byte: &u8| byte.is_ascii_digit();
        let Some(begin) = bytes[place..].iter().position(digits).map(|begin| place + begin) else {
            return;
        };
        let length = bytes[begin..].iter().take_while(|byte| digits(byte)).count();
        let number = NUMBERS[self.below(NUMBERS.len())];
        bytes.splice(begin..begin + length, number.bytes());
    }

    /// A word of the reader's language.
    fn say(&mut self, bytes: &mut Vec<u8>, place: usize) {
        if let Some(word) = self.words.get(self.below(self.words.len())) {
            bytes.splice(place..place, word.iter().copied());
        }
    }

    fn saved(&mut self) -> &'a [u8] {
        let place = self.below(self.corpus.len());
        self.corpus.get(place).map_or(&[], Vec::as_slice)
    }

    fn byte(&mut self) -> u8 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            2 => 0x7f,
            3 => 0x80,
            4 => 0xff,
            _ => self.draws.random(),
        }
    }

    /// A number below the bound; 0 where there is none.
    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.draws.random_range(0..bound) }
    }
}

fn change_at(bytes: &mut [u8], place: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(place) {
        *byte = change(*byte);
    }
}

/// Words of JSON, for readers of texts.
pub(crate) const JSON_WORDS: [&[u8]; 14] = [
    b"{", b"}", b"[", b"]", b"\"", b",", b":", b"null", b"true", b"-", b"{}", b"\\u0000", b"\\ud800", b"\xff",
];

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "00",
    "255",
    "256",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "0.5",
    "1e400",
];
const LONGEST_PIECE: usize = 64;
/// How much longer than twice the longest saved input one may become.
const SPARE_BYTES: usize = 64;
