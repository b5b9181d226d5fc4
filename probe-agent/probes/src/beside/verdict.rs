//! What evidence comes to, and what that makes of the verdict. Pure.

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Cause, Evidence, ProcessorWait, Report};

/// Finds the causes that the evidence names, and says in the report whose fault it was, where it is not as it should be.
pub(super) fn judge(report: &mut Report, evidence: &mut Evidence) {
    if evidence.processor.is_some_and(|wait| is_starved(wait, report.duration_us)) {
        evidence.causes.push(Cause::Starved);
    }
    let Some(error) = report.error.as_mut() else { return };
    if let Some(wait) = evidence.processor.filter(|_| evidence.causes.contains(&Cause::Starved)) {
        let (waited, took) = (milliseconds(wait.longest_us), milliseconds(report.duration_us));
        error.message = format!("{}; the agent waited for a processor {waited} ms of {took} ms", error.message);
        if error.code == ErrorCode::Timeout {
            report.fault = Fault::Agent;
        }
    }
}

/// Whether one thread alone waited for a good part of the time: then so did what it was to do.
const fn is_starved(wait: ProcessorWait, took_us: u64) -> bool {
    wait.longest_us >= STARVED_LEAST_US && wait.longest_us.saturating_mul(STARVED_PART) >= took_us
}

fn milliseconds(us: u64) -> u64 {
    us.div_ceil(1_000)
}

/// A fifth of the time that a probe took is what no network explains.
const STARVED_PART: u64 = 5;
/// Less is what any scheduler does now and then: ten milliseconds are a few of its turns.
const STARVED_LEAST_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Completeness, Found, Record};
    use crate::verdict::{Stop, Verdict};

    fn report(outcome: Result<Verdict, Stop>, duration_us: u64) -> Report {
        let found = Found {
            resolved: Vec::new(),
            findings: None,
            completeness: Completeness::Whole,
        };
        let mut report = Record::begin(shared_protocol::report::ClockQuality::default()).end(outcome, found);
        report.duration_us = duration_us;
        report
    }

    fn evidence(longest_us: u64) -> Evidence {
        Evidence {
            version: 1,
            causes: Vec::new(),
            processor: Some(ProcessorWait {
                waited_us: longest_us,
                longest_us,
                ran_us: 1,
            }),
        }
    }

    #[test]
    fn an_agent_that_had_no_processor_for_a_fifth_of_the_time_was_starved() {
        for (longest_us, took_us, causes) in [
            (200_000, 1_000_000, vec![Cause::Starved]),
            (199_999, 1_000_000, vec![]),
            (10_000, 20_000, vec![Cause::Starved]),
            (9_999, 10_000, vec![]),
            (u64::MAX, u64::MAX, vec![Cause::Starved]),
        ] {
            let (mut report, mut evidence) = (report(Ok(Verdict::ok()), took_us), evidence(longest_us));
            let before = report.clone();
            judge(&mut report, &mut evidence);
            assert_eq!(evidence.causes, causes, "{longest_us} of {took_us}");
            // What came in the end has come.
            assert_eq!(report, before);
        }
    }

    #[test]
    fn a_time_out_of_a_starved_agent_is_its_own_fault_and_another_error_is_not() {
        for (code, fault) in [(ErrorCode::Timeout, Fault::Agent), (ErrorCode::Refused, Fault::Target)] {
            let (mut report, mut evidence) = (report(Err(Stop::failed(Fault::Target, code, "it is so")), 50_000), evidence(30_100));
            judge(&mut report, &mut evidence);
            assert_eq!(report.fault, fault);
            let message = report.error.unwrap().message;
            assert_eq!(message, "it is so; the agent waited for a processor 31 ms of 50 ms");
        }
    }
}
