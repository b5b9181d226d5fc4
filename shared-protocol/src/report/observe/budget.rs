//! What the owner's share of a CPU made of an observation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share of one CPU, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuShare(u64);

impl CpuShare {
    /// So many millionths.
    pub const fn from_millionths(millionths: u64) -> Self {
        Self(millionths)
    }

    /// In millionths.
    pub const fn millionths(self) -> u64 {
        self.0
    }

    /// The share that so much running took of so much time.
    pub const fn of(run_ns: u64, elapsed_us: u64) -> Self {
        if elapsed_us == 0 {
            return Self(0);
        }
        Self(run_ns.saturating_mul(1_000) / elapsed_us)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for CpuShare {
    /// As people read it: percent of one CPU.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            return write!(formatter, "{whole} %");
        }
        let rest = format!("{rest:04}");
        write!(formatter, "{whole}.{} %", rest.trim_end_matches('0'))
    }
}

/// The programs took more of a CPU than the owner allows, and what became of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverBudget {
    /// What the owner allows all observations together, millionths of one CPU.
    pub budget: CpuShare,
    /// What this observation's programs took when it was last eased, millionths of one CPU.
    pub share: CpuShare,
    /// What all observations took together then.
    pub together: CpuShare,
    /// Hooks that were given up, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<String>,
    /// Whether it ended for that: there was nothing left to give up.
    pub ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_in_percent_without_noughts_at_its_end() {
        for (run_ns, elapsed_us, told) in [
            (10_000_000, 1_000_000, "1 %"),
            (5_000_000, 1_000_000, "0.5 %"),
            (10_000, 1_000_000, "0.001 %"),
            (2_000_000_000, 1_000_000, "200 %"),
            (12_345_600, 1_000_000, "1.2345 %"),
            (1, 0, "0 %"),
            (u64::MAX, 1, "1844674407370955.1615 %"),
        ] {
            assert_eq!(CpuShare::of(run_ns, elapsed_us).to_string(), told);
        }
    }
}
