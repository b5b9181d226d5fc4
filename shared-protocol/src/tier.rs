//! Subscription tiers: the one table of what each allows. Starting values; the next step makes them data of the control plane.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A tenant's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Costs nothing, never starves.
    Free,
    /// The usual subscription.
    Standard,
    /// Starts at once however hard others push.
    Enterprise,
}

/// What a tier allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierLimits {
    /// Share of a saturated agent, relative to the other tiers.
    pub weight: u32,
    /// Most jobs of one tenant without an end.
    pub open_jobs: u32,
    /// Most jobs of one tenant handed to agents at the same time.
    pub in_flight: u32,
    /// Most measurements an hour; `None` is by contract.
    pub measurements_per_hour: Option<u32>,
    /// Most agents one measurement may choose.
    pub agents_per_measurement: u32,
    /// Most packets of one ping.
    pub ping_packets: u32,
    /// Shortest time between two packets of one ping.
    pub ping_interval: Duration,
    /// How long raw reports are kept, days.
    pub retention_days: u32,
}

impl Tier {
    /// All tiers, lowest first.
    pub const ALL: [Self; 3] = [Self::Free, Self::Standard, Self::Enterprise];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Standard => "standard",
            Self::Enterprise => "enterprise",
        }
    }

    /// What this tier allows.
    pub const fn limits(self) -> TierLimits {
        match self {
            Self::Free => TierLimits {
                weight: 1,
                open_jobs: 100,
                in_flight: 5,
                measurements_per_hour: Some(250),
                agents_per_measurement: 10,
                ping_packets: 16,
                ping_interval: Duration::from_millis(200),
                retention_days: 7,
            },
            Self::Standard => TierLimits {
                weight: 4,
                open_jobs: 10_000,
                in_flight: 25,
                measurements_per_hour: Some(5_000),
                agents_per_measurement: 100,
                ping_packets: 100,
                ping_interval: Duration::from_millis(10),
                retention_days: 30,
            },
            Self::Enterprise => TierLimits {
                weight: 16,
                open_jobs: 100_000,
                in_flight: 512,
                measurements_per_hour: None,
                agents_per_measurement: 1_000,
                ping_packets: 100,
                ping_interval: Duration::from_millis(10),
                retention_days: 400,
            },
        }
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or(UnknownTier)
    }
}

/// The text names no tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of free, standard, enterprise")]
pub struct UnknownTier;
