//! Keys and certificates on disk: `<name>.key` and `<name>.crt`, both mode 0600, the key first, so that a crash in between is mended at the next start.

use std::path::{Path, PathBuf};

use rcgen::{Issuer, KeyPair, SignatureAlgorithm};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::{AuthorityError, Certificate};
use crate::private_file;

/// One of the authority's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Signs the issuing authorities; its key may be taken off this machine.
    Root,
    /// Signs agents.
    Agents,
    /// Signs the agent port's certificate.
    Servers,
    /// The agent port's own.
    Server,
}

impl Role {
    /// Where its key lies.
    pub(super) fn key_file(self, directory: &Path) -> PathBuf {
        directory.join(self.name()).with_extension("key")
    }

    fn certificate_file(self, directory: &Path) -> PathBuf {
        directory.join(self.name()).with_extension("crt")
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Agents => "agents",
            Self::Servers => "servers",
            Self::Server => "server",
        }
    }

    const fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::Root => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Agents | Self::Servers | Self::Server => &rcgen::PKCS_ECDSA_P256_SHA256,
        }
    }
}

/// A certificate and, unless it was taken off this machine, its key.
pub(super) struct KeyAndCertificate {
    pub(super) key: Option<KeyPair>,
    pub(super) certificate: Certificate,
}

impl KeyAndCertificate {
    /// Reads both; makes what is missing.
    pub(super) fn load_or_create(
        directory: &Path,
        role: Role,
        sign: impl FnOnce(&KeyPair) -> Result<rcgen::Certificate, AuthorityError>,
    ) -> Result<Self, AuthorityError> {
        Self::load_or_renew(directory, role, |_| true, sign)
    }

    /// Reads both; makes what is missing, and a new certificate, with a new key, when the old one is no longer usable.
    pub(super) fn load_or_renew(
        directory: &Path,
        role: Role,
        usable: impl FnOnce(&CertificateDer<'_>) -> bool,
        sign: impl FnOnce(&KeyPair) -> Result<rcgen::Certificate, AuthorityError>,
    ) -> Result<Self, AuthorityError> {
        let certificate_file = role.certificate_file(directory);
        let key_file = role.key_file(directory);
        let mut key = read_key(&key_file)?;
        if let Some(certificate) = read_certificate(&certificate_file)? {
            let matches = key.as_ref().is_none_or(|key| belongs(key, &certificate.der));
            if matches && usable(&certificate.der) {
                return Ok(Self { key, certificate });
            }
            key = None;
        }
        let key = match key {
            Some(key) => key,
            None => make_key(&key_file, role.algorithm())?,
        };
        let signed = sign(&key)?;
        let certificate = Certificate {
            der: signed.der().clone(),
            pem: signed.pem(),
        };
        write(&certificate_file, certificate.pem.as_bytes())?;
        Ok(Self { key: Some(key), certificate })
    }

    /// This certificate as one that signs others.
    pub(super) fn issuer(&self, directory: &Path, role: Role) -> Result<Issuer<'static, KeyPair>, AuthorityError> {
        let path = role.key_file(directory);
        let key = self.key.as_ref().ok_or_else(|| AuthorityError::KeyMissing { path: path.clone() })?;
        let der = Zeroizing::new(key.serialize_der());
        let again = KeyPair::try_from(der.as_slice()).map_err(|_| AuthorityError::Damaged { path, what: "private key" })?;
        Ok(Issuer::from_ca_cert_der(&self.certificate.der, again)?)
    }
}

fn make_key(path: &Path, algorithm: &'static SignatureAlgorithm) -> Result<KeyPair, AuthorityError> {
    let key = KeyPair::generate_for(algorithm)?;
    write(path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    Ok(key)
}

fn read_key(path: &Path) -> Result<Option<KeyPair>, AuthorityError> {
    let Some(bytes) = read(path)?.map(Zeroizing::new) else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).ok();
    let key = text.and_then(|text| KeyPair::from_pem(text).ok());
    key.map(Some).ok_or_else(|| damaged(path, "private key"))
}

fn read_certificate(path: &Path) -> Result<Option<Certificate>, AuthorityError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let der = CertificateDer::from_pem_slice(&bytes).map_err(|_| damaged(path, "certificate"))?;
    let pem = String::from_utf8(bytes).map_err(|_| damaged(path, "certificate"))?;
    Ok(Some(Certificate { der, pem }))
}

fn belongs(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, certificate)| certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, AuthorityError> {
    private_file::read(path).map_err(|source| file_error(path, source))
}

fn write(path: &Path, content: &[u8]) -> Result<(), AuthorityError> {
    private_file::create(path, content).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> AuthorityError {
    AuthorityError::File {
        path: PathBuf::from(path),
        source,
    }
}

fn damaged(path: &Path, what: &'static str) -> AuthorityError {
    AuthorityError::Damaged {
        path: PathBuf::from(path),
        what,
    }
}
