//! The task that writes, and on PostgreSQL a second one for series. It drains its channel, applies every operation inside one transaction,
//! commits once, then answers everyone. How a batch is applied is in `batch.rs`; here is the connection, and what becomes of a batch whose commit fails.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, TransactionId};
use crate::error::{StoreError, Unavailable};
use crate::hot::Asked;
use crate::jobs::{Enqueue, Lease, Running};
use crate::metrics::Counters;
use crate::postgres::{self, Fate};
use crate::reports::Ingest;
use crate::sqlite;
use crate::tx::Tx;

mod batch;
mod thread;

pub(crate) use batch::alone;
use batch::{Alone, Batch, Broken, Settled, Trust};
pub(crate) use thread::WriterThread;

/// One operation of the queue. Dropping it tells its caller that nothing of it was kept.
pub(crate) enum Operation {
    /// Applied by itself.
    Alone(Alone),
    Enqueue(Box<Asked<Enqueue>>),
    Lease(Box<Asked<Lease>>),
    Running(Box<Asked<Running>>),
    Ingest(Box<Asked<Ingest>>),
}

/// Where the writer's connection comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Sqlite(sqlite::File),
    Postgres(postgres::Server),
}

/// The writer's state; lives in its task.
pub(crate) struct Writer {
    source: Source,
    tx: Option<Tx>,
    operations: mpsc::Receiver<Operation>,
    stop: Arc<Notify>,
    counters: Arc<Counters>,
    /// How long to pause after each failure to connect to a server, one after the other.
    pauses: ExponentialBackoff,
}

impl Source {
    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::Sqlite(file) => Connection::Sqlite(file.connect().await?),
            Self::Postgres(server) => Connection::Postgres(server.connect().await?),
        })
    }
}

impl Writer {
    /// Without a connection it makes one for the first operation.
    pub(crate) fn new(
        source: Source,
        connection: Option<Connection>,
        operations: mpsc::Receiver<Operation>,
        stop: Arc<Notify>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            source,
            tx: connection.map(|connection| Tx::new(connection, Arc::clone(&counters))),
            operations,
            stop,
            counters,
            pauses: pauses(),
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
        if let Source::Sqlite(file) = &mut self.source {
            file.stop().await;
        }
        if let Some(tx) = self.tx.take() {
            close(tx.into_connection()).await;
        }
    }

    /// Applies a batch, commits it, answers.
    async fn write(&mut self, batch: &mut Vec<Operation>) {
        let Some(mut tx) = self.take().await else {
            batch.clear();
            self.counters.commit_failures.add(1);
            return;
        };
        let mut settled = Vec::with_capacity(batch.len());
        let done = Batch::of(batch.drain(..)).apply(&mut tx, &mut settled).await;
        let reopen = settled.iter().any(Settled::spoilt);
        match done {
            Ok(()) => {
                self.answer_committed(settled);
                if !reopen {
                    self.give_back(tx).await;
                }
            }
            Err(Broken {
                in_doubt: Some(id), reason, ..
            }) => {
                drop(tx);
                if self.was_committed(&id).await {
                    self.answer_committed(settled);
                } else {
                    self.answer_lost(settled, reason);
                }
            }
            Err(Broken { reason, connection, .. }) => {
                if roll_back(&mut tx).await == Trust::Sound && connection == Trust::Sound && !reopen {
                    self.tx = Some(tx);
                }
                self.answer_lost(settled, reason);
            }
        }
    }

    async fn give_back(&mut self, mut tx: Tx) {
        if let (Source::Sqlite(file), Connection::Sqlite(connection)) = (&mut self.source, tx.connection()) {
            file.committed(connection, &self.counters).await;
        }
        self.tx = Some(tx);
    }

    async fn take(&mut self) -> Option<Tx> {
        if let Some(tx) = self.tx.take() {
            return Some(tx);
        }
        match self.source.connect().await {
            Ok(connection) => {
                self.counters.reopened.add(1);
                // Also where only series were cut off: until a tenant's next measurement its quota is asked of the disk, which is never wrong.
                self.counters.quotas.forget();
                self.pauses = pauses();
                Some(Tx::new(connection, Arc::clone(&self.counters)))
            }
            Err(error) => {
                tracing::warn!(%error, "the database cannot be opened again");
                if let Source::Postgres(_) = self.source {
                    sleep(self.pauses.next().unwrap_or(LONGEST_PAUSE)).await;
                }
                None
            }
        }
    }

    /// Asks the server, as soon as it can be reached again, what became of a transaction whose commit it did not answer.
    /// Until then its callers wait: an answer would be a guess, and a job of which nobody here knows would never be handed out.
    async fn was_committed(&mut self, id: &TransactionId) -> bool {
        loop {
            let Some(mut tx) = self.take().await else {
                continue;
            };
            let Connection::Postgres(connection) = tx.connection() else {
                return false;
            };
            let fate = postgres::fate(connection, id).await;
            tracing::warn!(?fate, "the fate of a commit that was not answered");
            match fate.map_err(StoreError::from) {
                Ok(Fate::Committed) => {
                    self.tx = Some(tx);
                    return true;
                }
                Ok(Fate::Undecided) => {
                    self.tx = Some(tx);
                    sleep(SHORTEST_PAUSE).await;
                }
                Err(error) if error.spoils_connection() => {}
                // A server that does not know the number has no such transaction.
                Ok(Fate::Lost) | Err(_) => {
                    self.tx = Some(tx);
                    return false;
                }
            }
        }
    }

    fn answer_committed(&self, settled: Vec<Settled>) {
        let kept = settled.iter().filter(|one| one.kept()).count();
        self.counters.commits.add(1);
        self.counters.operations.add(u64::try_from(kept).unwrap_or(u64::MAX));
        self.counters.operations_undone.add(u64::try_from(settled.len() - kept).unwrap_or(u64::MAX));
        for one in settled {
            one.answer(Ok(()));
        }
    }

    fn answer_lost(&self, settled: Vec<Settled>, reason: Unavailable) {
        tracing::warn!(%reason, operations = settled.len(), "a batch of writes was not committed");
        self.counters.commit_failures.add(1);
        for one in settled {
            one.answer(Err(reason));
        }
    }
}

/// Moves what the log holds into the database file, so that a closed database is one file, and closes.
async fn close(mut connection: Connection) {
    if let Connection::Sqlite(connection) = &mut connection
        && let Err(error) = sqlite::truncate_log(connection).await
    {
        tracing::warn!(%error, "the write-ahead log was not cut at closing; the next start reads it");
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the database was not closed cleanly");
    }
}

/// Leaves no transaction open, also where the database has rolled back by itself.
async fn roll_back(tx: &mut Tx) -> Trust {
    match timeout(ROLLBACK_TIMEOUT, tx.roll_back()).await {
        Ok(Ok(()) | Err(StoreError::Statement(_))) => Trust::Sound,
        Ok(Err(_)) | Err(_) => Trust::Spoilt,
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Most operations of one transaction.
const BATCH: usize = 512;
/// Longest that undoing a lost transaction may take; the connection is dropped after that.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a server could not be reached, before jitter.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause: callers wait that long for their refusal.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
