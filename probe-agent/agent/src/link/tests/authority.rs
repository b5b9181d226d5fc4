//! A certification authority like the control plane's: root, an issuing authority for servers and one for agents.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::link::bundle::{CaPin, example_token};
use crate::link::tls;
use crate::link::verifier::pin_of;

pub(super) const AGENT: &str = "0190a000-0000-7000-8000-000000000001";
pub(super) const TENANT: &str = "0190a000-0000-7000-8000-000000000002";

pub(super) struct Authority {
    root: Certificate,
    servers: Certificate,
    servers_issuer: Issuer<'static, KeyPair>,
    agents: Certificate,
    agents_issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let root_params = authority(&format!("{name} root"));
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let below = |suffix: &str| {
            let key = KeyPair::generate().unwrap();
            let params = authority(&format!("{name} {suffix}"));
            let certificate = params.signed_by(&key, &root_issuer).unwrap();
            (certificate, Issuer::new(params, key))
        };
        let (servers, servers_issuer) = below("servers");
        let (agents, agents_issuer) = below("agents");
        Self {
            root,
            servers,
            servers_issuer,
            agents,
            agents_issuer,
        }
    }

    pub(super) fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub(super) fn root_der(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    pub(super) fn pin(&self) -> CaPin {
        pin_of(self.root.der()).unwrap()
    }

    /// The bundle that enrols with a server of this authority.
    pub(super) fn bundle(&self, port: u16) -> String {
        format!("probeops-join://localhost:{port}?ca-pin={}&token={}", self.pin(), example_token())
    }

    /// A server's own certificate, issuing authority and root, and its key.
    pub(super) fn server_chain(&self, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.servers_issuer).unwrap();
        let chain = vec![leaf.der().clone(), self.servers.der().clone(), self.root.der().clone()];
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// The TLS of an agent port whose certificate carries these names.
    pub(super) fn server_tls(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (chain, key) = self.server_chain(names);
        server_config(chain, key)
    }

    /// Signs the public key of a request, as the control plane does; the leaf and its issuer, PEM.
    pub(super) fn sign_agent(&self, request: &[u8]) -> String {
        let request = CertificateSigningRequestParams::from_der(&request.to_vec().into()).unwrap();
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://probeops.test/tenant/{TENANT}/agent/{AGENT}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&request.public_key, &self.agents_issuer).unwrap();
        format!("{}{}", leaf.pem(), self.agents.pem())
    }
}

pub(super) fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
