//! A package's object into the kernel, and why that failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aya::maps::Map;
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::{Program, ProgramError};
use aya::util::online_cpus;
use aya::{BtfError, Ebpf, EbpfLoader};
use ebpf_package::{Attach, Manifest, ManifestProgram, Package, Refusal};

use crate::kernel::Kernel;

/// Why a package cannot be run on this host.
#[derive(Debug, thiserror::Error)]
pub enum CustomError {
    /// It is not acceptable, here or anywhere.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// The object cannot be taken in.
    #[error("the package's object cannot be loaded: {0}")]
    Object(String),
    /// The kernel has no such tracepoint.
    #[error("this kernel has no {attach}, which the program {program} is for")]
    NoHook {
        /// The program.
        program: String,
        /// Its hook.
        attach: Attach,
    },
    /// The program wants a type or field that the kernel does not have.
    #[error("the program {program} uses a type or field that this kernel does not have: {}", short(log))]
    NoType {
        /// The program.
        program: String,
        /// What the verifier said, the end of it.
        log: String,
    },
    /// The kernel does not take the program.
    #[error("the kernel does not take the program {program}: {cause}: {}", short(log))]
    Verifier {
        /// The program.
        program: String,
        /// What the system said.
        cause: io::Error,
        /// What the verifier said, the end of it.
        log: String,
    },
    /// Something else about a program.
    #[error("the program {program} cannot be put onto {attach}: {cause}")]
    Program {
        /// The program.
        program: String,
        /// Its hook.
        attach: Attach,
        /// What the loader said.
        cause: Box<ProgramError>,
    },
    /// What a map holds cannot be read.
    #[error("what the map {map} holds cannot be read: {cause}")]
    Read {
        /// The map.
        map: String,
        /// What the system said.
        cause: String,
    },
    /// The system does not say something that has to be known.
    #[error("the system does not say how many CPUs there are: {0}")]
    System(io::Error),
}

impl From<Refusal> for CustomError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl CustomError {
    pub(super) fn read(map: &str, cause: impl fmt::Display) -> Self {
        Self::Read {
            map: map.to_owned(),
            cause: format!("{cause}"),
        }
    }

    /// What would mend it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Refused(_) => "mend the package, as `probectl packages check` says",
            Self::Object(_) => "build the object with clang -g -O2 -target bpf",
            Self::NoHook { .. } | Self::NoType { .. } => "a kernel that has it, or a program that can do without",
            Self::Verifier { .. } => "`probe-agent observe check` on this host prints all that the verifier says",
            Self::Program { .. } | Self::Read { .. } | Self::System(_) => "the observer's log says more",
        }
    }

    /// All that is kept of what the verifier said.
    pub fn log(&self) -> Option<&str> {
        match self {
            Self::Verifier { log, .. } | Self::NoType { log, .. } => Some(log),
            Self::Refused(_) | Self::Object(_) | Self::NoHook { .. } | Self::Program { .. } | Self::Read { .. } | Self::System(_) => None,
        }
    }

    /// Whether the package, and not this host, is what has to change.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Object(_) | Self::NoHook { .. } | Self::NoType { .. } | Self::Verifier { .. } => true,
            Self::Program { .. } | Self::Read { .. } | Self::System(_) => false,
        }
    }
}

/// Takes the object in, and makes its maps. Programs are loaded one by one.
pub(super) fn open(kernel: &Kernel, package: &Package, check_port: u16) -> Result<Ebpf, CustomError> {
    // The loader wants the object where a word of four bytes may lie, which any allocation of this size does.
    let object = package.object().to_vec();
    // What reads the object here is not made for objects of strangers: it has been looked at before, and whatever is left must not take the
    // other observations along.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut loader = EbpfLoader::new();
        loader.btf(Some(&kernel.btf));
        loader.override_global("check_port", &check_port, false);
        loader.load(&object)
    }));
    match opened {
        Ok(Ok(ebpf)) => Ok(ebpf),
        Ok(Err(error)) => Err(CustomError::Object(short(&chain(&error)))),
        Err(_) => Err(CustomError::Object("the loader broke on it".to_owned())),
    }
}

/// Takes a map out.
pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, CustomError> {
    ebpf.take_map(name).ok_or_else(|| CustomError::read(name, "it is not there"))
}

/// Loads every program, and puts each onto its hook: all, or none.
pub(super) fn attach(ebpf: &mut Ebpf, kernel: &Kernel, manifest: &Manifest) -> Result<(), CustomError> {
    for program in &manifest.programs {
        load(ebpf, kernel, program)?;
    }
    for program in &manifest.programs {
        put(ebpf, program)?;
    }
    Ok(())
}

/// Gives a program to the kernel, which looks at it.
pub(super) fn load(ebpf: &mut Ebpf, kernel: &Kernel, program: &ManifestProgram) -> Result<(), CustomError> {
    let loaded = match (program_of(ebpf, program)?, &program.attach) {
        (Program::BtfTracePoint(found), Attach::Typed(tracepoint)) => found.load(tracepoint, &kernel.btf),
        (Program::RawTracePoint(found), Attach::Plain(_)) => found.load(),
        (Program::TracePoint(found), Attach::Classic { .. }) => found.load(),
        (Program::PerfEvent(found), Attach::Clock) => found.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    loaded.map_err(|cause| failed(program, cause))
}

fn put(ebpf: &mut Ebpf, program: &ManifestProgram) -> Result<(), CustomError> {
    let put = match (program_of(ebpf, program)?, &program.attach) {
        (Program::BtfTracePoint(found), Attach::Typed(_)) => found.attach().map(|_| ()),
        (Program::RawTracePoint(found), Attach::Plain(tracepoint)) => found.attach(tracepoint).map(|_| ()),
        (Program::TracePoint(found), Attach::Classic { category, name }) => found.attach(category, name).map(|_| ()),
        (Program::PerfEvent(found), Attach::Clock) => {
            let cpus = online_cpus().map_err(|(_, source)| CustomError::System(source))?;
            let hz = u64::from(program.hz.unwrap_or(1));
            cpus.into_iter().try_for_each(|cpu| {
                let clock = PerfEventConfig::Software(SoftwareEvent::CpuClock);
                let scope = PerfEventScope::AllProcessesOneCpu { cpu };
                found.attach(clock, scope, SamplePolicy::Frequency(hz), false).map(|_| ())
            })
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    put.map_err(|cause| failed(program, cause))
}

fn program_of<'a>(ebpf: &'a mut Ebpf, program: &ManifestProgram) -> Result<&'a mut Program, CustomError> {
    let found = ebpf.program_mut(&program.name);
    found.ok_or_else(|| failed(program, ProgramError::NotLoaded))
}

fn failed(program: &ManifestProgram, cause: ProgramError) -> CustomError {
    let (name, attach) = (program.name.clone(), program.attach.clone());
    if let ProgramError::LoadError { io_error, verifier_log } = cause {
        let (program, log) = (name, end_of(&verifier_log.to_string()));
        if log.contains(POISON) {
            return CustomError::NoType { program, log };
        }
        return CustomError::Verifier { program, cause: io_error, log };
    }
    let unknown = matches!(cause, ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }));
    if unknown || says_not_there(&cause) {
        return CustomError::NoHook { program: name, attach };
    }
    CustomError::Program {
        program: name,
        attach,
        cause: Box::new(cause),
    }
}

/// Whether the kernel says that there is no such tracepoint.
fn says_not_there(error: &(dyn Error + 'static)) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if this.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return true;
        }
        cause = this.source();
    }
    false
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        text = format!("{text}: {cause}");
        beneath = cause.source();
    }
    text
}

/// As much of a log as is kept: it says last why.
fn end_of(log: &str) -> String {
    let from = log.char_indices().map(|(at, _)| at).find(|at| log.len() - at <= LOG_BYTES);
    from.and_then(|from| log.get(from..)).unwrap_or_default().to_owned()
}

/// The last lines of what the verifier says, where it says why.
fn short(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let says = |line: &&&str| !line.starts_with("processed ") && !line.starts_with("verification time");
    let mut last: Vec<&str> = lines.iter().rev().filter(says).take(LINES).copied().collect();
    last.reverse();
    let text = last.join(" | ");
    text.chars().take(CHARACTERS).collect()
}

/// What the loader makes of an instruction that uses what the kernel does not have: a call of this helper, which there is none of.
const POISON: &str = "195896080";
/// Most bytes of a verifier's log that are kept.
const LOG_BYTES: usize = 16 * 1024;
/// Lines of a verifier's log that are repeated in a report.
const LINES: usize = 4;
/// Most characters of them.
const CHARACTERS: usize = 600;
