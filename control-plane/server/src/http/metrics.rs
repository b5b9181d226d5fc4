//! Counters of the HTTP side, and the one scrape of everything. Labels come from fixed sets: route templates, methods, status classes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_services::{ServiceError, Services};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::problem::Refused;
use super::state::AppState;

/// What the HTTP side counts; cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabel, Histogram>,
    /// Live streams open.
    pub(crate) streams: Gauge,
    registry: Arc<Registry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

impl HttpMetrics {
    /// Counters of the HTTP side beside those of the services.
    pub(crate) fn new(services: &Services) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let seconds = Family::<RouteLabel, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let streams = Gauge::default();
        let mut registry = Registry::default();
        registry.register("probeops_http_requests", "Requests answered", requests.clone());
        registry.register(
            "probeops_http_request_seconds",
            "Time from the head of a request to the head of its answer",
            seconds.clone(),
        );
        registry.register("probeops_http_streams", "Live streams open", streams.clone());
        services.metrics.register(&mut registry);
        Self {
            requests,
            seconds,
            streams,
            registry: Arc::new(registry),
        }
    }

    /// Counts one answer.
    pub(crate) fn count(&self, route: &str, method: &Method, status: StatusCode, took_us: u64) {
        let labels = RequestLabels {
            route: route.to_owned(),
            method: method_label(method),
            status: status_label(status),
        };
        self.requests.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&RouteLabel { route: route.to_owned() })
            .observe(Duration::from_micros(took_us).as_secs_f64());
    }
}

/// `GET /metrics`: everything counted, as Prometheus reads it.
pub(crate) async fn scrape(State(state): State<AppState>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &state.metrics.registry) {
        Ok(()) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            Refused::from(ServiceError::Internal).into_response()
        }
    }
}

fn method_label(method: &Method) -> &'static str {
    let known = [
        ("GET", Method::GET),
        ("HEAD", Method::HEAD),
        ("POST", Method::POST),
        ("PATCH", Method::PATCH),
        ("DELETE", Method::DELETE),
    ];
    known.iter().find(|(_, known)| known == method).map_or("other", |(label, _)| label)
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// Upper bounds of the histogram, seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0, 60.0];
