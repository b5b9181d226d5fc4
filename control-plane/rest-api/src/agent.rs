//! Agents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_protocol::frame::{Capability, HostFacts};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Its name, unique within the tenant.
    pub name: String,
    /// Labels by which it is selected.
    pub labels: BTreeMap<String, String>,
    /// `active`, `suspended` or `revoked`.
    pub state: String,
    /// `online`, `late` (nothing heard for more than 20 s), `offline` or `never` (not yet connected).
    pub presence: String,
    /// When anything was last heard from it.
    pub last_seen_at: Option<Timestamp>,
    /// When it enrolled.
    pub created_at: Timestamp,
    /// Version of its program, as it said in its last session.
    pub version: Option<String>,
    /// What it can do, as it said in its last session.
    #[schema(value_type = Vec<Object>)]
    pub capabilities: Vec<Capability>,
    /// What it runs on, as it said in its last session.
    #[schema(value_type = Option<Object>)]
    pub host: Option<HostFacts>,
    /// When its certificate stops working.
    pub certificate_expires_at: Option<Timestamp>,
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
}
