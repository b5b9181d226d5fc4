//! What can go wrong in the store, and whether trying again can help.

use std::path::PathBuf;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

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
    /// Another control plane writes to the database.
    #[error("the database is in use by another control plane ({holder}); stop it first")]
    InUse {
        /// Who holds the lock, as far as the server knows.
        holder: String,
    },
    /// The text is no URL of a database.
    #[error("the database URL is not usable: {0}")]
    Url(String),
    /// The server is of a version that nothing here was tried with.
    #[error("the database server is PostgreSQL {found}; 15 is the oldest that works")]
    ServerTooOld {
        /// Its version.
        found: u32,
    },
    /// The role that tenants' reads are done as is not there.
    #[error(
        "the role probeops_tenant is missing and may not be made by this user; let an administrator run: CREATE ROLE probeops_tenant NOLOGIN; GRANT probeops_tenant TO <this user>"
    )]
    RoleMissing,
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
    /// The thread of the writer could not be started.
    #[error("start the thread that writes: {0}")]
    Thread(std::io::Error),
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
    /// The server cannot be reached, or the connection to it was lost.
    #[error("the database cannot be reached")]
    Unreachable,
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
            | Self::InUse { .. }
            | Self::Url(_)
            | Self::ServerTooOld { .. }
            | Self::RoleMissing
            | Self::SchemaNewer { .. }
            | Self::Migrate(_)
            | Self::Open { .. }
            | Self::Thread(_)
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
                Unavailable::Io | Unavailable::Unreachable | Unavailable::ReadOnly | Unavailable::Memory | Unavailable::Closed | Unavailable::TimedOut => true,
                Unavailable::Busy | Unavailable::DiskFull | Unavailable::QueueFull | Unavailable::ReadersBusy | Unavailable::NotCommitted => false,
            },
            Self::Corrupt(_) => true,
            Self::Locked { .. }
            | Self::InUse { .. }
            | Self::Url(_)
            | Self::ServerTooOld { .. }
            | Self::RoleMissing
            | Self::SchemaNewer { .. }
            | Self::Migrate(_)
            | Self::Open { .. }
            | Self::Thread(_)
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
            sqlx::Error::Database(refused) => match refused.try_downcast_ref::<PgDatabaseError>() {
                Some(refused) => refused_by_postgres(refused).unwrap_or(Self::Statement(error)),
                None => refused_by_sqlite(&**refused).unwrap_or(Self::Statement(error)),
            },
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => Unavailable::Unreachable.into(),
            sqlx::Error::WorkerCrashed => Unavailable::Closed.into(),
            _ => Self::Statement(error),
        }
    }
}

fn refused_by_sqlite(refused: &dyn DatabaseError) -> Option<StoreError> {
    let code = refused.code().and_then(|code| code.parse().ok()).map(primary_code)?;
    Some(match code {
        SQLITE_BUSY | SQLITE_LOCKED => Unavailable::Busy.into(),
        SQLITE_FULL => Unavailable::DiskFull.into(),
        SQLITE_IOERR | SQLITE_CANTOPEN => Unavailable::Io.into(),
        SQLITE_READONLY => Unavailable::ReadOnly.into(),
        SQLITE_NOMEM => Unavailable::Memory.into(),
        SQLITE_CORRUPT | SQLITE_NOTADB => StoreError::Corrupt(refused.message().to_owned()),
        _ => return None,
    })
}

/// By the codes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>; the first two characters are a code's class.
fn refused_by_postgres(refused: &PgDatabaseError) -> Option<StoreError> {
    Some(match refused.code() {
        SERIALIZATION_FAILURE | DEADLOCK_DETECTED | LOCK_NOT_AVAILABLE => Unavailable::Busy.into(),
        QUERY_CANCELED => Unavailable::TimedOut.into(),
        READ_ONLY_SQL_TRANSACTION => Unavailable::ReadOnly.into(),
        DISK_FULL => Unavailable::DiskFull.into(),
        TOO_MANY_CONNECTIONS | IDLE_IN_TRANSACTION | IDLE_SESSION => Unavailable::Unreachable.into(),
        DATA_CORRUPTED | INDEX_CORRUPTED => StoreError::Corrupt(refused.message().to_owned()),
        code => match code.get(..2)? {
            CLASS_CONNECTION | CLASS_OPERATOR => Unavailable::Unreachable.into(),
            CLASS_RESOURCES => Unavailable::Memory.into(),
            CLASS_SYSTEM => Unavailable::Io.into(),
            _ => return None,
        },
    })
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

const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const LOCK_NOT_AVAILABLE: &str = "55P03";
const QUERY_CANCELED: &str = "57014";
const READ_ONLY_SQL_TRANSACTION: &str = "25006";
const DISK_FULL: &str = "53100";
const TOO_MANY_CONNECTIONS: &str = "53300";
const IDLE_IN_TRANSACTION: &str = "25P03";
const IDLE_SESSION: &str = "57P05";
const DATA_CORRUPTED: &str = "XX001";
const INDEX_CORRUPTED: &str = "XX002";
const CLASS_CONNECTION: &str = "08";
const CLASS_RESOURCES: &str = "53";
const CLASS_OPERATOR: &str = "57";
const CLASS_SYSTEM: &str = "58";
