//! Connections that read. They stay open for whoever comes next, who is given one that shows the rows in question already, where there is such a
//! one.
//!
//! It is not sqlx's pool: that one asks each connection whether it is still there, when it is taken and when it is given back, two trips beside
//! the one that is wanted. Here a connection is used as it is. Where it turns out to be gone, what was asked of it only reads, and is asked again
//! over a new one.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::database::Kind;
use crate::error::{StoreError, Unavailable};
use crate::postgres;
use crate::row::Row;
use crate::statement::{Statement, Whose};
use crate::store::StoreOptions;

/// The connections that read.
#[derive(Debug)]
pub(crate) struct Readers {
    shared: Arc<Shared>,
    /// How many there are at most.
    most: u32,
}

#[derive(Debug)]
struct Shared {
    to: To,
    /// Room for one connection each.
    room: Arc<Semaphore>,
    /// Longest that somebody waits for room, or for a connection to be opened.
    wait: Duration,
    /// Those that nobody uses; the one that was used last is the last.
    idle: Mutex<Vec<Kept>>,
    closing: AtomicBool,
}

/// What is connected to.
#[derive(Debug)]
pub(crate) enum To {
    File(Box<SqliteConnectOptions>),
    Server(Box<PgConnectOptions>),
}

/// Room for a connection, and the connection from the first statement on.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    kept: Option<Kept>,
    _room: OwnedSemaphorePermit,
}

/// A connection.
#[derive(Debug)]
struct Kept {
    connection: Connection,
    /// Whose rows it shows; none where nobody said yet.
    shows: Option<Whose>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All that was asked of it was answered.
    Answered,
    /// It may still be answering somebody who is gone.
    Answering,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    New,
    Kept,
}

impl Readers {
    pub(crate) fn new(to: To, options: &StoreOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                to,
                room: Arc::new(Semaphore::new(usize::try_from(options.readers).unwrap_or(Semaphore::MAX_PERMITS))),
                wait: options.reader_wait,
                idle: Mutex::default(),
                closing: AtomicBool::new(false),
            }),
            most: options.readers,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.shared.to {
            To::File(_) => Kind::Sqlite,
            To::Server(_) => Kind::Postgres,
        }
    }

    /// Room for a connection, as soon as there is some.
    pub(crate) async fn place(&self) -> Result<Place, StoreError> {
        if self.shared.closing.load(Ordering::Acquire) {
            return Err(Unavailable::Closed.into());
        }
        let room = timeout(self.shared.wait, Arc::clone(&self.shared.room).acquire_owned()).await;
        let room = room.map_err(|_| Unavailable::ReadersBusy)?.map_err(|_closed| Unavailable::Closed)?;
        Ok(Place {
            shared: Arc::clone(&self.shared),
            kept: None,
            _room: room,
        })
    }

    /// Lets nobody in any more, waits for those at work, and closes.
    pub(crate) async fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        let all = self.shared.room.acquire_many(self.most).await;
        self.shared.room.close();
        drop(all);
        for kept in self.shared.take_all() {
            if let Err(error) = kept.connection.close().await {
                tracing::debug!(%error, "a reading connection was not closed cleanly");
            }
        }
    }
}

impl Place {
    /// Asks a statement; it must only read.
    pub(crate) async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let whose = statement.whose();
        let (mut kept, origin) = match self.kept.take() {
            Some(kept) => (kept, Origin::Kept),
            None => self.shared.take(whose).await?,
        };
        if origin == Origin::Kept {
            match self.ask(kept, whose, statement.clone()).await {
                Err(StoreError::Unavailable(Unavailable::Unreachable)) => {}
                answer => return answer,
            }
            // The others were opened before the server went away as well.
            drop(self.shared.take_all());
            kept = self.shared.open().await?;
        }
        self.ask(kept, whose, statement).await
    }

    /// Asks over a connection, which stays here unless it cannot be trusted any more.
    async fn ask(&mut self, kept: Kept, whose: Whose, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let kept = self.kept.insert(kept);
        kept.state = State::Answering;
        let answer = kept.ask(whose, statement).await;
        kept.state = State::Answered;
        if answer.as_ref().is_err_and(StoreError::spoils_connection) {
            self.kept = None;
        }
        answer
    }
}

/// The connection is there for the next one.
impl Drop for Place {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
    }
}

impl Shared {
    /// A connection: best one that shows what is wanted, last one that may still be answering somebody else.
    async fn take(&self, whose: Whose) -> Result<(Kept, Origin), StoreError> {
        while let Some(mut kept) = self.take_idle(whose) {
            if kept.state == State::Answered || matches!(timeout(self.wait, kept.connection.ping()).await, Ok(Ok(()))) {
                return Ok((kept, Origin::Kept));
            }
        }
        Ok((self.open().await?, Origin::New))
    }

    fn take_idle(&self, whose: Whose) -> Option<Kept> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = |kept: &Kept| kept.state == State::Answered;
        let showing = idle.iter().rposition(|kept| answered(kept) && kept.shows == Some(whose));
        let best = showing.or_else(|| idle.iter().rposition(answered));
        best.map(|place| idle.remove(place)).or_else(|| idle.pop())
    }

    fn take_all(&self) -> Vec<Kept> {
        mem::take(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn open(&self) -> Result<Kept, StoreError> {
        let opened = async {
            Ok::<_, sqlx::Error>(match &self.to {
                To::File(options) => Connection::Sqlite(options.connect().await?),
                To::Server(options) => Connection::Postgres(options.connect().await?),
            })
        };
        Ok(Kept {
            connection: timeout(self.wait, opened).await.map_err(|_| Unavailable::Unreachable)??,
            shows: None,
            state: State::Answered,
        })
    }
}

impl Kept {
    async fn ask(&mut self, whose: Whose, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let Self { connection, shows, .. } = self;
        match connection {
            Connection::Sqlite(connection) => Ok(statement.for_sqlite().fetch_all(connection).await?.into_iter().map(Row::Sqlite).collect()),
            Connection::Postgres(connection) => {
                // Nobody waits for ever for a server that says nothing, not even that it is gone.
                let asked = async {
                    if *shows != Some(whose) {
                        *shows = None;
                        postgres::show(connection, whose).await?;
                        *shows = Some(whose);
                    }
                    statement.for_postgres().fetch_all(connection).await
                };
                let rows = timeout(ANSWER_WITHIN, asked).await.map_err(|_| Unavailable::TimedOut)??;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }
}

/// Longest that a server may be silent: more than it gives itself for a statement.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
