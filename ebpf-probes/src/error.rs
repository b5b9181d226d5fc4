//! Why something cannot be observed, and what would mend that.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::custom::CustomError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::{BtfError, EbpfError};
use rustix::thread::{CapabilitySet, capabilities};

/// Why something cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The kernel does not describe its types.
    #[error("the kernel's description of its types (BTF) cannot be read from {}: {}", path.display(), chain(source))]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        source: BtfError,
    },
    /// The object cannot be loaded.
    #[error("the programs of {object} cannot be loaded: {}", chain(source))]
    Load {
        /// The object.
        object: &'static str,
        /// What the loader or the kernel said.
        source: Box<EbpfError>,
    },
    /// A program that the observation cannot do without is not accepted, or its hook is not there.
    #[error("the program {program} is not accepted by this kernel: {}", chain(source))]
    Program {
        /// The program.
        program: &'static str,
        /// What the loader or the kernel said.
        source: Box<ProgramError>,
    },
    /// A program that goes through things of the kernel came to no end.
    #[error("the program {program} came to no end: {}", chain(source))]
    Walk {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No program can be put onto a function of programs.
    #[error("the kernel lets the observer put nothing onto functions of programs: {}", chain(source))]
    Function {
        /// What the loader or the kernel said.
        source: Box<ProgramError>,
    },
    /// There is no file with the functions that are to be looked at.
    #[error("no OpenSSL was found: no program and none of the usual folders has a libssl{}", if why.is_empty() { String::new() } else { format!(" ({why})") })]
    NoLibrary {
        /// What could not be looked at.
        why: String,
    },
    /// Programs that are looked at might be ended for it.
    #[error("this kernel ends programs under a filter of system calls when their functions are looked at (Linux 6.11 to 6.13 on x86-64)")]
    HarmfulKernel,
    /// The object lacks something that this crate expects in it.
    #[error("the object {object} has no {what}")]
    Missing {
        /// The object.
        object: &'static str,
        /// What.
        what: &'static str,
    },
    /// What the programs count cannot be read.
    #[error("what the programs count cannot be read: {}", chain(.0))]
    Read(#[from] MapError),
    /// A package of somebody's own cannot be run.
    #[error(transparent)]
    Custom(#[from] CustomError),
    /// A package would run without anybody knowing what it costs.
    #[error("the kernel does not count here what a package costs its host, so nobody could keep the owner's budget")]
    NotCounted,
    /// An observation was asked for that is none without a package.
    #[error("a package has to be given: this observation is none without one")]
    NoPackage,
}

impl ObserveError {
    /// What would mend it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoBtf { .. } => "a kernel built with CONFIG_DEBUG_INFO_BTF, or its BTF in a file named by `observe.btf` of the owner's configuration",
            Self::Load { .. } | Self::Program { .. } | Self::Walk { .. } | Self::Missing { .. } | Self::Read(_) | Self::Custom(_) if self.is_permission() => {
                "give the observer CAP_BPF and CAP_PERFMON, as its unit does; under lockdown the kernel lets nobody observe"
            }
            Self::Load { .. } | Self::Program { .. } => "a kernel of version 5.8 or later that has this hook",
            Self::Function { .. } => {
                "name `tls_latency` in `observe.allow`, let the observer's unit have CAP_SYS_ADMIN by the drop-in probe-agent-observe-functions.conf, and start it again"
            }
            Self::NoLibrary { .. } => {
                "start what uses it and then the observer again, or name its file in `observe.tls_libraries` of the owner's configuration"
            }
            Self::HarmfulKernel => "another kernel: 6.10 or earlier, 6.12.20 or later in that series, 6.14 or later",
            Self::Missing { .. } => "a build of this program whose objects match it",
            Self::Custom(error) => error.remedy(),
            Self::NotCounted => "let root switch the count on (`sysctl kernel.bpf_stats_enabled=1`), as the drop-in probe-agent-observe-packages.conf does",
            Self::NoPackage | Self::Walk { .. } | Self::Read(_) => "the observer's log says more",
        }
    }

    /// Whether it is a package, and not this host, that has to change.
    pub fn is_refused_package(&self) -> bool {
        matches!(self, Self::Custom(error) if error.is_refusal()) && !self.is_permission()
    }

    /// Whether the kernel refused for want of a right. It does not always say so: without one of the two, maps are invalid arguments to it.
    fn is_permission(&self) -> bool {
        lacks_rights() || self.says_permission()
    }

    fn says_permission(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        let sources = std::iter::from_fn(|| {
            let this = cause?;
            cause = this.source();
            Some(this)
        });
        sources
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Whether whoever asks lacks one of the rights that every program needs.
fn lacks_rights() -> bool {
    let needed = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let everything = CapabilitySet::SYS_ADMIN;
    capabilities(None).is_ok_and(|own| !own.effective.contains(needed) && !own.effective.contains(everything))
}

/// An error with what lies beneath it, in one line: of a verifier's log the last lines, where it says why, without what it counts at its end.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        let _infallible = write!(text, ": {cause}");
        beneath = cause.source();
    }
    let says = |line: &&str| !line.is_empty() && !COUNTED.iter().any(|counted| line.starts_with(counted));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(says).collect();
    let (first, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let last = rest.iter().skip(rest.len().saturating_sub(LINES_KEPT)).copied();
    std::iter::once(first).chain(last).collect::<Vec<_>>().join(" | ")
}

/// Beginnings of lines in which a verifier says how much it had to do.
const COUNTED: [&str; 3] = ["processed ", "stack depth ", "verification time "];
/// Lines of a verifier's log that are repeated.
const LINES_KEPT: usize = 3;
