//! The jobs an agent has in hand and the credit they use: what is granted, what was spent, what comes back.
//!
//! Both ends count alike: every `run` spends its cost, whatever becomes of it, and every job that leaves the hand (finished, refused,
//! taken twice) has its cost granted again. So the sums never drift apart, and credit never goes back. A session starts with the
//! capacity less what still runs from the session before.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{JobId, JobRef};
use crate::limits::JOBS_IN_HAND;

/// Jobs in hand, by the way they came.
#[derive(Debug)]
pub(super) struct Hand {
    held: BTreeMap<JobRef, Held>,
    /// The last jobs that left, oldest first: a job handed out twice is run once.
    recent: VecDeque<JobRef>,
    /// Capacity and all costs that came back.
    granted: u64,
    /// Costs of the jobs that were running when the session began.
    owed: u64,
    announced: u64,
    spent: u64,
}

/// What to do with a job that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Give it to the runner.
    Take,
    /// It is in hand and was accepted: say so again.
    AcceptAgain,
    /// It is known and needs no answer.
    Known,
    /// Its cost is beyond the credit announced.
    NoCredit,
    /// There are as many in hand as there may be.
    Busy,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    cost: u32,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The runner has not answered yet.
    Offered,
    /// The runner has it.
    Accepted,
    /// The runner has it still, but nobody waits for it.
    Dropped,
}

impl Hand {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            held: BTreeMap::new(),
            recent: VecDeque::new(),
            granted: u64::from(capacity),
            owed: 0,
            announced: 0,
            spent: 0,
        }
    }

    /// Takes the jobs that run, and the memory of those done, from the session before.
    pub(super) fn carry_over(&mut self, previous: Self) {
        self.held = previous.held;
        self.held.retain(|_, held| held.stage != Stage::Offered);
        self.owed = self.held.values().map(|held| u64::from(held.cost)).sum();
        self.recent = previous.recent;
    }

    /// Takes a job that is handed out; `unacknowledged` reports are in hand too.
    pub(super) fn offer(&mut self, job: JobRef, cost: u32, unacknowledged: u64) -> Offer {
        self.spent = self.spent.saturating_add(u64::from(cost));
        let in_hand = self.held.len().saturating_add(usize::try_from(unacknowledged).unwrap_or(usize::MAX));
        let offer = match self.held.get(&job) {
            Some(held) if held.stage == Stage::Accepted => Offer::AcceptAgain,
            Some(_) => Offer::Known,
            None if self.recent.contains(&job) => Offer::Known,
            None if self.spent > self.announced => Offer::NoCredit,
            None if in_hand >= JOBS_IN_HAND => Offer::Busy,
            None => Offer::Take,
        };
        if offer == Offer::Take {
            let stage = Stage::Offered;
            self.held.insert(job, Held { cost, stage });
        } else {
            self.grant(cost);
        }
        offer
    }

    /// Notes that the runner took an offered job; `None` where there is nothing to tell the control plane.
    pub(super) fn accept(&mut self, job: JobRef) -> Option<JobRef> {
        let held = self.held.get_mut(&job).filter(|held| held.stage == Stage::Offered)?;
        held.stage = Stage::Accepted;
        Some(job)
    }

    /// Notes that a job left the hand; `None` where it was not in it.
    pub(super) fn leave(&mut self, job: JobRef) -> Option<JobRef> {
        let held = self.held.remove(&job)?;
        self.grant(held.cost);
        if self.recent.len() == JOBS_IN_HAND {
            self.recent.pop_front();
        }
        self.recent.push_back(job);
        Some(job)
    }

    /// Learns which jobs stay; returns those running that nobody waits for.
    pub(super) fn settle(&mut self, readopted: &[JobRef]) -> Vec<JobId> {
        let stays: std::collections::BTreeSet<_> = readopted.iter().collect();
        let mut dropped = Vec::new();
        for (job, held) in &mut self.held {
            if !stays.contains(job) {
                held.stage = Stage::Dropped;
                dropped.push(job.job);
            }
        }
        dropped
    }

    /// Notes that nobody waits for these jobs any more; they stay in hand until the runner lets go of them.
    pub(super) fn drop_jobs(&mut self, jobs: &[JobId]) {
        for (job, held) in &mut self.held {
            if jobs.contains(&job.job) {
                held.stage = Stage::Dropped;
            }
        }
    }

    /// Whether somebody waits for the job's findings.
    pub(super) fn is_awaited(&self, job: JobRef) -> bool {
        self.held.get(&job).is_some_and(|held| held.stage != Stage::Dropped)
    }

    /// The sum to announce, where it grew since the last time.
    pub(super) fn announce(&mut self) -> Option<u64> {
        let granted = self.granted.saturating_sub(self.owed);
        if granted == self.announced {
            return None;
        }
        self.announced = granted;
        Some(granted)
    }

    fn grant(&mut self, cost: u32) {
        self.granted = self.granted.saturating_add(u64::from(cost));
    }
}
