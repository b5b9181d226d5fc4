//! What happens to an agent: made ahead of its enrolment, enrolled, changed, put on and off duty, suspended, revoked. Each change makes its
//! revision higher, so that two who saw different states can be told apart.

use std::collections::BTreeMap;

use control_core::authorize::{SystemScope, TenantScope};
use control_core::duty::Duty;
use control_core::sharing::Sharing;
use shared_protocol::host::Place;
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;

use super::{AgentRow, AgentState, HelloFacts, find, find_for_session};
use crate::error::StoreError;
use crate::row;
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// An agent to be made.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Its id.
    pub id: AgentId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it is, in its tenant's words.
    pub place: Place,
    /// When it is made.
    pub created_at: UnixMicros,
    /// When it enrolled; absent for one whose token was not used yet.
    pub enrolled_at: Option<UnixMicros>,
}

/// Changes an agent; what is absent stays. A word for its place may be taken back.
#[derive(Debug, Clone, Default)]
pub struct AgentChange {
    /// Its name.
    pub name: Option<String>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The region it is in.
    pub region: Option<Option<String>>,
    /// The zone it is in.
    pub zone: Option<Option<String>>,
    /// The network it is in.
    pub network: Option<Option<String>>,
    /// The revision that the change was made for; any without it.
    pub revision: Option<u64>,
}

/// Makes an agent.
///
/// # Errors
/// [`StoreError::Conflict`] `agent_name` where another agent of the tenant has the name; the transaction can go on with another one.
pub async fn create(tx: &mut Tx, _: SystemScope, new: &NewAgent) -> Result<(), StoreError> {
    let statement = Statement::own(CREATE)
        .bind(new.id.uuid())
        .bind(new.tenant.uuid())
        .bind(new.name.clone())
        .bind(row::json(&new.labels)?)
        .bind(new.created_at.micros())
        .bind(new.enrolled_at.map(UnixMicros::micros))
        .bind(new.place.region.clone())
        .bind(new.place.zone.clone())
        .bind(new.place.network.clone());
    if tx::execute(tx, statement).await? == 0 {
        return Err(StoreError::Conflict("agent_name"));
    }
    Ok(())
}

/// Enrols an agent that is there already, for the first time or anew: it is active from here on. None where it was revoked.
pub async fn enrol(tx: &mut Tx, system: SystemScope, id: AgentId, at: UnixMicros) -> Result<Option<AgentRow>, StoreError> {
    if tx::execute(tx, Statement::own(ENROL).bind(id.uuid()).bind(at.micros())).await? == 0 {
        return Ok(None);
    }
    find_for_session(tx, system, id).await
}

/// Changes an agent of the tenant; none where there is no such agent.
///
/// # Errors
/// [`StoreError::Conflict`] `agent_name` where another agent of the tenant has the name, `agent_revision` where the agent is not any more
/// what the change was made for.
pub async fn update(tx: &mut Tx, scope: TenantScope, id: AgentId, change: &AgentChange) -> Result<Option<AgentRow>, StoreError> {
    let Some(present) = find(tx, scope, id).await? else {
        return Ok(None);
    };
    if change.revision.is_some_and(|revision| revision != present.revision) {
        return Err(StoreError::Conflict("agent_revision"));
    }
    let word = |change: &Option<Option<String>>, present: Option<String>| change.clone().unwrap_or(present);
    let statement = Statement::of(scope, UPDATE)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(change.name.clone().unwrap_or(present.name))
        .bind(row::json(change.labels.as_ref().unwrap_or(&present.labels))?)
        .bind(word(&change.region, present.place.region))
        .bind(word(&change.zone, present.place.zone))
        .bind(word(&change.network, present.place.network));
    if tx::execute(tx, statement).await? == 0 {
        return Err(StoreError::Conflict("agent_name"));
    }
    find(tx, scope, id).await
}

/// Changes the state of an agent of the tenant and answers with the agent as it is then; `revoked` never changes again.
pub async fn set_state(tx: &mut Tx, scope: TenantScope, id: AgentId, state: AgentState, at: UnixMicros) -> Result<Option<AgentRow>, StoreError> {
    let statement = Statement::of(scope, SET_STATE)
        .bind(id.uuid())
        .bind(scope.tenant().uuid())
        .bind(state.as_str())
        .bind(at.micros());
    tx::execute(tx, statement).await?;
    find(tx, scope, id).await
}

/// Puts an agent of the tenant on or off duty and answers with the agent as it is then; nothing changes for one that is revoked.
pub async fn set_duty(tx: &mut Tx, scope: TenantScope, id: AgentId, duty: Duty) -> Result<Option<AgentRow>, StoreError> {
    let statement = Statement::of(scope, SET_DUTY).bind(id.uuid()).bind(scope.tenant().uuid()).bind(duty.as_str());
    tx::execute(tx, statement).await?;
    find(tx, scope, id).await
}

/// Says whom an agent serves, whosever it is, and answers with the agent as it is then; none where there is none, nothing changes for one that is
/// revoked. For the operator.
pub async fn set_sharing(tx: &mut Tx, system: SystemScope, id: AgentId, sharing: Sharing) -> Result<Option<AgentRow>, StoreError> {
    tx::execute(tx, Statement::own(SET_SHARING).bind(id.uuid()).bind(sharing.as_str())).await?;
    find_for_session(tx, system, id).await
}

/// Suspends an active agent on the control plane's own account; says whether it was active.
pub async fn suspend(tx: &mut Tx, _: SystemScope, id: AgentId, at: UnixMicros) -> Result<bool, StoreError> {
    Ok(tx::execute(tx, Statement::own(SUSPEND).bind(id.uuid()).bind(at.micros())).await? > 0)
}

/// Keeps what an agent says about itself and answers with the agent as it is then.
pub async fn hello(tx: &mut Tx, system: SystemScope, id: AgentId, facts: &HelloFacts) -> Result<Option<AgentRow>, StoreError> {
    let statement = Statement::own(HELLO)
        .bind(id.uuid())
        .bind(facts.version.clone())
        .bind(row::json(&facts.capabilities)?)
        .bind(row::json(&facts.host)?)
        .bind(facts.at.micros());
    tx::execute(tx, statement).await?;
    find_for_session(tx, system, id).await
}

const CREATE: &str = "INSERT INTO agent (id, tenant, name, labels, state, state_changed_at, created_at, enrolled_at, region, zone, network)
VALUES ($1, $2, $3, $4, 'active', $5, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
const ENROL: &str = "UPDATE agent SET state = 'active', state_changed_at = $2, enrolled_at = COALESCE(enrolled_at, $2), revision = revision + 1
WHERE id = $1 AND state <> 'revoked'";
const UPDATE: &str = "UPDATE agent SET name = $3, labels = $4, region = $5, zone = $6, network = $7, revision = revision + 1
WHERE id = $1 AND tenant = $2 AND (state = 'revoked' OR NOT EXISTS (
    SELECT 1 FROM agent o WHERE o.tenant = $2 AND o.name = $3 AND o.id <> $1 AND o.state <> 'revoked'))";
const SET_STATE: &str = "UPDATE agent SET state = $3, state_changed_at = $4, revision = revision + 1
WHERE id = $1 AND tenant = $2 AND state <> 'revoked' AND state <> $3";
const SET_DUTY: &str = "UPDATE agent SET duty = $3, revision = revision + 1 WHERE id = $1 AND tenant = $2 AND state <> 'revoked' AND duty <> $3";
const SET_SHARING: &str = "UPDATE agent SET sharing = $2, revision = revision + 1 WHERE id = $1 AND state <> 'revoked' AND sharing <> $2";
const SUSPEND: &str = "UPDATE agent SET state = 'suspended', state_changed_at = $2, revision = revision + 1 WHERE id = $1 AND state = 'active'";
const HELLO: &str = "UPDATE agent SET version = $2, capabilities = $3, host = $4, last_seen_at = $5, revision = revision + 1 WHERE id = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[CREATE, ENROL, UPDATE, SET_STATE, SET_DUTY, SET_SHARING, SUSPEND, HELLO];
