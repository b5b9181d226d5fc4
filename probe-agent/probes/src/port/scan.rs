//! The state of a scan: which port is to be asked when, what each outcome says about it. Pure: time and outcomes come in as arguments.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_paths::statistics;
use shared_protocol::event::{PortEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{PortReason, PortResult, PortState, PortStatistics, ReportError, TcpOutcome, TcpTry};
use shared_protocol::time::MonotonicMicros;

use crate::tcp::{Ask, Asking, Ended};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The ports in the order in which they are asked.
    pub ports: Vec<u16>,
    /// How often one that keeps silent is asked.
    pub tries: u32,
    /// Time from one question to the next.
    pub interval: Duration,
}

/// A scan under way. The number of a try is the place of its port in the order, plus the number of ports for each earlier round.
#[derive(Debug)]
pub(super) struct Scan {
    plan: Plan,
    due: MonotonicMicros,
    waiting: VecDeque<u32>,
    settled: BTreeMap<u16, PortResult>,
    /// The ports in the order of their outcomes.
    order: Vec<u16>,
    sent: u32,
    first_error: Option<(Fault, ReportError)>,
}

impl Scan {
    pub(super) fn new(plan: Plan, now: MonotonicMicros) -> Self {
        Self {
            waiting: (0..count(plan.ports.len())).collect(),
            plan,
            due: now,
            settled: BTreeMap::new(),
            order: Vec::new(),
            sent: 0,
            first_error: None,
        }
    }

    /// What is known of each port that has its state, from the lowest.
    pub(super) fn results(&self) -> Vec<PortResult> {
        self.settled.values().cloned().collect()
    }

    /// The numbers over all of them.
    pub(super) fn statistics(&self) -> PortStatistics {
        let of = |state| count(self.settled.values().filter(|result| result.state == state).count());
        let times = |time: fn(&PortResult) -> Option<u64>| -> Vec<(u32, u64)> {
            let answered = self.order.iter().filter_map(|port| self.settled.get(port)).filter(|result| by_target(result));
            (0..).zip(answered.filter_map(time)).collect()
        };
        PortStatistics {
            ports: count(self.plan.ports.len()),
            open: of(PortState::Open),
            closed: of(PortState::Closed),
            filtered: of(PortState::Filtered),
            unasked: of(PortState::Unasked),
            sent: self.sent,
            rtt: statistics::round_trips(&times(|result| result.rtt_us)),
            user_rtt: statistics::round_trips(&times(|result| result.user_rtt_us)),
        }
    }

    /// What kept the first port from being asked or answered, and whose fault it was.
    pub(super) const fn first_error(&self) -> Option<&(Fault, ReportError)> {
        self.first_error.as_ref()
    }

    fn ports(&self) -> u32 {
        count(self.plan.ports.len()).max(1)
    }

    /// The port of a try, and how many came before it.
    fn port_and_round(&self, index: u32) -> Option<(u16, u32)> {
        let place = usize::try_from(index % self.ports()).ok()?;
        Some((*self.plan.ports.get(place)?, index / self.ports()))
    }
}

impl Asking for Scan {
    fn poll_start(&mut self, now: MonotonicMicros) -> Option<Ask> {
        if now < self.due {
            return None;
        }
        let index = self.waiting.pop_front()?;
        // After a delay of more than an interval the rest moves back: questions never leave in a burst.
        let planned = self.due.plus(self.plan.interval);
        self.due = if planned > now { planned } else { now.plus(self.plan.interval) };
        let (port, _) = self.port_and_round(index)?;
        Some(Ask { index, port })
    }

    fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration> {
        (!self.waiting.is_empty()).then(|| self.due.since(now))
    }

    fn poll_abandoned(&mut self) -> Option<u32> {
        self.waiting.pop_front()
    }

    fn handle_ended(&mut self, (tried, fault): Ended) -> Option<ProbeEvent> {
        let (port, round) = self.port_and_round(tried.seq)?;
        let left = tried.outcome != TcpOutcome::Unsent;
        self.sent = self.sent.saturating_add(u32::from(left));
        if tried.outcome == TcpOutcome::Filtered && round + 1 < self.plan.tries {
            self.waiting.push_back(tried.seq + self.ports());
            return None;
        }
        let result = result(port, round, &tried);
        // That nothing listens, or that nothing is heard, is what was asked for; only what kept the question back is an error.
        if !left && result.state == PortState::Unasked {
            self.first_error = self.first_error.take().or(fault);
        }
        if self.settled.insert(port, result.clone()).is_none() {
            self.order.push(port);
        }
        Some(ProbeEvent::Port(PortEvent::Port(Box::new(result))))
    }

    fn is_finished(&self) -> bool {
        self.settled.len() >= self.plan.ports.len()
    }
}

/// What the last try says about a port that has been asked `round` times before, always without an answer.
fn result(port: u16, round: u32, tried: &TcpTry) -> PortResult {
    let (state, reason) = match tried.outcome {
        TcpOutcome::Open if tried.offer.is_some() => (PortState::Open, PortReason::SynAck),
        TcpOutcome::Open => (PortState::Open, PortReason::Connected),
        TcpOutcome::Closed => (PortState::Closed, PortReason::Reset),
        TcpOutcome::Filtered => (PortState::Filtered, PortReason::Silence),
        TcpOutcome::Unreachable if tried.icmp_error.is_some() => (PortState::Filtered, PortReason::IcmpError),
        TcpOutcome::Unreachable => (PortState::Filtered, PortReason::Unreachable),
        // It was asked before, and kept silent.
        TcpOutcome::Unsent if round > 0 => (PortState::Filtered, PortReason::Silence),
        TcpOutcome::Unsent => (PortState::Unasked, PortReason::Unsent),
    };
    let unsent = tried.outcome == TcpOutcome::Unsent;
    PortResult {
        port,
        state,
        reason,
        tries: round + u32::from(!unsent),
        rtt_us: tried.rtt_us,
        user_rtt_us: tried.user_rtt_us,
        ttl: tried.offer.and_then(|offer| offer.ttl),
        icmp_error: tried.icmp_error,
        from: tried.from,
        code: match reason {
            PortReason::Connected | PortReason::SynAck | PortReason::Reset => None,
            PortReason::Silence => Some(ErrorCode::Timeout),
            PortReason::IcmpError | PortReason::Unreachable | PortReason::Unsent => tried.code,
        },
        errno: if state == PortState::Closed { None } else { tried.errno },
    }
}

/// Whether the target itself answered.
const fn by_target(result: &PortResult) -> bool {
    matches!(result.state, PortState::Open | PortState::Closed)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use shared_protocol::report::TcpOffer;

    use super::*;
    use crate::tcp::blank;
    use crate::verdict::error;

    fn at(millis: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(1_000_000 + millis * 1_000)
    }

    fn scan(ports: &[u16]) -> Scan {
        let plan = Plan {
            ports: ports.to_vec(),
            tries: 2,
            interval: Duration::from_millis(20),
        };
        Scan::new(plan, at(0))
    }

    fn silence(index: u32) -> Ended {
        let fault = (Fault::Path, error(ErrorCode::Timeout, "nothing came back in time"));
        (blank(index, TcpOutcome::Filtered), Some(fault))
    }

    fn unsent(index: u32) -> Ended {
        let tried = TcpTry {
            code: Some(ErrorCode::Resource),
            ..blank(index, TcpOutcome::Unsent)
        };
        (tried, Some((Fault::Agent, error(ErrorCode::Resource, "no room"))))
    }

    fn state_of(event: Option<ProbeEvent>) -> (u16, PortState, PortReason, u32) {
        let Some(ProbeEvent::Port(PortEvent::Port(result))) = event else {
            panic!("{event:?}")
        };
        (result.port, result.state, result.reason, result.tries)
    }

    #[test]
    fn ports_are_asked_in_their_order_an_interval_apart_and_the_silent_ones_again() {
        let mut scan = scan(&[443, 22, 80]);
        let ask = |scan: &mut Scan, millis| scan.poll_start(at(millis)).map(|ask| (ask.index, ask.port));
        assert_eq!((ask(&mut scan, 0), ask(&mut scan, 19)), (Some((0, 443)), None));
        assert_eq!(scan.poll_timeout(at(5)), Some(Duration::from_millis(15)));
        assert_eq!(
            (ask(&mut scan, 20), ask(&mut scan, 90), ask(&mut scan, 95)),
            (Some((1, 22)), Some((2, 80)), None)
        );
        assert_eq!(scan.poll_timeout(at(95)), None, "every port has been asked");
        assert_eq!(scan.handle_ended(silence(1)), None);
        assert_eq!(
            (scan.poll_timeout(at(100)), ask(&mut scan, 110)),
            (Some(Duration::from_millis(10)), Some((4, 22)))
        );
        assert_eq!(state_of(scan.handle_ended(silence(4))), (22, PortState::Filtered, PortReason::Silence, 2));
        assert!(!scan.is_finished() && scan.poll_start(at(500)).is_none());
        assert_eq!(scan.statistics().sent, 2);
    }

    #[test]
    fn each_state_says_what_it_rests_on() {
        let mut scan = scan(&[1, 2, 3, 4, 5]);
        let offer = TcpOffer {
            flags: 0x12,
            window: 1,
            ttl: Some(60),
            mss: None,
            wscale: None,
            sack: false,
            ts: false,
        };
        let answered = |index, outcome| TcpTry {
            rtt_us: Some(100),
            user_rtt_us: Some(150),
            ..blank(index, outcome)
        };
        let half_open = TcpTry {
            offer: Some(offer),
            ..answered(0, TcpOutcome::Open)
        };
        assert_eq!(state_of(scan.handle_ended((half_open, None))), (1, PortState::Open, PortReason::SynAck, 1));
        let connected = answered(1, TcpOutcome::Open);
        assert_eq!(state_of(scan.handle_ended((connected, None))), (2, PortState::Open, PortReason::Connected, 1));
        let closed = (answered(2, TcpOutcome::Closed), Some((Fault::Target, error(ErrorCode::Refused, "no"))));
        assert_eq!(state_of(scan.handle_ended(closed)), (3, PortState::Closed, PortReason::Reset, 1));
        let router = "192.0.2.1".parse().unwrap();
        let told = TcpTry {
            icmp_error: Some((3, 13)),
            from: Some(router),
            code: Some(ErrorCode::UnreachableAdmin),
            ..answered(3, TcpOutcome::Unreachable)
        };
        let event = scan.handle_ended((told, Some((Fault::Path, error(ErrorCode::UnreachableAdmin, "no")))));
        assert_eq!(state_of(event), (4, PortState::Filtered, PortReason::IcmpError, 1));
        assert_eq!(state_of(scan.handle_ended(unsent(4))), (5, PortState::Unasked, PortReason::Unsent, 0));
        assert!(scan.is_finished());
        let results = scan.results();
        assert_eq!(
            (results[0].ttl, results[3].from, results[4].code),
            (Some(60), Some(router), Some(ErrorCode::Resource))
        );
        let numbers = scan.statistics();
        assert_eq!((numbers.open, numbers.closed, numbers.filtered, numbers.unasked, numbers.sent), (2, 1, 1, 1, 4));
        assert_eq!(numbers.rtt.unwrap().avg_us, 100, "of what the target answered");
        assert_eq!(scan.first_error().unwrap().1.code, ErrorCode::Resource);
    }

    #[test]
    fn what_cannot_be_asked_again_keeps_what_its_silence_said() {
        let mut scan = scan(&[1, 2]);
        scan.poll_start(at(0)).unwrap();
        assert_eq!(scan.handle_ended(silence(0)), None);
        assert_eq!(scan.poll_abandoned(), Some(1));
        assert_eq!(state_of(scan.handle_ended(unsent(1))), (2, PortState::Unasked, PortReason::Unsent, 0));
        assert_eq!(scan.poll_abandoned(), Some(2));
        assert_eq!(state_of(scan.handle_ended(unsent(2))), (1, PortState::Filtered, PortReason::Silence, 1));
        assert!(scan.is_finished() && scan.poll_abandoned().is_none());
    }

    #[test]
    fn a_number_that_no_try_has_says_nothing() {
        assert_eq!(
            Scan::new(
                Plan {
                    ports: Vec::new(),
                    tries: 1,
                    interval: Duration::ZERO
                },
                at(0)
            )
            .handle_ended(silence(7)),
            None
        );
    }
}
