//! The pace of a scan over all of its targets: whose turn it is. Plain: time comes in as an argument.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared_protocol::time::MonotonicMicros;

/// Hands out turns an interval apart; its clones share them.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    interval: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    next: Mutex<MonotonicMicros>,
    taken: AtomicU32,
}

impl Turns {
    /// The first is at `now`.
    pub(super) fn new(interval: Duration, now: MonotonicMicros) -> Self {
        let shared = Shared {
            next: Mutex::new(now),
            taken: AtomicU32::new(0),
        };
        Self {
            interval,
            shared: Arc::new(shared),
        }
    }

    /// Takes a turn, or says when the next one is.
    pub(super) fn take(&self, now: MonotonicMicros) -> Result<(), MonotonicMicros> {
        let mut next = self.shared.next.lock().unwrap_or_else(PoisonError::into_inner);
        if now < *next {
            return Err(*next);
        }
        // After a delay of more than an interval the rest moves back: questions never leave in a burst.
        let planned = next.plus(self.interval);
        *next = if planned > now { planned } else { now.plus(self.interval) };
        self.shared.taken.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many have been taken.
    pub(super) fn taken(&self) -> u32 {
        self.shared.taken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However often whoever asks, turns are an interval apart, less what timers may be late by.
        #[test]
        fn turns_are_never_taken_in_a_burst(gaps in prop::collection::vec(0_u64..50_000, 1..200)) {
            let mut now = MonotonicMicros::from_micros(1_000);
            let turns = Turns::new(Duration::from_millis(20), now);
            let clone = turns.clone();
            let mut taken = Vec::new();
            for gap in gaps {
                now = now.plus(Duration::from_micros(gap));
                if clone.take(now).is_ok() {
                    prop_assert!(turns.take(now).is_err());
                    taken.push(now);
                }
            }
            prop_assert_eq!(usize::try_from(turns.taken()).unwrap(), taken.len());
            // What was late by less than an interval catches up, so that two may be nearer to each other, and three may not.
            for window in taken.windows(3) {
                prop_assert!(window[2].since(window[0]) >= Duration::from_millis(20), "{window:?}");
            }
        }
    }
}
