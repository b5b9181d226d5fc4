//! API keys of the tenant.

use axum::Json;
use axum::extract::State;
use control_api::key::{CreateKey, CreatedKey, Key};
use control_api::page::{Page, PageQuery};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{CreateKeys, ReadKeys, RevokeKeys};
use crate::http::authenticate::Authz;
use crate::http::json::JsonBody;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{self, NoQuery};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// List API keys
///
/// Without their secrets, newest first; revoked and expired ones included.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", operation_id = "key_list", params(PageQuery), security(("api_key" = ["admin"])), responses((status = 200, description = "One page of keys", body = Page<Key>)))]
async fn list(authz: Authz<ReadKeys>, query::Page(page): query::Page, State(state): State<AppState>) -> Result<Json<Page<Key>>, Refused> {
    Ok(Json(state.services.identity.keys(authz.grant(), &page).await?))
}

/// Make an API key
///
/// The answer is the only time its secret is shown. A key cannot have more scopes than the one that makes it.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", operation_id = "key_create", request_body(content = CreateKey, example = json!({"name": "dashboard", "scopes": ["read"], "expires_in_days": 90})), security(("api_key" = ["admin"])), responses((status = 201, description = "The key with its secret", body = CreatedKey)))]
async fn create(
    authz: Authz<CreateKeys>,
    _: NoQuery,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<CreateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Refused> {
    Ok((StatusCode::CREATED, Json(state.services.identity.create_key(authz.grant(), request).await?)))
}

/// Revoke an API key
///
/// It stops working at once, also for streams that are open. Twice is the same as once.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "key_revoke", params(("id" = String, Path, description = "The key's id")), security(("api_key" = ["admin"])), responses((status = 204, description = "It is revoked")))]
async fn revoke(authz: Authz<RevokeKeys>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<StatusCode, Refused> {
    state.services.identity.revoke_key(authz.grant(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
