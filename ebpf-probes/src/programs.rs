//! The programs of one observation in the kernel, and what all of them count besides what they are for.

use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{Map, MapData, PerCpuArray};
use aya::programs::Program;
use aya::{Ebpf, EbpfLoader};
use shared_protocol::report::{ProgramCost, SelfCheck};

use crate::attach::{self, Attachment, Hook};
use crate::costs::Costs;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object::Object;

/// The programs of one observation. They leave the kernel when this is dropped.
pub(crate) struct Programs {
    pub(crate) ebpf: Ebpf,
    pub(crate) attachment: Attachment,
    object: Object,
    hooks: &'static [Hook],
    costs: Costs,
    /// What the kernel passed over of programs that are not there any more, see [`passed_over`].
    gone_passed_over: u64,
    /// What each run costs beside what the program itself takes.
    trap_ns: u64,
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
            costs: Costs::open(take(&mut ebpf, object, "costs")?)?,
            attachment: Attachment::default(),
            object,
            hooks: &[],
            gone_passed_over: 0,
            trap_ns: 0,
            ebpf,
        })
    }

    /// A map of its own, by its name.
    pub(crate) fn take(&mut self, name: &'static str) -> Result<Map, ObserveError> {
        take(&mut self.ebpf, self.object, name)
    }

    /// Puts the programs onto their hooks.
    pub(crate) fn attach(&mut self, kernel: &Kernel, hooks: &'static [Hook]) -> Result<(), ObserveError> {
        self.attachment = attach::attach(&mut self.ebpf, kernel, hooks)?;
        self.hooks = hooks;
        Ok(())
    }

    /// Takes note of how well they are where somebody else has put them, of what can be given up of that, and of what it takes to get there.
    pub(crate) fn attached(&mut self, attachment: Attachment, hooks: &'static [Hook], trap_ns: u64) {
        self.attachment = attachment;
        self.hooks = hooks;
        self.trap_ns = trap_ns;
    }

    /// Gives up the hook that has cost most of those that can be done without, and names it.
    pub(crate) fn give_up_one(&mut self) -> Option<&'static str> {
        let costliest = self
            .hooks
            .iter()
            .enumerate()
            .filter(|(_, hook)| self.is_there(hook))
            .filter_map(|(place, hook)| Some((hook, hook.without?, self.with_traps(self.costs.of_hook(place)?).run_ns)))
            .max_by_key(|(_, _, run_ns)| *run_ns);
        let (hook, without, _) = costliest?;
        let passed = [hook.typed, hook.plain].into_iter().filter_map(|name| self.ebpf.program(name));
        self.gone_passed_over += passed.map(passed_over).sum::<u64>();
        attach::detach(&mut self.ebpf, hook);
        let missing = format!("{without}: {} was given up for what it cost", hook.tracepoint);
        self.attachment.missing.push(missing);
        Some(hook.tracepoint)
    }

    /// What the kernel saw and could not tell: there was no room for it, or it came while the same program was at work on that CPU.
    pub(crate) fn lost(&self) -> Result<u64, ObserveError> {
        let passed: u64 = self.ebpf.programs().map(|(_, program)| passed_over(program)).sum();
        Ok(sum(&self.lost)? + self.gone_passed_over + passed)
    }

    /// Whether they saw what was done to check them.
    pub(crate) fn self_check(&self) -> Result<SelfCheck, ObserveError> {
        Ok(if sum(&self.checked)? > 0 { SelfCheck::Passed } else { SelfCheck::Failed })
    }

    /// What they have cost so far; none before the first run.
    pub(crate) fn cost(&self) -> Option<ProgramCost> {
        self.costs.all().map(|cost| self.with_traps(cost))
    }

    /// Adds what it takes to get to the programs.
    const fn with_traps(&self, cost: ProgramCost) -> ProgramCost {
        ProgramCost {
            runs: cost.runs,
            run_ns: cost.run_ns.saturating_add(cost.runs.saturating_mul(self.trap_ns)),
        }
    }

    /// Whether a hook has a program in the kernel.
    fn is_there(&self, hook: &Hook) -> bool {
        [hook.typed, hook.plain]
            .into_iter()
            .any(|name| self.ebpf.program(name).is_some_and(|program| program.fd().is_ok()))
    }
}

/// How often the kernel passed a program over because it would have interrupted itself (`recursion_misses` of `struct bpf_prog_info`, told
/// since 5.12): a packet comes, say, while that CPU is counting what a process does. Nothing where the program is not in the kernel.
pub(crate) fn passed_over(program: &Program) -> u64 {
    let told = |fd| std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"));
    let told = program.fd().ok().and_then(|fd| told(fd.as_fd().as_raw_fd()).ok()).unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
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
