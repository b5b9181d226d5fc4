//! Partial findings on their way out: the first of a job at once, then one frame each [`EVENT_COALESCE`]; bounded, the oldest go first.

use std::collections::{BTreeMap, VecDeque};

use crate::event::ProbeEvent;
use crate::frame::Event;
use crate::id::JobRef;
use crate::limits::{EVENT_COALESCE, EVENT_RING_BYTES, EVENTS_PER_FRAME};
use crate::time::MonotonicMicros;

/// The findings of all jobs in hand that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Events {
    jobs: BTreeMap<JobRef, JobEvents>,
    /// Jobs with a frame to send at once, in turn.
    ready: VecDeque<JobRef>,
    /// Last frames of jobs that left the hand; their reports follow.
    last: VecDeque<Event>,
}

#[derive(Debug, Default)]
struct JobEvents {
    waiting: VecDeque<ProbeEvent>,
    /// Number of the first finding that waits.
    first: u64,
    quiet_until: Option<MonotonicMicros>,
    is_ready: bool,
}

impl Events {
    /// Keeps a finding until its frame leaves.
    pub(super) fn push(&mut self, job: JobRef, finding: ProbeEvent, now: MonotonicMicros) {
        let events = self.jobs.entry(job).or_default();
        if events.waiting.len() >= EVENTS_PER_JOB {
            events.waiting.pop_front();
            events.first += 1;
        }
        events.waiting.push_back(finding);
        if !events.is_ready && events.quiet_until.is_none_or(|until| now >= until) {
            events.is_ready = true;
            self.ready.push_back(job);
        }
    }

    /// Takes findings and their numbering from the session before, for the jobs still in hand.
    pub(super) fn carry_over(&mut self, previous: Self, still_held: impl Fn(JobRef) -> bool) {
        for (job, mut events) in previous.jobs {
            if still_held(job) {
                events.is_ready = !events.waiting.is_empty();
                if events.is_ready {
                    self.ready.push_back(job);
                }
                self.jobs.insert(job, events);
            }
        }
    }

    /// The next frame, where one may leave.
    pub(super) fn pop(&mut self, now: MonotonicMicros) -> Option<Event> {
        if let Some(event) = self.last.pop_front() {
            return Some(event);
        }
        loop {
            let job = self.ready.pop_front()?;
            if let Some(events) = self.jobs.get_mut(&job) {
                events.is_ready = false;
                events.quiet_until = Some(now.plus(EVENT_COALESCE));
                return Some(events.take_frame(job));
            }
        }
    }

    /// Makes ready whose quiet time is over.
    pub(super) fn handle_timeout(&mut self, now: MonotonicMicros) {
        for (job, events) in &mut self.jobs {
            if events.due().is_some_and(|at| now >= at) {
                events.is_ready = true;
                self.ready.push_back(*job);
            }
        }
    }

    /// When the next quiet time ends that something waits for.
    pub(super) fn deadline(&self) -> Option<MonotonicMicros> {
        self.jobs.values().filter_map(JobEvents::due).min()
    }

    /// Ends the job's findings: what waits leaves at once, so that the report comes after it.
    pub(super) fn finish(&mut self, job: JobRef) {
        let Some(mut events) = self.jobs.remove(&job) else { return };
        while events.waiting.len() > EVENTS_PER_FRAME {
            events.waiting.pop_front();
            events.first += 1;
        }
        if !events.waiting.is_empty() {
            if self.last.len() == LAST_FRAMES {
                self.last.pop_front();
            }
            self.last.push_back(events.take_frame(job));
        }
    }

    /// Forgets the jobs that are not in hand.
    pub(super) fn retain(&mut self, held: impl Fn(JobRef) -> bool) {
        self.jobs.retain(|job, _| held(*job));
    }
}

impl JobEvents {
    fn due(&self) -> Option<MonotonicMicros> {
        self.quiet_until.filter(|_| !self.is_ready && !self.waiting.is_empty())
    }

    fn take_frame(&mut self, job: JobRef) -> Event {
        let n = self.first;
        let count = self.waiting.len().min(EVENTS_PER_FRAME);
        let findings: Vec<_> = self.waiting.drain(..count).collect();
        self.first += u64::try_from(findings.len()).unwrap_or(u64::MAX);
        Event {
            job: job.job,
            attempt: job.attempt,
            n,
            findings,
        }
    }
}

/// Most findings of one job that wait; the oldest is dropped for the next, the report holds every finding.
const EVENTS_PER_JOB: usize = EVENT_RING_BYTES / size_of::<ProbeEvent>();
/// Most last frames that wait; the oldest is dropped for the next.
const LAST_FRAMES: usize = 64;
