//! What a store function is given to work with: the write transaction, or a reading connection.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;

use crate::connection::{COMMIT, Connection, RELEASE, ROLLBACK, SAVEPOINT, TransactionId, UNDO};
use crate::error::{StoreError, Unavailable};
use crate::metrics::Counters;
use crate::readers::Place;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tally::Tally;
use crate::trip::{Answer, Prepared, Step};

/// A boxed future, as operations of [`crate::Store::write`] return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The write transaction; there is one at a time in the whole process, and on PostgreSQL a second one for series.
#[derive(Debug)]
pub struct Tx {
    connection: Connection,
    counters: Arc<Counters>,
    prepared: Prepared,
    /// What travels with the next statement whose answer somebody needs, or with the end of the operation.
    waiting: Vec<Step>,
    /// How many of them are older than the operation at hand.
    operation: usize,
    begun: Begun,
    /// What is counted by tenant; lives as long as the connection.
    pub(crate) tally: Tally,
}

/// Whether the database was told that the transaction begins.
#[derive(Debug)]
enum Begun {
    Waiting,
    /// It was, and gave it this number, if it gives any.
    Sent(Option<TransactionId>),
}

/// A reading connection; it sees what was committed before each of its statements.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    counters: Arc<Counters>,
}

/// What a function that only reads works with: either of the two.
pub trait Read: Send + sealed::Connected {}

impl Read for Tx {}
impl Read for Reader {}

pub(crate) mod sealed {
    use crate::error::StoreError;
    use crate::row::Row;
    use crate::statement::Statement;

    /// Keeps the connection, and so SQL, inside this crate.
    pub trait Connected {
        /// Runs a statement. Where the database can, it shows a reader nothing but the data that the statement says it is about.
        fn fetch(&mut self, statement: Statement) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
        fn skipped(&self, rows: u64);
    }
}

impl Tx {
    pub(crate) fn new(connection: Connection, counters: Arc<Counters>) -> Self {
        Self {
            connection,
            counters,
            prepared: Prepared::default(),
            waiting: Vec::new(),
            operation: 0,
            begun: Begun::Waiting,
            tally: Tally::default(),
        }
    }

    /// The connection as it stands, whatever waits to be sent.
    pub(crate) const fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The connection, once all that waits was sent.
    pub(crate) async fn sent(&mut self) -> Result<&mut Connection, StoreError> {
        self.go().await?;
        Ok(&mut self.connection)
    }

    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Begins the transaction and its first operation, with the first statement that is sent.
    pub(crate) fn begin(&mut self) {
        self.waiting = self.connection.begin();
        self.operation = self.waiting.len();
        self.begun = Begun::Waiting;
    }

    /// Sends the statements that wait: the operation is done when they are.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.waiting.len() > self.operation {
            self.go().await?;
        }
        Ok(())
    }

    /// Keeps the operation, begins the next.
    pub(crate) fn keep(&mut self) {
        self.tally.keep();
        self.waiting.extend([Step::Command(RELEASE), Step::Command(SAVEPOINT)]);
        self.operation = self.waiting.len();
    }

    /// Undoes the operation alone and begins the next.
    pub(crate) async fn undo(&mut self) -> Result<(), StoreError> {
        self.tally.undo();
        self.waiting.truncate(self.operation);
        self.waiting.push(Step::Command(UNDO));
        self.go().await.map(drop)
    }

    /// Keeps the operation and commits, together with the statements that wait. A transaction in which nothing was asked of the database was
    /// never begun there.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        match (&self.connection, &self.begun) {
            (_, Begun::Waiting) if self.waiting.len() == self.operation => {
                self.waiting.clear();
                self.tally.committed(&self.counters.quotas);
                return Ok(());
            }
            // Without its number nobody could ask what became of it.
            (Connection::Postgres(_), Begun::Waiting) => drop(self.go().await?),
            (Connection::Sqlite(_) | Connection::Postgres(_), Begun::Waiting | Begun::Sent(_)) => {}
        }
        if let (Connection::Postgres(_), Begun::Sent(None)) = (&self.connection, &self.begun) {
            return Err(Unavailable::Unreachable.into());
        }
        self.waiting.extend([Step::Command(RELEASE), Step::Command(COMMIT)]);
        self.go().await?;
        self.tally.committed(&self.counters.quotas);
        Ok(())
    }

    /// The transaction's number, where the database gave it one.
    pub(crate) fn transaction(&self) -> Option<TransactionId> {
        match &self.begun {
            Begun::Waiting => None,
            Begun::Sent(transaction) => transaction.clone(),
        }
    }

    /// Undoes everything since the beginning.
    pub(crate) async fn roll_back(&mut self) -> Result<(), StoreError> {
        self.tally = Tally::default();
        self.waiting.clear();
        Ok(self.connection.command(ROLLBACK).await?)
    }

    /// Sends all that waits; the answer is that of the last step.
    async fn go(&mut self) -> Result<Answer, StoreError> {
        let mut answer = Answer::default();
        let steps = mem::take(&mut self.waiting);
        self.operation = 0;
        if steps.is_empty() {
            return Ok(answer);
        }
        self.counters.trips.add(1);
        let done = self.connection.go(&mut self.prepared, steps, &mut answer).await;
        if matches!(self.begun, Begun::Waiting) {
            self.begun = Begun::Sent(answer.transaction.take());
        }
        done?;
        Ok(answer)
    }

    async fn ask(&mut self, statement: Statement) -> Result<Answer, StoreError> {
        self.waiting.push(Step::Statement(statement));
        self.go().await
    }
}

impl Reader {
    pub(crate) const fn new(place: Place, counters: Arc<Counters>) -> Self {
        Self { place, counters }
    }
}

impl sealed::Connected for Tx {
    /// The writer is the control plane itself; its statements name the tenant, and no round trip is spent on saying it twice.
    async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(self.ask(statement).await?.rows)
    }

    fn skipped(&self, rows: u64) {
        self.counters.rows_skipped.add(rows);
    }
}

impl sealed::Connected for Reader {
    async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.place.fetch(statement).await
    }

    fn skipped(&self, rows: u64) {
        self.counters.rows_skipped.add(rows);
    }
}

/// Runs a statement and makes a value of each row; a row with a value that this version does not know is left out with a warning.
pub(crate) async fn all<T>(on: &mut impl Read, statement: Statement, read: fn(&Row) -> Result<T, RowError>) -> Result<Vec<T>, StoreError> {
    let rows = on.fetch(statement).await?;
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
    Ok(tx.ask(statement).await?.changed)
}

/// A statement, and what makes a value of each row of its answer.
pub(crate) type Question<T> = (Statement, fn(&Row) -> Result<T, RowError>);

/// Runs two statements in one go, the second whatever the first answers, and makes values of the rows of each.
pub(crate) async fn both<T, U>(tx: &mut Tx, (first, read_first): Question<T>, (second, read_second): Question<U>) -> Result<(Vec<T>, Vec<U>), StoreError> {
    tx.waiting.push(Step::Statement(first));
    let answer = tx.ask(second).await?;
    let (of_first, of_second) = answer.rows.split_at(answer.last);
    let ((of_first, skipped), (of_second, more)) = (row::known(of_first, read_first)?, row::known(of_second, read_second)?);
    if skipped + more > 0 {
        sealed::Connected::skipped(tx, skipped + more);
    }
    Ok((of_first, of_second))
}

/// Runs a statement whose answer nobody needs, together with what comes next. If it fails, so does its operation.
pub(crate) fn later(tx: &mut Tx, statement: Statement) {
    tx.waiting.push(Step::Statement(statement));
}
