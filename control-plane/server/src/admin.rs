//! The administration socket: a Unix socket in the data directory, for root and the control plane's own user only.
//!
//! Who can open it is the operator; there is no key. The kernel says who is at the other end.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Path as PathParameter, State};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
use control_api::agent::{Agent, SetAgentSharing};
use control_api::join_token::{CreateJoinToken, CreatedJoinToken};
use control_api::key::{CreateKey, CreatedKey};
use control_api::tenant::{CreateTenant, Tenant};
use control_api::tier::{PatchTier, SetTenantTier, Tier};
use control_core::authorize::{Action, Grant, Principal, Resource, authorize};
use control_services::Services;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::edge;
use crate::http::json::JsonBody;
use crate::http::probes;
use crate::http::problem::Refused;
use crate::http::state::AppState;

/// The socket's name in the data directory.
pub(crate) const SOCKET_NAME: &str = "admin.sock";

/// The socket while it stands; its file is gone once this is dropped.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Takes the place of a socket that a killed process left: the store's lock says that there is no other process.
    pub(crate) fn bind(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(SOCKET_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(|| format!("remove {}", path.display())),
            Ok(()) | Err(_) => {}
        }
        // Between bind and chmod the directory, which only its owner may enter, keeps others out.
        let listener = UnixListener::bind(&path).with_context(|| format!("listen on {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).with_context(|| format!("protect {}", path.display()))?;
        Ok(Self { listener, path })
    }

    /// Serves until `stopping`.
    pub(crate) async fn serve(self, services: Services, stopping: CancellationToken) {
        let app = router(AppState::new(services, stopping.clone()));
        let connections = TaskTracker::new();
        loop {
            let stream = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection on the administration socket");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            if connections.len() >= CONNECTIONS_MAX || !is_operator(&stream) {
                continue;
            }
            connections.spawn(connection(stream, app.clone()));
        }
        connections.close();
        connections.wait().await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "could not remove the administration socket");
        }
    }
}

fn is_operator(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == own => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "refused on the administration socket");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "the administration socket does not say who is there");
            false
        }
    }
}

async fn connection(stream: UnixStream, app: Router) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection of the administration socket ended early");
    }
}

fn router(state: AppState) -> Router {
    Router::new()
        .route("/admin/v1/health", get(probes::ready))
        .route("/admin/v1/tenants", post(create_tenant))
        .route("/admin/v1/tenants/{id}/tier", post(set_tenant_tier))
        .route("/admin/v1/tiers/{name}", post(change_tier))
        .route("/admin/v1/agents/{id}/sharing", post(share_agent))
        .route("/admin/v1/tenants/{id}/keys", post(create_key))
        .route("/admin/v1/tenants/{id}/join-tokens", post(create_join_token))
        .fallback(edge::no_such_path)
        .method_not_allowed_fallback(edge::no_such_method)
        .layer(from_fn_with_state(state.clone(), edge::around))
        .with_state(state)
}

async fn create_tenant(State(state): State<AppState>, JsonBody(request): JsonBody<CreateTenant>) -> Result<(StatusCode, Json<Tenant>), Refused> {
    let grant = granted(Action::TenantCreate, Resource::Platform)?;
    Ok((StatusCode::CREATED, Json(state.services.identity.create_tenant(&grant, request).await?)))
}

async fn set_tenant_tier(
    State(state): State<AppState>,
    PathParameter(tenant): PathParameter<String>,
    JsonBody(request): JsonBody<SetTenantTier>,
) -> Result<Json<Tenant>, Refused> {
    let grant = granted(Action::TenantSetTier, Resource::Platform)?;
    Ok(Json(state.services.subscriptions.move_tenant(&grant, &tenant, &request).await?))
}

async fn change_tier(
    State(state): State<AppState>,
    PathParameter(name): PathParameter<String>,
    JsonBody(request): JsonBody<PatchTier>,
) -> Result<Json<Tier>, Refused> {
    let grant = granted(Action::TierChange, Resource::Platform)?;
    Ok(Json(state.services.subscriptions.change_tier(&grant, &name, None, request).await?))
}

async fn share_agent(
    State(state): State<AppState>,
    PathParameter(agent): PathParameter<String>,
    JsonBody(request): JsonBody<SetAgentSharing>,
) -> Result<Json<Agent>, Refused> {
    let grant = granted(Action::AgentShare, Resource::Platform)?;
    Ok(Json(state.services.fleet.share_agent(&grant, &agent, &request).await?))
}

async fn create_key(
    State(state): State<AppState>,
    PathParameter(tenant): PathParameter<String>,
    JsonBody(request): JsonBody<CreateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Refused> {
    let grant = granted(Action::KeyCreate, in_tenant(&tenant)?)?;
    Ok((StatusCode::CREATED, Json(state.services.identity.create_key(&grant, request).await?)))
}

async fn create_join_token(
    State(state): State<AppState>,
    PathParameter(tenant): PathParameter<String>,
    JsonBody(request): JsonBody<CreateJoinToken>,
) -> Result<(StatusCode, Json<CreatedJoinToken>), Refused> {
    let grant = granted(Action::JoinTokenCreate, in_tenant(&tenant)?)?;
    Ok((StatusCode::CREATED, Json(state.services.identity.create_join_token(&grant, request).await?)))
}

fn granted(action: Action, resource: Resource) -> Result<Grant, Refused> {
    authorize(&Principal::Operator, action, resource).map_err(|denied| control_services::ServiceError::from(denied).into())
}

fn in_tenant(id: &str) -> Result<Resource, Refused> {
    id.parse().map(Resource::Tenant).map_err(|_| Refused::not_found())
}

/// Most connections at once; further ones are closed.
const CONNECTIONS_MAX: usize = 16;
/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
