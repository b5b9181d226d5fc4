//! Following a measurement live.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use control_api::stream::StreamEvent;
use http::{HeaderMap, HeaderName};

use crate::api::permission::ReadMeasurements;
use crate::http::authenticate::Authz;
use crate::http::path::Id;
use crate::http::problem::Refused;
use crate::http::query::NoQuery;
use crate::http::sse;
use crate::http::state::AppState;

/// Follow a measurement live
///
/// Server-Sent Events: `snapshot` (the measurement as it stands), then `job` (a job changed its state), `finding` (a partial finding),
/// `report` (the final answer of one job), and `done` when every job has ended, after which the stream closes. A comment comes every
/// 15 seconds of silence. After a break send the last `id` as `Last-Event-ID`: what was missed follows, or a new `snapshot` where it is no longer kept.
#[utoipa::path(
    get,
    path = "/api/v1/measurements/{id}/events",
    tag = "measurements",
    operation_id = "measurement_events",
    params(
        ("id" = String, Path, description = "The measurement's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event received"),
    ),
    security(("api_key" = ["read"])),
    responses((status = 200, description = "The stream; the schema shows each event's name and data as one object", body = StreamEvent, content_type = "text/event-stream"))
)]
pub(super) async fn events(
    authz: Authz<ReadMeasurements>,
    Id(id): Id,
    _: NoQuery,
    headers: HeaderMap,
    State(state): State<AppState>,
) -> Result<Response, Refused> {
    // What is not an id of ours is the same as none: the story begins again.
    let last_event_id = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| id.len() <= EVENT_ID_BYTES);
    let items = state.services.reports.subscribe(authz.grant(), &id, last_event_id).await?;
    let identity = state.services.identity.clone();
    let authz = Arc::new(authz);
    sse::respond(&state, items, move || {
        let (authz, identity) = (Arc::clone(&authz), identity.clone());
        async move { authz.still_granted(&identity).await }
    })
}

/// Where a follower goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Longest id looked at, bytes.
const EVENT_ID_BYTES: usize = 255;
