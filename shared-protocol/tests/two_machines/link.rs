//! One simulated connection: texts in order, each way with its delay; cut, stalled, or dead without either side being told.

use std::collections::VecDeque;

use crate::dice::Dice;

pub(crate) const MILLISECOND: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// One direction.
#[derive(Default)]
pub(crate) struct Pipe {
    flying: VecDeque<(u64, String)>,
    stalled_until: u64,
    /// Swallows everything from now on.
    is_dead: bool,
}

/// Both directions and whether the ends know that it is over.
pub(crate) struct Link {
    pub(crate) to_server: Pipe,
    pub(crate) to_agent: Pipe,
    /// When each end learns that the connection is gone; `u64::MAX` while it is not, or is half open.
    pub(crate) agent_learns_at: u64,
    pub(crate) server_learns_at: u64,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            to_server: Pipe::default(),
            to_agent: Pipe::default(),
            agent_learns_at: u64::MAX,
            server_learns_at: u64::MAX,
        }
    }

    /// Loses a suffix of what flies each way; each end learns of it after what arrives.
    pub(crate) fn cut(&mut self, now: u64, dice: &mut Dice) {
        let agent = self.to_agent.lose_suffix(dice).max(now) + dice.within(0..200) * MILLISECOND;
        let server = self.to_server.lose_suffix(dice).max(now) + dice.within(0..200) * MILLISECOND;
        self.agent_learns_at = self.agent_learns_at.min(agent);
        self.server_learns_at = self.server_learns_at.min(server);
    }
}

impl Pipe {
    pub(crate) fn has_room(&self) -> bool {
        self.flying.len() < IN_FLIGHT
    }

    pub(crate) fn send(&mut self, text: String, now: u64, dice: &mut Dice) {
        if self.is_dead {
            return;
        }
        let earliest = self.flying.back().map_or(now, |(at, _)| *at).max(self.stalled_until);
        let at = earliest.max(now + dice.within(1..100) * MILLISECOND);
        self.flying.push_back((at, text));
    }

    pub(crate) fn receive(&mut self, now: u64) -> Option<String> {
        if self.flying.front().is_some_and(|(at, _)| *at <= now) {
            self.flying.pop_front().map(|(_, text)| text)
        } else {
            None
        }
    }

    pub(crate) fn next_arrival(&self) -> u64 {
        self.flying.front().map_or(u64::MAX, |(at, _)| *at)
    }

    pub(crate) fn stall(&mut self, until: u64) {
        self.stalled_until = until;
        for (at, _) in &mut self.flying {
            *at = (*at).max(until);
        }
    }

    /// Half open: nothing arrives any more, and nobody is told.
    pub(crate) fn die(&mut self, dice: &mut Dice) {
        self.lose_suffix(dice);
    }

    fn lose_suffix(&mut self, dice: &mut Dice) -> u64 {
        let kept = dice.within(0..u64::try_from(self.flying.len()).unwrap() + 1);
        self.flying.truncate(usize::try_from(kept).unwrap());
        self.is_dead = true;
        self.flying.back().map_or(0, |(at, _)| *at)
    }
}

/// Texts that a connection takes before its writer has to wait.
const IN_FLIGHT: usize = 12;
