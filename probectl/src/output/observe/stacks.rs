//! Where time went, as rows: the functions that took most.

use shared_protocol::report::{StackUnit, StacksSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for StacksSeen {
    fn summary(&self) -> String {
        match self.unit {
            StackUnit::Samples => {
                let looks = self.total + self.idle.unwrap_or(0);
                let busy = share(self.total, looks);
                format!("{} of {looks} looks found a CPU busy ({busy} %)", self.total)
            }
            StackUnit::Microseconds => format!("tasks waited for {} ms, all together", self.total / 1_000),
        }
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        match self.unit {
            StackUnit::Samples => vec![("samples", self.total.into()), ("idle_samples", Cell::of(self.idle))],
            StackUnit::Microseconds => vec![("offcpu_us", self.total.into())],
        }
    }

    fn details(&self) -> Details {
        Details {
            columns: &["function", "own", "within", "own_percent", "within_percent"],
            rows: self
                .hottest
                .iter()
                .map(|hot| {
                    vec![
                        hot.function.as_str().into(),
                        hot.own.into(),
                        hot.within.into(),
                        share(hot.own, self.total).to_string().into(),
                        share(hot.within, self.total).to_string().into(),
                    ]
                })
                .collect(),
        }
    }
}

/// So many of a hundred.
fn share(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(100)
}
