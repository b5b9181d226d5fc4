//! Packages: observations of the tenant's own.

use axum::Json;
use axum::extract::State;
use control_api::package::{Package, PackageActed, PackageAction, PackageDetail, PackageText};
use control_api::page::{Page, PageQuery};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{CreatePackages, DeletePackages, DeployPackages, ReadPackages};
use crate::http::authenticate::Authz;
use crate::http::json::{JsonBody, JsonText};
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{self, NoQuery};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, upload))
        .routes(routes!(show, remove))
        .routes(routes!(act))
}

/// List packages
///
/// Newest first, without their objects.
#[utoipa::path(get, path = "/api/v1/observe/packages", tag = "packages", operation_id = "package_list", params(PageQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of packages", body = Page<Package>)))]
async fn list(authz: Authz<ReadPackages>, query::Page(page): query::Page, State(state): State<AppState>) -> Result<Json<Page<Package>>, Refused> {
    Ok(Json(state.services.packages.list(authz.grant(), &page).await?))
}

/// Upload a package
///
/// As `probectl packages sign` writes it. Its object is looked at: what does more than look, or is not what its manifest says, is refused.
/// The same once more is the same as once; a name and version mean one package for ever.
#[utoipa::path(post, path = "/api/v1/observe/packages", tag = "packages", operation_id = "package_upload", request_body(content = PackageText, example = json!({"format": "probeops-observation-1", "manifest": "name = \"mine\"", "object": "f0VMRg==", "key": "ed25519:AAAA", "signature": "AAAA"})), security(("api_key" = ["admin"])), responses((status = 201, description = "It is kept", body = Package)))]
async fn upload(
    authz: Authz<CreatePackages>,
    _: NoQuery,
    State(state): State<AppState>,
    JsonText(text): JsonText,
) -> Result<(StatusCode, Json<Package>), Refused> {
    Ok((StatusCode::CREATED, Json(state.services.packages.upload(authz.grant(), &text).await?)))
}

/// Read a package
///
/// With its manifest, the agents that were told of a package of its name, and what their observers said last of one.
#[utoipa::path(get, path = "/api/v1/observe/packages/{id}", tag = "packages", operation_id = "package_show", params(("id" = String, Path, description = "The package's hash")), security(("api_key" = ["read"])), responses((status = 200, description = "The package", body = PackageDetail)))]
async fn show(authz: Authz<ReadPackages>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<PackageDetail>, Refused> {
    Ok(Json(state.services.packages.detail(authz.grant(), &id).await?))
}

/// Deploy a package, or roll it back
///
/// `deploy`: on these agents its name means this package. `roll_back`: where it does, it means again the one before. An agent asks when it is
/// next to run a package of that name. Only agents of the tenant's own; whether a package is run there is their owners' to say.
#[utoipa::path(post, path = "/api/v1/observe/packages/{id}/actions", tag = "packages", operation_id = "package_act", params(("id" = String, Path, description = "The package's hash")), request_body(content = PackageAction, example = json!({"action": "deploy", "selection": {"labels": {"site": "lab"}}})), security(("api_key" = ["admin"])), responses((status = 200, description = "Where it was done", body = PackageActed)))]
async fn act(
    authz: Authz<DeployPackages>,
    Id(id): Id,
    _: NoQuery,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<PackageAction>,
) -> Result<Json<PackageActed>, Refused> {
    Ok(Json(state.services.packages.act(authz.grant(), &id, &request).await?))
}

/// Delete a package
///
/// One that is deployed to agents stays.
#[utoipa::path(delete, path = "/api/v1/observe/packages/{id}", tag = "packages", operation_id = "package_delete", params(("id" = String, Path, description = "The package's hash")), security(("api_key" = ["admin"])), responses((status = 204, description = "It is gone"), (status = 409, description = "It is deployed (`conflict`)", body = control_api::problem::Problem, content_type = "application/problem+json")))]
async fn remove(authz: Authz<DeletePackages>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<StatusCode, Refused> {
    state.services.packages.delete(authz.grant(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
