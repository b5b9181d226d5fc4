//! Subscription tiers, and the one table of what each allows. The figures are data of the control plane; those it starts with stand in
//! [`TierLimits::starting`].

use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod limits;

pub use limits::{ANY_PROBE, NO_LIMIT, ProbeLimits, TierLimits};

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

/// What each tier allows: the one table that admission, queue, dispatch, retention and, through `run`, the agents go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierTable {
    free: TierLimits,
    standard: TierLimits,
    enterprise: TierLimits,
}

impl TierTable {
    /// What a tier allows.
    pub const fn of(&self, tier: Tier) -> &TierLimits {
        match tier {
            Tier::Free => &self.free,
            Tier::Standard => &self.standard,
            Tier::Enterprise => &self.enterprise,
        }
    }

    /// This table with other limits for one tier.
    #[must_use]
    pub fn with(mut self, tier: Tier, limits: TierLimits) -> Self {
        match tier {
            Tier::Free => self.free = limits,
            Tier::Standard => self.standard = limits,
            Tier::Enterprise => self.enterprise = limits,
        }
        self
    }
}

impl Default for TierTable {
    /// The starting values.
    fn default() -> Self {
        Self {
            free: TierLimits::starting(Tier::Free),
            standard: TierLimits::starting(Tier::Standard),
            enterprise: TierLimits::starting(Tier::Enterprise),
        }
    }
}
