//! What is forgotten in time: idempotency keys past their day, and everything past its retention, in small commits that delay nobody.
//! And whether the books of jobs close.

use std::time::Duration;

use control_core::authorize::SystemScope;
use control_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::metrics::{Metrics, SideLabel};
use crate::tiers::Tiers;

pub(crate) mod retention;

/// Forgets what is past its time, again and again until the control plane stops.
pub(crate) async fn keep_house(store: Store, tiers: Tiers, metrics: Metrics, stopping: CancellationToken) {
    loop {
        if let Err(error) = check_books(&store, &metrics).await {
            tracing::warn!(%error, "jobs could not be counted; tried again later");
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stopping.cancelled() => return,
        }
        if let Err(error) = forget_idempotency(&store, &stopping).await {
            tracing::warn!(%error, "idempotency keys could not be forgotten; tried again later");
        }
        if let Err(error) = retention::let_go(&store, &tiers.table(), clock::now(), &stopping).await {
            tracing::warn!(%error, "what is past its time could not be removed; tried again later");
        }
    }
}

/// Counts all jobs: those accepted must be those without and those with an end.
async fn check_books(store: &Store, metrics: &Metrics) -> Result<(), StoreError> {
    let counted = control_store::jobs::conservation(&mut store.reader().await?, SystemScope::for_own_work()).await?;
    let error = counted.accepted.abs_diff(counted.open + counted.ended);
    if error > 0 {
        tracing::error!(?counted, "the books of jobs do not close");
    }
    let gauge = metrics.conservation_error.get_or_create(&SideLabel { side: "store" });
    gauge.set(i64::try_from(error).unwrap_or(i64::MAX));
    Ok(())
}

async fn forget_idempotency(store: &Store, stopping: &CancellationToken) -> Result<(), StoreError> {
    let at = clock::now();
    while !stopping.is_cancelled() {
        let forgotten = store
            .write(move |tx| Box::pin(async move { control_store::jobs::forget_idempotency(tx, SystemScope::for_own_work(), at, ROWS_PER_COMMIT).await }))
            .await?;
        if forgotten < u64::from(ROWS_PER_COMMIT) {
            return Ok(());
        }
    }
    Ok(())
}

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_mins(10);
/// Most rows that one operation of the writer removes.
const ROWS_PER_COMMIT: u32 = 500;
