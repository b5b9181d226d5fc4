//! The pepper: a secret beside the database, so that a stolen database alone verifies no key.

use std::io;
use std::path::Path;

use aws_lc_rs::hmac;

use super::secret_text::random_bytes;
use crate::private_file;

/// The key of the HMAC under which API keys are stored.
#[derive(Debug)]
pub(crate) struct Pepper(hmac::Key);

impl Pepper {
    /// Reads the pepper, or makes it at the first start.
    pub(crate) fn load_or_create(file: &Path) -> io::Result<Self> {
        if let Some(bytes) = private_file::read(file)? {
            if bytes.len() != PEPPER_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not a pepper: wrong length"));
            }
            return Ok(Self::from_bytes(&bytes));
        }
        let bytes: [u8; PEPPER_BYTES] = random_bytes().map_err(io::Error::other)?;
        private_file::create(file, &bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// What is stored of a secret.
    pub(crate) fn mac(&self, secret: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0, secret.as_bytes());
        let mut mac = [0; 32];
        for (to, from) in mac.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        mac
    }

    /// Whether a secret is the one stored, in time that does not depend on where they differ.
    pub(crate) fn verify(&self, secret: &str, mac: &[u8; 32]) -> bool {
        hmac::verify(&self.0, secret.as_bytes(), mac).is_ok()
    }
}

const PEPPER_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_pepper_is_made_once_private_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pepper");
        let made = Pepper::load_or_create(&file).unwrap().mac("secret");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Pepper::load_or_create(&file).unwrap().mac("secret"), made);
        assert!(Pepper::load_or_create(&file).unwrap().verify("secret", &made));
        assert!(!Pepper::load_or_create(&file).unwrap().verify("Secret", &made));
    }

    #[test]
    fn a_pepper_that_others_can_read_or_that_is_cut_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pepper");
        Pepper::load_or_create(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Pepper::load_or_create(&file).is_err());
        let cut = directory.path().join("cut");
        private_file::create(&cut, b"short").unwrap();
        assert!(Pepper::load_or_create(&cut).is_err());
    }
}
