//! Measurements of the tenant, a file for each kind of request.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::state::AppState;

mod cancel;
mod create;
mod events;
mod rate_limit;
mod read;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(read::list, create::create))
        .routes(routes!(read::show))
        .routes(routes!(read::reports))
        .routes(routes!(events::events))
        .routes(routes!(cancel::cancel))
}
