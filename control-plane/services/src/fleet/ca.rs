//! The certificate authority: a root, one issuing authority for agents and another for servers, and the agent port's own certificate.
//!
//! Never one authority for both: what the one signs is for clients only, what the other signs for servers only, and each end checks.

mod files;
mod leaf;
mod request;
mod template;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;

pub(crate) use leaf::{IssuedLeaf, spki_sha256};
pub(crate) use request::RequestedKey;
pub use tls::TlsError;

use crate::identity::{NoRandomness, sha256};
use crate::private_file;
use files::{KeyAndCertificate, Role};

/// Everything that signs, and what agents are given to trust.
pub(crate) struct Authority {
    trust_domain: String,
    root: Certificate,
    agents: Certificate,
    agents_issuer: Issuer<'static, KeyPair>,
    tls: Arc<ServerConfig>,
}

/// A certificate in the two forms in which it is used.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
}

/// Why the authority cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what}; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A key is needed that is not there.
    #[error("{path} is missing; it is needed to sign a new certificate")]
    KeyMissing {
        /// The file.
        path: PathBuf,
    },
    /// A name of the agent port cannot stand in a certificate.
    #[error("`{0}` is neither a host name nor an address")]
    Name(String),
    /// The trust domain cannot stand in an identity.
    #[error("the trust domain must be 1 to 63 characters of a-z 0-9 . -")]
    TrustDomain,
    /// A certificate could not be signed.
    #[error("sign a certificate: {0}")]
    Sign(#[from] rcgen::Error),
    /// The agent port could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Authority {
    /// Reads the authority from its directory; makes what is missing, and a new certificate for the agent port when the old one
    /// has less than a third of its life left or other names.
    pub(crate) fn load_or_create(directory: &Path, names: &[String], trust_domain: &str, now: UnixMicros) -> Result<Self, AuthorityError> {
        if !is_trust_domain(trust_domain) {
            return Err(AuthorityError::TrustDomain);
        }
        private_file::directory(directory).map_err(|source| AuthorityError::File {
            path: directory.to_owned(),
            source,
        })?;
        let root = KeyAndCertificate::load_or_create(directory, Role::Root, |key| template::root(key, now))?;
        let agents = KeyAndCertificate::load_or_create(directory, Role::Agents, |key| {
            template::issuing_agents(key, &root.issuer(directory, Role::Root)?, now)
        })?;
        let servers = KeyAndCertificate::load_or_create(directory, Role::Servers, |key| {
            template::issuing_servers(key, &root.issuer(directory, Role::Root)?, now)
        })?;
        let servers_issuer = servers.issuer(directory, Role::Servers)?;
        let server = KeyAndCertificate::load_or_renew(
            directory,
            Role::Server,
            |certificate| template::server_is_usable(certificate, names, &servers.certificate.der, now),
            |key| template::server(key, &servers_issuer, names, now),
        )?;
        let agents_issuer = agents.issuer(directory, Role::Agents)?;
        let chain = vec![server.certificate.der.clone(), servers.certificate.der, root.certificate.der.clone()];
        let key = server.key.ok_or_else(|| AuthorityError::KeyMissing {
            path: Role::Server.key_file(directory),
        })?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let tls = tls::server_config(&root.certificate.der, chain, key, names)?;
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            root: root.certificate,
            agents: agents.certificate,
            agents_issuer,
            tls: Arc::new(tls),
        })
    }

    /// `sha256:` and the hash of the root's public key (`SubjectPublicKeyInfo`), hexadecimal: what a join bundle pins.
    pub(crate) fn ca_pin(&self) -> String {
        use std::fmt::Write as _;
        let hash = spki_sha256(&self.root.der).unwrap_or_else(|| sha256(&self.root.der));
        hash.iter().fold("sha256:".to_owned(), |mut pin, byte| {
            let _ = write!(pin, "{byte:02x}");
            pin
        })
    }

    /// What an agent trusts: the root.
    pub(crate) fn root(&self) -> &Certificate {
        &self.root
    }

    /// Signs the certificate of an agent. Everything in it comes from the arguments, which come from the database, and the template; of
    /// what the agent asked for there is the public key alone.
    pub(crate) fn sign_agent(&self, tenant: TenantId, agent: AgentId, key: &RequestedKey, now: UnixMicros) -> Result<IssuedLeaf, AuthorityError> {
        leaf::sign(&self.agents_issuer, &self.trust_domain, tenant, agent, key, now)
    }

    /// What an agent presents: its leaf and the authority that signed it, PEM.
    pub(crate) fn chain_pem(&self, leaf_der: &[u8]) -> String {
        leaf::to_pem(leaf_der) + &self.agents.pem
    }

    /// How the agent port speaks TLS.
    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls)
    }
}

fn is_trust_domain(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
}

#[cfg(test)]
mod tests;
