//! Datagrams as rows: flows, then sockets that had no room.

use shared_protocol::report::{DatagramsSeen, FullSocket, UdpFlow};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for DatagramsSeen {
    fn summary(&self) -> String {
        let totals = &self.totals;
        format!(
            "{} flows: {} datagrams sent, {} received, {} refused by full sockets; {} bytes sent, {} received",
            totals.flows, totals.sent, totals.received, totals.refused, totals.sent_bytes, totals.received_bytes
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let totals = &self.totals;
        vec![
            ("flows", totals.flows.into()),
            ("packets", (totals.sent + totals.received).into()),
            ("sent_bytes", totals.sent_bytes.into()),
            ("received_bytes", totals.received_bytes.into()),
            ("refused_datagrams", totals.refused.into()),
        ]
    }

    fn details(&self) -> Details {
        Details {
            columns: &COLUMNS,
            rows: self.flows.iter().map(row).chain(self.full.iter().map(full)).collect(),
        }
    }

    fn table(&self) -> Details {
        let mut rows = self.details().rows;
        for row in &mut rows {
            row.truncate(SHOWN.len());
        }
        Details { columns: SHOWN, rows }
    }
}

/// Everything of a flow, or of a socket.
const COLUMNS: [&str; 10] = [
    "command",
    "local",
    "remote",
    "sent",
    "sent_bytes",
    "received",
    "received_bytes",
    "refused",
    "pid",
    "namespace",
];

/// What people have room for.
const SHOWN: &[&str] = &["command", "local", "remote", "sent", "sent_bytes", "received", "received_bytes", "refused"];

fn row(flow: &UdpFlow) -> Vec<Cell> {
    vec![
        Cell::of(flow.command.as_ref()),
        flow.local.to_string().into(),
        flow.remote.to_string().into(),
        flow.sent.into(),
        flow.sent_bytes.into(),
        flow.received.into(),
        flow.received_bytes.into(),
        Cell::Absent,
        Cell::of(flow.pid),
        flow.namespace.into(),
    ]
}

fn full(socket: &FullSocket) -> Vec<Cell> {
    let mut row = vec![Cell::Absent; COLUMNS.len() - 3];
    row.extend([socket.datagrams.into(), Cell::Absent, socket.namespace.into()]);
    if let Some(local) = row.get_mut(1) {
        *local = socket.local.to_string().into();
    }
    row
}
