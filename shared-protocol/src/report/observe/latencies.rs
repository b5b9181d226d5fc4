//! Times counted by their size: the histogram of every observation that measures how long something took.

use serde::{Deserialize, Serialize};

/// How long things took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// On average, microseconds.
    pub avg_us: u64,
    /// At most, microseconds.
    pub max_us: u64,
    /// How many took from two to the power of the place to twice that, microseconds; the first has those below one as well, and the 28th all that
    /// took longer.
    pub slots: Vec<u64>,
}
