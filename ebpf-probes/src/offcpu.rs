//! Where tasks wait for something else than a CPU, and how long.

use shared_protocol::report::{Seen, SelfCheck, StackUnit};

use crate::attach::Hook;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Look, Observer};
use crate::programs::Programs;
use crate::stacks::{Extent, Stacks};

/// Waiting tasks being observed.
pub(crate) struct Offcpu {
    programs: Programs,
    stacks: Stacks,
}

impl Offcpu {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let mut programs = Programs::open(object::OFFCPU, kernel, &ask.check_port, |_| {})?;
        programs.attach(kernel, &HOOKS)?;
        let stacks = Stacks::new(&mut programs, kernel, ask, StackUnit::Microseconds)?;
        Ok(Self { programs, stacks })
    }
}

impl Observer for Offcpu {
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
        Ok(Seen::Offcpu(self.stacks.seen(&mut self.programs, Extent::Hottest)?))
    }

    fn found(&mut self) -> Result<Seen, ObserveError> {
        Ok(Seen::Offcpu(self.stacks.seen(&mut self.programs, Extent::Everything)?))
    }

    /// Whoever looks from time to time sleeps in between.
    fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        Ok(if self.stacks.is_empty() { SelfCheck::Failed } else { SelfCheck::Passed })
    }
}

pub(crate) const HOOKS: [Hook; 1] = [Hook {
    tracepoint: "sched_switch",
    typed: "slept",
    plain: "slept_plain",
    without: None,
}];
