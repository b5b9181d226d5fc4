//! How often each key and each tenant may ask for a measurement within a minute; kept in memory, forgotten with the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control_core::rate::{Left, PerMinute, RateTable, Wait};
use shared_protocol::id::TenantId;
use shared_protocol::tier::TierLimits;

use crate::clock;

/// What was asked for of late; a handle that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    callers: Arc<Mutex<RateTable<Caller>>>,
}

/// What one key and its tenant have left within a minute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RatesLeft {
    pub(crate) key: Left,
    pub(crate) tenant: Left,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Key(String),
    Tenant(TenantId),
}

impl Rates {
    /// Takes one of both.
    pub(crate) fn take(&self, key: &str, tenant: TenantId, limits: &TierLimits) -> Result<(), Wait> {
        let (of_key, of_tenant) = rates(limits);
        let (key, tenant) = callers(key, tenant);
        let now = clock::monotonic();
        let mut table = self.lock();
        table.take(&key, of_key, now)?;
        table.take(&tenant, of_tenant, now).inspect_err(|_| table.give_back(&key))
    }

    /// Gives one of both back.
    pub(crate) fn give_back(&self, key: &str, tenant: TenantId) {
        let (key, tenant) = callers(key, tenant);
        let mut table = self.lock();
        table.give_back(&key);
        table.give_back(&tenant);
    }

    pub(crate) fn left(&self, key: &str, tenant: TenantId, limits: &TierLimits) -> RatesLeft {
        let (of_key, of_tenant) = rates(limits);
        let (key, tenant) = callers(key, tenant);
        let now = clock::monotonic();
        let table = self.lock();
        RatesLeft {
            key: table.left(&key, of_key, now),
            tenant: table.left(&tenant, of_tenant, now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, RateTable<Caller>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            callers: Arc::new(Mutex::new(RateTable::with_room(CALLERS))),
        }
    }
}

const fn rates(limits: &TierLimits) -> (PerMinute, PerMinute) {
    (PerMinute(limits.measurements_per_minute_of_key), PerMinute(limits.measurements_per_minute))
}

fn callers(key: &str, tenant: TenantId) -> (Caller, Caller) {
    (Caller::Key(key.to_owned()), Caller::Tenant(tenant))
}

/// Most keys and tenants remembered.
const CALLERS: usize = 100_000;
