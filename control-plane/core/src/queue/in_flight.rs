//! How many jobs of each tenant are in flight over all agents, against a cap.

use std::collections::BTreeMap;

use shared_protocol::id::TenantId;

#[derive(Debug, Default)]
pub(super) struct TenantsInFlight {
    counts: BTreeMap<TenantId, u32>,
}

impl TenantsInFlight {
    pub(super) fn enter(&mut self, tenant: TenantId) {
        let count = self.counts.entry(tenant).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn leave(&mut self, tenant: TenantId) {
        if let Some(count) = self.counts.get_mut(&tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&tenant);
            }
        }
    }

    pub(super) fn count(&self, tenant: TenantId) -> u32 {
        self.counts.get(&tenant).copied().unwrap_or(0)
    }

    pub(super) fn is_below(&self, tenant: TenantId, cap: u32) -> bool {
        self.count(tenant) < cap
    }
}
