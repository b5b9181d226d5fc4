//! Making a standing observation.

use control_api::standing::{CreateStandingObservation, StandingObservation};
use control_core::authorize::{Grant, SystemScope};
use control_store::standing::{NewStanding, StandingCaps, StandingMade};
use control_store::{StoreError, audit, standing};
use shared_protocol::id::StandingId;
use shared_protocol::limits::STANDING_ITEMS;
use shared_protocol::spec::InvalidField;

use super::Standing;
use super::change::audited;
use super::spec::{WINDOW_DEFAULT_S, window_spec};
use crate::clock;
use crate::error::ServiceError;
use crate::identity::checked_name;
use crate::jobs::idempotency;

impl Standing {
    /// Makes a standing observation: when this returns, it is on disk, and its agents that are here were told.
    ///
    /// The same idempotency key with the same request answers with the one that was made then.
    ///
    /// # Errors
    /// [`ServiceError`] says which field, limit or agent stands in the way; nothing was made then.
    pub async fn create(
        &self,
        grant: &Grant,
        request: CreateStandingObservation,
        idempotency_key: Option<String>,
    ) -> Result<StandingObservation, ServiceError> {
        let scope = grant.scope()?;
        let tier = grant.tier().ok_or(ServiceError::NotFound)?;
        let key = idempotency_key
            .map(|key| idempotency(key, &serde_json::json!({ "standing": request })))
            .transpose()?;
        let at = clock::now();
        if let Some(key) = &key
            && let Some(earlier) = standing::earlier(&mut self.store().reader().await?, scope, key, at).await?
        {
            return self.made(grant, StandingId::new(at, clock::random_id_bytes()), earlier, 0).await;
        }
        let tiers = self.fleet.lifecycle().tiers.table();
        let limits = tiers.of(tier);
        let read = window_spec(request.spec, request.window_s.unwrap_or(WINDOW_DEFAULT_S), limits)?;
        let agents = self.jobs.choose_own(scope, tier, limits, &read.spec, &request.selection).await?;
        let new = NewStanding {
            id: StandingId::new(at, clock::random_id_bytes()),
            name: request.name.as_deref().map_or(Ok(read.name), |name| checked_name("name", name))?,
            spec: serde_json::to_value(&read.spec).map_err(|_| ServiceError::Internal)?,
            selection: serde_json::to_value(&request.selection).map_err(|_| ServiceError::Internal)?,
            agents,
            created_by: grant.actor().to_owned(),
            at,
            idempotency: key,
            caps: StandingCaps {
                of_tenant: limits.standing,
                of_agent: OF_AGENT,
            },
        };
        let id = new.id;
        let mut record = audited(grant, id, "standing.created")?;
        record.detail = serde_json::json!({ "name": new.name, "agents": new.agents.len() });
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let made = standing::create(tx, scope, &new).await?;
                    if made == StandingMade::Fresh {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(made)
                })
            })
            .await;
        let made = written.map_err(refused)?;
        if made == StandingMade::Fresh {
            self.tell_agents(id).await?;
        }
        self.made(grant, id, made, limits.standing).await
    }

    async fn made(&self, grant: &Grant, id: StandingId, made: StandingMade, included: u32) -> Result<StandingObservation, ServiceError> {
        match made {
            StandingMade::Fresh => self.observation(grant, &id.to_string()).await,
            StandingMade::Before(earlier) => self.observation(grant, &earlier.to_string()).await,
            StandingMade::Mismatch => Err(ServiceError::IdempotencyMismatch),
            StandingMade::TooMany => {
                let message = format!("your tier includes {included} standing observations; delete one first");
                Err(ServiceError::TierLimit(InvalidField::new("standing", message)))
            }
        }
    }

    /// Tells all agents that a change concerns, as far as they are here; the others hear of it when they come.
    pub(super) async fn tell_agents(&self, id: StandingId) -> Result<(), ServiceError> {
        let system = SystemScope::for_own_work();
        let agents = standing::agents(&mut self.store().reader().await?, system, id).await?;
        for agent in agents {
            self.fleet.say_what_is_wanted(agent).await;
        }
        Ok(())
    }
}

pub(super) fn refused(error: StoreError) -> ServiceError {
    if matches!(error, StoreError::Conflict("standing_revision")) {
        return ServiceError::PreconditionFailed;
    }
    if matches!(error, StoreError::Conflict("standing_of_agent")) {
        let message = format!("an agent makes at most {OF_AGENT} standing observations at the same time, and one of these has as many");
        return ServiceError::Invalid(InvalidField::new("selection", message));
    }
    error.into()
}

/// Most that are wanted of one agent.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a constant of 32; TryFrom is not const")]
pub(super) const OF_AGENT: u32 = STANDING_ITEMS as u32;
