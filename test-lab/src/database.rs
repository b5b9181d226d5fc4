//! The database under a stand: the embedded file, or a PostgreSQL server of the stand's own; and what stands in it, read past the product.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};
use test_postgres::OwnServer;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Kind {
    /// The file in the data directory.
    #[default]
    Sqlite,
    /// A server that waits for its disk at each commit, as a real one does.
    Postgresql,
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgresql => "postgresql",
        }
    }
}

/// The database of a stand; a server goes away with it.
pub enum Database {
    /// In this data directory.
    File(PathBuf),
    /// On this server.
    Server(OwnServer),
}

/// What stands in it of jobs and reports; ids without hyphens.
#[derive(Debug, Default)]
pub struct Stored {
    /// Each job's end, where it has one.
    pub jobs: BTreeMap<String, Option<String>>,
    /// How many reports each job has that has any.
    pub reports: BTreeMap<String, i64>,
}

impl Database {
    /// A database for a control plane with this data directory.
    ///
    /// # Errors
    /// When PostgreSQL is wanted and not installed.
    pub fn start(kind: Kind, data_dir: &Path) -> Result<Self> {
        Ok(match kind {
            Kind::Sqlite => Self::File(data_dir.join("probeops.db")),
            Kind::Postgresql => Self::Server(OwnServer::start().context("start PostgreSQL")?),
        })
    }

    /// The same to measure with: a server has worked before.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_to_measure(kind: Kind, data_dir: &Path) -> Result<Self> {
        match kind {
            Kind::Sqlite => Self::start(kind, data_dir),
            Kind::Postgresql => Ok(Self::Server(OwnServer::start_to_measure().context("start PostgreSQL")?)),
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => Kind::Sqlite.name(),
            Self::Server(_) => Kind::Postgresql.name(),
        }
    }

    /// Its URL, where a control plane has to be told one.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::Server(server) => Some(server.tcp_url()),
        }
    }

    /// The same for services within this process.
    ///
    /// # Errors
    /// When its URL is none.
    pub fn place(&self) -> Result<control_services::Database> {
        Ok(match self {
            Self::File(file) => control_services::Database::file(file),
            Self::Server(server) => control_services::Database::url(&server.tcp_url())?,
        })
    }

    /// Reads what stands in it, as its owner, whom the tenants' row-level security hides nothing from.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self) -> Result<Stored> {
        let mut stored = Stored::default();
        match self {
            Self::File(file) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
                let mut connection = SqliteConnection::connect_with(&options).await.context("open the database")?;
                for row in sqlx::query(SQLITE_JOBS).fetch_all(&mut connection).await? {
                    stored.jobs.insert(row.get(0), row.get(1));
                }
                for row in sqlx::query(SQLITE_REPORTS).fetch_all(&mut connection).await? {
                    stored.reports.insert(row.get(0), row.get(1));
                }
            }
            Self::Server(server) => {
                let mut connection = PgConnection::connect(&server.tcp_url()).await.context("open the database")?;
                for row in sqlx::query(POSTGRESQL_JOBS).fetch_all(&mut connection).await? {
                    stored.jobs.insert(row.get(0), row.get(1));
                }
                for row in sqlx::query(POSTGRESQL_REPORTS).fetch_all(&mut connection).await? {
                    stored.reports.insert(row.get(0), row.get(1));
                }
            }
        }
        Ok(stored)
    }
}

const SQLITE_JOBS: &str = "SELECT lower(hex(id)), outcome FROM job";
const SQLITE_REPORTS: &str = "SELECT lower(hex(job)), count(*) FROM report GROUP BY job";
const POSTGRESQL_JOBS: &str = "SELECT replace(id::text, '-', ''), outcome FROM job";
const POSTGRESQL_REPORTS: &str = "SELECT replace(job::text, '-', ''), count(*) FROM report GROUP BY job";
