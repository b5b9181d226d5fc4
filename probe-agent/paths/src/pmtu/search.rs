//! What is known of the lengths, and which is to be tried next.

use std::collections::BTreeMap;

use super::{PmtuPlan, SEARCH_TTL};
use crate::book::{Book, Fate};

/// What became of the packets of one length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sent: u32,
    pub(super) answered: u32,
    pub(super) too_big: u32,
    pub(super) errno: Option<i32>,
    /// Packets that did not leave.
    pub(super) unsent: u32,
    /// Packets that are still waited for.
    pub(super) waiting: u32,
    /// What routers claim to forward.
    pub(super) claims: Vec<u32>,
}

/// What is known of the lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Knowledge {
    pub(super) lengths: BTreeMap<u32, Tally>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Try a packet of this length.
    Try(u32),
    /// Find out behind which hop packets vanish.
    Place { passes: u32, vanishes: u32 },
    /// Nothing.
    Done,
}

impl Knowledge {
    /// Reads the book; `waiting` are the packets whose end is not known yet.
    pub(super) fn of(book: &Book, plan: &PmtuPlan, waiting: &[u32]) -> Self {
        let mut lengths: BTreeMap<u32, Tally> = BTreeMap::new();
        for (number, packet) in (0_u32..).zip(&book.packets) {
            if packet.ttl != SEARCH_TTL {
                continue;
            }
            let tally = lengths.entry(packet.bytes).or_default();
            tally.waiting += u32::from(waiting.contains(&number));
            match packet.fate {
                Fate::Waiting => {}
                Fate::Left(_) => tally.sent += 1,
                Fate::Unsent { errno, .. } => {
                    tally.errno = tally.errno.or(errno);
                    tally.unsent += 1;
                }
            }
            tally.answered += u32::from(packet.answers.iter().any(|came| came.is_from_target(plan.target)));
            let too_big = packet
                .answers
                .iter()
                .filter_map(|came| came.error())
                .filter(|error| error.is_too_big(plan.target));
            let claims: Vec<Option<u32>> = too_big.map(|error| error.mtu).collect();
            tally.too_big += u32::from(!claims.is_empty());
            tally.claims.extend(claims.into_iter().flatten());
        }
        Self { lengths }
    }

    /// The longest length that the target answers; 0 before the first.
    pub(super) fn passes(&self) -> u32 {
        let answered = self.lengths.iter().filter(|(_, tally)| tally.answered > 0);
        answered.map(|(bytes, _)| *bytes).max().unwrap_or(0)
    }

    /// The shortest longer length that does not pass.
    pub(super) fn fails(&self, plan: &PmtuPlan) -> Option<u32> {
        let passes = self.passes();
        self.lengths
            .range(passes + 1..)
            .find(|(_, tally)| tally.has_failed(plan))
            .map(|(bytes, _)| *bytes)
    }

    /// The lengths of which it is known whether packets pass.
    pub(super) fn decided(&self, plan: &PmtuPlan) -> Vec<u32> {
        let decided = self
            .lengths
            .iter()
            .filter(|(_, tally)| tally.answered > 0 || (tally.waiting == 0 && tally.has_failed(plan)));
        decided.map(|(bytes, _)| *bytes).collect()
    }

    /// What is to be done next.
    pub(super) fn step(&self, plan: &PmtuPlan) -> Step {
        let passes = self.passes();
        if passes == 0 {
            return self.first(plan);
        }
        let fails = self.fails(plan).unwrap_or(plan.max + 1);
        if passes + 1 < fails && self.lengths.len() < LENGTHS_MAX {
            return Step::Try(self.between(passes, fails, plan));
        }
        match self.lengths.get(&fails) {
            Some(tally) if tally.too_big == 0 && tally.sent > 0 && passes + 1 == fails => Step::Place {
                passes: passes.min(plan.min),
                vanishes: fails,
            },
            Some(_) | None => Step::Done,
        }
    }

    /// Nothing has been answered: the shortest length, and where that fails, one that passes everywhere.
    fn first(&self, plan: &PmtuPlan) -> Step {
        let has_failed = |bytes| self.lengths.get(&bytes).is_some_and(|tally| tally.has_failed(plan));
        if !has_failed(plan.min) {
            Step::Try(plan.min)
        } else if has_failed(LEAST) {
            Step::Done
        } else {
            Step::Try(LEAST)
        }
    }

    /// The most telling length strictly between one that passes and one that fails.
    fn between(&self, passes: u32, fails: u32, plan: &PmtuPlan) -> u32 {
        let open = passes + 1..fails;
        // One whose packets are not all decided yet goes on.
        let begun = self.lengths.range(open.clone()).find(|(_, tally)| !tally.has_failed(plan));
        if let Some((bytes, _)) = begun {
            return *bytes;
        }
        let claimed: Vec<u32> = self.lengths.values().flat_map(|tally| tally.claims.iter().copied()).collect();
        let longest_claim = claimed.iter().copied().filter(|claim| open.contains(claim)).max();
        let untried = |bytes: &u32| open.contains(bytes) && !self.lengths.contains_key(bytes);
        let is_usual = |bytes: &u32| USUAL.contains(bytes) || claimed.contains(bytes);
        longest_claim
            .or_else(|| Some(plan.max).filter(untried))
            // What passes and is a usual length is most often the limit itself.
            .or_else(|| Some(passes).filter(is_usual).map(|passes| passes + 1).filter(untried))
            .or_else(|| USUAL.into_iter().find(untried))
            .unwrap_or(passes + (fails - passes) / 2)
    }
}

impl Tally {
    /// Whether packets of this length count as not passing.
    pub(super) fn has_failed(&self, plan: &PmtuPlan) -> bool {
        self.answered == 0 && self.waiting == 0 && (self.errno.is_some() || self.unsent > 0 || self.too_big > 0 || self.sent >= plan.probes)
    }
}

/// A length that passes wherever IP does: every link carries 68 bytes (RFC 791), and a packet needs 60 to be recognised.
pub(super) const LEAST: u32 = 60;
/// Lengths that networks usually have, the longest first: Ethernet with jumbo frames, Ethernet, dial-up over Ethernet, tunnels, the least of IPv6 and of IPv4.
const USUAL: [u32; 14] = [9_000, 8_166, 4_352, 2_304, 1_500, 1_492, 1_480, 1_476, 1_460, 1_454, 1_420, 1_400, 1_280, 576];
/// Lengths that are tried at most.
const LENGTHS_MAX: usize = 32;
