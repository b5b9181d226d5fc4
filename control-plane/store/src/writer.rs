//! The one task that writes. It drains its channel, applies every operation inside one transaction, commits once, then answers everyone.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, TransactionId};
use crate::error::{StoreError, Unavailable};
use crate::metrics::Counters;
use crate::postgres::{self, Fate};
use crate::sqlite;
use crate::tx::{BoxFuture, Tx};

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

/// Where the writer's connection comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Sqlite(sqlite::File),
    Postgres(postgres::Server),
}

/// The writer's state; lives in its task.
pub(crate) struct Writer {
    source: Source,
    connection: Option<Connection>,
    operations: mpsc::Receiver<Operation>,
    stop: Arc<Notify>,
    counters: Arc<Counters>,
    /// How long to pause after each failure to connect to a server, one after the other.
    pauses: ExponentialBackoff,
}

/// The transaction is lost, or nobody answered whether it was committed.
struct Broken {
    reason: Unavailable,
    connection: Trust,
    in_doubt: Option<TransactionId>,
}

/// Whether the connection can carry the next batch, once the lost transaction is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Sound,
    Spoilt,
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
    pub(crate) fn new(source: Source, connection: Connection, operations: mpsc::Receiver<Operation>, stop: Arc<Notify>, counters: Arc<Counters>) -> Self {
        Self {
            source,
            connection: Some(connection),
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
        if let Some(connection) = self.connection.take() {
            close(connection).await;
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
        let done = transaction(&mut tx, batch.drain(..), &mut settled).await;
        batch.clear();
        let reopen = settled.iter().any(|one| one.verdict == Verdict::UndoAndReopen);
        match done {
            Ok(()) => {
                self.answer_committed(settled);
                if !reopen {
                    self.give_back(tx.into_connection()).await;
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
                    self.connection = Some(tx.into_connection());
                }
                self.answer_lost(settled, reason);
            }
        }
    }

    async fn give_back(&mut self, mut connection: Connection) {
        if let (Source::Sqlite(file), Connection::Sqlite(connection)) = (&mut self.source, &mut connection) {
            file.cut_log_if_long(connection, &self.counters).await;
        }
        self.connection = Some(connection);
    }

    async fn take_connection(&mut self) -> Option<Connection> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        match self.source.connect().await {
            Ok(connection) => {
                self.counters.reopened.add(1);
                self.pauses = pauses();
                Some(connection)
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
            let Some(connection) = self.take_connection().await else {
                continue;
            };
            let Connection::Postgres(mut connection) = connection else {
                return false;
            };
            let fate = postgres::fate(&mut connection, id).await;
            tracing::warn!(?fate, "the fate of a commit that was not answered");
            match fate.map_err(StoreError::from) {
                Ok(Fate::Committed) => {
                    self.connection = Some(Connection::Postgres(connection));
                    return true;
                }
                Ok(Fate::Undecided) => {
                    self.connection = Some(Connection::Postgres(connection));
                    sleep(SHORTEST_PAUSE).await;
                }
                Err(error) if error.spoils_connection() => {}
                // A server that does not know the number has no such transaction.
                Ok(Fate::Lost) | Err(_) => {
                    self.connection = Some(Connection::Postgres(connection));
                    return false;
                }
            }
        }
    }

    fn answer_committed(&self, settled: Vec<Settled>) {
        let kept = settled.iter().filter(|one| one.verdict == Verdict::Keep).count();
        self.counters.commits.add(1);
        self.counters.operations.add(u64::try_from(kept).unwrap_or(u64::MAX));
        self.counters.operations_undone.add(u64::try_from(settled.len() - kept).unwrap_or(u64::MAX));
        for one in settled {
            (one.answer)(Ok(()));
        }
    }

    fn answer_lost(&self, settled: Vec<Settled>, reason: Unavailable) {
        tracing::warn!(%reason, operations = settled.len(), "a batch of writes was not committed");
        self.counters.commit_failures.add(1);
        for one in settled {
            (one.answer)(Err(reason));
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

/// Everything between begin and commit. Where the commit was sent and not answered, its fate is in doubt.
async fn transaction(tx: &mut Tx, operations: impl Iterator<Item = Operation>, settled: &mut Vec<Settled>) -> Result<(), Broken> {
    let id = begin(tx).await?;
    let mut last = Verdict::Undo;
    for operation in operations {
        if last == Verdict::Keep {
            tx.connection().keep().await.map_err(broken)?;
        }
        let one = apply_one(tx, operation).await?;
        last = one.verdict;
        settled.push(one);
        if last != Verdict::Keep {
            tx.connection().undo().await.map_err(broken)?;
        }
    }
    tx.connection().commit().await.map_err(|error| {
        let broken = broken(error);
        // A refusal is an answer; only a lost connection is none.
        let in_doubt = id.filter(|_| broken.reason == Unavailable::Unreachable);
        Broken { in_doubt, ..broken }
    })
}

async fn begin(tx: &mut Tx) -> Result<Option<TransactionId>, Broken> {
    let connection = tx.connection();
    let on_a_server = matches!(connection, Connection::Postgres(_));
    connection.begin().await.map_err(|error| match broken(error) {
        // It may have become a standby: it is left, and whoever is the primary now is dialled.
        broken if on_a_server => Broken {
            connection: Trust::Spoilt,
            ..broken
        },
        broken => broken,
    })
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
        in_doubt: None,
    }
}

/// Leaves no transaction open, also where the database has rolled back by itself.
async fn roll_back(tx: &mut Tx) -> Trust {
    match timeout(ROLLBACK_TIMEOUT, tx.connection().roll_back())
        .await
        .map(|done| done.map_err(StoreError::from))
    {
        Ok(Ok(()) | Err(StoreError::Statement(_))) => Trust::Sound,
        Ok(Err(_)) | Err(_) => Trust::Spoilt,
    }
}

fn broken(error: sqlx::Error) -> Broken {
    let error = StoreError::from(error);
    tracing::warn!(%error, "a step of the writer's transaction was refused");
    let connection = if error.spoils_connection() { Trust::Spoilt } else { Trust::Sound };
    let reason = if let StoreError::Unavailable(reason) = error {
        reason
    } else {
        Unavailable::NotCommitted
    };
    Broken {
        reason,
        connection,
        in_doubt: None,
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
/// Longest an operation may take; its batch is given up after that.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest that undoing a lost transaction may take; the connection is dropped after that.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a server could not be reached, before jitter.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause: callers wait that long for their refusal.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
