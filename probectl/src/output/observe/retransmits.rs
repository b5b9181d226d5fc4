//! Segments sent again as rows.

use shared_protocol::report::{Retransmits, RetransmitsSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;
use crate::output::view::word;

impl Shown for RetransmitsSeen {
    fn summary(&self) -> String {
        format!(
            "{} segments sent again by {} connections, {} of them to open one",
            self.segments, self.connections, self.opening
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![("retransmits", self.segments.into())]
    }

    fn details(&self) -> Details {
        Details {
            columns: &["local", "remote", "state", "segments", "opening"],
            rows: self.flows.iter().map(row).collect(),
        }
    }
}

/// What a connection sent again.
fn row(one: &Retransmits) -> Vec<Cell> {
    vec![
        one.local.to_string().into(),
        one.remote.to_string().into(),
        word(&one.state).into(),
        one.segments.into(),
        one.opening.into(),
    ]
}
