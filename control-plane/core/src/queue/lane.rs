//! The jobs of one tier for one agent: tenants take turns by deficit round robin, charged by cost.

use std::collections::{BTreeMap, VecDeque};

use shared_protocol::id::TenantId;
use shared_protocol::tier::{Tier, TierTable};

use super::QueuedJob;
use super::in_flight::TenantsInFlight;
use super::line::{Head, Line};

#[derive(Debug, Default)]
pub(super) struct Lane {
    lines: BTreeMap<TenantId, Line>,
    /// Tenants with queued jobs; the front has the turn.
    turns: VecDeque<TenantId>,
    /// Cost of all queued jobs.
    backlog: u64,
    /// The virtual instant at which the jobs started so far have had their share.
    pub(super) finish: u64,
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
    /// The caps.
    pub(super) tiers: &'a TierTable,
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

    pub(super) fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn push(&mut self, job: &QueuedJob) {
        let line = self.lines.entry(job.tenant).or_default();
        if line.is_empty() {
            line.wake();
            self.turns.push_back(job.tenant);
        }
        if line.insert(job) {
            self.backlog = self.backlog.saturating_add(u64::from(job.cost));
        }
    }

    /// Gives a refunded job its place back, and its tenant the turn.
    pub(super) fn push_front(&mut self, job: &QueuedJob) {
        self.turns.retain(|tenant| *tenant != job.tenant);
        self.turns.push_front(job.tenant);
        if self.lines.entry(job.tenant).or_default().insert(job) {
            self.backlog = self.backlog.saturating_add(u64::from(job.cost));
        }
    }

    pub(super) fn remove(&mut self, job: &QueuedJob) {
        let Some(line) = self.lines.get_mut(&job.tenant) else { return };
        if line.remove(job.deadline, job.job) {
            self.backlog = self.backlog.saturating_sub(u64::from(job.cost));
        }
        self.settle(job.tenant);
    }

    /// Whether any tenant has a job that may start.
    pub(super) fn can_start(&self, tier: Tier, bounds: Bounds<'_>) -> bool {
        self.turns.iter().any(|tenant| self.startable(*tenant, tier, bounds).is_some())
    }

    /// Whose job is next; gives turns until one tenant affords its job.
    pub(super) fn choose(&mut self, tier: Tier, bounds: Bounds<'_>) -> Option<Next> {
        if !self.can_start(tier, bounds) {
            return None;
        }
        // The half of the window binds only while somebody below it waits, else the agent would idle.
        let fair = |lane: &Self, tenant| {
            let next = lane.startable(tenant, tier, bounds)?;
            let line = lane.lines.get(&tenant)?;
            line.within_half(next.head.cost, bounds.window).then_some(next)
        };
        let somebody_below_half = self.turns.iter().any(|tenant| fair(self, *tenant).is_some());
        loop {
            let tenant = *self.turns.front()?;
            let next = if somebody_below_half {
                fair(self, tenant)
            } else {
                self.startable(tenant, tier, bounds)
            };
            if let (Some(next), Some(line)) = (next, self.lines.get_mut(&tenant)) {
                if line.affords(next.head.cost) {
                    return Some(next);
                }
                line.next_turn();
            }
            self.turns.rotate_left(1);
        }
    }

    pub(super) fn start(&mut self, next: Next) {
        if let Some(line) = self.lines.get_mut(&next.tenant) {
            line.remove(next.head.deadline, next.head.job);
            line.start(next.head.cost);
        }
        self.backlog = self.backlog.saturating_sub(u64::from(next.head.cost));
        self.settle(next.tenant);
    }

    pub(super) fn refund(&mut self, tenant: TenantId, cost: u32) {
        self.lines.entry(tenant).or_default().refund(cost);
    }

    pub(super) fn adopt(&mut self, tenant: TenantId, cost: u32) {
        self.lines.entry(tenant).or_default().adopt(cost);
    }

    pub(super) fn finish(&mut self, tenant: TenantId, expected: u32, actual: u32) {
        if let Some(line) = self.lines.get_mut(&tenant) {
            line.finish(expected, actual);
        }
        self.settle(tenant);
    }

    fn startable(&self, tenant: TenantId, tier: Tier, bounds: Bounds<'_>) -> Option<Next> {
        if bounds.tenants.count(tenant) >= bounds.tiers.of(tier).in_flight {
            return None;
        }
        let head = self.lines.get(&tenant)?.head(bounds.cost)?;
        Some(Next { tenant, head })
    }

    /// Takes the turn from a tenant with nothing queued, and forgets one that has nothing in flight either.
    fn settle(&mut self, tenant: TenantId) {
        let Some(line) = self.lines.get(&tenant) else { return };
        if line.is_empty() {
            self.turns.retain(|other| *other != tenant);
        }
        if line.is_idle() {
            self.lines.remove(&tenant);
        }
    }
}
