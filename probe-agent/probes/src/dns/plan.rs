//! Whom to ask next, and how. Pure.

use std::net::SocketAddr;

use shared_protocol::report::DnsOutcome;
use shared_protocol::spec::DnsTransport;

/// The tries of a question: the servers in turn, and over TCP once an answer was cut.
#[derive(Debug)]
pub(super) struct Plan {
    servers: Vec<SocketAddr>,
    transport: DnsTransport,
    retries: u32,
    seq: u32,
    turn: usize,
    truncated: bool,
    over: bool,
}

/// One try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub seq: u32,
    pub server: SocketAddr,
    pub transport: DnsTransport,
}

impl Plan {
    pub(super) const fn new(servers: Vec<SocketAddr>, transport: DnsTransport, retries: u32) -> Self {
        Self {
            servers,
            transport,
            retries,
            seq: 0,
            turn: 0,
            truncated: false,
            over: false,
        }
    }

    /// The next try; each is followed by `handle_outcome`.
    pub(super) fn next_step(&self) -> Option<Step> {
        let server = *self.servers.get(self.turn).filter(|_| !self.over)?;
        Some(Step {
            seq: self.seq,
            server,
            transport: self.transport,
        })
    }

    /// A try has its outcome.
    pub(super) fn handle_outcome(&mut self, outcome: DnsOutcome) {
        self.seq += 1;
        match outcome {
            DnsOutcome::Answered => self.over = true,
            // The same server again: it has an answer. This is no retry.
            DnsOutcome::Truncated => {
                self.truncated = true;
                self.transport = DnsTransport::Tcp;
            }
            DnsOutcome::Unanswered | DnsOutcome::Unreachable | DnsOutcome::Broken | DnsOutcome::Unsent => {
                self.over = self.retries == 0;
                self.retries = self.retries.saturating_sub(1);
                // Whoever has an answer that needs TCP is asked again; else it is the next one's turn.
                if !self.truncated {
                    self.turn = (self.turn + 1).checked_rem(self.servers.len()).unwrap_or_default();
                }
            }
        }
    }

    /// Whether an answer was cut, so that TCP took over.
    pub(super) const fn was_truncated(&self) -> bool {
        self.truncated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(servers: u8, retries: u32) -> Plan {
        let servers = (1..=servers).map(|last| SocketAddr::from(([127, 0, 0, last], 53))).collect();
        Plan::new(servers, DnsTransport::Udp, retries)
    }

    fn steps(mut plan: Plan, outcomes: &[DnsOutcome]) -> Vec<(u8, DnsTransport)> {
        let mut steps = Vec::new();
        for outcome in outcomes {
            let Some(step) = plan.next_step() else { break };
            let std::net::IpAddr::V4(address) = step.server.ip() else {
                panic!("an IPv4 server")
            };
            steps.push((address.octets()[3], step.transport));
            plan.handle_outcome(*outcome);
        }
        assert_eq!(plan.next_step(), None, "the outcomes end the plan");
        steps
    }

    #[test]
    fn servers_take_turns_until_one_answers() {
        use DnsOutcome::{Answered, Unanswered, Unreachable, Unsent};
        use DnsTransport::Udp;
        assert_eq!(steps(plan(2, 5), &[Unanswered, Unreachable, Answered]), [(1, Udp), (2, Udp), (1, Udp)]);
        assert_eq!(steps(plan(1, 1), &[Unsent, Unanswered]), [(1, Udp), (1, Udp)]);
        assert_eq!(steps(plan(3, 0), &[Unanswered]), [(1, Udp)]);
        assert_eq!(steps(plan(0, 5), &[]), []);
    }

    #[test]
    fn a_cut_answer_is_asked_for_again_over_tcp_and_of_the_same_server() {
        use DnsOutcome::{Answered, Broken, Truncated};
        use DnsTransport::{Tcp, Udp};
        assert_eq!(steps(plan(2, 0), &[Truncated, Answered]), [(1, Udp), (1, Tcp)]);
        assert_eq!(steps(plan(2, 1), &[Truncated, Broken, Answered]), [(1, Udp), (1, Tcp), (1, Tcp)]);
        assert_eq!(steps(plan(2, 0), &[Truncated, Broken]), [(1, Udp), (1, Tcp)]);
    }
}
