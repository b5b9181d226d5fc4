//! Tiers: the one table of what each allows, as this process holds it.

use std::sync::{Arc, PoisonError, RwLock};

use control_core::authorize::SystemScope;
use control_store::tiers::TierRow;
use control_store::{Store, StoreError};
use shared_protocol::tier::{ProbeLimits, Tier, TierLimits, TierTable};

/// The table in memory; a handle that is cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tiers {
    table: Arc<RwLock<Arc<TierTable>>>,
}

impl Tiers {
    /// Reads the table from the store.
    pub(crate) async fn load(store: &Store) -> Result<Self, StoreError> {
        let rows = control_store::tiers::list(&mut store.reader().await?, SystemScope::for_own_work()).await?;
        let table = rows.iter().fold(TierTable::default(), |table, row| table.with(row.tier, limits_of(row)));
        Ok(Self {
            table: Arc::new(RwLock::new(Arc::new(table))),
        })
    }

    /// The table as it stands now.
    pub(crate) fn table(&self) -> Arc<TierTable> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Other limits of a tier hold from now on.
    pub(crate) fn set(&self, tier: Tier, limits: TierLimits) -> Arc<TierTable> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        *table = Arc::new(TierTable::clone(&table).with(tier, limits));
        Arc::clone(&table)
    }

    /// What an agent is told with a job of this tier; nothing where the tier limits nothing.
    pub(crate) fn limits_in_run(&self, tier: Tier) -> Option<ProbeLimits> {
        let table = self.table();
        let limits = &table.of(tier).probe;
        (*limits != ProbeLimits::default()).then(|| limits.clone())
    }
}

/// What a tier allows by its row. A change that this version cannot read counts as none: the starting value holds.
pub(crate) fn limits_of(row: &TierRow) -> TierLimits {
    let mut limits = TierLimits::starting(row.tier);
    for (name, value) in &row.changes {
        match limits.changed(&[(name.clone(), value.clone())].into_iter().collect()) {
            Ok(changed) => limits = changed,
            Err(error) => tracing::warn!(tier = row.tier.as_str(), name, %error, "a limit in the store cannot be read; its starting value holds"),
        }
    }
    limits
}
