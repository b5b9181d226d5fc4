//! The jobs an agent has in hand and the credit they use: what is granted, what was spent, what comes back.
//!
//! Both ends count alike: every `run` spends its cost, whatever becomes of it, and every job that leaves the hand (finished, refused,
//! taken twice) has its cost granted again. So the sums never drift apart, and credit never goes back.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{JobId, JobRef};
use crate::limits::JOBS_IN_HAND;

/// Jobs in hand, by the way they came.
#[derive(Debug, Default)]
pub(super) struct Hand {
    held: BTreeMap<JobRef, Held>,
    /// The last jobs that left, oldest first: a job handed out twice is run once.
    recent: VecDeque<JobRef>,
    granted: u64,
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
    /// Named in `hello`; counts once `welcome` re-adopts it.
    Listed,
    /// As before, and it left the runner in the meantime.
    ListedAndFinished,
    /// Offered; the runner has not answered yet.
    Offered,
    /// The runner has it.
    Accepted,
}

impl Hand {
    pub(super) fn new(capacity: u32, listed: &[JobRef]) -> Self {
        let entry = |job: &JobRef| {
            let held = Held {
                cost: COST_UNKNOWN,
                stage: Stage::Listed,
            };
            (*job, held)
        };
        Self {
            held: listed.iter().map(entry).collect(),
            granted: u64::from(capacity),
            ..Self::default()
        }
    }

    /// Takes the costs of the jobs listed, and the memory of those done, from the session before.
    pub(super) fn carry_over(&mut self, previous: Self) {
        for (job, held) in &mut self.held {
            if let Some(known) = previous.held.get(job) {
                held.cost = known.cost;
            }
        }
        self.recent = previous.recent;
    }

    pub(super) fn offer(&mut self, job: JobRef, cost: u32) -> Offer {
        self.spent = self.spent.saturating_add(u64::from(cost));
        let offer = match self.held.get(&job) {
            Some(held) if held.stage == Stage::Accepted => Offer::AcceptAgain,
            Some(_) => Offer::Known,
            None if self.recent.contains(&job) => Offer::Known,
            None if self.spent > self.announced => Offer::NoCredit,
            None if self.held.len() >= JOBS_IN_HAND => Offer::Busy,
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

    /// Notes that a job left the hand.
    pub(super) fn leave(&mut self, job: JobRef) {
        let Some(held) = self.held.get_mut(&job) else { return };
        match held.stage {
            // Whether its cost was spent is known when `welcome` comes.
            Stage::Listed => held.stage = Stage::ListedAndFinished,
            Stage::ListedAndFinished => {}
            Stage::Offered | Stage::Accepted => {
                let cost = held.cost;
                self.held.remove(&job);
                self.grant(cost);
                self.remember(job);
            }
        }
    }

    /// Learns which of the jobs listed stay; returns those that nobody waits for.
    pub(super) fn settle(&mut self, readopted: &[JobRef]) -> Vec<JobId> {
        for job in readopted {
            let Some(held) = self.held.get_mut(job) else { continue };
            let finished = held.stage == Stage::ListedAndFinished;
            if !matches!(held.stage, Stage::Listed | Stage::ListedAndFinished) {
                continue;
            }
            held.stage = Stage::Accepted;
            self.spent = self.spent.saturating_add(u64::from(held.cost));
            if finished {
                self.leave(*job);
            }
        }
        let mut dropped = Vec::new();
        self.held.retain(|job, held| match held.stage {
            Stage::Offered | Stage::Accepted => true,
            Stage::ListedAndFinished => false,
            Stage::Listed => {
                dropped.push(job.job);
                false
            }
        });
        dropped
    }

    pub(super) fn holds(&self, job: JobRef) -> bool {
        self.held.contains_key(&job)
    }

    /// The sum to announce, where it grew since the last time.
    pub(super) fn announce(&mut self) -> Option<u64> {
        if self.granted == self.announced {
            return None;
        }
        self.announced = self.granted;
        Some(self.granted)
    }

    fn grant(&mut self, cost: u32) {
        self.granted = self.granted.saturating_add(u64::from(cost));
    }

    fn remember(&mut self, job: JobRef) {
        if self.recent.len() == JOBS_IN_HAND {
            self.recent.pop_front();
        }
        self.recent.push_back(job);
    }
}

/// Cost of a listed job whose session before this one was not carried over: the least there is.
const COST_UNKNOWN: u32 = 1;
