//! Agents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_protocol::frame::{Capability, HostFacts};
use shared_protocol::host::HostLoad;
use utoipa::{IntoParams, ToSchema};

use crate::join_token::CreatedJoinToken;
use crate::timestamp::Timestamp;

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Whom it serves: `own`, its own tenant, or `shared`, every tenant. Of a shared agent of somebody else's, host, load and certificate are not shown.
    pub sharing: String,
    /// Its name, unique among its tenant's agents that are not revoked.
    pub name: String,
    /// Labels by which it is selected.
    pub labels: BTreeMap<String, String>,
    /// The region it is in: the tenant's word, else its label `region`, else what its own configuration says.
    pub region: Option<String>,
    /// The zone it is in, found in the same way.
    pub zone: Option<String>,
    /// The network it is in, found in the same way: an AS number, as `AS64500`, or a name.
    pub network: Option<String>,
    /// `pending` (its token was not used yet), `active`, `suspended` or `revoked`.
    pub state: String,
    /// Whether it takes work: `working`, `draining` or `stopped`.
    pub duty: String,
    /// `online`, `late` (nothing heard for more than 20 s), `offline` or `never` (not yet connected).
    pub presence: String,
    /// When anything was last heard from it.
    pub last_seen_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it enrolled first.
    pub enrolled_at: Option<Timestamp>,
    /// Version of its program, as it said in its last session.
    pub version: Option<String>,
    /// What it can do, as it said in its last session.
    #[schema(value_type = Vec<Object>)]
    pub capabilities: Vec<Capability>,
    /// What it runs on, as it said in its last session.
    #[schema(value_type = Option<Object>)]
    pub host: Option<HostFacts>,
    /// How busy it is, where it is here and said so.
    pub load: Option<AgentLoad>,
    /// When its certificate stops working.
    pub certificate_expires_at: Option<Timestamp>,
    /// Grows with every change; the `ETag` of the agent.
    pub revision: u64,
}

/// How busy an agent is, as its last keepalive said.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentLoad {
    /// When that came.
    pub at: Timestamp,
    /// Jobs running.
    pub running: u32,
    /// Reports that wait to be acknowledged.
    pub outbox_depth: u64,
    /// Work it takes at once, agent-seconds.
    pub capacity: Option<u32>,
    /// Processors, memory, disks and interfaces of its host, as it read them last.
    #[schema(value_type = Option<Object>)]
    pub host: Option<HostLoad>,
}

/// Which agents are wanted; every condition given must hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AgentQuery {
    /// Most items of the page, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Labels that hold, joined by commas: `key=value`, or `key` for any value.
    pub label: Option<String>,
    /// In this region.
    pub region: Option<String>,
    /// In this zone.
    pub zone: Option<String>,
    /// In this network: an AS number, or a name.
    pub network: Option<String>,
    /// `pending`, `active` or `suspended`; or `revoked`, which goes with no other filter. Without it all but the revoked ones.
    pub state: Option<String>,
    /// `working`, `draining` or `stopped`.
    pub duty: Option<String>,
    /// `online`, `late` or `offline`.
    pub presence: Option<String>,
    /// `own` or `shared`; both without it.
    pub sharing: Option<String>,
    /// That can run this probe.
    pub probe: Option<String>,
    /// A part of the name, in any case of letters, or the beginning of the id.
    pub q: Option<String>,
}

impl AgentQuery {
    /// Whether it filters by anything but the state.
    pub const fn names_more_than_state(&self) -> bool {
        self.label.is_some()
            || self.region.is_some()
            || self.zone.is_some()
            || self.network.is_some()
            || self.duty.is_some()
            || self.presence.is_some()
            || self.sharing.is_some()
            || self.probe.is_some()
            || self.q.is_some()
    }
}

/// Says whom an agent serves; for the operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAgentSharing {
    /// `own` or `shared`.
    pub sharing: String,
}

/// Makes an agent that is there before it enrols.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAgent {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Its labels: at most 32, keys and values of 1 to 63 characters of `a-z A-Z 0-9 . _ - /`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The region it is in, 1 to 63 characters as in labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub region: Option<String>,
    /// The zone it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub zone: Option<String>,
    /// The network it is in: an AS number, as `AS64500`, or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub network: Option<String>,
    /// Seconds until its join token stops working, 60 to 86,400; 3,600 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 86_400, nullable = false)]
    pub ttl_s: Option<u32>,
}

/// A new agent, and the token that enrols it; the only time the token's secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedAgent {
    /// The agent.
    #[serde(flatten)]
    pub agent: Agent,
    /// Enrols this agent and no other.
    pub join_token: CreatedJoinToken,
}

/// Changes an agent; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAgent {
    /// Its name, 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The region it is in; an empty text takes the tenant's word back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The zone it is in; an empty text takes the tenant's word back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The network it is in; an empty text takes the tenant's word back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// Something to do with an agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentAction {
    /// What.
    pub action: AgentActionKind,
}

/// What can be done with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentActionKind {
    /// Take work again.
    Start,
    /// Finish what it has and take no more work, until started; jobs that name it are refused.
    Stop,
    /// Finish what it has and take nothing new, until started; jobs that name it wait.
    Drain,
    /// Make a token that enrols it anew, with a new key: for a host that was rebuilt, or one whose identity was copied.
    Reenrol,
}

/// An agent after an action.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AgentAfterAction {
    /// The agent as it is then.
    #[serde(flatten)]
    pub agent: Agent,
    /// After `reenrol`: enrols this agent anew; the only time the token's secret is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub join_token: Option<CreatedJoinToken>,
}
