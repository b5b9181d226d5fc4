//! How often somebody may ask: the generic cell rate algorithm (ITU-T I.371) for each of many callers, in bounded memory.
//!
//! A caller is one instant: its theoretical arrival time, when all it has taken will have drained. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared_protocol::time::MonotonicMicros;

/// What callers have taken of late. Whoever has drained is forgotten, which changes nothing; beyond [`RateTable::with_room`] callers the one that
/// drains first is forgotten early.
#[derive(Debug)]
pub struct RateTable<K> {
    room: usize,
    callers: BTreeMap<K, Taken>,
    order: BTreeSet<(Nanos, K)>,
}

/// How much may be taken in a minute, all of it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerMinute(pub u32);

/// What a caller has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How often it may ask at once.
    pub count: u32,
    /// When it has everything again.
    pub full_in: Duration,
}

/// The caller has nothing left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

/// What a caller has taken and has not drained yet.
#[derive(Debug, Clone, Copy)]
struct Taken {
    drained_at: Nanos,
    /// The rate at which it drains.
    rate: PerMinute,
}

type Nanos = u128;

impl<K: Ord + Clone> RateTable<K> {
    /// A table that remembers at most this many callers.
    pub const fn with_room(room: usize) -> Self {
        Self {
            room,
            callers: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// [`Wait`] says how long until there is one.
    pub fn take(&mut self, caller: &K, rate: PerMinute, now: MonotonicMicros) -> Result<(), Wait> {
        let now = nanos(now);
        self.forget_drained(now);
        let taken = self.taken(caller, rate, now) + rate.one();
        if taken > rate.all() {
            return Err(Wait(duration(taken - rate.all())));
        }
        let drained_at = now + taken;
        self.put(caller, Taken { drained_at, rate });
        Ok(())
    }

    /// Gives back what was taken for nothing.
    pub fn give_back(&mut self, caller: &K) {
        if let Some(Taken { drained_at, rate }) = self.callers.get(caller).copied() {
            let drained_at = drained_at.saturating_sub(rate.one());
            self.put(caller, Taken { drained_at, rate });
        }
    }

    /// What a caller has left.
    pub fn left(&self, caller: &K, rate: PerMinute, now: MonotonicMicros) -> Left {
        let taken = self.taken(caller, rate, nanos(now));
        Left {
            count: u32::try_from(rate.all().saturating_sub(taken) / rate.one()).unwrap_or(u32::MAX),
            full_in: duration(taken),
        }
    }

    /// How many callers are remembered.
    pub fn len(&self) -> usize {
        self.callers.len()
    }

    /// Whether no caller is remembered.
    pub fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    /// How long what the caller has taken takes to drain at a rate. What was taken at another rate counts by its number, so that a higher one frees at once.
    fn taken(&self, caller: &K, rate: PerMinute, now: Nanos) -> Nanos {
        let Some(taken) = self.callers.get(caller) else { return 0 };
        let left = taken.drained_at.saturating_sub(now);
        if taken.rate == rate {
            left
        } else {
            left.div_ceil(taken.rate.one()) * rate.one()
        }
    }

    fn put(&mut self, caller: &K, taken: Taken) {
        if let Some(before) = self.callers.insert(caller.clone(), taken) {
            self.order.remove(&(before.drained_at, caller.clone()));
        }
        self.order.insert((taken.drained_at, caller.clone()));
        while self.callers.len() > self.room {
            self.forget_first();
        }
    }

    /// At most a few at a time, so that no one caller pays for all.
    fn forget_drained(&mut self, now: Nanos) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.order.first().is_none_or(|(drained_at, _)| *drained_at > now) {
                return;
            }
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, caller)) = self.order.pop_first() {
            self.callers.remove(&caller);
        }
    }
}

impl PerMinute {
    /// The time that one takes to drain.
    fn one(self) -> Nanos {
        MINUTE / Nanos::from(self.0.max(1))
    }

    fn all(self) -> Nanos {
        self.one() * Nanos::from(self.0)
    }
}

fn nanos(at: MonotonicMicros) -> Nanos {
    Nanos::from(at.micros()) * 1_000
}

fn duration(nanos: Nanos) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

const MINUTE: Nanos = 60_000_000_000;
/// Drained callers forgotten with each one that asks.
const FORGOTTEN_AT_ONCE: u32 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn all_of_a_minute_may_come_at_once_and_then_as_it_drains() {
        let (mut table, rate) = (RateTable::with_room(10), PerMinute(30));
        for left in (0..30).rev() {
            assert_eq!(table.take(&"a", rate, at(100)), Ok(()));
            assert_eq!(table.left(&"a", rate, at(100)).count, left);
        }
        assert_eq!(table.take(&"a", rate, at(100)), Err(Wait(Duration::from_secs(2))));
        assert_eq!(table.take(&"b", rate, at(100)), Ok(()), "another caller has its own");
        assert_eq!(table.take(&"a", rate, at(102)), Ok(()));
        assert_eq!(table.take(&"a", rate, at(102)), Err(Wait(Duration::from_secs(2))));
        let full = Left {
            count: 30,
            full_in: Duration::ZERO,
        };
        assert_eq!(table.left(&"a", rate, at(162)), full);
    }

    #[test]
    fn what_was_taken_for_nothing_is_given_back_and_another_rate_holds_at_once() {
        let mut table = RateTable::with_room(10);
        assert_eq!(table.take(&1, PerMinute(1), at(0)), Ok(()));
        assert!(table.take(&1, PerMinute(1), at(0)).is_err());
        table.give_back(&1);
        assert_eq!(table.take(&1, PerMinute(1), at(0)), Ok(()));
        assert_eq!(table.left(&1, PerMinute(3), at(0)).count, 2, "a higher rate frees at once");
        for left in [Ok(()), Ok(()), Err(Wait(Duration::from_secs(20)))] {
            assert_eq!(table.take(&1, PerMinute(3), at(0)), left);
        }
        assert_eq!(
            table.take(&1, PerMinute(2), at(0)),
            Err(Wait(Duration::from_mins(1))),
            "a lower rate holds at once"
        );
    }

    #[test]
    fn callers_beyond_the_room_push_out_whoever_drains_first() {
        let (mut table, rate) = (RateTable::with_room(2), PerMinute(2));
        for caller in [1, 1, 2, 3] {
            table.take(&caller, rate, at(0)).unwrap();
        }
        assert_eq!(table.len(), 2);
        assert!(table.take(&1, rate, at(0)).is_err(), "the busiest is remembered");
        table.take(&9, rate, at(61)).unwrap();
        assert_eq!(table.len(), 1, "whoever has drained is forgotten");
    }

    proptest! {
        #[test]
        fn in_any_minute_nobody_gets_more_than_twice_the_rate_and_a_patient_caller_gets_it_all(
            rate in 1..200_u32,
            pauses in prop::collection::vec(0..3_000_000_u64, 1..600),
        ) {
            let mut table = RateTable::with_room(1);
            let (mut now, mut taken) = (0, Vec::new());
            for pause in pauses {
                now += pause;
                let left = table.left(&0, PerMinute(rate), MonotonicMicros::from_micros(now)).count;
                let result = table.take(&0, PerMinute(rate), MonotonicMicros::from_micros(now));
                prop_assert_eq!(result.is_ok(), left > 0);
                match result {
                    Ok(()) => taken.push(now),
                    Err(Wait(wait)) => {
                        now += u64::try_from(wait.as_nanos().div_ceil(1_000)).unwrap();
                        prop_assert!(table.take(&0, PerMinute(rate), MonotonicMicros::from_micros(now)).is_ok());
                        taken.push(now);
                    }
                }
            }
            for (first, begun) in taken.iter().enumerate() {
                let within = taken[first..].iter().take_while(|at| **at - begun < 60_000_000).count();
                prop_assert!(within <= usize::try_from(2 * rate).unwrap(), "{within} in a minute");
            }
        }
    }
}
