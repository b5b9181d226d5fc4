//! Another agent for a job whose own one is gone: for measurements that named none, under a retry policy that says so.

use control_api::measurement::Selection;
use control_core::authorize::SystemScope;
use control_store::jobs::MatchedJob;
use shared_protocol::id::{AgentId, JobRef};
use shared_protocol::spec::ProbeSpec;
use tokio::sync::mpsc;

use super::Jobs;
use crate::error::ServiceError;

/// Jobs of an agent that is gone.
#[derive(Debug)]
pub(crate) struct Stranded {
    pub(crate) agent: AgentId,
    pub(crate) jobs: Vec<JobRef>,
}

/// The way from the dispatcher to [`Jobs::relocate`]; at most [`STRANDED`] wait, and who finds it full asks again later.
pub(crate) fn stranded() -> (mpsc::Sender<Stranded>, mpsc::Receiver<Stranded>) {
    mpsc::channel(STRANDED)
}

impl Jobs {
    /// Finds other agents, until the control plane stops. Where there is none a job waits on, and is asked for again.
    pub(crate) async fn relocate(self, mut stranded: mpsc::Receiver<Stranded>) {
        let stopping = self.lifecycle().stopping.clone();
        loop {
            let next = tokio::select! {
                () = stopping.cancelled() => return,
                next = stranded.recv() => next,
            };
            let Some(Stranded { agent, jobs }) = next else { return };
            if let Err(error) = self.relocate_from(agent, &jobs).await {
                tracing::warn!(%error, %agent, jobs = jobs.len(), "no other agent could be looked for");
            }
        }
    }

    async fn relocate_from(&self, from: AgentId, jobs: &[JobRef]) -> Result<(), ServiceError> {
        let system = SystemScope::for_own_work();
        let ids: Vec<_> = jobs.iter().map(|job| job.job).collect();
        let matched = control_store::jobs::matched(&mut self.store().reader().await?, system, &ids).await?;
        for job in jobs {
            let Some(matched) = matched.iter().find(|matched| matched.job == job.job) else {
                continue;
            };
            let Some(to) = self.another(matched).await? else { continue };
            let job = *job;
            let moved = self
                .store()
                .write(move |tx| Box::pin(async move { control_store::jobs::move_to(tx, system, job, from, to).await }))
                .await?;
            if moved.is_some() {
                tracing::info!(job_id = %job.job, %from, %to, "a job went to another agent");
                self.lifecycle().dispatch.moved(job.job, from, to).await;
            }
        }
        Ok(())
    }

    /// The agent that the measurement's selection would choose now and that has no job of it.
    async fn another(&self, job: &MatchedJob) -> Result<Option<AgentId>, ServiceError> {
        let scope = SystemScope::for_own_work().of_tenant(job.tenant);
        let taken: Vec<AgentId> = control_store::jobs::jobs_of(&mut self.store().reader().await?, scope, &[job.measurement])
            .await?
            .into_iter()
            .map(|job| job.agent)
            .collect();
        let (Ok(spec), Ok(selection)) = (
            ProbeSpec::from_value(job.spec.clone()),
            serde_json::from_value::<Selection>(job.selection.clone()),
        ) else {
            return Ok(None);
        };
        let selection = Selection {
            count: u32::try_from(taken.len()).ok().map(|taken| taken.saturating_add(1)),
            ..selection
        };
        let tiers = self.lifecycle().tiers.table();
        let chosen = match self.choose(scope, job.tier, tiers.of(job.tier), &spec, &selection).await {
            Ok(chosen) => chosen.agents,
            // Nobody who matches is there, or the tier does not allow so many: it waits on.
            Err(error) => {
                tracing::debug!(%error, job_id = %job.job, "no other agent for a job");
                return Ok(None);
            }
        };
        Ok(chosen.into_iter().find(|agent| !taken.contains(agent)))
    }
}

/// Most agents whose jobs wait for others.
const STRANDED: usize = 256;
