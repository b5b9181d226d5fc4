//! What the programs write into the ring.

use aya::Pod;
use shared_protocol::report::{Execution, Masked};

use crate::endpoint::command;
use crate::text::{plain, until_zero};

/// `struct execution` of `programs/exec.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawExecution {
    pub(super) began_ns: u64,
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) user: u32,
    pub(super) length: u32,
    pub(super) error: u32,
    pub(super) unused: u32,
    pub(super) command: [u8; 16],
    pub(super) file: [u8; 128],
    pub(super) arguments: [u8; 256],
}

/// `struct ending` of the same.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawEnding {
    pub(super) ended_ns: u64,
    pub(super) pid: u32,
    pub(super) status: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawExecution {}
// SAFETY: as above.
unsafe impl Pod for RawEnding {}

impl RawExecution {
    /// What it calls itself, and what it was given.
    pub(super) fn given(&self) -> &[u8] {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        self.arguments.get(..length).unwrap_or_default()
    }

    /// As a report tells it; how it ends is not known yet.
    pub(super) fn told(&self, masked: &[Masked]) -> Execution {
        let named = !masked.contains(&Masked::Commands);
        Execution {
            pid: self.pid,
            parent: self.parent,
            user: self.user,
            command: named.then(|| command(&self.command)),
            file: named.then(|| plain(until_zero(&self.file))),
            arguments: (named && self.error == 0 && !masked.contains(&Masked::Arguments)).then(|| self.arguments()),
            ran_us: None,
            exit_code: None,
            signal: None,
            errno: (self.error > 0).then_some(self.error),
        }
    }

    fn arguments(&self) -> String {
        let given = self.given();
        let cut = if given.len() == self.arguments.len() { CUT } else { "" };
        let given = given.strip_suffix(&[0]).unwrap_or(given);
        let words: Vec<String> = given.split(|byte| *byte == 0).map(plain).collect();
        words.join(" ") + cut
    }
}

impl RawEnding {
    /// The signal that ended it, where one did.
    pub(super) fn signal(self) -> Option<u32> {
        let signal = self.status & 0x7f;
        (signal > 0).then_some(signal)
    }

    /// With what it ended by itself.
    pub(super) fn exit_code(self) -> Option<u32> {
        self.signal().is_none().then_some(self.status >> 8 & 0xff)
    }
}

/// At the end of what is longer than is told.
const CUT: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::message::message;

    #[test]
    fn they_lie_in_memory_as_the_programs_have_them() {
        let object = crate::object::EXEC.bytes;
        assert_same_layout!(
            object,
            "execution",
            RawExecution {
                began_ns,
                pid,
                parent,
                user,
                length,
                error,
                unused,
                command,
                file,
                arguments
            }
        );
        assert_same_layout!(object, "ending", RawEnding { ended_ns, pid, status });
    }

    #[test]
    fn what_is_printed_is_harmless_and_says_where_it_was_cut() {
        let mut raw = RawExecution {
            began_ns: 1,
            pid: 2,
            parent: 3,
            user: 4,
            length: 9,
            error: 0,
            unused: 0,
            command: [0; 16],
            file: [0; 128],
            arguments: [b'x'; 256],
        };
        raw.arguments[..9].copy_from_slice(b"ls\0\x1b[1m\xff\0");
        raw.file[..3].copy_from_slice(b"/\nl");
        let told = raw.told(&[]);
        assert_eq!(
            (told.arguments.as_deref(), told.file.as_deref(), told.command.as_deref()),
            (Some("ls [1m\u{fffd}"), Some("/l"), Some(""))
        );
        raw.length = 256;
        assert!(raw.told(&[]).arguments.unwrap().ends_with("xx…"));
        raw.length = 257;
        assert_eq!(raw.told(&[]).arguments.as_deref(), Some(""));
        raw.error = 2;
        assert_eq!((raw.told(&[]).errno, raw.told(&[]).arguments), (Some(2), None));
        raw.error = 0;
        let hidden = raw.told(&[Masked::Arguments]);
        assert_eq!((hidden.arguments, hidden.file.is_some()), (None, true));
        let nameless = raw.told(&[Masked::Commands]);
        assert_eq!((nameless.command, nameless.file, nameless.arguments, nameless.pid), (None, None, None, 2));
    }

    #[test]
    fn a_program_ends_by_itself_or_by_a_signal() {
        let ending = |status| RawEnding { ended_ns: 0, pid: 1, status };
        assert_eq!((ending(0x300).exit_code(), ending(0x300).signal()), (Some(3), None));
        // With a core dump.
        assert_eq!((ending(0x8b).exit_code(), ending(0x8b).signal()), (None, Some(11)));
    }

    #[test]
    fn a_message_of_another_length_is_none() {
        assert_eq!(message::<RawExecution>(&[0; 16]), None);
        assert_eq!(message::<RawEnding>(&[0; 17]), None);
        assert_eq!(message::<RawEnding>(&[]), None);
    }
}
