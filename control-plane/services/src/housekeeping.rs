//! What is forgotten in time: idempotency keys past their day, in small commits that delay nobody.

use std::time::Duration;

use control_core::authorize::SystemScope;
use control_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Forgets what is past its time, again and again until the control plane stops.
pub(crate) async fn keep_house(store: Store, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stopping.cancelled() => return,
        }
        if let Err(error) = forget_idempotency(&store, &stopping).await {
            tracing::warn!(%error, "idempotency keys could not be forgotten; tried again later");
        }
    }
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
