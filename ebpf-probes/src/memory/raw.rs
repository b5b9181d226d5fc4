//! What the programs count, and write into the ring.

use aya::Pod;
use shared_protocol::report::{Killed, Masked, MemoryUser};

use crate::endpoint::command;

/// `struct user` of `programs/memory.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RawUser {
    pid: u32,
    command: [u8; 16],
}

/// `struct pressure` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawPressure {
    pub(super) faults: u64,
    pub(super) write_faults: u64,
    pub(super) reclaims: u64,
    pub(super) reclaimed: u64,
    pub(super) total_ns: u64,
    pub(super) max_ns: u64,
}

/// `struct victim` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawVictim {
    at_ns: u64,
    pid: u32,
    command: [u8; 16],
    unused: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawUser {}
// SAFETY: as above.
unsafe impl Pod for RawPressure {}
// SAFETY: as above.
unsafe impl Pod for RawVictim {}

impl RawUser {
    /// As a report tells it.
    pub(super) fn told(&self, pressure: &RawPressure, masked: &[Masked]) -> MemoryUser {
        MemoryUser {
            pid: self.pid,
            command: named(&self.command, masked),
            faults: pressure.faults,
            write_faults: pressure.write_faults,
            reclaims: pressure.reclaims,
            reclaimed_pages: pressure.reclaimed,
            reclaim_us: pressure.total_ns / 1_000,
            reclaim_max_us: pressure.max_ns / 1_000,
        }
    }
}

impl RawVictim {
    /// As a report tells it. Kernels before 6.8 do not say its name.
    pub(super) fn told(&self, masked: &[Masked]) -> Killed {
        Killed {
            pid: self.pid,
            command: named(&self.command, masked).filter(|name| !name.is_empty()),
        }
    }
}

fn named(bytes: &[u8; 16], masked: &[Masked]) -> Option<String> {
    (!masked.contains(&Masked::Commands)).then(|| command(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::message::message;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = crate::object::MEMORY.bytes;
        assert_same_layout!(object, "user", RawUser { pid, command });
        assert_same_layout!(
            object,
            "pressure",
            RawPressure {
                faults,
                write_faults,
                reclaims,
                reclaimed,
                total_ns,
                max_ns
            }
        );
        assert_same_layout!(object, "victim", RawVictim { at_ns, pid, command, unused });
    }

    #[test]
    fn who_was_killed_has_a_name_where_the_kernel_says_it_and_the_owner_lets_it_be_told() {
        let victim = |name: &[u8; 4]| {
            let mut command = [0; 16];
            command[..4].copy_from_slice(name);
            RawVictim {
                at_ns: 1,
                pid: 7,
                command,
                unused: 0,
            }
        };
        assert_eq!(victim(b"java").told(&[]).command.as_deref(), Some("java"));
        assert_eq!(victim(b"java").told(&[Masked::Commands]).command, None);
        assert_eq!(victim(&[0; 4]).told(&[]).command, None);
        assert_eq!(message::<RawVictim>(&[0; 31]), None);
    }
}
