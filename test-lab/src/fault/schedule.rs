//! What happens to the way, one thing after another: drawn from a seed, so that a run that failed can be had again. How long a thing
//! lasts, its user says: tests let work go on meanwhile and count it, rather than wait.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Conditions, Direction, Entry};

/// One thing that happens to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Every connection is reset.
    Cut,
    /// Every connection is reset so many bytes into what it carries.
    CutAfter(Direction, u64),
    /// The way behaves so for a while, then well again.
    Weather(Conditions),
    /// Every connection is reset, and whoever dials is treated so for a while.
    Closed(Entry),
}

/// An endless list of them.
#[derive(Debug)]
pub struct Schedule {
    random: StdRng,
}

impl Schedule {
    /// Drawn from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
        }
    }
}

impl Iterator for Schedule {
    type Item = Act;

    fn next(&mut self) -> Option<Act> {
        let direction = if self.random.random() { Direction::Up } else { Direction::Down };
        Some(match self.random.random_range(0..9) {
            0..=2 => Act::Cut,
            3 => Act::CutAfter(direction, self.random.random_range(1..20_000)),
            4 => Act::Weather(Conditions::stalled()),
            5 => Act::Weather(Conditions::one_way(direction)),
            6 => Act::Weather(Conditions::slow(self.random.random_range(2_000..50_000))),
            7 => Act::Closed(Entry::Refused),
            _ => Act::Closed(Entry::ResetAfter(self.random.random_range(1..5_000))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_repeats_with_its_seed_and_knows_every_act() {
        let acts: Vec<Act> = Schedule::new(1).take(200).collect();
        assert_eq!(acts, Schedule::new(1).take(200).collect::<Vec<_>>());
        assert_ne!(acts, Schedule::new(2).take(200).collect::<Vec<_>>());
        let count = |wanted: fn(&Act) -> bool| acts.iter().filter(|act| wanted(act)).count();
        assert!(count(|act| matches!(act, Act::Cut)) > 0);
        assert!(count(|act| matches!(act, Act::CutAfter(..))) > 0);
        assert!(count(|act| matches!(act, Act::Weather(_))) > 0);
        assert!(count(|act| matches!(act, Act::Closed(_))) > 0);
    }
}
