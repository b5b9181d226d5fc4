//! Why an operator's work on a whole database was not done.

use std::path::PathBuf;

use crate::error::StoreError;

/// Why it was not done. Nothing was changed but what the message says.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The database cannot be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such file.
    #[error("there is no database {path}")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is a database, but not one of the control plane.
    #[error("{database} is not a database of the control plane")]
    NotOurs {
        /// Which.
        database: String,
    },
    /// Something stands where the result would go.
    #[error("{path} exists; nothing is overwritten: choose another name")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The database is not sound.
    #[error("{database} is damaged: {finding}")]
    Unsound {
        /// Which.
        database: String,
        /// The first thing that was found.
        finding: String,
    },
    /// There is something in the database that is to be filled.
    #[error("{database} is not empty (table {table}); nothing was copied: give an empty database")]
    NotEmpty {
        /// Which.
        database: String,
        /// A table with rows.
        table: String,
    },
    /// It has to be brought to this version's schema first.
    #[error("{database} has schema {found}, and this version copies schema {known} only: start and stop this version's control plane on it once")]
    OlderSchema {
        /// Which.
        database: String,
        /// Its schema.
        found: i64,
        /// This version's.
        known: i64,
    },
    /// The two are of one kind.
    #[error("copying goes from a file to a PostgreSQL database or back; for a file use backup and restore, for PostgreSQL its own tools")]
    SameKind,
    /// It is for files only.
    #[error("{what} is for the embedded database: back a PostgreSQL database up with its own tools (pg_dump, pg_basebackup), or `db copy` it into a file")]
    FilesOnly {
        /// What was asked.
        what: &'static str,
    },
    /// What arrived is not what was sent.
    #[error("table {table} does not arrive as it was ({sent} rows, {arrived} arrived); nothing was kept")]
    Differs {
        /// The table.
        table: String,
        /// Rows read.
        sent: u64,
        /// Rows found.
        arrived: u64,
    },
    /// A file could not be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl From<sqlx::Error> for MaintenanceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl MaintenanceError {
    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
