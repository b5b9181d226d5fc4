//! Dropped packets as rows.

use shared_protocol::report::DropsSeen;

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for DropsSeen {
    fn summary(&self) -> String {
        format!("{} packets dropped", self.packets)
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![("dropped", self.packets.into())]
    }

    fn details(&self) -> Details {
        Details {
            columns: &["reason", "packets"],
            rows: self
                .reasons
                .iter()
                .map(|dropped| vec![dropped.reason.as_str().into(), dropped.packets.into()])
                .collect(),
        }
    }
}
