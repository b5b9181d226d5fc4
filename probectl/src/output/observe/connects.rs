//! Tries to connect as rows.

use shared_protocol::report::{Connects, ConnectsSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for ConnectsSeen {
    fn summary(&self) -> String {
        format!("{} connections established, {} tries failed", self.totals.established, self.totals.failed)
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![("opened", self.totals.established.into()), ("failed", self.totals.failed.into())]
    }

    fn details(&self) -> Details {
        Details {
            columns: &COLUMNS,
            rows: self.connects.iter().map(row).collect(),
        }
    }

    fn table(&self) -> Details {
        let shown = |connects| row(connects).into_iter().take(SHOWN.len()).collect();
        Details {
            columns: SHOWN,
            rows: self.connects.iter().map(shown).collect(),
        }
    }
}

/// Everything of a command's tries.
const COLUMNS: [&str; 9] = ["command", "remote", "established", "failed", "avg_us", "max_us", "errno", "pid", "slots"];

/// What people have room for.
const SHOWN: &[&str] = &["command", "remote", "established", "failed", "avg_us", "max_us", "errno"];

/// A command's tries under [`COLUMNS`].
fn row(connects: &Connects) -> Vec<Cell> {
    let latencies = connects.latencies.as_ref();
    let slots = latencies.map(|latencies| latencies.slots.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
    vec![
        Cell::of(connects.command.as_ref()),
        connects.remote.to_string().into(),
        connects.established.into(),
        connects.failed.into(),
        Cell::of(latencies.map(|latencies| Cell::Micros(latencies.avg_us))),
        Cell::of(latencies.map(|latencies| Cell::Micros(latencies.max_us))),
        Cell::of(connects.errno.map(|errno| Cell::Signed(errno.into()))),
        connects.pid.into(),
        Cell::of(slots),
    ]
}
