//! TCP connections as rows.

use shared_protocol::report::{FlowsSeen, TcpFlow};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;
use crate::output::view::word;

impl Shown for FlowsSeen {
    fn summary(&self) -> String {
        let totals = &self.totals;
        format!(
            "{} connections: {} opened, {} closed, {} failed; {} bytes sent, {} received, {} segments sent again",
            totals.flows, totals.opened, totals.closed, totals.failed, totals.sent_bytes, totals.received_bytes, totals.retransmits
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let totals = &self.totals;
        vec![
            ("flows", totals.flows.into()),
            ("opened", totals.opened.into()),
            ("closed", totals.closed.into()),
            ("failed", totals.failed.into()),
            ("sent_bytes", totals.sent_bytes.into()),
            ("received_bytes", totals.received_bytes.into()),
            ("retransmits", totals.retransmits.into()),
        ]
    }

    fn details(&self) -> Details {
        Details {
            columns: &COLUMNS,
            rows: self.flows.iter().map(row).collect(),
        }
    }

    fn table(&self) -> Details {
        Details {
            columns: &SHOWN,
            rows: self.flows.iter().map(shown).collect(),
        }
    }
}

/// Everything of a connection.
const COLUMNS: [&str; 14] = [
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
fn row(flow: &TcpFlow) -> Vec<Cell> {
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
const SHOWN: [&str; 8] = ["command", "local", "remote", "state", "sent_bytes", "received_bytes", "srtt_us", "retransmits"];

/// A connection under [`SHOWN`].
fn shown(flow: &TcpFlow) -> Vec<Cell> {
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
