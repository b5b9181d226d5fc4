//! What a store function is given to work with: the write transaction, or a reading connection.

use std::pin::Pin;
use std::sync::Arc;

use crate::connection::{Connection, On, ReadingConnection, TransactionId};
use crate::error::StoreError;
use crate::metrics::Counters;
use crate::row::{self, Row, RowError};
use crate::statement::{Statement, Whose};
use crate::tally::Tally;

/// A boxed future, as operations of [`crate::Store::write`] return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The write transaction; there is one at a time in the whole process.
#[derive(Debug)]
pub struct Tx {
    connection: Connection,
    counters: Arc<Counters>,
    /// What is counted by tenant; lives as long as the connection.
    pub(crate) tally: Tally,
}

/// A reading connection; it sees what was committed before each of its statements.
#[derive(Debug)]
pub struct Reader {
    connection: ReadingConnection,
    counters: Arc<Counters>,
}

/// What a function that only reads works with: either of the two.
pub trait Read: Send + sealed::Connected {}

impl Read for Tx {}
impl Read for Reader {}

pub(crate) mod sealed {
    use crate::connection::On;
    use crate::error::StoreError;
    use crate::statement::Whose;

    /// Keeps the connection, and so SQL, inside this crate.
    pub trait Connected {
        /// The connection, ready for a statement about somebody's data.
        fn on(&mut self, whose: Whose) -> impl Future<Output = Result<On<'_>, StoreError>> + Send;
        fn skipped(&self, rows: u64);
    }
}

impl Tx {
    pub(crate) fn new(connection: Connection, counters: Arc<Counters>) -> Self {
        Self {
            connection,
            counters,
            tally: Tally::default(),
        }
    }

    pub(crate) const fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Begins the transaction and its first operation.
    pub(crate) async fn begin(&mut self) -> Result<Option<TransactionId>, StoreError> {
        self.counters.statements.add(1);
        Ok(self.connection.begin().await?)
    }

    /// Keeps the operation, begins the next.
    pub(crate) async fn keep(&mut self) -> Result<(), StoreError> {
        self.tally.keep();
        self.counters.statements.add(1);
        Ok(self.connection.keep().await?)
    }

    /// Undoes the operation alone and begins the next.
    pub(crate) async fn undo(&mut self) -> Result<(), StoreError> {
        self.tally.undo();
        self.counters.statements.add(1);
        Ok(self.connection.undo().await?)
    }

    /// Keeps the operation and commits.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        self.counters.statements.add(1);
        self.connection.commit().await?;
        self.tally.committed();
        Ok(())
    }

    /// Undoes everything since the beginning.
    pub(crate) async fn roll_back(&mut self) -> Result<(), StoreError> {
        self.tally = Tally::default();
        Ok(self.connection.roll_back().await?)
    }
}

impl Reader {
    pub(crate) const fn new(connection: ReadingConnection, counters: Arc<Counters>) -> Self {
        Self { connection, counters }
    }
}

impl sealed::Connected for Tx {
    /// The writer is the control plane itself; its statements name the tenant, and no round trip is spent on saying it twice.
    async fn on(&mut self, _: Whose) -> Result<On<'_>, StoreError> {
        self.counters.statements.add(1);
        Ok(self.connection.on())
    }

    fn skipped(&self, rows: u64) {
        self.counters.rows_skipped.add(rows);
    }
}

impl sealed::Connected for Reader {
    async fn on(&mut self, whose: Whose) -> Result<On<'_>, StoreError> {
        self.connection.on(whose).await
    }

    fn skipped(&self, rows: u64) {
        self.counters.rows_skipped.add(rows);
    }
}

/// Runs a statement and makes a value of each row; a row with a value that this version does not know is left out with a warning.
pub(crate) async fn all<T>(on: &mut impl Read, statement: Statement, read: fn(&Row) -> Result<T, RowError>) -> Result<Vec<T>, StoreError> {
    let rows = on.on(statement.whose()).await?.fetch(statement).await?;
    let (known, skipped) = row::known(&rows, read)?;
    if skipped > 0 {
        on.skipped(skipped);
    }
    Ok(known)
}

/// Runs a statement that answers with at most one row.
pub(crate) async fn optional<T>(on: &mut impl Read, statement: Statement, read: fn(&Row) -> Result<T, RowError>) -> Result<Option<T>, StoreError> {
    Ok(all(on, statement, read).await?.into_iter().next())
}

/// Runs a statement that answers with no rows; says how many it changed.
pub(crate) async fn execute(tx: &mut Tx, statement: Statement) -> Result<u64, StoreError> {
    tx.counters.statements.add(1);
    Ok(tx.connection.on().execute(statement).await?)
}
