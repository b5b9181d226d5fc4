//! The least that a durable acknowledgement costs on this machine: one writer appends the same bytes to a table of SQLite, with one
//! `fsync` for everybody who waits. No queue, no lease, no ingest: what the control plane's own figures are a share of.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::process::processor_time;

/// What the floor did.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// Rows appended and acknowledged.
    pub rows: u64,
    /// Commits, so calls of `fsync`.
    pub commits: u64,
    /// How long it took.
    pub took: Duration,
    /// Of the whole process.
    pub processor: Duration,
}

/// One row to append, and who waits for it.
struct Append {
    spec: String,
    report: String,
    done: oneshot::Sender<()>,
}

/// Appends rows of these sizes for so many clients, each of which waits for its own acknowledgement, as long as said; in a new file.
///
/// # Errors
/// When the database cannot be written.
pub async fn measure(file: &Path, clients: usize, spec_bytes: usize, report_bytes: usize, lasting: Duration) -> Result<Floor> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut connection = options.connect().await.context("open the floor's database")?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS floor (id INTEGER PRIMARY KEY, spec TEXT NOT NULL, report TEXT NOT NULL)")
        .execute(&mut connection)
        .await?;
    let (appends, queue) = mpsc::channel(clients.max(1));
    let processor = processor_time(std::process::id())?;
    let began = crate::clock::start();
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let appends = appends.clone();
        asking.spawn(async move {
            while began.elapsed() < lasting {
                let (done, acknowledged) = oneshot::channel();
                let append = Append {
                    spec: "s".repeat(spec_bytes),
                    report: "r".repeat(report_bytes),
                    done,
                };
                if appends.send(append).await.is_err() || acknowledged.await.is_err() {
                    return;
                }
            }
        });
    }
    drop(appends);
    let (rows, commits) = write(&mut connection, queue, clients).await?;
    let took = began.elapsed();
    let processor = processor_time(std::process::id())?.saturating_sub(processor);
    connection.close().await?;
    Ok(Floor {
        rows,
        commits,
        took,
        processor,
    })
}

async fn write(connection: &mut SqliteConnection, mut queue: mpsc::Receiver<Append>, most: usize) -> Result<(u64, u64)> {
    let (mut rows, mut commits) = (0, 0);
    let mut batch = Vec::with_capacity(most);
    while queue.recv_many(&mut batch, most).await > 0 {
        let mut statement = QueryBuilder::<Sqlite>::new("INSERT INTO floor (spec, report) ");
        statement.push_values(&batch, |mut row, append| {
            row.push_bind(append.spec.as_str()).push_bind(append.report.as_str());
        });
        statement.build().execute(&mut *connection).await.context("append")?;
        rows += u64::try_from(batch.len())?;
        commits += 1;
        for append in batch.drain(..) {
            // A client that left needs no answer.
            let _ = append.done.send(());
        }
    }
    Ok((rows, commits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_row_that_was_acknowledged_is_there_and_commits_are_shared() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("floor.db");
        let floor = measure(&file, 8, 300, 1_024, Duration::from_millis(100)).await.unwrap();
        let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM floor").fetch_one(&mut connection).await.unwrap();
        assert_eq!(u64::try_from(stored).unwrap(), floor.rows);
        assert!(floor.commits > 0 && floor.commits <= floor.rows, "{floor:?}");
    }
}
