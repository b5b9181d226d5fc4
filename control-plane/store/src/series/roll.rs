//! Adding numbers to series: hours, their samples, and the latest value.

use std::collections::{BTreeMap, HashSet};

use control_core::authorize::SystemScope;
use control_core::series::{Detail, Good, Hour, Identity, Rollup, Sample, Sketch, pack, unpack};
use serde::Serialize;
use shared_protocol::id::JobId;
use shared_protocol::time::UnixMicros;
use uuid::Uuid;

use super::seal::without_samples;
use super::{SeriesKey, agent_column};
use crate::dialect::{bytes, joined, rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Question, Tx};

/// Numbers taken at one moment, each with its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Roll {
    /// When.
    pub at: UnixMicros,
    /// Whether the answer was as it should be.
    pub good: Good,
    /// The numbers.
    pub parts: Vec<Part>,
}

/// One number with its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The series.
    pub series: SeriesKey,
    /// What the series is.
    pub identity: Identity,
    /// The number.
    pub value: f64,
    /// How much of it is kept.
    pub detail: Detail,
}

/// What was added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RolledUp {
    /// Reports whose numbers came in.
    pub reports: u64,
    /// Numbers that came in.
    pub samples: u64,
}

/// Adds the numbers of reports, of each at most once, however often this is called with it.
pub async fn roll(tx: &mut Tx, _: SystemScope, reports: &[(JobId, Roll)]) -> Result<RolledUp, StoreError> {
    let jobs: Vec<JobId> = reports.iter().map(|(job, _)| *job).collect();
    let take = Statement::own(TAKE_DUE).bind(row::json(&jobs)?);
    let taken = |row: &Row| Ok(JobId::from_uuid(row.uuid("job")?));
    // What is stored of their hours is asked for in the same trip, also for those that turn out not to be due any more.
    let (taken, stored) = tx::both(tx, (take, taken), stored(reports.iter().map(|(_, roll)| roll))?).await?;
    let taken: HashSet<JobId> = taken.into_iter().collect();
    let due: Vec<&Roll> = reports.iter().filter(|(job, _)| taken.contains(job)).map(|(_, roll)| roll).collect();
    let samples = merge(tx, &due, stored)?;
    Ok(RolledUp {
        reports: u64::try_from(due.len()).unwrap_or(u64::MAX),
        samples,
    })
}

/// Adds numbers that no report stands behind: what agents see of their own hosts.
pub async fn add(tx: &mut Tx, _: SystemScope, rolls: &[Roll]) -> Result<RolledUp, StoreError> {
    let (statement, cell) = stored(rolls)?;
    let stored = tx::all(tx, statement, cell).await?;
    let samples = merge(tx, &rolls.iter().collect::<Vec<_>>(), stored)?;
    Ok(RolledUp { reports: 0, samples })
}

/// What is in one hour of one series, or comes to it.
#[derive(Debug, Default)]
struct Cell {
    rollup: Rollup,
    samples: Vec<Sample>,
}

type Key = (SeriesKey, Hour);
type Cells = BTreeMap<Key, Cell>;

fn merge(tx: &mut Tx, rolls: &[&Roll], stored: Vec<(Key, Cell)>) -> Result<u64, StoreError> {
    let mut cells = Cells::new();
    let mut latest: BTreeMap<SeriesKey, (&Roll, &Part)> = BTreeMap::new();
    let mut count = 0;
    for roll in rolls {
        for part in &roll.parts {
            let cell = cells.entry((part.series, Hour::of(roll.at))).or_default();
            cell.rollup.add(part.value, roll.good);
            count += 1;
            if part.detail == Detail::Samples {
                cell.samples.push(Sample::new(roll.at, part.value));
                let known = latest.entry(part.series).or_insert((roll, part));
                if roll.at >= known.0.at {
                    *known = (roll, part);
                }
            }
        }
    }
    if cells.is_empty() {
        return Ok(0);
    }
    let mut rewritten = Vec::new();
    for (key, stored) in stored {
        if let Some(cell) = cells.get_mut(&key) {
            cell.rollup.merge(&stored.rollup);
            if !stored.samples.is_empty() {
                cell.samples.extend(stored.samples);
                rewritten.push(key);
            }
        }
    }
    if !rewritten.is_empty() {
        tx::later(tx, without_samples(&rewritten)?);
    }
    write(tx, &cells)?;
    write_latest(tx, &latest)?;
    Ok(count)
}

/// The hours that these come to, as they are; with their samples only where it is time to pack them anew.
fn stored<'a>(rolls: impl IntoIterator<Item = &'a Roll>) -> Result<Question<(Key, Cell)>, StoreError> {
    #[derive(Serialize)]
    struct Wanted {
        series: i64,
        hour: i64,
        /// How many samples come to it.
        more: u64,
    }
    let mut wanted: BTreeMap<Key, u64> = BTreeMap::new();
    for roll in rolls {
        for part in &roll.parts {
            *wanted.entry((part.series, Hour::of(roll.at))).or_default() += u64::from(part.detail == Detail::Samples);
        }
    }
    let wanted: Vec<_> = wanted
        .into_iter()
        .map(|((series, hour), more)| Wanted {
            series: series.0,
            hour: hour.0,
            more,
        })
        .collect();
    let statement = Statement::own(STORED).bind(row::json(&wanted)?).bind(PACKED_ANEW_EACH);
    Ok((statement, cell))
}

fn cell(row: &Row) -> Result<(Key, Cell), RowError> {
    let key = (SeriesKey(row.number("series")?), Hour(row.number("hour")?));
    let samples = row.bytes_or_none("samples")?;
    let cell = Cell {
        rollup: rollup(row)?,
        samples: samples
            .map_or(Ok(Vec::new()), |samples| unpack(&samples))
            .map_err(|_| RowError::Unknown("samples"))?,
    };
    Ok((key, cell))
}

fn write(tx: &mut Tx, cells: &Cells) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Written {
        series: i64,
        hour: i64,
        n: u64,
        ok: u64,
        min: f64,
        max: f64,
        sum: f64,
        sketch: String,
        samples: Option<String>,
    }
    let batch: Vec<_> = cells
        .iter()
        .map(|((series, hour), cell)| Written {
            series: series.0,
            hour: hour.0,
            n: cell.rollup.n,
            ok: cell.rollup.ok,
            min: cell.rollup.min,
            max: cell.rollup.max,
            sum: cell.rollup.sum,
            sketch: row::hexadecimal(&cell.rollup.sketch.to_bytes()),
            samples: (!cell.samples.is_empty()).then(|| row::hexadecimal(&pack(&cell.samples))),
        })
        .collect();
    tx::later(tx, Statement::own(WRITE).bind(row::json(&batch)?));
    Ok(())
}

fn write_latest(tx: &mut Tx, latest: &BTreeMap<SeriesKey, (&Roll, &Part)>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Latest<'a> {
        tenant: Uuid,
        series: i64,
        agent: Uuid,
        probe: &'a str,
        name: &'a str,
        target: &'a str,
        at: i64,
        value: f64,
        good: u8,
    }
    if latest.is_empty() {
        return Ok(());
    }
    let batch: Vec<_> = latest
        .iter()
        .map(|(series, (roll, part))| Latest {
            tenant: part.identity.tenant.uuid(),
            series: series.0,
            agent: agent_column(part.identity.agent),
            probe: &part.identity.probe,
            name: &part.identity.name,
            target: &part.identity.target,
            at: roll.at.micros(),
            value: part.value,
            good: u8::from(roll.good == Good::Yes),
        })
        .collect();
    tx::later(tx, Statement::own(WRITE_LATEST).bind(row::json(&batch)?));
    Ok(())
}

/// The roll-up of a row.
pub(super) fn rollup(row: &Row) -> Result<Rollup, RowError> {
    Ok(Rollup {
        n: row.number("n")?,
        ok: row.number("ok")?,
        min: row.float("min")?,
        max: row.float("max")?,
        sum: row.float("sum")?,
        sketch: Sketch::from_bytes(&row.bytes("sketch")?).ok_or(RowError::Unknown("sketch"))?,
    })
}

const TAKE_DUE: &str = concat!(
    "DELETE FROM series_due WHERE job IN (SELECT ",
    uuid!("value"),
    " FROM ",
    rows!("$1"),
    ") RETURNING job"
);
/// What comes to the samples of an hour is put behind them unread, in a pack of its own; each time so many have come, all are packed as one.
/// A pack's beginning takes as much as three samples.
const PACKED_ANEW_EACH: i64 = 256;

const STORED: &str = concat!(
    "SELECT r.series, r.hour, r.n, r.ok, r.min, r.max, r.sum, r.sketch,
CASE WHEN r.n / $2 < (r.n + wanted.more) / $2 THEN r.samples END AS samples FROM (SELECT CAST(value ->> 'series' AS BIGINT) AS series,
CAST(value ->> 'hour' AS BIGINT) AS hour, CAST(value ->> 'more' AS BIGINT) AS more FROM ",
    rows!("$1"),
    ") AS wanted JOIN rollup_1h r ON r.series = wanted.series AND r.hour = wanted.hour"
);
const WRITE: &str = concat!(
    "INSERT INTO rollup_1h (series, hour, n, ok, min, max, sum, sketch, samples) SELECT CAST(value ->> 'series' AS BIGINT),
CAST(value ->> 'hour' AS BIGINT), CAST(value ->> 'n' AS BIGINT), CAST(value ->> 'ok' AS BIGINT), CAST(value ->> 'min' AS DOUBLE PRECISION),
CAST(value ->> 'max' AS DOUBLE PRECISION), CAST(value ->> 'sum' AS DOUBLE PRECISION), ",
    bytes!("value ->> 'sketch'"),
    ", ",
    bytes!("value ->> 'samples'"),
    " FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (series, hour) DO UPDATE SET n = excluded.n, ok = excluded.ok, min = excluded.min, max = excluded.max,
sum = excluded.sum, sketch = excluded.sketch, samples = COALESCE(",
    joined!("rollup_1h.samples || excluded.samples"),
    ", excluded.samples, rollup_1h.samples)"
);
const WRITE_LATEST: &str = concat!(
    "INSERT INTO series_latest (tenant, series, agent, probe, name, target, at, value, good) SELECT ",
    uuid!("value ->> 'tenant'"),
    ", CAST(value ->> 'series' AS BIGINT), ",
    uuid!("value ->> 'agent'"),
    ", value ->> 'probe', value ->> 'name', value ->> 'target', CAST(value ->> 'at' AS BIGINT), CAST(value ->> 'value' AS DOUBLE PRECISION),
CAST(value ->> 'good' AS BIGINT) FROM ",
    rows!("$1"),
    " WHERE true ON CONFLICT (tenant, series) DO UPDATE SET at = excluded.at, value = excluded.value, good = excluded.good
WHERE excluded.at >= series_latest.at"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[TAKE_DUE, STORED, WRITE, WRITE_LATEST];
