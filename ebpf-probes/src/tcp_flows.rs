//! TCP connections: one entry of a map for each open one, one message of a ring for each that has ended.

use std::collections::BTreeMap;

use aya::Ebpf;
use aya::maps::{HashMap, MapData, PerCpuArray, RingBuf};
use shared_protocol::report::{FlowsSeen, Masked, ProgramCost, SelfCheck};

mod book;
mod raw;

use book::Book;
use raw::RawFlow;

use crate::attach::{self, Attachment, Hook, Walk};
use crate::endpoint::Filter;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::Ask;

/// TCP connections being observed.
pub(crate) struct TcpFlows {
    /// Holds the programs on their hooks.
    ebpf: Ebpf,
    open: HashMap<MapData, u64, RawFlow>,
    closed: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    attachment: Attachment,
    walks: bool,
    masked: Vec<Masked>,
    check_port: u16,
    book: Book,
}

impl TcpFlows {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let filter = Filter::new(ask.port, ask.address, ask.check_port);
        let mut ebpf = object::TCP_FLOWS.open(kernel, |loader| filter.set(loader))?;
        let (open, closed) = (take(&mut ebpf, "flows")?, take(&mut ebpf, "closed")?);
        let lost = take(&mut ebpf, "lost")?;
        let mut attachment = attach::attach(&mut ebpf, kernel, &HOOKS)?;
        let walks = attach::load_walk(&mut ebpf, kernel, &EVERY_SOCKET).is_ok();
        if !walks {
            attachment.missing.push(NOT_WALKED.to_owned());
        }
        Ok(Self {
            open: HashMap::try_from(open)?,
            closed: RingBuf::try_from(closed)?,
            lost: PerCpuArray::try_from(lost)?,
            attachment,
            walks,
            masked: ask.masked.to_vec(),
            check_port: ask.check_port,
            book: Book::new(ask.top),
            ebpf,
        })
    }

    pub(crate) const fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Takes in the connections that have ended since.
    pub(crate) fn gather(&mut self) {
        self.drain(|_| {});
    }

    /// Those that are open are read first: one that ends meanwhile is then found in the ring, and counts once.
    pub(crate) fn seen(&mut self) -> Result<FlowsSeen, ObserveError> {
        if self.walks {
            attach::walk(&mut self.ebpf, &EVERY_SOCKET)?;
        }
        let mut open = BTreeMap::new();
        // A key that goes away while the kernel is asked for the next one lets it begin again.
        for key in self.open.keys().take(2 * ENTRIES) {
            let key = key?;
            if let Ok(flow) = self.open.get(&key, 0)
                && !flow.ends.is_check(self.check_port)
            {
                open.insert((flow.socket, flow.first_seen_ns), flow);
            }
        }
        self.drain(|ended| {
            open.remove(&(ended.socket, ended.first_seen_ns));
        });
        Ok(self.book.seen(open.into_values().collect(), &self.masked))
    }

    fn drain(&mut self, mut ended: impl FnMut(&RawFlow)) {
        while let Some(item) = self.closed.next() {
            let Some(flow) = RawFlow::read(&item) else { continue };
            if flow.ends.is_check(self.check_port) {
                self.book.checked();
            } else {
                self.book.closed(&flow);
                ended(&flow);
            }
        }
    }

    pub(crate) fn lost(&self) -> Result<u64, ObserveError> {
        let mut lost = 0;
        for kind in 0..self.lost.len() {
            lost += self.lost.get(&kind, 0)?.iter().sum::<u64>();
        }
        Ok(lost)
    }

    pub(crate) const fn self_check(&self) -> SelfCheck {
        self.book.self_check()
    }

    pub(crate) fn cost(&self) -> Option<ProgramCost> {
        attach::cost(&self.ebpf)
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, ObserveError> {
    ebpf.take_map(name).ok_or(ObserveError::Missing {
        object: object::TCP_FLOWS.name,
        what: name,
    })
}

const HOOKS: [Hook; 3] = [
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
