//! What a supervisor asks: is the process alive, can it serve.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_services::Readiness;
use serde::Serialize;
use shared_protocol::fault::ProblemCode;

use super::problem::Refused;
use super::state::AppState;

#[derive(Serialize)]
struct Well {
    status: &'static str,
    version: &'static str,
    /// Which database the store is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'static str>,
}

/// `GET /livez`: the process answers.
pub(crate) async fn alive() -> Response {
    Json(Well {
        status: "alive",
        version: env!("CARGO_PKG_VERSION"),
        database: None,
    })
    .into_response()
}

/// `GET /readyz`: requests can be served.
pub(crate) async fn ready(State(state): State<AppState>) -> Response {
    if state.stopping.is_cancelled() {
        return Refused::new(ProblemCode::Unavailable, "the control plane is stopping")
            .retry_after(RETRY_S)
            .into_response();
    }
    match state.services.readiness().await {
        Readiness::Ready(database) => Json(Well {
            status: "ready",
            version: env!("CARGO_PKG_VERSION"),
            database: Some(database),
        })
        .into_response(),
        Readiness::NotReady(why) => {
            tracing::warn!(why, "not ready");
            Refused::new(ProblemCode::Unavailable, "the control plane cannot serve requests at the moment")
                .retry_after(RETRY_S)
                .into_response()
        }
    }
}

/// When to ask again, seconds.
const RETRY_S: u32 = 2;
