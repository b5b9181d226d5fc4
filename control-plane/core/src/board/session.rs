//! Sessions that come and go, what they take, and the leases that are written for them.

use std::collections::BTreeMap;

use shared_protocol::id::{AgentId, Attempt, Epoch, JobId, JobRef};
use shared_protocol::time::UnixMicros;

use super::desk::{Desk, Live};
use super::{Board, Effect, LEASE_AGAIN, Open, Phase, Returned};
use crate::duty::Duty;

/// The leases could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLeased;

impl Board {
    /// A session counts from now on: the jobs that its agent still has stay with it, those in `returned` wait again. One with a higher epoch stays, but
    /// what the store has queued again is so all the same.
    pub fn handle_opened(&mut self, agent: AgentId, epoch: Epoch, kept: &[JobRef], returned: &[(JobRef, Returned)], now: UnixMicros) {
        let desk = self.agents.entry(agent).or_default();
        if desk.live.as_ref().is_none_or(|live| live.epoch <= epoch) {
            desk.live = Some(Live::new(epoch));
            desk.count_time(now);
            self.forget_absence(agent);
            for job in kept {
                self.keep(agent, *job, now);
            }
        }
        for (job, returned) in returned {
            self.give_back(agent, *job, *returned, now);
        }
        self.pump(agent, now);
    }

    /// A session does not count any more; its agent keeps what it has, and says so when it comes back.
    pub fn handle_closed(&mut self, agent: AgentId, epoch: Epoch, now: UnixMicros) {
        let Some(desk) = self.agents.get_mut(&agent) else { return };
        if desk.live.as_ref().is_some_and(|live| live.epoch == epoch) {
            desk.live = None;
            desk.count_time(now);
            self.watch_absence(agent, now);
        }
    }

    /// Takes note of what an agent takes, cumulative.
    pub fn handle_credit(&mut self, agent: AgentId, epoch: Epoch, granted: u64, now: UnixMicros) {
        let Some(live) = self.live(agent, epoch) else { return };
        live.capacity.get_or_insert(u32::try_from(granted).unwrap_or(u32::MAX));
        live.granted = live.granted.max(granted);
        self.pump(agent, now);
    }

    /// What came of the leases that were asked for: those written, with their attempt. The others wait again.
    pub fn handle_leased(&mut self, agent: AgentId, epoch: Epoch, asked: &[JobId], written: Result<&BTreeMap<JobId, Attempt>, NotLeased>, now: UnixMicros) {
        if let Some(live) = self.live(agent, epoch) {
            live.leasing = false;
        }
        let mut all_written = written.is_ok();
        for job in asked {
            if let Some(attempt) = written.ok().and_then(|written| written.get(job)) {
                self.hand_over(agent, epoch, JobRef { job: *job, attempt: *attempt }, now);
            } else {
                all_written = false;
                self.unlease(agent, *job, epoch, now);
            }
        }
        // What was not leased has its end, which is on its way here, or the session is not the latest, or the store is not to be had: asking again
        // at once would be asking for ever.
        if all_written {
            self.pump(agent, now);
        } else {
            self.look_again(agent, now.plus(LEASE_AGAIN));
        }
    }

    /// Asks for as many leases as the agent's credit allows.
    pub(super) fn pump(&mut self, agent: AgentId, now: UnixMicros) {
        let Some(Desk {
            live: Some(live),
            duty: Duty::Working,
            ..
        }) = self.agents.get_mut(&agent)
        else {
            return;
        };
        if live.leasing {
            return;
        }
        let mut jobs = Vec::new();
        while jobs.len() < LEASES_AT_ONCE {
            let Some(next) = self.queue.pop(agent, live.credit(), now) else { break };
            live.sent += u64::from(next.cost);
            if let Some(open) = self.jobs.get_mut(&next.job) {
                // Its tenant may have another tier by now.
                open.job.queued = next;
                open.phase = Phase::Leasing(live.epoch);
                self.books.leasing += 1;
            }
            jobs.push(next.job);
        }
        if !jobs.is_empty() {
            live.leasing = true;
            let epoch = live.epoch;
            self.effects.push_back(Effect::Lease { agent, epoch, jobs });
        }
        if let Some(at) = self.queue.next_release(agent) {
            self.look_again(agent, at);
        }
    }

    /// Looks at every session again.
    pub(super) fn pump_all(&mut self, now: UnixMicros) {
        let live: Vec<AgentId> = self.agents.iter().filter(|(_, desk)| desk.live.is_some()).map(|(agent, _)| *agent).collect();
        for agent in live {
            self.pump(agent, now);
        }
    }

    pub(super) fn epoch(&self, agent: AgentId) -> Option<Epoch> {
        self.agents.get(&agent).and_then(|desk| desk.live.as_ref()).map(|live| live.epoch)
    }

    pub(super) fn live(&mut self, agent: AgentId, epoch: Epoch) -> Option<&mut Live> {
        self.agents.get_mut(&agent)?.live.as_mut().filter(|live| live.epoch == epoch)
    }

    /// The agent has the job in hand.
    fn keep(&mut self, agent: AgentId, job: JobRef, now: UnixMicros) {
        let Some(open) = self.jobs.get_mut(&job.job).filter(|open| open.job.queued.agent == agent) else {
            return;
        };
        // It came back since, and that was heard first: the store has it queued, or leased anew.
        if open.phase != Phase::InFlight && job.attempt <= open.attempt {
            return;
        }
        open.attempt = job.attempt;
        let (phase, measurement) = (open.phase, open.job.measurement);
        match phase {
            Phase::InFlight => return,
            Phase::Leasing(_) => self.books.leasing -= 1,
            Phase::Queued => {
                let queued = open.job.queued;
                self.queue.remove(job.job);
                self.queue.adopted(&queued);
            }
            Phase::Ending => {
                let queued = open.job.queued;
                self.books.ending -= 1;
                self.queue.adopted(&queued);
            }
        }
        self.set_in_flight(job.job, now);
        self.effects.push_back(Effect::Kept {
            agent,
            job: job.job,
            measurement,
        });
    }

    pub(super) fn hand_over(&mut self, agent: AgentId, epoch: Epoch, job: JobRef, now: UnixMicros) {
        let Some(open) = self.leasing(agent, job.job, epoch) else { return };
        open.attempt = job.attempt;
        let (queued, measurement, cancelled) = (open.job.queued, open.job.measurement, open.cancelled);
        self.books.leasing -= 1;
        self.set_in_flight(job.job, now);
        if queued.deadline <= now {
            // Nobody waits for it any more, and the agent has not heard of it.
            self.end_expired(job.job, Some(job.attempt), "deadline");
            return;
        }
        // Also where the session is gone: whoever follows the job sees that it was handed out, and the agent's next hello settles it.
        self.effects.push_back(Effect::HandOver {
            agent,
            epoch,
            job,
            measurement,
            cost: queued.cost,
            remaining: queued.deadline.since(now),
        });
        if cancelled {
            let jobs = vec![job.job];
            self.effects.push_back(Effect::Cancel { agent, epoch, jobs });
        }
    }

    /// A job whose lease was not written waits again, as if nothing had been.
    pub(super) fn unlease(&mut self, agent: AgentId, job: JobId, epoch: Epoch, now: UnixMicros) {
        let Some(open) = self.leasing(agent, job, epoch) else { return };
        open.phase = Phase::Queued;
        let queued = open.job.queued;
        self.books.leasing -= 1;
        if let Some(live) = self.live(queued.agent, epoch) {
            live.unsend(queued.cost);
        }
        self.release(&queued, |queue| queue.put_back(queued), now);
    }

    fn leasing(&mut self, agent: AgentId, job: JobId, epoch: Epoch) -> Option<&mut Open> {
        let open = self.jobs.get_mut(&job)?;
        (open.job.queued.agent == agent && open.phase == Phase::Leasing(epoch)).then_some(open)
    }

    pub(super) fn look_again(&mut self, agent: AgentId, at: UnixMicros) {
        let Some(desk) = self.agents.get_mut(&agent) else { return };
        if desk.look_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        if let Some(later) = desk.look_at.replace(at) {
            self.looks.remove(&(later, agent));
        }
        self.looks.insert((at, agent));
    }
}

/// Most jobs leased in one step of the store.
const LEASES_AT_ONCE: usize = 64;
