//! Reports that could not be understood: set aside, and their jobs queued again or failed.

use std::collections::{HashMap, HashSet};

use control_core::retry::{Loss, Return, returned};
use serde::Serialize;
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, IncarnationId, JobId};

use super::{Arrived, IngestOutcome, sequence};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::jobs::{self, Closing, OpenJob, Requeue};
use crate::row;
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// Sets reports aside.
pub(super) async fn set(tx: &mut Tx, unreadable: Vec<(Arrived<'_>, &str)>, outcomes: &mut HashMap<JobId, IngestOutcome>) -> Result<(), StoreError> {
    if unreadable.is_empty() {
        return Ok(());
    }
    keep(tx, &unreadable)?;
    let again = retry(tx, &unreadable).await?;
    let queued: HashSet<JobId> = again.iter().map(|job| job.job).collect();
    outcomes.extend(again.into_iter().map(|job| (job.job, IngestOutcome::Retried(Box::new(job)))));
    let failed: HashMap<JobId, Arrived<'_>> = unreadable
        .iter()
        .map(|(arrived, _)| (arrived.report.job, *arrived))
        .filter(|(job, _)| !queued.contains(job))
        .collect();
    outcomes.extend(failed.keys().map(|job| (*job, IngestOutcome::Quarantined(None))));
    let gone = jobs::take_handed_out(tx, failed.values().map(|arrived| (arrived.from.agent, arrived.job()))).await?;
    let closing = gone.into_iter().filter_map(|gone| {
        let arrived = failed.get(&gone.job)?;
        Some(Closing {
            gone,
            end: End::Failed,
            reason: Some(BAD_REPORT),
            at: arrived.report.at,
            spent: arrived.spent(),
        })
    });
    let ended = jobs::close_each(tx, closing.collect())?;
    outcomes.extend(ended.into_iter().map(|ended| (ended.job, IngestOutcome::Quarantined(Some(ended)))));
    Ok(())
}

/// Queues those of the jobs again whose policy says so.
async fn retry(tx: &mut Tx, unreadable: &[(Arrived<'_>, &str)]) -> Result<Vec<OpenJob>, StoreError> {
    let open = jobs::standing_with(tx, unreadable.iter().map(|(arrived, _)| (arrived.from.agent, arrived.job()))).await?;
    let open: HashMap<JobId, OpenJob> = open.into_iter().map(|job| (job.job, job)).collect();
    let again = unreadable.iter().filter_map(|(arrived, _)| {
        let report = arrived.report;
        let open = open.get(&report.job)?;
        let left = open.deadline_at.since(report.at);
        match returned(open.retry, report.attempt, Loss::BadReport, left, report.jitter) {
            Return::Queue { after } => Some(Requeue {
                agent: arrived.from.agent,
                job: arrived.job(),
                not_before: Some(report.at.plus(after)),
            }),
            Return::End => None,
        }
    });
    let again: Vec<Requeue> = again.collect();
    jobs::queue_again(tx, &again).await
}

fn keep(tx: &mut Tx, unreadable: &[(Arrived<'_>, &str)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Aside {
        agent: AgentId,
        incarnation: IncarnationId,
        seq: i64,
        job: JobId,
        attempt: u32,
        why: String,
        body: String,
        at: i64,
    }
    let aside = |(arrived, why): &(Arrived<'_>, &str)| Aside {
        agent: arrived.from.agent,
        incarnation: arrived.from.incarnation,
        seq: sequence(arrived.report.seq.value()),
        job: arrived.report.job,
        attempt: arrived.report.attempt.0,
        why: row::without_nul(why),
        body: row::without_nul(&arrived.report.body),
        at: arrived.report.at.micros(),
    };
    let batch: Vec<Aside> = unreadable.iter().map(aside).collect();
    tx::later(tx, Statement::own(QUARANTINE).bind(row::json(&batch)?));
    Ok(())
}

/// The reason of a job whose report could not be understood.
const BAD_REPORT: &str = "bad_report";

const QUARANTINE: &str = concat!(
    "INSERT INTO report_quarantine (agent, incarnation, seq, job, attempt, why, body, at) SELECT ",
    uuid!("value ->> 'agent'"),
    ", ",
    uuid!("value ->> 'incarnation'"),
    ", CAST(value ->> 'seq' AS BIGINT), ",
    uuid!("value ->> 'job'"),
    ", CAST(value ->> 'attempt' AS BIGINT), value ->> 'why', value ->> 'body', CAST(value ->> 'at' AS BIGINT) FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (agent, incarnation, seq) DO NOTHING"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[QUARANTINE];
