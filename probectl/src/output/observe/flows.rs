//! TCP connections as rows.

use shared_protocol::report::{FlowTotals, TcpFlow};

use crate::output::Cell;
use crate::output::view::word;

/// Everything of a connection.
pub(super) const COLUMNS: [&str; 14] = [
    "local",
    "remote",
    "state",
    "pid",
    "command",
    "sent_bytes",
    "received_bytes",
    "srtt_us",
    "min_rtt_us",
    "congestion_window",
    "retransmits",
    "connect_us",
    "established_us",
    "errno",
];

/// A connection under [`COLUMNS`].
pub(super) fn row(flow: &TcpFlow) -> Vec<Cell> {
    let time = |value: Option<u64>| Cell::of(value.map(Cell::Micros));
    vec![
        flow.local.to_string().into(),
        flow.remote.to_string().into(),
        word(&flow.state).into(),
        Cell::of(flow.pid),
        Cell::of(flow.command.as_ref()),
        flow.sent_bytes.into(),
        flow.received_bytes.into(),
        time(flow.srtt_us),
        time(flow.min_rtt_us),
        flow.congestion_window.into(),
        flow.retransmits.into(),
        time(flow.connect_us),
        time(flow.established_us),
        Cell::of(flow.errno.map(|errno| Cell::Signed(errno.into()))),
    ]
}

/// What people have room for.
pub(super) const SHOWN: [&str; 8] = ["command", "local", "remote", "state", "sent_bytes", "received_bytes", "srtt_us", "retransmits"];

/// A connection under [`SHOWN`].
pub(super) fn shown(flow: &TcpFlow) -> Vec<Cell> {
    let owner = match (&flow.command, flow.pid) {
        (Some(command), Some(pid)) => Cell::Text(format!("{command}/{pid}")),
        (None, Some(pid)) => Cell::Text(pid.to_string()),
        (_, None) => Cell::Absent,
    };
    let mut cells = row(flow).into_iter();
    let ends = [cells.next(), cells.next(), cells.next()].map(|cell| cell.unwrap_or(Cell::Absent));
    [owner]
        .into_iter()
        .chain(ends)
        .chain([
            flow.sent_bytes.into(),
            flow.received_bytes.into(),
            Cell::of(flow.srtt_us.map(Cell::Micros)),
            flow.retransmits.into(),
        ])
        .collect()
}

/// Totals as the first cells of a row.
pub(super) fn totals(totals: &FlowTotals) -> Vec<Cell> {
    vec![
        totals.flows.into(),
        totals.opened.into(),
        totals.closed.into(),
        totals.failed.into(),
        totals.sent_bytes.into(),
        totals.received_bytes.into(),
        totals.retransmits.into(),
    ]
}

/// Totals in one line.
pub(super) fn summary(totals: &FlowTotals) -> String {
    format!(
        "{} connections: {} opened, {} closed, {} failed; {} bytes sent, {} received, {} segments sent again",
        totals.flows, totals.opened, totals.closed, totals.failed, totals.sent_bytes, totals.received_bytes, totals.retransmits
    )
}
