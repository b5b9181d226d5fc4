//! All paths of the HTTP port in one place.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use super::state::AppState;
use super::{edge, metrics, pages, probes};
use crate::api;

/// Everything the HTTP port answers. Layers added later lie further out.
pub(crate) fn router(state: AppState) -> Router {
    let (api, _) = api::routes().split_for_parts();
    Router::new()
        .merge(api)
        .route("/", get(pages::home))
        .route("/docs", get(pages::docs))
        .route("/docs.css", get(pages::style))
        .route("/api/v1/openapi.json", get(pages::openapi))
        // Where the older platforms had it.
        .route("/ws/stream", get(api::stream::open))
        .route("/livez", get(probes::alive))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(metrics::scrape))
        .fallback(edge::no_such_path)
        .method_not_allowed_fallback(edge::no_such_method)
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(from_fn_with_state(state.clone(), edge::around))
        .with_state(state)
}
