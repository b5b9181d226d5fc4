//! The order in which queued jobs reach their agents. The database holds the truth, this value holds the order.
//!
//! For each agent: tiers share by start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996), inside a tier tenants take turns by deficit round robin
//! (Shreedhar, Varghese: SIGCOMM 1995), inside a tenant the earliest deadline goes first, then the oldest job. Both charge what a job is expected to cost
//! when it starts, and what it has really cost once it has ended.
//! The jobs of an agent that is offline wait in that agent's own queue and in nobody's way: nobody pops them.

use std::collections::{BTreeMap, BTreeSet};

use shared_protocol::id::{AgentId, JobId, TenantId};
use shared_protocol::tier::{Tier, TierTable};
use shared_protocol::time::UnixMicros;

mod agent_queue;
mod in_flight;
mod lane;
mod line;
mod per_tier;

use agent_queue::AgentQueue;
use in_flight::TenantsInFlight;
use line::ACTUAL_MAX;
use per_tier::PerTier;

/// All jobs that are queued, over all agents of this process.
#[derive(Debug, Default)]
pub struct Queue {
    jobs: BTreeMap<JobId, Waiting>,
    agents: BTreeMap<AgentId, AgentQueue>,
    deadlines: BTreeSet<(UnixMicros, JobId)>,
    overdue: BTreeSet<(UnixMicros, JobId)>,
    tenants: TenantsInFlight,
    depth: PerTier<usize>,
    /// On which agents each tenant has queued jobs, and how many.
    waiting: BTreeMap<TenantId, BTreeMap<AgentId, usize>>,
    tiers: TierTable,
}

/// A job that waits to be handed to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuedJob {
    /// The job.
    pub job: JobId,
    /// The agent it is for.
    pub agent: AgentId,
    /// Whose job it is.
    pub tenant: TenantId,
    /// The tier it was accepted under.
    pub tier: Tier,
    /// What it counts against the agent's credit and the tenant's turn, agent-seconds.
    pub cost: u32,
    /// From here on nobody wants the answer.
    pub deadline: UnixMicros,
    /// It is held back until here, as a retry is.
    pub not_before: Option<UnixMicros>,
}

impl Queue {
    /// A queue without jobs, by the starting values of the tiers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes by other weights and caps from now on.
    pub fn set_tiers(&mut self, tiers: TierTable) {
        self.tiers = tiers;
    }

    /// A tenant has another tier: its queued jobs wait on under that one. What is in flight stays what it was.
    pub fn retier(&mut self, tenant: TenantId, tier: Tier) {
        let own = self.jobs.values().filter(|waiting| waiting.job.tenant == tenant && waiting.job.tier != tier);
        let moved: Vec<JobId> = own.map(|waiting| waiting.job.job).collect();
        for id in moved {
            let Some(waiting) = self.jobs.get_mut(&id) else { continue };
            let before = waiting.job;
            waiting.job.tier = tier;
            let depth = self.depth.get_mut(before.tier);
            *depth = depth.saturating_sub(1);
            *self.depth.get_mut(tier) += 1;
            if waiting.place == Place::InLine
                && let Some(queue) = self.agents.get_mut(&before.agent)
            {
                queue.remove(&before);
                queue.push(&waiting.job);
            }
        }
    }

    /// Puts a job at its place. A job that is queued already stays as it is.
    pub fn push(&mut self, job: QueuedJob) {
        if self.jobs.contains_key(&job.job) {
            return;
        }
        let queue = self.agents.entry(job.agent).or_default();
        let place = if job.not_before.is_some() {
            queue.hold(&job);
            Place::Held
        } else {
            queue.push(&job);
            Place::InLine
        };
        self.enter(job, place);
    }

    /// Takes the agent's next job, if there is one and `credit` (what the agent still takes, agent-seconds) covers it.
    ///
    /// The job counts as in flight until [`Queue::finished`] or [`Queue::put_back`]. A dear job is not overtaken by cheaper ones while the agent has
    /// work in flight that will free credit; an idle agent whose whole credit is less than the job costs gets another instead.
    /// Jobs past their deadline never come out here, but by [`Queue::expired`].
    pub fn pop(&mut self, agent: AgentId, credit: u32, now: UnixMicros) -> Option<QueuedJob> {
        self.set_overdue_aside(now);
        self.release_held(agent, now);
        let chosen = self.agents.get_mut(&agent)?.pop(credit, &self.tenants, &self.tiers)?;
        let job = self.leave(chosen)?;
        self.tenants.enter(job.tenant);
        Some(job)
    }

    /// Takes a job out that is cancelled while it is queued.
    pub fn remove(&mut self, job: JobId) -> Option<QueuedJob> {
        self.detach(job);
        let removed = self.leave(job)?;
        self.forget_if_idle(removed.agent);
        Some(removed)
    }

    /// Undoes a [`Queue::pop`] whose job could not be leased: it is next again and has cost nothing.
    pub fn put_back(&mut self, job: QueuedJob) {
        self.tenants.leave(job.tenant);
        let queue = self.agents.entry(job.agent).or_default();
        queue.refund(&job, &self.tiers);
        if self.jobs.contains_key(&job.job) {
            return;
        }
        queue.push_front(&job);
        self.enter(job, Place::InLine);
    }

    /// A job in flight has ended, or goes back to the queue by a later [`Queue::push`]. `actual` is what it has cost instead of what was expected.
    pub fn finished(&mut self, job: &QueuedJob, actual: u32) {
        self.tenants.leave(job.tenant);
        if let Some(queue) = self.agents.get_mut(&job.agent) {
            queue.finish(job, actual.min(ACTUAL_MAX), &self.tiers);
        }
        self.forget_if_idle(job.agent);
    }

    /// Counts a job as in flight that was not popped here: one that its agent had in hand when it came back. It leaves by [`Queue::finished`].
    pub fn adopted(&mut self, job: &QueuedJob) {
        self.tenants.enter(job.tenant);
        self.agents.entry(job.agent).or_default().adopt(job, &self.tiers);
    }

    /// Whether a tenant has as many jobs in flight as a tier allows.
    pub fn is_capped(&self, tenant: TenantId, tier: Tier) -> bool {
        !self.tenants.is_below(tenant, self.tiers.of(tier).in_flight)
    }

    /// The agents for which a tenant has queued jobs, beginning behind the one given and ending with it: who is looked at once the tenant may start more.
    pub fn agents_of(&self, tenant: TenantId, behind: AgentId) -> Vec<AgentId> {
        let Some(agents) = self.waiting.get(&tenant) else { return Vec::new() };
        let (before, after): (Vec<AgentId>, Vec<AgentId>) = agents.keys().copied().partition(|agent| *agent <= behind);
        after.into_iter().chain(before).collect()
    }

    /// Takes out every job whose deadline has come while it was queued.
    pub fn expired(&mut self, now: UnixMicros) -> Vec<QueuedJob> {
        self.set_overdue_aside(now);
        let overdue: Vec<JobId> = self.overdue.iter().map(|(_, job)| *job).collect();
        overdue.into_iter().filter_map(|job| self.remove(job)).collect()
    }

    /// Whether a job waits for this agent, in line or held back.
    pub fn waits(&self, agent: AgentId) -> bool {
        self.agents.get(&agent).is_some_and(|queue| !queue.is_empty())
    }

    /// When the next queued job expires.
    pub fn next_deadline(&self) -> Option<UnixMicros> {
        self.overdue.first().or_else(|| self.deadlines.first()).map(|(deadline, _)| *deadline)
    }

    /// When the next job of this agent that is held back may go.
    pub fn next_release(&self, agent: AgentId) -> Option<UnixMicros> {
        self.agents.get(&agent).and_then(AgentQueue::next_release)
    }

    /// The cost that goes ahead of a new job of this tier: its own tier's, and of each other tier what its share lets through meanwhile.
    /// Jobs held back and jobs in flight are not in it.
    pub fn backlog(&self, agent: AgentId, tier: Tier) -> u64 {
        self.agents.get(&agent).map_or(0, |queue| queue.backlog(tier, &self.tiers))
    }

    /// How many jobs of this tier are queued.
    pub fn depth(&self, tier: Tier) -> usize {
        *self.depth.get(tier)
    }

    /// How many jobs of this tenant are in flight, over all agents.
    pub fn in_flight(&self, tenant: TenantId) -> u32 {
        self.tenants.count(tenant)
    }

    /// How many jobs are queued.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    fn enter(&mut self, job: QueuedJob, place: Place) {
        self.deadlines.insert((job.deadline, job.job));
        *self.depth.get_mut(job.tier) += 1;
        *self.waiting.entry(job.tenant).or_default().entry(job.agent).or_default() += 1;
        self.jobs.insert(job.job, Waiting { job, place });
    }

    fn leave(&mut self, job: JobId) -> Option<QueuedJob> {
        let Waiting { job, .. } = self.jobs.remove(&job)?;
        self.deadlines.remove(&(job.deadline, job.job));
        self.overdue.remove(&(job.deadline, job.job));
        let depth = self.depth.get_mut(job.tier);
        *depth = depth.saturating_sub(1);
        self.forget_waiting(&job);
        Some(job)
    }

    fn forget_waiting(&mut self, job: &QueuedJob) {
        let Some(agents) = self.waiting.get_mut(&job.tenant) else { return };
        if let Some(count) = agents.get_mut(&job.agent) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                agents.remove(&job.agent);
            }
        }
        if agents.is_empty() {
            self.waiting.remove(&job.tenant);
        }
    }

    /// Takes a job out of its agent's order; it stays known here.
    fn detach(&mut self, job: JobId) {
        let Some(waiting) = self.jobs.get_mut(&job) else { return };
        if let Some(queue) = self.agents.get_mut(&waiting.job.agent) {
            match waiting.place {
                Place::InLine => queue.remove(&waiting.job),
                Place::Held => queue.remove_held(&waiting.job),
                Place::Overdue => {}
            }
        }
        waiting.place = Place::Overdue;
    }

    fn set_overdue_aside(&mut self, now: UnixMicros) {
        while let Some(&(deadline, job)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.deadlines.remove(&(deadline, job));
            self.overdue.insert((deadline, job));
            self.detach(job);
        }
    }

    fn release_held(&mut self, agent: AgentId, now: UnixMicros) {
        let Some(queue) = self.agents.get_mut(&agent) else { return };
        while let Some(job) = queue.release(now) {
            if let Some(waiting) = self.jobs.get_mut(&job) {
                waiting.place = Place::InLine;
                queue.push(&waiting.job);
            }
        }
    }

    fn forget_if_idle(&mut self, agent: AgentId) {
        if self.agents.get(&agent).is_some_and(AgentQueue::is_idle) {
            self.agents.remove(&agent);
        }
    }
}

#[derive(Debug)]
struct Waiting {
    job: QueuedJob,
    place: Place,
}

/// Where a queued job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the order of its agent.
    InLine,
    /// Before its `not_before`.
    Held,
    /// Past its deadline; waits for [`Queue::expired`] only.
    Overdue,
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
