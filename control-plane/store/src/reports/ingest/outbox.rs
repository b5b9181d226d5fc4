//! Which reports are new, by the sessions they come over and how far the outboxes are on disk.

use std::collections::HashMap;

use serde::Serialize;
use shared_protocol::id::{AgentId, Epoch, IncarnationId};

use super::discarded::{self, Discarded};
use super::gate::{self, Gate};
use super::{Arrived, Ingest, IngestOutcome, sequence};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::jobs;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// A report, once its session and its number were looked at.
pub(super) enum Taken<'a> {
    /// Nothing more is done about it.
    Known(IngestOutcome),
    /// The next of its outbox.
    Fresh(Arrived<'a>),
}

/// An outbox on disk: its life, and the last number taken in of it. None before its first report.
type Outbox = Option<(IncarnationId, u64)>;

/// Moves the outboxes past these reports; says of each what it is, in their order, and which jobs were taken out of the open ones for them.
pub(super) async fn take<'a>(tx: &mut Tx, all: &'a [Ingest]) -> Result<(Vec<Taken<'a>>, Gate), StoreError> {
    let claims = gate::claims(all);
    let (sessions, gone) = tx::both(tx, (sessions(all)?, session_outbox), jobs::take_claimed(&claims)?).await?;
    let mut sessions: HashMap<(AgentId, Epoch), Outbox> = sessions.into_iter().collect();
    let mut taken = Vec::with_capacity(all.len());
    let (mut gaps, mut moved) = (Vec::new(), HashMap::new());
    for from in all {
        let Some(outbox) = sessions.get_mut(&(from.agent, from.epoch)) else {
            taken.extend(from.reports.iter().map(|_| Taken::Known(IngestOutcome::Fenced)));
            continue;
        };
        for report in &from.reports {
            let up_to = outbox.filter(|(incarnation, _)| *incarnation == from.incarnation).map_or(0, |(_, up_to)| up_to);
            let seq = report.seq.value();
            if seq <= up_to {
                taken.push(Taken::Known(IngestOutcome::Duplicate));
                continue;
            }
            let arrived = Arrived { from, report };
            if seq > up_to + 1 {
                gaps.push(Discarded::gap(arrived, up_to + 1));
            }
            *outbox = Some((from.incarnation, seq));
            moved.insert(from.agent, (from.incarnation, seq));
            taken.push(Taken::Fresh(arrived));
        }
    }
    discarded::record(tx, &gaps)?;
    keep(tx, moved)?;
    Ok((taken, Gate::new(claims, gone)))
}

impl<'a> Taken<'a> {
    pub(super) const fn fresh(&self) -> Option<Arrived<'a>> {
        match self {
            Self::Known(_) => None,
            Self::Fresh(arrived) => Some(*arrived),
        }
    }
}

/// The outboxes of those sessions that are their agents' latest, of agents that may work.
fn sessions(all: &[Ingest]) -> Result<Statement, StoreError> {
    #[derive(Serialize)]
    struct Session {
        agent: AgentId,
        epoch: Epoch,
    }
    let session = |from: &Ingest| Session {
        agent: from.agent,
        epoch: from.epoch,
    };
    let batch: Vec<Session> = all.iter().map(session).collect();
    Ok(Statement::own(SESSIONS).bind(row::json(&batch)?))
}

fn keep(tx: &mut Tx, moved: HashMap<AgentId, (IncarnationId, u64)>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Moved {
        agent: AgentId,
        incarnation: IncarnationId,
        up_to: i64,
    }
    let row_of = |(agent, (incarnation, seq))| Moved {
        agent,
        incarnation,
        up_to: sequence(seq),
    };
    let batch: Vec<Moved> = moved.into_iter().map(row_of).collect();
    if !batch.is_empty() {
        tx::later(tx, Statement::own(MOVE).bind(row::json(&batch)?));
    }
    Ok(())
}

fn session_outbox(row: &Row) -> Result<((AgentId, Epoch), Outbox), RowError> {
    let session = (AgentId::from_uuid(row.uuid("agent")?), Epoch(row.number("epoch")?));
    let incarnation = row.uuid_or_none("incarnation")?.map(IncarnationId::from_uuid);
    Ok((session, incarnation.zip(row.number_or_none("up_to")?)))
}

const SESSIONS: &str = concat!(
    "SELECT s.agent, s.epoch, o.incarnation, o.up_to FROM (SELECT ",
    uuid!("value ->> 'agent'"),
    " AS agent, CAST(value ->> 'epoch' AS BIGINT) AS epoch FROM ",
    rows!("$1"),
    ") AS asked JOIN agent_session s ON s.agent = asked.agent AND s.epoch = asked.epoch JOIN agent a ON a.id = s.agent AND a.state = 'active'
LEFT JOIN agent_outbox o ON o.agent = s.agent"
);
const MOVE: &str = concat!(
    "INSERT INTO agent_outbox (agent, incarnation, up_to) SELECT ",
    uuid!("value ->> 'agent'"),
    ", ",
    uuid!("value ->> 'incarnation'"),
    ", CAST(value ->> 'up_to' AS BIGINT) FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (agent) DO UPDATE SET incarnation = excluded.incarnation, up_to = excluded.up_to"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[SESSIONS, MOVE];
