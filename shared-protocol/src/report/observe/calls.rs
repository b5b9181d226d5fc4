//! Calls of the kernel.

use serde::{Deserialize, Serialize};

/// Who called the kernel for what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsSeen {
    /// Numbers over all calls, also those that are not told.
    pub totals: CallTotals,
    /// Those that were called most often.
    pub calls: Vec<Calls>,
}

/// Numbers over all calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallTotals {
    /// Calls that came back.
    pub calls: u64,
    /// Those that came back with an error.
    pub failed: u64,
}

/// All calls of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Its name, or its number where this version knows no name for it.
    pub name: String,
    /// How often it came back.
    pub count: u64,
    /// How often with an error.
    pub failed: u64,
    /// How long they took together, microseconds, as far as their beginnings were seen too.
    pub total_us: u64,
    /// How long one of them took on the average, nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_ns: Option<u64>,
    /// The longest, nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<u64>,
}
