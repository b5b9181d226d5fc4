//! What the tenant used.

use axum::Json;
use axum::extract::State;
use control_api::usage::{Usage, UsageQuery};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::ReadUsage;
use crate::http::authenticate::Authz;
use crate::http::problem::Refused;
use crate::http::query::Days;
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Show the usage
///
/// What the tenant used day by day (UTC), and what its tier leaves it now. It is counted in the transactions that use it.
#[utoipa::path(get, path = "/api/v1/usage", tag = "tenant", operation_id = "usage_show", params(UsageQuery), security(("api_key" = ["read"])), responses((status = 200, description = "The usage", body = Usage)))]
async fn show(authz: Authz<ReadUsage>, Days(days): Days, State(state): State<AppState>) -> Result<Json<Usage>, Refused> {
    Ok(Json(state.services.subscriptions.usage(authz.grant(), &days).await?))
}
