//! Calls of the kernel as rows.

use shared_protocol::report::{Calls, CallsSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for CallsSeen {
    fn summary(&self) -> String {
        format!("{} calls of the kernel, {} of them failed", self.totals.calls, self.totals.failed)
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![("calls", self.totals.calls.into()), ("failed", self.totals.failed.into())]
    }

    fn details(&self) -> Details {
        Details {
            columns: &["name", "count", "failed", "total_us", "avg_ns", "max_ns"],
            rows: self.calls.iter().map(row).collect(),
        }
    }
}

fn row(calls: &Calls) -> Vec<Cell> {
    vec![
        calls.name.as_str().into(),
        calls.count.into(),
        calls.failed.into(),
        calls.total_us.into(),
        Cell::of(calls.avg_ns),
        Cell::of(calls.max_ns),
    ]
}
