//! The machine of an mtr: round after round, one packet to each hop.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::event::MtrRow;
use shared_protocol::report::MtrFindings;
use shared_protocol::spec::MtrSpec;
use shared_protocol::time::MonotonicMicros;

mod findings;
mod verdict;

use crate::Moment;
use crate::book::{Arrival, Book, Ports, SendFailure};
use crate::outlook::Outlook;
use crate::plan::{Departing, PathPlan};
use crate::verdict::Verdict;

/// What an mtr is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtrPlan {
    /// What is sent along the path.
    pub path: PathPlan,
    /// Rounds, in each of which every hop is asked once.
    pub rounds: u32,
    /// Time between two rounds.
    pub interval_us: u64,
}

/// An mtr under way.
#[derive(Debug, Clone)]
pub struct Mtr {
    plan: MtrPlan,
    book: Book,
    outlook: Outlook,
    round: u32,
    /// When the round began.
    round_us: u64,
    next_ttl: u8,
    /// The packet that was given out and has neither left nor failed.
    leaving: Option<u32>,
    told: Told,
    events: VecDeque<Standings>,
    last_answer_us: u64,
}

/// How the hops stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    /// Rounds that are over.
    pub rounds: u32,
    /// Every hop so far.
    pub hops: Vec<MtrRow>,
}

/// What has been told of the hops.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// When last; `None` before the first time.
    at_us: Option<u64>,
    /// Rounds that were over then.
    rounds: u32,
    /// Whether anything has come since.
    stale: bool,
    /// Whether the end of the path was known then.
    end: bool,
}

impl MtrPlan {
    /// The plan of a spec to an address.
    pub fn new(target: IpAddr, spec: &MtrSpec) -> Self {
        Self {
            path: PathPlan::new(target, &spec.path),
            rounds: spec.rounds,
            interval_us: u64::from(spec.interval_ms) * 1_000,
        }
    }
}

impl Mtr {
    /// Begins at this moment; the address that packets leave from, where it is known.
    pub fn new(plan: MtrPlan, begun: Moment, source: Option<IpAddr>) -> Self {
        Self {
            book: Book::new(begun, source),
            outlook: Outlook::default(),
            round: 0,
            round_us: 0,
            next_ttl: plan.path.first_ttl,
            leaving: None,
            told: Told::default(),
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
        self.begin_round(now_us);
        let round = self.round;
        let waited_for = self.outlook.open().filter(|open| open.round == round).count();
        if self.next_ttl > self.outlook.limit(&self.plan.path) || waited_for >= self.plan.path.inflight {
            return None;
        }
        let (ttl, bytes) = (self.next_ttl, self.plan.path.bytes);
        self.next_ttl += 1;
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
        self.book.unsent(number, self.book.since(now), failure);
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
        self.told.stale = true;
        self.tell(at_us);
    }

    /// Gives up what was waited for long enough, and tells how the hops stand when that is due.
    pub fn handle_timeout(&mut self, now: MonotonicMicros) {
        let now_us = self.book.since(now);
        self.outlook.expire(now_us, &self.plan.path);
        self.tell(now_us);
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
        let round = (self.round + 1 < self.plan.rounds && self.leaving.is_none()).then(|| self.round_us.saturating_add(self.plan.interval_us));
        let tell = self.told.at_us.filter(|_| self.told.stale).map(|at_us| at_us.saturating_add(TELL_US));
        let stamps = self.is_settled().then_some(self.last_answer_us.saturating_add(STAMP_WAIT_US));
        let next_us = [round, tell, self.outlook.next_expiry(&self.plan.path), stamps].into_iter().flatten().min()?;
        Some(self.book.begun().monotonic.plus(Duration::from_micros(next_us)))
    }

    /// How the hops stand, when there is something new.
    pub fn poll_event(&mut self) -> Option<Standings> {
        self.events.pop_front()
    }

    /// Whether every round is over.
    pub fn is_finished(&self, now: MonotonicMicros) -> bool {
        self.book.stopped || (self.is_settled() && (!self.book.misses_stamps() || self.book.since(now) >= self.last_answer_us.saturating_add(STAMP_WAIT_US)))
    }

    /// What was sent and what came.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Goes on to the next round where it is due. A round that is late moves those behind it: they never leave in a burst.
    fn begin_round(&mut self, now_us: u64) {
        let due_us = self.round_us.saturating_add(self.plan.interval_us);
        if self.round + 1 >= self.plan.rounds || now_us < due_us {
            return;
        }
        self.round += 1;
        self.round_us = if now_us < due_us.saturating_add(self.plan.interval_us) {
            due_us
        } else {
            now_us
        };
        self.next_ttl = self.plan.path.first_ttl;
        self.told.stale = true;
        self.tell(now_us);
    }

    fn is_settled(&self) -> bool {
        let needed = self.outlook.needed(&self.plan.path);
        self.leaving.is_none() && self.round + 1 >= self.plan.rounds && self.next_ttl > needed && !self.outlook.open().any(|open| open.ttl <= needed)
    }

    /// Tells how the hops stand: when the first answers, when the path's end is known, at the end of each round, and else not too often.
    fn tell(&mut self, now_us: u64) {
        let rounds = if self.is_settled() { self.plan.rounds } else { self.round };
        let end = self.outlook.end.is_some();
        let due = self.told.at_us.is_none_or(|at_us| now_us >= at_us.saturating_add(TELL_US)) || rounds > self.told.rounds || (end && !self.told.end);
        if !self.told.stale || !due {
            return;
        }
        self.told = Told {
            at_us: Some(now_us),
            rounds,
            stale: false,
            end,
        };
        let hops = findings::rows(&self.plan, &self.book, &self.outlook);
        self.events.push_back(Standings { rounds, hops });
    }
}

/// Everything that an mtr found, from its book.
pub fn findings(plan: &MtrPlan, book: &Book) -> MtrFindings {
    findings::all(plan, book)
}

/// What its findings say about target, path and agent.
pub fn judge(findings: &MtrFindings, book: &Book) -> Verdict {
    verdict::judge(findings, book)
}

/// Least time between two tellings of the same round.
const TELL_US: u64 = 100_000;
/// How long the kernel's word on when a packet left is waited for behind the last answer.
const STAMP_WAIT_US: u64 = 50_000;
