//! Moving the write-ahead log into the database file beside the writer, on a connection of its own: done by the writer's commit it is a pause of tens
//! of milliseconds for everybody who waits.
//!
//! The log grows while it is moved, so it is not taken from its beginning again by that alone. The writer is told when little is left, and moves that
//! little itself between two commits: its next one overwrites the log, which costs less than making it longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The task that moves the log; it ends with the handle.
#[derive(Debug)]
pub(super) struct Checkpointer {
    commits: watch::Sender<u64>,
    little_left: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

/// How the log stands, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Standing {
    /// Not 0 where another connection was at it.
    busy: i64,
    /// All that are in it; negative where there is no log.
    log: i64,
    /// Those that are in the database file too.
    checkpointed: i64,
}

impl Checkpointer {
    pub(super) fn start(options: SqliteConnectOptions) -> Self {
        let (commits, heard) = watch::channel(0);
        let little_left = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(run(options, heard, Arc::clone(&little_left)));
        Self { commits, little_left, tasks }
    }

    /// A commit was made. Whether the writer should move what is left now.
    pub(super) fn committed(&self) -> bool {
        self.commits.send_modify(|commits| *commits = commits.wrapping_add(1));
        self.little_left.swap(false, Ordering::Relaxed)
    }

    /// Ends it, with its connection.
    pub(super) async fn stop(mut self) {
        drop(self.commits);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn run(options: SqliteConnectOptions, mut commits: watch::Receiver<u64>, little_left: Arc<AtomicBool>) {
    let mut connection = None;
    while commits.changed().await.is_ok() {
        let heard = *commits.borrow_and_update();
        let pause = match round(&options, &mut connection).await {
            Ok(moved) => {
                little_left.store(moved, Ordering::Relaxed);
                PAUSE
            }
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log was not moved into the database; tried again soon");
                connection = None;
                PAUSE_AFTER_FAILURE
            }
        };
        // The pause ends early with the writer.
        let _ended = timeout(pause, commits.wait_for(|_| false)).await.is_ok();
        if *commits.borrow() != heard {
            commits.mark_changed();
        }
    }
    if let Some(connection) = connection {
        // Its file is closed with the process at the latest.
        let _closed = connection.close().await;
    }
}

/// Moves the log if it is long; says whether it did.
async fn round(options: &SqliteConnectOptions, connection: &mut Option<SqliteConnection>) -> Result<bool, sqlx::Error> {
    let open = match connection {
        Some(open) => open,
        none => none.insert(options.connect().await?),
    };
    if !log(open, LOOK).await?.is_long() {
        return Ok(false);
    }
    Ok(log(open, MOVE).await?.busy == 0)
}

/// Moves what can be moved without waiting for anybody.
pub(super) async fn move_log(connection: &mut SqliteConnection) -> Result<Standing, sqlx::Error> {
    log(connection, MOVE).await
}

async fn log(connection: &mut SqliteConnection, how: &'static str) -> Result<Standing, sqlx::Error> {
    sqlx::query_as(how).fetch_one(connection).await
}

impl Standing {
    /// Whether there is enough that moving it is worth a `fsync` of the database file.
    const fn is_long(self) -> bool {
        self.log.saturating_sub(self.checkpointed) >= LONG_PAGES
    }
}

/// Between two looks at the log.
const PAUSE: Duration = Duration::from_millis(100);
/// The same after a failure: a full disk stays full for a while, and each try opens the file again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Pages of the log, 4 KiB each, after which it is moved: a page that many commits change is moved once.
const LONG_PAGES: i64 = 4_096;

const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;
    use sqlx::sqlite::SqliteJournalMode;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn a_long_log_is_moved_beside_the_writer_and_then_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(directory.path().join("probeops.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", "0");
        let mut writer = options.connect().await.unwrap();
        writer.execute("CREATE TABLE t (bytes BLOB)").await.unwrap();
        let mut other = None;
        assert!(!round(&options, &mut other).await.unwrap(), "a short log stays");

        let row = "INSERT INTO t (bytes) VALUES (zeroblob(18000000))";
        writer.execute(row).await.unwrap();
        assert!(round(&options, &mut other).await.unwrap());
        let moved = log(&mut writer, LOOK).await.unwrap();
        assert!(moved.log > LONG_PAGES && moved.checkpointed == moved.log, "{moved:?}");
        assert!(!round(&options, &mut other).await.unwrap(), "what is moved is not moved again");

        writer.execute("INSERT INTO t (bytes) VALUES (zeroblob(1))").await.unwrap();
        let anew = log(&mut writer, LOOK).await.unwrap();
        assert!(anew.log < LONG_PAGES, "{anew:?}");

        // What a commit appended since is moved by the writer.
        writer.execute(row).await.unwrap();
        let left = move_log(&mut writer).await.unwrap();
        assert_eq!((left.busy, left.checkpointed), (0, left.log));
    }

    #[tokio::test]
    async fn a_checkpointer_tells_the_writer_once_and_ends_with_its_connection() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("probeops.db");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", "0");
        let mut writer = options.connect().await.unwrap();
        writer.execute("CREATE TABLE t (bytes BLOB)").await.unwrap();
        writer.execute("INSERT INTO t (bytes) VALUES (zeroblob(18000000))").await.unwrap();
        let checkpointer = Checkpointer::start(options);
        while !checkpointer.committed() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!checkpointer.committed(), "said once");
        checkpointer.stop().await;
        writer.close().await.unwrap();
        assert!(!directory.path().join("probeops.db-wal").exists(), "the last connection takes the log with it");
    }
}
