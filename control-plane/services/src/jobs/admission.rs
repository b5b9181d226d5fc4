//! Admission: a request becomes a measurement with jobs on disk, or is refused with a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use control_api::measurement::{CreateMeasurement, Measurement};
use control_api::stream::StreamEvent;
use control_core::authorize::{Grant, TenantScope};
use control_core::quota::Spans;
use control_core::rate::Wait;
use control_core::target_load::Demand;
use control_store::Store;
use control_store::jobs::{Enqueued, NewIdempotency};
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, MeasurementId};
use shared_protocol::tier::Tier;

use super::arriving::Arriving;
use super::decide::{Decided, OPEN_JOBS_RETRY_S, candidate, retry_after_s, start_of};
use super::draft::Draft;
use super::lifecycle::Lifecycle;
use super::{InFlight, read};
use crate::clock;
use crate::error::ServiceError;
use crate::fleet::Fleet;
use crate::metrics::EndLabel;
use crate::reports::{Beginning, Bus, content};

/// Measurements and jobs; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    lifecycle: Lifecycle,
    fleet: Fleet,
}

/// What came of writing a measurement.
enum Accepted {
    /// It is new.
    Fresh(Box<Measurement>),
    /// Its idempotency key made one before.
    Before(MeasurementId),
}

impl Jobs {
    pub(super) const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub(crate) const fn new(lifecycle: Lifecycle, fleet: Fleet) -> Self {
        Self { lifecycle, fleet }
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.lifecycle.store
    }

    pub(super) const fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.lifecycle.bus
    }

    pub(super) fn in_flight(&self) -> &InFlight {
        &self.lifecycle.in_flight
    }

    /// Accepts a measurement: when this returns, its jobs are on disk.
    ///
    /// The same idempotency key with the same request answers with the measurement accepted then.
    ///
    /// # Errors
    /// [`ServiceError`] says which field, limit or agent stands in the way; nothing was accepted then.
    pub async fn create(&self, grant: &Grant, request: CreateMeasurement, idempotency_key: Option<String>) -> Result<Measurement, ServiceError> {
        let scope = grant.scope()?;
        let tier = grant.tier().ok_or(ServiceError::NotFound)?;
        let idempotency = idempotency_key.map(|key| idempotency(key, &request)).transpose()?;
        if let Some(earlier) = self.earlier(scope, idempotency.as_ref()).await? {
            return self.accepted(scope, tier, earlier).await;
        }
        let decided = self.decide(scope, tier, request, idempotency).await?;
        let tiers = self.lifecycle.tiers.table();
        let limits = tiers.of(tier);
        self.lifecycle
            .rates
            .take(grant.actor(), scope.tenant(), limits)
            .map_err(|Wait(wait)| ServiceError::RateLimited {
                retry_after_s: retry_after_s(wait),
            })?;
        // A caller that hangs up must not leave jobs on disk that the dispatcher never heard of: so this part runs to its end on its own.
        let jobs = self.clone();
        let accepting = self.lifecycle.tasks.spawn(async move { jobs.accept(decided).await });
        let outcome = accepting.await.map_err(|_| ServiceError::Internal)?;
        if !matches!(outcome, Ok(Accepted::Fresh(_))) {
            // Only what is accepted counts.
            self.lifecycle.rates.give_back(grant.actor(), scope.tenant());
        }
        match outcome? {
            Accepted::Fresh(measurement) => Ok(*measurement),
            Accepted::Before(id) => self.accepted(scope, tier, id).await,
        }
    }

    /// The measurement that an idempotency key made before.
    async fn earlier(&self, scope: TenantScope, key: Option<&NewIdempotency>) -> Result<Option<MeasurementId>, ServiceError> {
        let Some(key) = key else { return Ok(None) };
        let mut reader = self.store().reader().await?;
        match control_store::jobs::earlier(&mut reader, scope, key, clock::now()).await? {
            Some(Enqueued::Replayed(earlier)) => Ok(Some(earlier)),
            Some(Enqueued::Mismatch) => Err(ServiceError::IdempotencyMismatch),
            Some(Enqueued::Fresh(_) | Enqueued::TooManyOpen | Enqueued::OverQuota(_)) | None => Ok(None),
        }
    }

    /// A measurement that is on disk, with when the first of its open jobs is expected to start.
    async fn accepted(&self, scope: TenantScope, tier: Tier, id: MeasurementId) -> Result<Measurement, ServiceError> {
        let mut reader = self.store().reader().await?;
        let mut measurement = read::measurement_of(&mut reader, self.in_flight(), scope, id).await?;
        let open = measurement.jobs.iter().filter(|job| job.ended_at.is_none());
        let agents: Vec<AgentId> = open.filter_map(|job| job.agent.parse().ok()).collect();
        if !agents.is_empty() {
            let load = self.lifecycle.dispatch.load(agents.clone(), tier).await;
            let starts = agents.iter().map(|agent| candidate(*agent, &load)).map(start_of);
            measurement.estimated_start = starts.min().map(|start| clock::now().plus(start).into());
        }
        Ok(measurement)
    }

    /// Writes what was decided, and makes it known once it is on disk.
    async fn accept(&self, decided: Decided) -> Result<Accepted, ServiceError> {
        let now = clock::now();
        let demand = Demand::of(&decided.spec);
        let Draft {
            mut enqueue,
            accepted,
            answered,
            measurement,
        } = Draft::new(decided, now)?;
        let (id, tenant) = (enqueue.measurement.id, enqueue.scope.tenant());
        self.lifecycle.targets.reserve(id, tenant, demand, accepted.len())?;
        let arriving = Arriving::announce(&self.lifecycle.dispatch, accepted, &mut enqueue).await;
        let enqueued = self.store().submit(enqueue).await;
        if !matches!(enqueued, Ok(Enqueued::Fresh(_))) {
            self.lifecycle.targets.forget(id);
            arriving.refused(&self.lifecycle.dispatch).await;
        }
        match enqueued? {
            Enqueued::Fresh(leased) => {
                let counted = |jobs: usize| u64::try_from(jobs).unwrap_or(0);
                self.lifecycle.metrics.jobs_accepted.inc_by(counted(arriving.len() + answered));
                let completed = EndLabel { end: End::Completed.as_str() };
                self.lifecycle.metrics.jobs_ended.get_or_create(&completed).inc_by(counted(answered));
                if arriving.len() > 0 {
                    let beginning = content(&StreamEvent::Snapshot(measurement.clone())).ok();
                    let beginning = beginning.map(|measurement| Beginning { tenant, measurement });
                    self.lifecycle.bus.open(id, arriving.len(), beginning);
                    arriving.stored(&self.lifecycle.dispatch, &leased).await;
                }
                Ok(Accepted::Fresh(Box::new(measurement)))
            }
            Enqueued::Replayed(earlier) => Ok(Accepted::Before(earlier)),
            Enqueued::OverQuota(span) => Err(ServiceError::QuotaUsedUp {
                span: span.as_str(),
                retry_after_s: retry_after_s(Spans::of(now).end(span).since(now)),
            }),
            Enqueued::Mismatch => Err(ServiceError::IdempotencyMismatch),
            Enqueued::TooManyOpen => Err(ServiceError::TooManyOpenJobs {
                retry_after_s: OPEN_JOBS_RETRY_S,
            }),
        }
    }
}

/// The body's hash is taken over its parsed form, so that white space makes no other request of it.
pub(crate) fn idempotency(key: String, request: &impl serde::Serialize) -> Result<NewIdempotency, ServiceError> {
    let ordered: BTreeMap<String, serde_json::Value> = match serde_json::to_value(request) {
        Ok(serde_json::Value::Object(members)) => members.into_iter().collect(),
        _ => return Err(ServiceError::Internal),
    };
    let text = serde_json::to_vec(&ordered).map_err(|_| ServiceError::Internal)?;
    let mut body_sha256 = [0; 32];
    body_sha256.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    Ok(NewIdempotency {
        key,
        body_sha256,
        expires_at: clock::now().plus(IDEMPOTENCY_LIFE),
    })
}

/// How long an idempotency key is kept.
const IDEMPOTENCY_LIFE: Duration = Duration::from_hours(24);
