//! A body as it comes in: counted, decompressed, hashed, its beginning kept. Bounded in every direction: what is compressed can be a
//! thousand times as long as it looks. Pure.

use std::io::{self, Write};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::write::MultiGzDecoder;
use shared_protocol::report::{BodySample, HttpBody, SampleForm};

use crate::net::tls::hexadecimal;

/// A body under way.
pub(super) struct Body {
    wire_bytes: u64,
    wire_max: u64,
    encoding: Option<String>,
    content: Content,
}

/// How far a body may be read, bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Kept of its beginning.
    pub keep: usize,
    /// Read at most, on the wire and decoded.
    pub most: u64,
}

/// What to do after a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Go on.
    More,
    /// Stop: the bound is reached.
    Enough,
    /// Stop: what came is not what it says it is.
    Malformed,
}

enum Content {
    Plain(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
}

/// Where decoded bytes end up.
struct Sink {
    bounds: Bounds,
    decoded_bytes: u64,
    hash: digest::Context,
    sample: Vec<u8>,
}

impl Body {
    /// Begins; `encoding` is the answer's `Content-Encoding`.
    pub(super) fn new(encoding: Option<&str>, bounds: Bounds) -> Self {
        let encoding = encoding
            .map(|encoding| encoding.trim().to_ascii_lowercase())
            .filter(|encoding| encoding != "identity");
        let sink = Sink {
            bounds,
            decoded_bytes: 0,
            hash: digest::Context::new(&digest::SHA256),
            sample: Vec::new(),
        };
        let content = match encoding.as_deref() {
            Some("gzip" | "x-gzip") => Content::Gzip(Box::new(MultiGzDecoder::new(sink))),
            // Others are not asked for; where they come all the same, the bytes are told as they are.
            Some(_) | None => Content::Plain(sink),
        };
        Self {
            wire_bytes: 0,
            wire_max: bounds.most,
            encoding: encoding.map(|encoding| crate::text::shown(&encoding, ENCODING_CHARACTERS)),
            content,
        }
    }

    /// Takes a piece as it came.
    pub(super) fn push(&mut self, piece: &[u8]) -> Read {
        let room = usize::try_from(self.wire_max.saturating_sub(self.wire_bytes)).unwrap_or(usize::MAX);
        let taken = piece.get(..room).unwrap_or(piece);
        self.wire_bytes = self.wire_bytes.saturating_add(u64::try_from(taken.len()).unwrap_or(u64::MAX));
        let written = match &mut self.content {
            Content::Plain(sink) => sink.write_all(taken),
            Content::Gzip(decoder) => decoder.write_all(taken),
        };
        match written {
            Err(error) if error.kind() == FULL => Read::Enough,
            Err(_) => Read::Malformed,
            Ok(()) if taken.len() < piece.len() => Read::Enough,
            Ok(()) => Read::More,
        }
    }

    /// The last piece has come: whether a compressed body is whole.
    pub(super) fn end(&mut self) -> Read {
        let ended = match &mut self.content {
            Content::Gzip(decoder) if self.wire_bytes > 0 => decoder.try_finish(),
            Content::Gzip(_) | Content::Plain(_) => Ok(()),
        };
        match ended {
            Ok(()) => Read::More,
            Err(error) if error.kind() == FULL => Read::Enough,
            Err(_) => Read::Malformed,
        }
    }

    /// What is known of it now.
    pub(super) fn describe(&self, completeness: super::Whole) -> HttpBody {
        let sink = match &self.content {
            Content::Plain(sink) => sink,
            Content::Gzip(decoder) => decoder.get_ref(),
        };
        HttpBody {
            wire_bytes: self.wire_bytes,
            decoded_bytes: sink.decoded_bytes,
            encoding: self.encoding.clone(),
            sha256: hexadecimal(sink.hash.clone().finish().as_ref()),
            truncated: completeness == super::Whole::No,
            sample: sample(&sink.sample),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.bounds.most.saturating_sub(self.decoded_bytes)).unwrap_or(usize::MAX);
        let taken = bytes.get(..room).unwrap_or(bytes);
        if taken.is_empty() && !bytes.is_empty() {
            return Err(FULL.into());
        }
        self.hash.update(taken);
        let wanted = self.bounds.keep.saturating_sub(self.sample.len()).min(taken.len());
        self.sample.extend_from_slice(taken.get(..wanted).unwrap_or_default());
        self.decoded_bytes = self.decoded_bytes.saturating_add(u64::try_from(taken.len()).unwrap_or(u64::MAX));
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The beginning of a body in pieces that the wire takes: as text where it is text, else in base64.
fn sample(bytes: &[u8]) -> BodySample {
    // The last character may have been cut.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => bytes.get(..error.valid_up_to()).and_then(|bytes| std::str::from_utf8(bytes).ok()),
        Err(_) => None,
    };
    // A control character takes six characters in JSON: what is full of them is no text.
    let text = text.filter(|text| text.chars().filter(|character| is_odd(*character)).count() * 20 <= text.len());
    match text {
        Some(text) => BodySample {
            form: SampleForm::Text,
            pieces: pieces(text),
        },
        None => BodySample {
            form: SampleForm::Base64,
            pieces: bytes.chunks(PIECE_BYTES).map(|piece| STANDARD.encode(piece)).collect(),
        },
    }
}

fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        pieces.push(piece.to_owned());
        rest = after;
    }
    pieces
}

fn is_odd(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

/// How a sink says that it takes no more.
const FULL: io::ErrorKind = io::ErrorKind::QuotaExceeded;
/// A multiple of three, so that pieces in base64 can be put together; no string of the wire may be longer than 64 KiB.
const PIECE_BYTES: usize = 32_766;
const ENCODING_CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use test_fuzz::{Reading, Target};

    use super::*;
    use crate::http::Whole;

    const SMALL: Bounds = Bounds { keep: 8, most: 20 };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_is_counted_hashed_and_its_beginning_kept() {
        let mut body = Body::new(None, SMALL);
        assert_eq!((body.push(b"hello "), body.push(b"world"), body.end()), (Read::More, Read::More, Read::More));
        let told = body.describe(Whole::Yes);
        assert_eq!((told.wire_bytes, told.decoded_bytes, told.truncated), (11, 11, false));
        assert_eq!(told.sample.pieces, ["hello wo"]);
        assert_eq!(told.sha256, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
    }

    #[test]
    fn job_16_no_body_is_read_beyond_its_bound() {
        let mut body = Body::new(None, SMALL);
        assert_eq!(body.push(&[b'x'; 21]), Read::Enough);
        let told = body.describe(Whole::No);
        assert_eq!((told.wire_bytes, told.decoded_bytes, told.truncated), (20, 20, true));
    }

    #[test]
    fn job_16_a_gzip_bomb_is_given_up_at_the_bound() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 70_000, "{}", bomb.len());
        let bounds = Bounds {
            keep: 100,
            most: 4 * 1024 * 1024,
        };
        let mut body = Body::new(Some("gzip"), bounds);
        assert_eq!(body.push(&bomb), Read::Enough);
        let told = body.describe(Whole::No);
        assert_eq!((told.decoded_bytes, told.truncated), (4 * 1024 * 1024, true));
        assert_eq!(told.sample.form, SampleForm::Base64);
    }

    #[test]
    fn a_compressed_body_is_told_both_ways() {
        let packed = gzip(&[b'a'; 18]);
        let mut body = Body::new(Some(" GZIP "), Bounds { keep: 8, most: 1_000 });
        let read: Vec<Read> = packed.chunks(1).map(|byte| body.push(byte)).collect();
        assert!(read.iter().all(|read| *read == Read::More));
        assert_eq!(body.end(), Read::More);
        let told = body.describe(Whole::Yes);
        assert_eq!((told.wire_bytes, told.decoded_bytes), (u64::try_from(packed.len()).unwrap(), 18));
        assert_eq!((told.encoding.as_deref(), told.sample.pieces.concat().as_str()), (Some("gzip"), "aaaaaaaa"));
    }

    #[test]
    fn what_is_not_what_it_says_is_malformed() {
        let mut body = Body::new(Some("gzip"), Bounds { keep: 8, most: 1_000 });
        assert_eq!(body.push(b"this is no gzip at all, but plain text"), Read::Malformed);
        let packed = gzip(&[b'a'; 100]);
        let mut body = Body::new(Some("gzip"), Bounds { keep: 8, most: 1_000 });
        assert_eq!(body.push(&packed[..packed.len() - 4]), Read::More);
        assert_eq!(body.end(), Read::Malformed);
    }

    #[test]
    fn a_long_sample_comes_in_pieces_that_the_wire_takes() {
        let bounds = Bounds {
            keep: 131_072,
            most: 4 * 1024 * 1024,
        };
        let mut text = Body::new(None, bounds);
        text.push("\u{e4}".repeat(70_000).as_bytes());
        let told = text.describe(Whole::Yes).sample;
        assert_eq!((told.form, told.pieces.concat()), (SampleForm::Text, "\u{e4}".repeat(65_536)));
        let mut binary = Body::new(None, bounds);
        binary.push(&vec![0xff; 140_000]);
        let sample = binary.describe(Whole::Yes).sample;
        assert_eq!(sample.form, SampleForm::Base64);
        assert_eq!(STANDARD.decode(sample.pieces.concat()).unwrap(), vec![0xff; 131_072]);
        for piece in told.pieces.iter().chain(&sample.pieces) {
            assert!(piece.len() <= shared_protocol::limits::JSON_STRING_BYTES);
        }
    }

    #[test]
    fn job_19_fuzz_gzip_body() {
        let target = Target::new("gzip_body", include_str!("../../corpus/gzip.txt"));
        target.survives(|bytes| {
            let most = 4_096;
            let mut body = Body::new(Some("gzip"), Bounds { keep: 256, most });
            let mut read = Read::More;
            for piece in bytes.chunks(7) {
                read = body.push(piece);
                if read != Read::More {
                    break;
                }
            }
            if read == Read::More {
                read = body.end();
            }
            let told = body.describe(Whole::No);
            assert!(told.decoded_bytes <= most && told.wire_bytes <= most);
            Reading::of(read == Read::More && told.decoded_bytes > 0)
        });
    }
}
