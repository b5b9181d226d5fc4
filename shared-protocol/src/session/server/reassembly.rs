//! Reports on their way in: one at a time, its pieces in order, whole ones counted until they are acknowledged.

use std::collections::VecDeque;

use crate::close::CloseReason;
use crate::frame::ReportChunk;
use crate::id::{JobRef, Sequence};
use crate::limits::{REPORT_BYTES, REPORT_WINDOW};

/// The reports of one session as they arrive.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    /// The last whole report.
    last: Sequence,
    partial: Option<Box<Partial>>,
    unacknowledged: VecDeque<Sequence>,
}

/// A report that arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) seq: Sequence,
    pub(super) job: JobRef,
    pub(super) body: String,
}

#[derive(Debug)]
struct Partial {
    seq: Sequence,
    job: JobRef,
    next_n: u32,
    text: String,
}

impl Reassembly {
    /// Starts behind the last report that is on disk.
    pub(super) fn start_after(&mut self, seq: Sequence) {
        self.last = seq;
    }

    /// Takes a piece; gives the report it completes.
    ///
    /// # Errors
    /// The reason to end the session where pieces come out of order, of two reports at once, beyond the window, or add up to too much.
    pub(super) fn push(&mut self, chunk: &ReportChunk) -> Result<Option<Whole>, CloseReason> {
        if chunk.seq <= self.last {
            return Ok(None);
        }
        let job = JobRef {
            job: chunk.job,
            attempt: chunk.attempt,
        };
        if self.partial.is_none() && self.unacknowledged.len() >= REPORT_WINDOW {
            return Err(CloseReason::ProtocolOrder);
        }
        let partial = self.partial.get_or_insert_with(|| {
            Box::new(Partial {
                seq: chunk.seq,
                job,
                next_n: 0,
                text: String::new(),
            })
        });
        if partial.seq != chunk.seq || partial.job != job || partial.next_n != chunk.n {
            return Err(CloseReason::ProtocolOrder);
        }
        if partial.text.len() + chunk.data.len() > REPORT_BYTES {
            return Err(CloseReason::BadEnvelope);
        }
        partial.text.push_str(&chunk.data);
        partial.next_n += 1;
        if !chunk.last {
            return Ok(None);
        }
        self.last = chunk.seq;
        self.unacknowledged.push_back(chunk.seq);
        let whole = self.partial.take().map(|partial| Whole {
            seq: partial.seq,
            job: partial.job,
            body: partial.text,
        });
        Ok(whole)
    }

    /// Makes room in the window.
    pub(super) fn acknowledge(&mut self, up_to: Sequence) {
        while self.unacknowledged.front().is_some_and(|seq| *seq <= up_to) {
            self.unacknowledged.pop_front();
        }
        if self.unacknowledged.is_empty() {
            self.unacknowledged = VecDeque::new();
        }
    }
}
