//! What an enrolled agent has: its key, its certificate, whom it trusts. Had through the agent port like everybody's, or, for thousands,
//! from the services themselves before their server starts, which spares the handshakes and not the certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use control_api::join_token::CreateJoinToken;
use control_api::key::CreateKey;
use control_api::tenant::CreateTenant;
use control_core::authorize::{Action, Principal, Resource, authorize};
use control_services::fleet::{EnrolLimits, EnrolRequest, EnrolResponse};
use control_services::{Database, ServiceOptions, Services};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use shared_protocol::id::InstanceId;
use shared_protocol::time::UnixMicros;

/// An enrolled agent's own.
#[derive(Debug)]
pub struct Identity {
    key: rcgen::KeyPair,
    chain: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

/// A key, and what an agent sends to have it certified.
pub(super) struct Wish {
    key: rcgen::KeyPair,
    /// The certificate signing request, base64 of DER.
    pub(super) csr: String,
}

impl Wish {
    pub(super) fn new() -> Result<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let request = rcgen::CertificateParams::default().serialize_request(&key)?;
        let csr = base64::engine::general_purpose::STANDARD.encode(request.der());
        Ok(Self { key, csr })
    }

    pub(super) fn granted(self, certificate: &str, roots: &str) -> Result<Identity> {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            store.add(root?)?;
        }
        Ok(Identity {
            key: self.key,
            chain: CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?,
            roots: Arc::new(store),
        })
    }
}

impl Identity {
    /// The certificate of the agent itself.
    ///
    /// # Errors
    /// When there is none.
    pub fn leaf(&self) -> Result<&[u8]> {
        Ok(self.chain.first().context("no certificate")?.as_ref())
    }

    /// How it dials.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut tls = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(self.chain.clone(), key)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(tls))
    }
}

/// A tenant with agents, made in a data directory whose server does not run yet.
#[derive(Debug)]
pub struct Founded {
    /// The tenant's key, with every scope.
    pub key: String,
    /// The tenant.
    pub tenant: String,
    /// Its agents, named `simulated-<number>` from 0.
    pub agents: Vec<Identity>,
}

/// Makes an enterprise tenant with so many agents in a data directory, through the services and without a server.
///
/// # Errors
/// When the services do not start, or refuse.
pub async fn found(data_dir: &Path, database: Database, agents: u32) -> Result<Founded> {
    let services = Services::start(options(data_dir, database))
        .await
        .map_err(|error| anyhow::anyhow!("start: {error}"))?;
    let founded = settle(&services, agents).await;
    services.stop().await;
    founded
}

/// How services within this process are started.
pub(super) fn options(data_dir: &Path, database: Database) -> ServiceOptions {
    ServiceOptions {
        database,
        ..ServiceOptions::new(data_dir.to_owned())
    }
}

/// The same in services that run already.
pub(super) async fn settle(services: &Services, agents: u32) -> Result<Founded> {
    services.fleet.limit_enrolments(EnrolLimits {
        per_address: u32::MAX,
        per_address_burst: 1_000_000,
        everybody: 1_000_000,
    });
    let operator = authorize(&Principal::Operator, Action::TenantCreate, Resource::Platform)?;
    let wanted = CreateTenant {
        name: "lab".to_owned(),
        tier: "enterprise".to_owned(),
    };
    let tenant = services.identity.create_tenant(&operator, wanted).await?.id;
    let whose = Resource::Tenant(tenant.parse()?);
    let wanted = CreateKey {
        name: "lab".to_owned(),
        scopes: ["measure", "read", "admin"].map(str::to_owned).to_vec(),
        expires_in_days: None,
    };
    let key = services
        .identity
        .create_key(&authorize(&Principal::Operator, Action::KeyCreate, whose)?, wanted)
        .await?
        .secret;
    let mut identities = Vec::new();
    let mut enrolling = tokio::task::JoinSet::new();
    for number in 0..agents {
        // As many at a time as share a commit with profit.
        if enrolling.len() >= AT_A_TIME
            && let Some(enrolled) = enrolling.join_next().await
        {
            identities.push(enrolled??);
        }
        enrolling.spawn(enrol(services.clone(), whose, number));
    }
    while let Some(enrolled) = enrolling.join_next().await {
        identities.push(enrolled??);
    }
    identities.sort_unstable_by_key(|(number, _)| *number);
    Ok(Founded {
        key,
        tenant,
        agents: identities.into_iter().map(|(_, identity)| identity).collect(),
    })
}

async fn enrol(services: Services, whose: Resource, number: u32) -> Result<(u32, Identity)> {
    let grant = authorize(&Principal::Operator, Action::JoinTokenCreate, whose)?;
    let name = format!("simulated-{number}");
    let wanted = CreateJoinToken {
        name: Some(name.clone()),
        ..CreateJoinToken::default()
    };
    let bundle = services.identity.create_join_token(&grant, wanted).await?.bundle;
    let (_, token) = bundle.split_once("token=").context("no token in the bundle")?;
    let wish = Wish::new()?;
    let request = EnrolRequest {
        token: token.to_owned(),
        csr: wish.csr.clone(),
        hostname: name,
        version: "0".to_owned(),
        instance: InstanceId::new(UnixMicros::from_micros(1), [0; 10]),
    };
    let [_, a, b, c] = number.to_be_bytes();
    let EnrolResponse { certificate, ca_bundle, .. } = services.fleet.enrol(request, SocketAddr::from(([127, a, b, c], 1))).await?;
    Ok((number, wish.granted(&certificate, &ca_bundle)?))
}

/// Enrolments under way at the same time.
const AT_A_TIME: usize = 64;
