//! Agents of the tenant.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use control_api::agent::{Agent, AgentAction, AgentAfterAction, AgentQuery, CreateAgent, CreatedAgent, UpdateAgent};
use control_api::metric::{HostMetricsQuery, Metrics};
use control_api::page::Page;
use control_api::problem::Problem;
use http::StatusCode;
use http::header::LOCATION;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{CreateAgents, ReadAgents, RevokeAgents, UpdateAgents};
use crate::http::authenticate::Authz;
use crate::http::if_match::{IfMatch, etag};
use crate::http::json::JsonBody;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{AgentFilter, NoQuery, WhichHostMetric};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update, delete))
        .routes(routes!(act))
        .routes(routes!(metrics))
}

/// List agents
///
/// Newest first; revoked ones only with `state=revoked`.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", operation_id = "agent_list", params(AgentQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of agents", body = Page<Agent>)))]
async fn list(authz: Authz<ReadAgents>, AgentFilter(query): AgentFilter, State(state): State<AppState>) -> Result<Json<Page<Agent>>, Refused> {
    Ok(Json(state.services.fleet.agents(authz.grant(), &query).await?))
}

/// Make an agent
///
/// It is `pending` until its host enrols with the token that is shown here once; it keeps its id, name, labels and place then.
#[utoipa::path(post, path = "/api/v1/agents", tag = "agents", operation_id = "agent_create", request_body(content = CreateAgent, example = json!({"name": "lab-1", "labels": {"site": "lab"}, "region": "eu-central"})), security(("api_key" = ["admin"])), responses((status = 201, description = "The agent and its token", body = CreatedAgent, headers(("Location" = String, description = "The agent"), ("ETag" = String, description = "Its revision")))))]
async fn create(
    authz: Authz<CreateAgents>,
    _: NoQuery,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<CreateAgent>,
) -> Result<impl IntoResponse, Refused> {
    let created = state.services.fleet.create_agent(authz.grant(), request).await?;
    let location = [(LOCATION, format!("/api/v1/agents/{}", created.agent.id))];
    Ok((StatusCode::CREATED, location, etag(created.agent.revision), Json(created)))
}

/// Show an agent
///
/// Revoked ones too: what they reported refers to them.
#[utoipa::path(get, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "agent_show", params(("id" = String, Path, description = "The agent's id")), security(("api_key" = ["read"])), responses((status = 200, description = "The agent", body = Agent, headers(("ETag" = String, description = "Its revision")))))]
async fn show(authz: Authz<ReadAgents>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<impl IntoResponse, Refused> {
    let agent = state.services.fleet.agent(authz.grant(), &id).await?;
    Ok((etag(agent.revision), Json(agent)))
}

/// Change an agent
///
/// What is absent stays; labels are replaced as a whole. With `If-Match` the change is made only to the agent as it was read.
#[utoipa::path(patch, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "agent_update", params(("id" = String, Path, description = "The agent's id"), ("If-Match" = Option<String>, Header, description = "The `ETag` with which the agent was read")), request_body(content = UpdateAgent, example = json!({"name": "lab-1", "labels": {"site": "lab"}})), security(("api_key" = ["admin"])), responses((status = 200, description = "The agent as it is then", body = Agent, headers(("ETag" = String, description = "Its revision"))), (status = 412, description = "It changed since it was read (`precondition_failed`)", body = Problem, content_type = "application/problem+json")))]
async fn update(
    authz: Authz<UpdateAgents>,
    Id(id): Id,
    _: NoQuery,
    IfMatch(revision): IfMatch,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<UpdateAgent>,
) -> Result<impl IntoResponse, Refused> {
    let agent = state.services.fleet.update_agent(authz.grant(), &id, request, revision).await?;
    Ok((etag(agent.revision), Json(agent)))
}

/// Revoke an agent
///
/// For ever: its session is cut within a second, its certificates and tokens open nothing any more, its open jobs end with the reason
/// `agent_revoked`, its name is free. What it reported stays readable. Twice is the same as once.
#[utoipa::path(delete, path = "/api/v1/agents/{id}", tag = "agents", operation_id = "agent_delete", params(("id" = String, Path, description = "The agent's id")), security(("api_key" = ["admin"])), responses((status = 204, description = "It is revoked")))]
async fn delete(authz: Authz<RevokeAgents>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<StatusCode, Refused> {
    state.services.fleet.revoke_agent(authz.grant(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take an agent off duty or back, or enrol it anew
///
/// `drain` and `stop` let it finish what it has and hand it nothing new until `start`; while it is stopped, jobs that name it are refused.
/// `reenrol` answers with a token that gives the same agent a new key: its old ones are burnt, and if it was suspended it is active again.
/// Asking twice is the same as once, but for the token.
#[utoipa::path(post, path = "/api/v1/agents/{id}/actions", tag = "agents", operation_id = "agent_act", params(("id" = String, Path, description = "The agent's id")), request_body(content = AgentAction, example = json!({"action": "drain"})), security(("api_key" = ["admin"])), responses((status = 200, description = "The agent as it is then", body = AgentAfterAction)))]
async fn act(
    authz: Authz<UpdateAgents>,
    Id(id): Id,
    _: NoQuery,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<AgentAction>,
) -> Result<Json<AgentAfterAction>, Refused> {
    Ok(Json(state.services.fleet.act_on_agent(authz.grant(), &id, &request).await?))
}

/// Read a number of an agent's host over time
///
/// Processors, memory, load, disks and interfaces, as the agent reads them each 15 seconds. A point stands where something was read.
#[utoipa::path(get, path = "/api/v1/agents/{id}/metrics", tag = "agents", operation_id = "agent_metrics", params(("id" = String, Path, description = "The agent's id"), HostMetricsQuery), security(("api_key" = ["read"])), responses((status = 200, description = "The number over time", body = Metrics)))]
async fn metrics(
    authz: Authz<ReadAgents>,
    Id(id): Id,
    WhichHostMetric(query): WhichHostMetric,
    State(state): State<AppState>,
) -> Result<Json<Metrics>, Refused> {
    let agent = state.services.fleet.agent(authz.grant(), &id).await?;
    Ok(Json(state.services.series.of_host(authz.grant(), &agent.id, query).await?))
}
