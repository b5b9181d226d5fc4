//! What a measurement's jobs and reports together mean for the exit code.

use control_api::job::Job;
use control_api::measurement::JobReport;
use shared_protocol::fault::{Fault, Status};

use crate::exit::Exit;

/// How a job went, for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The target did what was asked.
    Reached,
    /// The probe ran, and the target, or the way to it, did not do what was asked.
    TargetFailed,
    /// The owner of the agent's host does not allow it.
    NotAllowed,
    /// It did not start or end in time.
    Expired,
    /// The agent gave no usable answer.
    AgentFailed,
}

/// The exit code of a measurement whose jobs have all ended.
pub(super) fn exit_of(jobs: &[Job], reports: &[JobReport]) -> Exit {
    let outcomes: Vec<Outcome> = jobs
        .iter()
        .map(|job| outcome(job, reports.iter().find(|report| report.job == job.id && !report.late)))
        .collect();
    let all = |wanted: Outcome| outcomes.iter().all(|outcome| *outcome == wanted);
    let answered = |outcome: &Outcome| matches!(outcome, Outcome::Reached | Outcome::TargetFailed);
    if outcomes.is_empty() {
        Exit::Partial
    } else if all(Outcome::Reached) {
        Exit::Ok
    } else if outcomes.iter().all(answered) {
        Exit::TargetFailed
    } else if all(Outcome::Expired) {
        Exit::Timeout
    } else if all(Outcome::NotAllowed) {
        Exit::Denied
    } else {
        Exit::Partial
    }
}

fn outcome(job: &Job, report: Option<&JobReport>) -> Outcome {
    match (job.state.as_str(), job.reason.as_deref(), report) {
        ("expired", _, _) => Outcome::Expired,
        ("refused", Some("policy_denied" | "kind_disabled" | "cap_exceeded"), _) => Outcome::NotAllowed,
        ("completed", _, Some(report)) => match (report.report.status, report.report.fault) {
            (Status::Ok | Status::Degraded, _) => Outcome::Reached,
            (Status::Failed | Status::Timeout, Fault::Policy) => Outcome::NotAllowed,
            (Status::Failed | Status::Timeout, Fault::Agent | Fault::Control) => Outcome::AgentFailed,
            (Status::Failed | Status::Timeout, Fault::None | Fault::Target | Fault::Path | Fault::Resolver) => Outcome::TargetFailed,
        },
        _ => Outcome::AgentFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(id: &str, state: &str, reason: Option<&str>) -> Job {
        serde_json::from_value(json!({
            "id": id, "measurement": "m", "agent": "a", "agent_name": "local", "state": state, "reason": reason, "attempt": 1,
            "created_at": "2026-11-21T09:00:00Z", "deadline_at": "2026-11-21T09:10:00Z", "cancel_requested_at": null, "ended_at": null,
        }))
        .unwrap()
    }

    fn report(job: &str, status: &str, fault: &str) -> JobReport {
        serde_json::from_value(json!({
            "job": job, "measurement": "m", "agent": "a", "received_at": "2026-11-21T09:00:01Z", "started_at": "2026-11-21T09:00:00Z", "late": false,
            "report": {"schema_version": 1, "status": status, "fault": fault, "started_at_us": 0, "duration_us": 1, "clock": {},
                       "policy": {"verdict": "allowed", "rule": "default"}},
        }))
        .unwrap()
    }

    #[test]
    fn the_exit_code_follows_from_how_each_job_went() {
        let (done, ok) = (job("1", "completed", None), report("1", "ok", "none"));
        let unreached = (job("2", "completed", None), report("2", "timeout", "path"));
        let broken = (job("3", "completed", None), report("3", "failed", "agent"));
        let denied_late = (job("4", "completed", None), report("4", "failed", "policy"));
        let degraded = report("1", "degraded", "path");
        let (lost, expired) = (job("5", "failed", Some("agent_lost")), job("6", "expired", None));
        let refused = job("7", "refused", Some("policy_denied"));
        for (jobs, reports, exit) in [
            (vec![&done], vec![&ok], 0),
            (vec![&done], vec![&degraded], 0),
            (vec![&unreached.0], vec![&unreached.1], 1),
            (vec![&done, &unreached.0], vec![&ok, &unreached.1], 1),
            (vec![&done, &lost], vec![&ok], 8),
            (vec![&lost], vec![], 8),
            (vec![&broken.0], vec![&broken.1], 8),
            (vec![&done], vec![], 8),
            (vec![&expired], vec![], 6),
            (vec![&done, &expired], vec![&ok], 8),
            (vec![&refused], vec![], 3),
            (vec![&refused, &denied_late.0], vec![&denied_late.1], 3),
            (vec![&refused, &done], vec![&ok], 8),
            (vec![], vec![], 8),
        ] {
            let jobs: Vec<Job> = jobs.into_iter().cloned().collect();
            let reports: Vec<JobReport> = reports.into_iter().cloned().collect();
            assert_eq!(exit_of(&jobs, &reports).code(), exit, "{jobs:?}");
        }
    }
}
