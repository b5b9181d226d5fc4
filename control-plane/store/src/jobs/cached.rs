//! Earlier answers to the same question: a tenant that takes a report of a certain age gets it without a run.

use control_core::authorize::TenantScope;
use shared_protocol::id::{AgentId, JobId, MeasurementId};
use shared_protocol::limits::DEADLINE_MAX;
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read};

/// A report that answers a job of a later measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedReport {
    /// The agent that made it.
    pub agent: AgentId,
    /// The job that it was made for.
    pub job: JobId,
    /// Where that job's report is kept.
    pub retention_class: Tier,
}

/// For each of some agents, the report that its latest job with an equal spec for the same tenant got since an instant; late ones do not count.
pub async fn cached(
    on: &mut impl Read,
    scope: TenantScope,
    spec_sha256: [u8; 32],
    agents: &[AgentId],
    since: UnixMicros,
) -> Result<Vec<CachedReport>, StoreError> {
    // Whatever was reported since then was asked for at most the longest deadline before.
    let earliest = MeasurementId::new(since.minus(DEADLINE_MAX), [0; 10]);
    let statement = Statement::of(scope, CACHED)
        .bind(scope.tenant().uuid())
        .bind(spec_sha256.to_vec())
        .bind(row::json(agents)?)
        .bind(earliest.uuid())
        .bind(since.micros());
    tx::all(on, statement, cached_report).await
}

fn cached_report(row: &Row) -> Result<CachedReport, RowError> {
    Ok(CachedReport {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        job: JobId::from_uuid(row.uuid("job")?),
        retention_class: row.known("retention_class")?,
    })
}

const CACHED: &str = concat!(
    "SELECT j.agent, j.id AS job, j.retention_class FROM (SELECT (SELECT i.id FROM measurement m JOIN job i ON i.measurement = m.id
WHERE m.tenant = $1 AND m.spec_sha256 = $2 AND m.id >= $4 AND i.tenant = $1 AND i.agent = ",
    uuid!("value"),
    " AND i.outcome = 'completed' AND i.cached_from IS NULL AND i.ended_at >= $5 ORDER BY m.id DESC LIMIT 1) AS job FROM ",
    rows!("$3"),
    ") AS latest JOIN job j ON j.id = latest.job JOIN report r ON r.retention_class = j.retention_class AND r.job = j.id
WHERE j.tenant = $1 AND r.late = 0 AND r.received_at >= $5"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[CACHED];
