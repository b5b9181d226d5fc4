//! Segments sent again: one entry for each connection.

use aya::Pod;
use aya::maps::{HashMap, MapData};
use shared_protocol::report::{Masked, Retransmits as Told, RetransmitsSeen, Seen};

use crate::attach::Hook;
use crate::endpoint::{Endpoints, Filter, tcp_state};
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;

/// Segments sent again being observed.
pub(crate) struct Retransmits {
    programs: Programs,
    flows: HashMap<MapData, Endpoints, Resent>,
    masked: Vec<Masked>,
    top: usize,
}

/// `struct resent` of `programs/retransmits.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Resent {
    segments: u64,
    opening: u64,
    state: u32,
    unused: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Resent {}

impl Retransmits {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let filter = Filter::new(ask.port, ask.address);
        let mut programs = Programs::open(object::RETRANSMITS, kernel, &ask.check_port, |loader| filter.set(loader))?;
        let flows = programs.take("flows")?;
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            flows: HashMap::try_from(flows)?,
            programs,
            masked: ask.masked.to_vec(),
            top: ask.top,
        })
    }
}

impl Observer for Retransmits {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let mut flows = entries(self.flows.iter(), ENTRIES)?;
        let mut seen = RetransmitsSeen {
            connections: u64::try_from(flows.len()).unwrap_or(u64::MAX),
            ..RetransmitsSeen::default()
        };
        for (_, resent) in &flows {
            seen.segments += resent.segments;
            seen.opening += resent.opening;
        }
        flows.sort_by_key(|(ends, resent)| (std::cmp::Reverse(resent.segments), *ends));
        seen.flows = flows.iter().take(self.top).map(|(ends, resent)| told(ends, resent, &self.masked)).collect();
        Ok(Seen::Retransmits(seen))
    }
}

fn told(ends: &Endpoints, resent: &Resent, masked: &[Masked]) -> Told {
    Told {
        local: ends.local(),
        remote: ends.remote(masked),
        segments: resent.segments,
        opening: resent.opening,
        state: tcp_state(resent.state),
    }
}

pub(crate) const HOOKS: [Hook; 3] = [
    Hook {
        tracepoint: "tcp_retransmit_skb",
        typed: "resend",
        plain: "resend_plain",
        without: None,
    },
    Hook {
        tracepoint: "tcp_retransmit_synack",
        typed: "answer_again",
        plain: "answer_again_plain",
        without: Some("answers to first segments, sent again"),
    },
    Hook {
        tracepoint: "inet_sock_set_state",
        typed: "resend_check",
        plain: "resend_check_plain",
        without: None,
    },
];

/// Entries of the map `flows`.
const ENTRIES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = object::RETRANSMITS.bytes;
        assert_same_layout!(
            object,
            "resent",
            Resent {
                segments,
                opening,
                state,
                unused
            }
        );
    }
}
