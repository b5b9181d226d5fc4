//! What a process of the stand holds in memory.

use anyhow::{Context, Result};

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
