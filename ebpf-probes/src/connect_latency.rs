//! Connecting: one entry for each command and remote end, with a histogram of how long it took.

use aya::Pod;
use aya::maps::{HashMap, MapData};
use shared_protocol::report::{ConnectTotals, Connects, ConnectsSeen, Masked, Seen};

use crate::attach::Hook;
use crate::endpoint::{Endpoints, Filter, command};
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;
use crate::slots::{self, SLOTS};

/// Connecting being observed.
pub(crate) struct ConnectLatency {
    programs: Programs,
    ended: HashMap<MapData, Whither, RawConnects>,
    masked: Vec<Masked>,
    top: usize,
}

/// `struct whither` of `programs/connect_latency.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Whither {
    remote: [u8; 16],
    remote_port: u16,
    family: u16,
    unused: u32,
    command: [u8; 16],
}

/// `struct connects` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct RawConnects {
    established: u64,
    failed: u64,
    total_ns: u64,
    max_ns: u64,
    pid: u32,
    error: i32,
    slots: [u32; SLOTS],
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Whither {}
// SAFETY: as above.
unsafe impl Pod for RawConnects {}

impl ConnectLatency {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let filter = Filter::new(ask.port, ask.address);
        let mut programs = Programs::open(object::CONNECT_LATENCY, kernel, &ask.check_port, |loader| filter.set(loader))?;
        let ended = programs.take("ended")?;
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            ended: HashMap::try_from(ended)?,
            programs,
            masked: ask.masked.to_vec(),
            top: ask.top,
        })
    }
}

impl Observer for ConnectLatency {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let mut ended = entries(self.ended.iter(), ENTRIES)?;
        let mut totals = ConnectTotals::default();
        for (_, connects) in &ended {
            totals.established += connects.established;
            totals.failed += connects.failed;
        }
        ended.sort_by_key(|(whither, connects)| (std::cmp::Reverse(connects.established + connects.failed), *whither));
        ended.truncate(self.top);
        Ok(Seen::ConnectLatency(ConnectsSeen {
            totals,
            connects: ended.iter().map(|(whither, connects)| told(whither, connects, &self.masked)).collect(),
        }))
    }
}

fn told(whither: &Whither, connects: &RawConnects, masked: &[Masked]) -> Connects {
    let ends = Endpoints {
        remote: whither.remote,
        remote_port: whither.remote_port,
        family: whither.family,
        ..Endpoints::default()
    };
    Connects {
        remote: ends.remote(masked),
        command: (!masked.contains(&Masked::Commands)).then(|| command(&whither.command)),
        pid: connects.pid,
        established: connects.established,
        failed: connects.failed,
        errno: (connects.error > 0).then_some(connects.error),
        latencies: slots::told(&connects.slots.map(u64::from), connects.total_ns, connects.max_ns),
    }
}

pub(crate) const HOOKS: [Hook; 1] = [Hook {
    tracepoint: "inet_sock_set_state",
    typed: "connect_state",
    plain: "connect_state_plain",
    without: None,
}];

/// Entries of the map `ended`.
const ENTRIES: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = object::CONNECT_LATENCY.bytes;
        assert_same_layout!(
            object,
            "whither",
            Whither {
                remote,
                remote_port,
                family,
                unused,
                command
            }
        );
        assert_same_layout!(
            object,
            "connects",
            RawConnects {
                established,
                failed,
                total_ns,
                max_ns,
                pid,
                error,
                slots
            }
        );
    }
}
