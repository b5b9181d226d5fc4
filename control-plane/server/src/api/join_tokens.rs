//! Join tokens of the tenant.

use axum::Json;
use axum::extract::State;
use control_api::join_token::{CreateJoinToken, CreatedJoinToken, JoinToken};
use control_api::page::{Page, PageQuery};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{CreateJoinTokens, ReadJoinTokens, RevokeJoinTokens};
use crate::http::authenticate::Authz;
use crate::http::json::JsonBody;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{self, NoQuery};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// List join tokens
///
/// Without their secrets, newest first; used, revoked and expired ones included.
#[utoipa::path(get, path = "/api/v1/join-tokens", tag = "join tokens", operation_id = "join_token_list", params(PageQuery), security(("api_key" = ["admin"])), responses((status = 200, description = "One page of join tokens", body = Page<JoinToken>)))]
async fn list(authz: Authz<ReadJoinTokens>, query::Page(page): query::Page, State(state): State<AppState>) -> Result<Json<Page<JoinToken>>, Refused> {
    Ok(Json(state.services.identity.join_tokens(authz.grant(), &page).await?))
}

/// Make a join token
///
/// The answer is the only time its secret is shown: a bundle that `probe-agent enrol` reads from standard input.
#[utoipa::path(post, path = "/api/v1/join-tokens", tag = "join tokens", operation_id = "join_token_create", request_body(content = CreateJoinToken, example = json!({"name": "lab-1", "labels": {"site": "lab"}, "ttl_s": 3600})), security(("api_key" = ["admin"])), responses((status = 201, description = "The token with its bundle", body = CreatedJoinToken)))]
async fn create(
    authz: Authz<CreateJoinTokens>,
    _: NoQuery,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<CreateJoinToken>,
) -> Result<(StatusCode, Json<CreatedJoinToken>), Refused> {
    Ok((
        StatusCode::CREATED,
        Json(state.services.identity.create_join_token(authz.grant(), request).await?),
    ))
}

/// Revoke a join token
///
/// It stops working at once; an agent that used it before stays. Twice is the same as once.
#[utoipa::path(delete, path = "/api/v1/join-tokens/{id}", tag = "join tokens", operation_id = "join_token_revoke", params(("id" = String, Path, description = "The token's id")), security(("api_key" = ["admin"])), responses((status = 204, description = "It is revoked")))]
async fn revoke(authz: Authz<RevokeJoinTokens>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<StatusCode, Refused> {
    state.services.identity.revoke_join_token(authz.grant(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
