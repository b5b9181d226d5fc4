//! Who the control plane must prove to be: at enrolment the pinned root, afterwards the root that enrolment brought.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::bundle::CaPin;

/// The server's chain is not one that this agent trusts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedChain {
    /// No certificate of the chain has the pinned key.
    #[error("no certificate of the server's chain has the pinned key {pin}; the certificate seen was issued by \"{issuer}\"")]
    PinNotFound {
        /// The pin of the join bundle.
        pin: CaPin,
        /// Who issued the certificate that the server showed.
        issuer: String,
    },
    /// The chain does not end at the root this agent enrolled with.
    #[error(
        "the server's certificate was issued by \"{issuer}\", which is not the certification authority this agent enrolled with; is a proxy intercepting TLS?"
    )]
    UnknownRoot {
        /// Who issued the certificate that the server showed.
        issuer: String,
    },
}

/// Trusts the root whose public key is pinned, provided the server shows it and its own certificate chains up to it.
#[derive(Debug)]
pub struct PinnedRoot {
    pin: CaPin,
    provider: Arc<CryptoProvider>,
}

/// Trusts given roots only, and names the issuer it saw when it refuses.
#[derive(Debug)]
pub struct StoredRoots {
    inner: Arc<WebPkiServerVerifier>,
}

impl PinnedRoot {
    /// Trusts this pin.
    pub const fn new(pin: CaPin, provider: Arc<CryptoProvider>) -> Self {
        Self { pin, provider }
    }

    fn roots(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<RootCertStore, rustls::Error> {
        let pinned = intermediates.iter().find(|certificate| pin_of(certificate) == Some(self.pin));
        let pinned = pinned.ok_or_else(|| {
            untrusted(UntrustedChain::PinNotFound {
                pin: self.pin,
                issuer: issuer_of(end_entity),
            })
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        Ok(roots)
    }
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = self.roots(end_entity, intermediates)?;
        StoredRoots::new(roots, &self.provider)?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl StoredRoots {
    /// Trusts these roots.
    ///
    /// # Errors
    /// [`rustls::Error`] where there is no root.
    pub fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { inner })
    }
}

impl ServerCertVerifier for StoredRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            if error != rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) {
                return error;
            }
            untrusted(UntrustedChain::UnknownRoot { issuer: issuer_of(end_entity) })
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The pin that a certificate's public key has; `None` where it is no certificate.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Option<CaPin> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(CaPin::of_public_key(parsed.public_key().raw))
}

/// Who issued a certificate, fit to be shown: no control characters, at most 200 characters.
pub fn issuer_of(certificate: &CertificateDer<'_>) -> String {
    let issuer = X509Certificate::from_der(certificate).map_or_else(|_| "an unreadable certificate".to_owned(), |(_, parsed)| parsed.issuer().to_string());
    issuer.chars().filter(|character| !character.is_control()).take(ISSUER_CHARACTERS).collect()
}

fn untrusted(why: UntrustedChain) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

const ISSUER_CHARACTERS: usize = 200;
