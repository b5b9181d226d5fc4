//! A report derived again from what it keeps, and what each of its verdicts rests on.

use shared_protocol::report::{Findings, Report, WireLog, WireRecord};
use shared_protocol::spec::ProbeSpec;

mod grounds;

pub use grounds::Ground;

use crate::book::Book;
use crate::log::BadLog;
use crate::machine;
use crate::verdict::Verdict;

/// Why a report cannot be derived again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDerivable {
    /// It does not keep what was sent and what came.
    #[error("the report keeps nothing of what was sent and what came: measure again with the option raw")]
    NotKept,
    /// It has no findings: the probe could not begin.
    #[error("the report has no findings to derive")]
    NoFindings,
    /// Its probe is none of those that keep it, or not the one of the spec.
    #[error("reports of this probe cannot be derived again")]
    OtherProbe,
    /// What it keeps cannot be read.
    #[error(transparent)]
    BadLog(#[from] BadLog),
}

/// A report derived again.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// The findings, from the log alone. Names of hops are the resolver's word, their networks that of the files of the agent's owner: both
    /// come from the report.
    pub findings: Findings,
    /// The verdict on them; where the probe was ended before its plan, the report's own says why instead.
    pub verdict: Verdict,
    /// What it rests on.
    pub grounds: Vec<Ground>,
}

impl Derived {
    /// Whether findings and verdict are those of the report, byte for byte as they are written.
    pub fn is_same(&self, report: &Report) -> bool {
        let findings = report.findings.as_ref().map(serde_json::to_string);
        let same_findings = matches!((findings, serde_json::to_string(&self.findings)), (Some(Ok(theirs)), Ok(ours)) if theirs == ours);
        let stopped = report.raw.as_ref().is_some_and(|log| log.stopped);
        let same_verdict = (report.status, report.fault, &report.error) == (self.verdict.status, self.verdict.fault, &self.verdict.error);
        same_findings && (stopped || same_verdict)
    }
}

/// Derives a report again.
///
/// # Errors
/// [`NotDerivable`] says why it cannot be.
pub fn derive(spec: &ProbeSpec, report: &Report) -> Result<Derived, NotDerivable> {
    let log = report.raw.as_ref().ok_or(NotDerivable::NotKept)?;
    let reported = report.findings.as_ref().ok_or(NotDerivable::NoFindings)?;
    let book = Book::read(log)?;
    let address = match (spec, reported) {
        (ProbeSpec::Traceroute(_), Findings::Traceroute(found)) => found.address,
        (ProbeSpec::Mtr(_), Findings::Mtr(found)) => found.address,
        (ProbeSpec::Pmtu(_), Findings::Pmtu(found)) => found.address,
        _ => return Err(NotDerivable::OtherProbe),
    };
    let (mut findings, verdict) = machine::findings(spec, address, &book).ok_or(NotDerivable::OtherProbe)?;
    let mut reported = reported.clone();
    let named = machine::addresses_mut(&mut reported);
    for found in machine::addresses_mut(&mut findings) {
        if let Some(known) = named.iter().find(|known| known.address == found.address) {
            found.name.clone_from(&known.name);
            found.asn.clone_from(&known.asn);
            found.as_name.clone_from(&known.as_name);
            found.prefix.clone_from(&known.prefix);
        }
    }
    machine::add_as_path(&mut findings);
    let grounds = grounds::of(&findings, &verdict, log);
    Ok(Derived { findings, verdict, grounds })
}

/// How many packets a log has that left, and that came.
pub fn packets(log: &WireLog) -> (usize, usize) {
    let count = |is: fn(&WireRecord) -> bool| log.records.iter().filter(|record| is(record)).count();
    (
        count(|record| matches!(record, WireRecord::Sent(_))),
        count(|record| matches!(record, WireRecord::Came(_))),
    )
}
