//! One value for each tier.

use shared_protocol::tier::Tier;

#[derive(Debug, Default)]
pub(super) struct PerTier<T> {
    free: T,
    standard: T,
    enterprise: T,
}

impl<T> PerTier<T> {
    pub(super) const fn get(&self, tier: Tier) -> &T {
        match tier {
            Tier::Free => &self.free,
            Tier::Standard => &self.standard,
            Tier::Enterprise => &self.enterprise,
        }
    }

    pub(super) const fn get_mut(&mut self, tier: Tier) -> &mut T {
        match tier {
            Tier::Free => &mut self.free,
            Tier::Standard => &mut self.standard,
            Tier::Enterprise => &mut self.enterprise,
        }
    }
}
