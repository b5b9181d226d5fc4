//! Behind which hop long packets vanish: a short and a long packet to each hop. A hop that answers the short one only lies behind the place.

use super::PmtuPlan;
use crate::book::{Book, Packet};

/// The search for the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placing {
    passes: u32,
    vanishes: u32,
}

impl Placing {
    pub(super) const fn new(passes: u32, vanishes: u32) -> Self {
        Self { passes, vanishes }
    }

    /// Hop and length of the next packet; `None` when there is none, or as many are on their way as may be.
    pub(super) fn next(&self, book: &Book, plan: &PmtuPlan, waited_for: usize) -> Option<(u8, u32)> {
        if waited_for >= INFLIGHT {
            return None;
        }
        let last = self.last(book, plan);
        let sent = |ttl: u8, bytes: u32| book.packets.iter().filter(|packet| packet.ttl == ttl && packet.bytes == bytes).count();
        (1..=last)
            .flat_map(|ttl| [(ttl, self.passes), (ttl, self.vanishes)])
            // Each is sent twice at most: one packet may be lost by chance.
            .find(|(ttl, bytes)| match sent(*ttl, *bytes) {
                0 => true,
                1 => waited_for == 0 && !is_answered(book, *ttl, *bytes),
                _ => false,
            })
    }

    /// The last hop worth asking: the target, or some beyond the farthest that has answered.
    fn last(&self, book: &Book, plan: &PmtuPlan) -> u8 {
        let short = || limited(book).filter(|packet| packet.bytes == self.passes);
        let reached = short().filter(|packet| packet.answers.iter().any(|came| came.is_from_target(plan.target)));
        let answered = short().filter(|packet| !packet.answers.is_empty()).map(|packet| packet.ttl).max().unwrap_or(0);
        reached.map(|packet| packet.ttl).min().unwrap_or(answered + AHEAD).min(super::SEARCH_TTL - 1)
    }
}

/// Packets with a life too short to search with.
pub(super) fn limited(book: &Book) -> impl Iterator<Item = &Packet> {
    book.packets.iter().filter(|packet| (1..super::SEARCH_TTL).contains(&packet.ttl))
}

fn is_answered(book: &Book, ttl: u8, bytes: u32) -> bool {
    limited(book).any(|packet| packet.ttl == ttl && packet.bytes == bytes && !packet.answers.is_empty())
}

/// Packets on their way at the same time.
const INFLIGHT: usize = 16;
/// Silent hops in a row behind which no other is asked.
const AHEAD: u8 = 5;
