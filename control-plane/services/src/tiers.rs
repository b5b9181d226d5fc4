//! Tiers: the one table of what each allows, as this process holds it.

use std::sync::{Arc, PoisonError, RwLock};

use shared_protocol::tier::{ProbeLimits, Tier, TierTable};

/// The table in memory; a handle that is cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tiers {
    table: Arc<RwLock<Arc<TierTable>>>,
}

impl Tiers {
    /// The table as it stands now.
    pub(crate) fn table(&self) -> Arc<TierTable> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What an agent is told with a job of this tier; nothing where the tier limits nothing.
    pub(crate) fn limits_in_run(&self, tier: Tier) -> Option<ProbeLimits> {
        let table = self.table();
        let limits = &table.of(tier).probe;
        (*limits != ProbeLimits::default()).then(|| limits.clone())
    }
}
