//! Tries to connect as rows, the last first.

use shared_protocol::report::{Dial, DialsSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;
use crate::output::view::word;

impl Shown for DialsSeen {
    fn summary(&self) -> String {
        let totals = self.totals;
        format!(
            "{} tries to connect: {} established, {} refused, {} timed out, {} unreachable, {} given up, {} failed, {} under way",
            totals.dials, totals.established, totals.refused, totals.timed_out, totals.unreachable, totals.given_up, totals.failed, totals.under_way
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let totals = self.totals;
        vec![
            ("dials", totals.dials.into()),
            ("opened", totals.established.into()),
            ("refused", totals.refused.into()),
            ("timed_out", totals.timed_out.into()),
            ("unreachable", totals.unreachable.into()),
            ("given_up", totals.given_up.into()),
            ("failed", totals.failed.into()),
            ("under_way", totals.under_way.into()),
        ]
    }

    fn details(&self) -> Details {
        Details {
            columns: &["command", "pid", "user", "local", "remote", "outcome", "took_us", "errno"],
            rows: self.dials.iter().map(row).collect(),
        }
    }
}

/// One try.
fn row(dial: &Dial) -> Vec<Cell> {
    vec![
        Cell::of(dial.command.as_ref()),
        dial.pid.into(),
        dial.user.into(),
        Cell::of(dial.local.map(|local| local.to_string())),
        dial.remote.to_string().into(),
        word(&dial.outcome).into(),
        Cell::of(dial.took_us.map(Cell::Micros)),
        Cell::of(dial.errno.map(|errno| Cell::Signed(errno.into()))),
    ]
}
