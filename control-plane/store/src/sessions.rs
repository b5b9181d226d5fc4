//! Sessions: the epoch that fences an agent's older connections, and how far its outbox is on disk here.

use control_core::authorize::SystemScope;
use shared_protocol::id::{AgentId, Epoch, IncarnationId, InstanceId, Sequence};
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// Begins a session of an active agent; from here on no write of an earlier one touches a row. None where the agent may not work.
pub async fn begin(tx: &mut Tx, _: SystemScope, agent: AgentId, instance: InstanceId, at: UnixMicros) -> Result<Option<Epoch>, StoreError> {
    let statement = Statement::own(BEGIN).bind(agent.uuid()).bind(instance.uuid()).bind(at.micros());
    tx::optional(tx, statement, epoch).await
}

/// How far an agent's outbox is on disk here; none before its first report.
pub async fn outbox(on: &mut impl Read, _: SystemScope, agent: AgentId) -> Result<Option<(IncarnationId, Sequence)>, StoreError> {
    tx::optional(on, Statement::own(OUTBOX).bind(agent.uuid()), up_to).await
}

fn epoch(row: &Row) -> Result<Epoch, RowError> {
    Ok(Epoch(row.number("epoch")?))
}

fn up_to(row: &Row) -> Result<(IncarnationId, Sequence), RowError> {
    let up_to = Sequence::new(row.number("up_to")?).map_err(|_| RowError::Unknown("up_to"))?;
    Ok((IncarnationId::from_uuid(row.uuid("incarnation")?), up_to))
}

const BEGIN: &str = "INSERT INTO agent_session (agent, epoch, instance, begun_at)
SELECT a.id, 1, $2, $3 FROM agent a WHERE a.id = $1 AND a.state = 'active'
ON CONFLICT (agent) DO UPDATE SET epoch = agent_session.epoch + 1, instance = excluded.instance, begun_at = excluded.begun_at
RETURNING epoch";
const OUTBOX: &str = "SELECT incarnation, up_to FROM agent_outbox WHERE agent = $1";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[BEGIN, OUTBOX];
