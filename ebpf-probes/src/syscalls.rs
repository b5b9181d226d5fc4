//! Calls of the kernel: one entry for each number.

use ::syscalls::Sysno;
use aya::Pod;
use aya::maps::{MapData, PerCpuArray};
use shared_protocol::report::{CallTotals, Calls, CallsSeen, Seen};

use crate::attach::Hook;
use crate::check::CheckFile;
use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;

/// Calls of the kernel being observed.
pub(crate) struct Syscalls {
    programs: Programs,
    calls: PerCpuArray<MapData, RawCall>,
    top: usize,
}

/// `struct call` of `programs/syscalls.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RawCall {
    count: u64,
    failed: u64,
    timed: u64,
    total_ns: u64,
    max_ns: u64,
}

// SAFETY: it is plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawCall {}

impl Syscalls {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        let check = CheckFile::new(ask.check_port);
        let only_pid = ask.pid.unwrap_or(0);
        let mut programs = Programs::open(object::SYSCALLS, kernel, &ask.check_port, |loader| {
            loader.override_global("only_pid", &only_pid, true);
            loader.override_global("check_file", &check, true);
        })?;
        let calls = programs.take("calls")?;
        programs.attach(kernel, &HOOKS)?;
        Ok(Self {
            calls: PerCpuArray::try_from(calls)?,
            programs,
            top: ask.top,
        })
    }

    /// All calls of a number.
    fn all(&self, number: u32) -> Result<RawCall, ObserveError> {
        let mut all = RawCall::default();
        for call in self.calls.get(&number, 0)?.iter() {
            all.count += call.count;
            all.failed += call.failed;
            all.timed += call.timed;
            all.total_ns += call.total_ns;
            all.max_ns = all.max_ns.max(call.max_ns);
        }
        Ok(all)
    }
}

impl Observer for Syscalls {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let mut totals = CallTotals::default();
        let mut calls = Vec::new();
        for number in 0..self.calls.len() {
            let all = self.all(number)?;
            if all.count > 0 {
                totals.calls += all.count;
                totals.failed += all.failed;
                calls.push((number, all));
            }
        }
        calls.sort_by_key(|(number, all)| (std::cmp::Reverse(all.count), *number));
        Ok(Seen::Syscalls(CallsSeen {
            totals,
            calls: calls.iter().take(self.top).map(|(number, all)| told(*number, all)).collect(),
        }))
    }
}

fn told(number: u32, all: &RawCall) -> Calls {
    Calls {
        name: name(number),
        count: all.count,
        failed: all.failed,
        total_us: all.total_ns / 1_000,
        avg_ns: all.total_ns.checked_div(all.timed),
        max_ns: (all.timed > 0).then_some(all.max_ns),
    }
}

/// The name that a number has on the processor for which this was built.
fn name(number: u32) -> String {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    known.map_or_else(|| number.to_string(), |known| known.name().to_owned())
}

pub(crate) const HOOKS: [Hook; 2] = [
    Hook {
        tracepoint: "sys_exit",
        typed: "call_ends",
        plain: "call_ends_plain",
        without: None,
    },
    Hook {
        tracepoint: "sys_enter",
        typed: "call_begins",
        plain: "call_begins_plain",
        without: Some("how long calls take"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        assert_same_layout!(
            object::SYSCALLS.bytes,
            "call",
            RawCall {
                count,
                failed,
                timed,
                total_ns,
                max_ns
            }
        );
    }

    #[test]
    fn a_call_has_a_name_or_its_number() {
        let number = |call: Sysno| u32::try_from(call.id()).unwrap();
        assert_eq!(
            (name(number(Sysno::openat)), name(number(Sysno::write))),
            ("openat".to_owned(), "write".to_owned())
        );
        assert_eq!(name(511), "511");
        let one = RawCall {
            count: 3,
            failed: 1,
            timed: 2,
            total_ns: 5_001,
            max_ns: 4_000,
        };
        let seen = told(511, &one);
        assert_eq!((seen.total_us, seen.avg_ns, seen.max_ns), (5, Some(2_500), Some(4_000)));
        let untimed = told(511, &RawCall { timed: 0, total_ns: 0, ..one });
        assert_eq!((untimed.count, untimed.avg_ns, untimed.max_ns), (3, None, None));
    }
}
