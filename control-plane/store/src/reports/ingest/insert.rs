//! Writing reports down, and that their numbers are to go into series.

use std::collections::HashSet;

use control_core::series::{Good, Trust};
use serde::Serialize;
use shared_protocol::id::JobId;
use shared_protocol::tier::Tier;

use super::{Arrived, Facts};
use crate::dialect::{rows, uuid};
use crate::error::StoreError;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Tx};

/// A report that is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) arrived: Arrived<'a>,
    pub(super) facts: &'a Facts,
    pub(super) retention_class: Tier,
    pub(super) timing: Timing,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Timing {
    InTime,
    Late,
}

/// Stores reports of jobs that had none: of one whose row was just taken out of `job_open` nothing was ever stored. Nobody waits for it.
pub(super) fn insert_first(tx: &mut Tx, stored: &[Stored<'_>]) -> Result<(), StoreError> {
    if stored.is_empty() {
        return Ok(());
    }
    tx::later(tx, Statement::own(INSERT).bind(json_rows(stored)?));
    insert_due(tx, stored.iter())
}

/// Stores reports; names the jobs of which there was none yet.
pub(super) async fn insert(tx: &mut Tx, stored: &[Stored<'_>]) -> Result<HashSet<JobId>, StoreError> {
    if stored.is_empty() {
        return Ok(HashSet::new());
    }
    let fresh = tx::all(tx, Statement::own(INSERT_UNLESS_THERE).bind(json_rows(stored)?), job).await?;
    let fresh: HashSet<JobId> = fresh.into_iter().collect();
    insert_due(tx, stored.iter().filter(|stored| fresh.contains(&stored.arrived.report.job)))?;
    Ok(fresh)
}

fn json_rows(stored: &[Stored<'_>]) -> Result<String, StoreError> {
    let reports: Vec<ReportRow<'_>> = stored.iter().map(report_row).collect();
    row::json(&reports)
}

fn insert_due<'a>(tx: &mut Tx, stored: impl Iterator<Item = &'a Stored<'a>>) -> Result<(), StoreError> {
    let due = stored.filter(|stored| !stored.facts.readings.is_empty());
    let due = due.map(due_row).collect::<Result<Vec<_>, _>>()?;
    if !due.is_empty() {
        tx::later(tx, Statement::own(INSERT_DUE).bind(row::json(&due)?));
    }
    Ok(())
}

#[derive(Serialize)]
struct ReportRow<'a> {
    job: JobId,
    retention_class: &'static str,
    attempt: u32,
    late: u8,
    status: &'static str,
    fault: &'static str,
    started_at: i64,
    measured_at: i64,
    skewed: u8,
    received_at: i64,
    body: &'a str,
}

#[derive(Serialize)]
struct DueRow {
    job: JobId,
    at: i64,
    good: u8,
    readings: String,
}

fn report_row<'a>(stored: &Stored<'a>) -> ReportRow<'a> {
    let Stored { arrived, facts, .. } = stored;
    let report = arrived.report;
    ReportRow {
        job: report.job,
        retention_class: stored.retention_class.as_str(),
        attempt: report.attempt.0,
        late: match stored.timing {
            Timing::InTime => 0,
            Timing::Late => 1,
        },
        status: facts.status.as_str(),
        fault: facts.fault.as_str(),
        started_at: report.started_at.micros(),
        measured_at: facts.measured.at.micros(),
        skewed: match facts.measured.trust {
            Trust::Plausible => 0,
            Trust::Skewed => 1,
        },
        received_at: report.at.micros(),
        body: &report.body,
    }
}

fn due_row(stored: &Stored<'_>) -> Result<DueRow, StoreError> {
    Ok(DueRow {
        job: stored.arrived.report.job,
        at: stored.facts.measured.at.micros(),
        good: match stored.facts.good() {
            Good::Yes => 1,
            Good::No => 0,
        },
        readings: row::json(&stored.facts.readings)?,
    })
}

fn job(row: &Row) -> Result<JobId, RowError> {
    Ok(JobId::from_uuid(row.uuid("job")?))
}

macro_rules! insert {
    ($end:literal) => {
        concat!(
            "INSERT INTO report
(retention_class, job, tenant, attempt, late, probe, target, status, fault, started_at, measured_at, skewed, received_at, body)
SELECT came.value ->> 'retention_class', j.id, j.tenant, CAST(came.value ->> 'attempt' AS BIGINT), CAST(came.value ->> 'late' AS BIGINT), m.probe, m.target,
came.value ->> 'status', came.value ->> 'fault', CAST(came.value ->> 'started_at' AS BIGINT), CAST(came.value ->> 'measured_at' AS BIGINT),
CAST(came.value ->> 'skewed' AS BIGINT), CAST(came.value ->> 'received_at' AS BIGINT), came.value ->> 'body' FROM ",
            rows!("$1"),
            " AS came JOIN job j ON j.id = ",
            uuid!("came.value ->> 'job'"),
            " JOIN measurement m ON m.id = j.measurement WHERE true",
            $end
        )
    };
}

const INSERT: &str = insert!("");
const INSERT_UNLESS_THERE: &str = insert!(" ON CONFLICT (retention_class, job) DO NOTHING RETURNING job");
const INSERT_DUE: &str = concat!(
    "INSERT INTO series_due (job, tenant, agent, probe, target, at, good, readings)
SELECT j.id, j.tenant, j.agent, m.probe, m.target, CAST(came.value ->> 'at' AS BIGINT), CAST(came.value ->> 'good' AS BIGINT), came.value ->> 'readings' FROM ",
    rows!("$1"),
    " AS came JOIN job j ON j.id = ",
    uuid!("came.value ->> 'job'"),
    " JOIN measurement m ON m.id = j.measurement"
);

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[INSERT, INSERT_UNLESS_THERE, INSERT_DUE];
