//! The open database: one writer, a few readers, the lock that keeps a second control plane out.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::{StoreError, Unavailable};
use crate::lock::Lock;
use crate::metrics::{Counters, StoreMetrics};
use crate::schema;
use crate::tx::{BoxFuture, Reader, Tx};
use crate::writer::{self, Operation, Writer};

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
    /// Bound [`QUEUE`]; a full queue makes the caller wait, then answers unavailable.
    operations: mpsc::Sender<Operation>,
    readers: SqlitePool,
    write_wait: Duration,
    stop: Arc<Notify>,
    /// The writer's task; aborted when the store is dropped without being closed, which rolls its transaction back.
    writer: Mutex<JoinSet<()>>,
    counters: Arc<Counters>,
    lock: Mutex<Option<Lock>>,
}

impl Store {
    /// Opens a database file, makes it if there is none, and brings it to this version's schema.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another control plane has it, [`StoreError::SchemaNewer`] where a newer one wrote it,
    /// [`StoreError::Corrupt`] where the file is not a sound database.
    pub async fn open(file: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let lock = Lock::acquire(file)?;
        make_private(file).map_err(|source| StoreError::Open { path: file.to_owned(), source })?;
        let connect = connect_options(file, options.busy_wait);
        let writing = connect
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .foreign_keys(true);
        let mut connection = writing.connect().await?;
        schema::migrate(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers)
            .acquire_timeout(options.reader_wait)
            .test_before_acquire(false)
            .connect_lazy_with(connect.read_only(true));
        let (operations, queue) = mpsc::channel(QUEUE);
        let stop = Arc::new(Notify::new());
        let counters = Arc::new(Counters::default());
        let task = Writer::new(writing, connection, queue, Arc::clone(&stop), Arc::clone(&counters));
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        Ok(Self {
            inner: Arc::new(Inner {
                operations,
                readers,
                write_wait: options.write_wait,
                stop,
                writer: Mutex::new(tasks),
                counters,
                lock: Mutex::new(Some(lock)),
            }),
        })
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
        let (answer, answered) = oneshot::channel();
        let operation = writer::operation(apply, answer);
        match self.inner.operations.send_timeout(operation, self.inner.write_wait).await {
            Ok(()) => answered.await.unwrap_or(Err(Unavailable::NotCommitted.into())),
            Err(SendTimeoutError::Timeout(_)) => Err(Unavailable::QueueFull.into()),
            Err(SendTimeoutError::Closed(_)) => Err(Unavailable::Closed.into()),
        }
    }

    /// Takes a reading connection; it goes back when dropped.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where none comes free in time.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        let connection = self.inner.readers.acquire().await?;
        Ok(Reader::new(connection, Arc::clone(&self.inner.counters)))
    }

    /// Writes what still waits, closes the database and lets go of its lock. Later calls answer unavailable.
    pub async fn close(&self) {
        self.inner.stop.notify_one();
        let mut tasks = std::mem::take(&mut *self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = timeout(CLOSE_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("the writer did not end in time; what waited was not written");
        }
        if timeout(CLOSE_TIMEOUT, self.inner.readers.close()).await.is_err() {
            tracing::warn!("a reading connection was not given back in time");
        }
        self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What the store did since it was opened.
    pub fn metrics(&self) -> StoreMetrics {
        let waiting = self.inner.operations.max_capacity() - self.inner.operations.capacity();
        self.inner.counters.snapshot(u64::try_from(waiting).unwrap_or(u64::MAX))
    }

    /// Reads the whole database and names what is damaged; empty where nothing is. Takes long on a large one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is damaged beyond being checked.
    pub async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        let mut connection = self.inner.readers.acquire().await?;
        let mut findings: Vec<String> = sqlx::query_scalar(INTEGRITY_CHECK).fetch_all(&mut *connection).await?;
        findings.retain(|finding| finding != "ok");
        Ok(findings)
    }
}

fn connect_options(file: &Path, busy_wait: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(busy_wait)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

/// Makes the file, or finds it, readable and writable by its owner only; its log and its shared memory take the same mode from it.
fn make_private(file: &Path) -> std::io::Result<()> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file)?;
    opened.set_permissions(Permissions::from_mode(0o600))
}

/// Most operations that wait for the writer.
const QUEUE: usize = 4096;
/// Prepared statements kept by each connection: more than there are.
const STATEMENTS: usize = 256;
/// Longest that closing waits for the writes still in the queue, and for readers still at work.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

const INTEGRITY_CHECK: &str = "PRAGMA integrity_check(100)";
