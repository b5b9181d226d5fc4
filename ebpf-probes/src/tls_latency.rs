//! What OpenSSL takes for handshakes, reads and writes: one entry for each command and kind, with a histogram.

use std::cmp::Reverse;

use aya::Pod;
use aya::maps::{HashMap, MapData};
use shared_protocol::report::{Masked, Seen, TlsCalls, TlsKind, TlsSeen, TlsTotals};

pub(crate) mod functions;
mod library;
mod rights;

use functions::HOOKS;

use crate::check::check_mark;
use crate::endpoint::command;
use crate::entries::entries;
use crate::error::ObserveError;
use crate::kernel::{Kernel, release};
use crate::object;
use crate::observing::{Ask, Observer};
use crate::programs::Programs;
use crate::slots::{self, SLOTS};

/// OpenSSL being observed.
pub(crate) struct TlsLatency {
    programs: Programs,
    users: HashMap<MapData, RawUser, RawSpent>,
    libraries: Vec<String>,
    masked: Vec<Masked>,
    top: usize,
}

/// `struct user` of `programs/tls_latency.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RawUser {
    command: [u8; 16],
    kind: u32,
}

/// `struct spent` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct RawSpent {
    count: u64,
    failed: u64,
    total_ns: u64,
    max_ns: u64,
    pid: u32,
    slots: [u32; SLOTS],
    unused: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawUser {}
// SAFETY: as above.
unsafe impl Pod for RawSpent {}

impl TlsLatency {
    pub(crate) fn start(kernel: &Kernel, ask: &Ask<'_>) -> Result<Self, ObserveError> {
        if cfg!(target_arch = "x86_64") && is_harmful(&release()) {
            return Err(ObserveError::HarmfulKernel);
        }
        let (only_pid, mark) = (ask.pid.unwrap_or(0), check_mark(ask.check_port));
        let mut programs = Programs::open(object::TLS_LATENCY, kernel, &ask.check_port, |loader| {
            loader.override_global("only_pid", &only_pid, true);
            loader.override_global("check_mark", &mark, true);
        })?;
        let users = programs.take("users")?;
        let (attachment, libraries) = functions::attach(&mut programs.ebpf, ask.libraries)?;
        programs.attached(attachment, &HOOKS, TRAP_NS);
        Ok(Self {
            programs,
            users: HashMap::try_from(users)?,
            libraries,
            masked: ask.masked.to_vec(),
            top: ask.top,
        })
    }
}

impl Observer for TlsLatency {
    fn programs(&self) -> &Programs {
        &self.programs
    }

    fn programs_mut(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn seen(&mut self) -> Result<Seen, ObserveError> {
        let mut users = entries(self.users.iter(), ENTRIES)?;
        let mut totals = TlsTotals::default();
        let mut shaken = Shaken::default();
        for (user, spent) in &users {
            match kind(user.kind) {
                TlsKind::Handshake => {
                    totals.handshakes += spent.count;
                    totals.handshakes_failed += spent.failed;
                    shaken.add(spent);
                }
                TlsKind::Read => {
                    totals.reads += spent.count;
                    totals.reads_failed += spent.failed;
                }
                TlsKind::Write => {
                    totals.writes += spent.count;
                    totals.writes_failed += spent.failed;
                }
            }
        }
        users.sort_by_key(|(user, spent)| (user.kind, Reverse(spent.total_ns), *user));
        Ok(Seen::TlsLatency(TlsSeen {
            totals,
            handshakes: slots::told(&shaken.slots, shaken.total_ns, shaken.max_ns),
            calls: users.iter().take(self.top).map(|(user, spent)| told(user, spent, &self.masked)).collect(),
            libraries: self.libraries.clone(),
        }))
    }
}

/// All handshakes together.
#[derive(Debug, Default)]
struct Shaken {
    slots: [u64; SLOTS],
    total_ns: u64,
    max_ns: u64,
}

impl Shaken {
    fn add(&mut self, spent: &RawSpent) {
        for (all, one) in self.slots.iter_mut().zip(spent.slots) {
            *all += u64::from(one);
        }
        self.total_ns += spent.total_ns;
        self.max_ns = self.max_ns.max(spent.max_ns);
    }
}

fn told(user: &RawUser, spent: &RawSpent, masked: &[Masked]) -> TlsCalls {
    TlsCalls {
        command: (!masked.contains(&Masked::Commands)).then(|| command(&user.command)),
        pid: spent.pid,
        kind: kind(user.kind),
        count: spent.count,
        failed: spent.failed,
        latencies: slots::told(&spent.slots.map(u64::from), spent.total_ns, spent.max_ns),
    }
}

/// `enum kind` of the programs.
const fn kind(number: u32) -> TlsKind {
    match number {
        0 => TlsKind::Handshake,
        1 => TlsKind::Read,
        _ => TlsKind::Write,
    }
}

/// Whether a kernel ends programs under a filter of system calls when a function of theirs that is looked at returns: since 6.11 that takes a
/// call of its own on x86-64, which filters did not know of before 6.14 and what was mended with it.
fn is_harmful(release: &str) -> bool {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    let (major, minor, patch) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match (major, minor) {
        (6, 11 | 13) => true,
        (6, 12) => patch < MENDED_IN_6_12,
        _ => false,
    }
}

/// From this one on 6.12 has been mended for certain.
const MENDED_IN_6_12: u32 = 20;
/// What it takes a program to get to where it is looked at, beside what the kernel counts: an interrupt, one step, and the way back.
const TRAP_NS: u64 = 5_000;
/// Entries of the map `users`.
const ENTRIES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = object::TLS_LATENCY.bytes;
        assert_same_layout!(object, "user", RawUser { command, kind });
        assert_same_layout!(
            object,
            "spent",
            RawSpent {
                count,
                failed,
                total_ns,
                max_ns,
                pid,
                slots,
                unused
            }
        );
    }

    #[test]
    fn a_kernel_that_ends_what_is_looked_at_is_known() {
        for (release, harmful) in [
            ("6.10.14-amd64", false),
            ("6.11.0", true),
            ("6.12.5+deb13-cloud-amd64", true),
            ("6.12.43+deb13-cloud-amd64", false),
            ("6.13.2-arch1-1", true),
            ("6.14.0-rc1", false),
            ("6.18.44-fc", false),
            ("5.10.0-30-amd64", false),
            ("", false),
        ] {
            assert_eq!(is_harmful(release), harmful, "{release}");
        }
    }
}
