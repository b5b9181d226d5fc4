//! Programs onto their hooks: what is not accepted in one way is tried in the next, and what was missing in the end is told.

use std::io;
use std::path::Path;

use aya::Ebpf;
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::uprobe::UProbeScope;
use aya::programs::{BtfTracePoint, Iter, PerfEvent, Program, ProgramError, RawTracePoint, UProbe};
use aya::util::online_cpus;
use shared_protocol::frame::CapabilityLevel;

use crate::error::ObserveError;
use crate::kernel::{Hooks, Kernel};

/// How well an observation could be set up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment {
    /// What is missing; nothing where all is as designed.
    pub missing: Vec<String>,
    /// Hooks on which the program with typed arguments was tried and refused, so that the one without stands in. It sees the same and costs more.
    pub untyped: Vec<&'static str>,
}

impl Attachment {
    /// How well.
    pub const fn level(&self) -> CapabilityLevel {
        if self.missing.is_empty() {
            CapabilityLevel::Full
        } else {
            CapabilityLevel::Degraded
        }
    }
}

/// One hook, and the programs that fit on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hook {
    /// The kernel's tracepoint.
    pub(crate) tracepoint: &'static str,
    /// The program for it whose arguments have types. The one for plain arguments has `_plain` at its end.
    pub(crate) typed: &'static str,
    pub(crate) plain: &'static str,
    /// What is not seen without it; nothing is observed at all without one where this is `None`.
    pub(crate) without: Option<&'static str>,
}

/// Puts programs onto all hooks. One that can be done without may be missing, but not all of them.
pub(crate) fn attach(ebpf: &mut Ebpf, kernel: &Kernel, hooks: &[Hook]) -> Result<Attachment, ObserveError> {
    let mut attachment = Attachment::default();
    let mut refused = None;
    for hook in hooks {
        let source = match attach_one(ebpf, kernel, hook) {
            Ok(Way::AsTold) => continue,
            Ok(Way::StoodIn) => {
                attachment.untyped.push(hook.tracepoint);
                continue;
            }
            Err(source) => source,
        };
        let error = ObserveError::Program {
            program: hook.typed,
            source: Box::new(source),
        };
        match hook.without {
            Some(without) => attachment.missing.push(format!("{without}: {} does not attach", hook.tracepoint)),
            None => return Err(error),
        }
        refused.get_or_insert(error);
    }
    match refused {
        Some(first) if attachment.missing.len() == hooks.len() => Err(first),
        _ => Ok(attachment),
    }
}

/// Which of a hook's two programs is on it.
enum Way {
    /// The one that was asked for.
    AsTold,
    /// The plain one, where the typed one was refused.
    StoodIn,
}

/// The error is that of the way tried first, which is the one that ought to work.
fn attach_one(ebpf: &mut Ebpf, kernel: &Kernel, hook: &Hook) -> Result<Way, ProgramError> {
    match kernel.hooks {
        Hooks::TypedFirst => match attach_typed(ebpf, kernel, hook) {
            Ok(()) => Ok(Way::AsTold),
            Err(first) => attach_plain(ebpf, hook).map(|()| Way::StoodIn).map_err(|_| first),
        },
        Hooks::PlainOnly => attach_plain(ebpf, hook).map(|()| Way::AsTold),
    }
}

fn attach_typed(ebpf: &mut Ebpf, kernel: &Kernel, hook: &Hook) -> Result<(), ProgramError> {
    let program: &mut BtfTracePoint = program(ebpf, hook.typed)?.try_into()?;
    program.load(hook.tracepoint, &kernel.btf)?;
    program.attach()?;
    Ok(())
}

fn attach_plain(ebpf: &mut Ebpf, hook: &Hook) -> Result<(), ProgramError> {
    let program: &mut RawTracePoint = program(ebpf, hook.plain)?.try_into()?;
    program.load()?;
    program.attach(hook.tracepoint)?;
    Ok(())
}

/// Puts a program onto the clock of each CPU, so many times a second.
pub(crate) fn attach_clock(ebpf: &mut Ebpf, name: &'static str, hz: u32) -> Result<(), ObserveError> {
    let failed = |source: ProgramError| ObserveError::Program {
        program: name,
        source: Box::new(source),
    };
    let program: &mut PerfEvent = program(ebpf, name).and_then(TryInto::try_into).map_err(failed)?;
    program.load().map_err(failed)?;
    let cpus = online_cpus().map_err(|(_, source)| failed(ProgramError::IOError(source)))?;
    for cpu in cpus {
        let clock = PerfEventConfig::Software(SoftwareEvent::CpuClock);
        let scope = PerfEventScope::AllProcessesOneCpu { cpu };
        program.attach(clock, scope, SamplePolicy::Frequency(hz.into()), false).map_err(failed)?;
    }
    Ok(())
}

/// Loads a program for functions of programs, which may then be put onto many.
pub(crate) fn load_function(ebpf: &mut Ebpf, name: &str) -> Result<(), ProgramError> {
    let program: &mut UProbe = program(ebpf, name)?.try_into()?;
    program.load()
}

/// Puts a program onto the function that begins there in a file, for whoever runs it.
pub(crate) fn attach_function(ebpf: &mut Ebpf, name: &str, file: &Path, offset: u64) -> Result<(), ProgramError> {
    let program: &mut UProbe = program(ebpf, name)?.try_into()?;
    program.attach(offset, file, UProbeScope::AllProcesses)?;
    Ok(())
}

/// Takes the programs of a hook out of the kernel.
pub(crate) fn detach(ebpf: &mut Ebpf, hook: &Hook) {
    for name in [hook.typed, hook.plain] {
        // Of the two most often only one is loaded.
        let _was_not_loaded = match ebpf.program_mut(name) {
            Some(Program::BtfTracePoint(program)) => program.unload(),
            Some(Program::RawTracePoint(program)) => program.unload(),
            Some(Program::UProbe(program)) => program.unload(),
            _ => Ok(()),
        };
    }
}

/// Loads a program that goes through things whenever it is asked to.
pub(crate) fn load_walk(ebpf: &mut Ebpf, kernel: &Kernel, walk: &Walk) -> Result<(), ProgramError> {
    let program: &mut Iter = program(ebpf, walk.program)?.try_into()?;
    program.load(walk.through, &kernel.btf)
}

/// Goes through them once, and takes what the program says to whoever reads.
pub(crate) fn walk(ebpf: &mut Ebpf, walk: &Walk, told: &mut impl io::Write) -> Result<(), ObserveError> {
    let failed = |source: ProgramError| ObserveError::Program {
        program: walk.program,
        source: Box::new(source),
    };
    let program: &mut Iter = program(ebpf, walk.program).and_then(TryInto::try_into).map_err(failed)?;
    let link = program.attach().and_then(|id| program.take_link(id)).map_err(failed)?;
    let mut file = link.into_file().map_err(|source| ObserveError::Walk {
        program: walk.program,
        source: io::Error::other(source),
    })?;
    io::copy(&mut file, told).map_err(|source| ObserveError::Walk { program: walk.program, source })?;
    Ok(())
}

/// A program that goes through all things of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) program: &'static str,
    /// The kernel's name for the things.
    pub(crate) through: &'static str,
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)
}
