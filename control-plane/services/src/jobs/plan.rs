//! What a measurement would be, without making it.

use control_api::measurement::{CreateMeasurement, Plan, PlannedJob};
use control_core::authorize::Grant;
use control_core::target_load::Demand;

use super::Jobs;
use super::decide::start_of;
use crate::allowances::{self, RateAllowance};
use crate::clock;
use crate::error::ServiceError;

impl Jobs {
    /// Decides about a measurement as if it were asked for, and says what would be done; nothing is stored, nothing counts.
    ///
    /// # Errors
    /// [`ServiceError`] as if it were asked for, but for what only counting tells: the tenant's open jobs and its quotas.
    pub async fn plan(&self, grant: &Grant, request: CreateMeasurement) -> Result<Plan, ServiceError> {
        let scope = grant.scope()?;
        let tier = grant.tier().ok_or(ServiceError::NotFound)?;
        let decided = self.decide(scope, tier, request, None).await?;
        let to_run = decided.chosen.iter().filter(|chosen| chosen.cached.is_none()).count();
        self.lifecycle().targets.check(scope.tenant(), &Demand::of(&decided.spec), to_run)?;
        let now = clock::now();
        let jobs: Vec<PlannedJob> = decided
            .chosen
            .iter()
            .map(|chosen| PlannedJob {
                agent: chosen.candidate.agent.to_string(),
                agent_name: chosen.name.clone(),
                cost: if chosen.cached.is_some() { 0 } else { decided.admitted.cost },
                cached: chosen.cached.is_some(),
                estimated_start: chosen.cached.is_none().then(|| now.plus(start_of(chosen.candidate)).into()),
            })
            .collect();
        Ok(Plan {
            spec: serde_json::to_value(&decided.spec).map_err(|_| ServiceError::Internal)?,
            cost: jobs.iter().map(|job| u64::from(job.cost)).sum(),
            estimated_start: jobs.iter().filter_map(|job| job.estimated_start).min(),
            jobs,
            allowances: self.rates(grant).await?.into_iter().map(|rate| rate.allowance).collect(),
        })
    }

    /// How many measurements the key and its tenant may still ask for.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where that cannot be read.
    pub async fn rates(&self, grant: &Grant) -> Result<Vec<RateAllowance>, ServiceError> {
        let scope = grant.scope()?;
        let tier = grant.tier().ok_or(ServiceError::NotFound)?;
        let tiers = self.lifecycle().tiers.table();
        allowances::rates(self.lifecycle(), scope, grant.actor(), tiers.of(tier)).await
    }
}
