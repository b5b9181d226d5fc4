//! The state of a ping: when to send, what each answer means, when it is over. Pure: time and answers come in as arguments.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use agent_paths::statistics;
use shared_protocol::report::{PingPacket, PingStatistics};
use shared_protocol::time::MonotonicMicros;

use crate::clock::Moment;
use crate::net::icmp::{Answer, Receipt};
use crate::round_trip;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub target: IpAddr,
    pub count: u32,
    pub interval: Duration,
    /// How long an answer is waited for.
    pub wait: Duration,
    /// When requests that have not left are given up.
    pub deadline: MonotonicMicros,
}

/// Why a request did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendFailure {
    /// The kernel refused, with its error number.
    Kernel(i32),
    /// The owner's packet rates left no room in time.
    NoRoom,
    /// The agent had no socket or no echo number for it.
    NoSocket,
}

/// A ping under way.
#[derive(Debug)]
pub(super) struct Exchange {
    plan: Plan,
    requests: Vec<Request>,
    next: u32,
    /// The request that was given out and has neither left nor failed.
    leaving: Option<u32>,
    due: MonotonicMicros,
    extras: Vec<PingPacket>,
    unsent: Vec<SendFailure>,
    /// Round-trip times in the order of the replies: by the kernel, by user space.
    kernel: Vec<(u32, u64)>,
    user: Vec<(u32, u64)>,
    highest: Option<u32>,
    counts: Counts,
    events: VecDeque<PingPacket>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    received: u32,
    duplicates: u32,
    late: u32,
    reordered: u32,
    errors: u32,
    left_out: u32,
}

#[derive(Debug)]
enum Request {
    Waiting,
    /// On its way, or answered and waiting for the kernel to say when it left.
    Departed {
        moment: Moment,
        transmitted_ns: Option<i64>,
        reply: Option<Reply>,
    },
    Settled {
        packet: PingPacket,
        /// What a further answer is measured from; absent where the request never left.
        departed: Option<(Moment, Option<i64>)>,
        further: Further,
    },
}

/// What a further answer to a settled request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Further {
    Late,
    Duplicate,
}

#[derive(Debug, Clone, Copy)]
struct Reply {
    receipt: Receipt,
    error: Option<((u8, u8), Option<IpAddr>)>,
}

impl Exchange {
    pub(super) fn new(plan: Plan, now: MonotonicMicros) -> Self {
        Self {
            plan,
            requests: (0..plan.count).map(|_| Request::Waiting).collect(),
            next: 0,
            leaving: None,
            due: now,
            extras: Vec::new(),
            unsent: Vec::new(),
            kernel: Vec::new(),
            user: Vec::new(),
            highest: None,
            counts: Counts::default(),
            events: VecDeque::new(),
        }
    }

    /// The request that is to leave now; each is given once and then reported by `handle_sent` or `handle_send_failed`.
    pub(super) fn poll_send(&mut self, now: MonotonicMicros) -> Option<u32> {
        if self.leaving.is_some() || self.next >= self.plan.count || now < self.due {
            return None;
        }
        let index = self.next;
        self.next += 1;
        self.leaving = Some(index);
        // After a delay of more than an interval the rest moves back: requests never leave in a burst.
        let planned = self.due.plus(self.plan.interval);
        self.due = if planned > now { planned } else { now.plus(self.plan.interval) };
        Some(index)
    }

    /// A request has left.
    pub(super) fn handle_sent(&mut self, index: u32, moment: Moment) {
        self.leaving = None;
        if let Some(request) = self.request(index) {
            *request = Request::Departed {
                moment,
                transmitted_ns: None,
                reply: None,
            };
        }
    }

    /// A request could not leave.
    pub(super) fn handle_send_failed(&mut self, index: u32, failure: SendFailure) {
        let errno = match failure {
            SendFailure::Kernel(errno) => Some(errno),
            SendFailure::NoRoom | SendFailure::NoSocket => None,
        };
        self.leaving = None;
        self.unsent.push(failure);
        self.settle(index, PingPacket { errno, ..unanswered(index) }, None, Further::Duplicate);
    }

    /// Something came back for a request.
    pub(super) fn handle_answer(&mut self, index: u32, answer: Answer) {
        let reply = match answer {
            Answer::Transmitted { at_ns } => return self.handle_transmitted(index, at_ns),
            Answer::Reply(receipt) => Reply { receipt, error: None },
            Answer::Error { from, kind, receipt } => Reply {
                receipt,
                error: Some((kind, from)),
            },
        };
        match self.request(index) {
            Some(Request::Departed {
                transmitted_ns,
                reply: slot @ None,
                ..
            }) => {
                *slot = Some(reply);
                let complete = transmitted_ns.is_some() || reply.receipt.at_ns.is_none();
                if complete {
                    self.settle_answered(index);
                }
            }
            Some(Request::Departed { moment, transmitted_ns, .. }) => {
                let departed = (*moment, *transmitted_ns);
                self.add_extra(index, departed, reply, Further::Duplicate);
            }
            Some(Request::Settled {
                departed: Some(departed),
                further,
                ..
            }) => {
                let (departed, kind) = (*departed, *further);
                *further = Further::Duplicate;
                self.add_extra(index, departed, reply, kind);
            }
            Some(Request::Waiting | Request::Settled { departed: None, .. }) | None => {}
        }
    }

    /// Whether `handle_timeout` would call a request lost.
    pub(super) fn gives_up(&self, now: MonotonicMicros) -> bool {
        self.requests.iter().any(|request| match request {
            Request::Departed { moment, reply: None, .. } => moment.monotonic.plus(self.plan.wait) <= now,
            Request::Departed { .. } | Request::Waiting | Request::Settled { .. } => false,
        })
    }

    /// Gives up what has waited long enough.
    pub(super) fn handle_timeout(&mut self, now: MonotonicMicros) {
        let wait = self.plan.wait;
        for index in 0..self.next {
            let expired = match self.request(index) {
                Some(Request::Departed { moment, transmitted_ns, reply }) if moment.monotonic.plus(wait) <= now => {
                    Some(((*moment, *transmitted_ns), reply.is_some()))
                }
                Some(Request::Departed { .. } | Request::Waiting | Request::Settled { .. }) | None => None,
            };
            match expired {
                Some((_, true)) => self.settle_answered(index),
                Some((departed, false)) => self.settle(index, unanswered(index), Some(departed), Further::Late),
                None => {}
            }
        }
        if now >= self.plan.deadline {
            for index in 0..self.plan.count {
                if matches!(self.request(index), Some(Request::Waiting)) {
                    self.handle_send_failed(index, SendFailure::NoRoom);
                }
            }
            self.next = self.plan.count;
        }
    }

    /// When `poll_send` or `handle_timeout` next has something to do.
    pub(super) fn poll_timeout(&self) -> MonotonicMicros {
        let send = (self.leaving.is_none() && self.next < self.plan.count).then_some(self.due);
        let ends = self.requests.iter().filter_map(|request| match request {
            Request::Waiting => Some(self.plan.deadline),
            Request::Departed { moment, .. } => Some(moment.monotonic.plus(self.plan.wait)),
            Request::Settled { .. } => None,
        });
        ends.chain(send).min().unwrap_or(self.plan.deadline)
    }

    /// The next packet to tell about.
    pub(super) fn poll_event(&mut self) -> Option<PingPacket> {
        self.events.pop_front()
    }

    /// Whether every request has its end.
    pub(super) fn is_finished(&self) -> bool {
        self.requests.iter().all(|request| matches!(request, Request::Settled { .. }))
    }

    /// Why requests could not leave, in order.
    pub(super) fn unsent(&self) -> &[SendFailure] {
        &self.unsent
    }

    /// How many duplicates and late replies the list of packets does not show.
    pub(super) fn left_out(&self) -> u32 {
        self.counts.left_out
    }

    /// Every packet with its end, in order, duplicates and late replies behind theirs.
    pub(super) fn packets(&self) -> Vec<PingPacket> {
        let settled = self.requests.iter().filter_map(|request| match request {
            Request::Settled { packet, .. } => Some(packet),
            Request::Waiting | Request::Departed { .. } => None,
        });
        let mut packets: Vec<PingPacket> = settled.chain(&self.extras).cloned().collect();
        packets.sort_by_key(|packet| packet.seq);
        packets
    }

    /// The numbers over every packet with its end.
    pub(super) fn statistics(&self) -> PingStatistics {
        let left = |request: &&Request| matches!(request, Request::Settled { departed: Some(_), .. });
        let sent = u32::try_from(self.requests.iter().filter(left).count()).unwrap_or(u32::MAX);
        let unanswered = sent.saturating_sub(self.counts.received);
        PingStatistics {
            sent,
            received: self.counts.received,
            loss: if sent == 0 { 0.0 } else { f64::from(unanswered) / f64::from(sent) },
            duplicates: self.counts.duplicates,
            late: self.counts.late,
            reordered: self.counts.reordered,
            errors: self.counts.errors,
            rtt: statistics::round_trips(&self.kernel),
            user_rtt: statistics::round_trips(&self.user),
        }
    }

    fn request(&mut self, index: u32) -> Option<&mut Request> {
        self.requests.get_mut(usize::try_from(index).ok()?)
    }

    fn handle_transmitted(&mut self, index: u32, at_ns: i64) {
        let complete = match self.request(index) {
            Some(Request::Departed { transmitted_ns, reply, .. }) => {
                *transmitted_ns = Some(at_ns);
                reply.is_some()
            }
            Some(Request::Settled {
                departed: Some((_, transmitted_ns)),
                ..
            }) => {
                *transmitted_ns = Some(at_ns);
                false
            }
            Some(Request::Waiting | Request::Settled { departed: None, .. }) | None => false,
        };
        if complete {
            self.settle_answered(index);
        }
    }

    fn settle_answered(&mut self, index: u32) {
        let Some(Request::Departed {
            moment,
            transmitted_ns,
            reply: Some(reply),
        }) = self.request(index)
        else {
            return;
        };
        let (departed, reply) = ((*moment, *transmitted_ns), *reply);
        let packet = self.answered(index, departed, reply);
        let taken = Duration::from_micros(packet.rtt_us.or(packet.user_rtt_us).unwrap_or_default());
        if taken > self.plan.wait {
            self.settle(index, unanswered(index), Some(departed), Further::Duplicate);
            return self.add_extra(index, departed, reply, Further::Late);
        }
        if reply.error.is_some() {
            self.counts.errors += 1;
        } else {
            self.counts.received += 1;
            self.note_order(index);
            self.kernel.extend(packet.rtt_us.map(|rtt| (index, rtt)));
            self.user.extend(packet.user_rtt_us.map(|rtt| (index, rtt)));
        }
        self.settle(index, packet, Some(departed), Further::Duplicate);
    }

    fn settle(&mut self, index: u32, packet: PingPacket, departed: Option<(Moment, Option<i64>)>, further: Further) {
        self.events.push_back(packet.clone());
        if let Some(request) = self.request(index) {
            *request = Request::Settled { packet, departed, further };
        }
    }

    /// RFC 4737: a packet is reordered when one sent after it came before it.
    fn note_order(&mut self, index: u32) {
        if self.highest.is_some_and(|highest| index < highest) {
            self.counts.reordered += 1;
        }
        self.highest = self.highest.max(Some(index));
    }

    fn add_extra(&mut self, index: u32, departed: (Moment, Option<i64>), reply: Reply, kind: Further) {
        let mut packet = self.answered(index, departed, reply);
        match kind {
            Further::Late => {
                packet.late = true;
                self.counts.late += 1;
            }
            Further::Duplicate => {
                packet.duplicate = true;
                self.counts.duplicates += 1;
            }
        }
        if reply.error.is_some() {
            self.counts.errors += 1;
        }
        if self.extras.len() < EXTRAS_MAX {
            self.events.push_back(packet.clone());
            self.extras.push(packet);
        } else {
            self.counts.left_out += 1;
        }
    }

    fn answered(&self, index: u32, (moment, transmitted_ns): (Moment, Option<i64>), reply: Reply) -> PingPacket {
        let user_rtt = reply.receipt.moment.monotonic.since(moment.monotonic);
        let (kind, from) = reply.error.unzip();
        PingPacket {
            rtt_us: round_trip::by_kernel((&moment, transmitted_ns), (&reply.receipt.moment, reply.receipt.at_ns), user_rtt),
            user_rtt_us: u64::try_from(user_rtt.as_micros()).ok(),
            reply_ttl: reply.receipt.ttl,
            bytes: Some(reply.receipt.bytes),
            from: from.flatten().filter(|from| *from != self.plan.target),
            icmp_error: kind,
            ..unanswered(index)
        }
    }
}

fn unanswered(index: u32) -> PingPacket {
    PingPacket {
        seq: index,
        rtt_us: None,
        user_rtt_us: None,
        reply_ttl: None,
        bytes: None,
        from: None,
        icmp_error: None,
        errno: None,
        duplicate: false,
        late: false,
    }
}

/// Duplicates and late replies that are listed; all are counted.
const EXTRAS_MAX: usize = 100;

#[cfg(test)]
mod tests;
