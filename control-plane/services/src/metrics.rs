//! Counters and gauges of what the services do, for the scrape of the server. Label sets are bounded: no target, no tenant text.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the services count.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Jobs accepted and on disk.
    pub jobs_accepted: Counter,
    /// Jobs that got their end, by end.
    pub jobs_ended: Family<EndLabel, Counter>,
    /// Jobs waiting for their agent, by tier.
    pub queue_depth: Family<TierLabel, Gauge>,
    /// Jobs handed to agents and without an end.
    pub jobs_in_flight: Gauge,
    /// By how much the books of jobs do not close, by who keeps them; always 0.
    pub conservation_error: Family<SideLabel, Gauge>,
    /// Reports taken in, by outcome.
    pub reports: Family<OutcomeLabel, Counter>,
    /// Numbers added to series.
    pub series_samples: Counter,
    /// Numbers not kept because their tenant has as many series as its tier allows.
    pub series_refused: Counter,
    /// Numbers of hosts dropped because too many waited.
    pub series_dropped: Counter,
    /// Sessions alive.
    pub sessions: Gauge,
    /// Sessions that ended, by reason.
    pub sessions_closed: Family<ReasonLabel, Counter>,
}

/// Label of a job's end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndLabel {
    /// The end's name.
    pub end: &'static str,
}

/// Label of who keeps books of jobs: the dispatcher in memory, the store on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SideLabel {
    /// Its name.
    pub side: &'static str,
}

/// Label of a tier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TierLabel {
    /// The tier's name.
    pub tier: &'static str,
}

/// Label of what became of a report.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// The outcome's name.
    pub outcome: &'static str,
}

/// Label of why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// The reason's name.
    pub reason: &'static str,
}

impl Metrics {
    /// Puts everything counted here into a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("probeops_jobs_accepted", "Jobs accepted and on disk", self.jobs_accepted.clone());
        registry.register("probeops_jobs_ended", "Jobs that got their end", self.jobs_ended.clone());
        registry.register("probeops_queue_depth_jobs", "Jobs waiting for their agent", self.queue_depth.clone());
        registry.register(
            "probeops_jobs_in_flight",
            "Jobs handed to agents and without an end",
            self.jobs_in_flight.clone(),
        );
        registry.register(
            "probeops_jobs_conservation_error",
            "By how much accepted jobs are not those that wait, are with agents, or have ended; always 0",
            self.conservation_error.clone(),
        );
        registry.register("probeops_reports", "Reports taken in, by outcome", self.reports.clone());
        registry.register("probeops_series_samples", "Numbers added to series", self.series_samples.clone());
        registry.register(
            "probeops_series_refused",
            "Numbers not kept because their tenant has as many series as its tier allows",
            self.series_refused.clone(),
        );
        registry.register(
            "probeops_series_dropped",
            "Numbers of hosts dropped because too many waited",
            self.series_dropped.clone(),
        );
        registry.register("probeops_sessions", "Agent sessions alive", self.sessions.clone());
        registry.register("probeops_sessions_closed", "Agent sessions that ended, by reason", self.sessions_closed.clone());
    }
}
