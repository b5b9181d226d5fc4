//! Agents of the tenant.

use axum::Json;
use axum::extract::State;
use control_api::agent::{Agent, UpdateAgent};
use control_api::page::{Page, PageQuery};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{ReadAgents, RevokeAgents, UpdateAgents};
use crate::http::authenticate::Authz;
use crate::http::json::JsonBody;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{self, NoQuery};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, update)).routes(routes!(revoke))
}

/// List agents
///
/// Newest first; revoked ones included.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", operation_id = "agent_list", params(PageQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of agents", body = Page<Agent>)))]
async fn list(authz: Authz<ReadAgents>, query::Page(page): query::Page, State(state): State<AppState>) -> Result<Json<Page<Agent>>, Refused> {
    Ok(Json(state.services.fleet.agents(authz.grant(), &page).await?))
}

/// Show an agent
#[utoipa::path(get, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "agent_show", params(("id" = String, Path, description = "The agent's id")), security(("api_key" = ["read"])), responses((status = 200, description = "The agent", body = Agent)))]
async fn show(authz: Authz<ReadAgents>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<Agent>, Refused> {
    Ok(Json(state.services.fleet.agent(authz.grant(), &id).await?))
}

/// Change an agent's name or labels
///
/// What is absent stays; labels are replaced as a whole.
#[utoipa::path(patch, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "agent_update", params(("id" = String, Path, description = "The agent's id")), request_body(content = UpdateAgent, example = json!({"name": "lab-1", "labels": {"site": "lab"}})), security(("api_key" = ["admin"])), responses((status = 200, description = "The agent as it is then", body = Agent)))]
async fn update(
    authz: Authz<UpdateAgents>,
    Id(id): Id,
    _: NoQuery,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<UpdateAgent>,
) -> Result<Json<Agent>, Refused> {
    Ok(Json(state.services.fleet.update_agent(authz.grant(), &id, request).await?))
}

/// Revoke an agent
///
/// Its session is cut within a second and its identity never works again; its open jobs end. Twice is the same as once.
#[utoipa::path(post, path = "/api/v1/agents/{id}/revoke", tag = "agents", operation_id = "agent_revoke", params(("id" = String, Path, description = "The agent's id")), security(("api_key" = ["admin"])), responses((status = 200, description = "The agent as it is then", body = Agent)))]
async fn revoke(authz: Authz<RevokeAgents>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<Agent>, Refused> {
    Ok(Json(state.services.fleet.revoke_agent(authz.grant(), &id).await?))
}
