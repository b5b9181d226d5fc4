//! Whether a database is sound: its pages, its books, its schema.

use sqlx::{PgConnection, Row as _, SqliteConnection};

use super::error::MaintenanceError;
use super::file::open_to_read;
use crate::database::{Database, Kind, Place};
use crate::jobs::Conservation;
use crate::{postgres, schema};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which database it is.
    pub kind: Kind,
    /// Its schema.
    pub schema: i64,
    /// The highest schema that this version knows; the next start goes there.
    pub newest_schema: i64,
    /// Jobs accepted, open and ended.
    pub jobs: Conservation,
    /// What is wrong; empty where nothing is.
    pub findings: Vec<String>,
}

/// Reads the whole database, also while a server works on it. Takes long on a large one.
///
/// # Errors
/// Where it cannot be read at all, or was written by a newer version.
pub async fn check(database: &Database) -> Result<Checked, MaintenanceError> {
    let (schema, mut findings, mut books) = match &database.0 {
        Place::File(file) => {
            let (mut connection, schema) = open_to_read(file).await?;
            let findings = sqlite_findings(&mut connection).await?;
            (schema, findings, sqlite_books(&mut connection).await?)
        }
        Place::Server(options) => {
            let mut connection = postgres::connect_to_look(options).await?;
            let version = schema::postgres_version(&mut connection).await?;
            let version = version.ok_or_else(|| MaintenanceError::NotOurs {
                database: database.to_string(),
            })?;
            schema::refuse_newer(Some(version))?;
            (version, Vec::new(), postgres_books(&mut connection).await?)
        }
    };
    let mut next = || books.pop().unwrap_or_default();
    let (ended_open, open_without_job, both, ended, open, accepted) = (next(), next(), next(), next(), next(), next());
    if accepted != open + ended {
        findings.push(format!("{accepted} jobs were accepted, but {open} are open and {ended} have ended"));
    }
    for (count, what) in [
        (both, "jobs are open although they have ended"),
        (open_without_job, "open jobs were never accepted"),
        (ended_open, "jobs have neither an end nor an entry among the open ones"),
    ] {
        if count > 0 {
            findings.push(format!("{count} {what}"));
        }
    }
    Ok(Checked {
        kind: database.kind(),
        schema,
        newest_schema: schema::known(),
        jobs: Conservation { accepted, open, ended },
        findings,
    })
}

/// Damaged pages, wrong indexes, values of the wrong type, rows that lead nowhere.
pub(super) async fn sqlite_findings(connection: &mut SqliteConnection) -> Result<Vec<String>, MaintenanceError> {
    let mut findings: Vec<String> = sqlx::query_scalar(INTEGRITY).fetch_all(&mut *connection).await?;
    findings.retain(|finding| finding != "ok");
    for row in sqlx::query(DANGLING).fetch_all(connection).await? {
        let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        findings.push(format!("a row of {table} leads to no {parent}"));
    }
    Ok(findings)
}

async fn sqlite_books(connection: &mut SqliteConnection) -> Result<Vec<u64>, MaintenanceError> {
    let row = sqlx::query(BOOKS).fetch_one(connection).await?;
    numbers((0..BOOK_COLUMNS).map(|column| row.try_get(column)))
}

async fn postgres_books(connection: &mut PgConnection) -> Result<Vec<u64>, MaintenanceError> {
    let row = sqlx::query(BOOKS).fetch_one(connection).await?;
    numbers((0..BOOK_COLUMNS).map(|column| row.try_get(column)))
}

fn numbers(columns: impl Iterator<Item = Result<i64, sqlx::Error>>) -> Result<Vec<u64>, MaintenanceError> {
    columns.map(|number| Ok(u64::try_from(number?).unwrap_or_default())).collect()
}

const INTEGRITY: &str = "PRAGMA integrity_check(100)";
const DANGLING: &str = "PRAGMA foreign_key_check";
const BOOK_COLUMNS: usize = 6;
/// One statement, so that all of it is of one moment.
const BOOKS: &str = "SELECT (SELECT COUNT(*) FROM job), (SELECT COUNT(*) FROM job_open), (SELECT COUNT(*) FROM job WHERE outcome IS NOT NULL),
(SELECT COUNT(*) FROM job j JOIN job_open o ON o.id = j.id WHERE j.outcome IS NOT NULL),
(SELECT COUNT(*) FROM job_open o WHERE NOT EXISTS (SELECT 1 FROM job j WHERE j.id = o.id)),
(SELECT COUNT(*) FROM job j WHERE j.outcome IS NULL AND NOT EXISTS (SELECT 1 FROM job_open o WHERE o.id = j.id))";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[BOOKS];
