//! Where the CPUs' time goes: each is looked at many times a second.

use aya::maps::{MapData, PerCpuArray};
use shared_protocol::report::{Seen, StackUnit};

use crate::attach;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;
use crate::stacks::{Extent, Stacks};

/// The CPUs being observed.
pub(crate) struct Profile {
    programs: Programs,
    stacks: Stacks,
    idle: PerCpuArray<MapData, u64>,
}

impl Profile {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::PROFILE, kernel, &ask.check_port, |_| {})?;
        let idle = PerCpuArray::try_from(programs.take("idle")?)?;
        let stacks = Stacks::new(&mut programs, kernel, ask, StackUnit::Samples)?;
        attach::attach_clock(&mut programs.ebpf, LOOK, HZ)?;
        Ok(Self { programs, stacks, idle })
    }

    fn told(&mut self, extent: Extent) -> Result<Seen, ObserveError> {
        let mut seen = self.stacks.seen(&mut self.programs, extent)?;
        seen.hz = Some(HZ);
        seen.idle = Some(self.idle.get(&0, 0)?.iter().sum());
        Ok(Seen::Profile(seen))
    }
}

impl Observer for Profile {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn gather(&mut self) -> Look {
        self.stacks.gather(&mut self.programs);
        Look::Soon
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        self.told(Extent::Hottest)
    }

    fn found(&mut self) -> Result<Seen, ObserveError> {
        self.told(Extent::Everything)
    }
}

const LOOK: &str = "look";
/// Looks at each CPU in a second: not in step with what happens a hundred times in one.
const HZ: u32 = 49;
