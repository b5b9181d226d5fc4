//! Reports on their way out: fed in order of their sequence, cut into pieces, held to a window until they are acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::frame::{OutboxState, ReportChunk};
use crate::id::{JobRef, Sequence};
use crate::limits::{REPORT_CHUNK_BYTES, REPORT_WINDOW};

/// The reports of one session.
#[derive(Debug)]
pub(super) struct Uplink {
    queued: VecDeque<Outgoing>,
    /// Sent whole and not yet acknowledged.
    in_flight: VecDeque<Sequence>,
    last_fed: Sequence,
    last_sent: Sequence,
    acknowledged: Sequence,
}

/// What an acknowledgement meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// Reports up to here can be forgotten.
    UpTo(Sequence),
    /// It says nothing new.
    Nothing,
    /// It names a report that was never sent.
    NeverSent,
}

#[derive(Debug)]
struct Outgoing {
    seq: Sequence,
    job: JobRef,
    body: Arc<str>,
    sent_bytes: usize,
    n: u32,
}

impl Uplink {
    pub(super) fn new(outbox: &OutboxState) -> Self {
        let before = before(outbox.first_seq);
        Self {
            queued: VecDeque::new(),
            in_flight: VecDeque::new(),
            last_fed: before,
            // What an earlier session sent may be acknowledged by `welcome`.
            last_sent: before.max(self::before(outbox.next_seq)),
            acknowledged: before,
        }
    }

    /// Takes the acknowledgement in `welcome`: feeding starts behind it.
    pub(super) fn welcome(&mut self, up_to: Sequence) -> Acknowledged {
        let acknowledged = self.acknowledge(up_to);
        self.last_fed = self.acknowledged;
        self.last_sent = self.acknowledged;
        acknowledged
    }

    pub(super) fn acknowledge(&mut self, up_to: Sequence) -> Acknowledged {
        if up_to > self.last_sent {
            return Acknowledged::NeverSent;
        }
        if up_to <= self.acknowledged {
            return Acknowledged::Nothing;
        }
        self.acknowledged = up_to;
        while self.in_flight.front().is_some_and(|seq| *seq <= up_to) {
            self.in_flight.pop_front();
        }
        Acknowledged::UpTo(up_to)
    }

    /// The last report fed, where there is room for the one after it.
    pub(super) fn wants_after(&self) -> Option<Sequence> {
        (self.queued.len() + self.in_flight.len() < REPORT_WINDOW).then_some(self.last_fed)
    }

    /// Takes the next report; one out of turn or beyond the window is not taken and is asked for again.
    pub(super) fn feed(&mut self, seq: Sequence, job: JobRef, body: Arc<str>) {
        if self.wants_after().is_none_or(|last| seq <= last) {
            return;
        }
        self.last_fed = seq;
        self.queued.push_back(Outgoing {
            seq,
            job,
            body,
            sent_bytes: 0,
            n: 0,
        });
    }

    /// The oldest report sent, whole or in part, and not acknowledged.
    pub(super) fn in_flight(&self) -> Option<Sequence> {
        let begun = self.queued.front().filter(|report| report.n > 0).map(|report| report.seq);
        self.in_flight.front().copied().or(begun)
    }

    /// The next piece.
    pub(super) fn pop(&mut self) -> Option<ReportChunk> {
        let report = self.queued.front_mut()?;
        let rest = report.body.get(report.sent_bytes..).unwrap_or_default();
        let piece = rest.get(..rest.floor_char_boundary(REPORT_CHUNK_BYTES)).unwrap_or(rest);
        let last = piece.len() == rest.len();
        let chunk = ReportChunk {
            seq: report.seq,
            job: report.job.job,
            attempt: report.job.attempt,
            n: report.n,
            last,
            data: piece.to_owned(),
        };
        report.sent_bytes += piece.len();
        report.n += 1;
        if last {
            self.last_sent = report.seq;
            self.in_flight.push_back(report.seq);
            self.queued.pop_front();
        }
        Some(chunk)
    }
}

fn before(seq: Sequence) -> Sequence {
    Sequence::new(seq.value().saturating_sub(1)).unwrap_or(Sequence::ZERO)
}
