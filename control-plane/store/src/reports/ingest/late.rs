//! Reports of jobs that have their end, or are not the agent's: kept beside the end, or discarded.

use std::collections::HashMap;

use control_core::quota::Spans;
use serde::Serialize;
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, JobId, TenantId};
use shared_protocol::tier::Tier;

use super::discarded::{self, Discarded};
use super::insert::{Stored, Timing, insert};
use super::{Arrived, DiscardReason, Facts, IngestOutcome};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// The end of a job whose report did not pass the gate, where it has one.
struct JobEnd {
    tenant: TenantId,
    outcome: Option<End>,
    reason: Option<String>,
    attempt: Attempt,
    retention_class: Tier,
}

/// Keeps those reports beside their jobs' ends that may be, one a job, and discards the others.
pub(super) async fn judge<'a>(tx: &mut Tx, untimely: Vec<(Arrived<'a>, &'a Facts)>, outcomes: &mut HashMap<JobId, IngestOutcome>) -> Result<(), StoreError> {
    if untimely.is_empty() {
        return Ok(());
    }
    let mut ends = ends(tx, untimely.iter().map(|(arrived, _)| arrived)).await?;
    let (mut late, mut discarded) = (Vec::new(), Vec::new());
    for (arrived, facts) in untimely {
        let end = ends.remove(&arrived.report.job);
        match kept_for(end, arrived.report.attempt) {
            Ok((tenant, retention_class)) => {
                let stored = Stored {
                    arrived,
                    facts,
                    retention_class,
                    timing: Timing::Late,
                };
                late.push((tenant, stored));
            }
            Err(reason) => discarded.push((arrived, reason)),
        }
    }
    let stored: Vec<Stored<'_>> = late.iter().map(|(_, stored)| *stored).collect();
    let fresh = insert(tx, &stored).await?;
    for (tenant, Stored { arrived, .. }) in late {
        if fresh.contains(&arrived.report.job) {
            tx.tally.used(Spans::of(arrived.report.at).day, tenant, arrived.spent());
            outcomes.insert(arrived.report.job, IngestOutcome::Late);
        } else {
            discarded.push((arrived, DiscardReason::AlreadyReported));
        }
    }
    outcomes.extend(
        discarded
            .iter()
            .map(|(arrived, reason)| (arrived.report.job, IngestOutcome::Discarded(*reason))),
    );
    let rows: Vec<Discarded> = discarded.into_iter().map(|(arrived, reason)| Discarded::report(arrived, reason)).collect();
    discarded::record(tx, &rows)
}

/// Whether a report that did not end its job is kept beside the end, for whom, and in which retention class.
fn kept_for(end: Option<JobEnd>, attempt: Attempt) -> Result<(TenantId, Tier), DiscardReason> {
    let end = end.ok_or(DiscardReason::UnknownJob)?;
    let outcome = end.outcome.ok_or(DiscardReason::FencedAttempt)?;
    if end.attempt != attempt {
        return Err(DiscardReason::FencedAttempt);
    }
    match outcome {
        End::Expired => Ok((end.tenant, end.retention_class)),
        End::Failed if end.reason.as_deref() == Some(AGENT_LOST) => Ok((end.tenant, end.retention_class)),
        End::Cancelled => Err(DiscardReason::Cancelled),
        End::Completed | End::Failed | End::Refused => Err(DiscardReason::AlreadyEnded),
    }
}

async fn ends<'a>(tx: &mut Tx, of: impl Iterator<Item = &'a Arrived<'a>>) -> Result<HashMap<JobId, JobEnd>, StoreError> {
    #[derive(Serialize)]
    struct Meant {
        job: JobId,
        agent: AgentId,
    }
    let meant = of.map(|arrived| Meant {
        job: arrived.report.job,
        agent: arrived.from.agent,
    });
    let batch: Vec<Meant> = meant.collect();
    let ends = tx::all(tx, Statement::own(ENDS).bind(row::json(&batch)?), job_end).await?;
    Ok(ends.into_iter().collect())
}

fn job_end(row: &Row) -> Result<(JobId, JobEnd), RowError> {
    let end = JobEnd {
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        outcome: row.known_or_none("outcome")?,
        reason: row.text_or_none("reason")?,
        attempt: Attempt(row.number_or_none("attempt")?.unwrap_or(0)),
        retention_class: row.known("retention_class")?,
    };
    Ok((JobId::from_uuid(row.uuid("id")?), end))
}

/// The reason of a job whose agent lost it.
const AGENT_LOST: &str = "agent_lost";

const ENDS: &str = concat!(
    "SELECT j.id, j.tenant, j.outcome, j.reason, j.attempt, j.retention_class FROM ",
    rows!("$1"),
    " AS meant JOIN job j ON j.id = ",
    uuid!("meant.value ->> 'job'"),
    " AND j.agent = ",
    uuid!("meant.value ->> 'agent'")
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[ENDS];
