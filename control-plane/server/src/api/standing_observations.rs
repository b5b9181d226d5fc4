//! Standing observations of the tenant.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use control_api::page::{Page, PageQuery};
use control_api::problem::Problem;
use control_api::standing::{CreateStandingObservation, StandingAgent, StandingObservation, StandingWindow, StandingWindowQuery, UpdateStandingObservation};
use http::StatusCode;
use http::header::LOCATION;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{CreateStanding, DeleteStanding, ReadStanding, UpdateStanding};
use crate::http::authenticate::Authz;
use crate::http::idempotency::IdempotencyKey;
use crate::http::if_match::{IfMatch, etag};
use crate::http::json::JsonBody;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{self, NoQuery, WhichWindows};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update, delete))
        .routes(routes!(agents))
        .routes(routes!(windows))
}

/// List standing observations
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/standing-observations", tag = "standing observations", operation_id = "standing_list", params(PageQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of standing observations", body = Page<StandingObservation>)))]
async fn list(authz: Authz<ReadStanding>, query::Page(query): query::Page, State(state): State<AppState>) -> Result<Json<Page<StandingObservation>>, Refused> {
    Ok(Json(state.services.standing.observations(authz.grant(), &query).await?))
}

/// Observe something until it is taken back
///
/// Each chosen agent makes window after window, also while it is disconnected and after it restarts, and a report of each. The agent's owner
/// has to allow it (`[observe] allow_standing`); how it fares on each agent is under `agents`.
#[utoipa::path(post, path = "/api/v1/standing-observations", tag = "standing observations", operation_id = "standing_create", params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the same key with the same body within 24 hours answers with the one that was made then")), request_body(content = CreateStandingObservation, example = json!({"spec": {"probe": "observe", "observation": "tcp_flows"}, "window_s": 60, "selection": {"agents": ["lab-1"]}})), security(("api_key" = ["measure"])), responses((status = 201, description = "It is on disk, and its agents that are here were told", body = StandingObservation, headers(("Location" = String, description = "The standing observation"), ("ETag" = String, description = "Its revision")))))]
async fn create(
    authz: Authz<CreateStanding>,
    _: NoQuery,
    IdempotencyKey(key): IdempotencyKey,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<CreateStandingObservation>,
) -> Result<impl IntoResponse, Refused> {
    let made = state.services.standing.create(authz.grant(), request, key).await?;
    let location = [(LOCATION, format!("/api/v1/standing-observations/{}", made.id))];
    Ok((StatusCode::CREATED, location, etag(made.revision.into()), Json(made)))
}

/// Show a standing observation
#[utoipa::path(get, path = "/api/v1/standing-observations/{id}", tag = "standing observations", operation_id = "standing_show", params(("id" = String, Path, description = "Its id")), security(("api_key" = ["read"])), responses((status = 200, description = "The standing observation", body = StandingObservation, headers(("ETag" = String, description = "Its revision")))))]
async fn show(authz: Authz<ReadStanding>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<impl IntoResponse, Refused> {
    let found = state.services.standing.observation(authz.grant(), &id).await?;
    Ok((etag(found.revision.into()), Json(found)))
}

/// Change, stop or start a standing observation
///
/// What is absent stays. Each change is a new revision; a window that an agent had begun ends early and is kept under the revision that it was
/// made of. With `If-Match` the change is made only to what was read.
#[utoipa::path(patch, path = "/api/v1/standing-observations/{id}", tag = "standing observations", operation_id = "standing_update", params(("id" = String, Path, description = "Its id"), ("If-Match" = Option<String>, Header, description = "The `ETag` with which it was read")), request_body(content = UpdateStandingObservation, example = json!({"state": "stopped"})), security(("api_key" = ["measure"])), responses((status = 200, description = "The standing observation as it is then", body = StandingObservation, headers(("ETag" = String, description = "Its revision"))), (status = 412, description = "It changed since it was read (`precondition_failed`)", body = Problem, content_type = "application/problem+json")))]
async fn update(
    authz: Authz<UpdateStanding>,
    Id(id): Id,
    _: NoQuery,
    IfMatch(revision): IfMatch,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<UpdateStandingObservation>,
) -> Result<impl IntoResponse, Refused> {
    let changed = state.services.standing.update(authz.grant(), &id, request, revision).await?;
    Ok((etag(changed.revision.into()), Json(changed)))
}

/// Take a standing observation away
///
/// Its agents stop, and what it saw is removed. To stop it and keep what it saw, change its `state`.
#[utoipa::path(delete, path = "/api/v1/standing-observations/{id}", tag = "standing observations", operation_id = "standing_delete", params(("id" = String, Path, description = "Its id")), security(("api_key" = ["measure"])), responses((status = 204, description = "It is gone")))]
async fn delete(authz: Authz<DeleteStanding>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<StatusCode, Refused> {
    state.services.standing.delete(authz.grant(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List how a standing observation fares on its agents
///
/// Newest agent first; also agents of which it was wanted before.
#[utoipa::path(get, path = "/api/v1/standing-observations/{id}/agents", tag = "standing observations", operation_id = "standing_agents", params(("id" = String, Path, description = "Its id"), PageQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of agents", body = Page<StandingAgent>)))]
async fn agents(
    authz: Authz<ReadStanding>,
    Id(id): Id,
    query::Page(query): query::Page,
    State(state): State<AppState>,
) -> Result<Json<Page<StandingAgent>>, Refused> {
    Ok(Json(state.services.standing.agents(authz.grant(), &id, &query).await?))
}

/// List the windows of a standing observation
///
/// Newest first, by when they count.
#[utoipa::path(get, path = "/api/v1/standing-observations/{id}/windows", tag = "standing observations", operation_id = "standing_windows", params(("id" = String, Path, description = "Its id"), StandingWindowQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of windows with their reports", body = Page<StandingWindow>)))]
async fn windows(
    authz: Authz<ReadStanding>,
    Id(id): Id,
    WhichWindows(query): WhichWindows,
    State(state): State<AppState>,
) -> Result<Json<Page<StandingWindow>>, Refused> {
    Ok(Json(state.services.standing.windows(authz.grant(), &id, &query).await?))
}
