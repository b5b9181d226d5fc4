//! The state of a scan of one target: which port is to be asked when, what each outcome says about it. Pure: time and outcomes come in as
//! arguments.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use agent_paths::statistics;
use shared_protocol::event::{PortEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{PortReason, PortResult, PortState, PortStatistics, ReportError, TcpOutcome, TcpTry, UdpOutcome, UdpTry};
use shared_protocol::time::MonotonicMicros;

use super::turns::Turns;
use crate::asking::{Ask, Asking, Schedule};
use crate::{tcp, udp};

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The ports in the order in which they are asked.
    pub ports: Vec<u16>,
    /// How often one that keeps silent is asked.
    pub tries: u32,
    /// Time from one question to the next.
    pub interval: Duration,
    /// Time from any question to one that has been asked before.
    pub repeat: Duration,
    /// The pace of all scans of the probe.
    pub turns: Turns,
    /// What is told while it runs.
    pub telling: Telling,
}

/// What is told of ports as their states become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Every one.
    Each,
    /// The open ones, with the target that they are of.
    Open(IpAddr),
}

/// A scan under way. The number of a try is the place of its port in the order, plus the number of ports for each earlier round.
#[derive(Debug)]
pub(super) struct Scan {
    plan: Plan,
    due: MonotonicMicros,
    repeat_due: MonotonicMicros,
    waiting: VecDeque<u32>,
    greetings: BTreeMap<u32, String>,
    settled: BTreeMap<u16, PortResult>,
    /// The ports in the order of their outcomes.
    order: Vec<u16>,
    sent: u32,
    first_error: Option<(Fault, ReportError)>,
}

/// What an outcome means for the course of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// It is known by it.
    Known,
    /// Nothing came back.
    Silent,
    /// Nothing left.
    Unsent,
}

impl Scan {
    pub(super) fn new(plan: Plan, now: MonotonicMicros) -> Self {
        Self {
            waiting: (0..count(plan.ports.len())).collect(),
            plan,
            due: now,
            repeat_due: now,
            greetings: BTreeMap::new(),
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
        let in_order = self.order.iter().filter_map(|port| self.settled.get(port));
        PortStatistics {
            ports: count(self.plan.ports.len()),
            sent: self.sent,
            ..numbers(in_order)
        }
    }

    /// What kept the first port from being asked, and whose fault it was.
    pub(super) const fn first_error(&self) -> Option<&(Fault, ReportError)> {
        self.first_error.as_ref()
    }

    /// When the next question to another target may take the place of this one.
    pub(super) const fn due(&self) -> MonotonicMicros {
        self.due
    }

    /// Nothing can leave: what has no state yet will not be asked.
    pub(super) fn give_up(&mut self, fault: Fault, error: &ReportError) {
        self.waiting.clear();
        self.first_error.get_or_insert_with(|| (fault, error.clone()));
        for port in self.plan.ports.clone() {
            if !self.settled.contains_key(&port) {
                self.order.push(port);
                self.settled.insert(port, unasked(port, error));
            }
        }
    }

    fn ports(&self) -> u32 {
        count(self.plan.ports.len()).max(1)
    }

    /// The port of a try, and how many came before it.
    fn port_and_round(&self, index: u32) -> Option<(u16, u32)> {
        let place = usize::try_from(index % self.ports()).ok()?;
        Some((*self.plan.ports.get(place)?, index / self.ports()))
    }

    /// When the try may begin that is next in line.
    fn next_due(&self) -> Option<MonotonicMicros> {
        let next = *self.waiting.front()?;
        Some(if next < self.ports() { self.due } else { self.due.max(self.repeat_due) })
    }

    /// Takes what a try says of its port; asks again where that is nothing.
    fn settle(&mut self, index: u32, course: Course, fault: Option<(Fault, ReportError)>, result: impl FnOnce(u16, u32) -> PortResult) -> Option<ProbeEvent> {
        let (port, round) = self.port_and_round(index)?;
        self.sent = self.sent.saturating_add(u32::from(course != Course::Unsent));
        if course == Course::Silent && round + 1 < self.plan.tries {
            self.waiting.push_back(index + self.ports());
            return None;
        }
        let mut result = result(port, round);
        result.banner = self.greetings.remove(&index);
        // That nothing listens, or that nothing is heard, is what was asked for; only what kept the question back is an error.
        if result.state == PortState::Unasked {
            self.first_error = self.first_error.take().or(fault);
        }
        if self.settled.insert(port, result.clone()).is_none() {
            self.order.push(port);
        }
        let told = match self.plan.telling {
            Telling::Each => PortEvent::Port(Box::new(result)),
            Telling::Open(address) if result.state == PortState::Open => PortEvent::Open {
                address,
                result: Box::new(result),
            },
            Telling::Open(_) => return None,
        };
        Some(ProbeEvent::Port(told))
    }
}

impl Schedule for Scan {
    fn poll_start(&mut self, now: MonotonicMicros) -> Option<Ask> {
        if now < self.next_due()? {
            return None;
        }
        if let Err(turn) = self.plan.turns.take(now) {
            self.due = turn;
            return None;
        }
        let index = self.waiting.pop_front()?;
        // After a delay of more than an interval the rest moves back: questions never leave in a burst.
        let planned = self.due.plus(self.plan.interval);
        self.due = if planned > now { planned } else { now.plus(self.plan.interval) };
        self.repeat_due = now.plus(self.plan.repeat);
        let (port, _) = self.port_and_round(index)?;
        Some(Ask { index, port })
    }

    fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration> {
        self.next_due().map(|due| due.since(now))
    }

    fn poll_abandoned(&mut self) -> Option<u32> {
        self.waiting.pop_front()
    }

    fn is_finished(&self) -> bool {
        self.settled.len() >= self.plan.ports.len()
    }
}

impl Asking<tcp::Ended> for Scan {
    fn handle_ended(&mut self, (tried, fault): tcp::Ended) -> Option<ProbeEvent> {
        let course = match tried.outcome {
            TcpOutcome::Open | TcpOutcome::Closed | TcpOutcome::Unreachable => Course::Known,
            TcpOutcome::Filtered => Course::Silent,
            TcpOutcome::Unsent => Course::Unsent,
        };
        self.settle(tried.seq, course, fault, |port, round| of_segment(port, round, &tried))
    }

    fn handle_greeting(&mut self, index: u32, greeting: &[u8]) {
        self.greetings.insert(index, greeting.escape_ascii().to_string());
    }
}

impl Asking<udp::Ended> for Scan {
    fn handle_ended(&mut self, (tried, fault): udp::Ended) -> Option<ProbeEvent> {
        let course = match tried.outcome {
            UdpOutcome::Answered | UdpOutcome::Unexpected | UdpOutcome::Closed | UdpOutcome::Unreachable => Course::Known,
            UdpOutcome::Silent => Course::Silent,
            UdpOutcome::Unsent => Course::Unsent,
        };
        self.settle(tried.seq, course, fault, |port, round| of_datagram(port, round, &tried))
    }
}

/// The numbers over results in the order in which they came, without what they cannot know: how many questions left.
pub(super) fn numbers<'a>(results: impl Iterator<Item = &'a PortResult>) -> PortStatistics {
    let results: Vec<&PortResult> = results.collect();
    let of = |state| count(results.iter().filter(|result| result.state == state).count());
    let times = |time: fn(&PortResult) -> Option<u64>| -> Vec<(u32, u64)> {
        let answered = results.iter().filter(|result| by_target(result));
        (0..).zip(answered.filter_map(|result| time(result))).collect()
    };
    PortStatistics {
        ports: count(results.len()),
        open: of(PortState::Open),
        closed: of(PortState::Closed),
        filtered: of(PortState::Filtered),
        open_filtered: of(PortState::OpenFiltered),
        unasked: of(PortState::Unasked),
        sent: 0,
        rate_limited_hint: results.iter().any(|result| is_late_refusal(result)),
        rtt: statistics::round_trips(&times(|result| result.rtt_us)),
        user_rtt: statistics::round_trips(&times(|result| result.user_rtt_us)),
    }
}

/// What the last try over TCP says about a port that has been asked `round` times before, always without an answer.
fn of_segment(port: u16, round: u32, tried: &TcpTry) -> PortResult {
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
    PortResult {
        port,
        state,
        reason,
        tries: round + u32::from(tried.outcome != TcpOutcome::Unsent),
        rtt_us: tried.rtt_us,
        user_rtt_us: tried.user_rtt_us,
        ttl: tried.offer.and_then(|offer| offer.ttl),
        icmp_error: tried.icmp_error,
        from: tried.from,
        code: code_of(reason, state, tried.code),
        errno: if state == PortState::Closed { None } else { tried.errno },
        banner: None,
    }
}

/// The same of a datagram: only the target's own word that nothing listens makes a port closed, and silence leaves it open.
fn of_datagram(port: u16, round: u32, tried: &UdpTry) -> PortResult {
    let (state, reason) = match tried.outcome {
        UdpOutcome::Answered | UdpOutcome::Unexpected => (PortState::Open, PortReason::Answer),
        UdpOutcome::Closed => (PortState::Closed, PortReason::IcmpError),
        UdpOutcome::Unreachable => (PortState::Filtered, PortReason::IcmpError),
        UdpOutcome::Silent => (PortState::OpenFiltered, PortReason::Silence),
        UdpOutcome::Unsent if round > 0 => (PortState::OpenFiltered, PortReason::Silence),
        UdpOutcome::Unsent => (PortState::Unasked, PortReason::Unsent),
    };
    PortResult {
        port,
        state,
        reason,
        tries: round + u32::from(tried.outcome != UdpOutcome::Unsent),
        rtt_us: tried.rtt_us,
        user_rtt_us: tried.user_rtt_us,
        ttl: None,
        icmp_error: tried.icmp_error,
        from: tried.from,
        code: code_of(reason, state, tried.code),
        errno: tried.errno,
        banner: None,
    }
}

fn unasked(port: u16, error: &ReportError) -> PortResult {
    PortResult {
        port,
        state: PortState::Unasked,
        reason: PortReason::Unsent,
        tries: 0,
        rtt_us: None,
        user_rtt_us: None,
        ttl: None,
        icmp_error: None,
        from: None,
        code: Some(error.code),
        errno: error.errno,
        banner: None,
    }
}

/// What is said to have gone wrong, where the target did not answer.
const fn code_of(reason: PortReason, state: PortState, told: Option<ErrorCode>) -> Option<ErrorCode> {
    match (reason, state) {
        (PortReason::Connected | PortReason::SynAck | PortReason::Answer | PortReason::Reset, _) | (PortReason::IcmpError, PortState::Closed) => None,
        (PortReason::Silence, _) => Some(ErrorCode::Timeout),
        (PortReason::IcmpError | PortReason::Unreachable | PortReason::Unsent, _) => told,
    }
}

/// Whether the target itself answered.
pub(super) const fn by_target(result: &PortResult) -> bool {
    matches!(result.state, PortState::Open | PortState::Closed)
}

/// Whether the target said only when it was asked again that nothing listens on a port of UDP.
const fn is_late_refusal(result: &PortResult) -> bool {
    matches!((result.state, result.reason), (PortState::Closed, PortReason::IcmpError)) && result.tries > 1
}

pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use shared_protocol::report::TcpOffer;

    use super::*;
    use crate::tcp::{Ended, blank};
    use crate::verdict::error;

    fn at(millis: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(1_000_000 + millis * 1_000)
    }

    fn scan(ports: &[u16]) -> Scan {
        Scan::new(plan(ports, 2, 20), at(0))
    }

    fn plan(ports: &[u16], tries: u32, repeat: u64) -> Plan {
        let interval = Duration::from_millis(20);
        Plan {
            ports: ports.to_vec(),
            tries,
            interval,
            repeat: Duration::from_millis(repeat),
            turns: Turns::new(interval, at(0)),
            telling: Telling::Each,
        }
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
        assert_eq!(Scan::new(plan(&[], 1, 20), at(0)).handle_ended(silence(7)), None);
    }

    fn datagram(index: u32, outcome: UdpOutcome, icmp_error: Option<(u8, u8)>) -> udp::Ended {
        let tried = UdpTry {
            icmp_error,
            ..udp::blank(index, outcome)
        };
        (tried, None)
    }

    /// Firsts at their pace, then what kept silent no sooner than the target may say a second time that a port is closed.
    #[test]
    fn a_silent_port_of_udp_is_asked_again_slowly_and_its_late_refusal_hints_at_a_limit() {
        let mut scan = Scan::new(plan(&[7, 8, 9, 10], 2, 1_050), at(0));
        let ask = |scan: &mut Scan, millis| scan.poll_start(at(millis)).map(|ask| ask.port);
        assert_eq!([0, 20, 40, 60].map(|millis| ask(&mut scan, millis)), [Some(7), Some(8), Some(9), Some(10)]);
        let refused = Some((3, 3));
        assert_eq!(
            state_of(scan.handle_ended(datagram(0, UdpOutcome::Closed, refused))),
            (7, PortState::Closed, PortReason::IcmpError, 1)
        );
        assert!(!scan.statistics().rate_limited_hint);
        for silent in [1, 2, 3] {
            assert_eq!(scan.handle_ended(datagram(silent, UdpOutcome::Silent, None)), None);
        }
        assert_eq!(scan.poll_timeout(at(1_060)), Some(Duration::from_millis(50)));
        assert_eq!((ask(&mut scan, 1_109), ask(&mut scan, 1_110), ask(&mut scan, 2_100)), (None, Some(8), None));
        assert_eq!((ask(&mut scan, 2_160), ask(&mut scan, 3_210)), (Some(9), Some(10)));
        assert_eq!(state_of(scan.handle_ended(datagram(5, UdpOutcome::Closed, refused))).1, PortState::Closed);
        assert_eq!(
            state_of(scan.handle_ended(datagram(6, UdpOutcome::Silent, None))),
            (9, PortState::OpenFiltered, PortReason::Silence, 2)
        );
        assert_eq!(
            state_of(scan.handle_ended(datagram(7, UdpOutcome::Unreachable, Some((3, 13))))),
            (10, PortState::Filtered, PortReason::IcmpError, 2)
        );
        let numbers = scan.statistics();
        assert_eq!((numbers.closed, numbers.open_filtered, numbers.filtered, numbers.sent), (2, 1, 1, 7));
        assert!(numbers.rate_limited_hint && scan.is_finished());
        let results = scan.results();
        assert_eq!((results[0].code, results[2].code), (None, Some(ErrorCode::Timeout)));
    }

    #[test]
    fn what_answers_a_datagram_is_open_whatever_it_says() {
        let mut scan = Scan::new(plan(&[53, 123], 1, 1_050), at(0));
        for (index, port) in [(0, 53), (1, 123)] {
            let event = scan.handle_ended(datagram(index, UdpOutcome::Answered, None));
            assert_eq!(state_of(event), (port, PortState::Open, PortReason::Answer, 1));
        }
        let mut unheard = Scan::new(plan(&[53], 2, 1_050), at(0));
        unheard.poll_start(at(0)).unwrap();
        assert_eq!(unheard.handle_ended(datagram(0, UdpOutcome::Silent, None)), None);
        assert_eq!(unheard.poll_abandoned(), Some(1));
        assert_eq!(
            state_of(unheard.handle_ended(datagram(1, UdpOutcome::Unsent, None))),
            (53, PortState::OpenFiltered, PortReason::Silence, 1)
        );
    }

    #[test]
    fn scans_side_by_side_share_the_turns_and_tell_of_open_ports_only() {
        let target = "192.0.2.7".parse().unwrap();
        let shared = Plan {
            telling: Telling::Open(target),
            ..plan(&[1, 2], 1, 20)
        };
        let (mut one, mut other) = (Scan::new(shared.clone(), at(0)), Scan::new(shared, at(0)));
        assert!(one.poll_start(at(0)).is_some() && other.poll_start(at(0)).is_none());
        assert_eq!(other.poll_timeout(at(0)), Some(Duration::from_millis(20)));
        assert!(other.poll_start(at(20)).is_some() && one.poll_start(at(20)).is_none());
        assert_eq!(one.handle_ended((blank(0, TcpOutcome::Closed), None)), None);
        Asking::<Ended>::handle_greeting(&mut one, 1, b"220 \xff\r\n\"");
        let Some(ProbeEvent::Port(PortEvent::Open { address, result })) = one.handle_ended((blank(1, TcpOutcome::Open), None)) else {
            panic!("an open port is told")
        };
        assert_eq!((address, result.banner.as_deref()), (target, Some(r#"220 \xff\r\n\""#)));
        other.handle_ended((blank(0, TcpOutcome::Closed), None));
        let gone = error(ErrorCode::UnreachableNet, "no way");
        other.give_up(Fault::Path, &gone);
        assert!(other.is_finished() && other.poll_start(at(500)).is_none());
        assert_eq!(
            other.results().iter().map(|result| result.state).collect::<Vec<_>>(),
            [PortState::Closed, PortState::Unasked]
        );
        assert_eq!(other.first_error().unwrap().1, gone);
    }
}
