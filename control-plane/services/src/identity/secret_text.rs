//! The alphabet of secrets that people carry: random text of an alphabet, and the checksum that catches a slip before the store is asked.

use aws_lc_rs::rand;

/// The system's source of randomness failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("draw random bytes from the operating system")]
pub struct NoRandomness;

/// Fills an array from the system's generator of random numbers for secrets.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// Random text of base 62: 5.95 bits a character.
pub(crate) fn random_base62(characters: usize) -> Result<String, NoRandomness> {
    random_text(characters, BASE62)
}

/// Random text of base 32, lower case (RFC 4648 alphabet): 5 bits a character.
pub(crate) fn random_base32(characters: usize) -> Result<String, NoRandomness> {
    random_text(characters, BASE32)
}

/// CRC-32 (IEEE) of a text in six characters of base 62, most significant first.
pub(crate) fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = Vec::with_capacity(CHECKSUM_CHARACTERS);
    for _ in 0..CHECKSUM_CHARACTERS {
        let digit = usize::try_from(rest % 62).unwrap_or(0);
        digits.push(BASE62.get(digit).copied().map_or('0', char::from));
        rest /= 62;
    }
    digits.into_iter().rev().collect()
}

/// Splits off and verifies the checksum of `…_<checksum>`.
pub(crate) fn without_checksum(text: &str) -> Option<&str> {
    let (body, given) = text.rsplit_once('_')?;
    (given == checksum(body)).then_some(body)
}

/// Whether a text has exactly this many characters, all of base 62.
pub(crate) fn is_base62(text: &str, characters: usize) -> bool {
    text.len() == characters && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text has exactly this many characters, all of base 32.
pub(crate) fn is_base32(text: &str, characters: usize) -> bool {
    text.len() == characters && text.bytes().all(|byte| BASE32.contains(&byte))
}

/// Draws each character evenly: bytes beyond the largest multiple of the alphabet's size are thrown away.
fn random_text(characters: usize, alphabet: &[u8]) -> Result<String, NoRandomness> {
    let fair = 256 - 256 % alphabet.len().max(1);
    let mut text = String::with_capacity(characters);
    while text.len() < characters {
        let drawn: [u8; 64] = random_bytes()?;
        let fit = drawn.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let picked = fit.filter_map(|byte| alphabet.get(byte % alphabet.len())).map(|byte| char::from(*byte));
        text.extend(picked.take(characters - text.len()));
    }
    Ok(text)
}

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE32: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const CHECKSUM_CHARACTERS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32_in_base_62_padded_to_six() {
        // CRC-32 of "123456789" is 0xCBF43926 = 3421780262.
        assert_eq!(checksum("123456789"), "3jZRME");
        assert_eq!(checksum(""), "000000");
        assert_eq!(without_checksum("123456789_3jZRME"), Some("123456789"));
        assert_eq!(without_checksum("123456780_3jZRME"), None);
    }

    #[test]
    fn random_text_has_its_length_and_alphabet_and_never_repeats() {
        let texts: std::collections::HashSet<_> = (0..200).map(|_| random_base62(43).unwrap()).collect();
        assert_eq!(texts.len(), 200);
        assert!(texts.iter().all(|text| is_base62(text, 43)));
        assert!(is_base32(&random_base32(12).unwrap(), 12));
        let all: String = texts.into_iter().collect();
        assert!(
            BASE62.iter().all(|byte| all.contains(char::from(*byte))),
            "every character occurs in 8,600 draws"
        );
    }
}
