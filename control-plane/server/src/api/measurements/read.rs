//! Reading measurements and their reports.

use axum::Json;
use axum::extract::State;
use control_api::measurement::{JobReport, Measurement};
use control_api::page::{Page, PageQuery};

use crate::api::permission::ReadMeasurements;
use crate::http::authenticate::Authz;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{self, NoQuery};
use crate::http::state::AppState;

/// List measurements
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/measurements", tag = "measurements", operation_id = "measurement_list", params(PageQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of measurements", body = Page<Measurement>)))]
pub(super) async fn list(
    authz: Authz<ReadMeasurements>,
    query::Page(page): query::Page,
    State(state): State<AppState>,
) -> Result<Json<Page<Measurement>>, Refused> {
    Ok(Json(state.services.jobs.measurements(authz.grant(), &page).await?))
}

/// Show a measurement
///
/// With its jobs and what became of them.
#[utoipa::path(get, path = "/api/v1/measurements/{id}", tag = "measurements", operation_id = "measurement_show", params(("id" = String, Path, description = "The measurement's id")), security(("api_key" = ["read"])), responses((status = 200, description = "The measurement", body = Measurement)))]
pub(super) async fn show(authz: Authz<ReadMeasurements>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<Measurement>, Refused> {
    Ok(Json(state.services.jobs.measurement(authz.grant(), &id).await?))
}

/// List the reports of a measurement
///
/// One for each job that was answered, ordered by job.
#[utoipa::path(get, path = "/api/v1/measurements/{id}/reports", tag = "measurements", operation_id = "measurement_reports", params(("id" = String, Path, description = "The measurement's id"), PageQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of reports", body = Page<JobReport>)))]
pub(super) async fn reports(
    authz: Authz<ReadMeasurements>,
    Id(id): Id,
    query::Page(page): query::Page,
    State(state): State<AppState>,
) -> Result<Json<Page<JobReport>>, Refused> {
    Ok(Json(state.services.reports.of_measurement(authz.grant(), &id, &page).await?))
}
