//! Memory running short, as rows: first who was killed, then who waited or faulted.

use shared_protocol::report::{Killed, MemorySeen, MemoryUser};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for MemorySeen {
    fn summary(&self) -> String {
        let totals = &self.totals;
        format!(
            "{} page faults, {} of them to write; pages freed by programs {} times ({} pages, {} us); {} killed for want of memory",
            totals.faults, totals.write_faults, totals.reclaims, totals.reclaimed_pages, totals.reclaim_us, totals.killed
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![
            ("page_faults", self.totals.faults.into()),
            ("reclaims", self.totals.reclaims.into()),
            ("reclaim_us", self.totals.reclaim_us.into()),
            ("killed", self.totals.killed.into()),
        ]
    }

    fn details(&self) -> Details {
        Details {
            columns: &[
                "command",
                "pid",
                "what",
                "faults",
                "write_faults",
                "reclaims",
                "reclaimed_pages",
                "reclaim_us",
                "reclaim_max_us",
            ],
            rows: self.killed.iter().map(victim).chain(self.users.iter().map(user)).collect(),
        }
    }
}

fn victim(killed: &Killed) -> Vec<Cell> {
    let mut row = vec![Cell::of(killed.command.as_deref()), killed.pid.into(), "killed".into()];
    row.resize(9, Cell::Absent);
    row
}

fn user(user: &MemoryUser) -> Vec<Cell> {
    vec![
        Cell::of(user.command.as_deref()),
        user.pid.into(),
        "uses".into(),
        user.faults.into(),
        user.write_faults.into(),
        user.reclaims.into(),
        user.reclaimed_pages.into(),
        user.reclaim_us.into(),
        user.reclaim_max_us.into(),
    ]
}
