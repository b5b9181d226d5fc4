//! Metrics: numbers over time, and the latest of each.

use axum::Json;
use axum::extract::State;
use control_api::metric::{Latest, LatestQuery, Metrics, MetricsQuery};
use control_api::page::Page;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::ReadMeasurements;
use crate::http::authenticate::Authz;
use crate::http::problem::Refused;
use crate::http::query::{WhichLatest, WhichMetric};
use crate::http::state::AppState;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(range)).routes(routes!(latest))
}

/// Read a metric over time
///
/// In steps: short ones from the samples, steps of whole hours from roll-ups. A point stands where there was something.
#[utoipa::path(get, path = "/api/v1/metrics", tag = "metrics", operation_id = "metric_range", params(MetricsQuery), security(("api_key" = ["read"])), responses((status = 200, description = "The metric over time", body = Metrics)))]
async fn range(authz: Authz<ReadMeasurements>, WhichMetric(query): WhichMetric, State(state): State<AppState>) -> Result<Json<Metrics>, Refused> {
    Ok(Json(state.services.series.metrics(authz.grant(), &query).await?))
}

/// List the latest values
///
/// One for each metric of each agent about each target: what an overview shows.
#[utoipa::path(get, path = "/api/v1/metrics/latest", tag = "metrics", operation_id = "metric_latest", params(LatestQuery), security(("api_key" = ["read"])), responses((status = 200, description = "One page of latest values", body = Page<Latest>)))]
async fn latest(authz: Authz<ReadMeasurements>, WhichLatest(query): WhichLatest, State(state): State<AppState>) -> Result<Json<Page<Latest>>, Refused> {
    Ok(Json(state.services.series.latest(authz.grant(), &query).await?))
}
