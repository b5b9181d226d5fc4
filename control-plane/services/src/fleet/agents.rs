//! Agents as their tenant sees and manages them, and how a peer is known to be one.

use std::sync::Arc;

use control_api::agent::{Agent, UpdateAgent};
use control_api::page::{Page, PageQuery};
use control_core::authorize::{Grant, SystemScope};
use control_store::agents::{AgentChange, AgentRow, AgentState};
use control_store::{StoreError, audit};
use rustls::ServerConfig;
use shared_protocol::close::CloseReason;
use shared_protocol::id::AgentId;

use super::principal::Leaf;
use super::{AgentPrincipal, Fleet, PeerRefused, Presence};
use crate::clock;
use crate::error::ServiceError;
use crate::identity::{checked_labels, checked_name};
use crate::jobs::read::{cut, page, parse_id};

impl Fleet {
    /// How the agent port speaks TLS.
    pub fn tls(&self) -> Arc<ServerConfig> {
        self.authority().tls()
    }

    /// Knows an agent by the leaf certificate whose key it proved in the TLS handshake: the one way to an [`AgentPrincipal`].
    ///
    /// # Errors
    /// [`PeerRefused`] says why it is not let in.
    pub fn authenticate_peer(&self, leaf_der: &[u8]) -> Result<AgentPrincipal, PeerRefused> {
        let leaf = Leaf::from_der(leaf_der, self.trust_domain())?;
        self.identities().check(&leaf, clock::monotonic())?;
        Ok(AgentPrincipal::new(leaf))
    }

    /// Whether an agent that was let in may still stay. Asked once more when its session is open, since it may have been revoked between.
    ///
    /// # Errors
    /// The reason with which its session must end.
    pub fn may_stay(&self, peer: &AgentPrincipal) -> Result<(), CloseReason> {
        match self.identities().check(peer.leaf(), clock::monotonic()) {
            // A store that does not answer is no reason to cut who is here.
            Ok(()) | Err(PeerRefused::Stale) => Ok(()),
            Err(refused) => Err(refused.close_reason().unwrap_or(CloseReason::Unknown)),
        }
    }

    /// The tenant's agents, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page.
    pub async fn agents(&self, grant: &Grant, query: &PageQuery) -> Result<Page<Agent>, ServiceError> {
        let scope = grant.scope()?;
        let page = page::<AgentId>(query.limit, query.cursor.as_deref())?;
        let mut reader = self.store().reader().await?;
        let rows = control_store::agents::list(&mut reader, scope, &page).await?;
        Ok(cut(rows.into_iter().map(|row| (row.id, self.to_agent(row))).collect(), &page))
    }

    /// An agent.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such agent.
    pub async fn agent(&self, grant: &Grant, id: &str) -> Result<Agent, ServiceError> {
        let mut reader = self.store().reader().await?;
        let row = control_store::agents::find(&mut reader, grant.scope()?, parse_id(id)?).await?;
        row.map(|row| self.to_agent(row)).ok_or(ServiceError::NotFound)
    }

    /// Changes an agent's name or labels.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] where another agent of the tenant has the name.
    pub async fn update_agent(&self, grant: &Grant, id: &str, request: UpdateAgent) -> Result<Agent, ServiceError> {
        let scope = grant.scope()?;
        let agent: AgentId = parse_id(id)?;
        let change = AgentChange {
            name: request.name.as_deref().map(|name| checked_name("name", name)).transpose()?,
            labels: request.labels.as_ref().map(checked_labels).transpose()?,
        };
        let record = audit::NewAudit {
            at: clock::now(),
            tenant: Some(scope.tenant()),
            actor: grant.actor().to_owned(),
            action: "agent.updated",
            subject: agent.to_string(),
            detail: serde_json::json!({ "name": change.name, "labels": change.labels }),
        };
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let updated = control_store::agents::update(tx, scope, agent, &change).await?;
                    if updated.is_some() {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(updated)
                })
            })
            .await;
        match written {
            Ok(row) => row.map(|row| self.to_agent(row)).ok_or(ServiceError::NotFound),
            Err(StoreError::Conflict("agent_name")) => Err(ServiceError::Conflict("another agent has this name; choose another one")),
            Err(error) => Err(error.into()),
        }
    }

    /// Revokes an agent for ever and cuts its session. Revoking again changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such agent.
    pub async fn revoke_agent(&self, grant: &Grant, id: &str) -> Result<Agent, ServiceError> {
        let scope = grant.scope()?;
        let agent: AgentId = parse_id(id)?;
        let at = clock::now();
        let record = audit::NewAudit {
            at,
            tenant: Some(scope.tenant()),
            actor: grant.actor().to_owned(),
            action: "agent.revoked",
            subject: agent.to_string(),
            detail: serde_json::Value::Null,
        };
        let revoked = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let revoked = control_store::agents::set_state(tx, scope, agent, AgentState::Revoked, at).await?;
                    if revoked.is_some() {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(revoked)
                })
            })
            .await?;
        let row = revoked.ok_or(ServiceError::NotFound)?;
        // First the map, then the session: one that opens in between finds the map changed.
        self.identities().set_state(agent, AgentState::Revoked);
        self.registry().close(agent, CloseReason::Revoked);
        tracing::info!(%agent, actor = grant.actor(), "agent revoked");
        Ok(self.to_agent(row))
    }

    /// Suspends an agent on the control plane's own account, and says why in the audit log.
    pub(crate) async fn suspend(&self, agent: AgentId, why: &'static str, detail: String) {
        let at = clock::now();
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    let found = control_store::agents::find_for_session(tx, system, agent).await?;
                    control_store::agents::suspend(tx, system, agent, at).await?;
                    let record = audit::NewAudit {
                        at,
                        tenant: found.map(|row| row.tenant),
                        actor: "control-plane".to_owned(),
                        action: "agent.suspended",
                        subject: agent.to_string(),
                        detail: serde_json::json!({ "why": why, "detail": detail }),
                    };
                    audit::append(tx, system, &record).await
                })
            })
            .await;
        match written {
            Ok(()) => tracing::warn!(%agent, why, "agent suspended"),
            Err(error) => tracing::error!(%error, %agent, why, "an agent could not be suspended in the store"),
        }
        self.identities().set_state(agent, AgentState::Suspended);
    }

    fn to_agent(&self, row: AgentRow) -> Agent {
        let presence = match self.registry().presence(row.id, clock::monotonic()) {
            Presence::Online => "online",
            Presence::Late => "late",
            Presence::Offline if row.last_seen_at.is_none() => "never",
            Presence::Offline => "offline",
        };
        let silence = self.registry().silence(row.id, clock::monotonic());
        let last_seen = silence.map(|silence| clock::now().minus(silence)).or(row.last_seen_at);
        Agent {
            id: row.id.to_string(),
            name: row.name,
            labels: row.labels,
            state: row.state.as_str().to_owned(),
            presence: presence.to_owned(),
            last_seen_at: last_seen.map(Into::into),
            created_at: row.created_at.into(),
            version: row.version,
            capabilities: row.capabilities,
            host: row.host,
            certificate_expires_at: row.certificate_expires_at.map(Into::into),
        }
    }
}
