//! What a process of the stand costs.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The resident set of a process, KiB, as the kernel counts it.
///
/// # Errors
/// When there is no such process.
pub fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("read the status of process {pid}"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no resident set in the status")?;
    line.trim().trim_end_matches("kB").trim().parse().context("read the resident set")
}

/// Processor time that a process has used, user and kernel.
///
/// # Errors
/// When there is no such process.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?)).with_context(|| format!("find the processor time of process {pid}"))?;
    Ok(clock_gettime(clock).context("read the processor time")?.into())
}

/// Processor time that the calling thread has used.
///
/// # Errors
/// When the kernel does not say.
pub fn thread_processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .context("read the thread's processor time")?
        .into())
}
