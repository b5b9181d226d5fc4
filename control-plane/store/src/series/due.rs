//! Reports whose numbers are not in the series yet.

use control_core::authorize::SystemScope;
use control_core::series::{Contribution, Good, Reading};
use shared_protocol::id::{AgentId, JobId, TenantId};

use crate::error::StoreError;
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read};

/// What a report is to add to the series.
#[derive(Debug, Clone, PartialEq)]
pub struct DueRow {
    /// The report's job.
    pub job: JobId,
    /// What it adds.
    pub contribution: Contribution,
}

/// Reports whose numbers are due, in the order of their jobs.
pub async fn due(on: &mut impl Read, _: SystemScope, limit: u32) -> Result<Vec<DueRow>, StoreError> {
    tx::all(on, Statement::own(DUE).bind(limit), due_row).await
}

fn due_row(row: &Row) -> Result<DueRow, RowError> {
    Ok(DueRow {
        job: JobId::from_uuid(row.uuid("job")?),
        contribution: Contribution {
            tenant: TenantId::from_uuid(row.uuid("tenant")?),
            agent: AgentId::from_uuid(row.uuid("agent")?),
            probe: row.text("probe")?,
            target: row.text("target")?,
            at: row.instant("at")?,
            good: if row.number::<i64>("good")? == 0 { Good::No } else { Good::Yes },
            readings: row.document::<Vec<Reading>>("readings")?,
        },
    })
}

const DUE: &str = "SELECT job, tenant, agent, probe, target, at, good, readings FROM series_due ORDER BY job LIMIT $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[DUE];
