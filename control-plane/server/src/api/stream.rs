//! The live stream of everything a tenant follows, over one WebSocket.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use control_api::stream::StreamMessage;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::permission::ReadMeasurements;
use crate::http::authenticate::StreamAuthz;
use crate::http::problem::Refused;
use crate::http::query::NoQuery;
use crate::http::state::AppState;
use crate::http::websocket;

mod conversation;
mod subscription;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(open))
}

/// Follow live over a WebSocket
///
/// Send `{"subscribe":{"measurement":"ID"}}`, `{"subscribe":{"topic":"jobs"}}` (ends of the tenant's jobs) or `{"subscribe":{"topic":"agents"}}`
/// (agents that come and go), with `"after":"ID"` to go on behind the last event received; `{"unsubscribe":{…}}` takes it back. Each message that comes
/// has `seq` (counts the messages of this connection), `topic`, `event`, `id` and `data`. After a break what was missed follows, or a `snapshot` where it is
/// no longer kept. A program sends the key as `Authorization: Bearer`; a browser, which cannot, as a second subprotocol `probeops.key.po_…` beside
/// `probeops.stream.v1`. Also at `/ws/stream`.
#[utoipa::path(get, path = "/api/v1/stream", tag = "measurements", operation_id = "stream", security(("api_key" = ["read"])), responses((status = 101, description = "The stream; the schema shows one message", body = StreamMessage, content_type = "application/json"), (status = 426, description = "The request asks for no WebSocket")))]
pub(crate) async fn open(authz: StreamAuthz<ReadMeasurements>, _: NoQuery, State(state): State<AppState>, request: Request) -> Result<Response, Refused> {
    let authz = authz.into_inner();
    let Ok(place) = std::sync::Arc::clone(&state.streams).try_acquire_owned() else {
        return Err(websocket::full());
    };
    let (response, socket) = websocket::accept(request)?;
    let serving = state.clone();
    state.tasks.spawn(async move {
        let open = serving.metrics.streams.clone();
        open.inc();
        if let Some(socket) = socket.opened().await {
            let why = conversation::run(socket, authz, &serving).await;
            tracing::debug!(why, "a live stream ended");
        }
        open.dec();
        drop(place);
    });
    Ok(response.into_response())
}
