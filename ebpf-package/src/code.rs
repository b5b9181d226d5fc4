//! What programs do, instruction by instruction: which helpers they call, and what they refer to.
//!
//! Whether a program ends and stays within its memory is for the kernel's verifier to say; this is about what it may do at all.

use crate::elf::{Function, INSTRUCTION, Referred};
use crate::helper::{self, Use};
use crate::refusal::Refusal;

/// Looks at every instruction of a function.
pub(crate) fn check(function: &Function<'_>, license: &str) -> Result<(), Refusal> {
    let mut instructions = function.code.chunks_exact(8);
    let mut at = 0;
    while let Some(&[code, registers, _, _, a, b, c, d]) = instructions.next() {
        let immediate = i32::from_le_bytes([a, b, c, d]);
        let source = registers >> 4;
        let referred = function.refers.get(&at);
        at += INSTRUCTION;
        match code {
            WIDE_CONSTANT => {
                if source != 0 {
                    return Err(refused(function, "it names a map or variable by the number that somebody else's would have"));
                }
                if matches!(referred, Some(Referred::Function)) {
                    return Err(refused(function, "it takes the address of a function"));
                }
                // The second half of a constant is no instruction of its own.
                let second = instructions.next();
                if second.is_none_or(|second| second.first() != Some(&0)) || function.refers.contains_key(&at) {
                    return Err(refused(function, "a constant is cut off"));
                }
                at += INSTRUCTION;
            }
            CALL => call(function, license, (source, immediate), referred)?,
            CALL_BY_REGISTER => return Err(refused(function, "it calls what a register says")),
            _ if referred.is_some() => return Err(refused(function, "an instruction that refers to nothing has something to refer to")),
            _ => {}
        }
        if let Some(Referred::Elsewhere(name)) = referred {
            return Err(refused(function, &format!("it refers to {name:?}, which the object does not have")));
        }
    }
    Ok(())
}

fn call(function: &Function<'_>, license: &str, (source, immediate): (u8, i32), referred: Option<&Referred>) -> Result<(), Refusal> {
    let program = || function.name.clone();
    match (source, referred) {
        (OF_KERNEL, _) | (_, Some(Referred::Elsewhere(_))) => Err(Refusal::KernelFunction { program: program() }),
        (OF_OBJECT, None | Some(Referred::Function)) => Ok(()),
        (HELPER, None) => match helper::helper(immediate) {
            (_, Use::Allowed) => Ok(()),
            (_, Use::UnderGpl) if helper::is_gpl(license) => Ok(()),
            (helper, Use::UnderGpl) => Err(Refusal::LicenseNotGpl {
                program: program(),
                helper,
                license: license.to_owned(),
            }),
            (helper, Use::Forbidden) => Err(Refusal::Helper {
                program: program(),
                helper,
                id: immediate,
            }),
        },
        _ => Err(refused(function, "it calls something that is neither a helper nor a function of the object")),
    }
}

fn refused(function: &Function<'_>, why: &str) -> Refusal {
    Refusal::code(&function.name, why)
}

/// Operations by their codes (Documentation/bpf/standardization/instruction-set.rst): a constant of 64 bits, in two instructions.
const WIDE_CONSTANT: u8 = 0x18;
const CALL: u8 = 0x85;
const CALL_BY_REGISTER: u8 = 0x8d;
/// What is called, by the source register of a call.
const HELPER: u8 = 0;
const OF_OBJECT: u8 = 1;
const OF_KERNEL: u8 = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn looked_at(code: &[[u8; 8]], refers: &[(u64, Referred)], license: &str) -> Result<(), Refusal> {
        let code = code.concat();
        check(
            &Function {
                name: "it".to_owned(),
                attach: None,
                code: &code,
                refers: refers.iter().cloned().collect::<BTreeMap<_, _>>(),
            },
            license,
        )
    }

    const fn called(source: u8, number: u8) -> [u8; 8] {
        [CALL, source << 4, 0, 0, number, 0, 0, 0]
    }

    #[test]
    fn what_writes_signals_overrides_or_calls_on_is_refused_by_its_name() {
        for (number, name) in [
            (36, "probe_write_user"),
            (12, "tail_call"),
            (58, "override_return"),
            (109, "send_signal"),
            (6, "trace_printk"),
        ] {
            let refused = looked_at(&[called(HELPER, number)], &[], "GPL").unwrap_err();
            assert!(matches!(&refused, Refusal::Helper { helper, .. } if *helper == name), "{refused}");
            assert!(refused.to_string().contains(&format!("bpf_{name} (helper {number})")), "{refused}");
        }
        assert_eq!(looked_at(&[called(HELPER, 1)], &[], "none"), Ok(()));
    }

    #[test]
    fn a_helper_under_the_gpl_needs_a_license_that_is() {
        let call = [called(HELPER, 113)];
        for license in ["GPL", "Dual BSD/GPL", "GPL v2"] {
            assert_eq!(looked_at(&call, &[], license), Ok(()));
        }
        for license in ["MIT", "gpl", "GPL ", "Proprietary"] {
            let refused = looked_at(&call, &[], license).unwrap_err();
            assert!(
                matches!(
                    refused,
                    Refusal::LicenseNotGpl {
                        helper: "probe_read_kernel",
                        ..
                    }
                ),
                "{refused}"
            );
        }
    }

    #[test]
    fn functions_of_the_kernel_and_numbers_of_somebody_elses_maps_are_refused() {
        let unknown = Referred::Elsewhere("bpf_task_from_pid".to_owned());
        assert!(matches!(looked_at(&[called(2, 7)], &[], "GPL"), Err(Refusal::KernelFunction { .. })));
        assert!(matches!(
            looked_at(&[called(1, 7)], &[(0, unknown.clone())], "GPL"),
            Err(Refusal::KernelFunction { .. })
        ));
        let constant = |source: u8| [[WIDE_CONSTANT, source << 4, 0, 0, 5, 0, 0, 0], [0; 8]];
        assert_eq!(looked_at(&constant(0), &[], "GPL"), Ok(()));
        assert_eq!(looked_at(&constant(0), &[(0, Referred::Data)], "GPL"), Ok(()));
        for source in 1..16 {
            assert!(matches!(looked_at(&constant(source), &[], "GPL"), Err(Refusal::Code { .. })), "{source}");
        }
        assert!(matches!(looked_at(&constant(0), &[(0, unknown)], "GPL"), Err(Refusal::Code { .. })));
        assert!(matches!(looked_at(&constant(0)[..1], &[], "GPL"), Err(Refusal::Code { .. })));
        assert!(matches!(
            looked_at(&[[CALL_BY_REGISTER, 0, 0, 0, 0, 0, 0, 0]], &[], "GPL"),
            Err(Refusal::Code { .. })
        ));
    }
}
