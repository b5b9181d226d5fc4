//! Waiting for a CPU as a histogram.

use shared_protocol::report::WaitsSeen;

use super::{Shown, latencies};
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for WaitsSeen {
    fn summary(&self) -> String {
        latencies::summary(self.waits, "waits for a CPU", self.latencies.as_ref())
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let mut numbers = vec![("waits", self.waits.into())];
        if let Some(latencies) = &self.latencies {
            numbers.push(("wait_avg_us", Cell::Micros(latencies.avg_us)));
            numbers.push(("wait_max_us", Cell::Micros(latencies.max_us)));
        }
        numbers
    }

    fn details(&self) -> Details {
        latencies::details(self.latencies.as_ref())
    }

    fn table(&self) -> Details {
        latencies::table(self.latencies.as_ref())
    }
}
