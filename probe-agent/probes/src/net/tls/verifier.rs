//! Looks at a server's certificate, notes what it is worth, and lets it pass only as far as was asked.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Unproven;

/// What the server showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Its certificates, its own first; at most [`CHAIN_KEPT`].
    pub chain: Vec<CertificateDer<'static>>,
    /// How many there were.
    pub length: usize,
    /// Whether they prove its name; `None` where none came.
    pub verified: Option<Result<(), rustls::Error>>,
    /// When they were looked at.
    pub at: Option<UnixTime>,
}

#[derive(Debug)]
pub(super) struct Recorder {
    pub provider: Arc<CryptoProvider>,
    pub verifier: Option<Arc<WebPkiServerVerifier>>,
    pub unproven: Unproven,
    pub seen: Arc<Mutex<Seen>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = match &self.verifier {
            Some(verifier) => verifier
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(|_| ()),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let chain = std::iter::once(end_entity).chain(intermediates).take(CHAIN_KEPT);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen {
            chain: chain.map(|certificate| certificate.clone().into_owned()).collect(),
            length: intermediates.len().saturating_add(1),
            verified: Some(verified.clone()),
            at: Some(now),
        };
        match (verified, self.unproven) {
            (Err(error), Unproven::Refused) => Err(error),
            (Ok(()), _) | (Err(_), Unproven::Noted) => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Certificates of a chain that are kept.
pub(super) const CHAIN_KEPT: usize = 10;
