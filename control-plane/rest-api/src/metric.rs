//! Metrics: the numbers of reports and of agents' hosts over time.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::timestamp::Timestamp;

/// Which metric is wanted, of which time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MetricsQuery {
    /// `PROBE.NAME`, as in `ping.rtt_avg_us`, `ping.loss`, `ping.ok` or `agent.cpu_percent`.
    pub metric: String,
    /// Whose; without it all agents of the tenant together, by the hour.
    pub agent_id: Option<String>,
    /// Only about this target; without it every target of the agent on its own, or all targets of all agents together.
    pub target: Option<String>,
    /// First instant; one hour before `to` without it.
    pub from: Option<String>,
    /// First instant no more; now without it.
    pub to: Option<String>,
    /// Length of each step, seconds; without it what gives about 500 points. Whole hours from 3600 on, answered from roll-ups.
    #[param(minimum = 1)]
    pub step: Option<u32>,
}

/// Which number of an agent's own host is wanted, of which time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HostMetricsQuery {
    /// Its name, as in `cpu_ratio`, `memory_available_bytes`, `load_1m`, `disk_used_ratio.root` or `received_bytes_per_s.eth0`;
    /// `GET /api/v1/metrics/latest?agent_id=` lists those there are.
    pub metric: String,
    /// First instant; one hour before `to` without it.
    pub from: Option<String>,
    /// First instant no more; now without it.
    pub to: Option<String>,
    /// Length of each step, seconds; without it what gives about 500 points. Whole hours from 3600 on, answered from roll-ups.
    #[param(minimum = 1)]
    pub step: Option<u32>,
}

/// A metric over time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    /// Its name.
    pub metric: String,
    /// First instant.
    pub from: Timestamp,
    /// First instant no more.
    pub to: Timestamp,
    /// Length of each step, seconds.
    pub step_s: u32,
    /// What answered: `samples`, or `hours` (roll-ups, percentiles within 1 %).
    pub source: String,
    /// One for each agent and target.
    pub series: Vec<MetricSeries>,
    /// There are more series than an answer holds: name a target.
    pub more: bool,
}

/// A metric of one agent, or of all together, about one target.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetricSeries {
    /// The agent; absent where all were taken together.
    pub agent: Option<String>,
    /// The target; absent for an agent's own host, and where all targets were taken together.
    pub target: Option<String>,
    /// The steps in which there was something, in order.
    pub points: Vec<MetricPoint>,
}

/// Everything of one step.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetricPoint {
    /// The step's first instant.
    pub at: Timestamp,
    /// How many samples.
    pub n: u64,
    /// How many of them come from a report that was `ok`; from roll-ups only.
    pub ok: Option<u64>,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Mean.
    pub avg: f64,
    /// Median, within 1 %.
    pub p50: f64,
    /// 95th percentile, within 1 %.
    pub p95: f64,
    /// 99th percentile, within 1 %.
    pub p99: f64,
}

/// Which latest values are wanted; every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LatestQuery {
    /// Most items of the page, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only of this agent.
    pub agent_id: Option<String>,
    /// Only of this target.
    pub target: Option<String>,
    /// Only this metric, `PROBE.NAME`.
    pub metric: Option<String>,
}

/// The latest value of a metric of one agent about one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latest {
    /// The agent.
    pub agent: Option<String>,
    /// The target; absent for the agent's own host.
    pub target: Option<String>,
    /// The metric.
    pub metric: String,
    /// When it was measured.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
    /// It comes from a report that was `ok`.
    pub ok: bool,
}
