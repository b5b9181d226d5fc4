//! Admission: a request becomes a measurement with jobs on disk, or is refused with a reason; and what was accepted can be taken back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use control_api::job::Job;
use control_api::measurement::{CreateMeasurement, Measurement, Selection};
use control_core::admission::{AdmissionRequest, Admitted, Candidate, OPEN_JOBS_MAX, Refusal, admit, estimated_start};
use control_core::authorize::{Grant, TenantScope};
use control_core::board::{AcceptedJob, AgentLoad};
use control_core::queue::QueuedJob;
use control_core::quota::{Quota, Spans};
use control_core::rate::Wait;
use control_core::retry::{Choice, RetryPolicy, UnknownRetryPolicy};
use control_store::Store;
use control_store::jobs::{CachedReport, CancelOutcome, Caps, EndedJob, Enqueue, Enqueued, NewIdempotency, NewJob, NewMeasurement};
use shared_protocol::end::End;
use shared_protocol::id::{AgentId, JobId, MeasurementId};
use shared_protocol::limits::DEADLINE_DEFAULT;
use shared_protocol::spec::{InvalidField, ProbeSpec};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use super::Load;
use super::lifecycle::Lifecycle;
use super::read;
use crate::clock;
use crate::error::ServiceError;
use crate::fleet::Fleet;
use crate::metrics::EndLabel;
use crate::reports::Bus;

/// Measurements and jobs; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    lifecycle: Lifecycle,
    fleet: Fleet,
}

/// A request that may be written: everything about it is decided.
pub(super) struct Decided {
    scope: TenantScope,
    tier: Tier,
    caps: Caps,
    pub(super) spec: ProbeSpec,
    spec_sha256: [u8; 32],
    selection: Selection,
    retry: RetryPolicy,
    pub(super) chosen: Vec<Chosen>,
    pub(super) admitted: Admitted,
    deadline: Duration,
    idempotency: Option<NewIdempotency>,
}

/// An agent that is to do it, or whose earlier report will do.
pub(super) struct Chosen {
    pub(super) candidate: Candidate,
    pub(super) cached: Option<CachedReport>,
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
            Accepted::Fresh(id) | Accepted::Before(id) => self.accepted(scope, tier, id).await,
        }
    }

    /// The measurement that an idempotency key made before.
    async fn earlier(&self, scope: TenantScope, key: Option<&NewIdempotency>) -> Result<Option<MeasurementId>, ServiceError> {
        let Some(key) = key else { return Ok(None) };
        let mut reader = self.store().reader().await?;
        match control_store::jobs::earlier(&mut reader, scope, key, clock::now()).await? {
            Some(Enqueued::Replayed(earlier)) => Ok(Some(earlier)),
            Some(Enqueued::Mismatch) => Err(ServiceError::IdempotencyMismatch),
            Some(Enqueued::Fresh | Enqueued::TooManyOpen | Enqueued::OverQuota(_)) | None => Ok(None),
        }
    }

    /// A measurement that is on disk, with when the first of its open jobs is expected to start.
    async fn accepted(&self, scope: TenantScope, tier: Tier, id: MeasurementId) -> Result<Measurement, ServiceError> {
        let mut reader = self.store().reader().await?;
        let mut measurement = read::measurement_of(&mut reader, scope, id).await?;
        let open = measurement.jobs.iter().filter(|job| job.ended_at.is_none());
        let agents: Vec<AgentId> = open.filter_map(|job| job.agent.parse().ok()).collect();
        if !agents.is_empty() {
            let load = self.lifecycle.dispatch.load(agents.clone(), tier).await;
            let starts = agents.iter().map(|agent| candidate(*agent, &load)).map(start_of);
            measurement.estimated_start = starts.min().map(|start| clock::now().plus(start).into());
        }
        Ok(measurement)
    }

    /// Takes a measurement back: its queued jobs end at once, those in flight at their agent's word.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such measurement.
    pub async fn cancel_measurement(&self, grant: &Grant, id: &str) -> Result<Measurement, ServiceError> {
        let scope = grant.scope()?;
        let measurement = read::parse_id::<MeasurementId>(id)?;
        let at = clock::now();
        let jobs = self.clone();
        let cancelling = self.lifecycle.tasks.spawn(async move {
            let taken_back = jobs
                .store()
                .write(move |tx| Box::pin(async move { control_store::jobs::cancel_measurement(tx, scope, measurement, at).await }))
                .await?
                .ok_or(ServiceError::NotFound)?;
            jobs.taken_back(taken_back.ended, taken_back.requested.iter().map(|job| job.job).collect())
                .await;
            Ok::<_, ServiceError>(())
        });
        cancelling.await.map_err(|_| ServiceError::Internal)??;
        self.measurement(grant, id).await
    }

    /// Takes a job back. Twice is the same as once; a job that has its end keeps it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such job.
    pub async fn cancel_job(&self, grant: &Grant, id: &str) -> Result<Job, ServiceError> {
        let scope = grant.scope()?;
        let job = read::parse_id::<JobId>(id)?;
        let at = clock::now();
        let jobs = self.clone();
        let cancelling = self.lifecycle.tasks.spawn(async move {
            let outcome = jobs
                .store()
                .write(move |tx| Box::pin(async move { control_store::jobs::request_cancel(tx, scope, job, at).await }))
                .await?;
            match outcome {
                CancelOutcome::Ended(ended) => jobs.taken_back(vec![ended], Vec::new()).await,
                CancelOutcome::Requested(open) => jobs.taken_back(Vec::new(), vec![open.job]).await,
                CancelOutcome::AlreadyEnded => {}
                CancelOutcome::NotFound => return Err(ServiceError::NotFound),
            }
            Ok(())
        });
        cancelling.await.map_err(|_| ServiceError::Internal)??;
        self.job(grant, id).await
    }

    async fn taken_back(&self, ended: Vec<EndedJob>, in_flight: Vec<JobId>) {
        for job in &ended {
            self.lifecycle.ended(job, None).await;
        }
        if !in_flight.is_empty() {
            self.lifecycle.dispatch.cancel(in_flight).await;
        }
    }

    pub(super) async fn decide(
        &self,
        scope: TenantScope,
        tier: Tier,
        request: CreateMeasurement,
        idempotency: Option<NewIdempotency>,
    ) -> Result<Decided, ServiceError> {
        let spec = ProbeSpec::from_value(request.spec).map_err(|invalid| ServiceError::Invalid(within("spec", invalid)))?;
        let retry = retry_policy(request.retry.as_deref())?;
        let tiers = self.lifecycle.tiers.table();
        let limits = tiers.of(tier);
        let chosen = self.choose(scope, tier, limits, &spec, &request.selection).await?;
        let (chosen, load) = (chosen.agents, chosen.load);
        let deadline = request.deadline_s.map_or(DEADLINE_DEFAULT, |seconds| Duration::from_secs(u64::from(seconds)));
        let spec_sha256 = spec_sha256(&spec)?;
        let chosen = self.with_earlier_reports(scope, spec_sha256, request.max_age_s, chosen, &load).await?;
        let to_run = chosen.iter().filter(|chosen| chosen.cached.is_none());
        let candidates: Vec<Candidate> = to_run.map(|chosen| chosen.candidate).collect();
        let admitted = admit(&AdmissionRequest {
            limits,
            // The store counts the tenant's own open jobs again, exactly, in the transaction that adds to them.
            open_jobs_of_tenant: 0,
            open_jobs_total: u64::try_from(load.open_jobs).unwrap_or(OPEN_JOBS_MAX),
            spec: &spec,
            deadline,
            answered: chosen.len() - candidates.len(),
            chosen: &candidates,
        })
        .map_err(|refusal| refused(refusal, deadline))?;
        Ok(Decided {
            scope,
            tier,
            caps: Caps {
                open_jobs: limits.open_jobs,
                quota: Quota::of(limits),
            },
            spec,
            spec_sha256,
            selection: request.selection,
            retry,
            chosen,
            admitted,
            deadline,
            idempotency,
        })
    }

    /// Finds the earlier reports that will do, where the request takes some.
    async fn with_earlier_reports(
        &self,
        scope: TenantScope,
        spec_sha256: [u8; 32],
        max_age_s: Option<u32>,
        chosen: Vec<AgentId>,
        load: &Load,
    ) -> Result<Vec<Chosen>, ServiceError> {
        let mut earlier = Vec::new();
        if let Some(age) = max_age_s {
            if !(1..=MAX_AGE_MAX_S).contains(&age) {
                return Err(ServiceError::invalid("max_age_s", format!("must be from 1 to {MAX_AGE_MAX_S}")));
            }
            let since = clock::now().minus(Duration::from_secs(u64::from(age)));
            let mut reader = self.store().reader().await?;
            earlier = control_store::jobs::cached(&mut reader, scope, spec_sha256, &chosen, since).await?;
        }
        let with = |agent: AgentId| Chosen {
            candidate: candidate(agent, load),
            cached: earlier.iter().find(|cached| cached.agent == agent).copied(),
        };
        Ok(chosen.into_iter().map(with).collect())
    }

    async fn accept(&self, decided: Decided) -> Result<Accepted, ServiceError> {
        let now = clock::now();
        let Decided {
            scope,
            tier,
            caps,
            spec,
            spec_sha256,
            selection,
            retry,
            chosen,
            admitted,
            deadline,
            idempotency,
        } = decided;
        let deadline = now.plus(deadline);
        let id = MeasurementId::new(now, clock::random_id_bytes());
        let new_jobs: Vec<NewJob> = chosen
            .iter()
            .map(|chosen| NewJob {
                id: JobId::new(now, clock::random_id_bytes()),
                agent: chosen.candidate.agent,
                cost: if chosen.cached.is_some() { 0 } else { admitted.cost },
                not_before: None,
                cached_from: chosen.cached,
            })
            .collect();
        let is_named = !selection.agents.is_empty() || selection.same_as.is_some();
        let choice = if is_named { Choice::Named } else { Choice::Matched };
        let accepted: Vec<AcceptedJob> = new_jobs
            .iter()
            .filter(|job| job.cached_from.is_none())
            .map(|job| AcceptedJob {
                queued: queued(job, scope, tier, deadline),
                measurement: id,
                retry,
                choice,
            })
            .collect();
        let spec = serde_json::to_value(&spec).map_err(|_| ServiceError::Internal)?;
        let selection = serde_json::to_value(&selection).map_err(|_| ServiceError::Internal)?;
        let measurement = NewMeasurement {
            id,
            spec,
            spec_sha256,
            selection,
            tier,
            caps,
            created_at: now,
            deadline_at: deadline,
            retry,
            choice,
        };
        let answered = new_jobs.len() - accepted.len();
        let enqueued = self
            .store()
            .submit(Enqueue {
                scope,
                measurement,
                jobs: new_jobs,
                idempotency,
            })
            .await?;
        match enqueued {
            Enqueued::Fresh => {
                let counted = |jobs: usize| u64::try_from(jobs).unwrap_or(0);
                self.lifecycle.metrics.jobs_accepted.inc_by(counted(accepted.len() + answered));
                let completed = EndLabel { end: End::Completed.as_str() };
                self.lifecycle.metrics.jobs_ended.get_or_create(&completed).inc_by(counted(answered));
                if !accepted.is_empty() {
                    self.lifecycle.bus.open(id, accepted.len());
                    self.lifecycle.dispatch.accepted(accepted).await;
                }
                Ok(Accepted::Fresh(id))
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

/// What came of writing a measurement.
enum Accepted {
    /// It is new.
    Fresh(MeasurementId),
    /// Its idempotency key made one before.
    Before(MeasurementId),
}

/// How long until a job is expected to start on an agent.
pub(super) fn start_of(candidate: Candidate) -> Duration {
    estimated_start(candidate.backlog, candidate.drain_rate)
}

/// Equal questions have equal hashes: a spec is written with every default filled in and in the order of its fields.
fn spec_sha256(spec: &ProbeSpec) -> Result<[u8; 32], ServiceError> {
    let text = serde_json::to_vec(spec).map_err(|_| ServiceError::Internal)?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    Ok(sha256)
}

/// Rounded up, so that whoever waits that long has waited long enough.
fn retry_after_s(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
}

fn candidate(agent: AgentId, load: &Load) -> Candidate {
    let AgentLoad { online, backlog, drain_rate } = load.agents.get(&agent).copied().unwrap_or_default();
    Candidate {
        agent,
        online,
        backlog,
        drain_rate,
    }
}

fn queued(job: &NewJob, scope: TenantScope, tier: Tier, deadline: UnixMicros) -> QueuedJob {
    QueuedJob {
        job: job.id,
        agent: job.agent,
        tenant: scope.tenant(),
        tier,
        cost: job.cost,
        deadline,
        not_before: None,
    }
}

fn refused(refusal: Refusal, deadline: Duration) -> ServiceError {
    match refusal {
        Refusal::Deadline(invalid) => ServiceError::Invalid(invalid),
        Refusal::TierLimit(invalid) => ServiceError::TierLimit(within("spec", invalid)),
        Refusal::NoAgents => ServiceError::NoAgentMatches,
        Refusal::TooManyOpenJobs { .. } => ServiceError::TooManyOpenJobs {
            retry_after_s: OPEN_JOBS_RETRY_S,
        },
        Refusal::Full => ServiceError::Unavailable {
            retry_after_s: OPEN_JOBS_RETRY_S,
        },
        Refusal::CannotStartInTime { estimated_start } => ServiceError::CannotStartInTime {
            estimated_start: clock::now().plus(estimated_start).into(),
            // By then so much is done that a job with the same deadline would start in time.
            retry_after_s: retry_after_s(estimated_start.saturating_sub(deadline)).min(RETRY_AFTER_MAX_S),
        },
    }
}

fn retry_policy(text: Option<&str>) -> Result<RetryPolicy, ServiceError> {
    let policy = text.map(str::parse).transpose();
    policy
        .map(Option::unwrap_or_default)
        .map_err(|unknown: UnknownRetryPolicy| ServiceError::invalid("retry", unknown.to_string()))
}

pub(super) fn within(parent: &str, invalid: InvalidField) -> InvalidField {
    let field = if invalid.field.is_empty() {
        parent.to_owned()
    } else {
        format!("{parent}.{}", invalid.field)
    };
    InvalidField {
        field,
        message: invalid.message,
    }
}

/// The body's hash is taken over its parsed form, so that white space makes no other request of it.
fn idempotency(key: String, request: &CreateMeasurement) -> Result<NewIdempotency, ServiceError> {
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
/// When a tenant with too many open jobs tries again, seconds.
const OPEN_JOBS_RETRY_S: u32 = 10;
/// Oldest report that may be taken for an answer, seconds.
const MAX_AGE_MAX_S: u32 = 86_400;
/// Longest time a caller is asked to wait, seconds.
const RETRY_AFTER_MAX_S: u32 = 900;
