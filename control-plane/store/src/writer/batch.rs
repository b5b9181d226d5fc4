//! One batch of the writer: what was asked alone is applied one by one, what is hot as one set for each kind; then all is committed at once.
//!
//! What is asked alone has a savepoint, so that one that fails is undone and takes nobody with it. All sets share one; if they fail they are undone
//! and applied each by itself, and the members of one that fails again one by one.

use std::future::poll_fn;
use std::iter::zip;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::slice;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Operation;
use crate::connection::TransactionId;
use crate::error::{StoreError, Unavailable};
use crate::hot::{Asked, Hot, sealed};
use crate::jobs::{Enqueue, Lease, Running};
use crate::reports::Ingest;
use crate::tally;
use crate::tx::{BoxFuture, Tx};

/// An operation that is applied by itself, and then told whether that was committed.
pub(crate) type Alone = Box<dyn for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Settled> + Send>;

/// An operation that was applied and waits for the commit.
pub(crate) struct Settled {
    verdict: Verdict,
    answer: Box<dyn FnOnce(Result<(), Unavailable>) + Send>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Commit it.
    Keep,
    /// Undo this one alone.
    Undo,
    /// Undo it, and open the connection again before the next batch.
    UndoAndReopen,
}

/// The transaction is lost, or nobody answered whether it was committed.
pub(super) struct Broken {
    pub(super) reason: Unavailable,
    pub(super) connection: Trust,
    pub(super) in_doubt: Option<TransactionId>,
}

/// Whether the connection can carry the next batch, once the lost transaction is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Sound,
    Spoilt,
}

/// What the channel held, sorted by kind.
#[derive(Default)]
pub(super) struct Batch {
    alone: Vec<Alone>,
    running: Vec<Asked<Running>>,
    ingest: Vec<Asked<Ingest>>,
    enqueue: Vec<Asked<Enqueue>>,
    lease: Vec<Asked<Lease>>,
}

/// All of a kind that somebody still waits for, and who.
struct Set<H: Hot> {
    all: Vec<H>,
    answers: Vec<oneshot::Sender<Result<H::Answer, StoreError>>>,
}

/// A set of each kind.
struct Sets {
    running: Set<Running>,
    ingest: Set<Ingest>,
    enqueue: Set<Enqueue>,
    lease: Set<Lease>,
}

/// What came of each of them.
type Answers = (
    Vec<<Running as sealed::Set>::Answer>,
    Vec<<Ingest as sealed::Set>::Answer>,
    Vec<<Enqueue as sealed::Set>::Answer>,
    Vec<<Lease as sealed::Set>::Answer>,
);

/// A batch's transaction.
struct Applying<'a> {
    tx: &'a mut Tx,
    settled: &'a mut Vec<Settled>,
    savepoint: Savepoint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// Nothing was done since it was made.
    Fresh,
    /// What was done since is to be kept.
    Holds,
}

/// Makes an operation of a caller's function.
pub(crate) fn alone<T, F>(apply: F, answer_to: oneshot::Sender<Result<T, StoreError>>) -> Operation
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    Operation::Alone(Box::new(move |tx| {
        Box::pin(async move {
            if answer_to.is_closed() {
                // Nobody waits any more, so nothing was promised either.
                return Settled {
                    verdict: Verdict::Keep,
                    answer: Box::new(|_| ()),
                };
            }
            let result = whole(tx, apply).await;
            Settled::new(result, answer_to)
        })
    }))
}

impl Settled {
    fn new<T: Send + 'static>(result: Result<T, StoreError>, answer_to: oneshot::Sender<Result<T, StoreError>>) -> Self {
        let verdict = match &result {
            Ok(_) => Verdict::Keep,
            Err(error) if error.spoils_connection() => Verdict::UndoAndReopen,
            Err(_) => Verdict::Undo,
        };
        let answer = move |committed: Result<(), Unavailable>| {
            let answer = match (committed, result) {
                // What it says of the data may rest on what was rolled back; why it could not work at all still holds.
                (Err(_), Err(own)) if own.is_retryable() => Err(own),
                (Err(reason), _) => Err(reason.into()),
                (Ok(()), result) => result,
            };
            // A caller that went away meanwhile needs no answer.
            let _gone = answer_to.send(answer);
        };
        Self {
            verdict,
            answer: Box::new(answer),
        }
    }

    /// Tells the caller what became of the commit.
    pub(super) fn answer(self, committed: Result<(), Unavailable>) {
        (self.answer)(committed);
    }

    pub(super) const fn kept(&self) -> bool {
        matches!(self.verdict, Verdict::Keep)
    }

    /// Whether the connection is of no use any more.
    pub(super) const fn spoilt(&self) -> bool {
        matches!(self.verdict, Verdict::UndoAndReopen)
    }
}

impl Batch {
    pub(super) fn of(operations: impl Iterator<Item = Operation>) -> Self {
        let mut batch = Self::default();
        for operation in operations {
            match operation {
                Operation::Alone(alone) => batch.alone.push(alone),
                Operation::Enqueue(asked) => batch.enqueue.push(*asked),
                Operation::Lease(asked) => batch.lease.push(*asked),
                Operation::Running(asked) => batch.running.push(*asked),
                Operation::Ingest(asked) => batch.ingest.push(*asked),
            }
        }
        batch
    }

    /// Everything between begin and commit. Where the commit was sent and not answered, its fate is in doubt.
    pub(super) async fn apply(self, tx: &mut Tx, settled: &mut Vec<Settled>) -> Result<(), Broken> {
        tx.begin();
        let mut applying = Applying {
            tx,
            settled,
            savepoint: Savepoint::Fresh,
        };
        for alone in self.alone {
            applying.alone(alone).await?;
        }
        let sets = Sets {
            running: Set::of(self.running),
            ingest: Set::of(self.ingest),
            enqueue: Set::of(self.enqueue),
            lease: Set::of(self.lease),
        };
        applying.sets(sets).await
    }
}

impl Sets {
    const fn is_empty(&self) -> bool {
        self.running.all.is_empty() && self.ingest.all.is_empty() && self.enqueue.all.is_empty() && self.lease.all.is_empty()
    }

    /// Applies all of them; the statements of which nobody needs the answer still wait.
    async fn apply(&self, tx: &mut Tx) -> Result<Answers, StoreError> {
        // A job that is accepted and reported in one batch was running before it ended.
        let running = some(tx, &self.running.all).await?;
        let ingest = some(tx, &self.ingest.all).await?;
        let enqueue = some(tx, &self.enqueue.all).await?;
        let lease = some(tx, &self.lease.all).await?;
        Ok((running, ingest, enqueue, lease))
    }

    fn settled(self, (of_running, of_ingest, of_enqueue, of_lease): Answers) -> impl Iterator<Item = Settled> {
        let (running, ingest) = (self.running.settled(of_running), self.ingest.settled(of_ingest));
        let (enqueue, lease) = (self.enqueue.settled(of_enqueue), self.lease.settled(of_lease));
        running.chain(ingest).chain(enqueue).chain(lease)
    }

    fn refused(self, reason: Unavailable) -> impl Iterator<Item = Settled> {
        let (running, ingest) = (self.running.refused(reason), self.ingest.refused(reason));
        running.chain(ingest).chain(self.enqueue.refused(reason)).chain(self.lease.refused(reason))
    }
}

impl<H: Hot> Set<H> {
    fn of(asked: Vec<Asked<H>>) -> Self {
        // Where nobody waits any more, nothing was promised either.
        let waiting = asked.into_iter().filter(|one| !one.answer.is_closed());
        let (all, answers) = waiting.map(|one| (one.asked, one.answer)).unzip();
        Self { all, answers }
    }

    fn settled(self, answers: Vec<H::Answer>) -> impl Iterator<Item = Settled> {
        zip(answers, self.answers).map(|(answer, to)| Settled::new(Ok(answer), to))
    }

    fn refused(self, reason: Unavailable) -> impl Iterator<Item = Settled> {
        self.answers.into_iter().map(move |to| Settled::new(Err(reason.into()), to))
    }
}

impl Applying<'_> {
    async fn alone(&mut self, operation: Alone) -> Result<(), Broken> {
        self.next_savepoint();
        let one = guarded(operation(self.tx)).await?;
        self.settle(one).await
    }

    /// Applies all sets as one and commits; if a statement of theirs fails, each set by itself. A savepoint for each would have each page of the
    /// batch copied aside as often, and the last statements would not travel with the commit.
    async fn sets(mut self, sets: Sets) -> Result<(), Broken> {
        if sets.is_empty() {
            return self.commit().await.map_err(|error| self.uncommitted(&error));
        }
        self.next_savepoint();
        let refused = match guarded(sets.apply(self.tx)).await? {
            Ok(answers) => match self.commit().await {
                Ok(()) => {
                    self.settled.extend(sets.settled(answers));
                    return Ok(());
                }
                Err(error) if self.in_doubt(&error).is_some() => {
                    self.settled.extend(sets.settled(answers));
                    return Err(self.uncommitted(&error));
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        // What the database cannot do for all of them, it cannot do for one.
        if let StoreError::Unavailable(reason) = refused {
            self.settled.extend(sets.refused(reason));
            // It cannot be undone where it was the commit itself that failed: then nothing of the batch stands.
            self.undo().await.map_err(|broken| Broken { reason, ..broken })?;
        } else {
            self.undo().await?;
            tracing::warn!(error = %refused, "the sets of a batch were refused together; each is tried by itself");
            self.set(sets.running).await?;
            self.set(sets.ingest).await?;
            self.set(sets.enqueue).await?;
            self.set(sets.lease).await?;
        }
        self.commit().await.map_err(|error| self.uncommitted(&error))
    }

    /// Writes what the batch came to, and commits it, together with all that waits.
    async fn commit(&mut self) -> Result<(), StoreError> {
        tally::write(self.tx)?;
        self.tx.commit().await
    }

    /// What a commit that failed leaves.
    fn uncommitted(&self, error: &StoreError) -> Broken {
        Broken {
            in_doubt: self.in_doubt(error),
            ..broken(error)
        }
    }

    /// The transaction, where nobody answered whether it was committed. A refusal is an answer; only a lost connection is none.
    fn in_doubt(&self, error: &StoreError) -> Option<TransactionId> {
        let unanswered = matches!(error, StoreError::Unavailable(Unavailable::Unreachable));
        self.tx.transaction().filter(|_| unanswered)
    }

    /// Applies all operations of a kind at once; if that fails, one by one.
    async fn set<H: Hot>(&mut self, set: Set<H>) -> Result<(), Broken> {
        if set.all.is_empty() {
            return Ok(());
        }
        self.next_savepoint();
        match guarded(whole_set(self.tx, &set.all)).await? {
            Ok(answers) => {
                self.settled.extend(set.settled(answers));
                self.savepoint = Savepoint::Holds;
                Ok(())
            }
            Err(StoreError::Unavailable(reason)) => {
                self.settled.extend(set.refused(reason));
                self.undo().await
            }
            Err(error) => {
                self.undo().await?;
                tracing::warn!(%error, operations = set.all.len(), "a set of operations was refused; they are tried one by one");
                for (one, answer) in zip(&set.all, set.answers) {
                    self.one_of_set(one, answer).await?;
                }
                Ok(())
            }
        }
    }

    async fn one_of_set<H: Hot>(&mut self, one: &H, answer: oneshot::Sender<Result<H::Answer, StoreError>>) -> Result<(), Broken> {
        self.next_savepoint();
        let applied = guarded(whole_set(self.tx, slice::from_ref(one))).await?;
        // A set answers each of its members.
        let result = applied.and_then(|answers| answers.into_iter().next().ok_or(Unavailable::NotCommitted.into()));
        self.settle(Settled::new(result, answer)).await
    }

    /// Undoes an operation that failed; the others stand.
    async fn settle(&mut self, one: Settled) -> Result<(), Broken> {
        let kept = one.kept();
        self.settled.push(one);
        if kept {
            self.savepoint = Savepoint::Holds;
            return Ok(());
        }
        self.undo().await
    }

    async fn undo(&mut self) -> Result<(), Broken> {
        self.tx.undo().await.map_err(|error| broken(&error))
    }

    fn next_savepoint(&mut self) {
        if self.savepoint == Savepoint::Holds {
            self.tx.keep();
            self.savepoint = Savepoint::Fresh;
        }
    }
}

/// Applies an operation, down to its last statement.
async fn whole<T, F>(tx: &mut Tx, apply: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut Tx) -> BoxFuture<'c, Result<T, StoreError>>,
{
    let done = apply(tx).await?;
    tx.flush().await?;
    Ok(done)
}

/// Applies a set, down to its last statement.
async fn whole_set<H: Hot>(tx: &mut Tx, all: &[H]) -> Result<Vec<H::Answer>, StoreError> {
    let answers = some(tx, all).await?;
    tx.flush().await?;
    Ok(answers)
}

async fn some<H: Hot>(tx: &mut Tx, all: &[H]) -> Result<Vec<H::Answer>, StoreError> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    H::apply(tx, all).await
}

/// Runs one operation or set; one that panics or never ends breaks its batch, not the writer.
async fn guarded<T>(applied: impl Future<Output = T>) -> Result<T, Broken> {
    let mut applied = pin!(applied);
    let guarded = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| applied.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(_panic) => Poll::Ready(Err(interrupted(Unavailable::NotCommitted))),
    });
    timeout(OPERATION_TIMEOUT, guarded).await.unwrap_or(Err(interrupted(Unavailable::TimedOut)))
}

/// A statement may still be under way on the connection.
const fn interrupted(reason: Unavailable) -> Broken {
    Broken {
        reason,
        connection: Trust::Spoilt,
        in_doubt: None,
    }
}

fn broken(error: &StoreError) -> Broken {
    tracing::warn!(%error, "a step of the writer's transaction was refused");
    let connection = if error.spoils_connection() { Trust::Spoilt } else { Trust::Sound };
    let reason = if let StoreError::Unavailable(reason) = error {
        *reason
    } else {
        Unavailable::NotCommitted
    };
    Broken {
        reason,
        connection,
        in_doubt: None,
    }
}

/// Longest an operation or a set may take; its batch is given up after that.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
