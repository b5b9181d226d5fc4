//! Waiting for a CPU: one histogram over all tasks of the host.

use aya::Pod;
use aya::maps::{MapData, PerCpuArray};
use shared_protocol::report::{Seen, SelfCheck, WaitsSeen};

use crate::attach::Hook;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;
use crate::slots::{self, SLOTS};

/// Waiting for a CPU being observed.
pub(crate) struct Runqlat {
    programs: Programs,
    waited: PerCpuArray<MapData, Waits>,
}

/// `struct waits` of `programs/runqlat.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Waits {
    total_ns: u64,
    max_ns: u64,
    slots: [u64; SLOTS],
}

// SAFETY: it is plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Waits {}

impl Runqlat {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::RUNQLAT, kernel, &ask.check_port, |_| {})?;
        let waited = programs.take("waited")?;
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            waited: PerCpuArray::try_from(waited)?,
            programs,
        })
    }

    fn all(&self) -> Result<Waits, ObserveError> {
        let mut all = Waits::default();
        for waits in self.waited.get(&0, 0)?.iter() {
            all.total_ns += waits.total_ns;
            all.max_ns = all.max_ns.max(waits.max_ns);
            for (sum, count) in all.slots.iter_mut().zip(waits.slots) {
                *sum += count;
            }
        }
        Ok(all)
    }
}

impl Observer for Runqlat {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let all = self.all()?;
        Ok(Seen::Runqlat(WaitsSeen {
            waits: all.slots.iter().sum(),
            latencies: slots::told(&all.slots, all.total_ns, all.max_ns),
        }))
    }

    /// Whoever looks had to wait for a CPU before it could: no wait at all was seen only where none can be.
    fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        let seen = self.all()?.slots.iter().any(|count| *count > 0);
        Ok(if seen { SelfCheck::Passed } else { SelfCheck::Failed })
    }
}

pub(crate) const HOOKS: [Hook; 3] = [
    Hook {
        tracepoint: "sched_switch",
        typed: "switched",
        plain: "switched_plain",
        without: None,
    },
    Hook {
        tracepoint: "sched_wakeup",
        typed: "woken",
        plain: "woken_plain",
        without: None,
    },
    Hook {
        tracepoint: "sched_wakeup_new",
        typed: "born",
        plain: "born_plain",
        without: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        assert_same_layout!(object::RUNQLAT.bytes, "waits", Waits { total_ns, max_ns, slots });
    }
}
