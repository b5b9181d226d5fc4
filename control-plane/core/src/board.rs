//! What stands between acceptance and end, in memory: which jobs wait, which are being leased, which are with their agents, and what is done about each.
//!
//! The store holds the truth; the board says what is to be written and sent next. Things that happened and the time go in by `handle_*`, what is to be
//! done comes out by [`Board::poll_effect`], [`Board::poll_timeout`] says when to come back. A job is handed over only after its lease is on disk; a
//! lease of a session that was meanwhile replaced touches no row, and its job waits again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shared_protocol::end::End;
use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef, MeasurementId, TenantId};
use shared_protocol::tier::{Tier, TierTable};
use shared_protocol::time::UnixMicros;

use crate::duty::Duty;
use crate::queue::{Queue, QueuedJob};
use crate::retry::{Choice, HandedOut, RetryPolicy};

mod arriving;
mod desk;
mod load;
mod session;
mod settle;

pub use arriving::Arrival;
pub use load::AgentLoad;
pub use session::NotLeased;
pub use settle::Returned;

use desk::Desk;

/// Every job without an end, and every session.
#[derive(Debug, Default)]
pub struct Board {
    queue: Queue,
    jobs: BTreeMap<JobId, Open>,
    /// Jobs in flight by the moment at which they are given up.
    overdue: BTreeSet<(UnixMicros, JobId)>,
    agents: BTreeMap<AgentId, Desk>,
    /// Agents without a session by the moment at which they are taken to be gone.
    absences: BTreeSet<(UnixMicros, AgentId)>,
    /// Agents that are looked at again at a moment.
    looks: BTreeSet<(UnixMicros, AgentId)>,
    /// Tiers that tenants were given since the start: what was accepted before may still be on its way here.
    retiered: BTreeMap<TenantId, Tier>,
    effects: VecDeque<Effect>,
    books: Books,
}

/// A job that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedJob {
    /// The job as the queue sees it.
    pub queued: QueuedJob,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// What becomes of it when it comes back without an answer.
    pub retry: RetryPolicy,
    /// Whether another agent may do it.
    pub choice: Choice,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write leases, then say what came of it by [`Board::handle_leased`].
    Lease {
        /// The agent.
        agent: AgentId,
        /// Its session.
        epoch: Epoch,
        /// The jobs.
        jobs: Vec<JobId>,
    },
    /// Hand a job over whose lease is on disk.
    HandOver {
        /// The agent.
        agent: AgentId,
        /// Its session.
        epoch: Epoch,
        /// The job and which handing-out of it.
        job: JobRef,
        /// Its measurement.
        measurement: MeasurementId,
        /// What it counts against credit.
        cost: u32,
        /// How long the answer is wanted.
        remaining: Duration,
    },
    /// Tell an agent that jobs were taken back.
    Cancel {
        /// The agent.
        agent: AgentId,
        /// Its session.
        epoch: Epoch,
        /// The jobs.
        jobs: Vec<JobId>,
    },
    /// The agent has a job in hand of whose lease the board had not heard yet.
    Kept {
        /// The agent.
        agent: AgentId,
        /// The job.
        job: JobId,
        /// Its measurement.
        measurement: MeasurementId,
    },
    /// A job is not with its agent any more.
    TakenBack(JobId),
    /// Give a job its end.
    End {
        /// The job.
        job: JobId,
        /// Only if this is still the attempt.
        attempt: Option<Attempt>,
        /// The end.
        end: End,
        /// Why.
        reason: &'static str,
    },
    /// The agent is gone: find another one for these jobs, where there is one, and say so by [`Board::handle_moved`].
    Move {
        /// The agent that is gone.
        agent: AgentId,
        /// Its jobs that may go elsewhere.
        jobs: Vec<JobRef>,
    },
}

/// How many jobs were taken in and where each is: the books that must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Books {
    taken_in: u64,
    ended: u64,
    leasing: u64,
    in_flight: u64,
    ending: u64,
}

#[derive(Debug)]
struct Open {
    job: AcceptedJob,
    attempt: Attempt,
    phase: Phase,
    /// Taken back: its agent hears of it right behind the job.
    cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// In the queue, also where it is held back for a retry.
    Queued,
    /// Its lease is being written for this session.
    Leasing(Epoch),
    /// With its agent, whether that has a session or not.
    InFlight,
    /// Its deadline passed in the queue; its end is being written.
    Ending,
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a job that was open when the process started; one that was handed out stays with its agent until that says otherwise.
    pub fn load(&mut self, job: AcceptedJob, attempt: Attempt, handed_out: HandedOut, now: UnixMicros) {
        let id = job.queued.job;
        if self.jobs.contains_key(&id) {
            return;
        }
        let phase = match handed_out {
            HandedOut::No => {
                self.queue.push(job.queued);
                Phase::Queued
            }
            HandedOut::Yes => {
                self.queue.adopted(&job.queued);
                Phase::InFlight
            }
        };
        self.take_in(job, attempt, phase, now);
    }

    /// Takes in jobs that were just accepted and are on disk.
    pub fn handle_accepted(&mut self, jobs: Vec<AcceptedJob>, now: UnixMicros) {
        let mut agents = BTreeSet::new();
        for mut job in jobs {
            if self.jobs.contains_key(&job.queued.job) {
                continue;
            }
            job.queued.tier = self.tier_of(&job.queued);
            agents.insert(job.queued.agent);
            self.queue.push(job.queued);
            self.take_in(job, Attempt(0), Phase::Queued, now);
        }
        for agent in agents {
            self.pump(agent, now);
        }
    }

    /// Takes note that jobs were taken back that their agents have.
    pub fn handle_cancelled(&mut self, jobs: &[JobId]) {
        let mut by_agent: BTreeMap<AgentId, Vec<JobId>> = BTreeMap::new();
        for job in jobs {
            let Some(open) = self.jobs.get_mut(job) else { continue };
            open.cancelled = true;
            // While its lease is being written the agent does not know it: it hears right behind the job.
            if open.phase == Phase::InFlight {
                by_agent.entry(open.job.queued.agent).or_default().push(*job);
            }
        }
        for (agent, jobs) in by_agent {
            if let Some(epoch) = self.epoch(agent) {
                self.effects.push_back(Effect::Cancel { agent, epoch, jobs });
            }
        }
    }

    /// Goes by other weights and caps from now on.
    pub fn handle_tiers(&mut self, tiers: TierTable, now: UnixMicros) {
        self.queue.set_tiers(tiers);
        self.pump_all(now);
    }

    /// A tenant has another tier: what it has queued waits on under that one, also what is on its way here.
    pub fn handle_retiered(&mut self, tenant: TenantId, tier: Tier, now: UnixMicros) {
        self.retiered.insert(tenant, tier);
        self.queue.retier(tenant, tier);
        for open in self
            .jobs
            .values_mut()
            .filter(|open| open.job.queued.tenant == tenant && open.phase == Phase::Queued)
        {
            open.job.queued.tier = tier;
        }
        self.pump_all(now);
    }

    /// An agent takes work or does not, whatever its credit says.
    pub fn handle_duty(&mut self, agent: AgentId, duty: Duty, now: UnixMicros) {
        self.agents.entry(agent).or_default().duty = duty;
        self.pump(agent, now);
    }

    /// Does what is due; called once the moment of [`Board::poll_timeout`] has come, harmless at any other.
    pub fn handle_timeout(&mut self, now: UnixMicros) {
        for queued in self.queue.expired(now) {
            self.expire_queued(queued.job);
        }
        while let Some((at, job)) = self.overdue.first().copied().filter(|(at, _)| *at <= now) {
            self.overdue.remove(&(at, job));
            self.end_expired(job, None, "no_answer");
        }
        while let Some((at, agent)) = self.absences.first().copied().filter(|(at, _)| *at <= now) {
            self.absences.remove(&(at, agent));
            self.absent(agent, now);
        }
        while let Some((at, agent)) = self.looks.first().copied().filter(|(at, _)| *at <= now) {
            self.looks.remove(&(at, agent));
            if let Some(desk) = self.agents.get_mut(&agent) {
                desk.look_at = None;
            }
            self.pump(agent, now);
        }
    }

    /// When [`Board::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<UnixMicros> {
        let overdue = self.overdue.first().map(|(at, _)| *at);
        let absent = self.absences.first().map(|(at, _)| *at);
        let look = self.looks.first().map(|(at, _)| *at);
        [self.queue.next_deadline(), overdue, absent, look].into_iter().flatten().min()
    }

    /// What is to be done next, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How many jobs of a tier wait.
    pub fn depth(&self, tier: Tier) -> usize {
        self.queue.depth(tier)
    }

    /// How many jobs have no end.
    pub fn open_jobs(&self) -> usize {
        self.jobs.len()
    }

    /// How many jobs are with their agents.
    pub fn in_flight(&self) -> usize {
        self.overdue.len()
    }

    /// By how much the books do not close: what was taken in must wait, be leased, be with an agent, or have its end. Always 0.
    pub fn conservation_error(&self) -> u64 {
        let Books {
            taken_in,
            ended,
            leasing,
            in_flight,
            ending,
        } = self.books;
        let queued = u64::try_from(self.queue.len()).unwrap_or(u64::MAX);
        taken_in.abs_diff(ended + queued + leasing + in_flight + ending)
    }

    fn tier_of(&self, job: &QueuedJob) -> Tier {
        self.retiered.get(&job.tenant).copied().unwrap_or(job.tier)
    }
}

/// When leases are asked for again that were not written.
const LEASE_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
