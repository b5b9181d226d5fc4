//! Packets as rows, one for each interface and direction.

use shared_protocol::report::{InterfacePackets, PacketsSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;
use crate::output::view::word;

impl Shown for PacketsSeen {
    fn summary(&self) -> String {
        format!("{} packets, {} bytes at the interfaces", self.packets, self.bytes)
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![("packets", self.packets.into()), ("bytes", self.bytes.into())]
    }

    fn details(&self) -> Details {
        Details {
            columns: &COLUMNS,
            rows: self.interfaces.iter().map(row).collect(),
        }
    }

    fn table(&self) -> Details {
        let shown = |one| row(one).into_iter().take(SHOWN.len()).collect();
        Details {
            columns: SHOWN,
            rows: self.interfaces.iter().map(shown).collect(),
        }
    }
}

/// Everything of one way through an interface.
const COLUMNS: [&str; 23] = [
    "interface",
    "direction",
    "packets",
    "bytes",
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "arp",
    "other_ip",
    "other",
    "syn",
    "syn_ack",
    "fin",
    "rst",
    "psh",
    "ack",
    "urg",
    "ece",
    "cwr",
    "sizes",
    "namespace",
    "index",
];

/// What people have room for.
const SHOWN: &[&str] = &[
    "interface",
    "direction",
    "packets",
    "bytes",
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "arp",
    "other_ip",
    "other",
    "syn",
    "syn_ack",
    "fin",
    "rst",
];

/// One way through an interface under [`COLUMNS`].
fn row(one: &InterfacePackets) -> Vec<Cell> {
    let (protocols, flags) = (&one.protocols, &one.tcp_flags);
    let sizes: Vec<String> = one.sizes.iter().map(u64::to_string).collect();
    vec![
        one.interface.name.as_str().into(),
        word(&one.direction).into(),
        one.packets.into(),
        one.bytes.into(),
        protocols.tcp.into(),
        protocols.udp.into(),
        protocols.icmp.into(),
        protocols.icmpv6.into(),
        protocols.arp.into(),
        protocols.other_ip.into(),
        protocols.other.into(),
        flags.syn.into(),
        flags.syn_ack.into(),
        flags.fin.into(),
        flags.rst.into(),
        flags.psh.into(),
        flags.ack.into(),
        flags.urg.into(),
        flags.ece.into(),
        flags.cwr.into(),
        sizes.join(" ").into(),
        one.interface.namespace.into(),
        one.interface.index.into(),
    ]
}
