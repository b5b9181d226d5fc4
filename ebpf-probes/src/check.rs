//! What whoever observes does for programs to see that see no connections.

use aya::Pod;

/// The name that a program is given, or a file that is looked for, so that it is seen. It is in no number.
pub fn check_name(check_port: u16) -> String {
    format!("probeops-check-{check_port:07}")
}

/// The file of that name, as programs have it; nothing where there is no check.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckFile([u8; BYTES]);

// SAFETY: it is bytes; every pattern of bits is a value.
unsafe impl Pod for CheckFile {}

impl CheckFile {
    pub(crate) fn new(check_port: u16) -> Self {
        let mut file = [0; BYTES];
        let path = check_file(check_port);
        // The last byte stays zero, as that of any path.
        for (to, from) in file.iter_mut().zip(path.bytes().take(BYTES - 1)) {
            *to = from;
        }
        Self(file)
    }
}

/// The file that is looked for, which is not there.
pub fn check_file(check_port: u16) -> String {
    format!("/{}", check_name(check_port))
}

/// `CHECK_BYTES` of `programs/process.h`.
const BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_fills_the_room_that_programs_have_for_it() {
        for port in [0, 7, u16::MAX] {
            assert_eq!(check_file(port).len(), BYTES - 1);
            assert_eq!(&CheckFile::new(port).0[..BYTES - 1], check_file(port).as_bytes());
        }
    }
}
