//! The owner's packet rates over all probes of the process: what leaves for a target waits here for its place.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gate::Pace;
use super::pacer::Pacer;
use crate::clock;

/// Keeps the owner's rates.
#[derive(Debug, Default)]
pub(crate) struct Departures(Mutex<Pacer>);

/// The owner's rates let nothing leave, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent's packet rates leave no room")]
pub(crate) struct NoRoom;

impl Departures {
    /// Waits until one packet, or one connection, may leave for a target.
    pub(crate) async fn wait(&self, target: IpAddr, pace: Pace) -> Result<(), NoRoom> {
        // The place to the target comes first, so that one slow target does not hold places that others could use.
        let reserved = self.pacer().reserve_target(target, pace.per_target_pps, clock::monotonic());
        sleep(reserved).await?;
        let reserved = self.pacer().reserve_everywhere(pace.max_pps, clock::monotonic());
        sleep(reserved).await
    }

    /// Takes places for packets to targets in order, until one of them has to wait. How many may leave now, and how long the next one, whose
    /// place is taken too, has to wait.
    pub(crate) fn reserve(&self, targets: &[IpAddr], pace: Pace) -> Result<(usize, Duration), NoRoom> {
        let now = clock::monotonic();
        let mut pacer = self.pacer();
        for (ready, target) in targets.iter().enumerate() {
            let to_target = pacer.reserve_target(*target, pace.per_target_pps, now).ok_or(NoRoom)?;
            let everywhere = pacer.reserve_everywhere(pace.max_pps, now).ok_or(NoRoom)?;
            let wait = to_target.max(everywhere);
            if !wait.is_zero() {
                return Ok((ready, wait));
            }
        }
        Ok((targets.len(), Duration::ZERO))
    }

    fn pacer(&self) -> MutexGuard<'_, Pacer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep(reserved: Option<Duration>) -> Result<(), NoRoom> {
    let wait = reserved.ok_or(NoRoom)?;
    // Even an empty sleep would last to the timer's next tick.
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(())
}
