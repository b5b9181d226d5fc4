//! Where the data is: a SQLite file, or a PostgreSQL database named by its URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

use crate::error::StoreError;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The embedded one: a file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

impl Kind {
    /// Its name, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }
}

/// Where the data is. It can be shown: a password is not part of what it shows.
#[derive(Clone)]
pub struct Database(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Server(Box<PgConnectOptions>),
}

impl Database {
    /// A SQLite file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// Reads a URL such as `postgres://user:password@host:5432/database`.
    ///
    /// # Errors
    /// [`StoreError::Url`] where it is none; the message does not repeat it, because it may hold a password.
    pub fn url(url: &str) -> Result<Self, StoreError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(StoreError::Url("it must begin with postgres://".to_owned()));
        }
        let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Url(error.to_string()))?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(StoreError::Url("it must name a database: postgres://host/database".to_owned()));
        }
        Ok(Self(Place::Server(Box::new(options))))
    }

    /// Which database it is.
    pub const fn kind(&self) -> Kind {
        match self.0 {
            Place::File(_) => Kind::Sqlite,
            Place::Server(_) => Kind::Postgres,
        }
    }
}

impl From<&Path> for Database {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<&PathBuf> for Database {
    fn from(path: &PathBuf) -> Self {
        Self::file(path)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(path) => write!(formatter, "{}", path.display()),
            Place::Server(options) => {
                let host = options
                    .get_socket()
                    .map_or_else(|| format!("{}:{}", options.get_host(), options.get_port()), |path| path.display().to_string());
                let database = options.get_database().unwrap_or_default();
                write!(formatter, "postgres://{}@{host}/{database}", options.get_username())
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_url_holds_no_password() {
        let database = Database::url("postgres://probeops:hunter2@db.example:6432/jobs?sslmode=disable").unwrap();
        assert_eq!(
            format!("{database} {database:?}"),
            "postgres://probeops@db.example:6432/jobs postgres://probeops@db.example:6432/jobs"
        );
        assert_eq!(database.kind(), Kind::Postgres);
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_repeating_it() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h",
            "postgres://u:hunter2@h:99999/d",
            "postgres://u:hunter2@/d?sslmode=hunter2x",
        ] {
            let refused = Database::url(url).unwrap_err().to_string();
            assert!(!refused.contains("u:hunter2"), "{refused}");
        }
    }
}
