//! What the programs count, and write into the ring.

use aya::Pod;
use shared_protocol::report::{Masked, Opener, Opening};

use crate::endpoint::command;
use crate::text::{plain, until_zero};

/// `struct opener` of `programs/files.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RawOpener {
    pub(super) pid: u32,
    pub(super) user: u32,
    pub(super) command: [u8; 16],
}

/// `struct opens` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawOpens {
    pub(super) opened: u64,
    pub(super) failed: u64,
}

/// `struct opening` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawOpening {
    pub(super) opener: RawOpener,
    pub(super) error: u32,
    pub(super) writes: u32,
    pub(super) file: [u8; 256],
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawOpener {}
// SAFETY: as above.
unsafe impl Pod for RawOpens {}
// SAFETY: as above.
unsafe impl Pod for RawOpening {}

impl RawOpener {
    /// As a report tells it.
    pub(super) fn told(&self, opens: &RawOpens, masked: &[Masked]) -> Opener {
        Opener {
            pid: self.pid,
            user: self.user,
            command: self.name(masked),
            opened: opens.opened,
            failed: opens.failed,
        }
    }

    fn name(&self, masked: &[Masked]) -> Option<String> {
        (!masked.contains(&Masked::Commands)).then(|| command(&self.command))
    }
}

impl RawOpening {
    /// As a report tells it.
    pub(super) fn told(&self, masked: &[Masked]) -> Opening {
        Opening {
            pid: self.opener.pid,
            user: self.opener.user,
            command: self.opener.name(masked),
            file: (!masked.contains(&Masked::Files)).then(|| plain(until_zero(&self.file))),
            writes: self.writes != 0,
            errno: (self.error > 0).then_some(self.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::message::message;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = crate::object::FILES.bytes;
        assert_same_layout!(object, "opener", RawOpener { pid, user, command });
        assert_same_layout!(object, "opens", RawOpens { opened, failed });
        assert_same_layout!(object, "opening", RawOpening { opener, error, writes, file });
    }

    #[test]
    fn what_is_hidden_is_not_told_and_what_is_printed_is_harmless() {
        let mut raw = RawOpening {
            opener: RawOpener {
                pid: 7,
                user: 0,
                command: [b'c'; 16],
            },
            error: 13,
            writes: 1,
            file: [0; 256],
        };
        raw.file[..6].copy_from_slice(b"/\x1b[\n\xff\0");
        let told = raw.told(&[]);
        assert_eq!((told.file.as_deref(), told.errno, told.writes), (Some("/[\u{fffd}"), Some(13), true));
        let hidden = raw.told(&[Masked::Files, Masked::Commands]);
        assert_eq!((hidden.file, hidden.command, hidden.pid), (None, None, 7));
    }

    #[test]
    fn a_message_of_another_length_is_none() {
        assert_eq!(message::<RawOpening>(&[0; 287]), None);
        assert_eq!(message::<RawOpening>(&[]), None);
    }
}
