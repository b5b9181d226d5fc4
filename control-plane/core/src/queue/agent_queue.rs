//! The jobs of one agent: tiers share it by start-time fair queueing.
//!
//! Each tier has a tag: where what it was charged ends in virtual time. The lowest tag goes first; starting a job of cost `c` moves the tier's tag
//! by `c / weight`, and the end of the job corrects that by what it has really cost. A tier that had nothing it could start begins again at the
//! present virtual time: it has saved nothing up. So between two starts of a waiting tier of weight `w` the others are charged at most
//! `c · (Σw − w) / w` and one job each.

use std::collections::BTreeSet;

use shared_protocol::id::JobId;
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
    /// The highest tag at which a job was started.
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
        let cost = if self.in_flight == 0 { credit } else { u32::MAX };
        let window = self.in_flight.saturating_add(u64::from(credit));
        let bounds = |tier| Bounds {
            cost,
            window,
            tenants,
            in_flight: tiers.of(tier).in_flight,
        };
        let mut first: Option<(u64, Tier)> = None;
        for tier in Tier::ALL.into_iter().rev() {
            let lane = self.lanes.get_mut(tier);
            let ready = lane.can_start(bounds(tier));
            lane.stay_awake(ready, self.virtual_time);
            if ready && first.is_none_or(|(tag, _)| lane.tag() < tag) {
                first = Some((lane.tag(), tier));
            }
        }
        let (tag, tier) = first?;
        let lane = self.lanes.get_mut(tier);
        let next = lane.choose(bounds(tier))?;
        if next.head.cost > credit {
            return None;
        }
        lane.start(next);
        lane.charge(span(tiers, tier, next.head.cost));
        self.virtual_time = self.virtual_time.max(tag);
        self.in_flight = self.in_flight.saturating_add(u64::from(next.head.cost));
        Some(next.head.job)
    }

    pub(super) fn refund(&mut self, job: &QueuedJob, tiers: &TierTable) {
        let lane = self.lanes.get_mut(job.tier);
        lane.refund(job.tenant, job.cost);
        lane.give_back(span(tiers, job.tier, job.cost));
        self.in_flight = self.in_flight.saturating_sub(u64::from(job.cost));
    }

    /// The agent has a job that was not started here: it is charged like any other, so that its end can correct it.
    pub(super) fn adopt(&mut self, job: &QueuedJob, tiers: &TierTable) {
        let lane = self.lanes.get_mut(job.tier);
        lane.adopt(job.tenant, job.cost);
        lane.charge(span(tiers, job.tier, job.cost));
        self.in_flight = self.in_flight.saturating_add(u64::from(job.cost));
    }

    pub(super) fn finish(&mut self, job: &QueuedJob, actual: u32, tiers: &TierTable) {
        let lane = self.lanes.get_mut(job.tier);
        lane.finish(job.tenant, job.cost, actual);
        lane.charge(span(tiers, job.tier, actual));
        lane.give_back(span(tiers, job.tier, job.cost));
        self.in_flight = self.in_flight.saturating_sub(u64::from(job.cost));
    }

    pub(super) fn backlog(&self, tier: Tier, tiers: &TierTable) -> u64 {
        let own = self.lanes.get(tier).backlog();
        let others = Tier::ALL.into_iter().filter(|other| *other != tier).map(|other| {
            let share = own.saturating_mul(weight(tiers, other)).div_ceil(weight(tiers, tier));
            share.min(self.lanes.get(other).backlog())
        });
        others.fold(own, u64::saturating_add)
    }

    /// Whether nothing is queued or in flight, so that nobody is left to be fair to.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.is_empty()
    }

    /// Whether nothing is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && Tier::ALL.into_iter().all(|tier| self.lanes.get(tier).is_empty())
    }
}

/// How far a cost moves its tier in virtual time.
fn span(tiers: &TierTable, tier: Tier, cost: u32) -> u64 {
    u64::from(cost).saturating_mul(COST_UNIT) / weight(tiers, tier)
}

/// A weight of nothing would be a tier that never starts.
fn weight(tiers: &TierTable, tier: Tier) -> u64 {
    u64::from(tiers.of(tier).weight.max(1))
}

/// Virtual time of one agent-second at weight 1: fine enough for every weight, and 2⁶⁴ of it outlast any process.
const COST_UNIT: u64 = 1 << 20;
