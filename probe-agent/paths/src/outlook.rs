//! What has been learnt of a path while it is followed: how far it goes, and how long an answer is worth waiting for.

use std::collections::BTreeMap;

use crate::book::{Book, Packet};
use crate::plan::PathPlan;

/// What has been learnt so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlook {
    /// The slowest answer in time of each hop, microseconds.
    slowest: BTreeMap<u8, u64>,
    /// Packets that are waited for.
    open: BTreeMap<u32, Open>,
    /// The hop where the path ends.
    pub(crate) end: Option<u8>,
    /// The farthest hop that has answered; 0 before the first.
    pub(crate) answered: u8,
    /// Whether a packet beyond it has been waited for in vain.
    tail_is_silent: bool,
}

/// A packet that is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) ttl: u8,
    pub(crate) round: u32,
    sent_us: u64,
}

impl Outlook {
    /// A packet has left.
    pub(crate) fn note_sent(&mut self, number: u32, book: &Book) {
        if let Some(packet) = book.packet(number)
            && let Some(departure) = packet.departure()
        {
            let open = Open {
                ttl: packet.ttl,
                round: packet.round,
                sent_us: departure.at_us,
            };
            self.open.insert(number, open);
        }
    }

    /// Something came for a packet.
    pub(crate) fn note_answer(&mut self, number: u32, book: &Book, plan: &PathPlan) {
        self.open.remove(&number);
        let Some(packet) = book.packet(number) else { return };
        if let Some(reply) = packet.reply(plan.wait_us) {
            let slowest = self.slowest.entry(packet.ttl).or_default();
            *slowest = reply.best_us().max(*slowest);
        }
        if ends_path(packet, plan) {
            self.end = Some(self.end.map_or(packet.ttl, |end| end.min(packet.ttl)));
        }
        if !packet.answers.is_empty() {
            self.answered = self.answered.max(packet.ttl);
        }
        if let Some(end) = self.end {
            self.answered = self.answered.min(end);
        }
    }

    /// How long a packet to a hop is waited for. That packets pass a hop is known once one behind it has answered: then the hop itself would have
    /// answered about as soon. Where none has, the next link may be of any length, and the whole wait is due.
    fn wait_us(&self, ttl: u8, plan: &PathPlan) -> u64 {
        self.slowest
            .range(ttl..)
            .next()
            .map_or(plan.wait_us, |(_, slowest)| slowest.saturating_mul(3).max(FLOOR_US).min(plan.wait_us))
    }

    /// Gives up the packets whose wait is over.
    pub(crate) fn expire(&mut self, now_us: u64, plan: &PathPlan) {
        let over: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, open)| self.expiry(open, plan) <= now_us)
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            if let Some(open) = self.open.remove(&number) {
                self.tail_is_silent |= open.ttl > self.answered;
            }
        }
    }

    /// When the next wait is over.
    pub(crate) fn next_expiry(&self, plan: &PathPlan) -> Option<u64> {
        let needed = self.needed(plan);
        self.open.values().filter(|open| open.ttl <= needed).map(|open| self.expiry(open, plan)).min()
    }

    fn expiry(&self, open: &Open, plan: &PathPlan) -> u64 {
        open.sent_us.saturating_add(self.wait_us(open.ttl, plan))
    }

    /// The last hop that a packet is worth sending to. Beyond the farthest answer that is a few hops only: most would reach the target for nothing.
    pub(crate) fn limit(&self, plan: &PathPlan) -> u8 {
        let ahead = if self.tail_is_silent { plan.gap_limit } else { plan.gap_limit.max(AHEAD) };
        let farthest = self.answered.max(plan.first_ttl.saturating_sub(1)).saturating_add(ahead);
        self.end.unwrap_or(farthest).min(plan.max_ttl)
    }

    /// The last hop that has to be settled before the path is known.
    pub(crate) fn needed(&self, plan: &PathPlan) -> u8 {
        let farthest = self.answered.max(plan.first_ttl.saturating_sub(1)).saturating_add(plan.gap_limit);
        self.end.unwrap_or(farthest).min(plan.max_ttl)
    }

    /// Packets that are waited for.
    pub(crate) fn open(&self) -> impl Iterator<Item = Open> {
        self.open.values().copied()
    }

    /// Whether a packet is waited for.
    pub(crate) fn is_open(&self, number: u32) -> bool {
        self.open.contains_key(&number)
    }

    /// The packet that an answer of the target belongs to which does not say so: the first beyond the farthest hop that is on the way.
    pub(crate) fn guess(&self, book: &Book, plan: &PathPlan) -> Option<u32> {
        let on_the_way = book
            .packets
            .iter()
            .filter(|packet| packet.answers.iter().any(|came| !came.is_from_target(plan.target)));
        let farthest = on_the_way.map(|packet| packet.ttl).max().unwrap_or(0);
        self.open.iter().find(|(_, open)| open.ttl > farthest).map(|(number, _)| *number)
    }
}

/// Whether an answer says that packets with more time to live come no further.
pub(crate) fn ends_path(packet: &Packet, plan: &PathPlan) -> bool {
    packet.answers.iter().any(|came| {
        let stopped = came.error().is_some_and(|error| !crate::meaning::is_time_exceeded(plan.target, error.kind));
        stopped || came.is_from_target(plan.target)
    })
}

/// Least wait: a router that is asked for an error takes its time.
const FLOOR_US: u64 = 50_000;
/// How many hops beyond the farthest answer are asked at once.
const AHEAD: u8 = 10;
