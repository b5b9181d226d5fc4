//! TCP connections: one entry of a map for each open one, one message of a ring for each that has ended.

use std::collections::BTreeMap;

use aya::maps::{HashMap, MapData, RingBuf};
use shared_protocol::report::{Masked, Seen};

mod book;
mod raw;

use book::Book;
use raw::RawFlow;

use crate::attach::{self, Hook, Walk};
use crate::endpoint::Filter;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::message::message;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;

/// TCP connections being observed.
pub(crate) struct TcpFlows {
    programs: Programs,
    open: HashMap<MapData, u64, RawFlow>,
    closed: RingBuf<MapData>,
    walks: bool,
    masked: Vec<Masked>,
    book: Book,
}

impl TcpFlows {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let filter = Filter::new(ask.port, ask.address);
        let mut programs = Programs::open(object::TCP_FLOWS, kernel, &ask.check_port, |loader| filter.set(loader))?;
        let (open, closed) = (programs.take("flows")?, programs.take("closed")?);
        programs.attach(kernel, &HOOKS)?;
        let walks = attach::load_walk(&mut programs.ebpf, kernel, &EVERY_SOCKET).is_ok();
        if !walks {
            programs.attachment.missing.push(NOT_WALKED.to_owned());
        }
        Ok(Self {
            open: HashMap::try_from(open)?,
            closed: RingBuf::try_from(closed)?,
            walks,
            masked: ask.masked.to_vec(),
            book: Book::new(ask.top),
            programs,
        })
    }

    fn drain(&mut self, mut ended: impl FnMut(&RawFlow)) {
        while let Some(item) = self.closed.next() {
            let Some(flow) = message::<RawFlow>(&item) else { continue };
            self.book.closed(&flow);
            ended(&flow);
        }
    }
}

impl Observer for TcpFlows {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    /// Takes in the connections that have ended since.
    fn gather(&mut self) -> Look {
        self.drain(|_| {});
        Look::Soon
    }

    /// Those that are open are read first: one that ends meanwhile is then found in the ring, and counts once.
    fn seen(&mut self) -> Result<Seen, ObserveError> {
        if self.walks {
            attach::walk(&mut self.programs.ebpf, &EVERY_SOCKET, &mut std::io::sink())?;
        }
        let mut open = BTreeMap::new();
        // A key that goes away while the kernel is asked for the next one lets it begin again.
        for key in self.open.keys().take(2 * ENTRIES) {
            let key = key?;
            if let Ok(flow) = self.open.get(&key, 0) {
                open.insert((flow.socket, flow.first_seen_ns), flow);
            }
        }
        self.drain(|ended| {
            open.remove(&(ended.socket, ended.first_seen_ns));
        });
        Ok(Seen::TcpFlows(self.book.seen(open.into_values().collect(), &self.masked)))
    }
}

pub(crate) const HOOKS: [Hook; 3] = [
    Hook {
        tracepoint: "inet_sock_set_state",
        typed: "flow_state",
        plain: "flow_state_plain",
        without: None,
    },
    Hook {
        tracepoint: "tcp_probe",
        typed: "flow_segment",
        plain: "flow_segment_plain",
        without: Some("numbers of a connection between two changes of its state"),
    },
    Hook {
        tracepoint: "tcp_retransmit_skb",
        typed: "flow_retransmit",
        plain: "flow_retransmit_plain",
        without: Some("retransmits of a connection that receives nothing, before it ends"),
    },
];

const EVERY_SOCKET: Walk = Walk {
    program: "flow_look",
    through: "tcp",
};

/// Without [`EVERY_SOCKET`].
const NOT_WALKED: &str =
    "connections that were open before and receive nothing, and the last segment of those that are open: there is no walk through all sockets";
/// Entries of the map `flows`.
const ENTRIES: usize = 8_192;
