//! A connection to either database, and the few commands of the writer's transaction.

use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::postgres;
use crate::trip::{self, Answer, Prepared, Step};

/// A connection.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// The transaction's number in PostgreSQL, by which its fate can be asked after the connection was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionId(pub(crate) String);

impl Connection {
    /// What begins a transaction and its first operation.
    pub(crate) fn begin(&self) -> Vec<Step> {
        match self {
            Self::Sqlite(_) => vec![Step::Command(BEGIN), Step::Command(SAVEPOINT)],
            Self::Postgres(_) => vec![Step::Command(postgres::BEGIN), Step::Command(SAVEPOINT), Step::Number(postgres::NUMBER)],
        }
    }

    /// Sends steps in one go, and waits for what comes of them.
    pub(crate) async fn go(&mut self, prepared: &mut Prepared, steps: Vec<Step>, answer: &mut Answer) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => trip::to_sqlite(connection, steps, answer).await,
            Self::Postgres(connection) => trip::to_postgres(connection, prepared, steps, answer).await,
        }
    }

    pub(crate) async fn command(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::query(text).execute(connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(text).execute(connection).await.map(drop),
        }
    }

    /// Asks whether it is there, once it has answered all that was asked before.
    pub(crate) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.ping().await,
            Self::Postgres(connection) => connection.ping().await,
        }
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

/// Keeps the operation; a new one begins with the next savepoint.
pub(crate) const RELEASE: &str = "RELEASE SAVEPOINT operation";
pub(crate) const SAVEPOINT: &str = "SAVEPOINT operation";
/// Undoes the operation alone; the savepoint stays. It fails where the database has rolled the whole transaction back by itself, as on a full
/// disk: then nothing of the batch stands.
pub(crate) const UNDO: &str = "ROLLBACK TO SAVEPOINT operation";
/// PostgreSQL turns the commit of a failed transaction into a rollback without a word; the release, which comes first, is refused in it.
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";
const BEGIN: &str = "BEGIN IMMEDIATE";
