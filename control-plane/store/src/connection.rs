//! A connection to either database, and the few steps of the writer's transaction.

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection};

use crate::error::StoreError;
use crate::postgres;
use crate::row::Row;
use crate::statement::{Statement, Whose};

/// The connection that writes.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A connection that only reads.
#[derive(Debug)]
pub(crate) enum ReadingConnection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres {
        connection: PoolConnection<Postgres>,
        /// Whose rows it sees at the moment; none where nobody said since it was taken.
        shows: Option<Whose>,
    },
}

/// A connection borrowed for one statement.
pub enum On<'c> {
    /// To SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// To PostgreSQL.
    Postgres(&'c mut PgConnection),
}

/// The transaction's number in PostgreSQL, by which its fate can be asked after the connection was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionId(pub(crate) String);

impl On<'_> {
    pub(crate) async fn fetch(self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            On::Sqlite(connection) => statement.for_sqlite().fetch_all(connection).await?.into_iter().map(Row::Sqlite).collect(),
            On::Postgres(connection) => statement.for_postgres().fetch_all(connection).await?.into_iter().map(Row::Postgres).collect(),
        })
    }

    pub(crate) async fn execute(self, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(match self {
            On::Sqlite(connection) => statement.for_sqlite().execute(connection).await?.rows_affected(),
            On::Postgres(connection) => statement.for_postgres().execute(connection).await?.rows_affected(),
        })
    }
}

impl ReadingConnection {
    /// The connection, showing what that somebody may see.
    pub(crate) async fn on(&mut self, whose: Whose) -> Result<On<'_>, StoreError> {
        Ok(match self {
            Self::Sqlite(connection) => On::Sqlite(connection),
            Self::Postgres { connection, shows } => {
                if *shows != Some(whose) {
                    *shows = None;
                    sqlx::raw_sql(AssertSqlSafe(postgres::show(whose))).execute(&mut **connection).await?;
                    *shows = Some(whose);
                }
                On::Postgres(connection)
            }
        })
    }
}

/// Each step is one round trip to the server, or to the thread that owns the file: the savepoint of the next operation travels with the release
/// of the one before.
impl Connection {
    pub(crate) const fn on(&mut self) -> On<'_> {
        match self {
            Self::Sqlite(connection) => On::Sqlite(connection),
            Self::Postgres(connection) => On::Postgres(connection),
        }
    }

    /// Begins the transaction and its first operation.
    pub(crate) async fn begin(&mut self) -> Result<Option<TransactionId>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                sqlx::query(BEGIN).execute(connection).await?;
                Ok(None)
            }
            Self::Postgres(connection) => {
                let row = connection.fetch_one(sqlx::raw_sql(postgres::BEGIN)).await?;
                Ok(Some(TransactionId(row.try_get(0)?)))
            }
        }
    }

    /// Keeps the operation, begins the next.
    pub(crate) async fn keep(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::query(KEEP).execute(connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(postgres::KEEP).execute(connection).await.map(drop),
        }
    }

    /// Undoes the operation alone and begins the next. It fails where the database has rolled the whole transaction back by itself,
    /// as on a full disk: then nothing of the batch stands.
    pub(crate) async fn undo(&mut self) -> Result<(), sqlx::Error> {
        self.command(UNDO).await
    }

    /// Keeps the operation and commits. PostgreSQL turns the commit of a failed transaction into a rollback without a word;
    /// the release, which comes first, is refused in it.
    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::query(COMMIT).execute(connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(postgres::COMMIT).execute(connection).await.map(drop),
        }
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        self.command(ROLLBACK).await
    }

    pub(crate) async fn command(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::query(text).execute(connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(text).execute(connection).await.map(drop),
        }
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

const BEGIN: &str = "BEGIN IMMEDIATE; SAVEPOINT operation";
const KEEP: &str = "RELEASE operation; SAVEPOINT operation";
const UNDO: &str = "ROLLBACK TO operation";
const COMMIT: &str = "RELEASE operation; COMMIT";
const ROLLBACK: &str = "ROLLBACK";
