//! What the agent's host has to say about a probe, where it comes to something.

use shared_protocol::report::{Cause, Direction, Evidence};

use super::Line;
use super::ping::milliseconds;

/// One line a cause.
pub(crate) fn lines(evidence: &Evidence) -> Vec<Line> {
    evidence
        .causes
        .iter()
        .map(|cause| Line::warning(format!("  host: {}", told(*cause, evidence))))
        .collect()
}

fn told(cause: Cause, evidence: &Evidence) -> String {
    match (cause, evidence.processor) {
        (Cause::Starved, Some(wait)) => format!(
            "the agent was starved: it waited {} ms for a processor and ran {} ms",
            milliseconds(wait.longest_us),
            milliseconds(wait.ran_us)
        ),
        (Cause::Starved, None) => "the agent was starved".to_owned(),
        (Cause::FirewallDropped, _) => format!("its own firewall dropped packets of this probe ({})", rules(evidence)),
        (Cause::LocalReset, _) => format!("a rule of its own firewall reset the connection, not the target ({})", rules(evidence)),
    }
}

/// What rules dropped, by where it was going.
fn rules(evidence: &Evidence) -> String {
    let drops = evidence.kernel.iter().flat_map(|facts| &facts.flows).flat_map(|flow| &flow.drops);
    let [mut sent, mut received] = [0, 0];
    for drops in drops.filter(|drops| drops.reason == FIREWALL) {
        match drops.direction {
            Direction::Sent => sent += drops.packets,
            Direction::Received => received += drops.packets,
        }
    }
    format!("{FIREWALL}: {sent} sent, {received} received")
}

/// The kernel's reason where a rule of its packet filter said so.
const FIREWALL: &str = "netfilter_drop";

#[cfg(test)]
mod tests {
    use shared_protocol::report::{FlowDrops, FlowFacts, KernelFacts, ProcessorWait, Transport};

    use super::*;

    #[test]
    fn a_cause_is_one_line_with_what_it_rests_on() {
        let mut evidence = Evidence {
            version: 1,
            causes: Vec::new(),
            processor: Some(ProcessorWait {
                waited_us: 99_000,
                longest_us: 31_250,
                ran_us: 4_000,
            }),
            kernel: None,
        };
        assert_eq!(lines(&evidence), []);
        evidence.causes.push(Cause::Starved);
        let told: Vec<String> = lines(&evidence).into_iter().map(|line| line.text).collect();
        assert_eq!(told, ["  host: the agent was starved: it waited 31.250 ms for a processor and ran 4.000 ms"]);
    }

    #[test]
    fn what_a_rule_did_is_told_with_how_much_it_dropped() {
        let drops = |direction, reason: &str, packets| FlowDrops {
            reason: reason.to_owned(),
            direction,
            packets,
            last_us: None,
        };
        let flow = FlowFacts {
            transport: Transport::Udp,
            local_port: 40_000,
            remote: "192.0.2.1:53".parse().unwrap(),
            tcp: None,
            drops: vec![
                drops(Direction::Received, FIREWALL, 2),
                drops(Direction::Sent, FIREWALL, 1),
                drops(Direction::Received, "no_socket", 7),
            ],
        };
        let evidence = Evidence {
            version: 1,
            causes: vec![Cause::FirewallDropped, Cause::LocalReset],
            processor: None,
            kernel: Some(KernelFacts {
                flows: vec![flow],
                missing: Vec::new(),
            }),
        };
        let told: Vec<String> = lines(&evidence).into_iter().map(|line| line.text).collect();
        let of_rules = "(netfilter_drop: 1 sent, 2 received)";
        assert_eq!(
            told,
            [
                format!("  host: its own firewall dropped packets of this probe {of_rules}"),
                format!("  host: a rule of its own firewall reset the connection, not the target {of_rules}"),
            ]
        );
    }
}
