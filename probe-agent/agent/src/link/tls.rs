//! TLS towards the control plane: version 1.3 only, no resumption, `http/1.1`, and only the trust that enrolment gave.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::bundle::CaPin;
use super::verifier::{PinnedRoot, StoredRoots, UntrustedChain};

/// The TLS of an enrolment: no identity yet, trust by pin.
///
/// # Errors
/// [`rustls::Error`] where the provider lacks TLS 1.3.
pub fn for_enrolment(pin: CaPin) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = provider();
    let verifier = PinnedRoot::new(pin, Arc::clone(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(finish(config))
}

/// The TLS of a session: the agent's own identity, trust in the stored roots only.
///
/// # Errors
/// [`rustls::Error`] where a certificate or the key cannot be used, or they do not belong together.
pub fn for_session(roots_pem: &str, chain_pem: &str, key_pem: &str) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    for root in certificates(roots_pem)? {
        roots.add(root)?;
    }
    let verifier = StoredRoots::new(roots, &provider)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| rustls::Error::General(format!("the private key is not readable: {error}")))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(certificates(chain_pem)?, key)?;
    Ok(finish(config))
}

/// The certificates in a PEM text, at most `CHAIN_LENGTH`.
///
/// # Errors
/// [`rustls::Error`] where there is none, or what is there is no certificate.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).take(CHAIN_LENGTH).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(rustls::Error::NoCertificatesPresented),
        Err(error) => Err(rustls::Error::General(format!("a certificate is not readable: {error}"))),
    }
}

/// Whether a failed handshake failed because of who the server is, and how to say so.
pub fn untrusted(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    if let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = inner
        && let Some(why) = other.0.downcast_ref::<UntrustedChain>()
    {
        return Some(why.to_string());
    }
    let is_about_the_server = matches!(inner, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented);
    is_about_the_server.then(|| inner.to_string())
}

/// The one cryptographic provider of the agent.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Arc::new(config)
}

/// Longest chain read.
const CHAIN_LENGTH: usize = 8;
