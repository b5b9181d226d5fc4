//! A package that is only tried out: what the kernel thinks of it, as it is told to whoever asked from afar.

use ebpf_package::Package;
use ebpf_probes::{CustomError, Kernel, ObserveError, TriedProgram};
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::report::{CustomSeen, ObserveFindings, PackageTried, ProgramTried, Seen, SelfCheck};

use super::Observer;

/// Gives it to the kernel and takes it back.
pub(super) fn try_out(observer: &Observer, package: &Package) -> Result<ObserveFindings, ObserveError> {
    let kernel = Kernel::read(observer.settings.btf.as_deref())?;
    let tried = ebpf_probes::try_out(&kernel, package)?;
    let manifest = package.check().map_err(CustomError::from)?.manifest;
    Ok(ObserveFindings {
        level: if tried.is_taken() {
            CapabilityLevel::Full
        } else {
            CapabilityLevel::Unavailable
        },
        missing: Vec::new(),
        // Nothing ran.
        self_check: SelfCheck::Unknown,
        observed_us: 0,
        windows: 0,
        lost: 0,
        masked: Vec::new(),
        cost: None,
        over_budget: None,
        tried: Some(PackageTried {
            memory_bytes: tried.memory_bytes,
            programs: tried.programs.iter().map(told).collect(),
        }),
        seen: Seen::Custom(CustomSeen {
            package: manifest.name,
            version: manifest.version,
            sha256: package.digest(),
            maps: Vec::new(),
            events: Vec::new(),
        }),
    })
}

fn told(program: &TriedProgram) -> ProgramTried {
    let refused = program.verdict.as_ref().err();
    ProgramTried {
        name: program.name.clone(),
        attach: program.attach.to_string(),
        instructions: program.verdict.as_ref().ok().copied().flatten(),
        refused: refused.map(ToString::to_string),
        log: refused.and_then(|error| error.log()).map(end_of),
    }
}

/// What is told of a log from afar: the verifier says last why.
fn end_of(log: &str) -> String {
    let from = log.char_indices().map(|(at, _)| at).find(|at| log.len() - at <= LOG_BYTES);
    from.and_then(|from| log.get(from..)).unwrap_or_default().to_owned()
}

/// Most bytes of a program's log; there are at most sixteen programs, which a report has room for.
const LOG_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_told_from_its_end_and_no_character_is_cut() {
        assert_eq!(end_of("short"), "short");
        let long = "ä".repeat(LOG_BYTES) + "!";
        let end = end_of(&long);
        assert!(end.len() <= LOG_BYTES && end.ends_with("ä!"));
    }
}
