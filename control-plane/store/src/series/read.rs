//! Reading series: which there are, their latest values, hours and samples.

use control_core::authorize::TenantScope;
use control_core::series::{Day, Good, Hour, Identity, Rollup, Sample, unpack};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;

use super::{SeriesKey, agent_column, agent_of, roll};
use crate::dialect::{element, rows};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read};

/// Which series are wanted; every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesFilter {
    /// Whose eyes: an agent's, or with `Some(None)` those of all agents together.
    pub agent: Option<Option<AgentId>>,
    /// The probe.
    pub probe: Option<String>,
    /// The number's name.
    pub name: Option<String>,
    /// What is measured.
    pub target: Option<String>,
}

/// A series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRow {
    /// Its number.
    pub key: SeriesKey,
    /// What it is.
    pub identity: Identity,
}

/// The latest value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct LatestRow {
    /// The series.
    pub series: SeriesRow,
    /// When.
    pub at: UnixMicros,
    /// How much.
    pub value: f64,
    /// Whether the answer was as it should be.
    pub good: Good,
}

/// The tenant's series that match, in the order of their numbers.
pub async fn find(on: &mut impl Read, scope: TenantScope, filter: &SeriesFilter, limit: u32) -> Result<Vec<SeriesRow>, StoreError> {
    let statement = Statement::of(scope, FIND)
        .bind(scope.tenant().uuid())
        .bind(filter.agent.map(agent_column))
        .bind(filter.probe.clone())
        .bind(filter.name.clone())
        .bind(filter.target.clone())
        .bind(limit);
    tx::all(on, statement, |row| series(row, "id")).await
}

/// The latest values of what the tenant's agents see, in the order of their series, after one.
pub async fn latest(on: &mut impl Read, scope: TenantScope, filter: &SeriesFilter, after: Option<SeriesKey>, limit: u32) -> Result<Vec<LatestRow>, StoreError> {
    let statement = Statement::of(scope, LATEST)
        .bind(scope.tenant().uuid())
        .bind(after.map_or(0, |key| key.0))
        .bind(limit)
        .bind(filter.agent.map(agent_column))
        .bind(filter.probe.clone())
        .bind(filter.name.clone())
        .bind(filter.target.clone());
    tx::all(on, statement, |row| {
        Ok(LatestRow {
            series: series(row, "series")?,
            at: row.instant("at")?,
            value: row.float("value")?,
            good: if row.number::<i64>("good")? == 0 { Good::No } else { Good::Yes },
        })
    })
    .await
}

/// The hours of series of the tenant, from an hour to before another, each series' hours in order.
pub async fn rollups(on: &mut impl Read, scope: TenantScope, keys: &[SeriesKey], from: Hour, to: Hour) -> Result<Vec<(SeriesKey, Hour, Rollup)>, StoreError> {
    let statement = Statement::of(scope, ROLLUPS)
        .bind(numbers(keys)?)
        .bind(scope.tenant().uuid())
        .bind(from.0)
        .bind(to.0);
    tx::all(on, statement, |row| {
        Ok((SeriesKey(row.number("series")?), Hour(row.number("hour")?), roll::rollup(row)?))
    })
    .await
}

/// The samples of series of the tenant on days, sealed or not; not in order.
pub async fn samples(on: &mut impl Read, scope: TenantScope, keys: &[SeriesKey], from: Day, to: Day) -> Result<Vec<(SeriesKey, Vec<Sample>)>, StoreError> {
    let statement = Statement::of(scope, SAMPLES)
        .bind(numbers(keys)?)
        .bind(scope.tenant().uuid())
        .bind(from.0)
        .bind(to.0)
        .bind(from.0.saturating_mul(24))
        .bind(to.0.saturating_add(1).saturating_mul(24));
    tx::all(on, statement, |row| {
        let samples = unpack(&row.bytes("samples")?).map_err(|_| RowError::Unknown("samples"))?;
        Ok((SeriesKey(row.number("series")?), samples))
    })
    .await
}

fn numbers(keys: &[SeriesKey]) -> Result<String, StoreError> {
    row::json(&keys.iter().map(|key| key.0).collect::<Vec<_>>())
}

fn series(row: &Row, key: &'static str) -> Result<SeriesRow, RowError> {
    Ok(SeriesRow {
        key: SeriesKey(row.number(key)?),
        identity: Identity {
            tenant: TenantId::from_uuid(row.uuid("tenant")?),
            agent: agent_of(row.uuid("agent")?),
            target: row.text("target")?,
            probe: row.text("probe")?,
            name: row.text("name")?,
        },
    })
}

macro_rules! keys {
    () => {
        concat!(
            "(SELECT s.id FROM series s WHERE s.tenant = $2 AND s.id IN (SELECT CAST(",
            element!(),
            " AS BIGINT) FROM ",
            rows!("$1"),
            "))"
        )
    };
}

const FIND: &str = "SELECT id, tenant, agent, probe, name, target FROM series WHERE tenant = $1 AND (agent = $2 OR $2 IS NULL)
AND (probe = $3 OR $3 IS NULL) AND (name = $4 OR $4 IS NULL) AND (target = $5 OR $5 IS NULL) ORDER BY id LIMIT $6";
const LATEST: &str = "SELECT tenant, series, agent, probe, name, target, at, value, good FROM series_latest WHERE tenant = $1 AND series > $2
AND (agent = $4 OR $4 IS NULL) AND (probe = $5 OR $5 IS NULL) AND (name = $6 OR $6 IS NULL) AND (target = $7 OR $7 IS NULL)
ORDER BY series LIMIT $3";
const ROLLUPS: &str = concat!(
    "SELECT r.series, r.hour, r.n, r.ok, r.min, r.max, r.sum, r.sketch FROM rollup_1h r WHERE r.series IN ",
    keys!(),
    " AND r.hour >= $3 AND r.hour < $4 ORDER BY r.series, r.hour"
);
const SAMPLES: &str = concat!(
    "SELECT c.series, c.samples FROM chunk_day c WHERE c.series IN ",
    keys!(),
    " AND c.day >= $3 AND c.day <= $4 UNION ALL
SELECT r.series, r.samples FROM rollup_1h r WHERE r.samples IS NOT NULL AND r.series IN ",
    keys!(),
    " AND r.hour >= $5 AND r.hour < $6"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, LATEST, ROLLUPS, SAMPLES];
