//! Jobs on their way to the disk. One that its agent would get at once is leased in the step that stores it: nobody waits for a second commit.

use std::collections::BTreeMap;

use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef};
use shared_protocol::time::UnixMicros;

use super::{AcceptedJob, Board, LEASE_AGAIN, Phase};
use crate::duty::Duty;
use crate::queue::QueuedJob;

/// What became of a job that [`Board::handle_arriving`] took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is stored, and leased to the session.
    Leased(Attempt),
    /// It is stored, and waits: the session was replaced, or its agent may not work any more.
    Queued,
    /// It was not stored.
    Refused,
}

impl Board {
    /// Takes in those of some jobs, about to be stored, that their agents would get at once, and says to which sessions they are to be leased in the
    /// same step. [`Board::handle_arrived`] hears what became of each; [`Board::handle_accepted`] hears of the others, once they are on disk.
    pub fn handle_arriving(&mut self, jobs: &[AcceptedJob], now: UnixMicros) -> BTreeMap<JobId, Epoch> {
        jobs.iter().filter_map(|job| Some((job.queued.job, self.arrive(*job, now)?))).collect()
    }

    /// What became of a job that was to be leased to this session in the step that stores it.
    pub fn handle_arrived(&mut self, agent: AgentId, epoch: Epoch, job: JobId, arrival: Arrival, now: UnixMicros) {
        match arrival {
            Arrival::Leased(attempt) => self.hand_over(agent, epoch, JobRef { job, attempt }, now),
            Arrival::Queued => {
                self.unlease(agent, job, epoch, now);
                self.look_again(agent, now.plus(LEASE_AGAIN));
            }
            Arrival::Refused => self.forget(agent, epoch, job, now),
        }
    }

    /// The session it is to be leased to, if nothing goes before it and nothing holds it back.
    fn arrive(&mut self, mut job: AcceptedJob, now: UnixMicros) -> Option<Epoch> {
        let QueuedJob { job: id, agent, cost, .. } = job.queued;
        let desk = self.agents.get(&agent).filter(|desk| desk.duty == Duty::Working)?;
        let (epoch, credit) = desk.live.as_ref().map(|live| (live.epoch, live.credit()))?;
        if self.jobs.contains_key(&id) || self.queue.waits(agent) {
            return None;
        }
        job.queued.tier = self.tier_of(&job.queued);
        self.queue.push(job.queued);
        if self.queue.pop(agent, credit, now).is_none() {
            self.queue.remove(id);
            return None;
        }
        if let Some(live) = self.live(agent, epoch) {
            live.sent += u64::from(cost);
        }
        self.take_in(job, Attempt(0), Phase::Leasing(epoch), now);
        Some(epoch)
    }

    /// A job that was not stored leaves as if it had never come.
    fn forget(&mut self, agent: AgentId, epoch: Epoch, job: JobId, now: UnixMicros) {
        self.unlease(agent, job, epoch, now);
        if self.jobs.remove(&job).is_none() {
            return;
        }
        self.books.taken_in -= 1;
        self.queue.remove(job);
        if let Some(desk) = self.agents.get_mut(&agent) {
            desk.restless.remove(&job);
        }
        self.pump(agent, now);
    }
}
