//! The OpenAPI document: collected from the routes, with what holds for every operation added to each.

use control_api::problem::{PROBLEM_CONTENT_TYPE, Problem};
use control_api::spec::{DnsOptions, HttpOptions, PingOptions, ProbeSpecSchema, TcpOptions};
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::{agents, jobs, join_tokens, keys, measurements, metrics, packages, reports, standing_observations, stream, tenant, tiers, usage};
use crate::http::state::AppState;

/// The frame of the document; paths come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "ProbeOps API",
        description = "Measure networks from agents inside them. Every request needs `Authorization: Bearer po_…`; every error is a problem of RFC 9457 with a stable `code`. Times are RFC 3339 in UTC, durations are integers with their unit in the name. Lists come in pages: give `next_cursor` as `cursor`. A key reaches the things of its own tenant; anything else is 404.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem, ProbeSpecSchema, PingOptions, TcpOptions, HttpOptions, DnsOptions)),
    tags(
        (name = "measurements", description = "What a tenant asks for: one probe on a selection of agents."),
        (name = "jobs", description = "One measurement on one agent."),
        (name = "reports", description = "The final answers of jobs."),
        (name = "metrics", description = "Numbers of reports and of agents' hosts over time."),
        (name = "standing observations", description = "What agents observe, window after window, until it is taken back."),
        (name = "agents", description = "Installed probe agents."),
        (name = "join tokens", description = "Single-use secrets with which new agents come in."),
        (name = "packages", description = "Observations of one's own: signed programs for the kernels of agents' hosts."),
        (name = "keys", description = "API keys."),
        (name = "tiers", description = "What each subscription allows."),
        (name = "tenant", description = "The organisation that owns all of it."),
    )
)]
struct Frame;

/// Every route of the API, with its documentation.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .merge(measurements::router())
        .merge(jobs::router())
        .merge(reports::router())
        .merge(metrics::router())
        .merge(standing_observations::router())
        .merge(stream::router())
        .merge(agents::router())
        .merge(join_tokens::router())
        .merge(packages::router())
        .merge(keys::router())
        .merge(tenant::router())
        .merge(tiers::router())
        .merge(usage::router())
}

/// The OpenAPI document.
pub fn document() -> Document {
    let mut document = routes().into_openapi();
    let components = document.components.get_or_insert_with(Components::new);
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "An API key, `po_live_…`. The scopes an operation needs are listed with it: `measure`, `read`, `admin`; `operator` is given only by the command line of the control plane.",
    ));
    components.add_security_scheme("api_key", SecurityScheme::Http(scheme.build()));
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            add_problems(path, operation);
        }
    }
    document
}

/// The document as it is committed and served.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn document_text() -> anyhow::Result<String> {
    Ok(document().to_pretty_json()? + "\n")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn add_problems(path: &str, operation: &mut Operation) {
    let body = operation.request_body.is_some();
    let known = [
        ("400", true, "The request is not readable (`malformed_request`)"),
        ("401", true, "No valid API key (`unauthenticated`)"),
        ("403", true, "The key lacks the scope (`forbidden`)"),
        (
            "404",
            path.contains('{') || path == "/api/v1/measurements" && body,
            "No such thing for this tenant (`not_found`)",
        ),
        ("408", body, "The body took too long to arrive (`request_timeout`)"),
        ("409", body, "The request contradicts what stands (`conflict`, `idempotency_mismatch`)"),
        ("413", body, "The body is longer than 1 MiB (`body_too_large`)"),
        ("415", body, "The body is not JSON (`unsupported_media_type`)"),
        (
            "422",
            true,
            "A field or parameter is not acceptable (`invalid_field`, `tier_limit`, `no_agent_matches`)",
        ),
        (
            "429",
            body,
            "Too much for now; try again after `Retry-After` (`rate_limited`, `too_many_open_jobs`, `cannot_start_in_time`, `target_busy`)",
        ),
        ("500", true, "The control plane failed (`internal`)"),
        (
            "503",
            true,
            "Nothing can be stored at the moment; try again after `Retry-After` (`unavailable`)",
        ),
    ];
    for (status, applies, description) in known {
        if applies {
            let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
            let content = ContentBuilder::new().schema(Some(schema)).build();
            let response = ResponseBuilder::new().description(description).content(PROBLEM_CONTENT_TYPE, content).build();
            operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(response));
        }
    }
}
