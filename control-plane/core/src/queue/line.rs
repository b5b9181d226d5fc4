//! The jobs of one tenant for one agent within one tier: earliest deadline first, then the oldest job.

use std::collections::BTreeMap;

use shared_protocol::id::JobId;
use shared_protocol::time::UnixMicros;

use super::QueuedJob;

#[derive(Debug, Default)]
pub(super) struct Line {
    /// Cost of each job. Ids are time-ordered, so equal deadlines go first come, first served.
    jobs: BTreeMap<(UnixMicros, JobId), u32>,
    /// What the tenant may still take in its turn; below zero it has taken more than it was charged.
    deficit: i64,
    /// Cost of its jobs that the agent has.
    in_flight_cost: u64,
    /// How many jobs that is.
    in_flight: u32,
    turn: Turn,
}

/// Whether a tenant takes turns in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Turn {
    #[default]
    None,
    Taken,
}

/// The next job of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) deadline: UnixMicros,
    pub(super) job: JobId,
    pub(super) cost: u32,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.in_flight == 0
    }

    pub(super) const fn is_in_debt(&self) -> bool {
        self.deficit < 0
    }

    pub(super) fn takes_turns(&self) -> bool {
        self.turn == Turn::Taken
    }

    pub(super) const fn set_turn(&mut self, turn: Turn) {
        self.turn = turn;
    }

    /// The first job that costs at most `limit`.
    pub(super) fn head(&self, limit: u32) -> Option<Head> {
        let found = self.jobs.iter().find(|(_, cost)| **cost <= limit);
        found.map(|(&(deadline, job), &cost)| Head { deadline, job, cost })
    }

    pub(super) fn insert(&mut self, job: &QueuedJob) -> bool {
        self.jobs.insert((job.deadline, job.job), job.cost).is_none()
    }

    pub(super) fn remove(&mut self, deadline: UnixMicros, job: JobId) -> bool {
        self.jobs.remove(&(deadline, job)).is_some()
    }

    /// The tenant has waited for nothing until now: it keeps a debt, but no claim.
    pub(super) fn wake(&mut self) {
        self.deficit = self.deficit.min(0).saturating_add(QUANTUM);
        self.turn = Turn::Taken;
    }

    pub(super) fn affords(&self, cost: u32) -> bool {
        self.deficit >= i64::from(cost)
    }

    pub(super) const fn next_turn(&mut self) {
        self.deficit = self.deficit.saturating_add(QUANTUM);
    }

    /// Whether the agent may have this much more of the tenant's work without the tenant passing half of `window`. One job may always run.
    pub(super) fn within_half(&self, cost: u32, window: u64) -> bool {
        self.in_flight == 0 || self.in_flight_cost.saturating_add(u64::from(cost)).saturating_mul(2) <= window
    }

    /// The agent gets a job: it is charged what it is expected to cost.
    pub(super) fn start(&mut self, cost: u32) {
        self.deficit = self.deficit.saturating_sub(i64::from(cost)).max(-DEBT_MAX);
        self.in_flight = self.in_flight.saturating_add(1);
        self.in_flight_cost = self.in_flight_cost.saturating_add(u64::from(cost));
    }

    /// The agent did not get the job after all.
    pub(super) fn refund(&mut self, cost: u32) {
        self.deficit = self.deficit.saturating_add(i64::from(cost));
        self.release(cost);
    }

    /// The agent has done with a job: the charge is corrected by what it has cost.
    pub(super) fn finish(&mut self, expected: u32, actual: u32) {
        let corrected = self.deficit.saturating_add(i64::from(expected)).saturating_sub(i64::from(actual));
        self.deficit = corrected.clamp(-DEBT_MAX, CLAIM_MAX);
        self.release(expected);
    }

    fn release(&mut self, cost: u32) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.in_flight_cost = self.in_flight_cost.saturating_sub(u64::from(cost));
    }
}

/// What a tenant may take more in each turn. No job costs more, so a tenant without debt starts at least one job a turn.
const QUANTUM: i64 = 10;
/// Most that a tenant can owe: ten turns.
const DEBT_MAX: i64 = 10 * QUANTUM;
/// Most that one job can be said to have cost, agent-seconds: what an agent says of its time puts nobody further back than the most that can be owed.
pub(super) const ACTUAL_MAX: u32 = 100;
/// Most that jobs cheaper than expected can save up: one turn more than the usual one.
const CLAIM_MAX: i64 = 2 * QUANTUM;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_covers_the_dearest_job() {
        assert_eq!(QUANTUM, i64::from(shared_protocol::limits::COST_MAX));
        assert_eq!(DEBT_MAX, i64::from(ACTUAL_MAX));
    }
}
