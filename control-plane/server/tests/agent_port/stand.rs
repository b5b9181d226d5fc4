//! A control plane in this process, and agents made for it.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control_api::join_token::{CreateJoinToken, CreatedJoinToken};
use control_api::tenant::CreateTenant;
use control_core::authorize::{Action, Grant, Principal, Resource, authorize};
use control_services::fleet::{EnrolLimits, EnrolRequest, EnrolResponse};
use control_services::{ServiceOptions, Services};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use shared_protocol::id::{InstanceId, TenantId};
use shared_protocol::time::UnixMicros;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

pub(crate) struct Stand {
    pub(crate) services: Services,
    pub(crate) address: SocketAddr,
    pub(crate) leaving: CancellationToken,
    pub(crate) tenant: TenantId,
    root: CertificateDer<'static>,
    serving: JoinSet<()>,
    _directory: tempfile::TempDir,
}

pub(crate) struct Agent {
    pub(crate) key: KeyPair,
    pub(crate) enrolled: EnrolResponse,
}

pub(crate) fn instance(seed: u8) -> InstanceId {
    InstanceId::new(UnixMicros::from_micros(1_700_000_000_000_000), [seed; 10])
}

pub(crate) fn csr(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    change(&mut params);
    STANDARD.encode(params.serialize_request(key).unwrap().der())
}

impl Stand {
    pub(crate) async fn start() -> Self {
        let stand = Self::with_default_limits().await;
        stand.services.fleet.limit_enrolments(EnrolLimits {
            per_address: 1_000,
            per_address_burst: 1_000,
            everybody: 1_000,
        });
        stand
    }

    pub(crate) async fn with_default_limits() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let services = Services::start(ServiceOptions::new(data_dir.clone())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let leaving = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(control_server::agent_port::serve(
            listener,
            (services.fleet.clone(), services.packages.clone()),
            leaving.clone(),
        ));
        let root = CertificateDer::from_pem_file(data_dir.join("ca/root.crt")).unwrap();
        let platform = authorize(&Principal::Operator, Action::TenantCreate, Resource::Platform).unwrap();
        let request = CreateTenant {
            name: "tenant".to_owned(),
            tier: "standard".to_owned(),
        };
        let tenant = services.identity.create_tenant(&platform, request).await.unwrap().id.parse().unwrap();
        Self {
            services,
            address,
            leaving,
            tenant,
            root,
            serving,
            _directory: directory,
        }
    }

    pub(crate) fn grant(&self, action: Action) -> Grant {
        authorize(&Principal::Operator, action, Resource::Tenant(self.tenant)).unwrap()
    }

    pub(crate) async fn join_token(&self, name: Option<&str>) -> CreatedJoinToken {
        let request = CreateJoinToken {
            name: name.map(str::to_owned),
            ..CreateJoinToken::default()
        };
        self.services
            .identity
            .create_join_token(&self.grant(Action::JoinTokenCreate), request)
            .await
            .unwrap()
    }

    /// The token alone, out of a new bundle.
    pub(crate) async fn token(&self) -> String {
        token_of(&self.join_token(None).await)
    }

    pub(crate) fn request(token: &str, key: &KeyPair) -> EnrolRequest {
        EnrolRequest {
            token: token.to_owned(),
            csr: csr(key, |_| {}),
            hostname: "edge-1".to_owned(),
            version: "0.1.0".to_owned(),
            instance: instance(1),
        }
    }

    /// An agent that enrolled without the wire.
    pub(crate) async fn agent(&self) -> Agent {
        let key = KeyPair::generate().unwrap();
        let request = Self::request(&self.token().await, &key);
        let enrolled = self.services.fleet.enrol(request, "192.0.2.1:1".parse().unwrap()).await.unwrap();
        Agent { key, enrolled }
    }

    /// A TLS connection, with an agent's certificate or without one.
    pub(crate) async fn connect(&self, agent: Option<&Agent>) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match agent {
            None => builder.with_no_client_auth(),
            Some(agent) => {
                let chain: Vec<_> = CertificateDer::pem_slice_iter(agent.enrolled.certificate.as_bytes())
                    .map(Result::unwrap)
                    .collect();
                builder
                    .with_client_auth_cert(chain, PrivatePkcs8KeyDer::from(agent.key.serialize_der()).into())
                    .unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
            .unwrap()
    }

    pub(crate) async fn stop(mut self) {
        self.leaving.cancel();
        self.serving.join_next().await.unwrap().unwrap();
        self.services.stop().await;
    }
}

pub(crate) fn token_of(created: &CreatedJoinToken) -> String {
    created.bundle.rsplit_once("token=").unwrap().1.to_owned()
}
