//! Standing observations: what is observed, window after window, until it is taken back.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared_protocol::report::Report;
use utoipa::{IntoParams, ToSchema};

use crate::measurement::Selection;
use crate::spec::ProbeSpecSchema;
use crate::timestamp::Timestamp;

/// Asks for a standing observation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateStandingObservation {
    /// What people call it, 1 to 100 characters; what is observed without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The observation with its options: the probe `observe`, without `duration_s`.
    #[schema(value_type = ProbeSpecSchema, example = json!({"probe": "observe", "observation": "tcp_flows"}))]
    pub spec: Value,
    /// Length of a window, seconds, 1 to 3,600, as the tier allows; 60 without it. Each window has a report of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_600, nullable = false)]
    pub window_s: Option<u32>,
    /// Which of the tenant's own agents make it. They are chosen now and again with each change of the selection; one that joins later is not.
    #[serde(default)]
    pub selection: Selection,
}

/// Changes a standing observation; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateStandingObservation {
    /// What people call it, 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The observation with its options, without `duration_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProbeSpecSchema, nullable = false)]
    pub spec: Option<Value>,
    /// Length of a window, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_600, nullable = false)]
    pub window_s: Option<u32>,
    /// Which agents make it from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub selection: Option<Selection>,
    /// `running` or `stopped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(running|stopped)$", nullable = false)]
    pub state: Option<String>,
}

/// A standing observation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StandingObservation {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Counts its changes, from 1; its `ETag`.
    pub revision: u32,
    /// `running` or `stopped`: what is wanted; `agents` under it says how it fares.
    pub state: String,
    /// The observation with its options, defaults filled in.
    #[schema(value_type = ProbeSpecSchema)]
    pub spec: Value,
    /// Length of a window, seconds.
    pub window_s: u32,
    /// What was asked for.
    pub selection: Selection,
    /// How many agents were chosen.
    pub agents: u32,
    /// Who made it, as the audit log names it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// How a standing observation fares on an agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StandingAgent {
    /// The agent.
    pub agent: String,
    /// What it is called.
    pub agent_name: String,
    /// `waiting` (the agent has not said yet that it has it, or its first window has not begun), `running`, `degraded` (its last window lacks
    /// something or could not be made), `refused` (by the agent's owner, or beyond the tier), `unsupported` (the agent or its host cannot),
    /// `stopping` (not wanted any more, and the agent has not said yet that it has stopped) or `stopped`.
    pub state: String,
    /// The revision that the agent has.
    pub revision: Option<u32>,
    /// Why it is not done: `policy_denied`, `kind_disabled`, `cap_exceeded`, `unsupported`, `invalid_spec`.
    pub reason: Option<String>,
    /// One sentence, where something is not as it should be; names the owner's rule where it was that.
    pub message: Option<String>,
    /// Windows whose reports the agent could not keep while nobody took them.
    pub windows_lost: u64,
    /// When the last window began that is stored.
    pub last_window_at: Option<Timestamp>,
    /// When the agent last said how it fares.
    pub told_at: Option<Timestamp>,
}

/// Which windows are wanted; every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StandingWindowQuery {
    /// Most items of the page, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only those that began at or after this instant.
    pub from: Option<String>,
    /// Only those that began before this instant.
    pub to: Option<String>,
}

/// One window of a standing observation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StandingWindow {
    /// Its id; windows are ordered by when they count.
    pub id: String,
    /// The agent.
    pub agent: String,
    /// What the agent is called.
    pub agent_name: String,
    /// The revision of the observation that the window was made of.
    pub revision: u32,
    /// When it began, by the agent's wall clock.
    pub started_at: Timestamp,
    /// When it counts: when it began, or when its report was received where the agent's clock cannot be right.
    pub measured_at: Timestamp,
    /// The agent's clock says that it began before it was asked for, or after its report came.
    pub skewed: bool,
    /// When the control plane stored it.
    pub received_at: Timestamp,
    /// Verdict, fault, timings, findings.
    #[schema(value_type = Object)]
    pub report: Report,
}
