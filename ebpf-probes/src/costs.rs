//! What programs cost, as they count it themselves: each run, and how long one in a few takes, which speaks for the others.

use aya::Pod;
use aya::maps::{Map, MapData, PerCpuArray};
use shared_protocol::report::ProgramCost;

use crate::error::ObserveError;

/// The counters of the programs of one object.
pub(crate) struct Costs(PerCpuArray<MapData, Counted>);

/// `struct program_cost` of `programs/costs.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    runs: u64,
    run_ns: u64,
    untimed: u64,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Counted {}

impl Costs {
    pub(crate) fn open(map: Map) -> Result<Self, ObserveError> {
        Ok(Self(PerCpuArray::try_from(map)?))
    }

    /// What all have cost so far; none where none ran yet, or the count cannot be read.
    pub(crate) fn all(&self) -> Option<ProgramCost> {
        let mut all = ProgramCost { runs: 0, run_ns: 0 };
        for place in 0..self.0.len() {
            let one = self.at(place)?;
            all.runs += one.runs;
            all.run_ns = all.run_ns.saturating_add(one.run_ns);
        }
        (all.runs > 0).then_some(all)
    }

    /// What the programs of the hook at this place of its list have cost.
    pub(crate) fn of_hook(&self, place: usize) -> Option<ProgramCost> {
        self.at(u32::try_from(place).ok()?)
    }

    fn at(&self, place: u32) -> Option<ProgramCost> {
        let each_cpu = self.0.get(&place, 0).ok()?;
        let none = ProgramCost { runs: 0, run_ns: 0 };
        Some(each_cpu.iter().fold(none, |sum, one| ProgramCost {
            runs: sum.runs + one.runs,
            run_ns: sum.run_ns.saturating_add(one.run_ns),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::object;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = object::TCP_FLOWS.bytes;
        assert_same_layout!(object, "program_cost", Counted { runs, run_ns, untimed });
    }

    /// The place of a hook is written in the source of its programs, and is its position in the reader's list. The objects are what their sources
    /// come to (`cargo xtask ebpf --check`).
    #[test]
    fn programs_count_at_the_place_of_their_hook() {
        let sources = [
            (include_str!("../programs/biolatency.bpf.c"), &crate::biolatency::HOOKS[..]),
            (include_str!("../programs/connect_latency.bpf.c"), &crate::connect_latency::HOOKS[..]),
            (include_str!("../programs/connects.bpf.c"), &crate::connects::HOOKS[..]),
            (include_str!("../programs/dns_latency.bpf.c"), &crate::dns_latency::HOOKS[..]),
            (include_str!("../programs/drops.bpf.c"), &crate::drops::HOOKS[..]),
            (include_str!("../programs/exec.bpf.c"), &crate::exec::HOOKS[..]),
            (include_str!("../programs/facts.bpf.c"), &crate::facts::HOOKS[..]),
            (include_str!("../programs/files.bpf.c"), &crate::files::HOOKS[..]),
            (include_str!("../programs/memory.bpf.c"), &crate::memory::HOOKS[..]),
            (include_str!("../programs/offcpu.bpf.c"), &crate::offcpu::HOOKS[..]),
            (include_str!("../programs/packets.bpf.c"), &crate::packets::HOOKS[..]),
            (include_str!("../programs/retransmits.bpf.c"), &crate::retransmits::HOOKS[..]),
            (include_str!("../programs/runqlat.bpf.c"), &crate::runqlat::HOOKS[..]),
            (include_str!("../programs/syscalls.bpf.c"), &crate::syscalls::HOOKS[..]),
            (include_str!("../programs/tcp_flows.bpf.c"), &crate::tcp_flows::HOOKS[..]),
            (include_str!("../programs/udp_flows.bpf.c"), &crate::udp_flows::HOOKS[..]),
            (include_str!("../programs/interface.bpf.c"), &crate::traffic::HOOKS[..]),
            (include_str!("../programs/tls_latency.bpf.c"), &crate::tls_latency::functions::HOOKS[..]),
            (include_str!("../programs/profile.bpf.c"), &[]),
        ];
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
        let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.ends_with(".bpf.c")).count(), sources.len(), "one is missing here");
        for (source, hooks) in sources {
            assert!(hooks.len() < 8, "the last place is for programs that are on no hook");
            for (place, hook) in hooks.iter().enumerate() {
                for program in [hook.typed, hook.plain] {
                    let (_, body) = source.split_once(&format!("int {program}(")).unwrap();
                    let (body, _) = body.split_once("\n}\n").unwrap();
                    assert!(
                        body.contains(&format!("return COSTED({place}, ")),
                        "{program} counts elsewhere than at {place}: {body}"
                    );
                }
            }
        }
    }
}
