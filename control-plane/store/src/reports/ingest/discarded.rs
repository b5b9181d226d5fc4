//! Reports that are not stored, with the reason, and numbers that never came.

use serde::Serialize;
use shared_protocol::id::{AgentId, IncarnationId, JobId};

use super::{Arrived, DiscardReason, sequence};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row;
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// Numbers of an outbox of which nothing is stored.
#[derive(Debug, Serialize)]
pub(super) struct Discarded {
    agent: AgentId,
    incarnation: IncarnationId,
    seq: i64,
    last_seq: i64,
    job: Option<JobId>,
    why: &'static str,
    at: i64,
}

impl Discarded {
    /// A report that nobody waits for.
    pub(super) fn report(arrived: Arrived<'_>, reason: DiscardReason) -> Self {
        let seq = sequence(arrived.report.seq.value());
        Self {
            agent: arrived.from.agent,
            incarnation: arrived.from.incarnation,
            seq,
            last_seq: seq,
            job: Some(arrived.report.job),
            why: reason.as_str(),
            at: arrived.report.at.micros(),
        }
    }

    /// Reports that the agent gave up leave a gap before this one; that is noted, not an error.
    pub(super) fn gap(arrived: Arrived<'_>, first: u64) -> Self {
        Self {
            seq: sequence(first),
            last_seq: sequence(arrived.report.seq.value() - 1),
            job: None,
            why: GAP,
            ..Self::report(arrived, DiscardReason::UnknownJob)
        }
    }
}

/// Notes them.
pub(super) fn record(tx: &mut Tx, discarded: &[Discarded]) -> Result<(), StoreError> {
    if !discarded.is_empty() {
        tx::later(tx, Statement::own(DISCARD).bind(row::json(discarded)?));
    }
    Ok(())
}

/// Why numbers are missing that were never sent.
const GAP: &str = "gap";

const DISCARD: &str = concat!(
    "INSERT INTO report_discarded (agent, incarnation, seq, last_seq, job, why, at) SELECT ",
    uuid!("value ->> 'agent'"),
    ", ",
    uuid!("value ->> 'incarnation'"),
    ", CAST(value ->> 'seq' AS BIGINT), CAST(value ->> 'last_seq' AS BIGINT), ",
    uuid!("value ->> 'job'"),
    ", value ->> 'why', CAST(value ->> 'at' AS BIGINT) FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (agent, incarnation, seq) DO NOTHING"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[DISCARD];
