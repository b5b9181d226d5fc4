//! Who this agent is: its key, and what enrolment gave for it. The key stands in one file and all the rest in another, so that a certificate is never mixed with another's chain.

use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shared_protocol::id::{AgentId, TenantId};

use super::endpoint::Endpoint;
use super::tls;
use crate::state_dir::{StateDir, StateDirError};

/// What enrolment gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// This agent.
    pub agent: AgentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name at enrolment; the control plane may have renamed it since.
    pub name: String,
    /// The trust domain of its certificate.
    pub trust_domain: String,
    /// Where its control plane is.
    pub endpoint: Endpoint,
    /// Its certificate and the issuing one, PEM.
    pub certificate: String,
    /// The roots it trusts, PEM.
    pub ca_bundle: String,
}

/// The agent's private key; never logged.
#[derive(Debug)]
pub struct AgentKey {
    pem: SecretString,
}

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// This directory holds no identity.
    #[error("there is no identity here yet; run: probe-agent enrol")]
    NotEnrolled,
    /// The identity's file is not readable as one.
    #[error("the identity is damaged: {0}; enrol again into an empty directory")]
    Damaged(String),
    /// The key cannot be made or read.
    #[error("the private key cannot be used: {0}")]
    Key(#[from] rcgen::Error),
    /// Certificate, roots and key do not make a TLS configuration.
    #[error("certificate and key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// Reads the identity, if there is one.
    ///
    /// # Errors
    /// [`IdentityError`] where a file is there and cannot be used.
    pub fn load(state: &StateDir) -> Result<Option<Self>, IdentityError> {
        let text = state.read_private(IDENTITY_FILE)?;
        let parse = |text: String| serde_json::from_str(&text).map_err(|error| IdentityError::Damaged(error.to_string()));
        text.map(parse).transpose()
    }

    /// The text that is stored.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The TLS of this agent's sessions.
    ///
    /// # Errors
    /// [`IdentityError::Tls`] where key and certificate do not belong together.
    pub fn tls(&self, key: &AgentKey) -> Result<Arc<ClientConfig>, IdentityError> {
        Ok(tls::for_session(&self.ca_bundle, &self.certificate, key.pem.expose_secret())?)
    }
}

impl AgentKey {
    /// Reads the key, if there is one.
    ///
    /// # Errors
    /// [`IdentityError`] where the file is open to others, another user's, a link, or no key.
    pub fn load(state: &StateDir) -> Result<Option<Self>, IdentityError> {
        let Some(pem) = state.read_private(KEY_FILE)?.map(SecretString::from) else {
            return Ok(None);
        };
        KeyPair::from_pem(pem.expose_secret())?;
        Ok(Some(Self { pem }))
    }

    /// Reads the key, or makes one (ECDSA P-256) and puts it on disk before it is used for anything.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load_or_create(state: &StateDir) -> Result<Self, IdentityError> {
        if let Some(key) = Self::load(state)? {
            return Ok(key);
        }
        let pem = SecretString::from(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem());
        state.write_private(KEY_FILE, pem.expose_secret())?;
        Ok(Self { pem })
    }

    /// A certificate signing request that asks for nothing but a signature over the public key; DER.
    ///
    /// # Errors
    /// [`IdentityError::Key`].
    pub fn signing_request(&self) -> Result<Vec<u8>, IdentityError> {
        let key = KeyPair::from_pem(self.pem.expose_secret())?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        Ok(params.serialize_request(&key)?.der().to_vec())
    }
}

/// Reads identity and key, both of which must be there.
///
/// # Errors
/// [`IdentityError`].
pub fn load(state: &StateDir) -> Result<(Identity, AgentKey), IdentityError> {
    match (Identity::load(state)?, AgentKey::load(state)?) {
        (Some(identity), Some(key)) => Ok((identity, key)),
        (None, _) => Err(IdentityError::NotEnrolled),
        (Some(_), None) => Err(IdentityError::Damaged(format!("{KEY_FILE} is missing"))),
    }
}

/// The file of the identity.
pub const IDENTITY_FILE: &str = "identity.json";
/// The file of the private key.
pub const KEY_FILE: &str = "agent.key";

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateDir) {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(&root.path().join("state")).unwrap();
        (root, state)
    }

    #[test]
    fn enr_17_the_key_is_on_disk_before_it_is_used_and_a_retry_uses_the_same_one() {
        let (_root, state) = state();
        let first = AgentKey::load_or_create(&state).unwrap();
        let on_disk = state.read_private(KEY_FILE).unwrap().unwrap();
        assert_eq!(on_disk, first.pem.expose_secret());
        let again = AgentKey::load_or_create(&state).unwrap();
        assert_eq!(again.pem.expose_secret(), first.pem.expose_secret());
    }

    #[test]
    fn the_signing_request_asks_for_nothing_and_proves_the_key() {
        use x509_parser::prelude::{FromDer, X509CertificationRequest};
        let (_root, state) = state();
        let der = AgentKey::load_or_create(&state).unwrap().signing_request().unwrap();
        let (rest, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        request.verify_signature().unwrap();
        assert_eq!(request.certification_request_info.subject.iter().count(), 0);
        assert_eq!(request.requested_extensions().map_or(0, Iterator::count), 0);
        assert!(der.len() < shared_protocol::limits::CSR_BYTES);
    }

    #[test]
    fn what_is_missing_or_damaged_is_said() {
        let (_root, state) = state();
        assert!(matches!(load(&state), Err(IdentityError::NotEnrolled)));
        state.write_private(IDENTITY_FILE, "{").unwrap();
        assert!(matches!(load(&state), Err(IdentityError::Damaged(_))));
        state.write_private(KEY_FILE, "no key").unwrap();
        assert!(matches!(AgentKey::load(&state), Err(IdentityError::Key(_))));
        assert!(
            matches!(AgentKey::load_or_create(&state), Err(IdentityError::Key(_))),
            "a damaged key is never replaced"
        );
    }

    #[test]
    fn a_key_never_shows_itself() {
        let (_root, state) = state();
        let key = AgentKey::load_or_create(&state).unwrap();
        assert!(!format!("{key:?}").contains("PRIVATE KEY"));
    }
}
