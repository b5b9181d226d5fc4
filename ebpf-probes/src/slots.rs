//! Times counted by their size, as `programs/slots.h` counts them.

use shared_protocol::report::Latencies;

/// `SLOTS` of the programs.
pub(crate) const SLOTS: usize = 28;

/// Where a time of so many microseconds is counted.
pub(crate) fn place(us: u64) -> usize {
    usize::try_from(us.max(1).ilog2()).map_or(SLOTS - 1, |place| place.min(SLOTS - 1))
}

/// What was counted, as it is told; nothing where nothing was.
pub(crate) fn told(slots: &[u64], total_ns: u64, max_ns: u64) -> Option<Latencies> {
    let last = slots.iter().rposition(|count| *count > 0)?;
    let count: u64 = slots.iter().sum();
    Some(Latencies {
        avg_us: total_ns / count / 1_000,
        max_us: max_ns / 1_000,
        slots: slots.iter().take(last + 1).copied().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_where_the_programs_would() {
        assert_eq!([0, 1, 2, 3, 4, 1 << 27, u64::MAX].map(place), [0, 0, 1, 1, 2, 27, 27]);
    }

    #[test]
    fn what_follows_the_last_that_was_counted_is_not_told() {
        assert_eq!(told(&[0; SLOTS], 0, 0), None);
        let mut slots = [0; SLOTS];
        slots[2] = 3;
        let latencies = told(&slots, 15_000, 6_000).unwrap();
        assert_eq!((latencies.avg_us, latencies.max_us, latencies.slots), (5, 6, vec![0, 0, 3]));
    }
}
