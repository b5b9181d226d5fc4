//! What waits for the writer, and how long it does.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Operation;
use crate::clock;

/// The writer's end of its channel.
pub(crate) struct Intake {
    operations: mpsc::Receiver<Operation>,
    company_wait: Duration,
    /// When the latest batch was done.
    done: Option<Instant>,
}

impl Intake {
    pub(crate) const fn new(operations: mpsc::Receiver<Operation>, company_wait: Duration) -> Self {
        Self {
            operations,
            company_wait,
            done: None,
        }
    }

    /// Waits for the first operation, then takes all that are there, at most so many. How many: none once the channel is closed and empty.
    pub(super) async fn take(&mut self, batch: &mut Vec<Operation>, most: usize) -> usize {
        self.operations.recv_many(batch, most).await
    }

    /// Takes more for a batch, while nothing in it is urgent and others are about: a commit of a report alone is one that the next enqueue
    /// waits for, and costs as much as one of both.
    pub(super) async fn gather(&mut self, batch: &mut Vec<Operation>, most: usize) {
        let now = clock::monotonic();
        if self.done.is_none_or(|done| now.duration_since(done) > ABOUT * self.company_wait) {
            return;
        }
        let until = now + self.company_wait;
        let mut looked_at = 0;
        while batch.len() < most && batch.iter().skip(looked_at).all(Operation::is_patient) {
            looked_at = batch.len();
            if !matches!(timeout_at(until, self.operations.recv_many(batch, most - looked_at)).await, Ok(1..)) {
                return;
            }
        }
    }

    /// A batch was done.
    pub(super) fn done(&mut self) {
        self.done = Some(clock::monotonic());
    }

    /// Takes nothing new; what waits is still given.
    pub(super) fn close(&mut self) {
        self.operations.close();
    }
}

/// Others are about where the latest batch was done less than this many waits ago.
const ABOUT: u32 = 10;
