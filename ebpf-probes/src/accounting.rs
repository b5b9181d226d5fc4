//! What programs cost, as the kernel counts it while somebody holds the count open.

use std::os::fd::OwnedFd;

use aya::sys::{Stats, SyscallError, enable_stats};

/// The kernel counts what every program costs as long as this lives.
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
        Ok(Self {
            open: enable_stats(Stats::RunTime)?,
        })
    }
}
