//! The kernel's own count of what programs cost, for those that do not count it themselves: packages of somebody's own. It counts while somebody
//! holds it open, or where the host is told to.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use aya::sys::{Stats, SyscallError, enable_stats};

/// The kernel counts what every program costs, also other people's, as long as this lives: each run then takes some tens of nanoseconds longer.
#[derive(Debug)]
pub struct Accounting {
    #[expect(dead_code, reason = "what it is there for is to be open")]
    open: OwnedFd,
}

impl Accounting {
    /// Lets the kernel count.
    ///
    /// # Errors
    /// Where this process may not (it takes `CAP_SYS_ADMIN`): then it is counted only if the host does so for everybody (`kernel.bpf_stats_enabled`).
    pub fn begin() -> Result<Self, SyscallError> {
        let open = enable_stats(Stats::RunTime)?;
        HELD.fetch_add(1, Ordering::Relaxed);
        Ok(Self { open })
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the kernel counts: this process lets it, or the host does.
pub(crate) fn is_on() -> bool {
    HELD.load(Ordering::Relaxed) > 0 || std::fs::read_to_string(SETTING).is_ok_and(|text| text.trim() == "1")
}

static HELD: AtomicUsize = AtomicUsize::new(0);
const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";
