//! What all agents together may send towards one public target; kept in memory. A process that starts anew knows nothing of what is under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use control_core::target_load::{Busy, Demand, TargetLoad};
use shared_protocol::id::{MeasurementId, TenantId};

use super::decide::OPEN_JOBS_RETRY_S;
use crate::error::ServiceError;

/// What is reserved for jobs without an end; a handle that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    load: Arc<Mutex<TargetLoad>>,
}

impl Targets {
    pub(crate) fn new(packets_per_second: u32) -> Self {
        Self {
            load: Arc::new(Mutex::new(TargetLoad::new(packets_per_second))),
        }
    }

    /// Whether so many agents may do this now.
    pub(super) fn check(&self, tenant: TenantId, demand: &Demand, jobs: usize) -> Result<(), ServiceError> {
        self.lock().check(tenant, demand, number(jobs)).map_err(busy)
    }

    /// Reserves what the jobs of a measurement will send.
    pub(super) fn reserve(&self, measurement: MeasurementId, tenant: TenantId, demand: Demand, jobs: usize) -> Result<(), ServiceError> {
        self.lock().reserve(measurement, tenant, demand, number(jobs)).map_err(busy)
    }

    /// The measurement was not accepted after all.
    pub(super) fn forget(&self, measurement: MeasurementId) {
        self.lock().forget(measurement);
    }

    /// One of its jobs has its end.
    pub(super) fn ended(&self, measurement: MeasurementId) {
        self.lock().ended(measurement);
    }

    fn lock(&self) -> MutexGuard<'_, TargetLoad> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(jobs: usize) -> u32 {
    u32::try_from(jobs).unwrap_or(u32::MAX)
}

fn busy(Busy(target): Busy) -> ServiceError {
    ServiceError::TargetBusy {
        target: target.to_string(),
        retry_after_s: OPEN_JOBS_RETRY_S,
    }
}
