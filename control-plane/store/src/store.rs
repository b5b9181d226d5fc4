//! The open database: one writer, on PostgreSQL a second one for series, a few readers, the lock that keeps a second control plane out.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use control_core::quota::Account;
use shared_protocol::id::TenantId;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::database::{Database, Kind, Place};
use crate::error::{StoreError, Unavailable};
use crate::hot::Hot;
use crate::lock::Lock;
use crate::metrics::{Counters, StoreMetrics};
use crate::readers::{Readers, To};
use crate::statement::Statement;
use crate::tx::{BoxFuture, Reader, Tx};
use crate::writer::{self, Operation, Source, Writer, WriterThread};
use crate::{hot, postgres, schema, sqlite, tx};

/// How the database is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Most reading connections.
    pub readers: u32,
    /// Longest a caller waits for a reading connection.
    pub reader_wait: Duration,
    /// Longest a caller waits for room in the writer's queue.
    pub write_wait: Duration,
    /// Longest a statement waits for another process's lock.
    pub busy_wait: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            readers: 8,
            reader_wait: Duration::from_secs(2),
            write_wait: Duration::from_secs(5),
            busy_wait: Duration::from_secs(5),
        }
    }
}

/// The open database. Clones share it; it closes with [`Store::close`], or less orderly when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Lane,
    /// Who writes series beside the writer, where the database takes two at a time.
    series: Option<Lane>,
    readers: Readers,
    write_wait: Duration,
    /// Held for as long as the writer's task may run.
    _thread: WriterThread,
    counters: Arc<Counters>,
    lock: Mutex<Option<Lock>>,
}

/// Somebody who writes, and the queue before it.
#[derive(Debug)]
struct Lane {
    /// Bound [`QUEUE`]; a full queue makes the caller wait, then answers unavailable.
    operations: mpsc::Sender<Operation>,
    stop: Arc<Notify>,
    /// Aborted when the store is dropped without being closed, which rolls its transaction back.
    task: Mutex<JoinSet<()>>,
}

impl Store {
    /// Opens a database, makes it if it is a file that is not there, and brings it to this version's schema.
    ///
    /// # Errors
    /// [`StoreError::Locked`] or [`StoreError::InUse`] while another control plane has it, [`StoreError::SchemaNewer`] where a newer one
    /// wrote it, [`StoreError::Corrupt`] where the file is not a sound database, [`StoreError::Unavailable`] where a server cannot be
    /// reached: the same call can succeed later.
    pub async fn open(database: impl Into<Database>, options: StoreOptions) -> Result<Self, StoreError> {
        let (source, readers, lock) = match database.into().0 {
            Place::File(file) => open_file(&file, &options)?,
            Place::Server(server) => {
                let server = postgres::Server::new(&server, options.busy_wait);
                let readers = Readers::new(To::Server(Box::new(server.to_read())), &options);
                (Source::Postgres(server), readers, None)
            }
        };
        let mut connection = source.connect().await?;
        schema::migrate(&mut connection).await?;
        let counters = Arc::new(Counters::default());
        let series = match &source {
            Source::Sqlite(_) => None,
            Source::Postgres(server) => Some(beside(server, &counters).await),
        };
        let thread = WriterThread::start().map_err(StoreError::Thread)?;
        let writer = Lane::open(source, Some(connection), &counters, |task| thread.spawn(task));
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                series,
                readers,
                write_wait: options.write_wait,
                _thread: thread,
                counters,
                lock: Mutex::new(lock),
            }),
        })
    }

    /// Which database it is.
    pub fn kind(&self) -> Kind {
        self.inner.readers.kind()
    }

    /// Runs an operation in the write transaction and answers once it is on disk. An operation that fails is undone alone.
    ///
    /// The function must await nothing but the transaction: everybody else's writes wait for it.
    /// A caller that stops waiting may find it done or not done, never half done.
    ///
    /// # Errors
    /// What the operation answered; [`StoreError::Unavailable`] where nothing of it was kept.
    pub async fn write<T, F>(&self, apply: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.inner.writer.write(apply, self.inner.write_wait).await
    }

    /// Likewise, for what touches nothing but series: nobody else's writes wait for it on PostgreSQL, where it has a transaction of its own.
    ///
    /// # Errors
    /// Those of [`Store::write`].
    pub async fn write_series<T, F>(&self, apply: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let lane = self.inner.series.as_ref().unwrap_or(&self.inner.writer);
        lane.write(apply, self.inner.write_wait).await
    }

    /// Has an operation applied together with those of its kind that wait at the same time, and answers once it is on disk. One that fails is
    /// undone alone.
    ///
    /// # Errors
    /// What the operation answered; [`StoreError::Unavailable`] where nothing of it was kept.
    pub async fn submit<H: Hot>(&self, asked: H) -> Result<H::Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.inner.writer.send(hot::operation(asked, answer), self.inner.write_wait).await?;
        answered.await.unwrap_or(Err(Unavailable::NotCommitted.into()))
    }

    /// Takes a reading connection; it goes back when dropped.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where none comes free in time.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        let place = self.inner.readers.place().await?;
        Ok(Reader::new(place, Arc::clone(&self.inner.counters)))
    }

    /// Writes what still waits, closes the database and lets go of its lock. Later calls answer unavailable.
    pub async fn close(&self) {
        // Side by side: where a server is away, each takes all the time it may, and who stops the control plane waits for the sum.
        let series = async {
            if let Some(series) = &self.inner.series {
                series.close().await;
            }
        };
        tokio::join!(self.inner.writer.close(), series);
        if timeout(CLOSE_TIMEOUT, self.inner.readers.close()).await.is_err() {
            tracing::warn!("a reading connection was not given back in time");
        }
        self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What the store did since it was opened.
    pub fn metrics(&self) -> StoreMetrics {
        let operations = &self.inner.writer.operations;
        let waiting = operations.max_capacity() - operations.capacity();
        self.inner.counters.snapshot(u64::try_from(waiting).unwrap_or(u64::MAX))
    }

    /// What is counted of a tenant as of the last commit, where the writer knows it.
    pub(crate) fn account(&self, tenant: TenantId) -> Option<Account> {
        self.inner.counters.quotas.of(tenant)
    }

    /// Reads the whole database and names what is damaged; empty where nothing is. Takes long on a large one.
    /// PostgreSQL keeps that to itself (checksums of pages, `amcheck`): there it finds nothing.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is damaged beyond being checked.
    pub async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        match self.kind() {
            Kind::Sqlite => {
                let mut findings = tx::all(&mut self.reader().await?, Statement::own(INTEGRITY_CHECK), |row| row.text("integrity_check")).await?;
                findings.retain(|finding| finding != "ok");
                Ok(findings)
            }
            Kind::Postgres => Ok(Vec::new()),
        }
    }
}

impl Lane {
    fn open(source: Source, connection: Option<Connection>, counters: &Arc<Counters>, spawn: impl FnOnce(BoxFuture<'static, ()>) -> JoinSet<()>) -> Self {
        let (operations, queue) = mpsc::channel(QUEUE);
        let stop = Arc::new(Notify::new());
        let task = Writer::new(source, connection, queue, Arc::clone(&stop), Arc::clone(counters));
        let task = Mutex::new(spawn(Box::pin(task.run())));
        Self { operations, stop, task }
    }

    async fn write<T, F>(&self, apply: F, wait: Duration) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.send(writer::alone(apply, answer), wait).await?;
        answered.await.unwrap_or(Err(Unavailable::NotCommitted.into()))
    }

    async fn send(&self, operation: Operation, wait: Duration) -> Result<(), StoreError> {
        self.operations.send_timeout(operation, wait).await.map_err(|refused| match refused {
            SendTimeoutError::Timeout(_) => Unavailable::QueueFull.into(),
            SendTimeoutError::Closed(_) => Unavailable::Closed.into(),
        })
    }

    /// Writes what still waits.
    async fn close(&self) {
        self.stop.notify_one();
        let mut tasks = std::mem::take(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = timeout(CLOSE_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("a writer did not end in time; what waited was not written");
        }
    }
}

/// Who writes series on a server. A connection that it cannot have yet, as while that of another control plane which has just lost the writer's
/// lock still holds the lock of series, it makes later: until then series wait, and nothing else.
async fn beside(server: &postgres::Server, counters: &Arc<Counters>) -> Lane {
    let source = Source::Postgres(server.for_series());
    let connection = match source.connect().await {
        Ok(connection) => Some(connection),
        Err(error) => {
            tracing::warn!(%error, "series cannot be written yet");
            None
        }
    };
    Lane::open(source, connection, counters, |task| {
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        tasks
    })
}

fn open_file(file: &Path, options: &StoreOptions) -> Result<(Source, Readers, Option<Lock>), StoreError> {
    let lock = Lock::acquire(file)?;
    sqlite::make_private(file).map_err(|source| StoreError::Open { path: file.to_owned(), source })?;
    let connect = sqlite::connect_options(file, options.busy_wait);
    let readers = Readers::new(To::File(Box::new(sqlite::to_read(connect.clone()))), options);
    Ok((Source::Sqlite(sqlite::File::new(sqlite::to_write(connect))), readers, Some(lock)))
}

/// Most operations that wait for the writer.
const QUEUE: usize = 4096;
/// Longest that closing waits for the writes still in the queue, and for readers still at work.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

const INTEGRITY_CHECK: &str = "PRAGMA integrity_check(100)";
