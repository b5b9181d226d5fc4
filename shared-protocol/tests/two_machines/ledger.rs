//! What really happened, kept beside both sides and never read by them: the judge of a run.

use std::collections::{BTreeMap, BTreeSet};

use shared_protocol::close::CloseReason;
use shared_protocol::end::End;
use shared_protocol::id::{JobId, JobRef};

/// A broken promise, in words.
#[derive(Debug, Clone)]
pub(crate) struct Violation(pub(crate) String);

#[derive(Default)]
pub(crate) struct Ledger {
    accepted: BTreeSet<JobId>,
    ends: BTreeMap<JobId, Vec<End>>,
    ran: BTreeSet<JobRef>,
    /// By number in the outbox, which lives as long as the run does.
    written: BTreeMap<u64, (JobRef, String)>,
    kept: BTreeMap<u64, Kept>,
    stored: BTreeMap<JobId, Vec<JobRef>>,
    first: Option<Violation>,
    pub(crate) faults: u32,
    pub(crate) sessions: u32,
    pub(crate) findings: u64,
}

/// What became of a report on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Stored,
    Late,
    Discarded,
}

impl Ledger {
    pub(crate) fn violate(&mut self, what: String) {
        self.first.get_or_insert(Violation(what));
    }

    pub(crate) fn job_accepted(&mut self, job: JobId) {
        self.accepted.insert(job);
    }

    pub(crate) fn job_ended(&mut self, job: JobId, end: End) {
        let ends = self.ends.entry(job).or_default();
        ends.push(end);
        if ends.len() > 1 {
            let ends = format!("{ends:?}");
            self.violate(format!("{job} ended more than once: {ends}"));
        }
    }

    pub(crate) fn job_runs(&mut self, job: JobRef) {
        if !self.ran.insert(job) {
            self.violate(format!("{job:?} was run twice"));
        }
    }

    pub(crate) fn report_written(&mut self, seq: u64, job: JobRef, body: &str) {
        self.written.insert(seq, (job, body.to_owned()));
    }

    pub(crate) fn report_kept(&mut self, seq: u64, job: JobRef, body: &str, attempt_is_current: bool, kept: Kept) {
        if self.written.get(&seq).is_none_or(|(wrote, text)| *wrote != job || text != body) {
            self.violate(format!("report {seq} is not what the agent wrote"));
        }
        if self.kept.insert(seq, kept).is_some() {
            self.violate(format!("report {seq} was taken in twice"));
        }
        if kept == Kept::Stored && !attempt_is_current {
            self.violate(format!("report {seq} of a fenced attempt was stored"));
        }
        if kept != Kept::Discarded {
            let stored = self.stored.entry(job.job).or_default();
            stored.push(job);
            if stored.len() > 1 {
                self.violate(format!("{} has two reports", job.job));
            }
        }
    }

    /// The agent forgets a report.
    pub(crate) fn report_forgotten(&mut self, seq: u64) {
        if !self.kept.contains_key(&seq) {
            self.violate(format!("report {seq} was acknowledged and is not on disk"));
        }
    }

    pub(crate) fn closed(&mut self, who: &str, reason: CloseReason) {
        if !matches!(reason, CloseReason::Silent | CloseReason::Replaced) {
            self.violate(format!("{who} ended a session with {reason:?}"));
        }
    }

    pub(crate) fn all_ended(&self) -> bool {
        self.accepted.iter().all(|job| self.ends.contains_key(job))
    }

    pub(crate) fn all_forgotten(&self) -> bool {
        self.written.keys().all(|seq| self.kept.contains_key(seq))
    }

    pub(crate) fn has_violation(&self) -> bool {
        self.first.is_some()
    }

    /// The judgement at the end of a run.
    pub(crate) fn verdict(mut self, outbox: usize) -> Result<Self, Violation> {
        for job in self.accepted.clone() {
            if !self.ends.contains_key(&job) {
                self.violate(format!("{job} has no end"));
            }
        }
        if let Some(seq) = self.written.keys().find(|seq| !self.kept.contains_key(seq)).copied() {
            self.violate(format!("report {seq} was lost"));
        }
        if outbox > 0 {
            self.violate(format!("{outbox} reports were never acknowledged"));
        }
        match self.first.take() {
            Some(violation) => Err(violation),
            None => Ok(self),
        }
    }
}
