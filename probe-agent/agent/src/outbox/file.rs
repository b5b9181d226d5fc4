//! Opening the outbox's file: who may have it, whether it can be read, and what becomes of one that cannot.

use std::fs;
use std::path::Path;
use std::time::Duration;

use shared_protocol::id::IncarnationId;
use shared_protocol::time::UnixMicros;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use uuid::Uuid;

use super::error::OutboxError;
use crate::state_dir::{StateDir, StateDirError};

/// An outbox's file that was found good.
pub(super) struct Opened {
    pub(super) connection: SqliteConnection,
    pub(super) incarnation: IncarnationId,
    pub(super) set_aside: u64,
}

/// Opens the file; a damaged one is set aside and a new one begun, which says so in its count.
pub(super) async fn open(state: &StateDir, fresh: IncarnationId, now: UnixMicros) -> Result<Opened, OutboxError> {
    match open_as_it_is(state, fresh, 0).await {
        Err(OutboxError::Damaged) => {
            let name = set_aside(state, now)?;
            tracing::error!(kept_as = name, "the outbox was damaged and has been set aside; a new one begins");
            open_as_it_is(state, fresh, 1).await
        }
        opened => opened,
    }
}

async fn open_as_it_is(state: &StateDir, fresh: IncarnationId, set_aside: i64) -> Result<Opened, OutboxError> {
    let path = state.ensure_private(FILE)?;
    for companion in COMPANIONS {
        state.check_if_present(&format!("{FILE}{companion}"))?;
    }
    let mut connection = options(&path).connect().await?;
    match prepare(&mut connection, fresh, set_aside).await {
        Ok((incarnation, set_aside)) => Ok(Opened {
            connection,
            incarnation,
            set_aside,
        }),
        Err(error) => {
            // The file may be renamed next.
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "the outbox was not closed cleanly");
            }
            Err(error)
        }
    }
}

async fn prepare(connection: &mut SqliteConnection, fresh: IncarnationId, set_aside: i64) -> Result<(IncarnationId, u64), OutboxError> {
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    if verdict != "ok" {
        return Err(OutboxError::Damaged);
    }
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    match found {
        0 => {
            let mut transaction = connection.begin().await?;
            sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
            sqlx::query(BEGIN_LIFE).bind(fresh.uuid()).bind(set_aside).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        FORMAT => {}
        _ => return Err(OutboxError::Newer { found }),
    }
    let life: Option<(Uuid, i64)> = sqlx::query_as(LIFE).fetch_optional(connection).await?;
    let (incarnation, set_aside) = life.ok_or(OutboxError::Damaged)?;
    Ok((IncarnationId::from_uuid(incarnation), set_aside.unsigned_abs()))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Held from the first write to the end of the process: a second agent gets "busy", and no shared-memory file is needed.
        .locking_mode(SqliteLockingMode::Exclusive)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .busy_timeout(Duration::ZERO)
        .statement_cache_capacity(16)
        .pragma("cache_size", "-256")
        .pragma("journal_size_limit", "1048576")
        .disable_statement_logging()
}

/// Gives a damaged file and what belongs to it another name, and returns that.
fn set_aside(state: &StateDir, now: UnixMicros) -> Result<String, OutboxError> {
    let name = format!("{FILE}.damaged-{}", now.micros());
    let rename = |from: String, to: String| -> Result<(), OutboxError> {
        match fs::rename(state.file(&from), state.file(&to)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(OutboxError::State(StateDirError::Write {
                path: state.file(&to),
                source: error,
            })),
            Ok(()) | Err(_) => Ok(()),
        }
    };
    for companion in COMPANIONS {
        rename(format!("{FILE}{companion}"), format!("{name}{companion}"))?;
    }
    rename(FILE.to_owned(), name.clone())?;
    Ok(name)
}

/// The outbox's file in the state directory.
pub(super) const FILE: &str = "outbox.db";
/// What SQLite may put beside it.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The format this build writes.
const FORMAT: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE life (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    incarnation BLOB NOT NULL,
    set_aside INTEGER NOT NULL
) STRICT;
CREATE TABLE report (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
PRAGMA user_version = 1;
";
const BEGIN_LIFE: &str = "INSERT INTO life (only, incarnation, set_aside) VALUES (1, $1, $2)";
const LIFE: &str = "SELECT incarnation, set_aside FROM life";
