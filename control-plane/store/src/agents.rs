//! Agents: their durable identity, name, labels, place, state, duty, and what they said about themselves.

mod change;

use std::collections::BTreeMap;
use std::str::FromStr;

use control_core::authorize::{SystemScope, TenantScope};
use control_core::duty::Duty;
use control_core::sharing::Sharing;
use serde::Serialize;
use serde_json::Value;
use shared_protocol::frame::{Capability, HostFacts};
use shared_protocol::host::Place;
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;
use uuid::Uuid;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::page::{self, Page};
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

pub use change::{AgentChange, NewAgent, create, enrol, hello, set_duty, set_sharing, set_state, suspend, update};

/// Whether an agent may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AgentState {
    /// It may.
    Active,
    /// Not now; it may come back.
    Suspended,
    /// Never again: its key is burnt.
    Revoked,
}

impl AgentState {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
}

/// The text names no state of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of active, suspended, revoked")]
pub struct UnknownAgentState;

impl FromStr for AgentState {
    type Err = UnknownAgentState;

    fn from_str(text: &str) -> Result<Self, UnknownAgentState> {
        [Self::Active, Self::Suspended, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownAgentState)
    }
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Whom it serves.
    pub sharing: Sharing,
    /// Its name, unique among the tenant's agents that are not revoked.
    pub name: String,
    /// Labels by which it is selected.
    pub labels: BTreeMap<String, String>,
    /// Whether it may work.
    pub state: AgentState,
    /// Since when.
    pub state_changed_at: UnixMicros,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it enrolled first; absent for one whose token was not used yet.
    pub enrolled_at: Option<UnixMicros>,
    /// Whether it takes work, as its tenant wants it.
    pub duty: Duty,
    /// Where it is, in its tenant's words.
    pub place: Place,
    /// Grows with every change but that of `last_seen_at`.
    pub revision: u64,
    /// When anything was last heard from it.
    pub last_seen_at: Option<UnixMicros>,
    /// Version of its program, as it said in its last session.
    pub version: Option<String>,
    /// What it can do, as it said in its last session; probes that this version does not know are left out.
    pub capabilities: Vec<Capability>,
    /// What it runs on, as it said in its last session.
    pub host: Option<HostFacts>,
    /// When the last of its certificates that still work stops working.
    pub certificate_expires_at: Option<UnixMicros>,
}

/// What an agent says about itself at the start of a session.
#[derive(Debug, Clone)]
pub struct HelloFacts {
    /// Version of its program.
    pub version: String,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// What it runs on.
    pub host: HostFacts,
    /// When it said so.
    pub at: UnixMicros,
}

/// A certificate that may open a session, with the state of its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The agent.
    pub agent: AgentId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Whether it may work.
    pub state: AgentState,
    /// The certificate's serial number, big-endian.
    pub serial: Vec<u8>,
    /// SHA-256 of the certificate's public key.
    pub spki_sha256: [u8; 32],
    /// When the certificate stops working.
    pub not_after: UnixMicros,
}

/// Finds an agent of the tenant.
pub async fn find(on: &mut impl Read, scope: TenantScope, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
    tx::optional(on, Statement::of(scope, FIND).bind(id.uuid()).bind(scope.tenant().uuid()), agent).await
}

/// Finds an agent that serves the tenant: its own, or a shared one.
pub async fn find_serving(on: &mut impl Read, scope: TenantScope, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
    tx::optional(on, Statement::of(scope, FIND_SERVING).bind(id.uuid()).bind(scope.tenant().uuid()), agent).await
}

/// Agents of the tenant that are not revoked.
pub async fn count(on: &mut impl Read, scope: TenantScope) -> Result<u64, StoreError> {
    let counted = tx::optional(on, Statement::of(scope, COUNT).bind(scope.tenant().uuid()), |row| row.number("agents")).await?;
    Ok(counted.unwrap_or(0))
}

/// Lists the tenant's revoked agents, newest first.
pub async fn revoked(on: &mut impl Read, scope: TenantScope, page: &Page<AgentId>) -> Result<Vec<AgentRow>, StoreError> {
    let statement = Statement::of(scope, REVOKED)
        .bind(scope.tenant().uuid())
        .bind(page::before(page))
        .bind(page.limit);
    tx::all(on, statement, agent).await
}

/// Finds an agent whosever it is: for the session that its certificate opened.
pub async fn find_for_session(on: &mut impl Read, _: SystemScope, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
    tx::optional(on, Statement::own(FIND_ANY).bind(id.uuid()), agent).await
}

/// Reads agents that are not revoked, whosever they are, by id: what the index in memory is made of.
pub async fn all(on: &mut impl Read, _: SystemScope, after: Option<AgentId>, limit: u32) -> Result<Vec<AgentRow>, StoreError> {
    let after = after.map_or(Uuid::nil(), AgentId::uuid);
    tx::all(on, Statement::own(ALL).bind(after).bind(limit), agent).await
}

/// Reads agents that serve the tenant by their ids, newest first; others are left out.
pub async fn find_many(on: &mut impl Read, scope: TenantScope, ids: &[AgentId]) -> Result<Vec<AgentRow>, StoreError> {
    let statement = Statement::of(scope, FIND_MANY).bind(scope.tenant().uuid()).bind(row::json(ids)?);
    tx::all(on, statement, agent).await
}

/// Every certificate on record that may open a session, with its agent's state: what the identity map in memory is made of.
pub async fn all_identities(on: &mut impl Read, _: SystemScope) -> Result<Vec<Identity>, StoreError> {
    tx::all(on, Statement::own(ALL_IDENTITIES), identity).await
}

/// An agent that changed, and one of its certificates that may open a session; none where it has none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedIdentity {
    /// The agent.
    pub agent: AgentId,
    /// What it has.
    pub identity: Option<Identity>,
}

/// The agents whose state or certificates changed at an instant or later, with all their certificates that may open a session.
pub async fn changed_identities(on: &mut impl Read, _: SystemScope, since: UnixMicros) -> Result<Vec<ChangedIdentity>, StoreError> {
    tx::all(on, Statement::own(CHANGED_IDENTITIES).bind(since.micros()), changed_identity).await
}

/// Notes when agents were last heard of.
pub async fn seen(tx: &mut Tx, _: SystemScope, heard: &[(AgentId, UnixMicros)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Heard {
        id: AgentId,
        at: i64,
    }
    let batch: Vec<_> = heard.iter().map(|(id, at)| Heard { id: *id, at: at.micros() }).collect();
    tx::execute(tx, Statement::own(SEEN).bind(row::json(&batch)?)).await?;
    Ok(())
}

fn agent(row: &Row) -> Result<AgentRow, RowError> {
    let capabilities = row.document_or_none::<Vec<Value>>("capabilities")?.unwrap_or_default();
    let host = row.document_or_none::<Value>("host")?;
    Ok(AgentRow {
        id: AgentId::from_uuid(row.uuid("id")?),
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        sharing: row.known("sharing")?,
        name: row.text("name")?,
        labels: row.document("labels")?,
        state: row.known("state")?,
        state_changed_at: row.instant("state_changed_at")?,
        created_at: row.instant("created_at")?,
        enrolled_at: row.instant_or_none("enrolled_at")?,
        duty: row.known("duty")?,
        place: Place {
            region: row.text_or_none("region")?,
            zone: row.text_or_none("zone")?,
            network: row.text_or_none("network")?,
        },
        revision: row.number("revision")?,
        last_seen_at: row.instant_or_none("last_seen_at")?,
        version: row.text_or_none("version")?,
        capabilities: capabilities.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect(),
        host: host.and_then(|facts| serde_json::from_value(facts).ok()),
        certificate_expires_at: row.instant_or_none("certificate_expires_at")?,
    })
}

fn identity(row: &Row) -> Result<Identity, RowError> {
    Ok(Identity {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        state: row.known("state")?,
        serial: row.bytes("serial")?,
        spki_sha256: row.digest("spki_sha256")?,
        not_after: row.instant("not_after")?,
    })
}

fn changed_identity(row: &Row) -> Result<ChangedIdentity, RowError> {
    let has_certificate = row.bytes_or_none("serial")?.is_some();
    Ok(ChangedIdentity {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        identity: has_certificate.then(|| identity(row)).transpose()?,
    })
}

const COUNT: &str = "SELECT COUNT(*) AS agents FROM agent WHERE tenant = $1 AND state <> 'revoked'";
/// The columns of an agent, as every reading statement lists them.
macro_rules! select_agent {
    ($($rest:expr),+) => {
        concat!(
            "SELECT a.id, a.tenant, a.sharing, a.name, a.labels, a.state, a.state_changed_at, a.created_at, a.enrolled_at, a.duty, a.region, a.zone, a.network, ",
            "a.revision, a.last_seen_at, a.version, a.capabilities, a.host, (SELECT MAX(c.not_after) FROM certificate c ",
            "WHERE c.agent = a.id AND c.burnt_at IS NULL) AS certificate_expires_at FROM agent a WHERE ",
            $($rest),+
        )
    };
}

const FIND: &str = select_agent!("a.id = $1 AND a.tenant = $2");
const FIND_SERVING: &str = select_agent!("a.id = $1 AND (a.tenant = $2 OR a.sharing = 'shared')");
const FIND_ANY: &str = select_agent!("a.id = $1");
const FIND_MANY: &str = select_agent!(
    "(a.tenant = $1 OR a.sharing = 'shared') AND a.id IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$2"),
    ") ORDER BY a.id DESC"
);
const ALL: &str = select_agent!("a.id > $1 AND a.state <> 'revoked' ORDER BY a.id LIMIT $2");
const REVOKED: &str = select_agent!("a.tenant = $1 AND a.id < $2 AND a.state = 'revoked' ORDER BY a.id DESC LIMIT $3");
const ALL_IDENTITIES: &str = "SELECT c.agent, a.tenant, a.state, c.serial, c.spki_sha256, c.not_after
FROM certificate c JOIN agent a ON a.id = c.agent WHERE c.burnt_at IS NULL";
const CHANGED_IDENTITIES: &str = "SELECT a.id AS agent, a.tenant, a.state, c.serial, c.spki_sha256, c.not_after
FROM agent a LEFT JOIN certificate c ON c.agent = a.id AND c.burnt_at IS NULL WHERE a.id IN (
    SELECT id FROM agent WHERE state_changed_at >= $1 UNION SELECT agent FROM certificate WHERE issued_at >= $1
    UNION SELECT agent FROM certificate WHERE burnt_at >= $1)";
const SEEN: &str = concat!(
    "UPDATE agent SET last_seen_at = heard.at FROM (SELECT ",
    uuid!("value ->> 'id'"),
    " AS id, CAST(value ->> 'at' AS BIGINT) AS at FROM ",
    rows!("$1"),
    ") AS heard WHERE agent.id = heard.id AND (agent.last_seen_at IS NULL OR agent.last_seen_at < heard.at)"
);

/// Every statement of this folder, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&[&str]] = &[
    change::STATEMENTS,
    &[
        COUNT,
        FIND,
        FIND_SERVING,
        FIND_ANY,
        FIND_MANY,
        ALL,
        REVOKED,
        ALL_IDENTITIES,
        CHANGED_IDENTITIES,
        SEEN,
    ],
];
