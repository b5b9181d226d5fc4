//! Pages for people: what this is, and the API reference, written out on the server from the OpenAPI document. No script, no outside host.

use std::sync::OnceLock;

use axum::response::{Html, IntoResponse, Response};
use control_services::ServiceError;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::problem::Refused;
use crate::api;

mod html;
mod operation;
mod reference;
mod schema;

/// `GET /`: what this is, until the console stands here.
pub(crate) async fn home() -> Response {
    let body = format!(
        "<main><h1>ProbeOps</h1><p>Control plane, version {}.</p><ul>\
         <li><a href=\"/docs\">API reference</a></li>\
         <li><a href=\"/api/v1/openapi.json\">OpenAPI document</a></li>\
         <li><a href=\"/readyz\">Readiness</a>, <a href=\"/metrics\">metrics</a></li></ul></main>",
        html::escaped(env!("CARGO_PKG_VERSION"))
    );
    Html(html::page("ProbeOps", &body)).into_response()
}

/// `GET /docs`: the API reference.
pub(crate) async fn docs() -> Response {
    static PAGE: OnceLock<Option<String>> = OnceLock::new();
    let page = PAGE.get_or_init(|| serde_json::to_value(api::document()).ok().map(|document: Value| reference::page(&document)));
    page.as_ref().map_or_else(broken, |page| Html(page.as_str()).into_response())
}

/// `GET /docs.css`: how both look.
pub(crate) async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("pages/docs.css")).into_response()
}

/// `GET /api/v1/openapi.json`: the OpenAPI document.
pub(crate) async fn openapi() -> Response {
    static TEXT: OnceLock<Option<String>> = OnceLock::new();
    let text = TEXT.get_or_init(|| api::document_text().ok());
    text.as_ref()
        .map_or_else(broken, |text| ([(CONTENT_TYPE, "application/json")], text.as_str()).into_response())
}

fn broken() -> Response {
    Refused::from(ServiceError::Internal).into_response()
}
