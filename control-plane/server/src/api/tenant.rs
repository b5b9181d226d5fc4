//! The tenant that the key belongs to.

use axum::Json;
use axum::extract::State;
use control_api::tenant::Tenant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::ReadTenant;
use crate::http::authenticate::Authz;
use crate::http::problem::Refused;
use crate::http::query::NoQuery;
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Show the tenant
///
/// The tenant that the API key belongs to.
#[utoipa::path(get, path = "/api/v1/tenant", tag = "tenant", operation_id = "tenant_show", security(("api_key" = ["read"])), responses((status = 200, description = "The tenant", body = Tenant)))]
async fn show(authz: Authz<ReadTenant>, _: NoQuery, State(state): State<AppState>) -> Result<Json<Tenant>, Refused> {
    Ok(Json(state.services.identity.tenant(authz.grant()).await?))
}
