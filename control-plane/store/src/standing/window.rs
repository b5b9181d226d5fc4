//! The windows of standing observations, as they are read and as they leave.

use control_core::authorize::TenantScope;
use control_core::series::first_job_at;
use serde_json::value::RawValue;
use shared_protocol::id::{AgentId, JobId, StandingId};
use shared_protocol::time::UnixMicros;
use uuid::Uuid;

use crate::error::StoreError;
use crate::page::{self, Page};
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read};

/// Which windows are wanted; every condition given must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowFilter {
    /// By this agent.
    pub agent: Option<AgentId>,
    /// That count at or after this.
    pub from: Option<UnixMicros>,
    /// That count before this.
    pub to: Option<UnixMicros>,
}

/// A window with its report.
#[derive(Debug, Clone)]
pub struct WindowRow {
    /// Its id, in the order in which windows count.
    pub id: JobId,
    /// The agent.
    pub agent: AgentId,
    /// What the agent is called.
    pub agent_name: String,
    /// The revision of what was observed.
    pub revision: u32,
    /// When it began, by the agent's clock.
    pub started_at: UnixMicros,
    /// When it counts.
    pub measured_at: UnixMicros,
    /// Whether the agent's clock could not be believed.
    pub skewed: bool,
    /// When its report was stored.
    pub received_at: UnixMicros,
    /// The report's JSON, as it came.
    pub body: Box<RawValue>,
}

/// The windows of a standing observation of the tenant, newest first.
pub async fn windows(on: &mut impl Read, scope: TenantScope, id: StandingId, filter: &WindowFilter, page: &Page<JobId>) -> Result<Vec<WindowRow>, StoreError> {
    let below = filter.to.map_or(Uuid::max(), first_job_at).min(page::before(page));
    let statement = Statement::of(scope, WINDOWS)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(below)
        .bind(filter.from.map_or(Uuid::nil(), first_job_at))
        .bind(page.limit)
        .bind(filter.agent.map(AgentId::uuid));
    tx::all(on, statement, window).await
}

fn window(row: &Row) -> Result<WindowRow, RowError> {
    Ok(WindowRow {
        id: JobId::from_uuid(row.uuid("id")?),
        agent: AgentId::from_uuid(row.uuid("agent")?),
        agent_name: row.text("name")?,
        revision: row.number("revision")?,
        started_at: row.instant("started_at")?,
        measured_at: row.instant("measured_at")?,
        skewed: row.number::<i64>("skewed")? != 0,
        received_at: row.instant("received_at")?,
        body: RawValue::from_string(row.text("body")?).map_err(|_| RowError::Unknown("body"))?,
    })
}

const WINDOWS: &str = "SELECT w.id, w.agent, a.name, w.revision, w.started_at, w.measured_at, w.skewed, w.received_at, w.body
FROM standing_window w JOIN agent a ON a.id = w.agent
WHERE w.standing = $1 AND w.tenant = $2 AND w.id < $3 AND w.id >= $4 AND COALESCE($6, w.agent) = w.agent ORDER BY w.id DESC LIMIT $5";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[WINDOWS];
