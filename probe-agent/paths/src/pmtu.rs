//! The machine of a search for the path MTU (RFC 8899): which length is tried next, and when enough is known.
//!
//! Whether packets of a length pass is decided by what the target answers, never by what a router says: a claim is only the next length to try.
//! Where longer packets vanish without a word, packets with a short life show behind which hop.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::report::{PmtuFindings, PmtuLength};
use shared_protocol::spec::{PathProtocol, PmtuSpec};
use shared_protocol::time::MonotonicMicros;

mod findings;
mod placing;
mod search;
mod verdict;

use placing::Placing;
use search::{Knowledge, Step};

use crate::Moment;
use crate::book::{Arrival, Book, Ports, SendFailure};
use crate::plan::Departing;
use crate::verdict::Verdict;

/// What a search is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PmtuPlan {
    /// Where packets go.
    pub target: IpAddr,
    /// What they are.
    pub protocol: PathProtocol,
    /// Their destination port, where they have one.
    pub port: Option<u16>,
    /// Shortest length that is considered first.
    pub min: u32,
    /// Longest length that is considered.
    pub max: u32,
    /// Packets of one length that stay unanswered before it counts as too long.
    pub probes: u32,
    /// How long an answer is waited for at most.
    pub wait_us: u64,
    /// Differentiated services code point.
    pub dscp: u8,
}

/// A search under way.
#[derive(Debug, Clone)]
pub struct Pmtu {
    plan: PmtuPlan,
    book: Book,
    /// The packet that was given out and has neither left nor failed.
    leaving: Option<u32>,
    /// Packets that are waited for, with the moment until which.
    open: Vec<(u32, u64)>,
    placing: Option<Placing>,
    told: Vec<u32>,
    events: VecDeque<PmtuLength>,
}

impl PmtuPlan {
    /// The plan of a spec to an address.
    pub fn new(target: IpAddr, spec: &PmtuSpec) -> Self {
        let least = match target {
            IpAddr::V4(_) => spec.min_bytes,
            IpAddr::V6(_) => spec.min_bytes.max(IPV6_LEAST),
        };
        Self {
            target,
            protocol: spec.protocol,
            port: spec.port,
            min: least.min(spec.max_bytes),
            max: spec.max_bytes,
            probes: spec.probes,
            wait_us: u64::from(spec.wait_ms) * 1_000,
            dscp: u8::try_from(spec.dscp).unwrap_or(u8::MAX),
        }
    }
}

impl Pmtu {
    /// Begins at this moment; the address that packets leave from, where it is known.
    pub fn new(plan: PmtuPlan, begun: Moment, source: Option<IpAddr>) -> Self {
        Self {
            plan,
            book: Book::new(begun, source),
            leaving: None,
            open: Vec::new(),
            placing: None,
            told: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// The packet that is to leave now; each is given once and then reported by `handle_sent` or `handle_send_failed`.
    pub fn poll_send(&mut self, now: MonotonicMicros) -> Option<Departing> {
        if self.leaving.is_some() || self.book.stopped {
            return None;
        }
        let now_us = self.book.since(now);
        self.expire(now_us);
        let (ttl, round, bytes) = match self.step() {
            Step::Try(bytes) if self.open.is_empty() => {
                let tried = self
                    .book
                    .packets
                    .iter()
                    .filter(|packet| packet.ttl == SEARCH_TTL && packet.bytes == bytes)
                    .count();
                (SEARCH_TTL, u32::try_from(tried).unwrap_or(u32::MAX), bytes)
            }
            Step::Try(_) | Step::Done => return None,
            Step::Place { passes, vanishes } => {
                let placing = self.placing.get_or_insert_with(|| Placing::new(passes, vanishes));
                let waited_for = self.open.len();
                let (ttl, bytes) = placing.next(&self.book, &self.plan, waited_for)?;
                (ttl, 0, bytes)
            }
        };
        let number = self.book.plan(ttl, round, bytes);
        self.leaving = Some(number);
        Some(Departing { number, ttl, bytes })
    }

    /// A packet has left.
    pub fn handle_sent(&mut self, number: u32, moment: Moment, ports: Ports) {
        self.leaving.take_if(|leaving| *leaving == number);
        self.book.sent(number, moment, ports);
        let until = self.book.since(moment.monotonic).saturating_add(self.wait_us());
        self.open.push((number, until));
    }

    /// A packet did not leave: most often because the interface takes none so long.
    pub fn handle_send_failed(&mut self, number: u32, now: MonotonicMicros, failure: SendFailure) {
        self.leaving.take_if(|leaving| *leaving == number);
        self.book.unsent(number, self.book.since(now), failure);
        self.tell();
    }

    /// The kernel says when a packet left: wall clock, nanoseconds.
    pub fn handle_transmitted(&mut self, number: u32, at_ns: i64) {
        self.book.transmitted(number, at_ns);
    }

    /// Something came for a packet; without a number, the target answered and does not say what.
    pub fn handle_arrival(&mut self, number: Option<u32>, arrival: Arrival) {
        // In the search one packet is on its way at a time.
        let Some(number) = number.or_else(|| self.open.first().map(|(number, _)| *number)) else {
            return;
        };
        let at_us = self.book.since(arrival.moment.monotonic);
        let too_big = arrival_is_too_big(&arrival, self.plan.target);
        self.book.came(number, arrival);
        if too_big {
            // The packet may have passed all the same: whoever says that it did not may lie, or have sent it on in fragments.
            let patience = at_us.saturating_add(self.patience_us());
            for (open, until) in &mut self.open {
                if *open == number {
                    *until = patience.min(*until);
                }
            }
        } else {
            self.open.retain(|(open, _)| *open != number);
        }
        self.tell();
    }

    /// Gives up what was waited for long enough.
    pub fn handle_timeout(&mut self, now: MonotonicMicros) {
        self.expire(self.book.since(now));
        self.tell();
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
        let next_us = self.open.iter().map(|(_, until)| *until).min()?;
        Some(self.book.begun().monotonic.plus(Duration::from_micros(next_us)))
    }

    /// The next length of which it is known whether packets pass.
    pub fn poll_event(&mut self) -> Option<PmtuLength> {
        self.events.pop_front()
    }

    /// Whether enough is known.
    pub fn is_finished(&self, _now: MonotonicMicros) -> bool {
        self.book.stopped || (self.leaving.is_none() && self.open.is_empty() && self.is_over())
    }

    /// What was sent and what came.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    fn is_over(&self) -> bool {
        match self.step() {
            Step::Done => true,
            Step::Try(_) => false,
            Step::Place { passes, vanishes } => {
                let placing = self.placing.clone().unwrap_or_else(|| Placing::new(passes, vanishes));
                placing.next(&self.book, &self.plan, 0).is_none()
            }
        }
    }

    fn step(&self) -> Step {
        Knowledge::of(&self.book, &self.plan, &self.waiting()).step(&self.plan)
    }

    fn waiting(&self) -> Vec<u32> {
        self.open.iter().map(|(number, _)| *number).chain(self.leaving).collect()
    }

    fn expire(&mut self, now_us: u64) {
        self.open.retain(|(_, until)| *until > now_us);
    }

    /// Once the target has answered, the next answer takes about as long.
    fn wait_us(&self) -> u64 {
        let slowest = self.slowest_us();
        slowest.map_or(self.plan.wait_us, |slowest| slowest.saturating_mul(3).max(FLOOR_US).min(self.plan.wait_us))
    }

    /// How long the target's answer to a packet is waited for that a router has called too big.
    fn patience_us(&self) -> u64 {
        self.slowest_us().map_or(FLOOR_US, |slowest| slowest.saturating_mul(2)).min(self.plan.wait_us)
    }

    fn slowest_us(&self) -> Option<u64> {
        let answered = self.book.packets.iter().filter_map(|packet| packet.reply(self.plan.wait_us));
        answered
            .filter(|reply| reply.came.is_from_target(self.plan.target))
            .map(|reply| reply.best_us())
            .max()
    }

    /// Tells about the lengths that are decided since.
    fn tell(&mut self) {
        let knowledge = Knowledge::of(&self.book, &self.plan, &self.waiting());
        for bytes in knowledge.decided(&self.plan) {
            if !self.told.contains(&bytes) {
                self.told.push(bytes);
                self.events.extend(findings::length(bytes, &self.plan, &self.book));
            }
        }
    }
}

fn arrival_is_too_big(arrival: &Arrival, target: IpAddr) -> bool {
    match &arrival.answer {
        crate::Answer::Error(error) => error.is_too_big(target),
        crate::Answer::EchoReply | crate::Answer::Datagram | crate::Answer::SynAck | crate::Answer::Reset => false,
    }
}

/// Everything that a search found, from its book.
pub fn findings(plan: &PmtuPlan, book: &Book) -> PmtuFindings {
    findings::all(plan, book)
}

/// What its findings say about target, path and agent.
pub fn judge(findings: &PmtuFindings, book: &Book) -> Verdict {
    verdict::judge(findings, book)
}

/// Time to live of the packets that search for the length; those that place a black hole have less.
const SEARCH_TTL: u8 = 64;
/// What every link carries (RFC 8200 section 5).
const IPV6_LEAST: u32 = 1_280;
/// Least wait: a host that is asked for an error takes its time.
const FLOOR_US: u64 = 50_000;
