//! Whether a job may begin, decided before anything is done for it.

use std::time::Duration;

use shared_protocol::end::RefuseReason;
use shared_protocol::frame::{Capability, CapabilityLevel, Refuse, Run};
use shared_protocol::id::JobRef;
use shared_protocol::limits::{AGENT_TEXT_BYTES, JOBS_IN_HAND};
use shared_protocol::spec::ProbeSpec;

use crate::outbox::Room;
use crate::policy::Policy;

/// Whether the agent takes jobs at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It does.
    Open,
    /// It is about to end.
    Stopping,
}

/// What the decision needs to know besides policy and job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) admission: Admission,
    pub(crate) room: Room,
    pub(crate) held: usize,
    pub(crate) capabilities: &'a [Capability],
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: RefuseReason,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(reason: RefuseReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// As the frame that says it.
    pub(super) fn for_job(mut self, job: JobRef) -> Refuse {
        self.message.truncate(self.message.floor_char_boundary(AGENT_TEXT_BYTES));
        tracing::info!(job_id = %job.job, reason = self.reason.as_str(), "job refused");
        Refuse {
            job: job.job,
            attempt: job.attempt,
            reason: self.reason,
            message: self.message,
        }
    }
}

/// Reads the spec of a job that may begin.
pub(crate) fn admit(policy: &Policy, surroundings: &Surroundings<'_>, run: Run) -> Result<ProbeSpec, Refusal> {
    if surroundings.admission == Admission::Stopping {
        return Err(Refusal::new(RefuseReason::Stopping, "the agent is stopping"));
    }
    let spec = ProbeSpec::from_value(run.spec).map_err(|invalid| {
        let reason = if invalid.field == "probe" {
            RefuseReason::Unsupported
        } else {
            RefuseReason::InvalidSpec
        };
        Refusal::new(reason, invalid.to_string())
    })?;
    if let Some(limits) = &run.limits {
        spec.check_tier(limits)
            .map_err(|beyond| Refusal::new(RefuseReason::CapExceeded, beyond.to_string()))?;
    }
    policy.check_spec(&spec).map_err(|refused| Refusal::new(refused.reason, refused.message))?;
    let missing = surroundings
        .capabilities
        .iter()
        .find(|capability| capability.probe == spec.kind() && capability.level == CapabilityLevel::Unavailable);
    if let Some(missing) = missing {
        let reason = missing.reason.as_deref().unwrap_or("this host cannot run the probe");
        return Err(Refusal::new(RefuseReason::Unsupported, reason));
    }
    if Duration::from_millis(run.remaining_ms) < spec.timeout() {
        return Err(Refusal::new(RefuseReason::Expired, "the time left is shorter than the probe needs"));
    }
    if surroundings.room == Room::Full {
        return Err(Refusal::new(
            RefuseReason::OutboxFull,
            "no more reports can be kept until some are acknowledged",
        ));
    }
    if surroundings.held >= JOBS_IN_HAND {
        return Err(Refusal::new(RefuseReason::AgentBusy, "the agent holds as many jobs as it may"));
    }
    Ok(spec)
}
