//! A histogram of times as rows, one for each power of two.

use shared_protocol::report::Latencies;

use crate::output::Cell;
use crate::output::probe::Details;

/// Everything of one power of two.
const COLUMNS: [&str; 3] = ["from_us", "below_us", "count"];

/// The same with a bar.
const SHOWN: [&str; 4] = ["from_us", "below_us", "count", "share"];

/// The histogram as rows for machines; none where nothing was counted.
pub(super) fn details(latencies: Option<&Latencies>) -> Details {
    Details {
        columns: &COLUMNS,
        rows: latencies.map(rows).unwrap_or_default(),
    }
}

/// The same for people.
pub(super) fn table(latencies: Option<&Latencies>) -> Details {
    Details {
        columns: &SHOWN,
        rows: latencies.map(shown).unwrap_or_default(),
    }
}

/// The histogram under [`COLUMNS`], from the first place that has anything on.
pub(super) fn rows(latencies: &Latencies) -> Vec<Vec<Cell>> {
    let places = latencies.slots.iter().enumerate().skip_while(|(_, count)| **count == 0);
    places
        .map(|(place, count)| {
            let below_us = 2_u64 << place;
            let from_us = if place == 0 { 0 } else { below_us / 2 };
            vec![Cell::Micros(from_us), Cell::Micros(below_us), (*count).into()]
        })
        .collect()
}

/// The histogram under [`SHOWN`].
pub(super) fn shown(latencies: &Latencies) -> Vec<Vec<Cell>> {
    let most = latencies.slots.iter().copied().max().unwrap_or(0).max(1);
    let counts = latencies.slots.iter().skip_while(|count| **count == 0);
    rows(latencies)
        .into_iter()
        .zip(counts)
        .map(|(mut row, count)| {
            let length = u128::from(*count) * BAR / u128::from(most);
            row.push("#".repeat(usize::try_from(length).unwrap_or(0)).into());
            row
        })
        .collect()
}

/// How many there were, and how long they took, in one line.
pub(super) fn summary(count: u64, what: &str, latencies: Option<&Latencies>) -> String {
    let times = latencies.map(|latencies| format!(": {} us on average, {} us at most", latencies.avg_us, latencies.max_us));
    format!("{count} {what}{}", times.unwrap_or_default())
}

/// The longest bar.
const BAR: u128 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::table;

    #[test]
    fn a_histogram_is_a_row_for_each_power_of_two_from_the_first_that_has_any() {
        let latencies = Latencies {
            avg_us: 7,
            max_us: 100,
            slots: vec![0, 4, 40, 0, 0, 0, 1],
        };
        let lines = table(&SHOWN, &shown(&latencies));
        insta::assert_snapshot!(lines.join("\n"), @r"
            FROM     BELOW  COUNT  SHARE
        0.002 ms  0.004 ms      4  ####
        0.004 ms  0.008 ms     40  ########################################
        0.008 ms  0.016 ms      0
        0.016 ms  0.032 ms      0
        0.032 ms  0.064 ms      0
        0.064 ms  0.128 ms      1  #
        ");
        assert_eq!(rows(&latencies).len(), 6);
        assert_eq!(summary(45, "waits", Some(&latencies)), "45 waits: 7 us on average, 100 us at most");
        assert_eq!(summary(0, "waits", None), "0 waits");
    }
}
