//! Changing, stopping, starting and taking away a standing observation.

use control_api::standing::{StandingObservation, UpdateStandingObservation};
use control_core::authorize::{Grant, SystemScope, TenantScope};
use control_store::standing::StandingChange;
use control_store::{audit, standing};
use serde_json::{Value, json};
use shared_protocol::id::StandingId;
use shared_protocol::tier::Tier;

use super::Standing;
use super::create::{OF_AGENT, refused};
use super::read::to_observation;
use super::spec::{shown, window_spec};
use crate::clock;
use crate::error::ServiceError;
use crate::identity::checked_name;
use crate::jobs::read::parse_id;

impl Standing {
    /// Changes a standing observation: a new revision, of which its agents that are here are told. `revision` is the one it was read with, where
    /// a change made meanwhile must not be lost.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has none such; else it says which field or limit stands in the way.
    pub async fn update(
        &self,
        grant: &Grant,
        id: &str,
        request: UpdateStandingObservation,
        revision: Option<u64>,
    ) -> Result<StandingObservation, ServiceError> {
        let scope = grant.scope()?;
        let tier = grant.tier().ok_or(ServiceError::NotFound)?;
        let id = parse_id::<StandingId>(id)?;
        let present = standing::find(&mut self.store().reader().await?, scope, id).await?;
        let present = present.ok_or(ServiceError::NotFound)?;
        let change = self.change_of(scope, tier, present.spec, request, revision).await?;
        let mut record = audited(grant, id, "standing.changed")?;
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let changed = standing::update(tx, scope, id, &change).await?;
                    if let Some(changed) = &changed {
                        record.detail = json!({ "revision": changed.revision, "running": changed.is_running });
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(changed)
                })
            })
            .await;
        let changed = written.map_err(refused)?.ok_or(ServiceError::NotFound)?;
        self.tell_agents(id).await?;
        to_observation(changed)
    }

    /// What a request changes of one that is there.
    async fn change_of(
        &self,
        scope: TenantScope,
        tier: Tier,
        present: Value,
        request: UpdateStandingObservation,
        revision: Option<u64>,
    ) -> Result<StandingChange, ServiceError> {
        let tiers = self.fleet.lifecycle().tiers.table();
        let limits = tiers.of(tier);
        let (present_spec, present_window_s) = shown(present);
        let window_s = request.window_s.unwrap_or(present_window_s);
        let asked = match (request.spec, request.window_s) {
            (None, None) => None,
            // What was a default then follows the new window.
            (None, Some(_)) => Some(without_interval(present_spec.clone(), present_window_s)),
            (Some(spec), _) => Some(spec),
        };
        let is_running = request.state.as_deref().map(is_running).transpose()?;
        // One that the tier includes no more can still be stopped.
        let is_held_against_the_tier = asked.is_some() || request.selection.is_some() || is_running == Some(true);
        let read = if is_held_against_the_tier {
            Some(window_spec(asked.clone().unwrap_or(present_spec), window_s, limits)?.spec)
        } else {
            None
        };
        let chosen = match request.selection.as_ref().zip(read.as_ref()) {
            None => None,
            Some((selection, spec)) => {
                let agents = self.jobs.choose_own(scope, tier, limits, spec, selection).await?;
                Some((serde_json::to_value(selection).map_err(|_| ServiceError::Internal)?, agents))
            }
        };
        Ok(StandingChange {
            name: request.name.as_deref().map(|name| checked_name("name", name)).transpose()?,
            is_running,
            spec: match read.filter(|_| asked.is_some()) {
                None => None,
                Some(spec) => Some(serde_json::to_value(&spec).map_err(|_| ServiceError::Internal)?),
            },
            chosen,
            revision,
            of_agent: OF_AGENT,
            at: clock::now(),
        })
    }

    /// Takes a standing observation away, with what it saw.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has none such.
    pub async fn delete(&self, grant: &Grant, id: &str) -> Result<(), ServiceError> {
        let scope = grant.scope()?;
        let id = parse_id::<StandingId>(id)?;
        let record = audited(grant, id, "standing.deleted")?;
        let at = record.at;
        let found = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let found = standing::delete(tx, scope, id, at).await?;
                    if found {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(found)
                })
            })
            .await?;
        if !found {
            return Err(ServiceError::NotFound);
        }
        self.tell_agents(id).await
    }
}

/// A spec without its interval where that is the default of its window.
fn without_interval(spec: Value, window_s: u32) -> Value {
    let Value::Object(mut options) = spec else { return spec };
    let default = u64::from(window_s.saturating_mul(1_000).min(10_000));
    if options.get("interval_ms").and_then(Value::as_u64) == Some(default) {
        options.remove("interval_ms");
    }
    Value::Object(options)
}

fn is_running(state: &str) -> Result<bool, ServiceError> {
    match state {
        "running" => Ok(true),
        "stopped" => Ok(false),
        _ => Err(ServiceError::invalid("state", "must be running or stopped")),
    }
}

/// What the audit log keeps of a change.
pub(super) fn audited(grant: &Grant, id: StandingId, action: &'static str) -> Result<audit::NewAudit, ServiceError> {
    Ok(audit::NewAudit {
        at: clock::now(),
        tenant: Some(grant.scope()?.tenant()),
        actor: grant.actor().to_owned(),
        action,
        subject: id.to_string(),
        detail: Value::Null,
    })
}
