//! Choosing: a selection becomes agents, asked of the directory in memory and of the dispatcher, who knows how busy they are.

use control_api::measurement::Selection;
use control_core::admission::estimated_start;
use control_core::authorize::TenantScope;
use control_core::selection::{Candidate, Choice, Conditions, SelectionRefusal, Waiting, Wanted, spread};
use shared_protocol::id::{AgentId, MeasurementId};
use shared_protocol::spec::{InvalidField, ProbeSpec};
use shared_protocol::tier::{Tier, TierLimits};

use super::decide::within;
use super::{Jobs, Load};
use crate::error::ServiceError;
use crate::identity::{checked_label_sets, checked_labels, checked_word};

/// The agents that were chosen.
pub(super) struct Chosen {
    pub(super) agents: Vec<AgentId>,
    /// How busy they are.
    pub(super) load: Load,
}

impl Jobs {
    /// Chooses the agents of a measurement.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] names the part of the selection that cannot be met, [`ServiceError::NotFound`] where `same_as` names no
    /// measurement of the tenant, [`ServiceError::NoAgentMatches`].
    pub(super) async fn choose(
        &self,
        scope: TenantScope,
        tier: Tier,
        limits: &TierLimits,
        spec: &ProbeSpec,
        selection: &Selection,
    ) -> Result<Chosen, ServiceError> {
        check(selection).map_err(in_selection)?;
        let same_as = match &selection.same_as {
            Some(measurement) => Some(self.agents_of(scope, measurement).await?),
            None => None,
        };
        let wanted = Wanted {
            agents: &selection.agents,
            same_as: same_as.as_deref(),
            conditions: Conditions {
                labels: Some(&selection.labels),
                labels_in: Some(&selection.labels_in),
                labels_present: &selection.labels_present,
                region: selection.region.as_deref(),
                zone: selection.zone.as_deref(),
                network: selection.network.as_deref(),
            },
            probe: spec.kind(),
            count: selection.count,
            limit: limits.agents_per_measurement,
        };
        let choice = self.fleet().directory().choose(scope, &wanted).map_err(|refusal| refused(&refusal))?;
        match self.without_held(scope, limits, choice)? {
            Choice::Named(agents) => {
                let load = self.lifecycle().dispatch.load(agents.clone(), tier).await;
                Ok(Chosen { agents, load })
            }
            Choice::Among { candidates, count } => {
                let ids = candidates.iter().map(|candidate| candidate.agent).collect();
                let load = self.lifecycle().dispatch.load(ids, tier).await;
                let waiting = candidates.into_iter().map(|candidate| waiting(candidate, &load)).collect();
                Ok(Chosen {
                    agents: spread(waiting, count),
                    load,
                })
            }
        }
    }

    /// Chooses the agents of what goes on until it is taken back: of the tenant's own only, because what is shared serves everybody.
    ///
    /// # Errors
    /// As [`Jobs::choose`]; [`ServiceError::Invalid`] where a shared agent is named.
    pub(crate) async fn choose_own(
        &self,
        scope: TenantScope,
        tier: Tier,
        limits: &TierLimits,
        spec: &ProbeSpec,
        selection: &Selection,
    ) -> Result<Vec<AgentId>, ServiceError> {
        let mut agents = self.choose(scope, tier, limits, spec, selection).await?.agents;
        let directory = self.fleet().directory();
        if let Some(shared) = agents
            .iter()
            .find(|agent| !directory.owns(scope, **agent))
            .filter(|_| !selection.agents.is_empty())
        {
            let message = format!("the agent {shared} serves every tenant: only your own make standing observations");
            return Err(ServiceError::invalid("selection.agents", message));
        }
        agents.retain(|agent| directory.owns(scope, *agent));
        if agents.is_empty() {
            return Err(ServiceError::NoAgentMatches);
        }
        Ok(agents)
    }

    /// Leaves out the newest agents above the number that the tier includes: they keep what they have and get no new work.
    fn without_held(&self, scope: TenantScope, limits: &TierLimits, choice: Choice) -> Result<Choice, ServiceError> {
        let directory = self.fleet().directory();
        let Some(first) = directory.first_beyond(scope, limits.agents) else {
            return Ok(choice);
        };
        // What is shared counts against nobody's number.
        let is_held = |agent: AgentId| agent >= first && directory.owns(scope, agent);
        match choice {
            Choice::Named(agents) => match agents.iter().find(|agent| is_held(**agent)) {
                None => Ok(Choice::Named(agents)),
                Some(held) => {
                    let included = limits.agents;
                    let message = format!("your tier includes {included} agents; the newest above that number, as {held}, get no new work");
                    Err(ServiceError::TierLimit(InvalidField::new("selection.agents", message)))
                }
            },
            Choice::Among { mut candidates, count } => {
                candidates.retain(|candidate| !is_held(candidate.agent));
                if candidates.is_empty() {
                    return Err(ServiceError::NoAgentMatches);
                }
                Ok(Choice::Among { candidates, count })
            }
        }
    }

    /// The agents of an earlier measurement of the tenant, in the order of its jobs.
    async fn agents_of(&self, scope: TenantScope, measurement: &str) -> Result<Vec<AgentId>, ServiceError> {
        let measurement: MeasurementId = measurement.parse().map_err(|_| ServiceError::NotFound)?;
        let mut reader = self.store().reader().await?;
        let known = control_store::jobs::measurement(&mut reader, scope, measurement).await?;
        known.ok_or(ServiceError::NotFound)?;
        let jobs = control_store::jobs::jobs_of(&mut reader, scope, &[measurement]).await?;
        Ok(jobs.into_iter().map(|job| job.agent).collect())
    }
}

fn waiting(candidate: Candidate, load: &Load) -> Waiting {
    let busy = load.agents.get(&candidate.agent).copied().unwrap_or_default();
    Waiting {
        agent: candidate.agent,
        region: candidate.region,
        wait: estimated_start(busy.backlog, busy.drain_rate),
    }
}

fn check(selection: &Selection) -> Result<(), ServiceError> {
    checked_labels(&selection.labels)?;
    checked_label_sets(&selection.labels_in, &selection.labels_present)?;
    for (field, word) in [("region", &selection.region), ("zone", &selection.zone), ("network", &selection.network)] {
        checked_word(field, word.as_deref())?;
    }
    Ok(())
}

fn refused(refusal: &SelectionRefusal) -> ServiceError {
    let invalid = InvalidField::new(refusal.field(), refusal.to_string());
    match refusal {
        SelectionRefusal::NoMatch => ServiceError::NoAgentMatches,
        SelectionRefusal::AboveTier { .. } => ServiceError::TierLimit(invalid),
        SelectionRefusal::CountZero
        | SelectionRefusal::NamedTwice
        | SelectionRefusal::UnknownAgent(_)
        | SelectionRefusal::SuspendedAgent(_)
        | SelectionRefusal::OffDuty(_) => ServiceError::Invalid(invalid),
    }
}

fn in_selection(refused: ServiceError) -> ServiceError {
    if let ServiceError::Invalid(invalid) = refused {
        ServiceError::Invalid(within("selection", invalid))
    } else {
        refused
    }
}
