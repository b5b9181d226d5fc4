//! Jobs: one measurement on one agent.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::timestamp::Timestamp;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The measurement it belongs to.
    pub measurement: String,
    /// The agent that runs it.
    pub agent: String,
    /// The agent's name.
    pub agent_name: String,
    /// `queued`, `leased`, `running`, then its end: `completed`, `failed`, `expired`, `cancelled` or `refused`.
    pub state: String,
    /// Why it ended like this, where the end does not say it: a code such as `agent_lost` or `policy_denied`.
    pub reason: Option<String>,
    /// How often it was handed out.
    pub attempt: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When nobody wants the answer any more.
    pub deadline_at: Timestamp,
    /// When somebody took it back.
    pub cancel_requested_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// An earlier report answers it, as `max_age_s` allows.
    #[serde(default)]
    pub cached: bool,
}

/// Which jobs are wanted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct JobQuery {
    /// Most items of the page, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only jobs of this measurement.
    pub measurement: Option<String>,
    /// Only jobs of this agent.
    pub agent: Option<String>,
}
