//! Asking for a measurement, and waiting for what comes of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_api::measurement::{Answered, CreateMeasurement, Measurement, MeasurementWithReports};
use control_api::page::PageQuery;
use control_core::authorize::Grant;
use http::StatusCode;
use http::header::LOCATION;

use super::rate_limit;
use crate::api::permission::CreateMeasurements;
use crate::http::authenticate::Authz;
use crate::http::idempotency::IdempotencyKey;
use crate::http::json::JsonBody;
use crate::http::problem::Refused;
use crate::http::query::Wait;
use crate::http::state::AppState;

/// Ask for a measurement
///
/// Once answered, its jobs are on disk and will each have exactly one end. With `wait` the answer comes when all jobs have ended
/// (200, with up to 200 reports), or after that time (202, with the reports there are). With `dry_run` the answer is a plan (200) and nothing is
/// stored. Every answer says in `RateLimit` what may still be asked for in the running minute, hour, day and month.
#[utoipa::path(
    post,
    path = "/api/v1/measurements",
    tag = "measurements",
    operation_id = "measurement_create",
    params(
        ("wait" = Option<String>, Query, description = "Wait for the end, 1 to 60 seconds, as in `30s`", example = "30s"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the same key with the same body within 24 hours answers with the measurement accepted then"),
    ),
    request_body(content = CreateMeasurement, example = json!({"spec": {"probe": "ping", "target": "127.0.0.1", "count": 4}, "selection": {"labels": {"site": "lab"}, "count": 1}})),
    security(("api_key" = ["measure"])),
    responses(
        (status = 200, description = "All its jobs have ended (only with `wait`), or the plan of a `dry_run`", body = Answered, headers(("Location" = String, description = "The measurement"), ("RateLimit" = String, description = "What is left of each limit and when it is there again (draft-ietf-httpapi-ratelimit-headers)"), ("RateLimit-Policy" = String, description = "The limits"))),
        (status = 202, description = "It is accepted", body = Measurement, headers(("Location" = String, description = "The measurement"), ("RateLimit" = String, description = "What is left of each limit and when it is there again (draft-ietf-httpapi-ratelimit-headers)"), ("RateLimit-Policy" = String, description = "The limits"))),
    )
)]
pub(super) async fn create(
    authz: Authz<CreateMeasurements>,
    wait: Result<Wait, Refused>,
    idempotency_key: Result<IdempotencyKey, Refused>,
    State(state): State<AppState>,
    body: Result<JsonBody<CreateMeasurement>, Refused>,
) -> Response {
    let grant = authz.grant();
    let mut response = answer(&state, grant, wait, idempotency_key, body).await.into_response();
    rate_limit::describe(&state, grant, response.headers_mut()).await;
    response
}

async fn answer(
    state: &AppState,
    grant: &Grant,
    wait: Result<Wait, Refused>,
    idempotency_key: Result<IdempotencyKey, Refused>,
    body: Result<JsonBody<CreateMeasurement>, Refused>,
) -> Result<Response, Refused> {
    let (Wait(wait), IdempotencyKey(idempotency_key), JsonBody(request)) = (wait?, idempotency_key?, body?);
    if request.dry_run {
        let plan = state.services.jobs.plan(grant, request).await?;
        return Ok(Json(Answered::Planned(plan)).into_response());
    }
    let measurement = state.services.jobs.create(grant, request, idempotency_key).await?;
    let location = [(LOCATION, format!("/api/v1/measurements/{}", measurement.id))];
    match wait {
        None => Ok((StatusCode::ACCEPTED, location, Json(measurement)).into_response()),
        Some(wait) => {
            let answer = waited(state, grant, &measurement.id, wait).await?;
            let status = if answer.measurement.state == "ended" {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            };
            Ok((status, location, Json(Answered::Ended(Box::new(answer)))).into_response())
        }
    }
}

async fn waited(state: &AppState, grant: &Grant, id: &str, wait: Duration) -> Result<MeasurementWithReports, Refused> {
    let measurement = tokio::select! {
        measurement = state.services.jobs.wait_ended(grant, id, wait) => measurement?,
        // The process stops: whoever waits gets what there is, and asks again elsewhere.
        () = state.stopping.cancelled() => state.services.jobs.measurement(grant, id).await?,
    };
    let page = PageQuery {
        limit: Some(REPORTS_MAX),
        cursor: None,
    };
    let reports = state.services.reports.of_measurement(grant, id, &page).await?.items;
    Ok(MeasurementWithReports { measurement, reports })
}

/// Most reports in one answer; the rest is under `/reports`.
const REPORTS_MAX: u32 = 200;
