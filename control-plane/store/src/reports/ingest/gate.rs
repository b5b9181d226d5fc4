//! The gate: whoever takes a row out of `job_open` writes the end. The rows of reports that are likely to be news are taken out as the sessions are
//! looked at, in the same trip.

use std::collections::{HashMap, HashSet};

use shared_protocol::id::{AgentId, Epoch, IncarnationId, JobId};

use super::{Arrived, Facts, Ingest, sequence};
use crate::error::StoreError;
use crate::jobs::{self, Claim, OpenJob};
use crate::tx::Tx;

/// What was claimed, and the rows that were taken out for it.
#[derive(Debug)]
pub(super) struct Gate {
    claims: HashSet<Claim>,
    gone: HashMap<JobId, OpenJob>,
}

/// The claims of those reports that are news if their outbox on disk says so, whatever becomes of the reports before them: of several of one job the
/// first, of an agent's as long as they stand in order.
pub(super) fn claims(all: &[Ingest]) -> Vec<Claim> {
    let mut outboxes: HashMap<AgentId, (Epoch, IncarnationId, u64)> = HashMap::new();
    let (mut jobs, mut claims) = (HashSet::new(), Vec::new());
    for from in all {
        for report in &from.reports {
            let seq = report.seq.value();
            let outbox = outboxes.entry(from.agent).or_insert((from.epoch, from.incarnation, 0));
            let in_order = (outbox.0, outbox.1) == (from.epoch, from.incarnation) && seq > outbox.2;
            outbox.2 = outbox.2.max(seq);
            // A job of which one is not in order is nobody's here.
            let is_first = jobs.insert(report.job);
            if in_order && is_first && report.window.is_none() && report.readable.is_ok() {
                claims.push(claim(Arrived { from, report }));
            }
        }
    }
    claims
}

impl Gate {
    pub(super) fn new(claims: Vec<Claim>, gone: Vec<OpenJob>) -> Self {
        Self {
            claims: claims.into_iter().collect(),
            gone: gone.into_iter().map(|job| (job.job, job)).collect(),
        }
    }

    /// The rows of the jobs of these reports, where they were open and handed out like that.
    pub(super) async fn pass(&mut self, tx: &mut Tx, readable: &[(Arrived<'_>, &Facts)]) -> Result<HashMap<JobId, OpenJob>, StoreError> {
        let (claimed, others): (Vec<_>, Vec<_>) = readable
            .iter()
            .map(|(arrived, _)| *arrived)
            .partition(|arrived| self.claims.contains(&claim(*arrived)));
        let mut gone: HashMap<JobId, OpenJob> = claimed.iter().filter_map(|arrived| self.gone.remove_entry(&arrived.report.job)).collect();
        let late = jobs::take_handed_out(tx, others.iter().map(|arrived| (arrived.from.agent, arrived.job()))).await?;
        gone.extend(late.into_iter().map(|job| (job.job, job)));
        Ok(gone)
    }

    /// Every row that was taken out has gone to its report, or nothing of all this may stand.
    pub(super) fn shut(self) -> Result<(), StoreError> {
        if self.gone.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Conflict("a job was taken out of the open ones for a report that is no news"))
        }
    }
}

fn claim(Arrived { from, report }: Arrived<'_>) -> Claim {
    Claim {
        agent: from.agent,
        epoch: from.epoch,
        incarnation: from.incarnation,
        seq: sequence(report.seq.value()),
        job: Arrived { from, report }.job(),
    }
}
