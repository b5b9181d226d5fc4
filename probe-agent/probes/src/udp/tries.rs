//! The tries of a UDP probe: when to send, and what their outcomes come to. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_protocol::fault::{Fault, Status};
use shared_protocol::report::{ReportError, UdpFindings, UdpOutcome, UdpStatistics, UdpTry};
use shared_protocol::time::MonotonicMicros;

use super::attempt::Ended;
use crate::verdict::Verdict;
use agent_paths::statistics;

/// The tries of a UDP probe under way.
#[derive(Debug)]
pub(super) struct Tries {
    count: u32,
    interval: Duration,
    next: u32,
    due: MonotonicMicros,
    settled: BTreeMap<u32, UdpTry>,
    /// The sequence numbers in the order of the outcomes.
    order: Vec<u32>,
    first_error: Option<(Fault, ReportError)>,
}

impl Tries {
    pub(super) const fn new(count: u32, interval: Duration, now: MonotonicMicros) -> Self {
        Self {
            count,
            interval,
            next: 0,
            due: now,
            settled: BTreeMap::new(),
            order: Vec::new(),
            first_error: None,
        }
    }

    /// The try that is to begin now; each is given once and then reported by `handle_ended`.
    pub(super) fn poll_start(&mut self, now: MonotonicMicros) -> Option<u32> {
        if self.next >= self.count || now < self.due {
            return None;
        }
        let index = self.next;
        self.next += 1;
        // After a delay of more than an interval the rest moves back: tries never begin in a burst.
        let planned = self.due.plus(self.interval);
        self.due = if planned > now { planned } else { now.plus(self.interval) };
        Some(index)
    }

    /// How long until `poll_start` has something; `None` when every try has begun.
    pub(super) fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration> {
        (self.next < self.count).then(|| self.due.since(now))
    }

    /// The next try that is still to begin, and never will.
    pub(super) fn poll_abandoned(&mut self) -> Option<u32> {
        let index = Some(self.next).filter(|next| *next < self.count)?;
        self.next += 1;
        Some(index)
    }

    /// A try has its outcome.
    pub(super) fn handle_ended(&mut self, (tried, fault): Ended) -> UdpTry {
        if let Some(fault) = fault {
            self.first_error.get_or_insert(fault);
        }
        self.order.push(tried.seq);
        self.settled.insert(tried.seq, tried.clone());
        tried
    }

    pub(super) fn is_finished(&self) -> bool {
        u32::try_from(self.settled.len()).is_ok_and(|settled| settled >= self.count)
    }

    /// Every try with its outcome, in order.
    pub(super) fn settled(&self) -> Vec<UdpTry> {
        self.settled.values().cloned().collect()
    }

    /// The numbers over every try with its outcome.
    pub(super) fn statistics(&self) -> UdpStatistics {
        let count = |wanted: fn(&UdpTry) -> bool| u32::try_from(self.settled.values().filter(|tried| wanted(tried)).count()).unwrap_or(u32::MAX);
        let sent = count(|tried| tried.outcome != UdpOutcome::Unsent);
        let received = count(is_answered);
        let times = |time: fn(&UdpTry) -> Option<u64>| -> Vec<(u32, u64)> {
            let answered = self.order.iter().filter_map(|seq| self.settled.get(seq)).filter(|tried| is_answered(tried));
            answered.filter_map(|tried| Some((tried.seq, time(tried)?))).collect()
        };
        UdpStatistics {
            sent,
            received,
            loss: if sent == 0 { 0.0 } else { f64::from(sent - received) / f64::from(sent) },
            answered: count(|tried| tried.outcome == UdpOutcome::Answered),
            closed: count(|tried| tried.outcome == UdpOutcome::Closed),
            rtt: statistics::round_trips(&times(|tried| tried.rtt_us)),
            user_rtt: statistics::round_trips(&times(|tried| tried.user_rtt_us)),
        }
    }

    /// What the tries say about target, path and agent.
    pub(super) fn judge(&self, findings: &UdpFindings) -> Verdict {
        let answered = findings.statistics.answered;
        let Some((fault, mut error)) = self.first_error.clone().filter(|_| answered < self.count) else {
            return Verdict::ok();
        };
        if answered > 0 {
            let others = self.count.saturating_sub(answered);
            error.message = format!("{others} of {} datagrams had no wanted answer, the first: {}", self.count, error.message);
            return Verdict::of(Status::Degraded, fault, error);
        }
        let silent = findings.tries.iter().all(|tried| tried.outcome == UdpOutcome::Silent);
        let status = if silent { Status::Timeout } else { Status::Failed };
        Verdict::of(status, fault, error)
    }
}

const fn is_answered(tried: &UdpTry) -> bool {
    matches!(tried.outcome, UdpOutcome::Answered | UdpOutcome::Unexpected | UdpOutcome::Closed)
}
