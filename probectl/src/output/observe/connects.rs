//! Tries to connect as rows.

use shared_protocol::report::{ConnectTotals, Connects};

use crate::output::Cell;

/// Everything of a command's tries.
pub(super) const COLUMNS: [&str; 9] = ["command", "remote", "established", "failed", "avg_us", "max_us", "errno", "pid", "slots"];

/// What people have room for.
pub(super) const SHOWN: &[&str] = &["command", "remote", "established", "failed", "avg_us", "max_us", "errno"];

/// A command's tries under [`COLUMNS`].
pub(super) fn row(connects: &Connects) -> Vec<Cell> {
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

/// Totals in one line.
pub(super) fn summary(totals: &ConnectTotals) -> String {
    format!("{} connections established, {} tries failed", totals.established, totals.failed)
}
