//! The state of a TCP probe: when to try, what each outcome means. Pure: time and outcomes come in as arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_paths::statistics;
use shared_protocol::fault::Fault;
use shared_protocol::report::{ReportError, TcpOutcome, TcpStatistics, TcpTry};
use shared_protocol::time::MonotonicMicros;

use super::ended::Ended;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub count: u32,
    pub interval: Duration,
}

/// The tries of a TCP probe under way.
#[derive(Debug)]
pub(super) struct Tries {
    plan: Plan,
    next: u32,
    due: MonotonicMicros,
    settled: BTreeMap<u32, TcpTry>,
    /// The sequence numbers in the order of the outcomes.
    order: Vec<u32>,
    first_error: Option<(Fault, ReportError)>,
}

impl Tries {
    pub(super) fn new(plan: Plan, now: MonotonicMicros) -> Self {
        Self {
            plan,
            next: 0,
            due: now,
            settled: BTreeMap::new(),
            order: Vec::new(),
            first_error: None,
        }
    }

    /// The try that is to begin now; each is given once and then reported by `handle_ended`.
    pub(super) fn poll_start(&mut self, now: MonotonicMicros) -> Option<u32> {
        if self.next >= self.plan.count || now < self.due {
            return None;
        }
        let index = self.next;
        self.next += 1;
        // After a delay of more than an interval the rest moves back: tries never begin in a burst.
        let planned = self.due.plus(self.plan.interval);
        self.due = if planned > now { planned } else { now.plus(self.plan.interval) };
        Some(index)
    }

    /// How long until `poll_start` has something; `None` when every try has begun.
    pub(super) fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration> {
        (self.next < self.plan.count).then(|| self.due.since(now))
    }

    /// A try has its outcome.
    pub(super) fn handle_ended(&mut self, (tried, fault): Ended) -> TcpTry {
        if let Some(fault) = fault {
            self.first_error.get_or_insert(fault);
        }
        self.settle(tried)
    }

    /// The next try that is still to begin, and never will.
    pub(super) fn poll_abandoned(&mut self) -> Option<u32> {
        let index = Some(self.next).filter(|next| *next < self.plan.count)?;
        self.next += 1;
        Some(index)
    }

    /// Whether every try has its outcome.
    pub(super) fn is_finished(&self) -> bool {
        u32::try_from(self.settled.len()).is_ok_and(|settled| settled >= self.plan.count)
    }

    /// The error of the first try that had one, and whose fault it was.
    pub(super) const fn first_error(&self) -> Option<&(Fault, ReportError)> {
        self.first_error.as_ref()
    }

    /// Every try with its outcome, in order.
    pub(super) fn settled(&self) -> Vec<TcpTry> {
        self.settled.values().cloned().collect()
    }

    /// The numbers over every try with its outcome.
    pub(super) fn statistics(&self) -> TcpStatistics {
        let count = |wanted: fn(&TcpTry) -> bool| u32::try_from(self.settled.values().filter(|tried| wanted(tried)).count()).unwrap_or(u32::MAX);
        let sent = count(|tried| tried.outcome != TcpOutcome::Unsent);
        let received = count(is_answered);
        let times = |time: fn(&TcpTry) -> Option<u64>| -> Vec<(u32, u64)> {
            let answered = self.order.iter().filter_map(|seq| self.settled.get(seq)).filter(|tried| is_answered(tried));
            answered.filter_map(|tried| Some((tried.seq, time(tried)?))).collect()
        };
        TcpStatistics {
            sent,
            received,
            loss: if sent == 0 { 0.0 } else { f64::from(sent - received) / f64::from(sent) },
            open: count(|tried| tried.outcome == TcpOutcome::Open),
            closed: count(|tried| tried.outcome == TcpOutcome::Closed),
            unreachable: count(|tried| tried.outcome == TcpOutcome::Unreachable),
            retransmitted: count(|tried| tried.info.is_some_and(|info| info.retransmits > 0)),
            rtt: statistics::round_trips(&times(|tried| tried.rtt_us)),
            user_rtt: statistics::round_trips(&times(|tried| tried.user_rtt_us)),
        }
    }

    fn settle(&mut self, tried: TcpTry) -> TcpTry {
        if self.settled.insert(tried.seq, tried.clone()).is_none() {
            self.order.push(tried.seq);
        }
        tried
    }
}

const fn is_answered(tried: &TcpTry) -> bool {
    matches!(tried.outcome, TcpOutcome::Open | TcpOutcome::Closed)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use shared_protocol::fault::ErrorCode;

    use super::super::ended::{not_opened, opened};
    use super::*;
    use crate::net::tcp::{DialError, Failure, Place};

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn tries(count: u32) -> Tries {
        let plan = Plan {
            count,
            interval: Duration::from_millis(100),
        };
        Tries::new(plan, at(0))
    }

    fn at(millis: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(1_000_000 + millis * 1_000)
    }

    #[test]
    fn tries_begin_an_interval_apart_and_never_in_a_burst() {
        let mut tries = tries(4);
        assert_eq!((tries.poll_start(at(0)), tries.poll_start(at(99))), (Some(0), None));
        assert_eq!(tries.poll_timeout(at(40)), Some(Duration::from_millis(60)));
        assert_eq!((tries.poll_start(at(100)), tries.poll_start(at(450))), (Some(1), Some(2)));
        assert_eq!((tries.poll_start(at(500)), tries.poll_start(at(550))), (None, Some(3)));
        assert_eq!((tries.poll_start(at(900)), tries.poll_timeout(at(900))), (None, None));
        assert!(!tries.is_finished());
    }

    #[test]
    fn resets_count_as_answers_and_silence_as_loss() {
        let mut tries = tries(4);
        let reset = Failure {
            errno: libc::ECONNREFUSED,
            place: Place::Network,
            icmp: None,
            taken: Duration::from_micros(300),
        };
        let local = "127.0.0.1:40000".parse().unwrap();
        let closed = tries.handle_ended(not_opened(1, &DialError::Failed(reset), TARGET));
        assert_eq!((closed.outcome, closed.user_rtt_us, closed.rtt_us), (TcpOutcome::Closed, Some(300), None));
        assert_eq!(tries.handle_ended(not_opened(2, &DialError::TimedOut, TARGET)).outcome, TcpOutcome::Filtered);
        assert_eq!(tries.handle_ended(not_opened(3, &DialError::NoRoom, TARGET)).outcome, TcpOutcome::Unsent);
        assert_eq!(tries.handle_ended(opened(0, Duration::from_micros(100), local, None)).user_rtt_us, Some(100));
        assert!(tries.is_finished());
        let numbers = tries.statistics();
        assert_eq!((numbers.sent, numbers.received, numbers.open, numbers.closed), (3, 2, 1, 1));
        assert!((numbers.loss - 1.0 / 3.0).abs() < 1e-9);
        let user = numbers.user_rtt.unwrap();
        assert_eq!((user.min_us, user.max_us, numbers.rtt), (100, 300, None));
        assert_eq!(tries.settled().iter().map(|tried| tried.seq).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(tries.first_error().unwrap().1.code, ErrorCode::Refused);
    }

    #[test]
    fn an_icmp_error_is_an_answer_of_the_path() {
        let mut tries = tries(1);
        let router: IpAddr = "192.0.2.1".parse().unwrap();
        let failure = Failure {
            errno: libc::EHOSTUNREACH,
            place: Place::Network,
            icmp: Some(((3, 1), Some(router))),
            taken: Duration::from_micros(50),
        };
        let answer = tries.handle_ended(not_opened(0, &DialError::Failed(failure), TARGET));
        assert_eq!((answer.outcome, answer.code), (TcpOutcome::Unreachable, Some(ErrorCode::UnreachableHost)));
        assert_eq!((answer.icmp_error, answer.from, answer.user_rtt_us), (Some((3, 1)), Some(router), Some(50)));
        assert_eq!((tries.statistics().unreachable, tries.statistics().received), (1, 0));
    }
}
