//! Keys of those who stand for packages (Ed25519, RFC 8032), as text.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What a package is checked with: `ed25519:` and 32 bytes as Base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

/// What a package is signed with.
pub struct SigningKey(Ed25519KeyPair);

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not a public key.
    #[error("is no public key: it is written as `ed25519:` and 44 characters of Base64, as `probectl packages key` prints it")]
    Public,
    /// Not a private key.
    #[error("is no private key as `probectl packages key` writes it")]
    Private,
    /// No random numbers are to be had.
    #[error("cannot be made: the system gives no random numbers")]
    Random,
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", BASE64.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let bytes = text.strip_prefix(PREFIX).and_then(|text| BASE64.decode(text).ok());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(InvalidKey::Public)
    }
}

impl PublicKey {
    /// Whether its private half made this signature of this message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SigningKey").finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes one.
    ///
    /// # Errors
    /// [`InvalidKey::Random`].
    pub fn generate() -> Result<Self, InvalidKey> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| InvalidKey::Random)
    }

    /// Reads it as it was written.
    ///
    /// # Errors
    /// [`InvalidKey::Private`].
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let body = text.trim().strip_prefix(PRIVATE_PREFIX).and_then(|body| BASE64.decode(body).ok());
        let pair = body.and_then(|body| Ed25519KeyPair::from_pkcs8(&body).ok());
        pair.map(Self).ok_or(InvalidKey::Private)
    }

    /// The key as text, a secret.
    ///
    /// # Errors
    /// [`InvalidKey::Random`] where it cannot be written.
    pub fn to_text(&self) -> Result<String, InvalidKey> {
        let document = self.0.to_pkcs8().map_err(|_| InvalidKey::Random)?;
        Ok(format!("{PRIVATE_PREFIX}{}", BASE64.encode(document.as_ref())))
    }

    /// Its public half.
    ///
    /// # Errors
    /// [`InvalidKey::Private`] where it has none of the right size.
    pub fn public(&self) -> Result<PublicKey, InvalidKey> {
        let bytes = self.0.public_key().as_ref().try_into();
        bytes.map(PublicKey).map_err(|_| InvalidKey::Private)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

const PUBLIC_BYTES: usize = 32;
const PREFIX: &str = "ed25519:";
const PRIVATE_PREFIX: &str = "ed25519-private:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_they_were_written_and_nothing_else_does() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::parse(&key.to_text().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        let public = key.public().unwrap();
        assert_eq!(public.to_string().parse(), Ok(public));
        assert!(public.verifies(b"x", &again.sign(b"x")));
        assert!(!public.verifies(b"y", &again.sign(b"x")));
        assert!(!public.verifies(b"x", &[0; 64]));
        assert!(!public.verifies(b"x", &[]));
        for text in ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", &public.to_string()[8..], &format!("{public}A")] {
            assert_eq!(text.parse::<PublicKey>(), Err(InvalidKey::Public), "{text}");
        }
        assert!(matches!(SigningKey::parse("ed25519-private:AAAA"), Err(InvalidKey::Private)));
        assert!(!format!("{key:?}").contains("private"));
    }
}
