//! How much an agent may say. Frames that a job pays for are bounded by credit, coalescing and size; all others by the message rate.

use std::collections::BTreeMap;

use crate::frame::{AgentFrame, Event, ReportChunk};
use crate::id::{JobId, JobRef};
use crate::limits::{EVENT_COALESCE, JOBS_IN_HAND, MESSAGE_BURST, MESSAGES_PER_SECOND, REPORT_CHUNK_BYTES};
use crate::session::rate::{Bucket, Rate, Taken};
use crate::time::MonotonicMicros;

/// The jobs an agent has in hand, as the server knows them, and what it may say about them.
#[derive(Debug, Default)]
pub(super) struct Intake {
    jobs: BTreeMap<JobRef, Bucket>,
    messages: Bucket,
    /// Frames paid for by jobs handed out: an answer and a grant for each.
    prepaid: u32,
}

impl Intake {
    /// Notes a job that the agent has in hand from now on.
    pub(super) fn hand_out(&mut self, job: JobRef) {
        if self.jobs.len() >= JOBS_IN_HAND {
            self.jobs.pop_first();
        }
        self.jobs.insert(job, Bucket::default());
        self.prepaid = (self.prepaid + FRAMES_PER_JOB).min(PREPAID);
    }

    pub(super) fn take_back(&mut self, job: JobRef) {
        self.jobs.remove(&job);
    }

    pub(super) fn take_back_all(&mut self, jobs: &[JobId]) {
        if !self.jobs.is_empty() {
            self.jobs.retain(|held, _| !jobs.contains(&held.job));
        }
    }

    pub(super) fn holds(&self, job: JobRef) -> bool {
        self.jobs.contains_key(&job)
    }

    /// Whether one more frame is not too fast.
    pub(super) fn admit(&mut self, frame: &AgentFrame, now: MonotonicMicros) -> Taken {
        if self.is_paid_for(frame, now) {
            Taken::Token
        } else {
            self.admit_message(now)
        }
    }

    /// Whether one more frame that no job pays for is not too fast.
    pub(super) fn admit_message(&mut self, now: MonotonicMicros) -> Taken {
        self.messages.take(MESSAGES, now)
    }

    fn is_paid_for(&mut self, frame: &AgentFrame, now: MonotonicMicros) -> bool {
        match frame {
            AgentFrame::Event(event) => self.event_is_paid_for(event, now),
            AgentFrame::Report(chunk) => is_fair_piece(chunk),
            AgentFrame::Accept(_) | AgentFrame::Refuse(_) | AgentFrame::Credit(_) => {
                let paid = self.prepaid > 0;
                self.prepaid = self.prepaid.saturating_sub(1);
                paid
            }
            AgentFrame::Hello(_) | AgentFrame::Keepalive(_) | AgentFrame::Configured(_) => false,
        }
    }

    fn event_is_paid_for(&mut self, event: &Event, now: MonotonicMicros) -> bool {
        let job = JobRef {
            job: event.job,
            attempt: event.attempt,
        };
        self.jobs.get_mut(&job).is_some_and(|bucket| bucket.take(EVENTS, now) == Taken::Token)
    }
}

/// Whole reports are bounded by the window; this keeps one from coming a byte at a time.
fn is_fair_piece(chunk: &ReportChunk) -> bool {
    chunk.last || chunk.data.len() > REPORT_CHUNK_BYTES / 2
}

const MESSAGES: Rate = Rate::new(MESSAGES_PER_SECOND, MESSAGE_BURST);
/// Twice what coalescing makes of one job, so that a stall on the way is no offence.
const EVENTS: Rate = Rate::new(2 * 1_000 / COALESCE_MS, 40);
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a constant of 100; TryFrom is not const")]
const COALESCE_MS: u32 = EVENT_COALESCE.as_millis() as u32;
/// An answer, a grant, and one of each to spare for jobs answered twice.
const FRAMES_PER_JOB: u32 = 4;
/// Most frames that can be paid for in advance.
const PREPAID: u32 = 8_192;
