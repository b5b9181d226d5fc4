//! What can go wrong in the store, and whether trying again can help.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another control plane has the database open.
    #[error("the database is in use by another control plane (lock file {path}, process {})", .pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, where it could be read.
        pid: Option<u32>,
    },
    /// The database was written by a newer version of the control plane.
    #[error("the database has schema {found}, this control plane knows {known}: start the newer version, or restore a backup made before the upgrade")]
    SchemaNewer {
        /// The schema's number in the database.
        found: i64,
        /// The highest number known here.
        known: i64,
    },
    /// A migration failed; nothing of it was kept.
    #[error("migrate the database: {0}")]
    Migrate(#[from] MigrateError),
    /// A file of the store could not be opened.
    #[error("open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nothing can be read or written at the moment; nothing of the operation was kept.
    #[error("{0}")]
    Unavailable(Unavailable),
    /// The operation contradicts what already stands; the code says what.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The database file is damaged.
    #[error("the database is damaged: {0}; run an integrity check and restore a backup")]
    Corrupt(String),
    /// A stored value cannot be read.
    #[error("column {column} cannot be read: {reason}")]
    Unreadable {
        /// The column.
        column: String,
        /// Why not.
        reason: String,
    },
    /// The database refused a statement for a reason that no retry mends.
    #[error("statement refused: {0}")]
    Statement(#[source] sqlx::Error),
}

/// Why nothing can be read or written at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unavailable {
    /// Another connection holds the database's lock.
    #[error("the database is busy")]
    Busy,
    /// No room on the disk.
    #[error("the database's disk is full")]
    DiskFull,
    /// The disk or the file failed.
    #[error("the database's file cannot be read or written")]
    Io,
    /// The file or its disk is read-only.
    #[error("the database is read-only")]
    ReadOnly,
    /// No memory for the statement.
    #[error("no memory for the database")]
    Memory,
    /// Too many writes wait already.
    #[error("too many writes wait for the database")]
    QueueFull,
    /// Every reading connection is taken.
    #[error("every reading connection is taken")]
    ReadersBusy,
    /// The transaction that the operation was part of was not committed.
    #[error("the transaction was not committed")]
    NotCommitted,
    /// An operation took longer than any may.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same operation can succeed later without anybody changing it.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Locked { .. }
            | Self::SchemaNewer { .. }
            | Self::Migrate(_)
            | Self::Open { .. }
            | Self::Conflict(_)
            | Self::Corrupt(_)
            | Self::Unreadable { .. }
            | Self::Statement(_) => false,
        }
    }

    /// Whether the connection that met this error is not to be trusted with the next operation.
    pub(crate) const fn spoils_connection(&self) -> bool {
        match self {
            Self::Unavailable(reason) => match reason {
                Unavailable::Io | Unavailable::ReadOnly | Unavailable::Memory | Unavailable::Closed | Unavailable::TimedOut => true,
                Unavailable::Busy | Unavailable::DiskFull | Unavailable::QueueFull | Unavailable::ReadersBusy | Unavailable::NotCommitted => false,
            },
            Self::Corrupt(_) => true,
            Self::Locked { .. }
            | Self::SchemaNewer { .. }
            | Self::Migrate(_)
            | Self::Open { .. }
            | Self::Conflict(_)
            | Self::Unreadable { .. }
            | Self::Statement(_) => false,
        }
    }
}

impl From<Unavailable> for StoreError {
    fn from(reason: Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

impl From<sqlx::Error> for StoreError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "sqlx's error is non-exhaustive; what is not named here is a statement that no retry mends"
    )]
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refused) => match refused.code().and_then(|code| code.parse().ok()).map(primary_code) {
                Some(SQLITE_BUSY | SQLITE_LOCKED) => Unavailable::Busy.into(),
                Some(SQLITE_FULL) => Unavailable::DiskFull.into(),
                Some(SQLITE_IOERR | SQLITE_CANTOPEN) => Unavailable::Io.into(),
                Some(SQLITE_READONLY) => Unavailable::ReadOnly.into(),
                Some(SQLITE_NOMEM) => Unavailable::Memory.into(),
                Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Corrupt(refused.message().to_owned()),
                Some(_) | None => Self::Statement(error),
            },
            sqlx::Error::Io(_) => Unavailable::Io.into(),
            sqlx::Error::PoolTimedOut => Unavailable::ReadersBusy.into(),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Unavailable::Closed.into(),
            _ => Self::Statement(error),
        }
    }
}

/// The low byte of an extended result code (<https://www.sqlite.org/rescode.html>).
const fn primary_code(extended: i32) -> i32 {
    extended & 0xff
}

const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_NOMEM: i32 = 7;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;
