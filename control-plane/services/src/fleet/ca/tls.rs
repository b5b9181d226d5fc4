//! The TLS of the agent port: 1.3 only, no resumption, a client certificate where one is presented.

use std::sync::Arc;

use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The library refuses the configuration.
    #[error("configure the agent port: {0}")]
    Configuration(#[from] rustls::Error),
    /// The authority cannot be trusted by the library.
    #[error("trust the authority: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The agent port's configuration. A resumed session would skip the client's certificate, so nothing that resumes is ever given out.
/// The chain ends with the root, so that a pin can match.
pub(super) fn server_config(
    root: &CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: &[String],
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let key = CertifiedKey::new(chain, provider.key_provider.load_private_key(key)?);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(KnownNames {
            key: Arc::new(key),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Answers for the agent port's own names; a client that dialled an address names none.
#[derive(Debug)]
struct KnownNames {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl ResolvesServerCert for KnownNames {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = hello
            .server_name()
            .is_none_or(|name| self.names.iter().any(|known| known == &name.to_ascii_lowercase()));
        known.then(|| Arc::clone(&self.key))
    }
}
