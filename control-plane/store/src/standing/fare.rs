//! How a standing observation fares on each of its agents, as they tell it.

use std::str::FromStr;

use control_core::authorize::{SystemScope, TenantScope};
use shared_protocol::id::{AgentId, StandingId};
use shared_protocol::standing::{StandingHeld, StandingState};
use shared_protocol::time::UnixMicros;

use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::page::{self, Page};
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// How it fares on one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FareRow {
    /// The agent.
    pub agent: AgentId,
    /// What it is called.
    pub agent_name: String,
    /// Whether it is wanted of the agent; one of which it was wanted once may still have windows to tell.
    pub is_chosen: bool,
    /// The revision that the agent says it has.
    pub applied: Option<u32>,
    /// How it fares.
    pub state: StandingState,
    /// Why it is not done, where it is not.
    pub reason: Option<String>,
    /// One sentence for people.
    pub message: Option<String>,
    /// Windows whose reports the agent could not keep.
    pub lost: u64,
    /// When the agent last said so.
    pub told_at: Option<UnixMicros>,
    /// When the last window began that is stored, by when it counts.
    pub last_window_at: Option<UnixMicros>,
}

/// How a standing observation of the tenant fares, newest agent first.
pub async fn fares(on: &mut impl Read, scope: TenantScope, id: StandingId, page: &Page<AgentId>) -> Result<Vec<FareRow>, StoreError> {
    let statement = Statement::of(scope, FARES)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(page::before(page))
        .bind(page.limit);
    tx::all(on, statement, fare).await
}

/// Keeps all that an agent says of its standing work; what it does not name it does not have.
pub async fn told(tx: &mut Tx, _: SystemScope, agent: AgentId, held: &[StandingHeld], at: UnixMicros) -> Result<(), StoreError> {
    // An agent may say anything.
    let clean = |held: &StandingHeld| StandingHeld {
        message: held.message.as_deref().map(row::without_nul),
        ..held.clone()
    };
    let all = row::json(&held.iter().map(clean).collect::<Vec<_>>())?;
    tx::later(tx, Statement::own(TOLD).bind(agent.uuid()).bind(all.clone()).bind(at.micros()));
    tx::later(tx, Statement::own(NOT_HELD).bind(agent.uuid()).bind(all).bind(at.micros()));
    Ok(())
}

/// Keeps that an agent does not know what standing work is.
pub async fn unsupported(tx: &mut Tx, _: SystemScope, agent: AgentId, message: &'static str, at: UnixMicros) -> Result<(), StoreError> {
    tx::later(tx, Statement::own(UNSUPPORTED).bind(agent.uuid()).bind(message).bind(at.micros()));
    Ok(())
}

struct Known(StandingState);

impl FromStr for Known {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        StandingState::ALL.into_iter().find(|state| state.as_str() == text).map(Self).ok_or(())
    }
}

fn fare(row: &Row) -> Result<FareRow, RowError> {
    Ok(FareRow {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        agent_name: row.text("name")?,
        is_chosen: row.number::<i64>("chosen")? != 0,
        applied: row.number_or_none("applied")?,
        state: row.known::<Known>("state")?.0,
        reason: row.text_or_none("reason")?,
        message: row.text_or_none("message")?,
        lost: row.number("lost")?,
        told_at: row.instant_or_none("told_at")?,
        last_window_at: row.instant_or_none("last_window_at")?,
    })
}

const FARES: &str = "SELECT f.agent, a.name, f.chosen, f.applied, f.state, f.reason, f.message, f.lost, f.told_at, f.last_window_at
FROM standing_agent f JOIN agent a ON a.id = f.agent WHERE f.standing = $1 AND f.tenant = $2 AND f.agent < $3 ORDER BY f.agent DESC LIMIT $4";
const TOLD: &str = concat!(
    "UPDATE standing_agent SET applied = came.revision, state = came.state, reason = came.reason, message = came.message,
lost = CASE WHEN came.lost > standing_agent.lost THEN came.lost ELSE standing_agent.lost END, told_at = $3 FROM (SELECT ",
    uuid!("value ->> 'id'"),
    " AS id, CAST(value ->> 'revision' AS BIGINT) AS revision, value ->> 'state' AS state, value ->> 'reason' AS reason,
value ->> 'message' AS message, CAST(value ->> 'lost' AS BIGINT) AS lost FROM ",
    rows!("$2"),
    ") AS came WHERE standing_agent.agent = $1 AND standing_agent.standing = came.id"
);
const NOT_HELD: &str = concat!(
    "UPDATE standing_agent SET applied = NULL, state = 'waiting', reason = NULL, message = NULL, told_at = $3 WHERE agent = $1 AND standing NOT IN (SELECT ",
    uuid!("value ->> 'id'"),
    " FROM ",
    rows!("$2"),
    ")"
);
const UNSUPPORTED: &str =
    "UPDATE standing_agent SET applied = NULL, state = 'unsupported', reason = 'unsupported', message = $2, told_at = $3 WHERE agent = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FARES, TOLD, NOT_HELD, UNSUPPORTED];
