//! What a tenant used, day by day, and what its tier leaves it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::timestamp::Timestamp;

/// Which days are wanted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// The first day (UTC), as in `2026-11-01`; 29 days before the last without it.
    pub from: Option<String>,
    /// The last day (UTC), at most 366 after the first; today without it.
    pub to: Option<String>,
}

/// What a tenant used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The tenant's tier now.
    pub tier: String,
    /// The first day asked for (UTC).
    pub from: String,
    /// The last day asked for (UTC).
    pub to: String,
    /// Each day on which something was used.
    pub days: Vec<UsageOfDay>,
    /// The sum of the days.
    pub total: Used,
    /// What the tier allows, and what of it is used now.
    pub allowances: Vec<Allowance>,
}

/// What was used on a day.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UsageOfDay {
    /// The day (UTC).
    pub day: String,
    /// What was used on it.
    #[serde(flatten)]
    pub used: Used,
}

/// What was used. Jobs count when they are accepted, ends when they end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// Measurements accepted.
    pub measurements: u64,
    /// Jobs accepted, those answered from an earlier report included.
    pub jobs: u64,
    /// Jobs answered from an earlier report; they cost nothing.
    pub cached_jobs: u64,
    /// Expected agent-seconds of the jobs accepted.
    pub cost: u64,
    /// Jobs that ended completed.
    pub completed: u64,
    /// Jobs that ended failed.
    pub failed: u64,
    /// Jobs that ended expired.
    pub expired: u64,
    /// Jobs that ended cancelled.
    pub cancelled: u64,
    /// Jobs that ended refused.
    pub refused: u64,
    /// Time that agents spent on the reports stored, microseconds.
    pub agent_us: u64,
    /// Size of the reports stored, bytes.
    pub report_bytes: u64,
}

/// What a tier allows of one thing, and what of it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Allowance {
    /// The limit's name in `GET /api/v1/tiers`.
    pub name: String,
    /// What it allows.
    pub limit: u64,
    /// What is used of it.
    pub used: u64,
    /// What is left of it.
    pub left: u64,
    /// When all of it is there again; absent where that is a matter of what ends or is taken away.
    pub resets_at: Option<Timestamp>,
}
