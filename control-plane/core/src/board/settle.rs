//! Jobs that leave their agents: by their end, back into the queue, or to another agent.

use std::time::Duration;

use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, JobId, JobRef};
use shared_protocol::time::UnixMicros;

use super::desk::Done;
use super::{AcceptedJob, Board, Effect, Open, Phase};
use crate::deadline::given_up_at;
use crate::queue::{Queue, QueuedJob};
use crate::retry::{AGENT_GONE, Absence, HandedOut, Loss, RetryPolicy, absent};

/// How a job waits again that its agent does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// The agent has done nothing for it: it is next again.
    Untouched,
    /// It is held back until then.
    Held(UnixMicros),
    /// The agent has worked on it: it is charged, and waits like any other.
    Used,
}

impl Returned {
    /// The same with its instant read otherwise.
    #[must_use]
    pub fn map(self, read: impl FnOnce(UnixMicros) -> UnixMicros) -> Self {
        match self {
            Self::Held(until) => Self::Held(read(until)),
            Self::Untouched | Self::Used => self,
        }
    }

    /// After a pause that the retry policy asks for, or at once.
    pub fn after(pause: Duration, loss: Loss, now: UnixMicros) -> Self {
        match loss {
            _ if !pause.is_zero() => Self::Held(now.plus(pause)),
            Loss::AgentLost | Loss::BadReport => Self::Used,
            Loss::NeverAccepted | Loss::Refused(_) => Self::Untouched,
        }
    }

    /// Not to be handed out before then.
    pub const fn not_before(self) -> Option<UnixMicros> {
        match self {
            Self::Held(until) => Some(until),
            Self::Untouched | Self::Used => None,
        }
    }
}

impl Board {
    /// A job waits again that its agent does not have; the store has it as queued.
    pub fn handle_returned(&mut self, agent: AgentId, job: JobRef, returned: Returned, now: UnixMicros) {
        self.give_back(agent, job, returned, now);
        self.pump(agent, now);
    }

    /// A job has its end. `actual` is what it has really cost, where that is known.
    pub fn handle_ended(&mut self, job: JobId, actual: Option<u32>, now: UnixMicros) {
        let Some(open) = self.jobs.remove(&job) else { return };
        self.books.ended += 1;
        let queued = open.job.queued;
        if let Some(desk) = self.agents.get_mut(&queued.agent) {
            desk.restless.remove(&job);
        }
        match open.phase {
            Phase::Queued => {
                self.queue.remove(job);
            }
            Phase::Ending => self.books.ending -= 1,
            Phase::Leasing(epoch) => {
                self.books.leasing -= 1;
                if let Some(live) = self.agents.get_mut(&queued.agent).and_then(|desk| desk.live.as_mut())
                    && live.epoch == epoch
                {
                    live.unsend(queued.cost);
                }
                self.finish(&queued, 0, now);
            }
            Phase::InFlight => {
                self.leave_agent(&queued, Done::Finished, now);
                self.finish(&queued, actual.unwrap_or(queued.cost), now);
            }
        }
    }

    /// A job has found another agent; the store has it there as queued.
    pub fn handle_moved(&mut self, job: JobId, from: AgentId, to: AgentId, now: UnixMicros) {
        if self.jobs.get(&job).is_none_or(|open| open.job.queued.agent != from) {
            return;
        }
        let Some(open) = self.jobs.remove(&job) else { return };
        let Open { mut job, attempt, phase, .. } = open;
        let from = job.queued;
        self.books.taken_in -= 1;
        if let Some(desk) = self.agents.get_mut(&from.agent) {
            desk.restless.remove(&from.job);
        }
        match phase {
            Phase::Queued => {
                self.queue.remove(from.job);
            }
            Phase::Ending => self.books.ending -= 1,
            Phase::Leasing(_) => {
                self.books.leasing -= 1;
                self.finish(&from, 0, now);
            }
            Phase::InFlight => {
                self.leave_agent(&from, Done::Returned, now);
                self.finish(&from, 0, now);
            }
        }
        job.queued = QueuedJob {
            agent: to,
            not_before: None,
            ..from
        };
        self.queue.push(job.queued);
        self.take_in(job, attempt, Phase::Queued, now);
        self.pump(to, now);
    }

    /// Enters a job in the books; where it stands was seen to by the caller.
    pub(super) fn take_in(&mut self, job: AcceptedJob, attempt: Attempt, phase: Phase, now: UnixMicros) {
        let (id, agent) = (job.queued.job, job.queued.agent);
        self.books.taken_in += 1;
        self.jobs.insert(
            id,
            Open {
                job,
                attempt,
                phase,
                cancelled: false,
            },
        );
        match phase {
            Phase::InFlight => self.set_in_flight(id, now),
            Phase::Leasing(_) => self.books.leasing += 1,
            Phase::Queued | Phase::Ending => {}
        }
        if job.retry != RetryPolicy::None {
            self.agents.entry(agent).or_default().restless.insert(id);
            self.watch_absence(agent, now);
        }
    }

    /// The job is with its agent from now on.
    pub(super) fn set_in_flight(&mut self, job: JobId, now: UnixMicros) {
        let Some(open) = self.jobs.get_mut(&job) else { return };
        open.phase = Phase::InFlight;
        let queued = open.job.queued;
        self.books.in_flight += 1;
        self.overdue.insert((given_up_at(queued.deadline), job));
        self.agents.entry(queued.agent).or_default().begin(job, queued.cost, now);
    }

    /// The end of a job that was queued: it is not in the queue any more.
    pub(super) fn expire_queued(&mut self, job: JobId) {
        if let Some(open) = self.jobs.get_mut(&job) {
            open.phase = Phase::Ending;
            self.books.ending += 1;
            self.end_expired(job, None, "deadline");
        }
    }

    pub(super) fn end_expired(&mut self, job: JobId, attempt: Option<Attempt>, reason: &'static str) {
        self.effects.push_back(Effect::End {
            job,
            attempt,
            end: End::Expired,
            reason,
        });
    }

    /// An agent has had no session for so long that its jobs look for another one, or are given up, as their policies say.
    pub(super) fn absent(&mut self, agent: AgentId, now: UnixMicros) {
        let Some(desk) = self.agents.get_mut(&agent) else { return };
        desk.gone_at = None;
        let restless: Vec<JobId> = desk.restless.iter().copied().collect();
        let mut elsewhere = Vec::new();
        for id in restless {
            let Some(open) = self.jobs.get(&id) else { continue };
            let handed_out = match open.phase {
                Phase::Queued => HandedOut::No,
                Phase::InFlight => HandedOut::Yes,
                Phase::Leasing(_) | Phase::Ending => continue,
            };
            match absent(open.job.retry, open.job.choice, open.attempt, handed_out) {
                Absence::Wait => {}
                Absence::Elsewhere => elsewhere.push(JobRef {
                    job: id,
                    attempt: open.attempt,
                }),
                Absence::End => self.effects.push_back(Effect::End {
                    job: id,
                    attempt: Some(open.attempt),
                    end: End::Failed,
                    reason: "agent_lost",
                }),
            }
        }
        if !elsewhere.is_empty() {
            self.effects.push_back(Effect::Move { agent, jobs: elsewhere });
        }
        self.watch_absence(agent, now);
    }

    /// An agent without a session whose jobs may go elsewhere is looked at in a while, again and again until it is back.
    pub(super) fn watch_absence(&mut self, agent: AgentId, now: UnixMicros) {
        let Some(desk) = self.agents.get_mut(&agent) else { return };
        if desk.live.is_none() && desk.gone_at.is_none() && !desk.restless.is_empty() {
            let at = now.plus(AGENT_GONE);
            desk.gone_at = Some(at);
            self.absences.insert((at, agent));
        }
    }

    pub(super) fn forget_absence(&mut self, agent: AgentId) {
        if let Some(at) = self.agents.get_mut(&agent).and_then(|desk| desk.gone_at.take()) {
            self.absences.remove(&(at, agent));
        }
    }

    pub(super) fn give_back(&mut self, agent: AgentId, job: JobRef, returned: Returned, now: UnixMicros) {
        let Some(open) = self.jobs.get_mut(&job.job).filter(|open| open.job.queued.agent == agent) else {
            return;
        };
        let phase = open.phase;
        let queued = open.job.queued;
        match phase {
            Phase::Leasing(_) if job.attempt > open.attempt => self.books.leasing -= 1,
            Phase::InFlight if job.attempt == open.attempt => {}
            Phase::Queued | Phase::Ending | Phase::Leasing(_) | Phase::InFlight => return,
        }
        open.attempt = job.attempt;
        open.phase = Phase::Queued;
        let again = QueuedJob {
            tier: self.tier_of(&queued),
            not_before: returned.not_before(),
            ..queued
        };
        if let Some(open) = self.jobs.get_mut(&job.job) {
            open.job.queued = again;
        }
        if phase == Phase::InFlight {
            self.leave_agent(&queued, Done::Returned, now);
        }
        let settle = |queue: &mut Queue| match returned {
            Returned::Untouched => {
                queue.put_back(queued);
                if again.tier != queued.tier {
                    queue.retier(again.tenant, again.tier);
                }
            }
            Returned::Held(_) | Returned::Used => {
                queue.finished(&queued, queued.cost);
                queue.push(again);
            }
        };
        self.release(&queued, settle, now);
        if let Some(until) = returned.not_before() {
            self.look_again(queued.agent, until);
        }
    }

    fn leave_agent(&mut self, queued: &QueuedJob, outcome: Done, now: UnixMicros) {
        self.books.in_flight -= 1;
        self.overdue.remove(&(given_up_at(queued.deadline), queued.job));
        if let Some(desk) = self.agents.get_mut(&queued.agent) {
            desk.end(queued.job, outcome, now);
        }
        self.effects.push_back(Effect::TakenBack(queued.job));
    }

    /// A job has cost its agent what it has: the agent is free for the next.
    fn finish(&mut self, queued: &QueuedJob, actual: u32, now: UnixMicros) {
        self.release(queued, |queue| queue.finished(queued, actual), now);
        self.pump(queued.agent, now);
    }

    /// Takes a job out of what its tenant has in flight; where that was all it may have, its jobs on other agents go at once.
    pub(super) fn release(&mut self, queued: &QueuedJob, settle: impl FnOnce(&mut Queue), now: UnixMicros) {
        let capped = self.queue.is_capped(queued.tenant, queued.tier);
        settle(&mut self.queue);
        if !capped {
            return;
        }
        for agent in self.queue.agents_of(queued.tenant, queued.agent) {
            if self.queue.is_capped(queued.tenant, queued.tier) {
                return;
            }
            if agent != queued.agent {
                self.pump(agent, now);
            }
        }
    }
}
