//! The text of an API key: `po_live_<id:10>_<secret:43>_<checksum:6>`, all base 62; the secret has 256 bits.

use secrecy::{ExposeSecret as _, SecretString};

use super::pepper::Pepper;
use super::secret_text::{NoRandomness, checksum, is_base62, random_base62, without_checksum};

/// A key as its owner holds it.
#[derive(Debug)]
pub(super) struct ApiKey {
    id: String,
    secret: SecretString,
}

impl ApiKey {
    /// Draws a new key.
    pub(super) fn generate() -> Result<Self, NoRandomness> {
        Ok(Self {
            id: random_base62(ID_CHARACTERS)?,
            secret: random_base62(SECRET_CHARACTERS)?.into(),
        })
    }

    /// Reads a presented key; a slip is caught here, without asking the store.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let within_length = text.len() == KEY_CHARACTERS;
        let (id, secret) = within_length.then(|| without_checksum(text)).flatten()?.strip_prefix(PREFIX)?.split_once('_')?;
        (is_base62(id, ID_CHARACTERS) && is_base62(secret, SECRET_CHARACTERS)).then(|| Self {
            id: id.to_owned(),
            secret: secret.into(),
        })
    }

    /// The public part.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What is stored of the secret.
    pub(super) fn mac(&self, pepper: &Pepper) -> [u8; 32] {
        pepper.mac(self.secret.expose_secret())
    }

    /// Whether the secret is the one stored.
    pub(super) fn matches(&self, pepper: &Pepper, mac: &[u8; 32]) -> bool {
        pepper.verify(self.secret.expose_secret(), mac)
    }

    /// The whole key, shown to its owner once.
    pub(super) fn reveal(&self) -> String {
        let body = format!("{PREFIX}{}_{}", self.id, self.secret.expose_secret());
        let checksum = checksum(&body);
        format!("{body}_{checksum}")
    }
}

/// Whether a text can be the public part of one.
pub(super) fn is_id(text: &str) -> bool {
    is_base62(text, ID_CHARACTERS)
}

const PREFIX: &str = "po_live_";
const ID_CHARACTERS: usize = 10;
const SECRET_CHARACTERS: usize = 43;
const KEY_CHARACTERS: usize = PREFIX.len() + ID_CHARACTERS + 1 + SECRET_CHARACTERS + 1 + 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_verifies_under_its_pepper_only() {
        let key = ApiKey::generate().unwrap();
        let text = key.reveal();
        assert_eq!(text.len(), KEY_CHARACTERS);
        let read = ApiKey::parse(&text).unwrap();
        let pepper = Pepper::from_bytes(&[1; 32]);
        assert!(read.matches(&pepper, &key.mac(&pepper)) && read.id() == key.id());
        assert!(!read.matches(&Pepper::from_bytes(&[2; 32]), &key.mac(&pepper)));
        assert!(
            !ApiKey::generate().unwrap().matches(&pepper, &key.mac(&pepper)),
            "another secret does not verify"
        );
    }

    #[test]
    fn aut_04_a_slip_anywhere_in_a_key_is_caught_before_the_store() {
        let text = ApiKey::generate().unwrap().reveal();
        for at in 0..text.len() {
            let mut slipped = text.clone().into_bytes();
            slipped[at] = if slipped[at] == b'a' { b'b' } else { b'a' };
            assert!(ApiKey::parse(&String::from_utf8(slipped).unwrap()).is_none(), "slip at {at}");
            assert!(ApiKey::parse(&text[..at]).is_none(), "cut at {at}");
        }
        for bad in [
            format!("{text} "),
            text.to_uppercase(),
            text.replace("po_live", "pо_live"),
            "a".repeat(10_000),
            String::new(),
        ] {
            assert!(ApiKey::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_secret_does_not_appear_in_debug_output() {
        let key = ApiKey::generate().unwrap();
        assert!(!format!("{key:?}").contains(key.secret.expose_secret()));
    }
}
