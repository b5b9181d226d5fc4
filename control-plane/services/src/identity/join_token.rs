//! The text of a join token: `pojt_1_<id:12 base 32>_<secret:32 base 62>_<checksum:6>`, and the bundle that carries it to an agent's host.

use std::fmt;

use aws_lc_rs::digest;
use secrecy::{ExposeSecret as _, SecretString};

use super::secret_text::{NoRandomness, checksum, is_base32, is_base62, random_base32, random_base62, without_checksum};

/// A join token as its bearer holds it. The secret has 190 bits, so a plain hash of it is stored.
pub(crate) struct JoinTokenText {
    id: String,
    secret: SecretString,
}

/// The text is not a join token: a slip, or something else altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: check that it was copied whole")]
pub(crate) struct TokenUnreadable;

impl JoinTokenText {
    /// Draws a new token.
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        Ok(Self {
            id: random_base32(ID_CHARACTERS)?,
            secret: random_base62(SECRET_CHARACTERS)?.into(),
        })
    }

    /// Reads a presented token; a slip is caught here, without asking the store.
    pub(crate) fn parse(text: &str) -> Result<Self, TokenUnreadable> {
        let within_length = text.len() == TOKEN_CHARACTERS;
        let body = within_length.then(|| without_checksum(text)).flatten().ok_or(TokenUnreadable)?;
        let (id, secret) = body.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(TokenUnreadable)?;
        if !is_base32(id, ID_CHARACTERS) || !is_base62(secret, SECRET_CHARACTERS) {
            return Err(TokenUnreadable);
        }
        Ok(Self {
            id: id.to_owned(),
            secret: secret.into(),
        })
    }

    /// The public part.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What is stored of the secret.
    pub(crate) fn secret_sha256(&self) -> [u8; 32] {
        sha256(self.secret.expose_secret().as_bytes())
    }

    /// What `probe-agent enrol` reads: where to, whom to trust there, and the token.
    pub(super) fn bundle(&self, address: impl fmt::Display, pin: &str) -> String {
        format!("probeops-join://{address}?ca-pin={pin}&token={}", self.reveal())
    }

    /// The whole token.
    pub(crate) fn reveal(&self) -> String {
        let body = format!("{PREFIX}{}_{}", self.id, self.secret.expose_secret());
        let checksum = checksum(&body);
        format!("{body}_{checksum}")
    }
}

/// SHA-256 as an array.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    hash
}

/// Whether a text can be the public part of one.
pub(super) fn is_id(text: &str) -> bool {
    is_base32(text, ID_CHARACTERS)
}

const PREFIX: &str = "pojt_1_";
const ID_CHARACTERS: usize = 12;
const SECRET_CHARACTERS: usize = 32;
const TOKEN_CHARACTERS: usize = PREFIX.len() + ID_CHARACTERS + 1 + SECRET_CHARACTERS + 1 + 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_from_its_bundle() {
        let token = JoinTokenText::generate().unwrap();
        let bundle = token.bundle("127.0.0.1:8443", &format!("sha256:{}", "a".repeat(64)));
        let text = bundle.rsplit_once("token=").unwrap().1;
        let read = JoinTokenText::parse(text).unwrap();
        assert_eq!((read.id(), read.secret_sha256()), (token.id(), token.secret_sha256()));
        assert!(bundle.starts_with("probeops-join://127.0.0.1:8443?ca-pin=sha256:aaaa"));
    }

    #[test]
    fn enr_06_a_slip_anywhere_in_a_token_is_caught_before_the_store() {
        let text = JoinTokenText::generate().unwrap().reveal();
        for at in 0..text.len() {
            let mut slipped = text.clone().into_bytes();
            slipped[at] = if slipped[at] == b'a' { b'b' } else { b'a' };
            assert!(JoinTokenText::parse(&String::from_utf8(slipped).unwrap()).is_err(), "slip at {at}");
            assert!(JoinTokenText::parse(&text[..at]).is_err(), "cut at {at}");
        }
        let other = text.replace("pojt_1", "pojt_2");
        let lookalike = text.replacen('o', "о", 1);
        for bad in [other, lookalike, format!("{text}\n"), "pojt_1_".repeat(1_500), String::new()] {
            assert!(JoinTokenText::parse(&bad).is_err(), "{bad}");
        }
    }
}
