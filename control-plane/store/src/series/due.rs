//! Reports whose numbers are not in the series yet.

use control_core::authorize::SystemScope;
use control_core::series::{Contribution, Good, Reading};
use shared_protocol::id::{AgentId, JobId, TenantId};
use uuid::Uuid;

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

/// Reports whose numbers are due, in the order of their jobs; a page's last job is where the next one begins.
pub async fn due(on: &mut impl Read, _: SystemScope, after: Option<JobId>, limit: u32) -> Result<Vec<DueRow>, StoreError> {
    let after = after.map_or(Uuid::nil(), JobId::uuid);
    tx::all(on, Statement::own(DUE).bind(after).bind(limit), due_row).await
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

const DUE: &str = "SELECT job, tenant, agent, probe, target, at, good, readings FROM series_due WHERE job > $1 ORDER BY job LIMIT $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[DUE];
