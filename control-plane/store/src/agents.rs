//! Agents: their durable identity, name, labels, state, and what they said about themselves.

use std::collections::BTreeMap;
use std::str::FromStr;

use control_core::authorize::{SystemScope, TenantScope};
use serde::Serialize;
use serde_json::Value;
use shared_protocol::frame::{Capability, HostFacts};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;
use sqlx::sqlite::SqliteRow;

use crate::dialect::{element, rows, uuid};
use crate::error::StoreError;
use crate::page::{self, Page};
use crate::row::{self, Columns as _, RowError};
use crate::tx::{self, Read, Tx};

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

/// An agent to be made.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Its id.
    pub id: AgentId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it enrolled.
    pub created_at: UnixMicros,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name, unique among the tenant's agents that are not revoked.
    pub name: String,
    /// Labels by which it is selected.
    pub labels: BTreeMap<String, String>,
    /// Whether it may work.
    pub state: AgentState,
    /// Since when.
    pub state_changed_at: UnixMicros,
    /// When it enrolled.
    pub created_at: UnixMicros,
    /// When anything was last heard from it.
    pub last_seen_at: Option<UnixMicros>,
    /// Version of its program, as it said in its last session.
    pub version: Option<String>,
    /// What it can do, as it said in its last session; probes that this version does not know are left out.
    pub capabilities: Vec<Capability>,
    /// What it runs on, as it said in its last session.
    pub host: Option<HostFacts>,
    /// When the last of its certificates stops working.
    pub certificate_expires_at: Option<UnixMicros>,
}

/// Changes an agent; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct AgentChange {
    /// Its name.
    pub name: Option<String>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
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

/// Makes an agent.
///
/// # Errors
/// [`StoreError::Conflict`] `agent_name` where another agent of the tenant has the name; the transaction can go on with another one.
pub async fn create(tx: &mut Tx, _: SystemScope, new: &NewAgent) -> Result<(), StoreError> {
    let statement = sqlx::query(CREATE)
        .bind(new.id.uuid())
        .bind(new.tenant.uuid())
        .bind(new.name.clone())
        .bind(row::json(&new.labels)?)
        .bind(new.created_at.micros());
    if tx::execute(tx, statement).await? == 0 {
        return Err(StoreError::Conflict("agent_name"));
    }
    Ok(())
}

/// Finds an agent of the tenant.
pub async fn find(on: &mut impl Read, scope: TenantScope, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
    tx::optional(on, sqlx::query(FIND).bind(id.uuid()).bind(scope.tenant().uuid()), agent).await
}

/// Finds agents of the tenant by name or by id; those that are revoked only by id.
pub async fn find_named(on: &mut impl Read, scope: TenantScope, names_or_ids: &[String]) -> Result<Vec<AgentRow>, StoreError> {
    let ids: Vec<AgentId> = names_or_ids.iter().filter_map(|text| text.parse().ok()).collect();
    let statement = sqlx::query(FIND_NAMED)
        .bind(scope.tenant().uuid())
        .bind(row::json(names_or_ids)?)
        .bind(row::json(&ids)?);
    tx::all(on, statement, agent).await
}

/// Lists the tenant's agents, newest first.
pub async fn list(on: &mut impl Read, scope: TenantScope, page: &Page<AgentId>) -> Result<Vec<AgentRow>, StoreError> {
    let statement = sqlx::query(LIST).bind(scope.tenant().uuid()).bind(page::before(page)).bind(page.limit);
    tx::all(on, statement, agent).await
}

/// Finds an agent whosever it is: for the session that its certificate opened.
pub async fn find_for_session(on: &mut impl Read, _: SystemScope, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
    tx::optional(on, sqlx::query(FIND_ANY).bind(id.uuid()), agent).await
}

/// Changes an agent of the tenant; none where there is no such agent.
///
/// # Errors
/// [`StoreError::Conflict`] `agent_name` where another agent of the tenant has the name.
pub async fn update(tx: &mut Tx, scope: TenantScope, id: AgentId, change: &AgentChange) -> Result<Option<AgentRow>, StoreError> {
    let labels = change.labels.as_ref().map(row::json).transpose()?;
    let statement = sqlx::query(UPDATE)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(change.name.clone())
        .bind(labels);
    let changed = tx::execute(tx, statement).await? > 0;
    let found = find(tx, scope, id).await?;
    match found {
        Some(_) if !changed => Err(StoreError::Conflict("agent_name")),
        found => Ok(found),
    }
}

/// Changes the state of an agent of the tenant and answers with the agent as it is then; `revoked` never changes again.
///
/// # Errors
/// [`StoreError::Conflict`] never: a suspended agent keeps its name.
pub async fn set_state(tx: &mut Tx, scope: TenantScope, id: AgentId, state: AgentState, at: UnixMicros) -> Result<Option<AgentRow>, StoreError> {
    let statement = sqlx::query(SET_STATE)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(state.as_str())
        .bind(at.micros());
    tx::execute(tx, statement).await?;
    find(tx, scope, id).await
}

/// Suspends an active agent on the control plane's own account; says whether it was active.
pub async fn suspend(tx: &mut Tx, _: SystemScope, id: AgentId, at: UnixMicros) -> Result<bool, StoreError> {
    Ok(tx::execute(tx, sqlx::query(SUSPEND).bind(id.uuid()).bind(at.micros())).await? > 0)
}

/// Every certificate on record with its agent's state: what the identity map in memory is made of.
pub async fn all_identities(on: &mut impl Read, _: SystemScope) -> Result<Vec<Identity>, StoreError> {
    tx::all(on, sqlx::query(ALL_IDENTITIES), identity).await
}

/// Keeps what an agent says about itself.
pub async fn hello(tx: &mut Tx, _: SystemScope, id: AgentId, facts: &HelloFacts) -> Result<(), StoreError> {
    let statement = sqlx::query(HELLO)
        .bind(id.uuid())
        .bind(facts.version.clone())
        .bind(row::json(&facts.capabilities)?)
        .bind(row::json(&facts.host)?)
        .bind(facts.at.micros());
    tx::execute(tx, statement).await?;
    Ok(())
}

/// Notes when agents were last heard of.
pub async fn seen(tx: &mut Tx, _: SystemScope, heard: &[(AgentId, UnixMicros)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Heard {
        id: AgentId,
        at: i64,
    }
    let batch: Vec<_> = heard.iter().map(|(id, at)| Heard { id: *id, at: at.micros() }).collect();
    tx::execute(tx, sqlx::query(SEEN).bind(row::json(&batch)?)).await?;
    Ok(())
}

fn agent(row: &SqliteRow) -> Result<AgentRow, RowError> {
    let capabilities = row.document_or_none::<Vec<Value>>("capabilities")?.unwrap_or_default();
    let host = row.document_or_none::<Value>("host")?;
    Ok(AgentRow {
        id: AgentId::from_uuid(row.uuid("id")?),
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        name: row.text("name")?,
        labels: row.document("labels")?,
        state: row.known("state")?,
        state_changed_at: row.instant("state_changed_at")?,
        created_at: row.instant("created_at")?,
        last_seen_at: row.instant_or_none("last_seen_at")?,
        version: row.text_or_none("version")?,
        capabilities: capabilities.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect(),
        host: host.and_then(|facts| serde_json::from_value(facts).ok()),
        certificate_expires_at: row.instant_or_none("certificate_expires_at")?,
    })
}

fn identity(row: &SqliteRow) -> Result<Identity, RowError> {
    Ok(Identity {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        state: row.known("state")?,
        serial: row.bytes("serial")?,
        spki_sha256: row.digest("spki_sha256")?,
        not_after: row.instant("not_after")?,
    })
}

const CREATE: &str = "INSERT INTO agent (id, tenant, name, labels, state, state_changed_at, created_at)
VALUES ($1, $2, $3, $4, 'active', $5, $5) ON CONFLICT DO NOTHING";

/// The columns of an agent, as every reading statement lists them.
macro_rules! select_agent {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.tenant, a.name, a.labels, a.state, a.state_changed_at, a.created_at, a.last_seen_at, a.version, a.capabilities, a.host, ",
            "(SELECT MAX(c.not_after) FROM certificate c WHERE c.agent = a.id) AS certificate_expires_at FROM agent a WHERE ",
            $rest
        )
    };
}

const FIND: &str = select_agent!("a.id = $1 AND a.tenant = $2");
const FIND_ANY: &str = select_agent!("a.id = $1");
const LIST: &str = select_agent!("a.tenant = $1 AND a.id < $2 ORDER BY a.id DESC LIMIT $3");
const FIND_NAMED: &str = concat!(
    "SELECT a.id, a.tenant, a.name, a.labels, a.state, a.state_changed_at, a.created_at, a.last_seen_at, a.version, a.capabilities, a.host, ",
    "(SELECT MAX(c.not_after) FROM certificate c WHERE c.agent = a.id) AS certificate_expires_at FROM agent a WHERE a.tenant = $1 AND (",
    "(a.state <> 'revoked' AND a.name IN (SELECT ",
    element!(),
    " FROM ",
    rows!("$2"),
    ")) OR a.id IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$3"),
    ")) ORDER BY a.id DESC"
);
const UPDATE: &str = "UPDATE agent SET name = COALESCE($3, name), labels = COALESCE($4, labels) WHERE id = $1 AND tenant = $2
AND (state = 'revoked' OR NOT EXISTS (
    SELECT 1 FROM agent o WHERE o.tenant = $2 AND o.name = $3 AND o.id <> $1 AND o.state <> 'revoked'))";
const SET_STATE: &str = "UPDATE agent SET state = $3, state_changed_at = $4 WHERE id = $1 AND tenant = $2 AND state <> 'revoked' AND state <> $3";
const SUSPEND: &str = "UPDATE agent SET state = 'suspended', state_changed_at = $2 WHERE id = $1 AND state = 'active'";
const ALL_IDENTITIES: &str = "SELECT c.agent, a.tenant, a.state, c.serial, c.spki_sha256, c.not_after
FROM certificate c JOIN agent a ON a.id = c.agent";
const HELLO: &str = "UPDATE agent SET version = $2, capabilities = $3, host = $4, last_seen_at = $5 WHERE id = $1";
const SEEN: &str = concat!(
    "UPDATE agent SET last_seen_at = heard.at FROM (SELECT ",
    uuid!("value ->> 'id'"),
    " AS id, CAST(value ->> 'at' AS BIGINT) AS at FROM ",
    rows!("$1"),
    ") AS heard WHERE agent.id = heard.id AND (agent.last_seen_at IS NULL OR agent.last_seen_at < heard.at)"
);

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    CREATE,
    FIND,
    FIND_ANY,
    LIST,
    FIND_NAMED,
    UPDATE,
    SET_STATE,
    SUSPEND,
    ALL_IDENTITIES,
    HELLO,
    SEEN,
];
