//! The state of a ping of many targets, one column a property: when to send, what each answer means, when it is over. Pure: time and
//! answers come in as arguments.
//!
//! Request `index` is the one of round `index / targets` to target `index % targets`. Nothing is decided before the end: what came is kept
//! beside what was sent, and becomes received or late, lost or dropped on this host when everything is in.

use std::time::Duration;

use shared_protocol::event::SweepProgress;
use shared_protocol::time::MonotonicMicros;

use crate::clock::Moment;
use crate::net::icmp::{SweepAnswer, SweepBatch};

mod summary;

pub(super) use summary::Summary;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub targets: u32,
    /// Requests to each target.
    pub count: u32,
    /// Time between two requests to the same target.
    pub interval: Duration,
    /// How long an answer is waited for.
    pub wait: Duration,
    /// When requests that have not left are given up.
    pub deadline: MonotonicMicros,
    pub stamps: Stamps,
}

/// Whether the kernel stamps what is sent, so that what has no stamp did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamps {
    Given,
    /// Given, as soon as an interface has shown one.
    Unproven,
    Missing,
}

/// A sweep under way.
#[derive(Debug)]
pub(super) struct Sweep {
    plan: Plan,
    begun: Moment,
    next: u32,
    /// When the round under way began.
    round_begun: MonotonicMicros,
    /// When the last request left.
    last_sent: MonotonicMicros,
    requests: Vec<Request>,
    duplicates: Vec<u16>,
    errors: Vec<u16>,
    answered: Vec<bool>,
    progress: SweepProgress,
    /// Requests that left and have neither an answer nor an end.
    open: u32,
    /// Requests that left and whose stamp is still to come.
    unstamped: u32,
    /// Of those, the ones whose stamp is not waited for any more.
    forgotten: u32,
    clock: WallClock,
}

/// Whether the wall clock went on without a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WallClock {
    Steady,
    Stepped,
}

/// One request. Times of user space are microseconds since the sweep began, those of the kernel nanoseconds of the wall clock, 0 where
/// there is none.
#[derive(Debug, Clone, Copy, Default)]
struct Request {
    state: State,
    sent_us: u32,
    came_us: u32,
    /// Where its reply was seen first.
    interface: u32,
    left_ns: i64,
    came_ns: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Waiting,
    Out,
    Replied,
    Refused,
    Unsent,
}

impl Sweep {
    pub(super) fn new(plan: Plan, begun: Moment) -> Self {
        let planned = plan.targets.saturating_mul(plan.count);
        let (requests, targets) = (widen(planned), widen(plan.targets));
        Self {
            plan,
            begun,
            next: 0,
            round_begun: begun.monotonic,
            last_sent: begun.monotonic,
            requests: vec![Request::default(); requests],
            duplicates: vec![0; targets],
            errors: vec![0; targets],
            answered: vec![false; targets],
            progress: SweepProgress {
                targets: plan.targets,
                planned,
                ..SweepProgress::default()
            },
            open: 0,
            unstamped: 0,
            forgotten: 0,
            clock: WallClock::Steady,
        }
    }

    /// Requests that may leave now, at most so many, all of one round: their numbers. Each is given until it is reported by `handle_sent`
    /// or `handle_unsent`.
    pub(super) fn poll_batch(&mut self, most: u32, now: MonotonicMicros) -> std::ops::Range<u32> {
        let (planned, targets) = (self.progress.planned, self.plan.targets.max(1));
        if self.next >= planned {
            return self.next..self.next;
        }
        if self.is_ahead() {
            if self.plan.stamps == Stamps::Unproven || now < self.last_sent.plus(CATCHING_UP) {
                return self.next..self.next;
            }
            self.forgotten = self.unstamped;
        }
        let place = self.next % targets;
        if place == 0 && self.next > 0 {
            if now < self.round_begun.plus(self.plan.interval) {
                return self.next..self.next;
            }
            self.round_begun = now;
        }
        let left_of_round = targets - place;
        self.next..self.next + most.min(left_of_round).min(planned - self.next)
    }

    /// The next `count` requests have left.
    pub(super) fn handle_sent(&mut self, count: u32, moment: &Moment) {
        let at = self.since_begun(moment.monotonic);
        let end = self.next.saturating_add(count).min(self.progress.planned);
        for request in self.requests.get_mut(widen(self.next)..widen(end)).unwrap_or_default() {
            request.state = State::Out;
            request.sent_us = at;
        }
        let left = end - self.next;
        self.progress.sent += left;
        self.open += left;
        self.unstamped += left;
        self.next = end;
        self.last_sent = moment.monotonic;
    }

    /// The next request could not leave.
    pub(super) fn handle_unsent(&mut self) {
        if let Some(request) = self.requests.get_mut(widen(self.next)) {
            request.state = State::Unsent;
        }
        self.next = self.next.saturating_add(1).min(self.progress.planned);
    }

    /// Something came back.
    pub(super) fn handle_batch(&mut self, batch: &SweepBatch) {
        if batch.moment.wall_offset_ns.abs_diff(self.begun.wall_offset_ns) > STEP_NS {
            self.clock = WallClock::Stepped;
        }
        let at = self.since_begun(batch.moment.monotonic);
        for arrival in &batch.arrivals {
            let target = widen(arrival.index % self.plan.targets.max(1));
            let Some(request) = self.requests.get_mut(widen(arrival.index)) else {
                continue;
            };
            match (arrival.what, request.state) {
                (SweepAnswer::Transmitted, _) => {
                    if self.plan.stamps == Stamps::Unproven && arrival.interface != 0 {
                        self.plan.stamps = Stamps::Given;
                    }
                    if request.left_ns == 0 {
                        self.unstamped = self.unstamped.saturating_sub(1);
                        self.forgotten = self.forgotten.min(self.unstamped);
                    }
                    request.left_ns = arrival.at_ns.unwrap_or_default();
                }
                (SweepAnswer::Reply, State::Out) => {
                    request.state = State::Replied;
                    request.came_us = at;
                    request.interface = arrival.interface;
                    request.came_ns = arrival.at_ns.unwrap_or_default();
                    self.open -= 1;
                    self.progress.received += 1;
                    if let Some(answered) = self.answered.get_mut(target)
                        && !std::mem::replace(answered, true)
                    {
                        self.progress.answered += 1;
                    }
                }
                (SweepAnswer::Error, State::Out) => {
                    request.state = State::Refused;
                    self.open -= 1;
                    bump(&mut self.errors, target);
                }
                // Interfaces may be stacked: at each of them the same reply is seen.
                (SweepAnswer::Reply, State::Replied) if request.interface != arrival.interface => {}
                (SweepAnswer::Reply, State::Replied | State::Refused) => bump(&mut self.duplicates, target),
                (SweepAnswer::Error, State::Replied | State::Refused) => bump(&mut self.errors, target),
                // The kernel has not reported yet that it left.
                (SweepAnswer::Reply | SweepAnswer::Error, State::Waiting | State::Unsent) => {}
            }
        }
    }

    /// When `poll_batch` has something, or `is_finished` may change.
    pub(super) fn poll_timeout(&self) -> MonotonicMicros {
        if self.plan.stamps == Stamps::Unproven && self.unstamped > 0 {
            return self.last_sent.plus(STAMP_PATIENCE);
        }
        if self.next < self.progress.planned {
            if self.is_ahead() {
                return self.last_sent.plus(CATCHING_UP).min(self.plan.deadline);
            }
            return self.round_begun.plus(self.plan.interval).min(self.plan.deadline);
        }
        let patience = if self.open == 0 { STAMP_PATIENCE } else { self.plan.wait };
        self.last_sent.plus(patience)
    }

    /// Whether everything has its end: all is sent, and all is answered or has been waited for.
    pub(super) fn is_finished(&self, now: MonotonicMicros) -> bool {
        let all_sent = self.next >= self.progress.planned;
        all_sent && ((self.open == 0 && self.unstamped == 0) || now >= self.poll_timeout())
    }

    /// Whether none of those that have left was seen leaving, and none will be.
    pub(super) fn is_blind(&self, now: MonotonicMicros) -> bool {
        self.plan.stamps == Stamps::Unproven && self.unstamped > 0 && now >= self.last_sent.plus(STAMP_PATIENCE)
    }

    /// Whether there is no time left to send.
    pub(super) fn is_out_of_time(&self, now: MonotonicMicros) -> bool {
        self.next < self.progress.planned && now >= self.plan.deadline
    }

    /// How far it is.
    pub(super) const fn progress(&self) -> SweepProgress {
        self.progress
    }

    /// Whether so much has been sent whose stamps are still to come that this host's queues, or who reads them, must be behind: what comes
    /// beyond their bounds would be lost.
    const fn is_ahead(&self) -> bool {
        let behind = self.unstamped.saturating_sub(self.forgotten);
        match self.plan.stamps {
            Stamps::Given => behind >= AHEAD,
            Stamps::Unproven => behind > 0,
            Stamps::Missing => false,
        }
    }

    fn since_begun(&self, now: MonotonicMicros) -> u32 {
        u32::try_from(now.since(self.begun.monotonic).as_micros()).unwrap_or(u32::MAX)
    }
}

fn bump(counts: &mut [u16], target: usize) {
    if let Some(count) = counts.get_mut(target) {
        *count = count.saturating_add(1);
    }
}

fn widen(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The wall clock was stepped when it moved this much against the monotonic clock; slewing moves both alike.
const STEP_NS: u64 = 1_000_000;
/// Requests that may be on their way out of this host.
const AHEAD: u32 = 1_024;
/// How long is waited for stamps when too many are missing.
const CATCHING_UP: Duration = Duration::from_millis(20);
/// How long the kernel's word that the first requests left is waited for, and that the last did when everything is answered.
const STAMP_PATIENCE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
