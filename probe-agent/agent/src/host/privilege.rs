//! Privilege ends where work begins: once the sockets are open, every capability is given up for good.
//!
//! Called while the process has one thread, so that every later one inherits nothing. A capability that is gone from the permitted set
//! comes back by executing a file only, and that is ruled out as well.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Gives up every capability of this thread and of those it will start.
///
/// # Errors
/// Where the kernel, or a filter before it, does not let go of them, or some are left.
pub fn give_up() -> io::Result<()> {
    keep(CapabilitySet::empty(), CapabilitySet::empty())
}

/// Into what an observer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The kernel.
    Kernel,
    /// Functions of programs as well.
    Functions,
}

/// Gives up every capability but the two that it takes to load programs into the kernel and to read with them, as far as there are these. For
/// functions of programs three more are held, which are not in use until programs are put there.
///
/// # Errors
/// As [`give_up`].
pub fn keep_observing(reach: Reach) -> io::Result<()> {
    let held = match reach {
        Reach::Kernel => CapabilitySet::empty(),
        Reach::Functions => CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH,
    };
    keep(CapabilitySet::BPF | CapabilitySet::PERFMON, held)
}

fn keep(used: CapabilitySet, held: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    let had = capabilities(None)?;
    if had.effective.contains(CapabilitySet::SETPCAP) {
        empty_bounding_set()?;
    }
    clear_ambient_capability_set()?;
    let left = CapabilitySets {
        effective: had.permitted & used,
        permitted: had.permitted & (used | held),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, left)?;
    if capabilities(None)? == left {
        return Ok(());
    }
    Err(io::Error::other("some capabilities are left"))
}

/// Takes away what executing a file could give. Without the right to do so it stays as the service manager has set it: nothing is
/// executed, and no file gives anything any more.
fn empty_bounding_set() -> io::Result<()> {
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // Beyond the last one that this kernel knows.
            Err(rustix::io::Errno::INVAL) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_and_nothing_comes_back() {
        // On a thread of its own: the others of the test's process keep what they have.
        let left = std::thread::spawn(|| {
            give_up().unwrap();
            give_up().unwrap();
            let again = CapabilitySets {
                effective: CapabilitySet::NET_RAW,
                permitted: CapabilitySet::NET_RAW,
                inheritable: CapabilitySet::empty(),
            };
            assert!(set_capabilities(None, again).is_err());
            std::fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        let left = left.join().unwrap();
        let value = |name: &str| left.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(value(set), "0000000000000000", "{set}");
        }
        assert_eq!(value("NoNewPrivs:"), "1");
    }
}
