//! Operations that come by the thousand: the writer applies all of a kind that its batch holds as one set of statements.
//!
//! The function over a slice is the only implementation of each; a single operation is a slice of one. They come in no order that anybody
//! could rely on: whoever needs one before another waits for its answer.

use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::writer::Operation;

/// An operation that is applied together with others of its kind. See [`crate::Store::submit`].
pub trait Hot: sealed::Set {}

impl<T: sealed::Set> Hot for T {}

/// An operation, and who waits for its answer.
pub(crate) struct Asked<H: sealed::Set> {
    pub(crate) asked: H,
    pub(crate) answer: oneshot::Sender<Result<H::Answer, StoreError>>,
}

/// Makes an operation for the writer of what is asked.
pub(crate) fn operation<H: Hot>(asked: H, answer: oneshot::Sender<Result<H::Answer, StoreError>>) -> Operation {
    H::operation(Box::new(Asked { asked, answer }))
}

pub(crate) mod sealed {
    use super::Asked;
    use crate::error::StoreError;
    use crate::tx::Tx;
    use crate::writer::Operation;

    /// Keeps the kinds inside this crate.
    #[expect(private_interfaces, reason = "what is sealed in here is named nowhere else")]
    pub trait Set: Send + Sync + Sized + 'static {
        /// What whoever asked is told.
        type Answer: Send + 'static;

        /// Applies all; one answer for each, in their order.
        fn apply(tx: &mut Tx, all: &[Self]) -> impl Future<Output = Result<Vec<Self::Answer>, StoreError>> + Send;

        fn operation(asked: Box<Asked<Self>>) -> Operation;
    }
}

/// Makes a type an operation of a kind: its variant of [`Operation`], the function over a slice, and what it answers.
macro_rules! hot {
    ($($asked:ty => $variant:ident, $apply:path, $answer:ty;)+) => {
        $(
            #[expect(private_interfaces, reason = "what is sealed in here is named nowhere else")]
            impl sealed::Set for $asked {
                type Answer = $answer;

                async fn apply(tx: &mut crate::Tx, all: &[Self]) -> Result<Vec<$answer>, StoreError> {
                    $apply(tx, all).await
                }

                fn operation(asked: Box<Asked<Self>>) -> Operation {
                    Operation::$variant(asked)
                }
            }
        )+
    };
}

hot! {
    crate::jobs::Enqueue => Enqueue, crate::jobs::enqueue, crate::jobs::Enqueued;
    crate::jobs::Lease => Lease, crate::jobs::lease, Vec<crate::jobs::LeasedJob>;
    crate::jobs::Running => Running, crate::jobs::running, ();
    crate::reports::Ingest => Ingest, crate::reports::ingest, Vec<crate::reports::IngestOutcome>;
}
