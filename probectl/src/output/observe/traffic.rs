//! Traffic at interfaces as rows: the interfaces, then whom they spoke with.

use shared_protocol::report::{InterfaceSeen, NetworkInterface, Traffic};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for InterfaceSeen {
    fn summary(&self) -> String {
        let total = &self.total;
        format!(
            "{} packets received, {} sent; {} bytes received, {} sent",
            total.received_packets, total.sent_packets, total.received_bytes, total.sent_bytes
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let total = &self.total;
        vec![
            ("packets", (total.received_packets + total.sent_packets).into()),
            ("bytes", (total.received_bytes + total.sent_bytes).into()),
            ("sent_bytes", total.sent_bytes.into()),
            ("received_bytes", total.received_bytes.into()),
        ]
    }

    fn details(&self) -> Details {
        let interfaces = self.interfaces.iter().map(|one| row(&one.interface, Cell::Absent, &one.traffic));
        let talkers = self.talkers.iter().map(|one| row(&one.interface, one.address.to_string().into(), &one.traffic));
        Details {
            columns: &COLUMNS,
            rows: interfaces.chain(talkers).collect(),
        }
    }

    fn table(&self) -> Details {
        let mut details = self.details();
        for row in &mut details.rows {
            row.truncate(SHOWN.len());
        }
        Details {
            columns: SHOWN,
            rows: details.rows,
        }
    }
}

/// An interface, or one whom it spoke with.
const COLUMNS: [&str; 8] = [
    "interface",
    "address",
    "received_packets",
    "received_bytes",
    "sent_packets",
    "sent_bytes",
    "namespace",
    "index",
];

/// What people have room for.
const SHOWN: &[&str] = &["interface", "address", "received_packets", "received_bytes", "sent_packets", "sent_bytes"];

fn row(interface: &NetworkInterface, address: Cell, traffic: &Traffic) -> Vec<Cell> {
    vec![
        interface.name.as_str().into(),
        address,
        traffic.received_packets.into(),
        traffic.received_bytes.into(),
        traffic.sent_packets.into(),
        traffic.sent_bytes.into(),
        interface.namespace.into(),
        interface.index.into(),
    ]
}
