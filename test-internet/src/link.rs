//! One direction of a link: what becomes of each packet that enters it.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::description::{InvalidWorld, Link};
use crate::truth::{Cause, LaneTruth};

/// One direction, with what it remembers.
#[derive(Debug)]
pub(crate) struct Lane {
    link: Link,
    /// Times at which the packets that wait for a link with a rate will have been sent.
    queue: VecDeque<u64>,
    /// When the last packet came out; none overtakes it.
    last: u64,
    /// Within a burst of losses.
    losing: bool,
    truth: LaneTruth,
}

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    Lost(Cause),
    /// Nanoseconds at which it comes out, and its copy.
    Arrives(u64, Option<u64>),
}

impl Lane {
    pub(crate) fn new(link: Link) -> Result<Self, InvalidWorld> {
        for (name, share) in [("loss", link.loss), ("reorder", link.reorder), ("duplicate", link.duplicate)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(InvalidWorld::Range(name));
            }
        }
        if !(0.0..=1e6).contains(&link.burst) {
            return Err(InvalidWorld::Range("burst"));
        }
        Ok(Self {
            link,
            queue: VecDeque::new(),
            last: 0,
            losing: false,
            truth: LaneTruth::default(),
        })
    }

    pub(crate) fn mtu(&self) -> Option<u16> {
        self.link.mtu
    }

    pub(crate) fn truth(&self) -> LaneTruth {
        self.truth
    }

    /// Whether packets have to enter it in the order of time, because one depends on those before.
    pub(crate) fn keeps_order(&self) -> bool {
        self.link.rate_bps > 0 || self.link.jitter_us > 0
    }

    /// Takes a packet of so many bytes at this nanosecond.
    pub(crate) fn cross(&mut self, at: u64, bytes: usize, chance: &mut Chance) -> Crossing {
        self.truth.entered += 1;
        let Some(sent) = self.sent_at(at, bytes) else {
            self.truth.overflowed += 1;
            return Crossing::Lost(Cause::Queue);
        };
        if self.loses(chance) {
            self.truth.lost += 1;
            return Crossing::Lost(Cause::Lost);
        }
        let jitter = chance.up_to(self.link.jitter_us.saturating_mul(1_000));
        let mut arrival = sent.saturating_add(self.link.delay_us.saturating_mul(1_000)).saturating_add(jitter);
        if chance.happens(self.link.reorder) {
            self.truth.reordered += 1;
            arrival = arrival.saturating_add(self.link.reorder_us.saturating_mul(1_000));
        } else if self.keeps_order() {
            arrival = arrival.max(self.last);
            self.last = arrival;
        }
        let copy = chance.happens(self.link.duplicate).then(|| {
            self.truth.duplicated += 1;
            arrival.saturating_add(COPY_AFTER)
        });
        Crossing::Arrives(arrival, copy)
    }

    /// When its last bit has left, on a link with a rate; `None` if its queue is full.
    fn sent_at(&mut self, at: u64, bytes: usize) -> Option<u64> {
        let bits = u64::try_from(bytes).ok()?.saturating_mul(8);
        let Some(takes) = bits.saturating_mul(1_000_000_000).checked_div(self.link.rate_bps) else {
            return Some(at);
        };
        while self.queue.front().is_some_and(|sent| *sent <= at) {
            self.queue.pop_front();
        }
        // The one that is being sent waits no longer.
        let most = usize::try_from(self.link.queue.unwrap_or(QUEUE)).ok()?.saturating_add(1);
        if self.queue.len() >= most {
            return None;
        }
        let sent = self.queue.back().copied().unwrap_or(at).max(at).saturating_add(takes);
        self.queue.push_back(sent);
        Some(sent)
    }

    /// Independent losses, or the two states of Gilbert: within a burst everything is lost.
    fn loses(&mut self, chance: &mut Chance) -> bool {
        let (loss, burst) = (self.link.loss, self.link.burst);
        if burst <= 1.0 || loss >= 1.0 {
            return chance.happens(loss);
        }
        let turns = if self.losing { 1.0 / burst } else { loss / (burst * (1.0 - loss)) };
        if chance.happens(turns) {
            self.losing = !self.losing;
        }
        self.losing
    }
}

/// Packets that wait for a link with a rate, if its description does not say.
const QUEUE: u32 = 1_000;
/// Nanoseconds after which a copy follows.
const COPY_AFTER: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(text: &str) -> Lane {
        Lane::new(toml::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_burst_is_as_long_as_said_and_the_loss_is_that_asked_for() {
        let mut lane = lane("loss = 0.1\nburst = 5.0");
        let mut chance = Chance::new(3);
        let lost: Vec<bool> = (0..100_000).map(|_| matches!(lane.cross(0, 100, &mut chance), Crossing::Lost(_))).collect();
        let all = lost.iter().filter(|lost| **lost).count();
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((9_000..11_000).contains(&all), "{all}");
        assert!((4 * bursts..6 * bursts).contains(&all), "{all} in {bursts} bursts");
        assert_eq!(lane.truth().lost, u64::try_from(all).unwrap());
    }

    #[test]
    fn a_rate_spaces_packets_and_its_queue_has_an_end() {
        // 1,000 bytes at 8 Mbit/s take a millisecond.
        let mut lane = lane("rate_bps = 8000000\nqueue = 2\ndelay_us = 5");
        let mut chance = Chance::new(1);
        let out: Vec<Crossing> = (0..4).map(|_| lane.cross(0, 1_000, &mut chance)).collect();
        let at = |millisecond: u64| Crossing::Arrives(millisecond * 1_000_000 + 5_000, None);
        assert_eq!(out, [at(1), at(2), at(3), Crossing::Lost(Cause::Queue)]);
        assert_eq!(lane.cross(2_000_000, 1_000, &mut chance), at(4), "once one has left, there is room");
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let mut chance = Chance::new(5);
        let mut steady = lane("jitter_us = 100");
        let mut last = 0;
        for at in 0..1_000 {
            let Crossing::Arrives(out, None) = steady.cross(at * 10_000, 100, &mut chance) else {
                panic!("lost")
            };
            assert!(out >= last && out >= at * 10_000 && out <= at * 10_000 + 100_000);
            last = out;
        }
        let mut shuffled = lane("reorder = 0.5\nreorder_us = 50\nduplicate = 1.0");
        let Crossing::Arrives(_, Some(_)) = shuffled.cross(0, 100, &mut chance) else {
            panic!("no copy")
        };
        assert_eq!(shuffled.truth().duplicated, 1);
    }

    #[test]
    fn a_share_beyond_one_is_no_share() {
        assert!(Lane::new(toml::from_str("loss = 1.5").unwrap()).is_err());
        assert!(Lane::new(toml::from_str("duplicate = -0.1").unwrap()).is_err());
        assert!(Lane::new(toml::from_str("burst = -1.0").unwrap()).is_err());
    }
}
