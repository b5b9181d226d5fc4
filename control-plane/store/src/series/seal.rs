//! Sealing: the samples of hours that are over go into their packed days. What comes later for such an hour is sealed in the same way.

use std::collections::BTreeMap;

use control_core::authorize::SystemScope;
use control_core::series::{Day, Hour, Sample, pack, unpack};
use serde::Serialize;

use super::SeriesKey;
use crate::dialect::{bytes, rows};
use crate::error::StoreError;
use crate::row::{self, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// Seals at most `limit` hours that lie before an hour; says how many.
pub async fn seal(tx: &mut Tx, _: SystemScope, before: Hour, limit: u32) -> Result<u64, StoreError> {
    let open = tx::all(tx, Statement::own(OPEN).bind(before.0).bind(limit), |row| {
        let samples = unpack(&row.bytes("samples")?).map_err(|_| RowError::Unknown("samples"))?;
        Ok((SeriesKey(row.number("series")?), Hour(row.number("hour")?), samples))
    })
    .await?;
    if open.is_empty() {
        return Ok(0);
    }
    let mut keys = Vec::with_capacity(open.len());
    let mut days: BTreeMap<(SeriesKey, Day), Vec<Sample>> = BTreeMap::new();
    for (series, hour, samples) in open {
        keys.push((series, hour));
        days.entry((series, hour.day())).or_default().extend(samples);
    }
    for (key, samples) in stored(tx, &days).await? {
        days.entry(key).or_default().extend(samples);
    }
    write(tx, &days)?;
    tx::later(tx, without_samples(&keys)?);
    Ok(u64::try_from(keys.len()).unwrap_or(u64::MAX))
}

/// Takes the samples of hours away.
pub(super) fn without_samples(keys: &[(SeriesKey, Hour)]) -> Result<Statement, StoreError> {
    #[derive(Serialize)]
    struct Key {
        series: i64,
        hour: i64,
    }
    let keys: Vec<_> = keys
        .iter()
        .map(|(series, hour)| Key {
            series: series.0,
            hour: hour.0,
        })
        .collect();
    Ok(Statement::own(WITHOUT_SAMPLES).bind(row::json(&keys)?))
}

async fn stored(tx: &mut Tx, days: &BTreeMap<(SeriesKey, Day), Vec<Sample>>) -> Result<Vec<((SeriesKey, Day), Vec<Sample>)>, StoreError> {
    #[derive(Serialize)]
    struct DayKey {
        series: i64,
        day: i64,
    }
    let keys: Vec<_> = days.keys().map(|(series, day)| DayKey { series: series.0, day: day.0 }).collect();
    tx::all(tx, Statement::own(STORED).bind(row::json(&keys)?), |row| {
        let samples = unpack(&row.bytes("samples")?).map_err(|_| RowError::Unknown("samples"))?;
        Ok(((SeriesKey(row.number("series")?), Day(row.number("day")?)), samples))
    })
    .await
}

fn write(tx: &mut Tx, days: &BTreeMap<(SeriesKey, Day), Vec<Sample>>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Written {
        series: i64,
        day: i64,
        n: usize,
        samples: String,
    }
    let batch: Vec<_> = days
        .iter()
        .map(|((series, day), samples)| {
            // The roll-ups hold all of them; a day that is fuller than this keeps its first ones.
            let kept = samples.get(..SAMPLES_A_DAY).unwrap_or(samples);
            Written {
                series: series.0,
                day: day.0,
                n: kept.len(),
                samples: row::hexadecimal(&pack(kept)),
            }
        })
        .collect();
    tx::later(tx, Statement::own(WRITE).bind(row::json(&batch)?));
    Ok(())
}

/// Most samples of one series kept for a day: one a second, and room.
const SAMPLES_A_DAY: usize = 100_000;

const OPEN: &str = "SELECT series, hour, samples FROM rollup_1h WHERE samples IS NOT NULL AND hour < $1 ORDER BY hour, series LIMIT $2";
const STORED: &str = concat!(
    "SELECT c.series, c.day, c.samples FROM (SELECT CAST(value ->> 'series' AS BIGINT) AS series, CAST(value ->> 'day' AS BIGINT) AS day FROM ",
    rows!("$1"),
    ") AS wanted JOIN chunk_day c ON c.series = wanted.series AND c.day = wanted.day"
);
const WRITE: &str = concat!(
    "INSERT INTO chunk_day (series, day, n, samples) SELECT CAST(value ->> 'series' AS BIGINT), CAST(value ->> 'day' AS BIGINT),
CAST(value ->> 'n' AS BIGINT), ",
    bytes!("value ->> 'samples'"),
    " FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (series, day) DO UPDATE SET n = excluded.n, samples = excluded.samples"
);
const WITHOUT_SAMPLES: &str = concat!(
    "UPDATE rollup_1h SET samples = NULL FROM (SELECT CAST(value ->> 'series' AS BIGINT) AS series, CAST(value ->> 'hour' AS BIGINT) AS hour FROM ",
    rows!("$1"),
    ") AS those WHERE rollup_1h.series = those.series AND rollup_1h.hour = those.hour"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[OPEN, STORED, WRITE, WITHOUT_SAMPLES];
