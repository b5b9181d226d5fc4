//! What evidence comes to, and what that makes of the verdict. Pure.

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Cause, Direction, Evidence, FlowDrops, FlowFacts, ProcessorWait, Report};

/// Finds the causes that the evidence names, and says in the report whose fault it was, where it is not as it should be.
pub(super) fn judge(report: &mut Report, evidence: &mut Evidence) {
    let starved = evidence.processor.filter(|wait| is_starved(*wait, report.duration_us));
    let flows = evidence.kernel.as_ref().map_or(&[][..], |facts| &facts.flows);
    let reset = flows.iter().any(is_reset_here);
    let [sent, received] = [Direction::Sent, Direction::Received].map(|direction| firewalled(flows, direction));
    // Where a rule answers with a reset, what was sent is dropped for it.
    let sent = if reset { 0 } else { sent };
    let mut told = Vec::new();
    if let Some(wait) = starved {
        let (waited, took) = (milliseconds(wait.longest_us), milliseconds(report.duration_us));
        told.push((Cause::Starved, format!("the agent waited for a processor {waited} ms of {took} ms")));
    }
    if received > 0 {
        told.push((
            Cause::FirewallDropped,
            format!("this host's own firewall dropped the answer ({FIREWALL}, {})", packets(received)),
        ));
    }
    if sent > 0 {
        told.push((
            Cause::FirewallDropped,
            format!("this host's own firewall dropped what was sent ({FIREWALL}, {})", packets(sent)),
        ));
    }
    if reset {
        told.push((
            Cause::LocalReset,
            "a rule of this host's own firewall reset the connection, not the target".to_owned(),
        ));
    }
    for (cause, sentence) in told {
        if !evidence.causes.contains(&cause) {
            evidence.causes.push(cause);
        }
        let Some(error) = report.error.as_mut() else { continue };
        error.message = format!("{}; {sentence}", error.message);
        if explains(cause, error.code) {
            report.fault = Fault::Agent;
        }
    }
}

/// Whether a cause is reason enough for an error.
const fn explains(cause: Cause, code: ErrorCode) -> bool {
    match cause {
        Cause::Starved | Cause::FirewallDropped => matches!(code, ErrorCode::Timeout),
        Cause::LocalReset => matches!(code, ErrorCode::Refused | ErrorCode::Reset),
    }
}

/// Packets of a direction that a rule dropped.
fn firewalled(flows: &[FlowFacts], direction: Direction) -> u64 {
    let drops = flows.iter().flat_map(|flow| &flow.drops);
    drops.filter(|drops| is_rule(drops, direction)).map(|drops| drops.packets).sum()
}

/// Whether a reset came at the very moment at which a rule dropped what was sent: nobody but the rule can have answered so soon, and no packet
/// had left that a target could have answered.
fn is_reset_here(flow: &FlowFacts) -> bool {
    let Some(reset_us) = flow.tcp.and_then(|tcp| tcp.reset_received_us) else {
        return false;
    };
    let at_once = |drops: &FlowDrops| drops.last_us.is_some_and(|last_us| last_us.abs_diff(reset_us) <= AT_ONCE_US);
    flow.drops.iter().any(|drops| is_rule(drops, Direction::Sent) && at_once(drops))
}

fn is_rule(drops: &FlowDrops, direction: Direction) -> bool {
    drops.direction == direction && drops.reason == FIREWALL
}

fn packets(count: u64) -> String {
    if count == 1 { "1 packet".to_owned() } else { format!("{count} packets") }
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

/// The kernel's reason where a rule of its packet filter said so.
const FIREWALL: &str = "netfilter_drop";
/// A rule drops and answers in one go; a processor that is busy may come between the two.
const AT_ONCE_US: u64 = 50_000;

#[cfg(test)]
mod tests {
    use shared_protocol::report::{ConnectionFacts, KernelFacts, Transport};

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
            kernel: None,
        }
    }

    /// A connection of which a rule dropped this, and which a reset ended then.
    fn seen(direction: Direction, reason: &str, reset_received_us: Option<u64>) -> Evidence {
        let flow = FlowFacts {
            transport: Transport::Tcp,
            local_port: 40_000,
            remote: "192.0.2.1:80".parse().unwrap(),
            tcp: Some(ConnectionFacts {
                syn_sent_us: 1_000,
                established: false,
                srtt_us: None,
                retransmits: 0,
                reset_received_us,
                reset_sent_us: None,
            }),
            drops: vec![FlowDrops {
                reason: reason.to_owned(),
                direction,
                packets: 3,
                last_us: Some(500),
            }],
        };
        Evidence {
            version: 1,
            causes: Vec::new(),
            processor: None,
            kernel: Some(KernelFacts {
                flows: vec![flow],
                missing: Vec::new(),
            }),
        }
    }

    #[test]
    fn what_a_rule_of_this_host_did_is_this_hosts_fault_and_nothing_else_that_was_dropped_is() {
        use Direction::{Received, Sent};
        let dropped = |what: &str| format!("it is so; this host's own firewall dropped {what} (netfilter_drop, 3 packets)");
        let reset = "it is so; a rule of this host's own firewall reset the connection, not the target".to_owned();
        let plain = "it is so".to_owned();
        for (evidence, code, cause, fault, told) in [
            (
                seen(Received, "netfilter_drop", None),
                ErrorCode::Timeout,
                Some(Cause::FirewallDropped),
                Fault::Agent,
                dropped("the answer"),
            ),
            (
                seen(Sent, "netfilter_drop", None),
                ErrorCode::Timeout,
                Some(Cause::FirewallDropped),
                Fault::Agent,
                dropped("what was sent"),
            ),
            // It is said, and yet explains no answer that came.
            (
                seen(Received, "netfilter_drop", None),
                ErrorCode::Refused,
                Some(Cause::FirewallDropped),
                Fault::Target,
                dropped("the answer"),
            ),
            (
                seen(Sent, "netfilter_drop", Some(600)),
                ErrorCode::Refused,
                Some(Cause::LocalReset),
                Fault::Agent,
                reset,
            ),
            // Long after a rule dropped something, somebody else's reset.
            (
                seen(Sent, "netfilter_drop", Some(90_000)),
                ErrorCode::Reset,
                Some(Cause::FirewallDropped),
                Fault::Target,
                dropped("what was sent"),
            ),
            (seen(Received, "no_socket", Some(500)), ErrorCode::Refused, None, Fault::Target, plain.clone()),
            (seen(Sent, "qdisc_drop", Some(500)), ErrorCode::Timeout, None, Fault::Target, plain),
        ] {
            let (mut report, mut evidence) = (report(Err(Stop::failed(Fault::Target, code, "it is so")), 50_000), evidence);
            judge(&mut report, &mut evidence);
            assert_eq!(evidence.causes, cause.into_iter().collect::<Vec<_>>(), "{told}");
            assert_eq!((report.fault, report.error.unwrap().message), (fault, told));
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
