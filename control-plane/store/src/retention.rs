//! Letting go of what is past its time: by ranges of keys, in operations of a bounded number of rows, so that nobody waits long for them.

use control_core::authorize::SystemScope;
use control_core::series::{Day, Hour};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;
use uuid::Uuid;

use crate::connection::Connection;
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row;
use crate::series::SeriesKey;
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// Removes at most `limit` reports of a class whose jobs have lower ids; says how many.
pub async fn reports(tx: &mut Tx, _: SystemScope, class: Tier, below: Uuid, limit: u32) -> Result<u64, StoreError> {
    tx::execute(tx, Statement::own(REPORTS).bind(class.as_str()).bind(below).bind(limit)).await
}

/// Removes at most `limit` ended jobs of a class with lower ids, and the measurements that have no job any more; says how many jobs.
/// Their reports go first.
pub async fn jobs(tx: &mut Tx, _: SystemScope, class: Tier, below: Uuid, limit: u32) -> Result<u64, StoreError> {
    let statement = Statement::own(JOBS).bind(class.as_str()).bind(below).bind(limit);
    let measurements = tx::all(tx, statement, |row| row.uuid("measurement")).await?;
    if !measurements.is_empty() {
        tx::execute(tx, Statement::own(MEASUREMENTS).bind(row::json(&measurements)?)).await?;
    }
    Ok(u64::try_from(measurements.len()).unwrap_or(u64::MAX))
}

/// Removes at most `limit` windows of standing observations of a class with lower ids; says how many.
pub async fn windows(tx: &mut Tx, _: SystemScope, class: Tier, below: Uuid, limit: u32) -> Result<u64, StoreError> {
    tx::execute(tx, Statement::own(WINDOWS).bind(class.as_str()).bind(below).bind(limit)).await
}

/// Removes at most `limit` windows of standing observations that were deleted; says how many.
pub async fn windows_of_deleted(tx: &mut Tx, _: SystemScope, limit: u32) -> Result<u64, StoreError> {
    tx::execute(tx, Statement::own(WINDOWS_OF_DELETED).bind(limit)).await
}

/// Removes at most `limit` standing observations that were deleted and have no window any more; says how many.
pub async fn standing(tx: &mut Tx, _: SystemScope, limit: u32) -> Result<u64, StoreError> {
    let gone = tx::all(tx, Statement::own(DELETED_STANDING).bind(limit), |row| row.uuid("id")).await?;
    if gone.is_empty() {
        return Ok(0);
    }
    let gone = row::json(&gone)?;
    tx::execute(tx, Statement::own(STANDING_AGENTS).bind(gone.clone())).await?;
    tx::execute(tx, Statement::own(STANDING).bind(gone)).await
}

/// Removes at most `limit` notes each about reports that were discarded or set aside before an instant; says how many.
pub async fn refused_reports(tx: &mut Tx, _: SystemScope, before: UnixMicros, limit: u32) -> Result<u64, StoreError> {
    let discarded = tx::execute(tx, Statement::own(DISCARDED).bind(before.micros()).bind(limit)).await?;
    let quarantined = tx::execute(tx, Statement::own(QUARANTINED).bind(before.micros()).bind(limit)).await?;
    Ok(discarded.max(quarantined))
}

/// Removes at most `limit` days of samples, of series with numbers in a range whose tenant has this tier; says how many.
pub async fn days(tx: &mut Tx, _: SystemScope, tier: Tier, series: (SeriesKey, SeriesKey), below: Day, limit: u32) -> Result<u64, StoreError> {
    let statement = Statement::own(DAYS)
        .bind(tier.as_str())
        .bind(series.0.0)
        .bind(series.1.0)
        .bind(below.0)
        .bind(limit);
    tx::execute(tx, statement).await
}

/// Removes at most `limit` hours, likewise.
pub async fn hours(tx: &mut Tx, _: SystemScope, tier: Tier, series: (SeriesKey, SeriesKey), below: Hour, limit: u32) -> Result<u64, StoreError> {
    let statement = Statement::own(HOURS)
        .bind(tier.as_str())
        .bind(series.0.0)
        .bind(series.1.0)
        .bind(below.0)
        .bind(limit);
    tx::execute(tx, statement).await
}

/// The highest number among the next `count` series after one; none after the last.
pub async fn series_after(on: &mut impl Read, _: SystemScope, after: SeriesKey, count: u32) -> Result<Option<SeriesKey>, StoreError> {
    let highest = tx::optional(on, Statement::own(NEXT).bind(after.0).bind(count), |row| row.number_or_none::<i64>("highest")).await?;
    Ok(highest.flatten().map(SeriesKey))
}

/// Gives a bounded number of pages that nothing uses back to the file system, where the database does not do so itself.
pub async fn vacuum(tx: &mut Tx, _: SystemScope) -> Result<(), StoreError> {
    match tx.sent().await? {
        Connection::Sqlite(connection) => {
            sqlx::query(VACUUM).fetch_all(connection).await?;
        }
        // It looks after itself.
        Connection::Postgres(_) => {}
    }
    Ok(())
}

const REPORTS: &str = "DELETE FROM report WHERE retention_class = $1 AND job IN
(SELECT job FROM report WHERE retention_class = $1 AND job < $2 ORDER BY job LIMIT $3)";
const JOBS: &str = "DELETE FROM job WHERE id IN
(SELECT id FROM job WHERE retention_class = $1 AND id < $2 AND outcome IS NOT NULL ORDER BY id LIMIT $3) RETURNING measurement";
const MEASUREMENTS: &str = concat!(
    "DELETE FROM measurement WHERE id IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$1"),
    ") AND NOT EXISTS (SELECT 1 FROM job j WHERE j.measurement = measurement.id)"
);
const WINDOWS: &str = "DELETE FROM standing_window WHERE retention_class = $1 AND id IN
(SELECT id FROM standing_window WHERE retention_class = $1 AND id < $2 ORDER BY id LIMIT $3)";
const WINDOWS_OF_DELETED: &str = "DELETE FROM standing_window WHERE (retention_class, id) IN
(SELECT w.retention_class, w.id FROM standing s JOIN standing_window w ON w.standing = s.id WHERE s.deleted_at IS NOT NULL LIMIT $1)";
const DELETED_STANDING: &str = "SELECT s.id FROM standing s WHERE s.deleted_at IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM standing_window w WHERE w.standing = s.id) LIMIT $1";
const STANDING_AGENTS: &str = concat!(
    "DELETE FROM standing_agent WHERE standing IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$1"),
    ")"
);
const STANDING: &str = concat!("DELETE FROM standing WHERE id IN (SELECT ", uuid!("value"), " FROM ", rows!("$1"), ")");
const DISCARDED: &str = "DELETE FROM report_discarded WHERE (agent, incarnation, seq) IN
(SELECT agent, incarnation, seq FROM report_discarded WHERE at < $1 ORDER BY at LIMIT $2)";
const QUARANTINED: &str = "DELETE FROM report_quarantine WHERE (agent, incarnation, seq) IN
(SELECT agent, incarnation, seq FROM report_quarantine WHERE at < $1 ORDER BY at LIMIT $2)";
const DAYS: &str = "DELETE FROM chunk_day WHERE (series, day) IN
(SELECT c.series, c.day FROM series s JOIN tenant t ON t.id = s.tenant JOIN chunk_day c ON c.series = s.id
WHERE t.tier = $1 AND s.id > $2 AND s.id <= $3 AND c.day < $4 LIMIT $5)";
const HOURS: &str = "DELETE FROM rollup_1h WHERE (series, hour) IN
(SELECT r.series, r.hour FROM series s JOIN tenant t ON t.id = s.tenant JOIN rollup_1h r ON r.series = s.id
WHERE t.tier = $1 AND s.id > $2 AND s.id <= $3 AND r.hour < $4 LIMIT $5)";
const NEXT: &str = "SELECT MAX(id) AS highest FROM (SELECT id FROM series WHERE id > $1 ORDER BY id LIMIT $2) AS next";
const VACUUM: &str = "PRAGMA incremental_vacuum(256)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    REPORTS,
    JOBS,
    MEASUREMENTS,
    WINDOWS,
    WINDOWS_OF_DELETED,
    DELETED_STANDING,
    STANDING_AGENTS,
    STANDING,
    DISCARDED,
    QUARANTINED,
    DAYS,
    HOURS,
    NEXT,
];
