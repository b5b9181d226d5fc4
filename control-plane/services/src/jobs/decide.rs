//! Deciding about a request: what it asks for, by which agents, and whether its tenant may. Nothing is written here.

use std::time::Duration;

use aws_lc_rs::digest;
use control_api::measurement::{CreateMeasurement, Selection};
use control_core::admission::{AdmissionRequest, Admitted, Candidate, OPEN_JOBS_MAX, Refusal, admit, estimated_start};
use control_core::authorize::TenantScope;
use control_core::board::AgentLoad;
use control_core::quota::Quota;
use control_core::retry::{RetryPolicy, UnknownRetryPolicy};
use control_store::jobs::{CachedReport, Caps, NewIdempotency};
use shared_protocol::id::AgentId;
use shared_protocol::limits::DEADLINE_DEFAULT;
use shared_protocol::spec::{InvalidField, ProbeSpec};
use shared_protocol::tier::Tier;

use super::{Jobs, Load};
use crate::clock;
use crate::error::ServiceError;

/// A request that may be written: everything about it is decided.
pub(super) struct Decided {
    pub(super) scope: TenantScope,
    pub(super) tier: Tier,
    pub(super) caps: Caps,
    pub(super) spec: ProbeSpec,
    pub(super) spec_sha256: [u8; 32],
    pub(super) selection: Selection,
    pub(super) retry: RetryPolicy,
    pub(super) chosen: Vec<Chosen>,
    pub(super) admitted: Admitted,
    pub(super) deadline: Duration,
    pub(super) idempotency: Option<NewIdempotency>,
}

/// An agent that is to do it, or whose earlier report will do.
pub(super) struct Chosen {
    pub(super) candidate: Candidate,
    pub(super) name: String,
    pub(super) cached: Option<CachedReport>,
}

impl Jobs {
    /// Decides about a request.
    ///
    /// # Errors
    /// [`ServiceError`] says which field, limit or agent stands in the way.
    pub(super) async fn decide(
        &self,
        scope: TenantScope,
        tier: Tier,
        request: CreateMeasurement,
        idempotency: Option<NewIdempotency>,
    ) -> Result<Decided, ServiceError> {
        let spec = ProbeSpec::from_value(request.spec).map_err(|invalid| ServiceError::Invalid(within("spec", invalid)))?;
        let retry = retry_policy(request.retry.as_deref())?;
        let tiers = self.lifecycle().tiers.table();
        let limits = tiers.of(tier);
        let chosen = self.choose(scope, tier, limits, &spec, &request.selection).await?;
        let (chosen, load) = (chosen.agents, chosen.load);
        let deadline = request
            .deadline_s
            .map_or_else(|| default_deadline(&spec), |seconds| Duration::from_secs(u64::from(seconds)));
        let spec_sha256 = spec_sha256(&spec)?;
        let chosen = self.with_earlier_reports(scope, (&spec, spec_sha256), request.max_age_s, chosen, &load).await?;
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
        (spec, spec_sha256): (&ProbeSpec, [u8; 32]),
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
            let spec = serde_json::to_value(spec).map_err(|_| ServiceError::Internal)?;
            let mut reader = self.store().reader().await?;
            earlier = control_store::jobs::cached(&mut reader, scope, (&spec, spec_sha256), &chosen, since).await?;
        }
        let names = self.fleet().directory().names(scope, &chosen);
        let with = |agent: AgentId| Chosen {
            candidate: candidate(agent, load),
            name: names.get(&agent).cloned().unwrap_or_default(),
            cached: earlier.iter().find(|cached| cached.agent == agent).copied(),
        };
        Ok(chosen.into_iter().map(with).collect())
    }
}

/// How long until a job is expected to start on an agent.
pub(super) fn start_of(candidate: Candidate) -> Duration {
    estimated_start(candidate.backlog, candidate.drain_rate)
}

pub(super) fn candidate(agent: AgentId, load: &Load) -> Candidate {
    let AgentLoad { online, backlog, drain_rate } = load.agents.get(&agent).copied().unwrap_or_default();
    Candidate {
        agent,
        online,
        backlog,
        drain_rate,
    }
}

/// Equal questions have equal hashes: a spec is written with every default filled in and in the order of its fields.
fn spec_sha256(spec: &ProbeSpec) -> Result<[u8; 32], ServiceError> {
    let text = serde_json::to_vec(spec).map_err(|_| ServiceError::Internal)?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    Ok(sha256)
}

/// Rounded up, so that whoever waits that long has waited long enough.
pub(super) fn retry_after_s(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
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

pub(crate) fn within(parent: &str, invalid: InvalidField) -> InvalidField {
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

/// An observation takes as long as it was asked to: it has the usual time beside that.
fn default_deadline(spec: &ProbeSpec) -> Duration {
    if let ProbeSpec::Observe(observe) = spec {
        DEADLINE_DEFAULT + observe.duration()
    } else {
        DEADLINE_DEFAULT
    }
}

/// When a tenant with too many open jobs tries again, seconds.
pub(super) const OPEN_JOBS_RETRY_S: u32 = 10;
/// Oldest report that may be taken for an answer, seconds.
const MAX_AGE_MAX_S: u32 = 86_400;
/// Longest time a caller is asked to wait, seconds.
const RETRY_AFTER_MAX_S: u32 = 900;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_of_an_hour_has_an_hour_and_the_usual_time() {
        let spec = |text: &str| ProbeSpec::parse(text).unwrap();
        let hour = spec(r#"{"probe":"observe","observation":"drops","duration_s":3600}"#);
        assert_eq!(default_deadline(&hour), DEADLINE_DEFAULT + Duration::from_hours(1));
        assert_eq!(default_deadline(&spec(r#"{"probe":"ping","target":"127.0.0.1"}"#)), DEADLINE_DEFAULT);
    }
}
