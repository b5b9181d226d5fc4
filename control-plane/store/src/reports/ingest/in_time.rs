//! Reports that somebody waits for: each ends its job.

use std::collections::HashMap;

use shared_protocol::id::JobId;

use super::gate::Gate;
use super::insert::{Stored, Timing, insert_first};
use super::{Arrived, Facts, IngestOutcome};
use crate::error::StoreError;
use crate::jobs::{self, Closing};
use crate::tx::Tx;

/// Stores the reports whose jobs are open; gives the others back.
pub(super) async fn store<'a>(
    tx: &mut Tx,
    gate: &mut Gate,
    readable: Vec<(Arrived<'a>, &'a Facts)>,
    outcomes: &mut HashMap<JobId, IngestOutcome>,
) -> Result<Vec<(Arrived<'a>, &'a Facts)>, StoreError> {
    let mut gone = gate.pass(tx, &readable).await?;
    let (mut closing, mut stored, mut untimely) = (Vec::with_capacity(gone.len()), Vec::with_capacity(gone.len()), Vec::new());
    for (arrived, facts) in readable {
        let report = arrived.report;
        let Some(gone) = gone.remove(&report.job) else {
            untimely.push((arrived, facts));
            continue;
        };
        stored.push(Stored {
            arrived,
            facts,
            retention_class: gone.tier,
            timing: Timing::InTime,
        });
        closing.push(Closing {
            gone,
            end: report.end,
            reason: None,
            at: report.at,
            spent: arrived.spent(),
        });
    }
    let ended = jobs::close_each(tx, closing)?;
    outcomes.extend(ended.into_iter().map(|ended| (ended.job, IngestOutcome::Stored(ended))));
    insert_first(tx, &stored)?;
    Ok(untimely)
}
