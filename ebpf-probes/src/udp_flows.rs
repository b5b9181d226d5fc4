//! Datagrams: one entry for each flow, and one for each socket that had no room.

use aya::Pod;
use aya::maps::{HashMap, MapData};
use shared_protocol::report::{DatagramTotals, DatagramsSeen, FullSocket, Masked, Seen, UdpFlow};

use crate::attach::Hook;
use crate::endpoint::{Endpoints, Filter, command};
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;

/// Datagrams being observed.
pub(crate) struct UdpFlows {
    programs: Programs,
    flows: HashMap<MapData, Flow, Datagrams>,
    full: HashMap<MapData, Full, u64>,
    masked: Vec<Masked>,
    top: usize,
}

/// `struct flow` of `programs/udp_flows.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    ends: Endpoints,
    namespace: u32,
    unused: u32,
}

/// `struct datagrams` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Datagrams {
    sent: u64,
    received: u64,
    sent_bytes: u64,
    received_bytes: u64,
    pid: u32,
    unused: u32,
    command: [u8; 16],
}

/// `struct full` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Full {
    local: [u8; 16],
    local_port: u16,
    family: u16,
    namespace: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Flow {}
// SAFETY: as above.
unsafe impl Pod for Datagrams {}
// SAFETY: as above.
unsafe impl Pod for Full {}

impl UdpFlows {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let filter = Filter::new(ask.port, ask.address);
        let mut programs = Programs::open(object::UDP_FLOWS, kernel, &ask.check_port, |loader| filter.set(loader))?;
        let (flows, full) = (programs.take("flows")?, programs.take("full")?);
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            flows: HashMap::try_from(flows)?,
            full: HashMap::try_from(full)?,
            programs,
            masked: ask.masked.to_vec(),
            top: ask.top,
        })
    }

    fn full(&self) -> Result<Vec<(Full, u64)>, ObserveError> {
        let mut full = entries(self.full.iter(), SOCKETS)?;
        full.sort_by_key(|(_, datagrams)| std::cmp::Reverse(*datagrams));
        Ok(full)
    }
}

impl Observer for UdpFlows {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let mut flows = entries(self.flows.iter(), FLOWS)?;
        let full = self.full()?;
        let mut totals = DatagramTotals {
            flows: u64::try_from(flows.len()).unwrap_or(u64::MAX),
            refused: full.iter().map(|(_, datagrams)| datagrams).sum(),
            ..DatagramTotals::default()
        };
        for (_, datagrams) in &flows {
            totals.sent += datagrams.sent;
            totals.received += datagrams.received;
            totals.sent_bytes += datagrams.sent_bytes;
            totals.received_bytes += datagrams.received_bytes;
        }
        flows.sort_by_key(|(_, datagrams)| std::cmp::Reverse(datagrams.sent_bytes + datagrams.received_bytes));
        Ok(Seen::UdpFlows(DatagramsSeen {
            totals,
            flows: flows
                .iter()
                .take(self.top)
                .map(|(flow, datagrams)| told(flow, datagrams, &self.masked))
                .collect(),
            full: full.iter().take(self.top).map(|(socket, datagrams)| socket.told(*datagrams)).collect(),
        }))
    }
}

fn told(flow: &Flow, datagrams: &Datagrams, masked: &[Masked]) -> UdpFlow {
    let sender = datagrams.pid > 0;
    UdpFlow {
        local: flow.ends.local(),
        remote: flow.ends.remote(masked),
        namespace: flow.namespace,
        sent: datagrams.sent,
        sent_bytes: datagrams.sent_bytes,
        received: datagrams.received,
        received_bytes: datagrams.received_bytes,
        pid: sender.then_some(datagrams.pid),
        command: (sender && !masked.contains(&Masked::Commands)).then(|| command(&datagrams.command)),
    }
}

impl Full {
    fn told(&self, datagrams: u64) -> FullSocket {
        let ends = Endpoints {
            local: self.local,
            local_port: self.local_port,
            family: self.family,
            ..Endpoints::default()
        };
        FullSocket {
            local: ends.local(),
            namespace: self.namespace,
            datagrams,
        }
    }
}

pub(crate) const HOOKS: [Hook; 3] = [
    Hook {
        tracepoint: "netif_receive_skb",
        typed: "datagram_in",
        plain: "datagram_in_plain",
        without: None,
    },
    Hook {
        tracepoint: "net_dev_start_xmit",
        typed: "datagram_out",
        plain: "datagram_out_plain",
        without: None,
    },
    Hook {
        tracepoint: "udp_fail_queue_rcv_skb",
        typed: "no_room",
        plain: "no_room_plain",
        without: Some("datagrams that a socket had no room for"),
    },
];

/// Entries of the map `flows`.
const FLOWS: usize = 8_192;
/// Entries of the map `full`.
const SOCKETS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = object::UDP_FLOWS.bytes;
        assert_same_layout!(object, "flow", Flow { ends, namespace, unused });
        assert_same_layout!(
            object,
            "datagrams",
            Datagrams {
                sent,
                received,
                sent_bytes,
                received_bytes,
                pid,
                unused,
                command
            }
        );
        assert_same_layout!(
            object,
            "full",
            Full {
                local,
                local_port,
                family,
                namespace
            }
        );
    }
}
