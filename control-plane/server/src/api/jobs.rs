//! Jobs of the tenant: one measurement on one agent.

use axum::Json;
use axum::extract::State;
use control_api::job::{Job, JobQuery};
use control_api::page::Page;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::{CancelMeasurements, ReadMeasurements};
use crate::http::authenticate::Authz;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{JobFilter, NoQuery};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(cancel))
}

/// List jobs
///
/// Newest first, of one measurement or agent where asked.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", operation_id = "job_list", params(JobQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of jobs", body = Page<Job>)))]
async fn list(authz: Authz<ReadMeasurements>, JobFilter(filter): JobFilter, State(state): State<AppState>) -> Result<Json<Page<Job>>, Refused> {
    Ok(Json(state.services.jobs.jobs(authz.grant(), &filter).await?))
}

/// Show a job
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", operation_id = "job_show", params(("id" = String, Path, description = "The job's id")), security(("api_key" = ["read"])), responses((status = 200, description = "The job", body = Job)))]
async fn show(authz: Authz<ReadMeasurements>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<Job>, Refused> {
    Ok(Json(state.services.jobs.job(authz.grant(), &id).await?))
}

/// Cancel a job
///
/// A queued job ends at once, a running one when its agent has stopped it; an end that stands stays. Twice is the same as once.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", operation_id = "job_cancel", params(("id" = String, Path, description = "The job's id")), security(("api_key" = ["measure"])), responses((status = 200, description = "The job as it is then", body = Job)))]
async fn cancel(authz: Authz<CancelMeasurements>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<Job>, Refused> {
    Ok(Json(state.services.jobs.cancel_job(authz.grant(), &id).await?))
}
