//! Segments sent again as rows.

use shared_protocol::report::{Retransmits, RetransmitsSeen};

use crate::output::Cell;
use crate::output::view::word;

/// Everything of a connection.
pub(super) const COLUMNS: [&str; 5] = ["local", "remote", "state", "segments", "opening"];

/// What a connection sent again under [`COLUMNS`].
pub(super) fn row(one: &Retransmits) -> Vec<Cell> {
    vec![
        one.local.to_string().into(),
        one.remote.to_string().into(),
        word(&one.state).into(),
        one.segments.into(),
        one.opening.into(),
    ]
}

/// Totals in one line.
pub(super) fn summary(seen: &RetransmitsSeen) -> String {
    format!(
        "{} segments sent again by {} connections, {} of them to open one",
        seen.segments, seen.connections, seen.opening
    )
}
