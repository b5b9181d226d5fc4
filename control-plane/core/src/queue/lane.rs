//! The jobs of one tier for one agent: tenants take turns by deficit round robin, charged by cost.

use std::collections::{BTreeMap, VecDeque};

use shared_protocol::id::TenantId;

use super::QueuedJob;
use super::in_flight::TenantsInFlight;
use super::line::{Head, Line, Turn};

#[derive(Debug, Default)]
pub(super) struct Lane {
    lines: BTreeMap<TenantId, Line>,
    /// Tenants with queued jobs, and those whose debt is not paid yet; the front has the turn.
    turns: VecDeque<TenantId>,
    /// How many jobs are queued.
    queued: usize,
    /// Cost of all queued jobs.
    backlog: u64,
    /// The virtual instant at which what was charged so far has had its share.
    tag: u64,
    /// Whether it had something to start when the agent was last looked at.
    awake: bool,
}

/// What bounds the next start on an agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Jobs dearer than this are passed over.
    pub(super) cost: u32,
    /// What the agent takes at the same time, agent-seconds.
    pub(super) window: u64,
    /// Counts over all agents.
    pub(super) tenants: &'a TenantsInFlight,
    /// Most that a tenant's count may be.
    pub(super) in_flight: u32,
}

/// The next job of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) tenant: TenantId,
    pub(super) head: Head,
}

impl Lane {
    pub(super) const fn backlog(&self) -> u64 {
        self.backlog
    }

    pub(super) const fn tag(&self) -> u64 {
        self.tag
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.queued == 0
    }

    pub(super) fn push(&mut self, job: &QueuedJob) {
        let line = self.lines.entry(job.tenant).or_default();
        if line.takes_turns() {
            self.insert(job);
            return;
        }
        line.wake();
        self.turns.push_back(job.tenant);
        self.insert(job);
    }

    /// Gives a refunded job its place back, and its tenant the turn.
    pub(super) fn push_front(&mut self, job: &QueuedJob) {
        self.turns.retain(|tenant| *tenant != job.tenant);
        self.turns.push_front(job.tenant);
        self.lines.entry(job.tenant).or_default().set_turn(Turn::Taken);
        self.insert(job);
    }

    pub(super) fn remove(&mut self, job: &QueuedJob) {
        let Some(line) = self.lines.get_mut(&job.tenant) else { return };
        if line.remove(job.deadline, job.job) {
            self.queued = self.queued.saturating_sub(1);
            self.backlog = self.backlog.saturating_sub(u64::from(job.cost));
        }
        self.settle(job.tenant);
    }

    /// Whether any tenant has a job that may start.
    pub(super) fn can_start(&self, bounds: Bounds<'_>) -> bool {
        self.turns.iter().any(|tenant| self.startable(*tenant, bounds).is_some())
    }

    /// A lane that could start nothing begins again at the present virtual time.
    pub(super) fn stay_awake(&mut self, ready: bool, virtual_time: u64) {
        if ready && !self.awake {
            self.tag = self.tag.max(virtual_time);
        }
        self.awake = ready;
    }

    pub(super) const fn charge(&mut self, span: u64) {
        self.tag = self.tag.saturating_add(span);
    }

    pub(super) const fn give_back(&mut self, span: u64) {
        self.tag = self.tag.saturating_sub(span);
    }

    /// Whose job is next; gives turns until one tenant affords its job.
    pub(super) fn choose(&mut self, bounds: Bounds<'_>) -> Option<Next> {
        if !self.can_start(bounds) {
            return None;
        }
        // The half of the window binds only while somebody below it waits, else the agent would idle.
        let fair = |lane: &Self, tenant| {
            let next = lane.startable(tenant, bounds)?;
            let line = lane.lines.get(&tenant)?;
            line.within_half(next.head.cost, bounds.window).then_some(next)
        };
        let somebody_below_half = self.turns.iter().any(|tenant| fair(self, *tenant).is_some());
        loop {
            let tenant = *self.turns.front()?;
            let next = if somebody_below_half {
                fair(self, tenant)
            } else {
                self.startable(tenant, bounds)
            };
            if let (Some(next), Some(line)) = (next, self.lines.get_mut(&tenant)) {
                if line.affords(next.head.cost) {
                    return Some(next);
                }
                line.next_turn();
            } else if let Some(line) = self.lines.get_mut(&tenant)
                && line.is_empty()
            {
                line.next_turn();
                if !line.is_in_debt() {
                    self.settle(tenant);
                    continue;
                }
            }
            self.turns.rotate_left(1);
        }
    }

    pub(super) fn start(&mut self, next: Next) {
        if let Some(line) = self.lines.get_mut(&next.tenant) {
            line.remove(next.head.deadline, next.head.job);
            line.start(next.head.cost);
        }
        self.queued = self.queued.saturating_sub(1);
        self.backlog = self.backlog.saturating_sub(u64::from(next.head.cost));
        self.settle(next.tenant);
    }

    pub(super) fn refund(&mut self, tenant: TenantId, cost: u32) {
        self.lines.entry(tenant).or_default().refund(cost);
    }

    pub(super) fn adopt(&mut self, tenant: TenantId, cost: u32) {
        self.lines.entry(tenant).or_default().start(cost);
        self.settle(tenant);
    }

    pub(super) fn finish(&mut self, tenant: TenantId, expected: u32, actual: u32) {
        if let Some(line) = self.lines.get_mut(&tenant) {
            line.finish(expected, actual);
        }
        self.settle(tenant);
    }

    fn insert(&mut self, job: &QueuedJob) {
        if self.lines.entry(job.tenant).or_default().insert(job) {
            self.queued = self.queued.saturating_add(1);
            self.backlog = self.backlog.saturating_add(u64::from(job.cost));
        }
    }

    fn startable(&self, tenant: TenantId, bounds: Bounds<'_>) -> Option<Next> {
        if !bounds.tenants.is_below(tenant, bounds.in_flight) {
            return None;
        }
        let head = self.lines.get(&tenant)?.head(bounds.cost)?;
        Some(Next { tenant, head })
    }

    /// Gives a tenant turns while it has something queued or owes something, takes them from it else, and forgets it once nothing is in flight either.
    fn settle(&mut self, tenant: TenantId) {
        let Some(line) = self.lines.get_mut(&tenant) else { return };
        let wanted = !line.is_empty() || line.is_in_debt();
        if wanted && !line.takes_turns() {
            line.set_turn(Turn::Taken);
            self.turns.push_back(tenant);
        } else if !wanted && line.takes_turns() {
            line.set_turn(Turn::None);
            self.turns.retain(|other| *other != tenant);
        }
        if !wanted && line.is_idle() {
            self.lines.remove(&tenant);
        }
    }
}
