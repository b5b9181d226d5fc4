//! Packets by interface and direction: one entry for each, with its histograms.

use aya::Pod;
use aya::maps::{MapData, PerCpuHashMap};
use shared_protocol::report::{InterfacePackets, PacketsSeen, ProtocolPackets, Seen, TcpFlagCounts};

use crate::attach::Hook;
use crate::endpoint::command;
use crate::entries::entries;
use crate::error::ObserveError;
use crate::interface::Side;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;

/// Packets being observed.
pub(crate) struct Packets {
    programs: Programs,
    sides: PerCpuHashMap<MapData, Side, Counted>,
    top: usize,
}

/// `struct counted` of `programs/packets.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    name: [u8; 16],
    packets: u64,
    bytes: u64,
    protocols: [u64; 7],
    flags: [u64; 8],
    syn_acks: u64,
    sizes: [u64; SIZES],
}

// SAFETY: it is plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Counted {}

impl Packets {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::PACKETS, kernel, &ask.check_port, |_| {})?;
        let sides = programs.take("sides")?;
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            sides: PerCpuHashMap::try_from(sides)?,
            programs,
            top: ask.top,
        })
    }
}

impl Observer for Packets {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let entries = entries(self.sides.iter(), ENTRIES)?.into_iter();
        let mut sides: Vec<_> = entries.map(|(side, counts)| (side, counts.iter().fold(Counted::default(), added))).collect();
        let mut seen = PacketsSeen::default();
        for (_, counted) in &sides {
            seen.packets += counted.packets;
            seen.bytes += counted.bytes;
        }
        sides.sort_by_key(|(side, counted)| (std::cmp::Reverse(counted.packets), *side));
        seen.interfaces = sides.iter().take(self.top).map(told).collect();
        Ok(Seen::Packets(seen))
    }
}

/// The counts of all processors; the name is written by one of them.
fn added(mut all: Counted, one: &Counted) -> Counted {
    if one.name != [0; 16] {
        all.name = one.name;
    }
    all.packets += one.packets;
    all.bytes += one.bytes;
    all.syn_acks += one.syn_acks;
    let lists = [
        (&mut all.protocols[..], &one.protocols[..]),
        (&mut all.flags[..], &one.flags[..]),
        (&mut all.sizes[..], &one.sizes[..]),
    ];
    for (sums, counts) in lists {
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    all
}

fn told((side, counted): &(Side, Counted)) -> InterfacePackets {
    let [tcp, udp, icmp, icmpv6, arp, other_ip, other] = counted.protocols;
    let [fin, syn, rst, psh, ack, urg, ece, cwr] = counted.flags;
    let sizes = counted.sizes.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    InterfacePackets {
        interface: side.interface.told(command(&counted.name)),
        direction: side.direction(),
        packets: counted.packets,
        bytes: counted.bytes,
        protocols: ProtocolPackets {
            tcp,
            udp,
            icmp,
            icmpv6,
            arp,
            other_ip,
            other,
        },
        tcp_flags: TcpFlagCounts {
            syn,
            syn_ack: counted.syn_acks,
            fin,
            rst,
            psh,
            ack,
            urg,
            ece,
            cwr,
        },
        sizes: counted.sizes.iter().take(sizes).copied().collect(),
    }
}

pub(crate) const HOOKS: [Hook; 2] = [
    Hook {
        tracepoint: "netif_receive_skb",
        typed: "packet_in",
        plain: "packet_in_plain",
        without: None,
    },
    Hook {
        tracepoint: "net_dev_start_xmit",
        typed: "packet_out",
        plain: "packet_out_plain",
        without: None,
    },
];

/// Entries of the map `sides`.
const ENTRIES: usize = 256;
/// `SIZES` of the program.
const SIZES: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Interface;
    use crate::layout::assert_same_layout;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = object::PACKETS.bytes;
        assert_same_layout!(object, "interface", Interface { namespace, index });
        assert_same_layout!(object, "side", Side { interface, direction, unused });
        assert_same_layout!(
            object,
            "counted",
            Counted {
                name,
                packets,
                bytes,
                protocols,
                flags,
                syn_acks,
                sizes
            }
        );
    }
}
