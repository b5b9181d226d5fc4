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

/// What a function of whoever observes is given in place of a connection, so that programs on functions of programs are seen to run; zero where
/// there is no check.
pub(crate) fn check_mark(check_port: u16) -> u64 {
    if check_port == 0 { 0 } else { MARK | u64::from(check_port) }
}

/// Calls that function.
pub fn call_function(check_port: u16) {
    std::hint::black_box(is_called(check_mark(check_port)));
}

/// It does nothing but be called.
#[inline(never)]
extern "C" fn is_called(mark: u64) -> u64 {
    std::hint::black_box(mark)
}

/// Where in [`OWN_FILE`] that function begins.
pub(crate) fn own_function() -> Option<u64> {
    #[expect(clippy::as_conversions, reason = "the address of a function is a number to whoever looks for it in a file")]
    let address = u64::try_from(is_called as extern "C" fn(u64) -> u64 as usize).ok()?;
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let (from, to, offset) = (hexadecimal(from)?, hexadecimal(to)?, hexadecimal(words.nth(1)?)?);
        (from..to).contains(&address).then(|| address - from + offset)
    })
}

/// The program that whoever observes is.
pub(crate) const OWN_FILE: &str = "/proc/self/exe";
/// No connection is here: it is no address of a program.
const MARK: u64 = 0x7072_6f62_656f_0000;
/// `CHECK_BYTES` of `programs/process.h`.
const BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_that_is_called_lies_in_this_program() {
        let own = std::fs::read(OWN_FILE).unwrap();
        assert!(usize::try_from(own_function().unwrap()).unwrap() < own.len());
        assert_eq!((check_mark(0), check_mark(7)), (0, 0x7072_6f62_656f_0007));
    }

    #[test]
    fn every_check_fills_the_room_that_programs_have_for_it() {
        for port in [0, 7, u16::MAX] {
            assert_eq!(check_file(port).len(), BYTES - 1);
            assert_eq!(&CheckFile::new(port).0[..BYTES - 1], check_file(port).as_bytes());
        }
    }
}
