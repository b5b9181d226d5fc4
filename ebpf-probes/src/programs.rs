//! The programs of one observation in the kernel, and what all of them count besides what they are for.

use aya::maps::{Map, MapData, PerCpuArray};
use aya::{Ebpf, EbpfLoader};
use shared_protocol::report::{ProgramCost, SelfCheck};

use crate::attach::{self, Attachment, Hook};
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object::Object;

/// The programs of one observation. They leave the kernel when this is dropped.
pub(crate) struct Programs {
    pub(crate) ebpf: Ebpf,
    pub(crate) attachment: Attachment,
    object: Object,
    lost: PerCpuArray<MapData, u64>,
    checked: PerCpuArray<MapData, u64>,
}

impl Programs {
    /// Takes an object in with what is set before; nothing is on its hook yet.
    pub(crate) fn open<'a>(object: Object, kernel: &'a Kernel, check_port: &'a u16, set: impl FnOnce(&mut EbpfLoader<'a>)) -> Result<Self, ObserveError> {
        let mut ebpf = object.open(kernel, check_port, set)?;
        Ok(Self {
            lost: PerCpuArray::try_from(take(&mut ebpf, object, "lost")?)?,
            checked: PerCpuArray::try_from(take(&mut ebpf, object, "checked")?)?,
            attachment: Attachment::default(),
            object,
            ebpf,
        })
    }

    /// A map of its own, by its name.
    pub(crate) fn take(&mut self, name: &'static str) -> Result<Map, ObserveError> {
        take(&mut self.ebpf, self.object, name)
    }

    /// Puts the programs onto their hooks.
    pub(crate) fn attach(&mut self, kernel: &Kernel, hooks: &[Hook]) -> Result<(), ObserveError> {
        self.attachment = attach::attach(&mut self.ebpf, kernel, hooks)?;
        Ok(())
    }

    /// What the kernel saw and could not tell.
    pub(crate) fn lost(&self) -> Result<u64, ObserveError> {
        sum(&self.lost)
    }

    /// Whether they saw what was done to check them.
    pub(crate) fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        Ok(if sum(&self.checked)? > 0 { SelfCheck::Passed } else { SelfCheck::Failed })
    }

    /// What they have cost so far, where the kernel counts it (`kernel.bpf_stats_enabled`).
    pub(crate) fn cost(&self) -> Option<ProgramCost> {
        let mut cost = ProgramCost { runs: 0, run_ns: 0 };
        for (_, program) in self.ebpf.programs() {
            if let Ok(info) = program.info() {
                cost.runs += info.run_count();
                cost.run_ns += u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
            }
        }
        (cost.runs > 0).then_some(cost)
    }
}

fn sum(counters: &PerCpuArray<MapData, u64>) -> Result<u64, ObserveError> {
    let mut all = 0;
    for kind in 0..counters.len() {
        all += counters.get(&kind, 0)?.iter().sum::<u64>();
    }
    Ok(all)
}

fn take(ebpf: &mut Ebpf, object: Object, name: &'static str) -> Result<Map, ObserveError> {
    ebpf.take_map(name).ok_or(ObserveError::Missing {
        object: object.name,
        what: name,
    })
}
