//! Tiers, and which one a tenant has.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_api::page::Page;
use control_api::tenant::Tenant;
use control_api::tier::{PatchTier, SetTenantTier, Tier};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{ChangeTiers, ReadTiers, SetTenantTiers};
use crate::http::authenticate::Authz;
use crate::http::if_match::{IfMatch, etag};
use crate::http::json::JsonBody;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::NoQuery;
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, change))
        .routes(routes!(move_tenant))
}

/// List tiers
///
/// What each tier allows, the lowest first: what the limits of an answer or a refusal go by.
#[utoipa::path(get, path = "/api/v1/tiers", tag = "tiers", operation_id = "tier_list", security(("api_key" = ["read"])), responses((status = 200, description = "All tiers", body = Page<Tier>)))]
async fn list(authz: Authz<ReadTiers>, _: NoQuery, State(state): State<AppState>) -> Result<Json<Page<Tier>>, Refused> {
    Ok(Json(state.services.subscriptions.tiers(authz.grant()).await?))
}

/// Show a tier
///
/// Its `ETag` is for the `If-Match` of a change.
#[utoipa::path(get, path = "/api/v1/tiers/{name}", tag = "tiers", operation_id = "tier_show", params(("name" = String, Path, description = "`free`, `standard` or `enterprise`")), security(("api_key" = ["read"])), responses((status = 200, description = "The tier", body = Tier, headers(("ETag" = String, description = "Its version")))))]
async fn show(authz: Authz<ReadTiers>, Id(name): Id, _: NoQuery, State(state): State<AppState>) -> Result<Response, Refused> {
    Ok(tagged(state.services.subscriptions.tier(authz.grant(), &name).await?))
}

/// Change a tier
///
/// Only the values given are changed. They hold at once, for all tenants of the tier: queue weights, caps, what probes may do, also for work that is
/// queued. For the operator: the scope `operator` is only given by the control plane's own command line.
#[utoipa::path(patch, path = "/api/v1/tiers/{name}", tag = "tiers", operation_id = "tier_change", params(("name" = String, Path, description = "`free`, `standard` or `enterprise`"), ("If-Match" = Option<String>, Header, description = "The `ETag` of the version that is to be changed; another one is answered 412")), request_body(content = PatchTier, example = json!({"ping_packets": 20})), security(("api_key" = ["operator"])), responses((status = 200, description = "The tier as it stands now", body = Tier, headers(("ETag" = String, description = "Its version"))), (status = 412, description = "Another version stands (`precondition_failed`)", body = control_api::problem::Problem, content_type = "application/problem+json")))]
async fn change(
    authz: Authz<ChangeTiers>,
    Id(name): Id,
    _: NoQuery,
    IfMatch(meant): IfMatch,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<PatchTier>,
) -> Result<Response, Refused> {
    let meant = meant.map(|version| i64::try_from(version).unwrap_or(i64::MAX));
    Ok(tagged(state.services.subscriptions.change_tier(authz.grant(), &name, meant, request).await?))
}

/// Move a tenant to another tier
///
/// It holds at once. After a downgrade nothing is lost: queued jobs wait on under the new caps, and agents and keys above the new numbers stay, but no
/// new ones come in and the newest agents above the number get no new work until there is room again. For the operator.
#[utoipa::path(patch, path = "/api/v1/tenants/{id}/tier", tag = "tiers", operation_id = "tenant_set_tier", params(("id" = String, Path, description = "The tenant's id")), request_body(content = SetTenantTier, example = json!({"tier": "enterprise"})), security(("api_key" = ["operator"])), responses((status = 200, description = "The tenant", body = Tenant)))]
async fn move_tenant(
    authz: Authz<SetTenantTiers>,
    Id(tenant): Id,
    _: NoQuery,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<SetTenantTier>,
) -> Result<Json<Tenant>, Refused> {
    Ok(Json(state.services.subscriptions.move_tenant(authz.grant(), &tenant, &request).await?))
}

fn tagged(tier: Tier) -> Response {
    (etag(tier.version.unsigned_abs()), Json(tier)).into_response()
}
