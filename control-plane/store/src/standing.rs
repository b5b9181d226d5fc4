//! Standing observations: what a tenant wants observed until it says otherwise, by which agents, and how that fares on each.

use control_core::authorize::{SystemScope, TenantScope};
use serde::Serialize;
use serde_json::Value;
use shared_protocol::id::{AgentId, MeasurementId, StandingId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::idempotency;
use crate::jobs::{Enqueued, NewIdempotency};
use crate::page::{self, Page, TimeOrdered};
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

mod fare;
mod window;

pub use fare::{FareRow, fares, told, unsupported};
pub use window::{WindowFilter, WindowRow, windows};

/// A standing observation to be made.
#[derive(Debug, Clone)]
pub struct NewStanding {
    /// Its id.
    pub id: StandingId,
    /// What people call it.
    pub name: String,
    /// What is done in each window.
    pub spec: Value,
    /// What was asked for.
    pub selection: Value,
    /// The agents that were chosen.
    pub agents: Vec<AgentId>,
    /// Who asks: `key:<id>`.
    pub created_by: String,
    /// Now.
    pub at: UnixMicros,
    /// The key that came with the request.
    pub idempotency: Option<NewIdempotency>,
    /// How much there may be.
    pub caps: StandingCaps,
}

/// How much there may be of standing observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingCaps {
    /// Of the tenant.
    pub of_tenant: u32,
    /// That are wanted of one agent at the same time.
    pub of_agent: u32,
}

/// What came of making one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingMade {
    /// It is new.
    Fresh,
    /// Its idempotency key made this one before.
    Before(StandingId),
    /// Its idempotency key came with another request before.
    Mismatch,
    /// The tenant has as many as it may.
    TooMany,
}

/// A standing observation.
#[derive(Debug, Clone, PartialEq)]
pub struct StandingRow {
    /// Its id.
    pub id: StandingId,
    /// What people call it.
    pub name: String,
    /// Counts its changes, from 1.
    pub revision: u32,
    /// Whether it is wanted to run.
    pub is_running: bool,
    /// What is done in each window.
    pub spec: Value,
    /// What was asked for.
    pub selection: Value,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
    /// How many agents it is wanted of.
    pub agents: u32,
}

/// Changes a standing observation; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct StandingChange {
    /// What people call it.
    pub name: Option<String>,
    /// Whether it is wanted to run.
    pub is_running: Option<bool>,
    /// What is done in each window.
    pub spec: Option<Value>,
    /// What is asked for, and the agents that were chosen for it.
    pub chosen: Option<(Value, Vec<AgentId>)>,
    /// The revision that the change was made for; any without it.
    pub revision: Option<u64>,
    /// How many may be wanted of one agent.
    pub of_agent: u32,
    /// Now.
    pub at: UnixMicros,
}

/// What is wanted of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedRow {
    /// The standing observation.
    pub id: StandingId,
    /// Its revision.
    pub revision: u32,
    /// What is done in each window.
    pub spec: Value,
    /// Its tenant's tier.
    pub tier: Tier,
}

/// Makes a standing observation of the tenant.
///
/// # Errors
/// [`StoreError::Conflict`] `standing_of_agent` where one of the agents has as many as it may.
pub async fn create(tx: &mut Tx, scope: TenantScope, new: &NewStanding) -> Result<StandingMade, StoreError> {
    let tenant = scope.tenant();
    if let Some(key) = &new.idempotency
        && let Some(earlier) = earlier(tx, scope, key, new.at).await?
    {
        return Ok(earlier);
    }
    let statement = Statement::of(scope, COUNT).bind(tenant.uuid());
    let there = tx::optional(tx, statement, |row| row.number::<u32>("there")).await?.unwrap_or(0);
    if there >= new.caps.of_tenant {
        return Ok(StandingMade::TooMany);
    }
    let statement = Statement::of(scope, CREATE)
        .bind(new.id.uuid())
        .bind(tenant.uuid())
        .bind(new.name.clone())
        .bind(row::json(&new.spec)?)
        .bind(row::json(&new.selection)?)
        .bind(new.created_by.clone())
        .bind(new.at.micros());
    tx::execute(tx, statement).await?;
    choose(tx, scope, new.id, &new.agents, new.caps.of_agent).await?;
    if let Some(key) = &new.idempotency {
        idempotency::keep(tx, std::iter::once((tenant, key, MeasurementId::from_uuid(new.id.uuid()))))?;
    }
    Ok(StandingMade::Fresh)
}

/// What an idempotency key made before; its kinds of requests differ in their bodies, so that none is taken for the other's.
pub async fn earlier(on: &mut impl Read, scope: TenantScope, key: &NewIdempotency, at: UnixMicros) -> Result<Option<StandingMade>, StoreError> {
    let kept = idempotency::find(on, std::iter::once((scope.tenant(), key.key.as_str()))).await?;
    Ok(match kept.earlier(scope.tenant(), key, at) {
        Some(Enqueued::Replayed(id)) => Some(StandingMade::Before(StandingId::from_uuid(id.uuid()))),
        Some(Enqueued::Mismatch) => Some(StandingMade::Mismatch),
        Some(Enqueued::Fresh(_) | Enqueued::TooManyOpen | Enqueued::OverQuota(_)) | None => None,
    })
}

/// The tenant's standing observations, newest first.
pub async fn list(on: &mut impl Read, scope: TenantScope, page: &Page<StandingId>) -> Result<Vec<StandingRow>, StoreError> {
    let statement = Statement::of(scope, LIST).bind(scope.tenant().uuid()).bind(page::before(page)).bind(page.limit);
    tx::all(on, statement, standing).await
}

/// A standing observation of the tenant.
pub async fn find(on: &mut impl Read, scope: TenantScope, id: StandingId) -> Result<Option<StandingRow>, StoreError> {
    tx::optional(on, Statement::of(scope, FIND).bind(id.uuid()).bind(scope.tenant().uuid()), standing).await
}

/// Changes a standing observation of the tenant; none where there is no such.
///
/// # Errors
/// [`StoreError::Conflict`] `standing_revision` where it is not any more what the change was made for, `standing_of_agent` where one of its
/// agents has as many as it may.
pub async fn update(tx: &mut Tx, scope: TenantScope, id: StandingId, change: &StandingChange) -> Result<Option<StandingRow>, StoreError> {
    let Some(present) = find(tx, scope, id).await? else {
        return Ok(None);
    };
    if change.revision.is_some_and(|revision| revision != u64::from(present.revision)) {
        return Err(StoreError::Conflict("standing_revision"));
    }
    let is_running = change.is_running.unwrap_or(present.is_running);
    let selection = change.chosen.as_ref().map_or(&present.selection, |(selection, _)| selection);
    let statement = Statement::of(scope, UPDATE)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(change.name.clone().unwrap_or(present.name))
        .bind(if is_running { "running" } else { "stopped" })
        .bind(row::json(change.spec.as_ref().unwrap_or(&present.spec))?)
        .bind(row::json(selection)?)
        .bind(change.at.micros());
    tx::execute(tx, statement).await?;
    match &change.chosen {
        Some((_, agents)) => choose(tx, scope, id, agents, change.of_agent).await?,
        None if is_running => refuse_too_many(tx, id, change.of_agent).await?,
        None => {}
    }
    find(tx, scope, id).await
}

/// Takes a standing observation of the tenant away, with what it saw; says whether there was one. Its windows leave with what is past its time.
pub async fn delete(tx: &mut Tx, scope: TenantScope, id: StandingId, at: UnixMicros) -> Result<bool, StoreError> {
    let statement = Statement::of(scope, DELETE).bind(id.uuid()).bind(scope.tenant().uuid()).bind(at.micros());
    Ok(tx::execute(tx, statement).await? > 0)
}

/// The agents that a standing observation is, or was, wanted of.
pub async fn agents(on: &mut impl Read, _: SystemScope, id: StandingId) -> Result<Vec<AgentId>, StoreError> {
    tx::all(on, Statement::own(AGENTS).bind(id.uuid()), |row| Ok(AgentId::from_uuid(row.uuid("agent")?))).await
}

/// What is wanted of an agent at the moment, by id.
pub async fn wanted(on: &mut impl Read, _: SystemScope, agent: AgentId) -> Result<Vec<WantedRow>, StoreError> {
    tx::all(on, Statement::own(WANTED).bind(agent.uuid()), wanted_row).await
}

/// Whether anything is, or was, wanted of an agent.
pub async fn concerns(on: &mut impl Read, _: SystemScope, agent: AgentId) -> Result<bool, StoreError> {
    let found = tx::optional(on, Statement::own(CONCERNS).bind(agent.uuid()), |row| row.uuid("standing")).await?;
    Ok(found.is_some())
}

/// Makes these the agents of which it is wanted.
async fn choose(tx: &mut Tx, scope: TenantScope, id: StandingId, agents: &[AgentId], of_agent: u32) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Chosen {
        agent: AgentId,
    }
    let batch: Vec<Chosen> = agents.iter().map(|agent| Chosen { agent: *agent }).collect();
    tx::execute(tx, Statement::of(scope, UNCHOOSE).bind(id.uuid())).await?;
    let statement = Statement::of(scope, CHOOSE)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(row::json(&batch)?);
    tx::execute(tx, statement).await?;
    refuse_too_many(tx, id, of_agent).await
}

async fn refuse_too_many(tx: &mut Tx, id: StandingId, of_agent: u32) -> Result<(), StoreError> {
    let full = tx::optional(tx, Statement::own(FULL).bind(id.uuid()).bind(of_agent), |row| row.uuid("agent")).await?;
    if full.is_some() {
        return Err(StoreError::Conflict("standing_of_agent"));
    }
    Ok(())
}

impl TimeOrdered for StandingId {
    fn key(self) -> uuid::Uuid {
        self.uuid()
    }
}

fn standing(row: &Row) -> Result<StandingRow, RowError> {
    Ok(StandingRow {
        id: StandingId::from_uuid(row.uuid("id")?),
        name: row.text("name")?,
        revision: row.number("revision")?,
        is_running: row.text("state")? == "running",
        spec: row.document("spec")?,
        selection: row.document("selection")?,
        created_by: row.text("created_by")?,
        created_at: row.instant("created_at")?,
        updated_at: row.instant("updated_at")?,
        agents: row.number("agents")?,
    })
}

fn wanted_row(row: &Row) -> Result<WantedRow, RowError> {
    Ok(WantedRow {
        id: StandingId::from_uuid(row.uuid("id")?),
        revision: row.number("revision")?,
        spec: row.document("spec")?,
        tier: row.known("tier")?,
    })
}

macro_rules! columns {
    () => {
        "SELECT s.id, s.name, s.revision, s.state, s.spec, s.selection, s.created_by, s.created_at, s.updated_at,
(SELECT COUNT(*) FROM standing_agent a WHERE a.standing = s.id AND a.chosen = 1) AS agents FROM standing s "
    };
}

const COUNT: &str = "SELECT COUNT(*) AS there FROM standing WHERE tenant = $1 AND deleted_at IS NULL";
const CREATE: &str = "INSERT INTO standing (id, tenant, name, revision, state, spec, selection, created_by, created_at, updated_at)
VALUES ($1, $2, $3, 1, 'running', $4, $5, $6, $7, $7)";
const LIST: &str = concat!(
    columns!(),
    "WHERE s.tenant = $1 AND s.deleted_at IS NULL AND s.id < $2 ORDER BY s.id DESC LIMIT $3"
);
const FIND: &str = concat!(columns!(), "WHERE s.id = $1 AND s.tenant = $2 AND s.deleted_at IS NULL");
const UPDATE: &str = "UPDATE standing SET name = $3, state = $4, spec = $5, selection = $6, updated_at = $7, revision = revision + 1
WHERE id = $1 AND tenant = $2 AND deleted_at IS NULL";
const DELETE: &str = "UPDATE standing SET deleted_at = $3, state = 'stopped' WHERE id = $1 AND tenant = $2 AND deleted_at IS NULL";
const UNCHOOSE: &str = "UPDATE standing_agent SET chosen = 0 WHERE standing = $1";
const CHOOSE: &str = concat!(
    "INSERT INTO standing_agent (standing, agent, tenant, chosen, state, lost) SELECT $1, a.id, $2, 1, 'waiting', 0 FROM ",
    rows!("$3"),
    " AS came JOIN agent a ON a.id = ",
    uuid!("came.value ->> 'agent'"),
    " AND a.tenant = $2 AND a.state <> 'revoked' WHERE true ON CONFLICT (standing, agent) DO UPDATE SET chosen = 1"
);
const FULL: &str = "SELECT a.agent FROM standing_agent a JOIN standing s ON s.id = a.standing AND s.state = 'running' AND s.deleted_at IS NULL
WHERE a.chosen = 1 AND a.agent IN (SELECT o.agent FROM standing_agent o WHERE o.standing = $1 AND o.chosen = 1)
GROUP BY a.agent HAVING COUNT(*) > $2 LIMIT 1";
const AGENTS: &str = "SELECT agent FROM standing_agent WHERE standing = $1 ORDER BY agent";
const WANTED: &str = "SELECT s.id, s.revision, s.spec, t.tier FROM standing_agent a
JOIN standing s ON s.id = a.standing AND s.state = 'running' AND s.deleted_at IS NULL JOIN tenant t ON t.id = s.tenant
WHERE a.agent = $1 AND a.chosen = 1 ORDER BY s.id";
const CONCERNS: &str = "SELECT standing FROM standing_agent WHERE agent = $1 LIMIT 1";

/// Every statement below this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&[&str]] = &[
    &[COUNT, CREATE, LIST, FIND, UPDATE, DELETE, UNCHOOSE, CHOOSE, FULL, AGENTS, WANTED, CONCERNS],
    fare::STATEMENTS,
    window::STATEMENTS,
];
