//! A certificate signing request (RFC 2986), of which only the public key is ever used.

use rcgen::SubjectPublicKeyInfo;
use shared_protocol::limits::CSR_BYTES;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::identity::sha256;

/// A public key whose owner proved that it has the private one.
#[derive(Debug, Clone)]
pub(crate) struct RequestedKey {
    key: SubjectPublicKeyInfo,
    spki_sha256: [u8; 32],
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestRefused {
    /// Longer than a request needs to be.
    #[error("is longer than 4096 bytes")]
    TooLong,
    /// Not a signing request, or something stands behind it.
    #[error("is not one certificate signing request in DER")]
    Malformed,
    /// Another kind of key.
    #[error("must be for a key of P-256, P-384 or Ed25519, signed with the hash that belongs to it")]
    KeyType,
    /// The requester asks for what is not his to say.
    #[error("must not ask for extensions or attributes: what stands in a certificate is the control plane's to say")]
    Asks,
    /// The signature does not prove the key.
    #[error("is not signed by its own key")]
    Signature,
}

impl RequestedKey {
    /// Reads a request strictly and verifies its proof of possession.
    pub(crate) fn from_request(der: &[u8]) -> Result<Self, RequestRefused> {
        if der.len() > CSR_BYTES {
            return Err(RequestRefused::TooLong);
        }
        // The parser takes any class of the outermost tag.
        if der.first() != Some(&SEQUENCE) {
            return Err(RequestRefused::Malformed);
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RequestRefused::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestRefused::Malformed);
        }
        if !request.certification_request_info.attributes().is_empty() {
            return Err(RequestRefused::Asks);
        }
        let spki = request.certification_request_info.subject_pki.raw;
        let key = SubjectPublicKeyInfo::from_der(spki).map_err(|_| RequestRefused::KeyType)?;
        // The signature's algorithm must be the key's own: the library names a curve by it.
        let signed_with = request.signature_algorithm.algorithm.to_id_string();
        if !ACCEPTED
            .iter()
            .any(|(algorithm, oid)| rcgen::PublicKeyData::algorithm(&key) == *algorithm && *oid == signed_with)
        {
            return Err(RequestRefused::KeyType);
        }
        request.verify_signature().map_err(|_| RequestRefused::Signature)?;
        if rcgen::PublicKeyData::subject_public_key_info(&key) != spki {
            return Err(RequestRefused::Malformed);
        }
        Ok(Self {
            key,
            spki_sha256: sha256(spki),
        })
    }

    /// The key, as a certificate takes it.
    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }

    /// SHA-256 of the key (`SubjectPublicKeyInfo`).
    pub(crate) fn spki_sha256(&self) -> [u8; 32] {
        self.spki_sha256
    }
}

const SEQUENCE: u8 = 0x30;
/// Kinds of keys, and the object identifier of the signature that goes with each (RFC 5758, RFC 8410).
static ACCEPTED: [(&rcgen::SignatureAlgorithm, &str); 3] = [
    (&rcgen::PKCS_ECDSA_P256_SHA256, "1.2.840.10045.4.3.2"),
    (&rcgen::PKCS_ECDSA_P384_SHA384, "1.2.840.10045.4.3.3"),
    (&rcgen::PKCS_ED25519, "1.3.101.112"),
];
