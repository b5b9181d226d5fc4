//! What a store function is given to work with: the write transaction, or a reading connection.

use std::pin::Pin;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqliteConnection};

use crate::error::StoreError;
use crate::metrics::Counters;
use crate::row::{self, RowError};

/// A boxed future, as operations of [`crate::Store::write`] return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The write transaction; there is one at a time in the whole process.
#[derive(Debug)]
pub struct Tx {
    connection: SqliteConnection,
    counters: Arc<Counters>,
}

/// A reading connection; it sees what was committed before each of its statements.
#[derive(Debug)]
pub struct Reader {
    connection: PoolConnection<Sqlite>,
    counters: Arc<Counters>,
}

/// What a function that only reads works with: either of the two.
pub trait Read: Send + sealed::Connected {}

impl Read for Tx {}
impl Read for Reader {}

pub(crate) mod sealed {
    /// Keeps the connection, and so SQL, inside this crate.
    pub trait Connected {
        fn connection(&mut self) -> &mut sqlx::SqliteConnection;
        fn skipped(&self, rows: u64);
    }
}

impl Tx {
    pub(crate) const fn new(connection: SqliteConnection, counters: Arc<Counters>) -> Self {
        Self { connection, counters }
    }

    pub(crate) fn into_connection(self) -> SqliteConnection {
        self.connection
    }
}

impl Reader {
    pub(crate) const fn new(connection: PoolConnection<Sqlite>, counters: Arc<Counters>) -> Self {
        Self { connection, counters }
    }
}

impl sealed::Connected for Tx {
    fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    fn skipped(&self, rows: u64) {
        self.counters.rows_skipped.add(rows);
    }
}

impl sealed::Connected for Reader {
    fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    fn skipped(&self, rows: u64) {
        self.counters.rows_skipped.add(rows);
    }
}

/// A statement with its parameters.
pub(crate) type Statement = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

/// Runs a statement and makes a value of each row; a row with a value that this version does not know is left out with a warning.
pub(crate) async fn all<T>(on: &mut impl Read, statement: Statement, read: fn(&SqliteRow) -> Result<T, RowError>) -> Result<Vec<T>, StoreError> {
    let rows = statement.fetch_all(on.connection()).await?;
    let (known, skipped) = row::known(&rows, read)?;
    if skipped > 0 {
        on.skipped(skipped);
    }
    Ok(known)
}

/// Runs a statement that answers with at most one row.
pub(crate) async fn optional<T>(on: &mut impl Read, statement: Statement, read: fn(&SqliteRow) -> Result<T, RowError>) -> Result<Option<T>, StoreError> {
    let row = statement.fetch_optional(on.connection()).await?;
    let (known, skipped) = row::known(row.as_slice(), read)?;
    if skipped > 0 {
        on.skipped(skipped);
    }
    Ok(known.into_iter().next())
}

/// Runs a statement that answers with no rows; says how many it changed.
pub(crate) async fn execute(tx: &mut Tx, statement: Statement) -> Result<u64, StoreError> {
    Ok(statement.execute(sealed::Connected::connection(tx)).await?.rows_affected())
}
