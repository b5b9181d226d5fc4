//! Memory running short.

use serde::{Deserialize, Serialize};

/// Who faulted, who had to free pages, and who was killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySeen {
    /// Numbers over all programs, also those that are not told.
    pub totals: MemoryTotals,
    /// Those that waited longest for the kernel to free pages; then those that faulted most.
    pub users: Vec<MemoryUser>,
    /// Who was killed last for want of memory, the last first.
    pub killed: Vec<Killed>,
}

/// Numbers over all programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryTotals {
    /// Page faults of programs: they touched memory that was not there for them.
    pub faults: u64,
    /// Those in which the page was to be written.
    pub write_faults: u64,
    /// How often a program had to free pages itself before it got one.
    pub reclaims: u64,
    /// Pages that were freed so.
    pub reclaimed_pages: u64,
    /// How long they took over it together, microseconds.
    pub reclaim_us: u64,
    /// Processes that were killed for want of memory.
    pub killed: u64,
}

/// One program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUser {
    /// Its process, by the host's number.
    pub pid: u32,
    /// Its command; absent where the owner hides commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Page faults.
    pub faults: u64,
    /// Those in which the page was to be written.
    pub write_faults: u64,
    /// How often it had to free pages itself before it got one.
    pub reclaims: u64,
    /// Pages that it freed so.
    pub reclaimed_pages: u64,
    /// How long that took it, microseconds.
    pub reclaim_us: u64,
    /// The longest of these times, microseconds.
    pub reclaim_max_us: u64,
}

/// A process that was killed for want of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// Its number.
    pub pid: u32,
    /// Its command; absent where the owner hides commands, or the kernel (before Linux 6.8) does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}
