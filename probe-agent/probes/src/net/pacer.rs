//! The owner's packet rates, kept by the generic cell rate algorithm: when may the next packet leave? Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::time::MonotonicMicros;

/// Keeps the rate over all targets and the rate to each.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    everywhere: MonotonicMicros,
    targets: HashMap<IpAddr, MonotonicMicros>,
    /// With so many targets, those whose last place has passed are forgotten, if that is more than [`TARGETS_KEPT`].
    full: usize,
}

impl Pacer {
    /// Takes the next place to a target; how long to wait for it. `None` when the rate is 0.
    pub(crate) fn reserve_target(&mut self, target: IpAddr, per_second: u32, now: MonotonicMicros) -> Option<Duration> {
        if self.targets.len() >= self.full.max(TARGETS_KEPT) {
            self.targets.retain(|_, next| *next > now);
            // Where most places are yet to come, looking at all of them for each packet would be the cost of it.
            self.full = 2 * self.targets.len();
        }
        reserve(self.targets.entry(target).or_insert(now), per_second, now)
    }

    /// Takes the next place over all targets; how long to wait for it. `None` when the rate is 0.
    pub(crate) fn reserve_everywhere(&mut self, per_second: u32, now: MonotonicMicros) -> Option<Duration> {
        reserve(&mut self.everywhere, per_second, now)
    }
}

fn reserve(next: &mut MonotonicMicros, per_second: u32, now: MonotonicMicros) -> Option<Duration> {
    let spacing = Duration::from_micros(1_000_000_u64.checked_div(u64::from(per_second))?);
    let place = (*next).max(now);
    *next = place.plus(spacing);
    Some(place.since(now.plus(BURST)))
}

/// How far ahead of their places packets may leave, so that timers of a millisecond's grain do not slow a fast rate down.
const BURST: Duration = Duration::from_millis(20);
/// Above this many targets, those whose last place has passed are forgotten.
const TARGETS_KEPT: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_rate_of_zero_lets_nothing_leave() {
        assert_eq!(Pacer::default().reserve_target(TARGET, 0, MonotonicMicros::default()), None);
        assert_eq!(Pacer::default().reserve_everywhere(0, MonotonicMicros::default()), None);
    }

    #[test]
    fn one_busy_target_does_not_slow_another() {
        let mut pacer = Pacer::default();
        let now = MonotonicMicros::from_micros(1_000_000);
        for _ in 0..100 {
            pacer.reserve_target(TARGET, 10, now);
        }
        assert_eq!(pacer.reserve_target("127.0.0.2".parse().unwrap(), 10, now), Some(Duration::ZERO));
        assert!(pacer.reserve_target(TARGET, 10, now).unwrap() > Duration::from_secs(9));
    }

    #[test]
    fn targets_of_the_past_are_forgotten() {
        let mut pacer = Pacer::default();
        for number in 0..10_000_u32 {
            let now = MonotonicMicros::from_micros(u64::from(number) * 1_000);
            pacer.reserve_target(IpAddr::from(number.to_be_bytes()), 1_000, now);
        }
        assert!(pacer.targets.len() <= TARGETS_KEPT);
    }

    #[test]
    fn targets_whose_places_are_to_come_are_not_looked_at_for_each_packet() {
        let mut pacer = Pacer::default();
        let now = MonotonicMicros::default();
        let mut sizes = BTreeSet::new();
        for number in 0..20_000_u32 {
            pacer.reserve_target(IpAddr::from(number.to_be_bytes()), 1, now);
            sizes.insert(pacer.full);
        }
        assert_eq!(
            sizes,
            BTreeSet::from([0, 2, 4, 8].map(|times| times * TARGETS_KEPT)),
            "looked through three times"
        );
        let later = now.plus(Duration::from_secs(2));
        for number in 20_000..60_000_u32 {
            pacer.reserve_target(IpAddr::from(number.to_be_bytes()), 1_000_000, later.plus(Duration::from_millis(number.into())));
        }
        assert!(pacer.targets.len() < 8 * TARGETS_KEPT, "{}", pacer.targets.len());
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_rate_and_its_burst(gaps in proptest::collection::vec(0_u64..5_000, 1..300), rate in 1_u32..5_000) {
            let mut pacer = Pacer::default();
            let mut now = MonotonicMicros::from_micros(50_000);
            let mut departures = Vec::new();
            for gap in gaps {
                now = now.plus(Duration::from_micros(gap));
                let wait = pacer.reserve_everywhere(rate, now).unwrap();
                departures.push(now.plus(wait));
            }
            let spacing = 1_000_000 / u64::from(rate);
            for (first, start) in departures.iter().enumerate() {
                for (last, end) in departures.iter().enumerate().skip(first) {
                    let window = u64::try_from(end.since(*start).as_micros()).unwrap() + 20_000;
                    let packets = u64::try_from(last - first).unwrap();
                    prop_assert!(packets * spacing <= window, "{packets} packets in {window} µs");
                }
            }
        }
    }
}
