//! Everything from a file into a PostgreSQL database, or back: all of it, or nothing.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::error::MaintenanceError;
use super::file::{Unfinished, open_to_fill, open_to_read};
use super::table::{Digest, Table, Value, tables};
use crate::connection::Connection;
use crate::database::{Database, Place};
use crate::lock::Lock;
use crate::{postgres, schema, sqlite};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// Rows of each table, by its name.
    pub tables: Vec<(String, u64)>,
}

impl Copied {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }
}

/// Copies a whole database into an empty one of the other kind, reads back what arrived, and keeps it only if it is the same.
/// No control plane may have either of them open meanwhile.
///
/// # Errors
/// [`MaintenanceError::NotEmpty`] for a target with rows, [`MaintenanceError::Differs`] where something did not arrive as it was.
pub async fn copy(from: &Database, to: &Database) -> Result<Copied, MaintenanceError> {
    match (&from.0, &to.0) {
        (Place::File(file), Place::Server(options)) => {
            if !file.is_file() {
                return Err(MaintenanceError::Missing { path: file.clone() });
            }
            let _lock = Lock::acquire(file)?;
            let (mut source, version) = open_to_read(file).await?;
            same_schema(version, from)?;
            let target = postgres::Server::new(options, BUSY_WAIT).connect().await?;
            to_postgres(&mut source, Connection::Postgres(target), to).await
        }
        (Place::Server(options), Place::File(file)) => {
            if file.exists() {
                return Err(MaintenanceError::Exists { path: file.clone() });
            }
            let _lock = Lock::acquire(file)?;
            let mut source = postgres::Server::new(options, BUSY_WAIT).connect().await?;
            to_file(&mut source, from, file).await
        }
        (Place::File(_), Place::File(_)) | (Place::Server(_), Place::Server(_)) => Err(MaintenanceError::SameKind),
    }
}

async fn to_postgres(source: &mut SqliteConnection, mut target: Connection, to: &Database) -> Result<Copied, MaintenanceError> {
    schema::migrate(&mut target).await?;
    let Connection::Postgres(mut target) = target else {
        return Err(MaintenanceError::SameKind);
    };
    postgres::take_your_time(&mut target, postgres::NO_TIMEOUT).await?;
    let tables = tables(&mut target).await?;
    let mut copied = Copied::default();
    let mut reading = source.begin().await?;
    let mut writing = target.begin().await?;
    for table in tables.iter().rev() {
        empty(&mut writing, table, to).await?;
    }
    for table in &tables {
        let sent = send(&mut reading, &mut writing, table).await?;
        let arrived = digest_of_postgres(&mut writing, table).await?;
        record(&mut copied, table, sent, arrived)?;
    }
    writing.commit().await?;
    Ok(copied)
}

/// Makes sure that a table holds nothing but what the migrations put there, and takes that out: the other database has its own.
async fn empty(target: &mut PgConnection, table: &Table, to: &Database) -> Result<(), MaintenanceError> {
    if table.name != SEEDED {
        let filled = format!("SELECT EXISTS (SELECT 1 FROM {})", table.quoted());
        if sqlx::query_scalar::<_, bool>(AssertSqlSafe(filled)).fetch_one(&mut *target).await? {
            return Err(MaintenanceError::NotEmpty {
                database: to.to_string(),
                table: table.name.clone(),
            });
        }
    }
    let clear = format!("DELETE FROM {}", table.quoted());
    sqlx::query(AssertSqlSafe(clear)).execute(target).await?;
    Ok(())
}

/// Reads a table of the file, row by row, and sends it in chunks by COPY.
async fn send(source: &mut SqliteConnection, target: &mut PgConnection, table: &Table) -> Result<Digest, MaintenanceError> {
    let mut digest = Digest::default();
    let select = format!("SELECT {} FROM {}", table.column_list(), table.quoted());
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(source);
    let copy_in = format!("COPY {} ({}) FROM STDIN", table.quoted(), table.column_list());
    let mut sink = target.copy_in_raw(&copy_in).await?;
    let mut chunk = String::with_capacity(CHUNK_BYTES * 2);
    while let Some(row) = rows.try_next().await? {
        let row = table.sqlite_row(&row)?;
        digest.add(&row);
        write_line(&row, &mut chunk);
        if chunk.len() >= CHUNK_BYTES {
            sink.send(chunk.as_bytes()).await?;
            chunk.clear();
        }
    }
    sink.send(chunk.as_bytes()).await?;
    sink.finish().await?;
    for column in table.columns.iter().filter(|column| column.numbered) {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{0}', '{1}'), COALESCE((SELECT MAX({1}) FROM {0}), 0) + 1, false)",
            table.name, column.name
        );
        sqlx::query(AssertSqlSafe(next)).execute(&mut *target).await?;
    }
    Ok(digest)
}

async fn digest_of_postgres(connection: &mut PgConnection, table: &Table) -> Result<Digest, MaintenanceError> {
    let mut digest = Digest::default();
    let select = format!("SELECT {} FROM {}", table.column_list(), table.quoted());
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        digest.add(&table.postgres_row(&row)?);
    }
    Ok(digest)
}

async fn to_file(source: &mut PgConnection, from: &Database, file: &Path) -> Result<Copied, MaintenanceError> {
    let version = schema::postgres_version(source)
        .await?
        .ok_or_else(|| MaintenanceError::NotOurs { database: from.to_string() })?;
    same_schema(version, from)?;
    postgres::take_your_time(source, postgres::NO_TIMEOUT).await?;
    let unfinished = Unfinished::beside(file)?;
    let mut target = Connection::Sqlite(open_to_fill(unfinished.path()).await?);
    schema::migrate(&mut target).await?;
    let Connection::Sqlite(mut target) = target else {
        return Err(MaintenanceError::SameKind);
    };
    let tables = tables(source).await?;
    let mut copied = Copied::default();
    // All tables as they were at one moment.
    let mut reading = source.begin_with(SNAPSHOT).await?;
    let mut writing = target.begin().await?;
    for table in &tables {
        let clear = format!("DELETE FROM {}", table.quoted());
        sqlx::query(AssertSqlSafe(clear)).execute(&mut *writing).await?;
        let sent = fill(&mut reading, &mut writing, table).await?;
        let arrived = digest_of_sqlite(&mut writing, table).await?;
        record(&mut copied, table, sent, arrived)?;
    }
    writing.commit().await?;
    sqlite::truncate_log(&mut target).await?;
    target.close().await?;
    unfinished.place_new(file)?;
    Ok(copied)
}

async fn fill(source: &mut PgConnection, target: &mut SqliteConnection, table: &Table) -> Result<Digest, MaintenanceError> {
    let mut digest = Digest::default();
    let select = format!("SELECT {} FROM {}", table.column_list(), table.quoted());
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(source);
    let places: Vec<String> = (1..=table.columns.len()).map(|number| format!("${number}")).collect();
    let insert = format!("INSERT INTO {} ({}) VALUES ({})", table.quoted(), table.column_list(), places.join(", "));
    while let Some(row) = rows.try_next().await? {
        let row = table.postgres_row(&row)?;
        digest.add(&row);
        let query = sqlx::query(AssertSqlSafe(insert.clone()));
        let query = row.into_iter().fold(query, |query, value| match value {
            Value::Null => query.bind(None::<i64>),
            Value::Uuid(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Number(value) => query.bind(value),
            Value::Float(value) => query.bind(value),
        });
        query.execute(&mut *target).await?;
    }
    Ok(digest)
}

async fn digest_of_sqlite(connection: &mut SqliteConnection, table: &Table) -> Result<Digest, MaintenanceError> {
    let mut digest = Digest::default();
    let select = format!("SELECT {} FROM {}", table.column_list(), table.quoted());
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        digest.add(&table.sqlite_row(&row)?);
    }
    Ok(digest)
}

/// Both sides have to be of this version's schema, or their columns would not fit.
fn same_schema(found: i64, database: &Database) -> Result<(), MaintenanceError> {
    schema::refuse_newer(Some(found))?;
    if found < schema::known() {
        return Err(MaintenanceError::OlderSchema {
            database: database.to_string(),
            found,
            known: schema::known(),
        });
    }
    Ok(())
}

fn record(copied: &mut Copied, table: &Table, sent: Digest, arrived: Digest) -> Result<(), MaintenanceError> {
    if sent != arrived {
        return Err(MaintenanceError::Differs {
            table: table.name.clone(),
            sent: sent.rows,
            arrived: arrived.rows,
        });
    }
    copied.tables.push((table.name.clone(), sent.rows));
    Ok(())
}

fn write_line(row: &[Value], chunk: &mut String) {
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            chunk.push('\t');
        }
        value.write_copy(chunk);
    }
    chunk.push('\n');
}

/// The one table that a migration fills.
const SEEDED: &str = "tier";
/// Bytes sent to the server at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Longest wait for a lock of the other database.
const BUSY_WAIT: Duration = Duration::from_secs(10);
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
