//! A report from its first moment to its last: what is the same in the reports of all probes.

use std::net::IpAddr;

use shared_protocol::report::{ClockQuality, Findings, PolicyVerdict, Report, Verdict as PolicyAnswer};
use shared_protocol::time::{MonotonicMicros, UnixMicros};

use crate::clock;
use crate::verdict::{Stop, Verdict};

/// A probe that has begun.
#[derive(Debug)]
pub(crate) struct Record {
    started_at: UnixMicros,
    begun: MonotonicMicros,
    clock: ClockQuality,
}

/// What a probe found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The addresses that the target's name had, in the order used.
    pub resolved: Vec<IpAddr>,
    /// What the probe found; `None` where it could not begin.
    pub findings: Option<Findings>,
    /// Whether findings were left out.
    pub completeness: Completeness,
}

/// Whether findings are all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    Whole,
    Truncated,
}

impl Record {
    /// Begins at this moment.
    pub(crate) fn begin(clock: ClockQuality) -> Self {
        Self {
            started_at: clock::wall(),
            begun: clock::monotonic(),
            clock,
        }
    }

    /// Ends at this moment.
    pub(crate) fn end(self, outcome: Result<Verdict, Stop>, found: Found) -> Report {
        let (answer, rule) = match &outcome {
            Err(Stop::Denied(denial)) => (PolicyAnswer::Denied, denial.rule.clone()),
            Err(Stop::Cancelled | Stop::Failed(_)) | Ok(_) => (PolicyAnswer::Allowed, ALLOWED_RULE.to_owned()),
        };
        let verdict = outcome.unwrap_or_else(Stop::into_verdict);
        Report {
            schema_version: 1,
            status: verdict.status,
            fault: verdict.fault,
            error: verdict.error,
            started_at_us: self.started_at,
            duration_us: u64::try_from(clock::monotonic().since(self.begun).as_micros()).unwrap_or(u64::MAX),
            clock: self.clock,
            resolved: found.resolved,
            policy: PolicyVerdict { verdict: answer, rule },
            findings: found.findings,
            truncated: found.completeness == Completeness::Truncated,
            raw: None,
            evidence: None,
            standing: None,
        }
    }
}

/// What a report names as the rule where none forbade anything.
const ALLOWED_RULE: &str = "owner_policy";
