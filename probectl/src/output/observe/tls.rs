//! What OpenSSL takes, as rows.

use shared_protocol::report::{TlsCalls, TlsSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;
use crate::output::view::word;

impl Shown for TlsSeen {
    fn summary(&self) -> String {
        let totals = self.totals;
        format!(
            "{} handshakes, {} failed; {} reads, {} failed; {} writes, {} failed; in {}",
            totals.handshakes,
            totals.handshakes_failed,
            totals.reads,
            totals.reads_failed,
            totals.writes,
            totals.writes_failed,
            self.libraries.join(", ")
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let totals = self.totals;
        let mut numbers = vec![
            ("handshakes", totals.handshakes.into()),
            ("failed", totals.handshakes_failed.into()),
            ("tls_reads", totals.reads.into()),
            ("tls_writes", totals.writes.into()),
        ];
        if let Some(latencies) = &self.handshakes {
            numbers.extend([("handshake_avg_us", latencies.avg_us.into()), ("handshake_max_us", latencies.max_us.into())]);
        }
        numbers
    }

    fn details(&self) -> Details {
        Details {
            columns: &COLUMNS,
            rows: self.calls.iter().map(row).collect(),
        }
    }

    fn table(&self) -> Details {
        let shown = |calls| row(calls).into_iter().take(SHOWN.len()).collect();
        Details {
            columns: SHOWN,
            rows: self.calls.iter().map(shown).collect(),
        }
    }
}

/// Everything of what a command did.
const COLUMNS: [&str; 8] = ["command", "kind", "count", "failed", "avg_us", "max_us", "pid", "slots"];

/// What people have room for.
const SHOWN: &[&str] = &["command", "kind", "count", "failed", "avg_us", "max_us", "pid"];

fn row(calls: &TlsCalls) -> Vec<Cell> {
    let latencies = calls.latencies.as_ref();
    let slots = latencies.map(|latencies| latencies.slots.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
    vec![
        Cell::of(calls.command.as_ref()),
        word(&calls.kind).into(),
        calls.count.into(),
        calls.failed.into(),
        Cell::of(latencies.map(|latencies| Cell::Micros(latencies.avg_us))),
        Cell::of(latencies.map(|latencies| Cell::Micros(latencies.max_us))),
        calls.pid.into(),
        Cell::of(slots),
    ]
}
