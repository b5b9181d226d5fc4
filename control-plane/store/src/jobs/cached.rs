//! Earlier answers to the same question: a tenant that takes a report of a certain age gets it without a run.

use std::collections::HashSet;

use control_core::authorize::TenantScope;
use serde_json::Value;
use shared_protocol::id::{AgentId, JobId};
use shared_protocol::limits::DEADLINE_MAX;
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::enqueue::target;
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

/// For each of some agents, the report that its latest job with this spec for the same tenant got since an instant; late ones do not count.
/// Looked for among the tenant's latest [`LOOKED_AT`] reports about the same target: an older one is done anew.
pub async fn cached(
    on: &mut impl Read,
    scope: TenantScope,
    (spec, spec_sha256): (&Value, [u8; 32]),
    agents: &[AgentId],
    since: UnixMicros,
) -> Result<Vec<CachedReport>, StoreError> {
    // Whatever was reported since then was asked for at most the longest deadline before.
    let earliest = JobId::new(since.minus(DEADLINE_MAX), [0; 10]);
    let statement = Statement::of(scope, CACHED)
        .bind(scope.tenant().uuid())
        .bind(target(spec))
        .bind(earliest.uuid())
        .bind(LOOKED_AT)
        .bind(spec_sha256.to_vec())
        .bind(since.micros())
        .bind(row::json(agents)?);
    let mut latest = tx::all(on, statement, cached_report).await?;
    let mut known = HashSet::with_capacity(agents.len());
    latest.retain(|report| known.insert(report.agent));
    Ok(latest)
}

fn cached_report(row: &Row) -> Result<CachedReport, RowError> {
    Ok(CachedReport {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        job: JobId::from_uuid(row.uuid("job")?),
        retention_class: row.known("retention_class")?,
    })
}

/// Most reports about one target that are looked at: a tenant may have ten thousand agents ask it the same.
const LOOKED_AT: u32 = 20_000;

/// Latest first.
const CACHED: &str = concat!(
    "SELECT j.agent, r.job, r.retention_class FROM (SELECT job, retention_class, late, received_at FROM report
WHERE tenant = $1 AND target = $2 AND job >= $3 ORDER BY job DESC LIMIT $4) AS r JOIN job j ON j.id = r.job JOIN measurement m ON m.id = j.measurement
WHERE r.late = 0 AND r.received_at >= $6 AND j.tenant = $1 AND j.outcome = 'completed' AND m.tenant = $1 AND m.spec_sha256 = $5 AND j.agent IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$7"),
    ") ORDER BY r.job DESC"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[CACHED];
