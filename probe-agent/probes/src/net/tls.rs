//! TLS towards targets: a handshake that shows what the server is and never trusts it silently.
//!
//! What is learnt here is data of a report. The agent's own trust in its control plane is another matter, in another crate, with other
//! roots: nothing a target shows can touch it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use shared_protocol::report::TlsFacts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

mod chain;
mod failure;
mod verifier;

pub(crate) use chain::hexadecimal;
pub(crate) use failure::{TlsError, error_code};
use verifier::{Recorder, Seen};

/// The roots that targets are held against; cheap to clone. Those of the host are read when they are first needed.
#[derive(Debug, Clone)]
pub struct TargetRoots {
    host: HostRoots,
    own: Arc<[CertificateDer<'static>]>,
    trust: Arc<OnceCell<Trust>>,
}

/// Whether the host's own roots count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostRoots {
    Counted,
    LeftOut,
}

/// Roots that were read, with the one provider of cryptography.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    /// `None` where there is no root at all.
    verifier: Option<Arc<WebPkiServerVerifier>>,
}

/// What becomes of a connection whose server cannot prove its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unproven {
    /// It ends in the handshake.
    Refused,
    /// It goes on; the report says what is wrong.
    Noted,
}

/// What to ask for in a handshake.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    /// The name, or address, that the server has to prove.
    pub name: ServerName<'static>,
    /// Protocols to offer (RFC 7301), best first.
    pub alpn: &'a [&'a [u8]],
    /// What becomes of it if the server does not.
    pub unproven: Unproven,
}

impl TargetRoots {
    /// The host's roots, with some of its owner's.
    ///
    /// # Errors
    /// Where one of the owner's is no root. A host without any is no error: every target is then reported as of an unknown authority.
    pub fn from_system(own: Vec<CertificateDer<'static>>) -> io::Result<Self> {
        Self::new(HostRoots::Counted, own)
    }

    /// Only roots of the host's owner.
    ///
    /// # Errors
    /// Where one of them is no root.
    pub fn only(own: Vec<CertificateDer<'static>>) -> io::Result<Self> {
        Self::new(HostRoots::LeftOut, own)
    }

    fn new(host: HostRoots, own: Vec<CertificateDer<'static>>) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        for root in &own {
            store.add(root.clone()).map_err(io::Error::other)?;
        }
        Ok(Self {
            host,
            own: own.into(),
            trust: Arc::default(),
        })
    }

    /// Reads the roots, the first time.
    ///
    /// # Errors
    /// Where no verifier can be made of them.
    pub(crate) async fn trust(&self) -> io::Result<Trust> {
        let read = || {
            let (host, own) = (self.host, Arc::clone(&self.own));
            async move { tokio::task::spawn_blocking(move || Trust::read(host, &own)).await.map_err(io::Error::other)? }
        };
        self.trust.get_or_try_init(read).await.cloned()
    }
}

impl Trust {
    fn read(host: HostRoots, own: &[CertificateDer<'static>]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(own.iter().cloned());
        if host == HostRoots::Counted {
            let system = rustls_native_certs::load_native_certs();
            for error in &system.errors {
                tracing::debug!(%error, "some of the host's roots cannot be read");
            }
            let (taken, _) = roots.add_parsable_certificates(system.certs);
            if taken == 0 {
                tracing::warn!("this host has no roots that targets could be verified against");
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = if roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(builder.build().map_err(io::Error::other)?)
        };
        Ok(Self { provider, verifier })
    }

    /// Shakes hands over a stream. The facts are what was seen, whether it came to a connection or not.
    pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        handshake: Handshake<'_>,
        facts: &mut TlsFacts,
    ) -> Result<TlsStream<S>, TlsError> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let config = self.config(&handshake, &seen).map_err(TlsError::Setup)?;
        let connected = TlsConnector::from(Arc::new(config)).connect(handshake.name, stream).await;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        chain::describe(&seen, facts);
        match connected {
            Ok(stream) => {
                negotiated(stream.get_ref().1, facts);
                Ok(stream)
            }
            Err(error) => Err(failure::read(error, facts)),
        }
    }

    fn config(&self, handshake: &Handshake<'_>, seen: &Arc<Mutex<Seen>>) -> Result<ClientConfig, rustls::Error> {
        let recorder = Recorder {
            provider: Arc::clone(&self.provider),
            verifier: self.verifier.clone(),
            unproven: handshake.unproven,
            seen: Arc::clone(seen),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(recorder))
            .with_no_client_auth();
        config.alpn_protocols = handshake.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // Every measurement sees a whole handshake, and its certificate.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn negotiated(connection: &rustls::ClientConnection, facts: &mut TlsFacts) {
    // No other version is spoken.
    facts.version = connection
        .protocol_version()
        .map(|version| if version == ProtocolVersion::TLSv1_3 { "1.3" } else { "1.2" }.to_owned());
    // rustls tells the suites of TLS 1.3 apart by a prefix that the registry does not have.
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    facts.cipher = cipher.map(|name| name.replacen("TLS13_", "TLS_", 1));
    facts.group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    facts.alpn = connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
}
