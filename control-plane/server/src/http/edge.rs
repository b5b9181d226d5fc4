//! What happens to every request whatever it asks for: an id, a place among those being answered, a line in the log, the problem written out.

use std::any::Any;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control_services::{ServiceError, clock};
use http::{HeaderName, HeaderValue};
use shared_protocol::fault::ProblemCode;
use tracing::Instrument;

use super::headers;
use super::problem::Refused;
use super::state::AppState;

/// Around every request. Ids that senders choose are ignored: they would let one forge another's lines in the log.
pub(crate) async fn around(State(state): State<AppState>, matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let request_id = uuid::Uuid::new_v4().simple().to_string();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let begun = clock::monotonic();
    let span = tracing::debug_span!("request", request_id, %method, route);

    let response = match Arc::clone(&state.requests).try_acquire_owned() {
        Ok(_permit) => next.run(request).instrument(span.clone()).await,
        Err(_) => Refused::new(ProblemCode::Unavailable, "the control plane answers as many requests as it can; try again")
            .retry_after(1)
            .into_response(),
    };

    let mut response = written_out(response, &request_id);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    headers::protect(response.headers_mut(), &route);
    let took_us = clock::monotonic().micros().saturating_sub(begun.micros());
    state.metrics.count(&route, &method, response.status(), took_us);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), took_us, "answered"));
    response
}

/// A handler panicked: the log has the cause, the sender the request id.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Refused::from(ServiceError::Internal).into_response()
}

/// No such path.
pub(crate) async fn no_such_path() -> Refused {
    Refused::new(ProblemCode::NotFound, "there is no such path; /docs lists those there are")
}

/// The path exists, the method does not.
pub(crate) async fn no_such_method() -> Refused {
    Refused::new(
        ProblemCode::MethodNotAllowed,
        "this path does not take this method; the `Allow` header names those it takes",
    )
}

fn written_out(mut response: Response, request_id: &str) -> Response {
    let Some(refused) = response.extensions_mut().remove::<Refused>() else {
        return response;
    };
    let mut rendered = refused.render(request_id);
    for (name, value) in response.headers() {
        if !rendered.headers().contains_key(name) && name != http::header::CONTENT_LENGTH {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered
}

/// Finds a request in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn api_13_a_panic_becomes_a_problem_that_tells_nothing() {
        async fn broken() -> &'static str {
            panic!("secret path /var/lib/x")
        }
        let app = Router::new().route("/", get(broken)).layer(CatchPanicLayer::custom(panicked));
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        let response = written_out(response, "r-1");
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        insta::assert_snapshot!(String::from_utf8_lossy(&body));
    }
}
