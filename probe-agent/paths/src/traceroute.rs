//! The machine of a traceroute: which packet leaves when, and when enough is known.
//!
//! Packets to the nearest hops leave at once, as many as may be waited for at the same time; each answer makes room for the next hop. Silent hops
//! cost little, because what is behind them shows how long an answer takes.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::report::{TracerouteFindings, TracerouteHop};
use shared_protocol::spec::TracerouteSpec;
use shared_protocol::time::MonotonicMicros;

mod findings;
mod verdict;

use crate::book::{Arrival, Book, Ports, SendFailure};
use crate::outlook::Outlook;
use crate::plan::{Departing, PathPlan};
use crate::verdict::Verdict;
use crate::{Moment, shape};

/// What a traceroute is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceroutePlan {
    /// What is sent along the path.
    pub path: PathPlan,
    /// Packets to each hop.
    pub queries: u32,
}

/// A traceroute under way.
#[derive(Debug, Clone)]
pub struct Traceroute {
    plan: TraceroutePlan,
    book: Book,
    outlook: Outlook,
    /// Hop and query of the next packet.
    next: (u8, u32),
    /// The packet that was given out and has neither left nor failed.
    leaving: Option<u32>,
    retries: Retries,
    /// Hops that have been told about.
    told: u8,
    events: VecDeque<TracerouteHop>,
    last_answer_us: u64,
}

/// Packets that are sent again, after a pause, to hops that answered some only.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Retries {
    /// It is not known yet which.
    Undecided,
    /// To these hops, at this moment.
    Due {
        at_us: u64,
        hops: VecDeque<u8>,
    },
    Done,
}

impl TraceroutePlan {
    /// The plan of a spec to an address.
    pub fn new(target: IpAddr, spec: &TracerouteSpec) -> Self {
        Self {
            path: PathPlan::new(target, &spec.path),
            queries: spec.queries,
        }
    }
}

impl Traceroute {
    /// Begins at this moment; the address that packets leave from, where it is known.
    pub fn new(plan: TraceroutePlan, begun: Moment, source: Option<IpAddr>) -> Self {
        let first = plan.path.first_ttl;
        Self {
            book: Book::new(begun, source),
            outlook: Outlook::default(),
            next: (first, 0),
            leaving: None,
            retries: Retries::Undecided,
            told: first.saturating_sub(1),
            events: VecDeque::new(),
            last_answer_us: 0,
            plan,
        }
    }

    /// The packet that is to leave now; each is given once and then reported by `handle_sent` or `handle_send_failed`.
    pub fn poll_send(&mut self, now: MonotonicMicros) -> Option<Departing> {
        if self.leaving.is_some() || self.book.stopped {
            return None;
        }
        let now_us = self.book.since(now);
        let (ttl, round) = match &mut self.retries {
            Retries::Due { at_us, hops } if *at_us <= now_us => (hops.pop_front()?, self.plan.queries),
            Retries::Undecided | Retries::Due { .. } | Retries::Done => {
                let (ttl, query) = self.next;
                if ttl > self.outlook.limit(&self.plan.path) || self.outlook.open().count() >= self.plan.path.inflight {
                    return None;
                }
                self.next = if query + 1 < self.plan.queries { (ttl, query + 1) } else { (ttl + 1, 0) };
                (ttl, query)
            }
        };
        let bytes = self.plan.path.bytes;
        let number = self.book.plan(ttl, round, bytes);
        self.leaving = Some(number);
        Some(Departing { number, ttl, bytes })
    }

    /// A packet has left.
    pub fn handle_sent(&mut self, number: u32, moment: Moment, ports: Ports) {
        self.leaving.take_if(|leaving| *leaving == number);
        self.book.sent(number, moment, ports);
        self.outlook.note_sent(number, &self.book);
    }

    /// A packet did not leave.
    pub fn handle_send_failed(&mut self, number: u32, now: MonotonicMicros, failure: SendFailure) {
        self.leaving.take_if(|leaving| *leaving == number);
        let now_us = self.book.since(now);
        self.book.unsent(number, now_us, failure);
        self.look_around(now_us);
    }

    /// The kernel says when a packet left: wall clock, nanoseconds.
    pub fn handle_transmitted(&mut self, number: u32, at_ns: i64) {
        self.book.transmitted(number, at_ns);
    }

    /// Something came for a packet; without a number, the target answered and does not say what.
    pub fn handle_arrival(&mut self, number: Option<u32>, arrival: Arrival) {
        let Some(number) = number.or_else(|| self.outlook.guess(&self.book, &self.plan.path)) else {
            return;
        };
        let at_us = self.book.since(arrival.moment.monotonic);
        self.last_answer_us = self.last_answer_us.max(at_us);
        self.book.came(number, arrival);
        self.outlook.note_answer(number, &self.book, &self.plan.path);
        self.look_around(at_us);
    }

    /// Gives up what was waited for long enough.
    pub fn handle_timeout(&mut self, now: MonotonicMicros) {
        let now_us = self.book.since(now);
        self.outlook.expire(now_us, &self.plan.path);
        self.look_around(now_us);
    }

    /// Ends it as it stands.
    pub const fn stop(&mut self) {
        self.book.stopped = true;
    }

    /// Notes how many replies the host has lost meanwhile.
    pub const fn note_drops(&mut self, drops: u32) {
        self.book.agent_drops = drops;
    }

    /// When `poll_send` or `handle_timeout` next has something to do, if nothing comes.
    pub fn poll_timeout(&self) -> Option<MonotonicMicros> {
        let retry = match &self.retries {
            Retries::Due { at_us, hops } if !hops.is_empty() && self.leaving.is_none() => Some(*at_us),
            Retries::Undecided | Retries::Due { .. } | Retries::Done => None,
        };
        let stamps = self.is_settled().then_some(self.last_answer_us.saturating_add(STAMP_WAIT_US));
        let next_us = [retry, self.outlook.next_expiry(&self.plan.path), stamps].into_iter().flatten().min()?;
        Some(self.book.begun().monotonic.plus(Duration::from_micros(next_us)))
    }

    /// The next hop that is not waited for any more.
    pub fn poll_event(&mut self) -> Option<TracerouteHop> {
        self.events.pop_front()
    }

    /// Whether enough is known.
    pub fn is_finished(&self, now: MonotonicMicros) -> bool {
        self.book.stopped || (self.is_settled() && (!self.book.misses_stamps() || self.book.since(now) >= self.last_answer_us.saturating_add(STAMP_WAIT_US)))
    }

    /// What was sent and what came.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    fn is_settled(&self) -> bool {
        self.leaving.is_none() && self.retries == Retries::Done && !self.is_waiting()
    }

    /// Whether there are packets that have to leave, or that are waited for, before the path is known.
    fn is_waiting(&self) -> bool {
        let needed = self.outlook.needed(&self.plan.path);
        self.next.0 <= needed || self.outlook.open().any(|open| open.ttl <= needed)
    }

    /// Sees what follows from what has just happened: hops to tell about, a path that goes in circles, packets to send again.
    fn look_around(&mut self, now_us: u64) {
        if self.goes_in_circles() {
            self.outlook.end = Some(self.outlook.answered);
        }
        self.tell();
        match &self.retries {
            Retries::Undecided if self.leaving.is_none() && !self.is_waiting() => {
                let hops = self.lossy_hops();
                self.retries = if hops.is_empty() {
                    Retries::Done
                } else {
                    Retries::Due {
                        at_us: now_us.saturating_add(RETRY_PAUSE_US),
                        hops,
                    }
                };
            }
            Retries::Due { hops, .. } if hops.is_empty() && self.leaving.is_none() => self.retries = Retries::Done,
            Retries::Undecided | Retries::Due { .. } | Retries::Done => {}
        }
    }

    /// Hops on the way that answered some of their packets and not all. The target is not asked again: what it loses is what was asked for.
    fn lossy_hops(&self) -> VecDeque<u8> {
        let last = self.outlook.needed(&self.plan.path);
        let hops = shape::by_ttl(&self.book);
        let lossy = hops.into_iter().filter(|(ttl, packets)| {
            let left = packets.iter().filter(|packet| packet.departure().is_some()).count();
            let answered = packets.iter().filter(|packet| packet.reply(self.plan.path.wait_us).is_some()).count();
            *ttl < last && answered > 0 && answered < left
        });
        lossy.map(|(ttl, _)| ttl).collect()
    }

    /// Whether the same circle has been gone through often enough to be sure.
    fn goes_in_circles(&self) -> bool {
        if self.outlook.end.is_some() {
            return false;
        }
        let hops = shape::by_ttl(&self.book);
        shape::circle(&hops).is_some_and(|circle| self.outlook.answered >= circle.first_ttl.saturating_add(circle.hops.saturating_mul(CIRCLES)))
    }

    /// Tells about the hops, in their order, that are not waited for any more.
    fn tell(&mut self) {
        let last = self.outlook.needed(&self.plan.path);
        while self.told < last {
            let ttl = self.told + 1;
            let waits = self.next.0 <= ttl || self.outlook.open().any(|open| open.ttl == ttl) || self.is_leaving_for(ttl);
            if waits {
                return;
            }
            self.told = ttl;
            self.events.extend(findings::hop(ttl, &self.plan, &self.book));
        }
    }

    fn is_leaving_for(&self, ttl: u8) -> bool {
        self.leaving.and_then(|number| self.book.packet(number)).is_some_and(|packet| packet.ttl == ttl)
    }
}

/// Everything that a traceroute found, from its book.
pub fn findings(plan: &TraceroutePlan, book: &Book) -> TracerouteFindings {
    findings::all(plan, book)
}

/// What its findings say about target, path and agent.
pub fn judge(findings: &TracerouteFindings, book: &Book) -> Verdict {
    verdict::judge(findings, book)
}

/// Pause before a hop that answered some packets only is asked once more: by then a router that answers two a second may answer again.
const RETRY_PAUSE_US: u64 = 500_000;
/// How long the kernel's word on when a packet left is waited for behind its answer.
const STAMP_WAIT_US: u64 = 50_000;
/// Times that a circle is gone through before it is believed.
const CIRCLES: u8 = 3;
