//! Partial findings of `observe`.

use serde::{Deserialize, Serialize};

use crate::frame::CapabilityLevel;
use crate::report::Seen;
use crate::spec::Observation;

/// What an observation tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ObserveEvent {
    /// The programs are in the kernel.
    Started {
        /// What is observed.
        observation: Observation,
        /// How well.
        level: CapabilityLevel,
        /// What is missing, where something is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
    },
    /// One interval is over.
    Window(Box<ObserveWindow>),
}

/// What was seen up to the end of an interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveWindow {
    /// Number of the interval, from 0.
    pub seq: u32,
    /// When it ended, since the observation began, microseconds.
    pub at_us: u64,
    /// What the kernel saw and could not tell, up to here.
    pub lost: u64,
    /// What was seen.
    pub seen: Seen,
}
