//! Reports of the tenant: listed, one by one, and taken out.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_api::page::Page;
use control_api::report::{ExportQuery, ReportFilter, ReportQuery, ReportRecord};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::ReadMeasurements;
use crate::http::authenticate::Authz;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::{NoQuery, WhichExport, WhichReports};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export)).routes(routes!(show))
}

/// List reports
///
/// Newest first, by when the work was accepted.
#[utoipa::path(get, path = "/api/v1/reports", tag = "reports", operation_id = "report_list", params(ReportQuery, ReportFilter), security(("api_key" = ["read"])), responses((status = 200, description = "One page of reports", body = Page<ReportRecord>)))]
async fn list(authz: Authz<ReadMeasurements>, WhichReports(query): WhichReports, State(state): State<AppState>) -> Result<Json<Page<ReportRecord>>, Refused> {
    Ok(Json(state.services.reports.history(authz.grant(), &query).await?))
}

/// Take reports out
///
/// All that match, newest first, streamed: an answer that breaks off was cut short.
#[utoipa::path(get, path = "/api/v1/reports/export", tag = "reports", operation_id = "report_export", params(ExportQuery, ReportFilter), security(("api_key" = ["read"])), responses((status = 200, description = "The reports, one JSON document a line where no other format is asked for", content((ReportRecord = "application/x-ndjson"), (Vec<ReportRecord> = "application/json"), (String = "text/csv")))))]
async fn export(authz: Authz<ReadMeasurements>, WhichExport(filter, format): WhichExport, State(state): State<AppState>) -> Result<Response, Refused> {
    let pieces = state.services.reports.export(authz.grant(), &filter, format)?;
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"reports.{}\"", format.as_str())) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Show the report of a job
#[utoipa::path(get, path = "/api/v1/reports/{id}", tag = "reports", operation_id = "report_show", params(("id" = String, Path, description = "The job's id")), security(("api_key" = ["read"])), responses((status = 200, description = "The report", body = ReportRecord)))]
async fn show(authz: Authz<ReadMeasurements>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<ReportRecord>, Refused> {
    Ok(Json(state.services.reports.report(authz.grant(), &id).await?))
}
