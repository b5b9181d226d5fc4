//! What a tenant does with its agents: makes them ahead of their enrolment, changes them, takes them off duty and back, revokes them.

use control_api::agent::{Agent, AgentAction, AgentActionKind, AgentAfterAction, CreateAgent, CreatedAgent, SetAgentSharing, UpdateAgent};
use control_api::join_token::CreatedJoinToken;
use control_core::authorize::{Action, Denied, Grant, SystemScope, TenantScope};
use control_core::duty::DutyAction;
use control_core::sharing::{Sharing, UnknownSharing};
use control_store::agents::{AgentChange, AgentRow, AgentState, NewAgent};
use control_store::jobs::EndedJob;
use control_store::tenants::TenantRow;
use control_store::{StoreError, agents, audit, join_tokens};
use serde_json::Value;
use shared_protocol::close::CloseReason;
use shared_protocol::end::End;
use shared_protocol::host::Place;
use shared_protocol::id::AgentId;
use shared_protocol::time::UnixMicros;

use super::Fleet;
use crate::clock;
use crate::error::ServiceError;
use crate::identity::{TokenFor, agents_above_tier, checked_labels, checked_name, checked_word, draw_token};
use crate::jobs::read::parse_id;

impl Fleet {
    /// Makes an agent that is there before it enrols, and the one token that enrols it; the token is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] names the field that is not acceptable, [`ServiceError::Conflict`] where the name is taken.
    pub async fn create_agent(&self, grant: &Grant, request: CreateAgent) -> Result<CreatedAgent, ServiceError> {
        let scope = grant.scope()?;
        let at = clock::now();
        let agent = AgentId::new(at, clock::random_id_bytes());
        let new = NewAgent {
            id: agent,
            tenant: scope.tenant(),
            name: checked_name("name", &request.name)?,
            labels: checked_labels(&request.labels)?,
            place: Place {
                region: checked_word("region", request.region.as_deref())?,
                zone: checked_word("zone", request.zone.as_deref())?,
                network: checked_word("network", request.network.as_deref())?,
            },
            created_at: at,
            enrolled_at: None,
        };
        let limit = self.lifecycle().tiers.table().of(self.existing(scope).await?.tier).agents;
        let purpose = TokenFor::Agent { agent, name: new.name.clone() };
        let drawn = draw_token(grant, self.bundles(), purpose, request.ttl_s, at)?;
        let record = audited(grant, scope, agent, "agent.created", serde_json::json!({ "name": new.name }), at);
        let token = drawn.new;
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    if agents::count(tx, scope).await? >= u64::from(limit) {
                        return Err(StoreError::Conflict(ABOVE_TIER));
                    }
                    agents::create(tx, system, &new).await?;
                    join_tokens::create(tx, scope, &token).await?;
                    audit::append(tx, system, &record).await?;
                    agents::find(tx, scope, agent).await
                })
            })
            .await;
        if matches!(written, Err(StoreError::Conflict(ABOVE_TIER))) {
            return Err(agents_above_tier(limit));
        }
        let row = written.map_err(refused)?.ok_or(ServiceError::Internal)?;
        self.directory().put(&row);
        Ok(CreatedAgent {
            agent: self.to_agent(row),
            join_token: drawn.shown,
        })
    }

    /// Changes an agent's name, labels or place. `revision` is the one it was read with, where a change made meanwhile must not be lost.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] where another agent of the tenant has the name, [`ServiceError::PreconditionFailed`] where the agent changed meanwhile.
    pub async fn update_agent(&self, grant: &Grant, id: &str, request: UpdateAgent, revision: Option<u64>) -> Result<Agent, ServiceError> {
        let scope = grant.scope()?;
        let agent: AgentId = parse_id(id)?;
        let change = AgentChange {
            name: request.name.as_deref().map(|name| checked_name("name", name)).transpose()?,
            labels: request.labels.as_ref().map(checked_labels).transpose()?,
            region: replaced("region", request.region.as_deref())?,
            zone: replaced("zone", request.zone.as_deref())?,
            network: replaced("network", request.network.as_deref())?,
            revision,
        };
        let detail = serde_json::json!({
            "name": change.name, "labels": change.labels, "region": change.region, "zone": change.zone, "network": change.network,
        });
        let record = audited(grant, scope, agent, "agent.updated", detail, clock::now());
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let updated = agents::update(tx, scope, agent, &change).await?;
                    if updated.is_some() {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(updated)
                })
            })
            .await;
        self.changed(written.map_err(refused)?)
    }

    /// Takes an agent off duty or back, or makes a token with which it is enrolled anew. Asking twice is the same as once; enrolling anew
    /// makes a new token each time, and the one before is dead.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such agent, [`ServiceError::Conflict`] where it is revoked, or is suspended and
    /// only a new enrolment brings it back.
    pub async fn act_on_agent(&self, grant: &Grant, id: &str, action: &AgentAction) -> Result<AgentAfterAction, ServiceError> {
        let agent: AgentId = parse_id(id)?;
        let duty = match action.action {
            AgentActionKind::Start => DutyAction::Start,
            AgentActionKind::Stop => DutyAction::Stop,
            AgentActionKind::Drain => DutyAction::Drain,
            AgentActionKind::Reenrol => return self.reenrol(grant, agent).await,
        };
        let scope = grant.scope()?;
        let record = audited(grant, scope, agent, duty.audited(), Value::Null, clock::now());
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(before) = agents::find(tx, scope, agent).await? else {
                        return Ok(None);
                    };
                    if before.state != AgentState::Active {
                        return Ok(Some(before));
                    }
                    if before.duty != duty.duty() {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    agents::set_duty(tx, scope, agent, duty.duty()).await
                })
            })
            .await?;
        let row = able(written.ok_or(ServiceError::NotFound)?)?;
        self.lifecycle().dispatch.duty(agent, row.duty).await;
        Ok(AgentAfterAction {
            agent: self.changed(Some(row))?,
            join_token: None,
        })
    }

    /// Says whom an agent serves: its own tenant, or every one. What others asked of it before it was taken back is still done. For the operator.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where there is no such agent, [`ServiceError::Conflict`] where it is revoked.
    pub async fn share_agent(&self, grant: &Grant, id: &str, request: &SetAgentSharing) -> Result<Agent, ServiceError> {
        if grant.action() != Action::AgentShare {
            return Err(Denied::OperatorOnly.into());
        }
        let agent: AgentId = parse_id(id)?;
        let sharing: Sharing = request
            .sharing
            .parse()
            .map_err(|error: UnknownSharing| ServiceError::invalid("sharing", error.to_string()))?;
        let (actor, at) = (grant.actor().to_owned(), clock::now());
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    let shared = agents::set_sharing(tx, system, agent, sharing).await?;
                    if let Some(row) = &shared {
                        let record = audit::NewAudit {
                            at,
                            tenant: Some(row.tenant),
                            actor,
                            action: "agent.sharing_changed",
                            subject: agent.to_string(),
                            detail: serde_json::json!({ "sharing": sharing.as_str() }),
                        };
                        audit::append(tx, system, &record).await?;
                    }
                    Ok(shared)
                })
            })
            .await?;
        match written {
            Some(row) if row.state == AgentState::Revoked => Err(ServiceError::Conflict(REVOKED)),
            row => self.changed(row),
        }
    }

    /// Revokes an agent for ever: its certificates open nothing any more, its session is cut, its open jobs end, its name is free. What it
    /// reported stays. Revoking again changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such agent.
    pub async fn revoke_agent(&self, grant: &Grant, id: &str) -> Result<(), ServiceError> {
        let scope = grant.scope()?;
        let agent: AgentId = parse_id(id)?;
        let at = clock::now();
        let record = audited(grant, scope, agent, "agent.revoked", Value::Null, at);
        let revoked = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(before) = agents::find(tx, scope, agent).await? else {
                        return Ok(None);
                    };
                    if before.state != AgentState::Revoked {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                        join_tokens::revoke_for(tx, scope, agent, at).await?;
                    }
                    agents::set_state(tx, scope, agent, AgentState::Revoked, at).await
                })
            })
            .await?;
        let row = revoked.ok_or(ServiceError::NotFound)?;
        // First the maps, then the session: one that opens in between finds them changed.
        self.identities().set_state(agent, AgentState::Revoked);
        self.directory().put(&row);
        self.registry().close(agent, CloseReason::Revoked);
        tracing::info!(%agent, actor = grant.actor(), "agent revoked");
        // Whoever asked may hang up; the jobs get their end all the same.
        let fleet = self.clone();
        let ending = self.lifecycle().tasks.spawn(async move { fleet.end_jobs_of(agent).await });
        ending.await.map_err(|_| ServiceError::Internal)??;
        Ok(())
    }

    /// Suspends an agent on the control plane's own account, and says why in the audit log.
    pub(crate) async fn suspend(&self, agent: AgentId, why: &'static str, detail: String) {
        let at = clock::now();
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    agents::suspend(tx, system, agent, at).await?;
                    let found = agents::find_for_session(tx, system, agent).await?;
                    let record = audit::NewAudit {
                        at,
                        tenant: found.as_ref().map(|row| row.tenant),
                        actor: "control-plane".to_owned(),
                        action: "agent.suspended",
                        subject: agent.to_string(),
                        detail: serde_json::json!({ "why": why, "detail": detail }),
                    };
                    audit::append(tx, system, &record).await?;
                    Ok(found)
                })
            })
            .await;
        match written {
            Ok(found) => {
                if let Some(row) = found {
                    self.directory().put(&row);
                }
                tracing::warn!(%agent, why, "agent suspended");
            }
            Err(error) => tracing::error!(%error, %agent, why, "an agent could not be suspended in the store"),
        }
        self.identities().set_state(agent, AgentState::Suspended);
    }

    async fn reenrol(&self, grant: &Grant, agent: AgentId) -> Result<AgentAfterAction, ServiceError> {
        let scope = grant.scope()?;
        let at = clock::now();
        let mut reader = self.store().reader().await?;
        let present = agents::find(&mut reader, scope, agent).await?.ok_or(ServiceError::NotFound)?;
        drop(reader);
        let purpose = TokenFor::Agent { agent, name: present.name };
        let drawn = draw_token(grant, self.bundles(), purpose, None, at)?;
        let (token, record) = (drawn.new, audited(grant, scope, agent, "agent.reenrolment_asked", Value::Null, at));
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(row) = agents::find(tx, scope, agent).await? else { return Ok(None) };
                    if row.state != AgentState::Revoked {
                        join_tokens::revoke_for(tx, scope, agent, at).await?;
                        join_tokens::create(tx, scope, &token).await?;
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(Some(row))
                })
            })
            .await?;
        let row = written.ok_or(ServiceError::NotFound)?;
        if row.state == AgentState::Revoked {
            return Err(ServiceError::Conflict(REVOKED));
        }
        let join_token: Option<CreatedJoinToken> = Some(drawn.shown);
        Ok(AgentAfterAction {
            agent: self.to_agent(row),
            join_token,
        })
    }

    /// Ends the jobs that nobody will do any more, some hundreds a commit.
    async fn end_jobs_of(&self, agent: AgentId) -> Result<(), StoreError> {
        loop {
            let at = clock::now();
            let ended: Vec<EndedJob> = self
                .store()
                .write(move |tx| {
                    Box::pin(async move {
                        let system = SystemScope::for_own_work();
                        control_store::jobs::end_of_agent(tx, system, agent, JOBS_PER_COMMIT, End::Failed, AGENT_REVOKED, at).await
                    })
                })
                .await?;
            if ended.is_empty() {
                return Ok(());
            }
            for job in &ended {
                self.lifecycle().ended(job, None).await;
            }
        }
    }

    fn changed(&self, row: Option<AgentRow>) -> Result<Agent, ServiceError> {
        let row = row.ok_or(ServiceError::NotFound)?;
        self.directory().put(&row);
        Ok(self.to_agent(row))
    }

    /// The operator may name a tenant that does not exist.
    async fn existing(&self, scope: TenantScope) -> Result<TenantRow, ServiceError> {
        let mut reader = self.store().reader().await?;
        let found = control_store::tenants::find(&mut reader, SystemScope::for_own_work(), scope.tenant()).await?;
        found.ok_or(ServiceError::NotFound)
    }
}

/// Undoes the making of an agent above the number that the tier includes.
const ABOVE_TIER: &str = "agents_above_tier";

/// The agent, where it can be put on and off duty.
fn able(row: AgentRow) -> Result<AgentRow, ServiceError> {
    match row.state {
        AgentState::Active => Ok(row),
        AgentState::Suspended => Err(ServiceError::Conflict(SUSPENDED)),
        AgentState::Revoked => Err(ServiceError::Conflict(REVOKED)),
    }
}

/// A word for a place; the empty one takes it back.
#[expect(clippy::option_option, reason = "what is absent stays, what is empty is taken back")]
fn replaced(field: &str, word: Option<&str>) -> Result<Option<Option<String>>, ServiceError> {
    match word {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(word) => Ok(Some(checked_word(field, Some(word))?)),
    }
}

fn refused(error: StoreError) -> ServiceError {
    if matches!(error, StoreError::Conflict("agent_name")) {
        ServiceError::Conflict("another agent has this name; choose another one")
    } else if matches!(error, StoreError::Conflict("agent_revision")) {
        ServiceError::PreconditionFailed
    } else {
        error.into()
    }
}

fn audited(grant: &Grant, scope: TenantScope, agent: AgentId, action: &'static str, detail: Value, at: UnixMicros) -> audit::NewAudit {
    audit::NewAudit {
        at,
        tenant: Some(scope.tenant()),
        actor: grant.actor().to_owned(),
        action,
        subject: agent.to_string(),
        detail,
    }
}

const REVOKED: &str = "the agent is revoked, which is for ever; make a new agent";
const SUSPENDED: &str = "the agent is suspended, for its identity was used by two hosts; use the action `reenrol` and enrol the host you trust anew";
/// Why a job of a revoked agent has no report.
const AGENT_REVOKED: &str = "agent_revoked";
/// Jobs ended in one commit.
const JOBS_PER_COMMIT: u32 = 500;
