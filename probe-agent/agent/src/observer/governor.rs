//! Keeps all observations together within the owner's share of a CPU. Time and cost are arguments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared_protocol::report::{CpuShare, ProgramCost};
use shared_protocol::time::MonotonicMicros;

/// What every observation under way costs, beside what the owner allows.
#[derive(Debug)]
pub(super) struct Governor {
    budget: CpuShare,
    watched: BTreeMap<u64, Watched>,
    next: u64,
}

/// One observation.
#[derive(Debug, Default)]
struct Watched {
    /// When it was last measured, and what its programs had cost by then.
    last: Option<(MonotonicMicros, u64)>,
    share: CpuShare,
    /// Measurements in a row at which all together were over the budget, and it was the costliest.
    over: u32,
}

/// More than the owner allows, for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) share: CpuShare,
    pub(super) together: CpuShare,
}

/// A place with the governor, which is left however it ends.
pub(super) struct Governed {
    governor: Arc<Mutex<Governor>>,
    number: u64,
}

impl Drop for Governed {
    fn drop(&mut self) {
        self.governor.lock().unwrap_or_else(PoisonError::into_inner).end(self.number);
    }
}

impl Governed {
    /// Takes one.
    pub(super) fn begin(governor: &Arc<Mutex<Governor>>) -> Self {
        Self {
            number: governor.lock().unwrap_or_else(PoisonError::into_inner).begin(),
            governor: Arc::clone(governor),
        }
    }

    /// How far over the budget its programs are, with the budget, where they have to become cheaper. Their cost is asked for when it is time.
    pub(super) fn over(&self, now: MonotonicMicros, cost: impl FnOnce() -> Option<ProgramCost>) -> Option<(Over, CpuShare)> {
        let mut governor = self.governor.lock().unwrap_or_else(PoisonError::into_inner);
        if !governor.is_due(self.number, now) {
            return None;
        }
        let over = governor.handle_cost(self.number, now, cost()?.run_ns)?;
        Some((over, governor.budget()))
    }
}

impl Governor {
    pub(super) const fn new(budget: CpuShare) -> Self {
        Self {
            budget,
            watched: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) const fn budget(&self) -> CpuShare {
        self.budget
    }

    /// An observation begins: its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.next += 1;
        self.watched.insert(self.next, Watched::default());
        self.next
    }

    /// It has ended, and costs nothing any more.
    pub(super) fn end(&mut self, number: u64) {
        self.watched.remove(&number);
    }

    /// Whether it is time to measure one again.
    pub(super) fn is_due(&self, number: u64, now: MonotonicMicros) -> bool {
        self.watched
            .get(&number)
            .is_some_and(|watched| watched.last.is_none_or(|(at, _)| now.since(at) >= SLICE))
    }

    /// What its programs have cost up to now. Where this says how far over the budget they are, one of them has to become cheaper: it is the
    /// costliest of all observations.
    pub(super) fn handle_cost(&mut self, number: u64, now: MonotonicMicros, run_ns: u64) -> Option<Over> {
        let watched = self.watched.get_mut(&number)?;
        let (at, before) = watched.last.replace((now, run_ns))?;
        let elapsed_us = u64::try_from(now.since(at).as_micros()).unwrap_or(u64::MAX);
        watched.share = CpuShare::of(run_ns.saturating_sub(before), elapsed_us);
        let share = watched.share;
        let together = self.watched.values().fold(CpuShare::default(), |sum, one| sum.plus(one.share));
        let is_costliest = self.watched.values().all(|one| one.share <= share);
        let watched = self.watched.get_mut(&number)?;
        if together <= self.budget || !is_costliest {
            watched.over = 0;
            return None;
        }
        watched.over += 1;
        if watched.over < PATIENCE {
            return None;
        }
        // What it costs from here on is another matter.
        *watched = Watched::default();
        Some(Over { share, together })
    }
}

/// Time over which a share is measured.
pub(super) const SLICE: Duration = Duration::from_secs(1);
/// Measurements in a row that have to be over the budget: one is a burst.
const PATIENCE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: CpuShare = CpuShare::from_millionths(10_000);

    fn second(seconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(seconds * 1_000_000)
    }

    /// Tells it a cost in percent of a CPU for each second, and says at which it was found to be too much.
    fn eased(governor: &mut Governor, number: u64, percents: &[u64]) -> Vec<usize> {
        let mut run_ns = 0;
        let mut found = Vec::new();
        assert_eq!(governor.handle_cost(number, second(0), 0), None, "nothing can be said of no time");
        for (at, percent) in percents.iter().enumerate() {
            run_ns += percent * 10_000_000;
            let now = second(u64::try_from(at).unwrap() + 1);
            found.extend(governor.handle_cost(number, now, run_ns).map(|_| at));
        }
        found
    }

    #[test]
    fn what_stays_within_the_budget_or_bursts_is_left_alone() {
        let mut governor = Governor::new(BUDGET);
        let number = governor.begin();
        assert_eq!(eased(&mut governor, number, &[1, 1, 1, 50, 0, 50, 1, 50]), [0; 0]);
    }

    #[test]
    fn two_seconds_over_it_are_too_much_and_then_it_is_measured_anew() {
        let mut governor = Governor::new(BUDGET);
        let number = governor.begin();
        // The third begins the next measurement.
        assert_eq!(eased(&mut governor, number, &[2, 2, 2, 2, 2, 1, 2, 2]), [1, 4, 7]);
    }

    #[test]
    fn observations_count_together_and_the_costliest_becomes_cheaper() {
        let mut governor = Governor::new(BUDGET);
        let (cheap, dear) = (governor.begin(), governor.begin());
        let mut found = Vec::new();
        for at in 0..3 {
            for (number, each) in [(cheap, 4_000_000), (dear, 7_000_000)] {
                found.extend(governor.handle_cost(number, second(at), at * each).map(|over| (number, over)));
            }
        }
        let over = Over {
            share: CpuShare::from_millionths(7_000),
            together: CpuShare::from_millionths(11_000),
        };
        assert_eq!(found, [(dear, over)]);
        governor.end(dear);
        assert_eq!(governor.handle_cost(cheap, second(3), 12_000_000), None);
        assert_eq!(governor.handle_cost(dear, second(3), u64::MAX), None, "it has ended");
    }

    #[test]
    fn it_is_measured_once_a_second_and_at_once_when_it_begins() {
        let mut governor = Governor::new(BUDGET);
        assert!(!governor.is_due(1, second(5)));
        let number = governor.begin();
        assert!(governor.is_due(number, second(5)));
        governor.handle_cost(number, second(5), 0);
        assert!(!governor.is_due(number, MonotonicMicros::from_micros(5_999_999)));
        assert!(governor.is_due(number, second(6)));
        // A clock that goes back measures nothing.
        assert_eq!(governor.handle_cost(number, second(1), 1_000_000_000), None);
    }
}
