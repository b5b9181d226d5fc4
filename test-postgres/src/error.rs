//! What can go wrong with a server of the tests.

use std::path::PathBuf;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum TestPostgresError {
    /// PostgreSQL is not installed.
    #[error("PostgreSQL 15 or later is not installed; Debian: apt install postgresql")]
    Missing,
    /// A file or program could not be used.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} ended with {status}: {said}")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote.
        said: String,
    },
    /// The server did not come up, or did not go down.
    #[error("the server did not {what} in time: {log}")]
    TooSlow {
        /// What it was to do.
        what: &'static str,
        /// The end of its log.
        log: String,
    },
}

impl TestPostgresError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
