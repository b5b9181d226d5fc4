//! What the agent's own host has to say about a probe, beside what the probe found: what names the cause where the network is not it.

use serde::{Deserialize, Serialize};

/// What was seen on the agent's host while a probe ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Version of this shape; 1.
    pub version: u16,
    /// What it comes to, where it comes to something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// How long the agent waited for a processor meanwhile; absent where the kernel does not count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<ProcessorWait>,
}

/// What evidence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The agent had no processor for a good part of the time that the probe took.
    Starved,
}

impl Cause {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starved => "starved",
        }
    }
}

/// How long the agent's threads were ready to run and had no processor, of all that it did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessorWait {
    /// All threads together, microseconds.
    pub waited_us: u64,
    /// The thread that waited longest, microseconds: what one probe may have lost at most lies between the two.
    pub longest_us: u64,
    /// How long they ran, microseconds.
    pub ran_us: u64,
}
