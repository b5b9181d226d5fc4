//! The jobs of one agent: tiers share it by start-time fair queueing.
//!
//! Each tier has a start tag: where its last start ended in virtual time, or the present one if that is later, as it is for a tier that had nothing to start.
//! The lowest tag goes first; starting a job of cost `c` moves the tier's tag by `c / weight`. So between two starts of a waiting tier of weight `w`
//! the others start at most `c · (Σw − w) / w` and one job each.

use std::collections::BTreeSet;

use shared_protocol::id::{JobId, TenantId};
use shared_protocol::tier::{Tier, TierTable};
use shared_protocol::time::UnixMicros;

use super::QueuedJob;
use super::in_flight::TenantsInFlight;
use super::lane::{Bounds, Lane};
use super::per_tier::PerTier;

#[derive(Debug, Default)]
pub(super) struct AgentQueue {
    lanes: PerTier<Lane>,
    held: BTreeSet<(UnixMicros, JobId)>,
    /// Start tag of the job started last.
    virtual_time: u64,
    /// Cost of the jobs that the agent has.
    in_flight: u64,
}

impl AgentQueue {
    pub(super) fn push(&mut self, job: &QueuedJob) {
        self.lanes.get_mut(job.tier).push(job);
    }

    pub(super) fn push_front(&mut self, job: &QueuedJob) {
        self.lanes.get_mut(job.tier).push_front(job);
    }

    pub(super) fn remove(&mut self, job: &QueuedJob) {
        self.lanes.get_mut(job.tier).remove(job);
    }

    pub(super) fn hold(&mut self, job: &QueuedJob) {
        self.held.extend(job.not_before.map(|not_before| (not_before, job.job)));
    }

    pub(super) fn remove_held(&mut self, job: &QueuedJob) {
        if let Some(not_before) = job.not_before {
            self.held.remove(&(not_before, job.job));
        }
    }

    /// The next held job whose time has come.
    pub(super) fn release(&mut self, now: UnixMicros) -> Option<JobId> {
        let (not_before, _) = self.held.first()?;
        if *not_before > now {
            return None;
        }
        self.held.pop_first().map(|(_, job)| job)
    }

    pub(super) fn next_release(&self) -> Option<UnixMicros> {
        self.held.first().map(|(not_before, _)| *not_before)
    }

    pub(super) fn pop(&mut self, credit: u32, tenants: &TenantsInFlight, tiers: &TierTable) -> Option<JobId> {
        if credit == 0 {
            return None;
        }
        // While something is in flight its end will free credit, so a dear job waits for it at its place. With nothing in flight this is all
        // the credit there will be, and what costs more can never run.
        let bounds = Bounds {
            cost: if self.in_flight == 0 { credit } else { u32::MAX },
            window: self.in_flight.saturating_add(u64::from(credit)),
            tenants,
            tiers,
        };
        let tier = Tier::ALL
            .into_iter()
            .rev()
            .filter(|tier| self.lanes.get(*tier).can_start(*tier, bounds))
            .min_by_key(|tier| self.start_tag(*tier))?;
        let start = self.start_tag(tier);
        let lane = self.lanes.get_mut(tier);
        let next = lane.choose(tier, bounds)?;
        if next.head.cost > credit {
            return None;
        }
        lane.start(next);
        lane.finish = start.saturating_add(span(tiers.of(tier).weight, next.head.cost));
        self.virtual_time = start;
        self.in_flight = self.in_flight.saturating_add(u64::from(next.head.cost));
        Some(next.head.job)
    }

    pub(super) fn refund(&mut self, job: &QueuedJob, tiers: &TierTable) {
        let lane = self.lanes.get_mut(job.tier);
        lane.refund(job.tenant, job.cost);
        lane.finish = lane.finish.saturating_sub(span(tiers.of(job.tier).weight, job.cost));
        self.in_flight = self.in_flight.saturating_sub(u64::from(job.cost));
    }

    pub(super) fn adopt(&mut self, job: &QueuedJob) {
        self.lanes.get_mut(job.tier).adopt(job.tenant, job.cost);
        self.in_flight = self.in_flight.saturating_add(u64::from(job.cost));
    }

    pub(super) fn finish(&mut self, tenant: TenantId, tier: Tier, expected: u32, actual: u32) {
        self.lanes.get_mut(tier).finish(tenant, expected, actual);
        self.in_flight = self.in_flight.saturating_sub(u64::from(expected));
    }

    pub(super) fn backlog(&self, tier: Tier, tiers: &TierTable) -> u64 {
        let own = self.lanes.get(tier).backlog();
        let weight = u64::from(tiers.of(tier).weight);
        let others = Tier::ALL.into_iter().filter(|other| *other != tier).map(|other| {
            let share = own.saturating_mul(u64::from(tiers.of(other).weight)).div_ceil(weight);
            share.min(self.lanes.get(other).backlog())
        });
        others.fold(own, u64::saturating_add)
    }

    /// Whether nothing is queued or in flight, so that forgetting the agent changes nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.in_flight == 0 && Tier::ALL.into_iter().all(|tier| self.lanes.get(tier).is_idle())
    }

    fn start_tag(&self, tier: Tier) -> u64 {
        self.lanes.get(tier).finish.max(self.virtual_time)
    }
}

/// How far a job moves its tier in virtual time.
fn span(weight: u32, cost: u32) -> u64 {
    u64::from(cost).saturating_mul(COST_UNIT / u64::from(weight.max(1)))
}

/// Virtual time of one agent-second at weight 1: fine enough for every weight, and 2⁶⁴ of it outlast any process.
const COST_UNIT: u64 = 1 << 20;
