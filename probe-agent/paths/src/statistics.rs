//! The numbers over round-trip times. Pure, in whole microseconds.

use shared_protocol::report::RoundTripStatistics;

/// Numbers over round-trip times in the order their replies came, each with the number of its request. `None` without any.
pub fn round_trips(arrived: &[(u32, u64)]) -> Option<RoundTripStatistics> {
    let mut sorted: Vec<u64> = arrived.iter().map(|(_, rtt)| *rtt).collect();
    sorted.sort_unstable();
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let count = u128::try_from(sorted.len()).ok()?;
    let sum: u128 = sorted.iter().copied().map(u128::from).sum();
    let squares: u128 = sorted.iter().map(|rtt| u128::from(*rtt) * u128::from(*rtt)).sum();
    // count² times the variance; whole numbers keep it exact until the root.
    let spread = (count * squares).saturating_sub(sum * sum);
    Some(RoundTripStatistics {
        min_us: min,
        avg_us: narrow(sum / count),
        max_us: max,
        stddev_us: narrow((spread / (count * count)).isqrt()),
        p50_us: percentile(&sorted, 50),
        p95_us: percentile(&sorted, 95),
        p99_us: percentile(&sorted, 99),
        jitter_us: jitter(arrived),
        delay_variation_us: delay_variation(arrived),
    })
}

/// Share of what was sent that was not received, 0 to 1.
pub fn loss(sent: u32, received: u32) -> f64 {
    if sent == 0 {
        0.0
    } else {
        f64::from(sent.saturating_sub(received)) / f64::from(sent)
    }
}

/// Nearest rank: the least value that at least this share of all values does not exceed.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// RFC 3550 section 6.4.1, by the whole-number form of its appendix A.8: the estimate is kept sixteenfold.
fn jitter(arrived: &[(u32, u64)]) -> u64 {
    let estimate = arrived.windows(2).fold(0_u64, |estimate, pair| match pair {
        [(_, earlier), (_, later)] => estimate + later.abs_diff(*earlier) - ((estimate + 8) >> 4),
        _ => estimate,
    });
    estimate >> 4
}

/// RFC 3393 with neighbouring requests as the selection: the mean of the absolute differences.
fn delay_variation(arrived: &[(u32, u64)]) -> Option<u64> {
    let mut in_sequence = arrived.to_vec();
    in_sequence.sort_unstable();
    let differences: Vec<u64> = in_sequence
        .windows(2)
        .filter_map(|pair| match pair {
            [(first, earlier), (second, later)] if *second == first + 1 => Some(later.abs_diff(*earlier)),
            _ => None,
        })
        .collect();
    let count = u128::try_from(differences.len()).ok()?;
    let sum: u128 = differences.into_iter().map(u128::from).sum();
    sum.checked_div(count).map(narrow)
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_replies_have_no_statistics() {
        assert_eq!(round_trips(&[]), None);
    }

    #[test]
    fn one_reply_is_its_own_distribution() {
        let one = round_trips(&[(0, 250)]).unwrap();
        assert_eq!((one.min_us, one.avg_us, one.max_us, one.stddev_us), (250, 250, 250, 0));
        assert_eq!((one.p50_us, one.p95_us, one.p99_us, one.jitter_us), (250, 250, 250, 0));
        assert_eq!(one.delay_variation_us, None);
    }

    #[test]
    fn known_values_come_out() {
        let arrived: Vec<(u32, u64)> = (0_u32..).zip([100, 200, 300, 400]).collect();
        let all = round_trips(&arrived).unwrap();
        assert_eq!((all.min_us, all.avg_us, all.max_us), (100, 250, 400));
        assert_eq!(all.stddev_us, 111, "root of 12,500");
        assert_eq!((all.p50_us, all.p95_us, all.p99_us), (200, 400, 400));
        assert_eq!(all.delay_variation_us, Some(100));
        // 100/16, then (100 - 6.25)/16 more, then again.
        assert_eq!(all.jitter_us, 17);
    }

    #[test]
    fn a_gap_in_the_sequence_is_no_neighbourhood() {
        assert_eq!(round_trips(&[(0, 100), (2, 900)]).unwrap().delay_variation_us, None);
        assert_eq!(round_trips(&[(3, 130), (2, 100)]).unwrap().delay_variation_us, Some(30));
    }

    proptest! {
        #[test]
        fn every_distribution_is_in_order(rtts in proptest::collection::vec(0_u64..100_000_000, 1..200)) {
            let arrived: Vec<(u32, u64)> = (0_u32..).zip(rtts.iter().copied()).collect();
            let all = round_trips(&arrived).unwrap();
            prop_assert!(all.min_us <= all.p50_us && all.p50_us <= all.p95_us && all.p95_us <= all.p99_us && all.p99_us <= all.max_us);
            prop_assert!(all.min_us <= all.avg_us && all.avg_us <= all.max_us);
            prop_assert!(all.stddev_us <= all.max_us - all.min_us);
            prop_assert!(all.jitter_us <= all.max_us - all.min_us);
            let below = rtts.iter().filter(|rtt| **rtt <= all.p95_us).count();
            prop_assert!(below * 100 >= rtts.len() * 95, "nearest rank covers its share");
        }
    }
}
