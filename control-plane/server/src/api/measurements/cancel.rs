//! Taking a measurement back.

use axum::Json;
use axum::extract::State;
use control_api::measurement::Measurement;

use crate::api::permission::CancelMeasurements;
use crate::http::authenticate::Authz;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::NoQuery;
use crate::http::state::AppState;

/// Cancel a measurement
///
/// Its queued jobs end at once, running ones when their agents have stopped them; ends that stand stay. Twice is the same as once.
#[utoipa::path(post, path = "/api/v1/measurements/{id}/cancel", tag = "measurements", operation_id = "measurement_cancel", params(("id" = String, Path, description = "The measurement's id")), security(("api_key" = ["measure"])), responses((status = 200, description = "The measurement as it is then", body = Measurement)))]
pub(super) async fn cancel(authz: Authz<CancelMeasurements>, Id(id): Id, _: NoQuery, State(state): State<AppState>) -> Result<Json<Measurement>, Refused> {
    Ok(Json(state.services.jobs.cancel_measurement(authz.grant(), &id).await?))
}
