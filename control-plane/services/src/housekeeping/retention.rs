//! What is past its time leaves: reports, jobs, samples, roll-ups, series, a bounded number of rows a commit.

use std::time::Duration;

use control_core::authorize::SystemScope;
use control_core::series::Retention;
use control_store::series::SeriesKey;
use control_store::{BoxFuture, Store, StoreError, Tx, retention};
use shared_protocol::tier::{Tier, TierTable};
use shared_protocol::time::UnixMicros;
use tokio_util::sync::CancellationToken;

/// How many rows left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) reports: u64,
    pub(crate) jobs: u64,
    pub(crate) windows: u64,
    pub(crate) days: u64,
    pub(crate) hours: u64,
    pub(crate) series: u64,
}

/// Removes everything that is past its time now.
pub(crate) async fn let_go(store: &Store, tiers: &TierTable, now: UnixMicros, stopping: &CancellationToken) -> Result<Gone, StoreError> {
    let mut gone = Gone::default();
    let work = Work {
        store,
        stopping,
        what: What::Other,
    };
    let of_series = Work { what: What::Series, ..work };
    for class in Tier::ALL {
        let cutoff = Retention::of(class, tiers.of(class).retention_days).cutoff(now);
        gone.reports += work
            .repeat(move |tx| Box::pin(retention::reports(tx, SYSTEM, class, cutoff.jobs_below, ROWS_PER_COMMIT)))
            .await?;
        gone.jobs += work
            .repeat(move |tx| Box::pin(retention::jobs(tx, SYSTEM, class, cutoff.jobs_below, ROWS_PER_COMMIT)))
            .await?;
        gone.windows += work
            .repeat(move |tx| Box::pin(retention::windows(tx, SYSTEM, class, cutoff.jobs_below, ROWS_PER_COMMIT)))
            .await?;
        let mut first = SeriesKey(0);
        while let Some(last) = retention::series_after(&mut store.reader().await?, SYSTEM, first, SERIES_PER_ROUND).await? {
            let range = (first, last);
            gone.days += of_series
                .repeat(move |tx| Box::pin(retention::days(tx, SYSTEM, class, range, cutoff.days_below, ROWS_PER_COMMIT)))
                .await?;
            gone.hours += of_series
                .repeat(move |tx| Box::pin(retention::hours(tx, SYSTEM, class, range, cutoff.hours_below, ROWS_PER_COMMIT)))
                .await?;
            first = last;
        }
    }
    gone.windows += work.repeat(|tx| Box::pin(retention::windows_of_deleted(tx, SYSTEM, ROWS_PER_COMMIT))).await?;
    work.repeat(|tx| Box::pin(retention::standing(tx, SYSTEM, ROWS_PER_COMMIT))).await?;
    let before = now.minus(REFUSED_KEPT);
    work.repeat(move |tx| Box::pin(retention::refused_reports(tx, SYSTEM, before, ROWS_PER_COMMIT)))
        .await?;
    // One that was just made has no hours yet; an old one without any is dead.
    let before = now.minus(SERIES_YOUNG);
    gone.series = of_series
        .repeat(move |tx| {
            Box::pin(async move { Ok(u64::try_from(control_store::series::forget_dead(tx, SYSTEM, before, ROWS_PER_COMMIT).await?.len()).unwrap_or(0)) })
        })
        .await?;
    if gone != Gone::default() {
        for _ in 0..VACUUMS {
            work.write(|tx| Box::pin(retention::vacuum(tx, SYSTEM))).await?;
        }
        tracing::info!(?gone, "what is past its time was removed");
    }
    Ok(gone)
}

#[derive(Clone, Copy)]
struct Work<'a> {
    store: &'a Store,
    stopping: &'a CancellationToken,
    what: What,
}

/// Whose rows an operation removes.
#[derive(Clone, Copy)]
enum What {
    Series,
    Other,
}

impl Work<'_> {
    /// Repeats an operation until it finds no more rows than it may take; others write between.
    async fn repeat(&self, apply: impl for<'c> Fn(&'c mut Tx) -> BoxFuture<'c, Result<u64, StoreError>> + Copy + Send + 'static) -> Result<u64, StoreError> {
        let mut total = 0;
        while !self.stopping.is_cancelled() {
            let gone = self.write(apply).await?;
            total += gone;
            if gone < u64::from(ROWS_PER_COMMIT) {
                break;
            }
        }
        Ok(total)
    }

    async fn write<T: Send + 'static>(
        &self,
        apply: impl for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = match self.what {
            What::Series => self.store.write_series(apply).await?,
            What::Other => self.store.write(apply).await?,
        };
        tokio::time::sleep(PAUSE).await;
        Ok(done)
    }
}

const SYSTEM: SystemScope = SystemScope::for_own_work();
/// Most rows that one operation of the writer removes.
const ROWS_PER_COMMIT: u32 = 500;
/// Series looked at for old hours at a time.
const SERIES_PER_ROUND: u32 = 1_000;
/// Time for others between two operations.
const PAUSE: Duration = Duration::from_millis(5);
/// How long it is known why a report was not kept.
const REFUSED_KEPT: Duration = Duration::from_hours(24 * 30);
/// How long a series may be without a sample at its beginning.
const SERIES_YOUNG: Duration = Duration::from_hours(24);
/// How often in a round pages are given back to the file system.
const VACUUMS: u32 = 64;
