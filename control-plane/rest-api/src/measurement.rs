//! Measurements: what a tenant asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared_protocol::report::{Findings, Report};
use utoipa::ToSchema;

use crate::job::Job;
use crate::spec::ProbeSpecSchema;
use crate::timestamp::Timestamp;
use crate::usage::Allowance;

/// Asks for a measurement: one probe on a selection of agents.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateMeasurement {
    /// The probe with its target and options.
    #[schema(value_type = ProbeSpecSchema, example = json!({"probe": "ping", "target": "127.0.0.1", "count": 4}))]
    pub spec: Value,
    /// Which agents run it.
    #[serde(default)]
    pub selection: Selection,
    /// Seconds from acceptance after which nobody wants the answer, 1 to 86,400; 600 without it, and for an observation its duration beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400, nullable = false)]
    pub deadline_s: Option<u32>,
    /// What becomes of a job that comes back without an answer; `none` without it. `none`: the failure is the answer. `transport`: it is done again
    /// where the way to the agent, or the agent, was lost, at most twice, by another agent where none was named. `always:1` to `always:5`: it is
    /// done again so many times after every failure, with growing pauses. Never beyond the deadline; a probe that found nothing has not failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(none|transport|always:[1-5])$", example = "transport", nullable = false)]
    pub retry: Option<String>,
    /// Takes an agent's report of the very same question that is at most this many seconds old instead of a new run, 1 to 86,400.
    /// Such a job is `cached`, ends at once and costs nothing; the measurement itself counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400, nullable = false)]
    pub max_age_s: Option<u32>,
    /// Only says what would be done, what it would cost and when it would start; nothing is stored, nothing counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Which agents run a measurement; every condition given must hold, also for agents that are named.
///
/// Without names, agents that are online, active, on duty and can run the probe are chosen: those that would begin soonest, spread over
/// regions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// These agents, by id or name; they are used even while offline.
    #[serde(default)]
    pub agents: Vec<String>,
    /// The agents of this earlier measurement, even while offline; those that were revoked or suspended since are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub same_as: Option<String>,
    /// Agents with all of these labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For each of these labels, agents with one of its values; up to 100 values each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels_in: BTreeMap<String, Vec<String>>,
    /// Agents that have these labels, whatever the value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_present: Vec<String>,
    /// Agents in this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub region: Option<String>,
    /// Agents in this zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub zone: Option<String>,
    /// Agents in this network: an AS number, with or without `AS`, or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub network: Option<String>,
    /// At most this many of them; 1 without it, where no agents are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, nullable = false)]
    pub count: Option<u32>,
}

/// What would be done: the answer to a `dry_run`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The probe with its target and options, defaults filled in.
    #[schema(value_type = ProbeSpecSchema)]
    pub spec: Value,
    /// One job for each agent that would be chosen.
    pub jobs: Vec<PlannedJob>,
    /// Cost of all of them, agent-seconds.
    pub cost: u64,
    /// When the first of them is expected to start; absent where all are answered from earlier reports.
    pub estimated_start: Option<Timestamp>,
    /// What the tenant's tier leaves it now.
    pub allowances: Vec<Allowance>,
}

/// A job that would be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlannedJob {
    /// The agent.
    pub agent: String,
    /// The agent's name.
    pub agent_name: String,
    /// Expected agent-seconds; 0 where an earlier report answers it.
    pub cost: u32,
    /// An earlier report answers it.
    pub cached: bool,
    /// When it is expected to start; absent where an earlier report answers it.
    pub estimated_start: Option<Timestamp>,
}

/// A measurement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Measurement {
    /// Its id.
    pub id: String,
    /// The probe with its target and options, defaults filled in.
    #[schema(value_type = ProbeSpecSchema)]
    pub spec: Value,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When nobody wants the answer any more.
    pub deadline_at: Timestamp,
    /// What becomes of a job that comes back without an answer.
    #[serde(default)]
    pub retry: String,
    /// When the first of its jobs is expected to start; absent once all have an end.
    pub estimated_start: Option<Timestamp>,
    /// `open` while a job has no end, then `ended`.
    pub state: String,
    /// One job for each chosen agent.
    pub jobs: Vec<Job>,
}

/// A measurement with what has come of it so far: the answer to `?wait=`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MeasurementWithReports {
    /// The measurement.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// The reports there are.
    pub reports: Vec<JobReport>,
}

/// What a request for a measurement is answered with where it is not only accepted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Answered {
    /// The measurement with what has come of it, where the request waited.
    Ended(Box<MeasurementWithReports>),
    /// What would be done, where the request was for that only.
    Planned(Plan),
}

/// The report of one job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobReport {
    /// The job.
    pub job: String,
    /// The measurement.
    pub measurement: String,
    /// The agent.
    pub agent: String,
    /// When the control plane stored it.
    pub received_at: Timestamp,
    /// When the probe began, by the agent's wall clock.
    pub started_at: Timestamp,
    /// Came after the job had already ended without it.
    pub late: bool,
    /// Was made for an earlier measurement and taken for this job, as `max_age_s` allows.
    #[serde(default)]
    pub cached: bool,
    /// Verdict, fault, timings, findings.
    #[schema(value_type = Object)]
    pub report: Report,
}

impl JobReport {
    /// The probe's findings, where it could begin.
    pub const fn findings(&self) -> Option<&Findings> {
        self.report.findings.as_ref()
    }
}
