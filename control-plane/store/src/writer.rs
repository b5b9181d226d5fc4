//! The one task that writes. It drains its channel, applies every operation inside one transaction, commits once, then answers everyone.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::error::{StoreError, Unavailable};
use crate::metrics::Counters;
use crate::tx::{BoxFuture, Tx, sealed::Connected as _};

/// One operation of the queue: applied inside the transaction, then told whether that was committed. Dropping it tells its caller that it was not.
pub(crate) type Operation = Box<dyn for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Settled> + Send>;

/// An operation that was applied and waits for the commit.
pub(crate) struct Settled {
    verdict: Verdict,
    answer: Box<dyn FnOnce(Result<(), Unavailable>) + Send>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Commit it.
    Keep,
    /// Undo this one alone.
    Undo,
    /// Undo it, and open the connection again before the next batch.
    UndoAndReopen,
}

/// The writer's state; lives in its task.
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    operations: mpsc::Receiver<Operation>,
    stop: Arc<Notify>,
    counters: Arc<Counters>,
    log: WriteAheadLog,
}

/// The transaction is lost.
struct Broken {
    reason: Unavailable,
    connection: Trust,
}

/// Whether the connection can carry the next batch, once the lost transaction is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Sound,
    Spoilt,
}

impl Writer {
    pub(crate) fn new(
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        operations: mpsc::Receiver<Operation>,
        stop: Arc<Notify>,
        counters: Arc<Counters>,
    ) -> Self {
        let log = WriteAheadLog::of(options.get_filename());
        Self {
            options,
            connection: Some(connection),
            operations,
            stop,
            counters,
            log,
        }
    }

    /// Works until told to stop, then through what still waits, then closes the connection.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let drained = tokio::select! {
                biased;
                () = self.stop.notified() => {
                    self.operations.close();
                    continue;
                }
                drained = self.operations.recv_many(&mut batch, BATCH) => drained,
            };
            if drained == 0 {
                break;
            }
            self.write(&mut batch).await;
        }
        if let Some(connection) = self.connection.take() {
            close(Tx::new(connection, self.counters)).await;
        }
    }

    /// Applies a batch, commits it, answers.
    async fn write(&mut self, batch: &mut Vec<Operation>) {
        let Some(connection) = self.take_connection().await else {
            batch.clear();
            self.counters.commit_failures.add(1);
            return;
        };
        let mut tx = Tx::new(connection, Arc::clone(&self.counters));
        let mut settled = Vec::with_capacity(batch.len());
        let committed = match begin(&mut tx).await {
            Ok(()) => match apply_all(&mut tx, batch.drain(..), &mut settled).await {
                Ok(()) => commit(&mut tx).await,
                Err(broken) => Err(broken),
            },
            Err(broken) => Err(broken),
        };
        batch.clear();
        let reopen = settled.iter().any(|one| one.verdict == Verdict::UndoAndReopen);
        match committed {
            Ok(()) => {
                self.count(&settled);
                for one in settled {
                    (one.answer)(Ok(()));
                }
                if !reopen {
                    self.log.cut_if_long(&mut tx, &self.counters).await;
                    self.connection = Some(tx.into_connection());
                }
            }
            Err(Broken { reason, connection }) => {
                tracing::warn!(%reason, operations = settled.len(), "a batch of writes was not committed");
                self.counters.commit_failures.add(1);
                if roll_back(&mut tx).await == Trust::Sound && connection == Trust::Sound && !reopen {
                    self.connection = Some(tx.into_connection());
                }
                for one in settled {
                    (one.answer)(Err(reason));
                }
            }
        }
    }

    async fn take_connection(&mut self) -> Option<SqliteConnection> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        match self.options.connect().await {
            Ok(connection) => {
                self.counters.reopened.add(1);
                Some(connection)
            }
            Err(error) => {
                tracing::warn!(%error, "the database cannot be opened again");
                None
            }
        }
    }

    fn count(&self, settled: &[Settled]) {
        let kept = settled.iter().filter(|one| one.verdict == Verdict::Keep).count();
        self.counters.commits.add(1);
        self.counters.operations.add(u64::try_from(kept).unwrap_or(u64::MAX));
        self.counters.operations_undone.add(u64::try_from(settled.len() - kept).unwrap_or(u64::MAX));
    }
}

/// Moves what the log holds into the database file, so that a closed database is one file, and closes.
async fn close(mut tx: Tx) {
    if let Err(error) = truncate(&mut tx).await {
        tracing::warn!(%error, "the write-ahead log was not cut at closing; the next start reads it");
    }
    if let Err(error) = tx.into_connection().close().await {
        tracing::warn!(%error, "the database was not closed cleanly");
    }
}

/// Makes an operation of a caller's function.
pub(crate) fn operation<T, F>(apply: F, answer_to: oneshot::Sender<Result<T, StoreError>>) -> Operation
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    Box::new(move |tx| {
        Box::pin(async move {
            if answer_to.is_closed() {
                // Nobody waits any more, so nothing was promised either.
                return Settled {
                    verdict: Verdict::Keep,
                    answer: Box::new(|_| ()),
                };
            }
            let result = apply(tx).await;
            let verdict = match &result {
                Ok(_) => Verdict::Keep,
                Err(error) if error.spoils_connection() => Verdict::UndoAndReopen,
                Err(_) => Verdict::Undo,
            };
            let answer = move |committed: Result<(), Unavailable>| {
                let answer = match (committed, result) {
                    // What it says of the data may rest on what was rolled back; why it could not work at all still holds.
                    (Err(_), Err(own)) if own.is_retryable() => Err(own),
                    (Err(reason), _) => Err(reason.into()),
                    (Ok(()), result) => result,
                };
                // A caller that went away meanwhile needs no answer.
                let _gone = answer_to.send(answer);
            };
            Settled {
                verdict,
                answer: Box::new(answer),
            }
        })
    })
}

async fn apply_all(tx: &mut Tx, operations: impl Iterator<Item = Operation>, settled: &mut Vec<Settled>) -> Result<(), Broken> {
    for operation in operations {
        run(tx, SAVEPOINT).await?;
        let one = apply_one(tx, operation).await?;
        let verdict = one.verdict;
        settled.push(one);
        // Either fails where the database has rolled the whole transaction back by itself, as on a full disk: then nothing of the batch stands.
        if verdict != Verdict::Keep {
            run(tx, ROLLBACK_TO_SAVEPOINT).await?;
        }
        run(tx, RELEASE_SAVEPOINT).await?;
    }
    Ok(())
}

/// Runs one operation; one that panics or never ends breaks its batch, not the writer.
async fn apply_one(tx: &mut Tx, operation: Operation) -> Result<Settled, Broken> {
    let mut applied = pin!(operation(tx));
    let guarded = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| applied.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(settled)) => Poll::Ready(Ok(settled)),
        Err(_panic) => Poll::Ready(Err(interrupted(Unavailable::NotCommitted))),
    });
    timeout(OPERATION_TIMEOUT, guarded).await.unwrap_or(Err(interrupted(Unavailable::TimedOut)))
}

/// A statement may still be under way on the connection.
const fn interrupted(reason: Unavailable) -> Broken {
    Broken {
        reason,
        connection: Trust::Spoilt,
    }
}

async fn begin(tx: &mut Tx) -> Result<(), Broken> {
    run(tx, BEGIN).await
}

async fn commit(tx: &mut Tx) -> Result<(), Broken> {
    run(tx, COMMIT).await
}

/// Leaves no transaction open, also where the database has rolled back by itself.
async fn roll_back(tx: &mut Tx) -> Trust {
    match sqlx::query(ROLLBACK).execute(tx.connection()).await.map_err(StoreError::from) {
        Ok(_) | Err(StoreError::Statement(_)) => Trust::Sound,
        Err(_) => Trust::Spoilt,
    }
}

async fn run(tx: &mut Tx, statement: &'static str) -> Result<(), Broken> {
    let Err(error) = sqlx::query(statement).execute(tx.connection()).await.map_err(StoreError::from) else {
        return Ok(());
    };
    tracing::warn!(%error, statement, "the writer's statement was refused");
    let connection = if error.spoils_connection() { Trust::Spoilt } else { Trust::Sound };
    let reason = if let StoreError::Unavailable(reason) = error {
        reason
    } else {
        Unavailable::NotCommitted
    };
    Err(Broken { reason, connection })
}

/// The write-ahead log's file, whose growth is watched.
struct WriteAheadLog {
    file: PathBuf,
    /// Longer than this, it is cut; doubles while a reader keeps it from being cut.
    cut_above: u64,
}

impl WriteAheadLog {
    fn of(database: &std::path::Path) -> Self {
        let mut file = database.as_os_str().to_owned();
        file.push("-wal");
        Self {
            file: file.into(),
            cut_above: LOG_BYTES,
        }
    }

    async fn cut_if_long(&mut self, tx: &mut Tx, counters: &Counters) {
        let length = std::fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
        if length <= self.cut_above {
            return;
        }
        match truncate(tx).await {
            Ok(0) => {
                self.cut_above = LOG_BYTES;
                counters.checkpoints.add(1);
            }
            Ok(_busy) => self.cut_above = length.saturating_mul(2),
            Err(error) => tracing::warn!(%error, "the write-ahead log was not cut"),
        }
    }
}

/// Cuts the log without waiting for readers; 0 says that it was cut, 1 that a reader still needed it.
async fn truncate(tx: &mut Tx) -> Result<i64, sqlx::Error> {
    sqlx::query(BUSY_AT_ONCE).execute(tx.connection()).await?;
    let busy = sqlx::query_scalar(CHECKPOINT).fetch_one(tx.connection()).await;
    sqlx::query(BUSY_AFTER_A_WHILE).execute(tx.connection()).await?;
    busy
}

/// Most operations of one transaction.
const BATCH: usize = 512;
/// Longest an operation may take; its batch is given up after that.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Length of the write-ahead log above which it is cut, bytes.
const LOG_BYTES: u64 = 64 * 1024 * 1024;

const BEGIN: &str = "BEGIN IMMEDIATE";
const SAVEPOINT: &str = "SAVEPOINT operation";
const ROLLBACK_TO_SAVEPOINT: &str = "ROLLBACK TO operation";
const RELEASE_SAVEPOINT: &str = "RELEASE operation";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const BUSY_AT_ONCE: &str = "PRAGMA busy_timeout = 0";
const BUSY_AFTER_A_WHILE: &str = "PRAGMA busy_timeout = 5000";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{ConnectOptions as _, Executor as _};

    use super::*;

    #[tokio::test]
    async fn dbf_09_a_long_log_is_cut_unless_a_reader_still_needs_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("probeops.db");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let counters = Arc::new(Counters::default());
        let mut tx = Tx::new(options.connect().await.unwrap(), Arc::clone(&counters));
        let mut log = WriteAheadLog::of(&file);
        tx.connection().execute("CREATE TABLE t (n INTEGER)").await.unwrap();
        log.cut_if_long(&mut tx, &counters).await;
        assert_ne!(std::fs::metadata(&log.file).unwrap().len(), 0, "short enough to stay");

        log.cut_above = 1;
        let mut reader = options.connect().await.unwrap();
        reader.execute("BEGIN; SELECT n FROM t").await.unwrap();
        tx.connection().execute("INSERT INTO t (n) VALUES (1)").await.unwrap();
        log.cut_if_long(&mut tx, &counters).await;
        let kept = std::fs::metadata(&log.file).unwrap().len();
        assert!(kept > 0 && log.cut_above == kept * 2, "not tried again at once");

        reader.execute("COMMIT").await.unwrap();
        log.cut_above = 1;
        log.cut_if_long(&mut tx, &counters).await;
        assert_eq!(std::fs::metadata(&log.file).unwrap().len(), 0);
        assert_eq!((counters.snapshot(0).checkpoints, log.cut_above), (1, LOG_BYTES));
    }
}
