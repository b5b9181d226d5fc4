//! SQLite: how its file is opened, and its write-ahead log.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection};

use crate::metrics::Counters;

mod checkpoint;

use checkpoint::Checkpointer;

/// How a connection to a file is opened.
pub(crate) fn connect_options(file: &Path, busy_wait: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(busy_wait)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

/// The connection that writes: what it commits is on disk.
pub(crate) fn to_write(connect: SqliteConnectOptions) -> SqliteConnectOptions {
    connect
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .foreign_keys(true)
        .pragma("cache_size", CACHE)
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", PAGES_BETWEEN_CHECKPOINTS)
}

/// The connections that read.
pub(crate) fn to_read(connect: SqliteConnectOptions) -> SqliteConnectOptions {
    connect.read_only(true)
}

/// Makes the file, or finds it, readable and writable by its owner only; its log and its shared memory take the same mode from it.
pub(crate) fn make_private(file: &Path) -> std::io::Result<()> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file)?;
    opened.set_permissions(Permissions::from_mode(0o600))
}

/// The file, and its write-ahead log, whose growth is watched.
#[derive(Debug)]
pub(crate) struct File {
    options: SqliteConnectOptions,
    log: PathBuf,
    /// A longer log is cut; doubles while a reader keeps it from being cut.
    cut_above: u64,
    /// Runs from the first commit.
    checkpointer: Option<Checkpointer>,
}

impl File {
    pub(crate) fn new(options: SqliteConnectOptions) -> Self {
        let mut log = options.get_filename().as_os_str().to_owned();
        log.push("-wal");
        Self {
            options,
            log: log.into(),
            cut_above: LOG_BYTES,
            checkpointer: None,
        }
    }

    pub(crate) async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options.connect().await
    }

    /// Keeps the log short, after a commit.
    pub(crate) async fn committed(&mut self, connection: &mut SqliteConnection, counters: &Counters) {
        let checkpointer = self.checkpointer.get_or_insert_with(|| Checkpointer::start(self.options.clone()));
        if checkpointer.committed()
            && let Err(error) = checkpoint::move_log(connection).await
        {
            tracing::warn!(%error, "the end of the write-ahead log was not moved into the database");
        }
        self.cut_log_if_long(connection, counters).await;
    }

    /// Ends what runs beside the writer.
    pub(crate) async fn stop(&mut self) {
        if let Some(checkpointer) = self.checkpointer.take() {
            checkpointer.stop().await;
        }
    }

    async fn cut_log_if_long(&mut self, connection: &mut SqliteConnection, counters: &Counters) {
        let length = std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        if length <= self.cut_above {
            return;
        }
        match truncate_log(connection).await {
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
pub(crate) async fn truncate_log(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query(BUSY_AT_ONCE).execute(&mut *connection).await?;
    let busy = sqlx::query_scalar(CHECKPOINT).fetch_one(&mut *connection).await;
    sqlx::query(BUSY_AFTER_A_WHILE).execute(connection).await?;
    busy
}

/// Prepared statements kept by each connection: more than there are.
const STATEMENTS: usize = 512;
/// Pages that the writing connection keeps in memory, as so many KiB (negative, as SQLite has it): the ends of all indexes of the hot tables fit.
/// Most commits look at each of them: a page that was split has had a number beyond the file's end for a moment.
const CACHE: &str = "-16384";
/// Pages of the log, 4 KiB each, after which a commit moves them into the file itself: only where nobody beside it did.
const PAGES_BETWEEN_CHECKPOINTS: &str = "32768";
/// Length of the write-ahead log above which it is cut, bytes.
const LOG_BYTES: u64 = 64 * 1024 * 1024;

const BUSY_AT_ONCE: &str = "PRAGMA busy_timeout = 0";
const BUSY_AFTER_A_WHILE: &str = "PRAGMA busy_timeout = 5000";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;

    use super::*;

    #[tokio::test]
    async fn dbf_09_a_long_log_is_cut_unless_a_reader_still_needs_it() {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(directory.path().join("probeops.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let counters = Counters::default();
        let mut file = File::new(options.clone());
        let mut writer = file.connect().await.unwrap();
        writer.execute("CREATE TABLE t (n INTEGER)").await.unwrap();
        file.cut_log_if_long(&mut writer, &counters).await;
        assert_ne!(std::fs::metadata(&file.log).unwrap().len(), 0, "short enough to stay");

        file.cut_above = 1;
        let mut reader = options.connect().await.unwrap();
        reader.execute("BEGIN; SELECT n FROM t").await.unwrap();
        writer.execute("INSERT INTO t (n) VALUES (1)").await.unwrap();
        file.cut_log_if_long(&mut writer, &counters).await;
        let kept = std::fs::metadata(&file.log).unwrap().len();
        assert!(kept > 0 && file.cut_above == kept * 2, "not tried again at once");

        reader.execute("COMMIT").await.unwrap();
        file.cut_above = 1;
        file.cut_log_if_long(&mut writer, &counters).await;
        assert_eq!(std::fs::metadata(&file.log).unwrap().len(), 0);
        assert_eq!((counters.snapshot(0).checkpoints, file.cut_above), (1, LOG_BYTES));
    }
}
