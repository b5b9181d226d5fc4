//! A running server, and tenants with their keys.

use control_api::agent::SetAgentSharing;
use control_api::join_token::CreateJoinToken;
use control_api::key::CreateKey;
use control_api::tenant::CreateTenant;
use control_core::authorize::{Action, Grant, Principal, Resource, authorize};
use control_services::fleet::{EnrolRequest, EnrolResponse};
use control_services::{Database, ServiceError, ServiceOptions, Services};
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use shared_protocol::id::{InstanceId, TenantId};
use tempfile::TempDir;
use test_postgres::TestDatabase;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A server; it stops with the runtime of its test.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) services: Services,
    pub(crate) client: Client,
    tasks: TaskTracker,
    stopping: CancellationToken,
    directory: TempDir,
    /// None where it is the file in the directory.
    database: Option<TestDatabase>,
}

/// A tenant, by its id.
#[derive(Clone, Copy)]
pub(crate) struct Tenant(pub(crate) TenantId);

impl Server {
    pub(crate) async fn start() -> Self {
        Self::on(tempfile::tempdir().unwrap(), None).await
    }

    pub(crate) async fn start_on_postgres() -> Self {
        Self::on(tempfile::tempdir().unwrap(), Some(TestDatabase::create().unwrap())).await
    }

    /// Stops and starts again on the same data.
    pub(crate) async fn restart(self) -> Self {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.services.stop().await;
        Self::on(self.directory, self.database).await
    }

    async fn on(directory: TempDir, database: Option<TestDatabase>) -> Self {
        let mut options = ServiceOptions::new(directory.path().join("data"));
        if let Some(database) = &database {
            options.database = Database::url(&database.url()).unwrap();
        }
        let services = Services::start(options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(control_server::http::serve(listener, services.clone(), stopping.clone()));
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            address,
            services,
            client,
            tasks,
            stopping,
            directory,
            database,
        }
    }

    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.services.stop().await;
    }

    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        self.tenant_of(name, "enterprise").await
    }

    pub(crate) async fn tenant_of(&self, name: &str, tier: &str) -> Tenant {
        let grant = operator(Action::TenantCreate, Resource::Platform);
        let request = CreateTenant {
            name: name.to_owned(),
            tier: tier.to_owned(),
        };
        let tenant = self.services.identity.create_tenant(&grant, request).await.unwrap();
        Tenant(tenant.id.parse().unwrap())
    }

    pub(crate) async fn key(&self, tenant: Tenant, scopes: &[&str]) -> String {
        let grant = operator(Action::KeyCreate, Resource::Tenant(tenant.0));
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let request = CreateKey {
            name: "test".to_owned(),
            scopes,
            expires_in_days: None,
        };
        self.services.identity.create_key(&grant, request).await.unwrap().secret
    }

    /// Lets an agent serve every tenant, or its own alone.
    pub(crate) async fn share(&self, agent: &str, sharing: &str) {
        let grant = operator(Action::AgentShare, Resource::Platform);
        let request = SetAgentSharing { sharing: sharing.to_owned() };
        self.services.fleet.share_agent(&grant, agent, &request).await.unwrap();
    }

    /// An agent that never connects.
    pub(crate) async fn agent(&self, tenant: Tenant) -> String {
        let token = self.join_token(tenant).await;
        self.enrol(&token).await.agent
    }

    pub(crate) async fn join_token(&self, tenant: Tenant) -> String {
        let grant = operator(Action::JoinTokenCreate, Resource::Tenant(tenant.0));
        let created = self.services.identity.create_join_token(&grant, CreateJoinToken::default()).await.unwrap();
        created.bundle
    }

    /// Enrols whoever the bundle is for.
    pub(crate) async fn enrol(&self, bundle: &str) -> EnrolResponse {
        self.try_enrol(bundle).await.unwrap()
    }

    /// Tries to.
    pub(crate) async fn try_enrol(&self, bundle: &str) -> Result<EnrolResponse, ServiceError> {
        let token = bundle.split("token=").nth(1).unwrap().to_owned();
        let request = CertificateParams::default()
            .serialize_request(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
            .unwrap();
        let csr = request.lines().filter(|line| !line.starts_with("---")).collect();
        let request = EnrolRequest {
            token,
            csr,
            hostname: "host".to_owned(),
            version: "0".to_owned(),
            instance: InstanceId::new(control_services::clock::now(), control_services::clock::random_id_bytes()),
        };
        self.services.fleet.enrol(request, "127.0.0.1:9".parse().unwrap()).await
    }

    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).bearer_auth(key)
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Response {
        self.request(Method::GET, path, key).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Response {
        self.request(Method::POST, path, key).json(body).send().await.unwrap()
    }
}

fn operator(action: Action, resource: Resource) -> Grant {
    authorize(&Principal::Operator, action, resource).unwrap()
}

/// Status and body of an answer; the request id, which differs each time, is checked and taken out.
pub(crate) async fn problem(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let mut body: Value = response.json().await.unwrap();
    assert_eq!(body.as_object_mut().unwrap().remove("request_id").unwrap(), Value::String(id));
    assert_eq!(body["status"], status);
    (status, body)
}
