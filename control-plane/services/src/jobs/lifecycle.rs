//! A job's changes made known: to the dispatcher, to whoever follows the measurement, to the counters. Every end goes through here.

use control_api::stream::{AgentPresence, JobChange, JobEnded, StreamEvent, TenantEvent};
use control_core::authorize::SystemScope;
use control_store::jobs::{EndedJob, Ending};
use control_store::{Store, StoreError};
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, JobId, MeasurementId, TenantId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::relocate::Stranded;
use super::{Accepts, Dispatch, InFlight, Rates, Targets};
use crate::clock;
use crate::fleet::Presence;
use crate::metrics::{EndLabel, Metrics};
use crate::reports::Bus;
use crate::series::Series;
use crate::tiers::Tiers;

/// What every part that changes a job needs.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    pub(crate) store: Store,
    pub(crate) bus: Arc<Bus>,
    pub(crate) dispatch: Dispatch,
    pub(crate) accepts: Accepts,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) metrics: Metrics,
    pub(crate) tiers: Tiers,
    /// The way to whoever finds other agents.
    pub(crate) stranded: mpsc::Sender<Stranded>,
    pub(crate) rates: Rates,
    pub(crate) targets: Targets,
    pub(crate) series: Series,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl Lifecycle {
    /// Tells everyone that a job has its end, which is on disk.
    pub(crate) async fn ended(&self, ended: &EndedJob, actual_cost: Option<u32>) {
        self.metrics.jobs_ended.get_or_create(&EndLabel { end: ended.end.as_str() }).inc();
        self.publish(
            ended.measurement,
            ended.job,
            ended.agent,
            ended.end.as_str(),
            ended.reason.clone(),
            ended.attempt,
        );
        self.bus.job_ended(ended.measurement);
        self.targets.ended(ended.measurement);
        let told = JobEnded {
            job: ended.job.to_string(),
            measurement: ended.measurement.to_string(),
            agent: ended.agent.to_string(),
            state: ended.end.as_str().to_owned(),
            reason: ended.reason.clone(),
        };
        self.bus.publish_tenant(ended.tenant, &TenantEvent::JobEnded(told));
        // What an agent would not do has cost it nothing.
        let actual_cost = if ended.end == End::Refused { Some(0) } else { actual_cost };
        self.dispatch.ended(ended.job, actual_cost).await;
    }

    /// Tells followers that a job changed its state.
    pub(crate) fn publish(&self, measurement: MeasurementId, job: JobId, agent: AgentId, state: &str, reason: Option<String>, attempt: Attempt) {
        let change = JobChange {
            job: job.to_string(),
            agent: agent.to_string(),
            state: state.to_owned(),
            reason,
            attempt: attempt.0,
        };
        self.bus.publish(measurement, &StreamEvent::Job(change));
    }

    /// Tells followers of the tenant that an agent came or went.
    pub(crate) fn presence(&self, tenant: TenantId, agent: AgentId, presence: Presence) {
        let told = AgentPresence {
            agent: agent.to_string(),
            presence: presence.as_str().to_owned(),
        };
        self.bus.publish_tenant(tenant, &TenantEvent::Presence(told));
    }

    /// Gives jobs their end, in the background and until it is on disk; those that have one already keep it.
    pub(crate) fn end_all(&self, endings: Vec<Ending>) {
        let lifecycle = self.clone();
        self.tasks.spawn(async move {
            for chunk in endings.chunks(ENDINGS_PER_COMMIT) {
                lifecycle.end_chunk(chunk.to_vec()).await;
            }
        });
    }

    async fn end_chunk(&self, chunk: Vec<Ending>) {
        loop {
            match self.try_end(chunk.clone()).await {
                Ok(ended) => {
                    for job in ended {
                        self.ended(&job, None).await;
                    }
                    return;
                }
                Err(error) if error.is_retryable() => tracing::warn!(%error, jobs = chunk.len(), "ends could not be written; trying again"),
                Err(error) => {
                    tracing::error!(%error, jobs = chunk.len(), "ends could not be written; left to the next start");
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(END_RETRY) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    async fn try_end(&self, chunk: Vec<Ending>) -> Result<Vec<EndedJob>, StoreError> {
        let at = clock::now();
        self.store
            .write(move |tx| Box::pin(async move { control_store::jobs::end(tx, SystemScope::for_own_work(), &chunk, at).await }))
            .await
    }
}

/// Most jobs that get their end in one operation of the writer.
const ENDINGS_PER_COMMIT: usize = 200;
/// Time between two tries to write ends.
const END_RETRY: Duration = Duration::from_millis(500);
