//! What the store counts about itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::quota::Latest;

/// What the store did since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreMetrics {
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that could not be begun or committed; nothing of them was kept.
    pub commit_failures: u64,
    /// Operations committed.
    pub operations: u64,
    /// Operations undone because they failed.
    pub operations_undone: u64,
    /// Times the writer sent something to the database and waited for its answer.
    pub trips: u64,
    /// Times the writing connection was opened again after an error.
    pub reopened: u64,
    /// Times the write-ahead log was cut.
    pub checkpoints: u64,
    /// Rows left out because a value in them is not known to this version.
    pub rows_skipped: u64,
    /// Writes waiting for the writer.
    pub queue_depth: u64,
}

/// What is counted for whoever asks: the counters behind [`StoreMetrics`], and quotas.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: Counter,
    pub(crate) commit_failures: Counter,
    pub(crate) operations: Counter,
    pub(crate) operations_undone: Counter,
    pub(crate) trips: Counter,
    pub(crate) reopened: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) rows_skipped: Counter,
    /// Measurements of tenants.
    pub(crate) quotas: Latest,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self, queue_depth: u64) -> StoreMetrics {
        StoreMetrics {
            commits: self.commits.value(),
            commit_failures: self.commit_failures.value(),
            operations: self.operations.value(),
            operations_undone: self.operations_undone.value(),
            trips: self.trips.value(),
            reopened: self.reopened.value(),
            checkpoints: self.checkpoints.value(),
            rows_skipped: self.rows_skipped.value(),
            queue_depth,
        }
    }
}
