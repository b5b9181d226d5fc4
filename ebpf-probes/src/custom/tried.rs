//! A package tried out: given to the kernel, which says of each program what it thinks of it, and never put onto a hook.

use ebpf_package::{Attach, Package};

use super::load::{self, CustomError};
use super::{info, open};
use crate::error::ObserveError;
use crate::kernel::Kernel;

/// What the kernel thinks of a package.
#[derive(Debug)]
pub struct Tried {
    /// Each program, in the manifest's order.
    pub programs: Vec<TriedProgram>,
    /// Bytes of its maps on this host.
    pub memory_bytes: u64,
}

/// What the kernel thinks of a program.
#[derive(Debug)]
pub struct TriedProgram {
    /// Its name.
    pub name: String,
    /// The hook it would be put onto.
    pub attach: Attach,
    /// How many instructions the verifier went through, where the kernel says so, or why it does not take it.
    pub verdict: Result<Option<u32>, CustomError>,
}

impl Tried {
    /// Whether the kernel takes all of it.
    pub fn is_taken(&self) -> bool {
        self.programs.iter().all(|program| program.verdict.is_ok())
    }
}

/// Tries a package out.
///
/// # Errors
/// [`ObserveError`] where it is not acceptable before the kernel is asked, or its maps cannot be made.
pub fn try_out(kernel: &Kernel, package: &Package) -> Result<Tried, ObserveError> {
    let (checked, mut ebpf) = open(kernel, package, 0)?;
    let mut programs = Vec::new();
    for program in &checked.manifest.programs {
        let verdict = load::load(&mut ebpf, kernel, program).map(|()| {
            let info = ebpf.program(&program.name).and_then(|found| info(found).ok());
            info.and_then(|info| info.verified_instruction_count())
        });
        programs.push(TriedProgram {
            name: program.name.clone(),
            attach: program.attach.clone(),
            verdict,
        });
    }
    let cpus = aya::util::nr_cpus().map_or(1, |cpus| u32::try_from(cpus).unwrap_or(u32::MAX));
    Ok(Tried {
        programs,
        memory_bytes: checked.memory_bytes(cpus),
    })
}
