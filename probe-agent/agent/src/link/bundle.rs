//! The join bundle: one line that says where the control plane is, which root it must prove, and the single-use secret that earns an identity.

use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;

use super::endpoint::Endpoint;

/// `probeops-join://HOST:PORT?ca-pin=sha256:HEX&token=pojt_1_…`, taken apart and checked as far as it can be without asking anybody.
#[derive(Debug, Clone)]
pub struct JoinBundle {
    /// Where to enrol.
    pub endpoint: Endpoint,
    /// The root that the control plane must prove.
    pub pin: CaPin,
    /// The single-use secret; never logged.
    pub token: SecretString,
}

/// SHA-256 of the root's public key (`SubjectPublicKeyInfo`, DER).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CaPin([u8; 32]);

/// Why a text is no join bundle. None of these repeats the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBundle {
    /// Too long, not one line, or not of this scheme.
    #[error("must be one line that starts with probeops-join://")]
    Scheme,
    /// The host or port is not acceptable.
    #[error("its address must be host:port")]
    Endpoint,
    /// A parameter is missing, unknown or named twice.
    #[error("must have exactly the parameters ca-pin and token")]
    Parameters,
    /// The pin is not a SHA-256.
    #[error("its ca-pin must be sha256: and 64 hexadecimal digits")]
    Pin,
    /// The token is not of this form.
    #[error("its token is not of the form pojt_1_…; was it copied whole?")]
    Token,
    /// The token's checksum does not fit: a character was lost or changed.
    #[error("its token's checksum does not fit; was it copied whole?")]
    Checksum,
}

impl FromStr for JoinBundle {
    type Err = InvalidBundle;

    fn from_str(text: &str) -> Result<Self, InvalidBundle> {
        let text = text.trim();
        if text.len() > BUNDLE_BYTES || text.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(InvalidBundle::Scheme);
        }
        let rest = text.strip_prefix("probeops-join://").ok_or(InvalidBundle::Scheme)?;
        let (address, query) = rest.split_once('?').ok_or(InvalidBundle::Parameters)?;
        let endpoint = address.parse().map_err(|_| InvalidBundle::Endpoint)?;
        let (mut pin, mut token) = (None, None);
        for parameter in query.split('&') {
            let slot = match parameter.split_once('=') {
                Some(("ca-pin", value)) if pin.is_none() => pin.insert(value),
                Some(("token", value)) if token.is_none() => token.insert(value),
                _ => return Err(InvalidBundle::Parameters),
            };
            if slot.is_empty() {
                return Err(InvalidBundle::Parameters);
            }
        }
        let (Some(pin), Some(token)) = (pin, token) else {
            return Err(InvalidBundle::Parameters);
        };
        check_token(token)?;
        Ok(Self {
            endpoint,
            pin: pin.parse()?,
            token: SecretString::from(token),
        })
    }
}

impl CaPin {
    /// The pin of a public key in DER.
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, spki_der);
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }
}

impl FromStr for CaPin {
    type Err = InvalidBundle;

    fn from_str(text: &str) -> Result<Self, InvalidBundle> {
        let digits = text
            .strip_prefix("sha256:")
            .filter(|digits| digits.len() == 64 && digits.is_ascii())
            .ok_or(InvalidBundle::Pin)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidBundle::Pin)?;
            if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(InvalidBundle::Pin);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidBundle::Pin)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for CaPin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for CaPin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// `pojt_1_<id:12>_<secret:32>_<checksum:6>`; the checksum is CRC-32 of all before its underscore, in base 62, padded to six.
fn check_token(token: &str) -> Result<(), InvalidBundle> {
    let (checked, checksum) = token.rsplit_once('_').ok_or(InvalidBundle::Token)?;
    let (id, secret) = checked
        .strip_prefix("pojt_1_")
        .and_then(|rest| rest.split_once('_'))
        .ok_or(InvalidBundle::Token)?;
    let alphanumeric = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !(alphanumeric(id, 12) && alphanumeric(secret, 32) && alphanumeric(checksum, 6)) {
        return Err(InvalidBundle::Token);
    }
    if base62(crc32fast::hash(checked.as_bytes())) == checksum {
        Ok(())
    } else {
        Err(InvalidBundle::Checksum)
    }
}

fn base62(number: u32) -> String {
    let mut digits = [b'0'; 6];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        let value = u8::try_from(rest % 62).unwrap_or(0);
        rest /= 62;
        *digit = match value {
            0..=9 => b'0' + value,
            10..=35 => b'A' + (value - 10),
            _ => b'a' + (value - 36),
        };
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Longest bundle read.
pub const BUNDLE_BYTES: usize = 1_024;

/// A token in the form the control plane gives out, for tests.
#[cfg(test)]
pub(crate) fn example_token() -> String {
    let checked = format!("pojt_1_{}_{}", "a2b3c4d5e6f7", "S".repeat(32));
    format!("{checked}_{}", base62(crc32fast::hash(checked.as_bytes())))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn bundle(pin: &str, token: &str) -> String {
        format!("probeops-join://localhost:8443?ca-pin={pin}&token={token}")
    }

    fn pin() -> String {
        CaPin::of_public_key(b"a public key").to_string()
    }

    #[test]
    fn a_bundle_is_taken_apart() {
        let read: JoinBundle = format!("  {}\n", bundle(&pin(), &example_token())).parse().unwrap();
        assert_eq!(read.endpoint.to_string(), "localhost:8443");
        assert_eq!(read.pin, CaPin::of_public_key(b"a public key"));
        assert_eq!(read.token.expose_secret(), example_token());
        let swapped = format!("probeops-join://[::1]:1?token={}&ca-pin={}", example_token(), pin());
        assert_eq!(swapped.parse::<JoinBundle>().unwrap().endpoint.to_string(), "[::1]:1");
    }

    #[test]
    fn a_bundle_never_shows_its_token() {
        let read: JoinBundle = bundle(&pin(), &example_token()).parse().unwrap();
        assert!(!format!("{read:?}").contains("SSSS"));
    }

    #[test]
    fn a_changed_character_of_the_token_is_noticed_without_asking_anybody() {
        let token = example_token();
        for at in 7..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            let refused = bundle(&pin(), &changed).parse::<JoinBundle>().unwrap_err();
            assert!(matches!(refused, InvalidBundle::Checksum | InvalidBundle::Token), "{changed}: {refused}");
        }
    }

    #[test]
    fn the_checksum_is_the_one_written_down_in_the_contract() {
        assert_eq!(base62(0), "000000");
        assert_eq!(base62(61), "00000z");
        assert_eq!(base62(62), "000010");
        assert_eq!(base62(u32::MAX), "4gfFC3");
    }

    #[test]
    fn what_is_no_bundle_is_refused_by_its_part() {
        let (pin, token) = (pin(), example_token());
        for (text, why) in [
            (String::new(), InvalidBundle::Scheme),
            (format!("https://localhost:1?ca-pin={pin}&token={token}"), InvalidBundle::Scheme),
            (format!("{}\n{}", bundle(&pin, &token), bundle(&pin, &token)), InvalidBundle::Scheme),
            ("x".repeat(2_000), InvalidBundle::Scheme),
            (format!("probeops-join://localhost?ca-pin={pin}&token={token}"), InvalidBundle::Endpoint),
            (format!("probeops-join://localhost:1?token={token}"), InvalidBundle::Parameters),
            (format!("probeops-join://localhost:1?ca-pin={pin}"), InvalidBundle::Parameters),
            (format!("probeops-join://localhost:1?ca-pin={pin}&token="), InvalidBundle::Parameters),
            (format!("{}&token={token}", bundle(&pin, &token)), InvalidBundle::Parameters),
            (format!("{}&insecure=1", bundle(&pin, &token)), InvalidBundle::Parameters),
            (bundle("sha256:00", &token), InvalidBundle::Pin),
            (bundle(&format!("sha256:{}", "g".repeat(64)), &token), InvalidBundle::Pin),
            (bundle(&format!("sha256:{}", "+0".repeat(32)), &token), InvalidBundle::Pin),
            (bundle(&format!("sha1:{}", "0".repeat(64)), &token), InvalidBundle::Pin),
            (bundle(&pin, "pojt_2_a"), InvalidBundle::Token),
            (bundle(&pin, &token[..token.len() - 1]), InvalidBundle::Token),
        ] {
            assert_eq!(text.parse::<JoinBundle>().unwrap_err(), why, "{text}");
        }
    }
}
